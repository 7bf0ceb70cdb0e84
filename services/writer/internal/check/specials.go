package check

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"nullius.dev/services/writer/internal/tex"
)

// OtherScript stands where words could not be printed, so that no sentence closes over them unseen.
const OtherScript = "[text in another script]"

// otherScript puts one note in place of words in a script that the fonts lack. It says whether there were any.
func (w *weaver) otherScript() bool {
	letters, end := 0, w.i
	for at := w.i; at < len(w.s); {
		c, n := utf8.DecodeRuneInString(w.s[at:])
		_, dropped := tex.Unicode(w.s[at:at+n], false)
		if unicode.IsLetter(c) && dropped > 0 {
			letters, end = letters+1, at+n
		} else if c != ' ' && (c < 0x80 || dropped == 0 && !unicode.IsPunct(c) && !unicode.IsMark(c)) {
			break
		}
		at += n
	}
	if letters < 2 {
		return false
	}
	w.l.mended("F05", "words in a script that the fonts lack were left out")
	w.i = end
	if w.inMath() {
		return true
	}
	if n := len(w.out); n > 0 && w.out[n-1] != ' ' && w.out[n-1] != '\n' {
		w.put(" ")
	}
	w.put(OtherScript)
	if end < len(w.s) && w.s[end] != ' ' && w.s[end] != '\n' {
		w.put(" ")
	}
	return true
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
	case strings.TrimSpace(after) == "": // it joins the lines
		rest := strings.TrimLeft(strings.TrimPrefix(w.s[min(w.i+end, len(w.s)):], "\n"), " \t")
		if w.i += end; !strings.HasPrefix(rest, "\n") {
			w.i = len(w.s) - len(rest)
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
