package edit

import (
	"fmt"
	"slices"
	"strings"
)

// block applies one search/replace block, hunk or patch section.
func (pl *planner) block(b *BlockReport, d *doc, i int) (warn string, prob *problem) {
	o := pl.ops[i]
	if len(o.anchors) > 0 && allBlank(o.search) && !d.blank() {
		// Lines added under an anchor: the anchor itself is the context.
		at, prob := anchorAt(d, o.anchors)
		if prob != nil {
			b.Hint = definitions(d)
			return "", prob
		}
		l := d.lines[at].text
		o.search, o.replace = []string{l}, append([]string{l}, o.replace...)
	}
	if allBlank(o.search) {
		if j := pl.repeatOf(i, b.Path); j > 0 && !allBlank(o.replace) {
			b.Status = Noop
			return fmt.Sprintf("it repeats block %d and was dropped", j), nil
		}
		return "", pl.emptySearch(b, d, o)
	}
	if d.deleted {
		return "", &problem{class: NoMatch, cause: d.path + " is deleted by an earlier block"}
	}
	if !d.existed && !d.changed {
		if c := pl.byContent(o, minContent); c != "" {
			return pl.redirect(b, c, o, i)
		}
		return "", &problem{class: NoMatch, cause: d.path + " does not exist; an empty SEARCH creates it"}
	}
	if slices.Equal(o.search, o.replace) {
		b.Status = Noop
		return "SEARCH and REPLACE are equal", nil
	}
	lazy := lazyLine(o.replace, o.search, d)
	if lazy != "" && countElisions(o.replace) > countElisions(o.search) {
		return "", leftOut("REPLACE", lazy)
	}
	d.want = o.hint
	f := climb(d, text{o.search, o.replace}, pl.policy)
	if lazy != "" && f.any() && !slices.Contains(f.rungs, elisionRung) {
		return "", leftOut("REPLACE", lazy)
	}
	if !f.any() {
		return pl.notFound(b, d, o, i)
	}
	if len(o.anchors) > 0 {
		if f.hits, prob = anchored(d, f.hits, o.anchors); prob != nil {
			b.Hint = definitions(d)
			return "", prob
		}
	}
	if j := pl.repeatOf(i, b.Path); j > 0 && len(untouched(d, f.hits)) == 0 {
		b.Status = Noop
		return fmt.Sprintf("it repeats block %d and was dropped", j), nil
	}
	h, ok := pl.pick(d, f.hits, o, i)
	if !ok || f.unclear {
		b.Hint = pl.explainPlaces(d, f.hits)
		return "", &problem{class: Ambiguous, cause: ambiguousCause(d, f)}
	}
	b.Rungs, b.At, b.Status = f.rungs, h.start()+1, Noop
	if d.write(h, o.number) {
		b.Status = Applied
	}
	return h.warn, nil
}

// leftOut refuses text in which a comment stands for code.
func leftOut(what, line string) *problem {
	return &problem{class: Malformed, lazy: true, cause: fmt.Sprintf("%s leaves code out: %q; write every line", what, clip(strings.TrimSpace(line), 80))}
}

func countElisions(lines []string) int {
	n := 0
	for _, l := range lines {
		if is, _ := elision(l); is {
			n++
		}
	}
	return n
}

// redirect applies a block to the file that its text was found in.
func (pl *planner) redirect(b *BlockReport, path string, o op, i int) (string, *problem) {
	d, prob := pl.doc(path)
	if prob != nil {
		return "", prob
	}
	named := b.Path
	b.Path, pl.prev, b.Corrected, b.ByContent = path, path, true, true
	warn, prob := pl.block(b, d, i)
	note := fmt.Sprintf("the text is not in %s but in %s, and was changed there", named, path)
	if warn != "" {
		note += "; " + warn
	}
	return note, prob
}

