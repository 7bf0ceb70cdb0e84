package edit

import "strings"

// CutOff is the report of a reply that ended at its length limit though it happens to parse. Its sound blocks are kept.
func CutOff(t Tree, before Report, reply string, p Policy) Report {
	r := Report{Status: Malformed, Problem: "the reply was cut off at its length limit", Cut: true, kept: before.kept}
	r.keepHead(t, before, reply, p)
	return r
}

// minOverlap is how much of a cut line must come again, in bytes without edge blanks, to be more than chance.
const minOverlap = 4

// Join puts the continuation of a reply behind the place where that was cut off. Only an exact overlap joins them: the
// continuation begins with the last line of the cut reply, whole or as far as it went.
func Join(cut, more string) (string, bool) {
	more = strings.TrimLeft(WithoutReasoning(more), "\n")
	lines := strings.SplitAfter(more, "\n")
	if _, ok := parseFence(strings.TrimRight(lines[0], "\n")); ok && len(lines) > 1 && !strings.HasSuffix(strings.TrimRight(cut, "\n"), strings.TrimRight(lines[0], "\n")) {
		more = strings.Join(lines[1:], "") // a fence that is only the continuation's own
	}
	cut = strings.TrimRight(strings.ReplaceAll(cut, "\r\n", "\n"), "\n")
	last := cut[strings.LastIndexByte(cut, '\n')+1:]
	if len(strings.TrimSpace(last)) < minOverlap || !strings.HasPrefix(more, last) {
		return "", false
	}
	return cut[:len(cut)-len(last)] + more, true
}

// GoOn puts what a model wrote behind the beginning of its answer that it was given. Most models go on where that ends; some begin its last line, or
// all of it, again.
func GoOn(begun, more string) string {
	last := begun[strings.LastIndexByte(begun, '\n')+1:]
	switch {
	case strings.HasPrefix(more, begun):
		return more
	case len(strings.TrimSpace(last)) >= minOverlap && strings.HasPrefix(more, last):
		return begun[:len(begun)-len(last)] + more
	}
	return begun + more
}
