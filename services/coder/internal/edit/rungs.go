package edit

import "strings"

// findIndentShift is L4: one prefix added to, or removed from, every line that is not blank explains the file.
func findIndentShift(t *try) []hit {
	var out []hit
	for _, i := range t.d.places(indexAll(t.d.view(normTrim), normTrim.all(t.search))) {
		prefix, add, ok := shiftAt(t.d, i, t.search)
		if !ok {
			continue
		}
		if w, ok := shift(t.replace, prefix, add); ok {
			out = append(out, hit{parts: []part{linear(i, t.search, t.replace, w)}})
		}
	}
	return out
}

func shiftAt(d *doc, i int, search []string) (prefix string, add, ok bool) {
	set := false
	for k, s := range search {
		if isBlank(s) {
			continue
		}
		fi, si := indentOf(d.lines[i+k].text), indentOf(s)
		var p string
		var a bool
		switch {
		case strings.HasSuffix(fi, si) && len(fi) > len(si):
			p, a = fi[:len(fi)-len(si)], true
		case strings.HasSuffix(si, fi) && len(si) > len(fi):
			p, a = si[:len(si)-len(fi)], false
		default:
			return "", false, false
		}
		if set && (p != prefix || a != add) {
			return "", false, false
		}
		prefix, add, set = p, a, true
	}
	return prefix, add, set
}

func shift(lines []string, prefix string, add bool) ([]string, bool) {
	out := make([]string, len(lines))
	for i, l := range lines {
		switch {
		case isBlank(l):
			out[i] = l
		case add:
			out[i] = prefix + l
		default:
			rest, ok := strings.CutPrefix(l, prefix)
			if !ok {
				return nil, false
			}
			out[i] = rest
		}
	}
	return out, true
}

// findFirstLine is L4b: only the first line lost its indent.
func findFirstLine(t *try) []hit {
	if len(t.search) < 2 || len(t.replace) == 0 || isBlank(t.search[0]) || isBlank(t.replace[0]) {
		return nil
	}
	si := indentOf(t.search[0])
	if indentOf(t.replace[0]) != si {
		return nil
	}
	first := normTrim.line(t.search[0])
	var out []hit
	for _, j := range t.d.places(indexAll(t.d.view(normRight), normRight.all(t.search[1:]))) {
		if j == 0 || t.d.view(normTrim)[j-1] != first {
			continue
		}
		fi := indentOf(t.d.lines[j-1].text)
		if len(fi) <= len(si) || !strings.HasSuffix(fi, si) {
			continue
		}
		w := append([]string{fi + t.replace[0][len(si):]}, t.replace[1:]...)
		out = append(out, hit{parts: []part{linear(j-1, t.search, t.replace, w)}})
	}
	return out
}

// findIndentStyle is L5: both sides indent in their own unit; the levels differ by a constant.
func findIndentStyle(t *try) []hit {
	unit := indentUnit(append(append([]string(nil), t.search...), t.replace...))
	if unit == "" {
		return nil
	}
	var out []hit
	fileUnit, known := "", false
	for _, i := range t.d.places(indexAll(t.d.view(normTrim), normTrim.all(t.search))) {
		if !known {
			fileUnit, known = t.d.indentUnit(), true
		}
		diff, ok := levelShift(t.d, i, t.search, unit, fileUnit)
		if !ok {
			continue
		}
		w := make([]string, len(t.replace))
		for k, l := range t.replace {
			if isBlank(l) {
				w[k] = l
				continue
			}
			n, whole := levels(indentOf(l), unit)
			if !whole || n+diff < 0 {
				ok = false
				break
			}
			w[k] = strings.Repeat(fileUnit, n+diff) + strings.TrimLeft(l, " \t")
		}
		if ok {
			out = append(out, hit{parts: []part{linear(i, t.search, t.replace, w)}})
		}
	}
	return out
}

func levelShift(d *doc, i int, search []string, unit, fileUnit string) (int, bool) {
	diff, set := 0, false
	for k, s := range search {
		if isBlank(s) {
			continue
		}
		a, okA := levels(indentOf(d.lines[i+k].text), fileUnit)
		b, okB := levels(indentOf(s), unit)
		if !okA || !okB || set && a-b != diff {
			return 0, false
		}
		diff, set = a-b, true
	}
	return diff, set
}

