package edit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// findPartialLine is L9: one line each, found within exactly one line.
func findPartialLine(t *try) []hit {
	if len(t.search) != 1 || len(t.replace) != 1 || visible(t.search) < 8 {
		return nil
	}
	s, with := t.search[0], t.replace[0]
	if rtrim(s) != s && !slices.ContainsFunc(t.d.lines, func(l line) bool { return strings.Contains(l.text, s) }) {
		s, with = rtrim(s), rtrim(with)
	}
	var out []hit
	for i, l := range t.d.lines {
		for from := 0; from < len(l.text) && len(out) < 3; {
			k := strings.Index(l.text[from:], s)
			if k < 0 {
				break
			}
			k += from
			now := l.text[:k] + with + l.text[k+len(s):]
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

var numberRE = regexp.MustCompile(`^\s*\d{1,7}(?: ?(\|) ?|(:) ?|(\t))`)

// stripNumbers is L12: line numbers were copied into SEARCH. REPLACE loses them too where it begins with one of the same
// form; else a number in it is its own, such as a dictionary's key.
func stripNumbers(t text) (text, bool) {
	mark := ""
	s := make([]string, len(t.search))
	for i, l := range t.search {
		head, m := number(l)
		switch {
		case isBlank(l):
			s[i] = l
			continue
		case head == "" || mark != "" && m != mark:
			return text{}, false
		}
		s[i], mark = l[len(head):], m
	}
	r := t.replace
	for _, l := range t.replace {
		if isBlank(l) {
			continue
		}
		if _, m := number(l); m != mark {
			return text{s, r}, mark != ""
		}
		break
	}
	r = make([]string, len(t.replace))
	for i, l := range t.replace {
		if head, m := number(l); m == mark {
			l = l[len(head):]
		}
		r[i] = l
	}
	return text{s, r}, mark != ""
}

// number gives a line's number with what parts it from the text, and that mark.
func number(l string) (head, mark string) {
	m := numberRE.FindStringSubmatch(l)
	if m == nil {
		return "", ""
	}
	return m[0], m[1] + m[2] + m[3]
}
