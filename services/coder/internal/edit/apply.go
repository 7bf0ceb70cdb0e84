package edit

import "slices"

// write puts a hit into the file. Lines that the model left alone are written back as the file's own
// bytes, so a loose rung never leaks the model's white space.
func (d *doc) write(h hit, by int) (changed bool) {
	for i := len(h.parts) - 1; i >= 0; i-- {
		if d.writePart(h.parts[i], by) {
			changed = true
		}
	}
	return changed
}

func (d *doc) writePart(p part, by int) bool {
	out := p.out
	if out == nil {
		out = p.replace
	}
	w := partWriter{d: d, p: p, out: out, by: by, next: p.start}
	i, j := 0, 0
	for _, c := range append(common(p.search, p.replace), pair{len(p.search), len(p.replace)}) {
		gone := i
		for ; i < c.a; i++ {
			w.drop(i, i > gone)
		}
		for ; j < c.b; j++ {
			w.add(out[j])
		}
		if i < len(p.search) && j < len(p.replace) {
			w.keep(i)
			i, j = i+1, j+1
		}
	}
	for w.next < p.end {
		w.file(w.next)
	}
	changed := w.changed && !sameLines(d.lines[p.start:p.end], w.lines)
	if changed {
		for _, l := range d.lines[p.start:p.end] {
			if s := rtrim(l.text); s != "" && d.gone[s] == 0 {
				d.gone[s] = by
			}
		}
		d.changed = true
	}
	d.splice(p.start, p.end, w.lines)
	return changed
}

func sameLines(a, b []line) bool {
	return slices.EqualFunc(a, b, func(x, y line) bool { return x.text == y.text && x.eol == y.eol })
}

// partWriter builds the new lines of a part.
type partWriter struct {
	d       *doc
	p       part
	out     []string
	by      int
	lines   []line
	next    int // next line of the file that is not yet dealt with
	dropped []line
	changed bool
}

// file passes a line of the file on.
func (w *partWriter) file(i int) {
	l := w.d.lines[i]
	l.by = w.by
	w.lines = append(w.lines, l)
	w.next = i + 1
}

func (w *partWriter) keep(i int) {
	f := w.p.line(i)
	if f < 0 {
		return // a blank line that only the model has
	}
	for w.next <= f {
		w.file(w.next)
	}
	w.dropped = nil
}

// drop leaves a line out. Blank lines of the file that the block did not show go only when the
// lines on both sides go.
func (w *partWriter) drop(i int, inRun bool) {
	f := w.p.line(i)
	if f < 0 {
		return
	}
	for w.next < f {
		if inRun {
			w.next++
			w.changed = true
			continue
		}
		w.file(w.next)
	}
	w.dropped = append(w.dropped, w.d.lines[f])
	w.next = f + 1
	w.changed = true
}

// add writes a new line. In the place of a dropped one it takes over its number, so that line hints still hold.
func (w *partWriter) add(s string) {
	l := line{text: s, eol: w.d.eol(), by: w.by, new: true}
	if len(w.dropped) > 0 {
		old := w.dropped[0]
		w.dropped = w.dropped[1:]
		l.no = old.no
	}
	w.lines = append(w.lines, l)
	w.changed = true
}

// appendLines adds to the end of a file; its last line is ended first.
func (d *doc) appendLines(lines []string, by int) {
	if n := len(d.lines); n > 0 && d.lines[n-1].eol == "" {
		d.lines[n-1].eol = d.eol()
	}
	add := make([]line, len(lines))
	for i, l := range lines {
		add[i] = line{text: l, eol: d.eol(), by: by, new: true}
	}
	d.splice(len(d.lines), len(d.lines), add)
	d.endNL, d.changed = true, true
}

// list replaces the whole file. Lines that stay keep their bytes.
func (d *doc) list(lines []string, by int) {
	old := make([]string, len(d.lines))
	for i, l := range d.lines {
		old[i] = l.text
	}
	p := linear(0, old, lines, nil)
	changed := d.writePart(p, by)
	if changed || !d.existed {
		d.endNL, d.changed = true, true
	}
}
