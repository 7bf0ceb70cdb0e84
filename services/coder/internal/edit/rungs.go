package edit

import (
	"fmt"
	"regexp"
	"strings"
)

// findIndentShift is L4: one prefix added to, or removed from, every line that is not blank explains the file.
func findIndentShift(t *try) []hit {
	var out []hit
	for _, i := range indexAll(t.d.view(normTrim), normTrim.all(t.search)) {
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
	for _, j := range indexAll(t.d.view(normRight), normRight.all(t.search[1:])) {
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
	for _, i := range indexAll(t.d.view(normTrim), normTrim.all(t.search)) {
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
	for _, i := range indexAll(t.d.view(normTypo), normTypo.all(t.search)) {
		out = append(out, hit{parts: []part{linear(i, t.search, t.replace, w)}})
	}
	return out
}

// findBlankDrift is L7: the lines that are not blank agree, the blank ones differ.
func findBlankDrift(t *try) []hit {
	var hay, needle []string
	var where, which []int
	for i, l := range t.d.view(normRight) {
		if l != "" {
			hay, where = append(hay, l), append(where, i)
		}
	}
	for i, l := range normRight.all(t.search) {
		if l != "" {
			needle, which = append(needle, l), append(which, i)
		}
	}
	if len(needle) < 2 {
		return nil
	}
	var out []hit
	for _, j := range indexAll(hay, needle) {
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

// findPartialLine is L9: one line each, found within exactly one line.
func findPartialLine(t *try) []hit {
	if len(t.search) != 1 || len(t.replace) != 1 || visible(t.search) < 8 {
		return nil
	}
	s := rtrim(t.search[0])
	var out []hit
	for i, l := range t.d.lines {
		for from := 0; from < len(l.text) && len(out) < 3; {
			k := strings.Index(l.text[from:], s)
			if k < 0 {
				break
			}
			k += from
			now := l.text[:k] + t.replace[0] + l.text[k+len(s):]
			out = append(out, hit{parts: []part{linear(i, []string{l.text}, []string{now}, nil)}})
			from = k + 1
		}
	}
	return out
}

// maxNear bounds the places that are compared character by character.
const maxNear = 64

// findNear is L10: first and last line agree, few lines between are a little different.
func findNear(t *try) []hit {
	n := len(t.search)
	if n < 3 || visible(t.search) < 40 {
		return nil
	}
	filled := 0
	for _, l := range t.search {
		if !isBlank(l) {
			filled++
		}
	}
	if filled < 3 {
		return nil
	}
	file, want := t.d.view(normRight), normRight.all(t.search)
	var out []hit
	for i, tried := 0, 0; i+n <= len(file); i++ {
		if file[i] != want[0] || file[i+n-1] != want[n-1] {
			continue
		}
		if tried++; tried > maxNear {
			break
		}
		if warn, ok := near(file[i:i+n], want, max(1, n/10)); ok {
			out = append(out, hit{parts: []part{linear(i, t.search, t.replace, nil)}, warn: warn})
		}
	}
	return out
}

func near(file, want []string, allowed int) (warn string, ok bool) {
	differ := 0
	for k := range want {
		if file[k] == want[k] {
			continue
		}
		if differ++; differ > allowed {
			return "", false
		}
		a, b := normTrim.line(file[k]), normTrim.line(want[k])
		if indentOf(file[k]) != indentOf(want[k]) || similarity(a, b) < 0.85 {
			return "", false
		}
		warn = fmt.Sprintf("line %d of SEARCH is %q but the file has %q; the file's line was kept unless you changed it", k+1, clip(b, 120), clip(a, 120))
	}
	return warn, differ > 0
}

var fenceOnlyRE = regexp.MustCompile("^\\s*(?:`{3,}|~{3,})[A-Za-z0-9_+.-]*\\s*$")

// unwrapFence is L11: SEARCH lies in a fence that it does not need.
func unwrapFence(t text) (text, bool) {
	u := t.edges()
	n := len(u.search)
	if n < 3 || !fenceOnlyRE.MatchString(u.search[0]) || !fenceOnlyRE.MatchString(u.search[n-1]) {
		return text{}, false
	}
	r := u.replace
	if m := len(r); m >= 2 && fenceOnlyRE.MatchString(r[0]) && fenceOnlyRE.MatchString(r[m-1]) {
		r = r[1 : m-1]
	}
	return text{u.search[1 : n-1], r}, true
}

var numberRE = regexp.MustCompile(`^\s*\d{1,7}(?: ?\| ?|: ?|\t)`)

// stripNumbers is L12: line numbers were copied into the block.
func stripNumbers(t text) (text, bool) {
	strip := func(lines []string, must bool) ([]string, bool) {
		out, some := make([]string, len(lines)), false
		for i, l := range lines {
			m := numberRE.FindString(l)
			if m == "" && must && !isBlank(l) {
				return nil, false
			}
			out[i], some = l[len(m):], some || m != ""
		}
		return out, some
	}
	s, ok := strip(t.search, true)
	if !ok {
		return text{}, false
	}
	r, _ := strip(t.replace, false)
	return text{s, r}, true
}
