package check

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"nullius.dev/services/writer/internal/tex"
)

// Known is what a template's preamble defines beside the common commands.
type Known struct {
	Commands     map[string]bool
	Environments map[string]bool
}

// frame is something open: a group, an environment, mathematics.
type frame struct {
	kind   byte // g group, e environment, d dropped environment, m $…$, p \(…\), D \[…\]
	name   string
	mode   byte // of a group: 't' text, 'm' mathematics, 0 as around it
	script byte // '^' or '_': the group is a script
	loose  bool // it never closes: it is closed at the end of the paragraph
	auto   bool // its mathematics was opened by us
	at     int  // offset in the output behind its opening
	spec   int  // offset in the output of the end of a column specification
	cols   int
	cells  int
	most   int
	lefts  int
	need   int // groups that the command in front still needs behind this one
	alias  string
	blocks []string // of an algorithm: what is open
	short  byte     // the group cannot hold a paragraph: 's' of a style, 'h' of a heading, 'j' of a caption
	head   int      // offset in the output of the command that the group belongs to
}

type weaver struct {
	l        *List
	own      Known
	s        string
	i        int
	out      []byte
	stack    []frame
	pending  byte // mode of the group that comes next
	wants    int  // groups that the command just written needs
	sup, sub bool // scripts of the atom that ends at atom
	atom     int
}

// Structure makes a body balanced: every group, environment and formula closes, only allowed commands stay, special characters are escaped. What
// is clean keeps its bytes, and a second pass changes nothing.
func (l *List) Structure(s string, own Known) string {
	s = l.translate(l.unwrapTables(s), own)
	w := &weaver{l: l, own: own, s: s, atom: -1}
	for w.i < len(w.s) {
		at := w.i
		if w.step(); w.i <= at {
			w.i = at + 1
		}
	}
	w.closeTo(0, true)
	return string(w.out)
}

// put writes. Where something was dropped behind a command, letters must not become part of its name.
func (w *weaver) put(s string) {
	if s != "" && tex.IsLetter(s[0]) && endsInCommand(w.out) {
		w.out = append(w.out, ' ')
	}
	w.out = append(w.out, s...)
}

func endsInCommand(out []byte) bool {
	i := len(out)
	for i > 0 && tex.IsLetter(out[i-1]) && len(out)-i < 60 {
		i--
	}
	if i == len(out) {
		return false
	}
	slashes := 0
	for i > 0 && out[i-1] == '\\' {
		i--
		slashes++
	}
	return slashes%2 == 1
}

func (w *weaver) step() {
	switch c := w.s[w.i]; c {
	case '\\':
		w.command()
	case '{':
		w.open()
	case '}':
		w.i++
		w.closeGroup()
	case '$':
		w.dollar()
	case '&':
		w.i++
		w.ampersand()
	case '%':
		w.percent()
	case '#':
		w.i++
		w.l.mended("F06", "a bare # was escaped")
		w.put(`\#`)
	case '_', '^':
		w.script(c)
	case '~':
		w.tilde()
	case '\n':
		w.newline()
	default:
		if c < 0x80 {
			w.put(w.s[w.i : w.i+1])
			w.i++
			return
		}
		_, n := utf8.DecodeRuneInString(w.s[w.i:])
		t, dropped := tex.Unicode(w.s[w.i:w.i+n], w.inMath())
		if dropped > 0 && w.otherScript() {
			return
		}
		if dropped > 0 {
			w.l.mended("F05", "characters that the fonts lack were dropped")
		} else {
			w.l.mended("F05", "Unicode characters became LaTeX")
		}
		if w.inMath() && strings.HasPrefix(t, `\text`) {
			t = "{" + t + "}"
		}
		w.put(t)
		w.i += n
	}
}

func (w *weaver) inMath() bool {
	for k := len(w.stack) - 1; k >= 0; k-- {
		switch f := w.stack[k]; f.kind {
		case 'm', 'p', 'D':
			return true
		case 'e':
			if environments[f.name] {
				return true
			}
			return false
		case 'g':
			if f.mode != 0 {
				return f.mode == 'm'
			}
		}
	}
	return false
}

// environment returns the innermost open environment.
func (w *weaver) environment() *frame {
	for k := len(w.stack) - 1; k >= 0; k-- {
		if w.stack[k].kind == 'e' {
			return &w.stack[k]
		}
	}
	return nil
}

func (w *weaver) open() {
	_, _, ok := tex.Group(w.s, w.i)
	w.i++
	short, head := w.argumentOf()
	w.put("{")
	w.stack = append(w.stack, frame{kind: 'g', mode: w.pending, loose: !ok, at: len(w.out), need: max(0, w.wants-1), short: short, head: head})
	w.pending, w.wants = 0, 0
}

var shortCommand = regexp.MustCompile(`\\(text[a-z]{2,}|emph|underline|mbox|text|(?:sub){1,2}section|(?:sub)?paragraph|caption)\*?[ \t]*(?:\[[^\[\]]*\])?\s*$`)

// argumentOf says what kind of command the group that opens now belongs to, and where that command stands.
func (w *weaver) argumentOf() (short byte, head int) {
	from := max(0, len(w.out)-200)
	m := shortCommand.FindSubmatchIndex(w.out[from:])
	if m == nil {
		return 0, 0
	}
	switch name := string(w.out[from+m[2] : from+m[3]]); {
	case name == "caption":
		short = 'j'
	case strings.HasSuffix(name, "section"), strings.HasSuffix(name, "paragraph"):
		short = 'h'
	default:
		short = 's'
	}
	return short, from + m[0]
}