// emptySearch creates a file, fills a blank one, or appends.
func (pl *planner) emptySearch(b *BlockReport, d *doc, o op) *problem {
	d.revive()
	if l := lazyLine(o.replace, nil, d); l != "" {
		return leftOut("REPLACE", l)
	}
	if d.blank() {
		if d.existed && len(o.replace) == 0 {
			b.Status = Noop
			return nil
		}
		b.Rungs = []string{RungCreate}
		before, _ := d.render()
		d.list(o.replace, o.number)
		b.At, b.Status = 1, d.outcome(before)
		return nil
	}
	if o.format != "block" {
		return &problem{class: Malformed, cause: "lines are added to " + d.path + " without a line of context; show at least one line of the file around them"}
	}
	if allBlank(o.replace) && len(o.replace) == 0 {
		b.Status = Noop
		return nil
	}
	if repeats(d, o.replace) {
		return &problem{class: Malformed, cause: "an empty SEARCH appends, but REPLACE repeats most of " + d.path + "; send the whole file as a listing, or blocks for what changes"}
	}
	b.Rungs, b.At = []string{RungAppend}, len(d.lines)+1
	d.appendLines(o.replace, o.number)
	b.Status = Applied
	return nil
}

// repeats says whether 60 % of the file's lines come again.
func repeats(d *doc, replace []string) bool {
	have := map[string]bool{}
	for _, l := range replace {
		have[rtrim(l)] = true
	}
	lines, again := 0, 0
	for _, l := range d.view(normRight) {
		if l == "" {
			continue
		}
		lines++
		if have[l] {
			again++
		}
	}
	return lines >= 5 && again*10 >= lines*6
}

// notFound ends a block that no rung could place.
func (pl *planner) notFound(b *BlockReport, d *doc, o op, i int) (string, *problem) {
	if j := pl.repeatOf(i, b.Path); j > 0 {
		b.Status = Noop
		return fmt.Sprintf("it repeats block %d and was dropped", j), nil
	}
	if j := replacedBy(d, o.search); j > 0 {
		return "", &problem{class: NoMatch, cause: fmt.Sprintf("your block %d replaced this text before", j)}
	}
	if !pl.policy.NoAlreadyDone && alreadyDone(d, o) {
		b.Rungs, b.Status = []string{RungDone}, Noop
		return "SEARCH is not in the file but REPLACE is: taken as done", nil
	}
	if c := pl.byContent(o, minCorrection); c != "" && c != d.path {
		return pl.redirect(b, c, o, i)
	}
	var cause string
	cause, b.Hint = pl.explainMissing(d, o)
	return "", &problem{class: NoMatch, cause: cause}
}

// alreadyDone says whether REPLACE stands in the file with enough text that SEARCH lacks.
func alreadyDone(d *doc, o op) bool {
	t := text{search: o.replace}.edges().search
	if len(t) == 0 || len(index(d.view(normRight), normRight.all(t), 1)) == 0 {
		return false
	}
	have := map[string]bool{}
	for _, l := range o.search {
		have[rtrim(l)] = true
	}
	var fresh []string
	for _, l := range t {
		if !have[rtrim(l)] {
			fresh = append(fresh, l)
		}
	}
	return visible(fresh) >= minContent
}

// replacedBy names the earlier block whose match held a line of SEARCH that is gone now.
func replacedBy(d *doc, search []string) int {
	for _, s := range search {
		if by := d.gone[rtrim(s)]; by > 0 && !d.holds(rtrim(s)) {
			return by
		}
	}
	return 0
}

// repeatOf gives the number of an earlier equal block that was sound, or 0.
func (pl *planner) repeatOf(i int, path string) int {
	o := pl.ops[i]
	for j := 0; j < i; j++ {
		p := pl.ops[j]
		if p.kind == o.kind && slices.Equal(p.search, o.search) && slices.Equal(p.replace, o.replace) && (pl.named[j] == path || pl.used[j] == path) {
			return p.number
		}
	}
	return 0
}

