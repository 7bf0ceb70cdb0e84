package edit

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// planner holds the files while the blocks of one reply are applied in order.
type planner struct {
	tree     Tree
	policy   Policy
	editable []string
	docs     map[string]*doc
	blocked  map[string]bool // files that a block changes
	prev     string          // file of the block before
	ops      []op
	named    []string // per op, the file that its name stood for
	used     []string // per op, the file that it was settled to be for
	hints    int      // blocks whose nearest region was looked up
	guessed  bool     // the file that was resolved last was found by its text
}

// maxHints bounds the failing blocks that are explained in detail.
const maxHints = 5

// Plan reads a reply and says which files change, and how. On any failure there are no changes.
func Plan(t Tree, reply string, p Policy) (Changes, Report) {
	return Retry(t, Report{}, reply, p)
}

// Retry plans a further reply together with the sound blocks of the one before. A listing takes the place
// of kept blocks of its file, a block that of a kept one with the same SEARCH. When the union fails but the
// reply stands alone and has at least as many blocks as the first one had, the model sent everything
// again and its reply alone counts. A listing that was refused as a fragment and comes again unchanged is meant.
func Retry(t Tree, before Report, reply string, p Policy) (Changes, Report) {
	ops, perr := parse(reply, knownPaths(t, p), p.Allows)
	if perr != nil {
		r := Report{Status: Malformed, Problem: perr.Error(), Cut: perr.cut, kept: before.kept}
		if perr.cut && perr.number > 1 {
			r.keepHead(t, before, head(reply, perr.line), p)
		}
		return nil, r
	}
	for i := range ops {
		ops[i].meant = slices.ContainsFunc(before.bad, ops[i].sameListing)
	}
	if len(before.kept) == 0 || len(ops) == 0 {
		c, r := planOps(t, ops, p)
		if len(ops) == 0 {
			r.kept = before.kept
		}
		return c, r
	}
	c, r := planOps(t, union(t, before, ops), p)
	if r.Status.Failed() && len(ops) >= len(before.kept)+len(before.bad) {
		if c2, r2 := planOps(t, ops, p); r2.Status == Applied {
			return c2, r2
		}
	}
	return c, r
}

// sameListing says whether two listings give the same file the same content.
func (o op) sameListing(b op) bool {
	return o.kind == opListing && b.kind == opListing && cleanName(o.name) == cleanName(b.name) && slices.Equal(o.replace, b.replace)
}

// union puts kept blocks before new ones and leaves out what a new one replaces: also one that makes the same file in other words, unless that mends
// another block that was to add to it.
func union(t Tree, before Report, ops []op) []op {
	var out []op
	for _, k := range before.kept {
		adds := func(o op) bool { return len(o.search) == 0 && cleanName(o.name) == k.name && !t.exists(k.name) }
		only := !slices.ContainsFunc(before.bad, adds)
		superseded := slices.ContainsFunc(ops, func(o op) bool {
			if o.kind == opListing {
				return cleanName(o.name) == cleanName(k.name)
			}
			return o.kind == opBlock && k.kind == opBlock && slices.Equal(o.search, k.search) && !slices.Equal(o.replace, k.replace) &&
				(len(o.search) > 0 && o.mayMean(k.name) || only && adds(o))
		})
		if !superseded {
			out = append(out, k)
		}
	}
	out = append(out, ops...)
	for i := range out {
		out[i].number = i + 1
	}
	return out
}

// mayMean says whether the name as given could stand for a file.
func (o op) mayMean(path string) bool {
	given, path := strings.ToLower("/"+cleanName(o.name)), strings.ToLower("/"+path)
	return o.name == "" || strings.HasSuffix(path, given) || strings.HasSuffix(given, path)
}

// keepHead keeps the sound blocks before the place where a reply was cut off.
func (r *Report) keepHead(t Tree, before Report, reply string, p Policy) {
	ops, perr := parse(reply, knownPaths(t, p), p.Allows)
	if perr != nil || len(ops) == 0 {
		return
	}
	_, h := planOps(t, union(t, before, ops), p)
	r.kept, r.Blocks = h.kept, h.Blocks
}

// head gives the lines of a reply before a line.
func head(reply string, line int) string {
	lines := strings.SplitAfter(reply, "\n")
	return strings.Join(lines[:min(len(lines), max(0, line-1))], "")
}

func knownPaths(t Tree, p Policy) func(string) bool {
	return func(s string) bool {
		if t.exists(s) || t.isDir(s) || slices.Contains(p.Allowed, s) {
			return true
		}
		return proseExtRE.MatchString(s) && p.Allows(s)
	}
}

func planOps(t Tree, ops []op, p Policy) (Changes, Report) {
	if len(ops) == 0 {
		return nil, Report{Status: NoEdits}
	}
	pl := &planner{tree: t, policy: p, editable: p.editable(t), docs: map[string]*doc{}, blocked: map[string]bool{}, ops: ops, named: make([]string, len(ops)), used: make([]string, len(ops))}
	var rep Report
	firstBad, malformed, forbidden := Class(""), false, false
	for i := range ops {
		b, warns, prob := pl.step(i)
		if prob != nil {
			b.Status, b.Cause, b.Lazy = prob.class, prob.cause, prob.lazy
			b.Asked = strings.Join(ops[i].search, "\n") + "\f" + strings.Join(ops[i].replace, "\n") + "\f" + strings.Join(ops[i].body, "\n")
			if firstBad == "" {
				firstBad = prob.class
			}
			malformed = malformed || prob.class == Malformed && len(ops[i].dividers) > 0
			forbidden = forbidden || prob.class == ForbiddenPath
			rep.bad = append(rep.bad, ops[i])
		} else {
			o := pl.ops[i]
			pl.used[i] = b.Path
			o.name = b.Path // settled: a retry must not look it up anew
			rep.kept = append(rep.kept, o)
		}
		for _, w := range warns {
			rep.Warnings = append(rep.Warnings, fmt.Sprintf("block %d: %s", b.Number, w))
		}
		rep.Blocks = append(rep.Blocks, b)
	}
	switch {
	case malformed:
		rep.Status = Malformed
	case forbidden:
		rep.Status = ForbiddenPath
	case firstBad != "":
		rep.Status = firstBad
	}
	if rep.Status != "" {
		return nil, rep
	}
	changes, prob := pl.changes()
	if prob != nil {
		rep.Status, rep.Problem = prob.class, prob.cause
		return nil, rep
	}
	rep.Status = Noop
	if len(changes) > 0 {
		rep.Status = Applied
	}
	return changes, rep
}