// levels counts units in an indent; false when it is no multiple.
func levels(indent, unit string) (int, bool) {
	if indent == "" {
		return 0, true
	}
	if unit == "" {
		return 0, false
	}
	n := len(indent) / len(unit)
	return n, strings.Repeat(unit, n) == indent
}

// indentUnit is a tab, or the greatest common divisor of the spaces; "" when there is none or they mix.
func indentUnit(lines []string) string {
	tabs, gcd := false, 0
	for _, l := range lines {
		in := indentOf(l)
		if isBlank(l) || in == "" {
			continue
		}
		if strings.Contains(in, "\t") {
			if strings.Contains(in, " ") {
				return ""
			}
			tabs = true
			continue
		}
		for a, b := gcd, len(in); ; a, b = b, a%b {
			if a == 0 {
				gcd = b
				break
			}
			if b == 0 {
				gcd = a
				break
			}
		}
	}
	switch {
	case tabs && gcd > 0:
		return ""
	case tabs:
		return "\t"
	}
	return strings.Repeat(" ", gcd)
}

// indentUnit of a file: a tab, or its smallest indent of 2 or more spaces.
func (d *doc) indentUnit() string {
	tabs, spaces := 0, 0
	for _, l := range d.lines {
		in := indentOf(l.text)
		switch {
		case in == "" || isBlank(l.text):
		case in[0] == '\t':
			tabs++
		case len(in) >= 2 && !strings.Contains(in, "\t") && (spaces == 0 || len(in) < spaces):
			spaces = len(in)
		}
	}
	switch {
	case tabs > 0 && spaces > 0:
		return ""
	case tabs > 0:
		return "\t"
	}
	return strings.Repeat(" ", spaces)
}

// findTypographic is L6.
func findTypographic(t *try) []hit {
	w := make([]string, len(t.replace))
	for i, l := range t.replace {
		w[i] = plainIndent(l)
	}
	var out []hit
	for _, i := range t.d.places(indexAll(t.d.view(normTypo), normTypo.all(t.search))) {
		out = append(out, hit{parts: []part{linear(i, t.search, t.replace, w)}})
	}
	return out
}

// findBlankDrift is L7: the lines that are not blank agree, the blank ones differ.
func findBlankDrift(t *try) []hit {
	var needle []string
	var which []int
	for i, l := range normRight.all(t.search) {
		if l != "" {
			needle, which = append(needle, l), append(which, i)
		}
	}
	if len(needle) < 2 {
		return nil
	}
	var out []hit
	hay, where := t.d.sparse().lines, t.d.sparse().at
	found := indexAll(hay, needle)
	for _, j := range found[:min(len(found), maxPlaces)] {
		at := make([]int, len(t.search))
		for k := range at {
			at[k] = -1
		}
		for k, s := range which {
			at[s] = where[j+k]
		}
		out = append(out, hit{parts: []part{{start: where[j], end: where[j+len(needle)-1] + 1, search: t.search, replace: t.replace, at: at}}})
	}
	return out
}

// findElision is L8: the block is cut at elision lines and matched part by part, in order.
func findElision(t *try) []hit {
	s, r := cutElisions(t.search), cutElisions(t.replace)
	if len(s) < 2 || len(s) != len(r) {
		return nil
	}
	file := t.d.view(normRight)
	var h hit
	from := 0
	for k := range s {
		u := text{s[k], r[k]}.edges()
		if len(u.search) == 0 {
			if len(u.replace) > 0 {
				return nil
			}
			continue
		}
		at := indexAll(file[from:], normRight.all(u.search))
		switch {
		case len(at) == 0:
			return nil
		case len(at) > 1:
			t.unclear = true
			return nil
		}
		p := linear(from+at[0], u.search, u.replace, nil)
		h.parts = append(h.parts, p)
		from = p.end
	}
	if len(h.parts) == 0 {
		return nil
	}
	return []hit{h}
}

func cutElisions(lines []string) [][]string {
	out := [][]string{nil}
	for _, l := range lines {
		if is, _ := elision(l); is {
			out = append(out, nil)
			continue
		}
		out[len(out)-1] = append(out[len(out)-1], l)
	}
	return out
}
