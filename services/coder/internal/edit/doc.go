// Package edit turns a model's reply into changes of a file tree, or into a reason why it cannot.
//
// It is pure: Plan reads a Tree, a reply and a Policy and returns Changes and a Report; it touches no
// disk, clock or network, so that any failure seen in the field becomes a table row.
//
// The package is generous with form (markers, names, white space) and strict with place. A reply is
// applied whole or not at all. The way of a reply through the files:
//
//	parse.go    size limits, reasoning sections, which syntax is used
//	blocks.go   search/replace blocks      listing.go  whole files
//	udiff.go    unified diffs              patch.go    patch envelopes
//	name.go     the file name near a block policy.go   which paths may be written
//	resolve.go  from a name to a file      text.go     lines, line ends, BOM
//	ladder.go   the matching ladder        rungs.go    L4 to L8; rungs_loose.go L9 to L12
//	apply.go    how a match is written     plan.go     all of it, in reply order
//	diff.go     line differences           feedback.go what the model is told
package edit