func untouched(d *doc, hits []hit) []hit {
	var out []hit
	for _, h := range hits {
		clean := true
		for _, p := range h.parts {
			for i := p.start; i < p.end; i++ {
				clean = clean && d.lines[i].by == 0
			}
		}
		if clean {
			out = append(out, h)
		}
	}
	return out
}

// pick chooses among several places, or refuses.
func (pl *planner) pick(d *doc, hits []hit, o op, i int) (hit, bool) {
	if len(hits) == 1 {
		return hits[0], true
	}
	clean := untouched(d, hits)
	if len(clean) == 1 {
		return clean[0], true
	}
	if len(o.anchors) > 0 && len(hits) > 0 {
		return hits[0], true
	}
	if o.hint > 0 {
		if h, ok := nearest(d, hits, o.hint); ok {
			return h, true
		}
	}
	left := 0
	for _, p := range pl.ops[i:] {
		if p.kind == opBlock && slices.Equal(p.search, o.search) && slices.Equal(p.replace, o.replace) {
			left++
		}
	}
	if len(clean) > 1 && left == len(clean) && disjoint(clean) {
		return clean[0], true
	}
	return hit{}, false
}

func disjoint(hits []hit) bool {
	for k := 1; k < len(hits); k++ {
		if hits[k].start() < hits[k-1].parts[len(hits[k-1].parts)-1].end {
			return false
		}
	}
	return true
}

// nearest finds the place that is strictly nearest to a line number of the file as the model saw it.
func nearest(d *doc, hits []hit, want int) (hit, bool) {
	best, at, tie := 0, -1, false
	for k, h := range hits {
		no := h.start() + 1
		for i := h.start(); i < len(d.lines); i++ {
			if d.lines[i].no > 0 {
				no = d.lines[i].no - (i - h.start())
				break
			}
		}
		dist := max(no-want, want-no)
		switch {
		case at < 0 || dist < best:
			best, at, tie = dist, k, false
		case dist == best:
			tie = true
		}
	}
	if at < 0 || tie {
		return hit{}, false
	}
	return hits[at], true
}

// anchorAt finds the line of the last anchor. The first must be in the file once; each further one once in what lies under the one before.
func anchorAt(d *doc, anchors []string) (int, *problem) {
	lines := d.view(normTrim)
	at, from, to := -1, 0, len(lines)
	for k, a := range anchors {
		under := d.path
		if k > 0 {
			under = fmt.Sprintf("what lies under %q in %s", clip(anchors[k-1], 80), d.path)
			from, to = at+1, d.scopeEnd(at)
		}
		at = -1
		for i := from; i < to; i++ {
			if lines[i] != a {
				continue
			}
			if at >= 0 {
				return 0, &problem{class: Ambiguous, cause: fmt.Sprintf("the anchor %q stands on lines %d and %d of %s", clip(a, 80), at+1, i+1, under)}
			}
			at = i
		}
		if at < 0 {
			return 0, &problem{class: NoMatch, cause: fmt.Sprintf("the anchor %q is not in %s", clip(a, 80), under)}
		}
	}
	return at, nil
}

// scopeEnd gives the line before which ends what lies under a line: the lines that are indented deeper, or all that follow where none is.
func (d *doc) scopeEnd(at int) int {
	depth, deeper := len(indentOf(d.lines[at].text)), false
	for i := at + 1; i < len(d.lines); i++ {
		l := d.lines[i].text
		switch {
		case isBlank(l):
		case len(indentOf(l)) > depth:
			deeper = true
		case deeper:
			return i
		default:
			return len(d.lines)
		}
	}
	return len(d.lines)
}

// anchored keeps the first place at or after the last anchor.
func anchored(d *doc, hits []hit, anchors []string) ([]hit, *problem) {
	at, prob := anchorAt(d, anchors)
	if prob != nil {
		return nil, prob
	}
	for _, h := range hits {
		if h.start() >= at {
			return []hit{h}, nil
		}
	}
	return nil, &problem{class: NoMatch, cause: fmt.Sprintf("the text is in %s, but not after the anchor %q", d.path, clip(anchors[len(anchors)-1], 80))}
}