// step applies one op.
func (pl *planner) step(i int) (BlockReport, []string, *problem) {
	o := pl.ops[i]
	b := BlockReport{Number: o.number, Line: o.line, Format: o.format, Path: o.name}
	if len(o.dividers) > 0 {
		var prob *problem
		if o, prob = pl.divide(o); prob != nil {
			return b, nil, prob
		}
		pl.ops[i] = o
	}
	pl.guessed = false
	path, warn, prob := pl.resolve(o)
	if prob != nil {
		return b, nil, prob
	}
	b.Path, pl.prev, pl.named[i] = path, path, path
	var warns []string
	if warn != "" {
		warns, b.Corrected, b.ByContent = append(warns, warn), true, pl.guessed
	}
	d, prob := pl.doc(path)
	if prob != nil {
		return b, warns, prob
	}
	var more string
	switch {
	case o.kind == opBlock && o.format == "block":
		pl.blocked[path] = true
	case o.format == "listing" && pl.blocked[path]:
		b.Status = Noop
		return b, append(warns, "the listing of "+path+" was not used, since blocks change that file"), nil
	}
	switch o.kind {
	case opDelete:
		prob = pl.remove(&b, d)
	case opListing:
		prob = pl.listing(&b, d, o)
	default:
		more, prob = pl.block(&b, d, i)
	}
	if more != "" {
		warns = append(warns, more)
	}
	return b, warns, prob
}

func (pl *planner) remove(b *BlockReport, d *doc) *problem {
	switch {
	case !pl.policy.AllowDelete:
		return &problem{class: ForbiddenPath, cause: d.path + " may not be deleted"}
	case d.deleted:
		b.Status = Noop
		return nil
	case !d.existed:
		return &problem{class: NoMatch, cause: d.path + " does not exist"}
	}
	d.splice(0, len(d.lines), nil)
	d.deleted, b.Status = true, Applied
	return nil
}

func (pl *planner) listing(b *BlockReport, d *doc, o op) *problem {
	d.revive()
	b.Rungs = []string{RungWhole}
	if !d.existed {
		b.Rungs = append(b.Rungs, RungCreate)
	}
	if l := lazyLine(o.replace, nil, d); l != "" {
		return leftOut("the listing of "+d.path, l)
	}
	if have, given := filled(d.texts()), filled(o.replace); have >= 10 && 2*given < have && !o.meant {
		return &problem{class: Malformed, lazy: true, cause: fmt.Sprintf("the listing of %s has %d lines that are not blank, the file has %d: it looks like a fragment; send SEARCH/REPLACE blocks to change a part, or, if the file is to become that short, the same listing again", d.path, given, have)}
	}
	before, _ := d.render()
	d.list(o.replace, o.number)
	b.At = 1
	b.Status = d.outcome(before)
	return nil
}

// revive lets a file that this reply deleted be written anew.
func (d *doc) revive() {
	if d.deleted {
		d.deleted, d.changed = false, true
	}
}

// outcome says whether a step changed the bytes.
func (d *doc) outcome(before []byte) Class {
	after, _ := d.render()
	if bytes.Equal(before, after) && (d.existed || len(before) > 0) {
		return Noop
	}
	return Applied
}

func (d *doc) texts() []string {
	out := make([]string, len(d.lines))
	for i, l := range d.lines {
		out[i] = l.text
	}
	return out
}

func filled(lines []string) int {
	n := 0
	for _, l := range lines {
		if !isBlank(l) {
			n++
		}
	}
	return n
}

// lazyLine finds a comment that stands for code left out and is in neither SEARCH nor the file.
func lazyLine(lines, search []string, d *doc) string {
	var have map[string]bool
	for _, l := range lines {
		if _, comment := elision(l); !comment {
			continue
		}
		if have == nil {
			have = map[string]bool{}
			for _, s := range search {
				have[strings.TrimSpace(s)] = true
			}
			for _, f := range d.lines {
				have[strings.TrimSpace(f.text)] = true
			}
		}
		if !have[strings.TrimSpace(l)] {
			return l
		}
	}
	return ""
}

// changes collects the files whose bytes differ.
func (pl *planner) changes() (Changes, *problem) {
	var out Changes
	for path, d := range pl.docs {
		switch {
		case d.deleted:
			out = append(out, Change{Path: path, Old: d.old, Deleted: true})
		case d.changed:
			data, origin := d.render()
			if d.existed && bytes.Equal(data, d.old) {
				continue
			}
			if len(data) > MaxFile {
				return nil, &problem{class: Malformed, cause: fmt.Sprintf("%s would be larger than %d bytes", path, MaxFile)}
			}
			out = append(out, Change{Path: path, Old: d.old, Data: data, Created: !d.existed, Origin: origin})
		}
	}
	if len(out) > MaxFiles {
		return nil, &problem{class: Malformed, cause: fmt.Sprintf("%d files are more than the %d that one reply may change", len(out), MaxFiles)}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}
