// Package ledger keeps every paid or outside answer, so that a step that runs again finds its answers instead of paying for
// them twice.
//
// An entry's key names study, idea, step and call, and ends with a hash of what was asked and of whom. Its record moves
// through three states, each written by compare-and-set before what it announces:
//
//	CLAIMED  owned, nothing sent yet
//	STARTED  sent, outcome unknown
//	DONE     final, with the reply as a blob
//
// An owner rewrites its record every few seconds. Who finds a record of someone else watches it and, once it has stood still
// for long enough by the watcher's own clock, takes it over by compare-and-set. An owner that loses a compare-and-set was
// taken over: it drops what it has and joins the new owner. A record that was STARTED when it was taken over may have been
// paid for; the new owner books that and sends once more.
//
// The package links no model SDK: the gateway reads the ledger for costs, transcripts and exports.
package ledger
