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
	w.put("{")
	w.stack = append(w.stack, frame{kind: 'g', mode: w.pending, loose: !ok, at: len(w.out), need: max(0, w.wants-1)})
	w.pending, w.wants = 0, 0
}

func (w *weaver) closeGroup() {
	for k := len(w.stack) - 1; k >= 0; k-- {
		switch w.stack[k].kind {
		case 'g':
			w.closeTo(k+1, true)
			f := w.stack[k]
			w.stack = w.stack[:k]
			w.rights(f)
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
		if f.loose || f.kind == 'm' || f.kind == 'p' {
			w.closeTo(k, true)
			break
		}
	}
	if w.inMath() {
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

// percent tells a comment from a percent sign that somebody forgot to escape.
func (w *weaver) percent() {
	start := strings.LastIndexByte(w.s[:w.i], '\n') + 1
	before := strings.TrimRight(w.s[start:w.i], " \t")
	end := strings.IndexByte(w.s[w.i:], '\n')
	if end < 0 {
		end = len(w.s) - w.i
	}
	after := w.s[w.i+1 : w.i+end]
	switch {
	case before == "": // a comment line goes: nobody reads it, and it may hide text
		w.i += end
	case strings.TrimSpace(after) == "":
		rest := w.s[min(w.i+end, len(w.s)):]
		if w.i += end; strings.TrimSpace(rest) != "" && strings.TrimLeft(rest, " \t") != "" && !strings.HasPrefix(strings.TrimLeft(rest[1:], " \t\r"), "\n") { // it joins the lines; at the end it would swallow what we add
			w.put("%")
		}
	case strings.IndexByte("0123456789}$", before[len(before)-1]) < 0 && len(before) < w.i-start && strings.HasPrefix(after, " "):
		w.l.mended("F06", "a comment behind text was removed")
		w.i += end
	default:
		w.l.mended("F06", "a bare % was escaped")
		w.put(`\%`)
		w.i++
	}
}

func (w *weaver) tilde() {
	w.i++
	lead := len(w.out) == 0 || strings.IndexByte(" \n(", w.out[len(w.out)-1]) >= 0
	if lead && w.i < len(w.s) && (w.s[w.i] >= '0' && w.s[w.i] <= '9' || w.s[w.i] == '\\') && !w.inMath() {
		w.l.mended("F06", "a bare ~ became a sign")
		w.put(`\ensuremath{\sim}`)
		return
	}
	w.put("~")
}

// script writes a sub- or superscript; a second one on the same atom gets an empty atom of its own.
func (w *weaver) script(c byte) {
	w.i++
	if !w.inMath() {
		w.l.mended("F06", "a bare "+string(c)+" was escaped")
		w.put(map[byte]string{'_': `\_`, '^': `\textasciicircum{}`}[c])
		return
	}
	j := w.i
	for j < len(w.s) && (w.s[j] == ' ' || w.s[j] == '\n' && !blankLine.MatchString(w.s[j:min(len(w.s), j+3)])) {
		j++
	}
	if j >= len(w.s) || strings.IndexByte("}$&^_\n", w.s[j]) >= 0 || strings.HasPrefix(w.s[j:], `\end`) || strings.HasPrefix(w.s[j:], `\)`) ||
		strings.HasPrefix(w.s[j:], `\]`) || strings.HasPrefix(w.s[j:], `\\`) {
		w.l.mended("M02", "a script without text was removed")
		return
	}
	if w.atom != len(w.out) {
		w.sup, w.sub = false, false
	}
	if c == '^' && w.sup || c == '_' && w.sub {
		w.l.mended("M02", "a double script was split")
		w.put("{}")
		w.sup, w.sub = false, false
	}
	w.put(string(c))
	w.i = j
	switch {
	case w.s[j] == '{':
		w.open()
		w.stack[len(w.stack)-1].script = c
	case w.plainScript(j):
		w.step()
		w.scripted(c)
	case w.s[j] == '\\' || w.s[j] >= 0x80 || w.s[j] == '%' || w.s[j] == '#':
		before := len(w.stack)
		w.put("{")
		w.step()
		if len(w.stack) == before {
			w.put("}")
			w.scripted(c)
		} else { // the step opened something: let it close first
			w.stack = slices.Insert(w.stack, before, frame{kind: 'g', loose: true, script: c, at: len(w.out)})
		}
	default:
		w.put(w.s[j : j+1])
		w.i++
		w.scripted(c)
	}
}

func (w *weaver) scripted(c byte) {
	if c == 0 {
		return
	}
	w.sup, w.sub = w.sup || c == '^', w.sub || c == '_'
	w.atom = len(w.out)
}

// plainScript says whether the command at j is a script by itself, as in x^\top.
func (w *weaver) plainScript(j int) bool {
	if w.s[j] != '\\' {
		return false
	}
	name, _ := tex.CommandAt(w.s, j)
	return mathOnly[name] && arity[name] == 0 && name != "left" && name != "right"
}