// moving says whether the text goes into a heading or a caption.
func (w *weaver) moving() bool {
	return slices.ContainsFunc(w.stack, func(f frame) bool { return f.short == 'h' || f.short == 'j' })
}

func (w *weaver) closeGroup() {
	for k := len(w.stack) - 1; k >= 0; k-- {
		switch w.stack[k].kind {
		case 'g':
			w.closeTo(k+1, true)
			f := w.stack[k]
			w.stack = w.stack[:k]
			w.rights(f)
			if f.short == 'h' && strings.TrimSpace(string(w.out[f.at:])) == "" {
				w.l.mended("E05", "a heading without words was removed")
				w.out = w.out[:f.head]
				return
			}
			w.put("}")
			w.arguments(f.need)
			w.scripted(f.script)
			return
		case 'e', 'D', 'p':
			w.l.mended("E04", "a closing brace without its opening one was removed")
			return
		}
	}
	w.l.mended("E04", "a closing brace without its opening one was removed")
}

// closeTo closes what is open above depth n.
func (w *weaver) closeTo(n int, note bool) {
	for len(w.stack) > n {
		f := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		w.rights(f)
		switch f.kind {
		case 'g':
			w.put("}" + strings.Repeat("{}", f.need))
			if note {
				w.l.mended("E04", "a brace that never closed was closed")
			}
		case 'm':
			w.put("$")
			w.l.mended("M01", "mathematics that stayed open was closed")
		case 'p':
			w.put(`\)`)
			w.l.mended("M01", "mathematics that stayed open was closed")
		case 'D':
			w.put(`\]`)
			if !f.auto {
				w.l.mended("M01", "mathematics that stayed open was closed")
			}
		case 'e':
			w.l.mended("E01", "the environment "+f.name+" was closed")
			w.endEnvironment(f)
		}
	}
}

func (w *weaver) rights(f frame) {
	for range min(f.lefts, 20) {
		w.put(`\right.`)
		w.l.mended("M02", `a lone \left was completed`)
	}
}

// newline copies line breaks; a blank line ends what must not run over it.
func (w *weaver) newline() {
	j, lines := w.i, 0
	for j < len(w.s) && strings.IndexByte(" \t\r\n", w.s[j]) >= 0 {
		if w.s[j] == '\n' {
			lines++
		}
		j++
	}
	if lines < 2 {
		w.put(w.s[w.i:j])
		w.i = j
		return
	}
	for k, f := range w.stack {
		if f.loose || f.kind == 'm' || f.kind == 'p' || f.short == 's' || f.short == 'h' {
			w.closeTo(k, true)
			break
		}
	}
	if w.moving() {
		w.put("\n")
	} else if w.inMath() {
		w.l.mended("M02", "a blank line in a formula was removed")
		w.put("\n")
	} else {
		w.put(w.s[w.i:j])
	}
	w.i = j
}

// paragraphRest is the text from i to the end of the paragraph.
func (w *weaver) paragraphRest(i int) string {
	rest := w.s[i:]
	if m := blankLine.FindStringIndex(rest); m != nil {
		rest = rest[:m[0]]
	}
	return rest
}

var blankLine = regexp.MustCompile(`\n[ \t\r]*\n`)

func (w *weaver) dollar() {
	double := strings.HasPrefix(w.s[w.i:], "$$")
	for k := len(w.stack) - 1; k >= 0; k-- {
		f := w.stack[k]
		if f.kind == 'e' || f.kind == 'g' && f.mode == 't' {
			break
		}
		if f.kind != 'm' && f.kind != 'D' && f.kind != 'p' {
			continue
		}
		w.closeTo(k+1, true)
		w.stack = w.stack[:k]
		w.rights(f)
		w.i++
		if double && f.kind == 'D' {
			w.i++
		}
		w.put(map[byte]string{'m': "$", 'D': `\]`, 'p': `\)`}[f.kind])
		return
	}
	if w.inMath() {
		w.i++
		w.l.mended("M01", "a $ inside a formula was removed")
		return
	}
	if double {
		w.i += 2
		if !strings.Contains(w.paragraphRest(w.i), "$$") {
			w.l.mended("M01", "a lone $$ was removed")
			return
		}
		w.put(`\[`)
		w.stack = append(w.stack, frame{kind: 'D', at: len(w.out)})
		return
	}
	w.i++
	rest := w.paragraphRest(w.i)
	currency := w.i > 1 && w.s[w.i-2] >= '0' && w.s[w.i-2] <= '9' && (rest == "" || rest[0] == ' ') && dollars(rest)%2 == 0
	if currency || dollars(rest) == 0 {
		w.l.mended("M01", "a $ without its partner was escaped")
		w.put(`\$`)
		return
	}
	w.put("$")
	w.stack = append(w.stack, frame{kind: 'm', at: len(w.out)})
}

func dollars(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '$':
			n++
		}
	}
	return n
}

func (w *weaver) ampersand() {
	if e := w.environment(); e != nil && alignedEnvs[e.name] {
		e.cells++
		w.put("&")
		return
	}
	if w.inMath() {
		w.l.mended("M02", "an & in a formula that is not aligned was removed")
		return
	}
	w.l.mended("F06", "a bare & was escaped")
	w.put(`\&`)
}
