package tree

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// style says what a part of a line means; a terminal gives it a colour, and words always say the same.
type style int

const (
	normal style = iota
	strong       // names and states
	dim          // what can be skipped
	live         // moves, or can be typed
	warn         // waits, or is not to be trusted
	bad          // failed
)

// span is a part of a line in one style.
type span struct {
	text  string
	style style
}

// Line is one line of a terminal.
type Line []span

// Text is the line without colours.
func (l Line) Text() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return b.String()
}

// Paint gives the line with the escape codes of ECMA-48's SGR: bold, faint, and the terminal's own cyan, yellow and red, so that its palette decides how they look.
func (l Line) Paint(colour bool) string {
	if !colour {
		return l.Text()
	}
	var b strings.Builder
	for _, s := range l {
		if code := codes[s.style]; code != "" && s.text != "" {
			b.WriteString("\x1b[" + code + "m" + s.text + "\x1b[m")
		} else {
			b.WriteString(s.text)
		}
	}
	return b.String()
}

var codes = map[style]string{strong: "1", dim: "2", live: "36", warn: "33", bad: "31"}

func width(s string) int { return ansi.StringWidth(s) }

// cut shortens a line to w cells.
func (l Line) cut(w int) Line {
	if width(l.Text()) <= w {
		return l
	}
	var out Line
	left := w
	for _, s := range l {
		n := width(s.text)
		if n < left {
			out, left = append(out, s), left-n
			continue
		}
		return append(out, span{ansi.Truncate(s.text+"…", left, "…"), s.style})
	}
	return out
}

// fold breaks text at spaces into lines of at most w cells, a longer word within; the first begins with head, the others with as many spaces.
func fold(head, text string, st style, w int) []Line {
	indent := width(head)
	room := max(10, w-indent)
	var out []Line
	for i, part := range strings.Split(ansi.Wrap(text, room, ""), "\n") {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		out = append(out, Line{{head, dim}, {strings.TrimRight(part, " "), st}}.cut(w))
	}
	return out
}

// fit gives the first form that fits into w cells, else the last one.
func fit(w int, forms ...string) string {
	for _, f := range forms {
		if width(f) <= w {
			return f
		}
	}
	if len(forms) == 0 {
		return ""
	}
	return forms[len(forms)-1]
}
