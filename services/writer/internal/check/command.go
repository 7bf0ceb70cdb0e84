package check

import (
	"regexp"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

var textGroups = set("text mbox textbf textit emph texttt textsc textrm textsf footnote caption intertext textsuperscript textsubscript underline")

var oldFonts = map[string]string{"bf": `\bfseries`, "it": `\itshape`, "tt": `\ttfamily`, "sc": `\scshape`, "sl": `\itshape`, "rm": `\rmfamily`, "em": `\em`,
	"bfseries": `\bfseries`, "itshape": `\itshape`, "ttfamily": `\ttfamily`, "scshape": `\scshape`, "rmfamily": `\rmfamily`}

// command handles the backslash at w.i.
func (w *weaver) command() {
	name, end := tex.CommandAt(w.s, w.i)
	switch name {
	case "":
		w.i++
		return
	case "begin":
		w.begin()
		return
	case "end":
		w.end()
		return
	case "(", "[":
		w.i = end
		if w.inMath() {
			return
		}
		closing := map[string]string{"(": `\)`, "[": `\]`}[name]
		loose := !strings.Contains(w.s[end:], closing)
		w.put(`\` + name)
		w.stack = append(w.stack, frame{kind: map[string]byte{"(": 'p', "[": 'D'}[name], loose: loose, at: len(w.out)})
		return
	case ")", "]":
		w.i = end
		w.closeMath(name)
		return
	case `\`:
		w.lineBreak(end)
		return
	}
	if len(name) == 1 && !tex.IsLetter(name[0]) || name[0] >= 0x80 {
		w.symbol(name, end)
		return
	}
	w.word(name, end)
}

// symbol handles \% and its kin, and accents.
func (w *weaver) symbol(name string, end int) {
	switch {
	case strings.Contains("%&_#${} ,;:!-/|", name):
		if name == "|" && !w.inMath() {
			w.put(`\ensuremath{\|}`)
		} else {
			w.put(`\` + name)
		}
		w.i = end
	case name == "\n":
		w.put(`\ `)
		w.i = end
	case strings.Contains("'`\"^~=.", name):
		w.i = end
		if w.inMath() || end >= len(w.s) || !(tex.IsLetter(w.s[end]) || w.s[end] == '{' || w.s[end] == '\\') {
			w.l.mended("C01", `the accent \`+name+" had no letter and was removed")
			return
		}
		w.put(`\` + name)
	default:
		w.l.mended("C01", "an unknown command was dropped")
		w.i = end
	}
}

func (w *weaver) word(name string, end int) {
	if n, ok := rawArgs[name]; ok {
		w.raw(name, n)
		return
	}
	if n, ok := dropArgs[name]; ok && name != "section" && !w.own.Commands[name] {
		w.drop(name, n)
		return
	}
	if t, ok := oldFonts[name]; ok {
		w.put(t)
		if end < len(w.s) && tex.IsLetter(w.s[end]) {
			w.put(" ")
		}
		w.i = end
		return
	}
	switch name {
	case "section", "chapter", "part":
		w.l.mended("E05", "a section heading inside a section became a subsection")
		w.put(`\subsection`)
		w.i = end
		if w.i < len(w.s) && w.s[w.i] == '*' {
			w.i++
		}
		return
	case "verb", "lstinline":
		w.verb(end)
		return
	case "need", "compare", "cited":
		w.grammar(name, end)
		return
	case "tag", "notag", "nonumber", "intertext":
		if !w.inDisplay() {
			w.l.mended("M02", `\`+name+" outside a display was removed")
			w.i = end
			return
		}
	case "href":
		if c := tex.ReadCall(w.s, w.i, 1); len(c.Args) == 1 && !webLink.MatchString(c.Args[0]) {
			w.l.mended("C03", "a link that is neither http nor https was removed, its text kept")
			w.i = c.End
			return
		}
	case "footnote":
		if w.moving() {
			w.aside(end)
			return
		}
	case "setlength":
		if c := tex.ReadCall(w.s, w.i, 2); len(c.Args) < 2 || strings.TrimSpace(c.Args[0]) != `\tabcolsep` {
			w.drop(name, 2)
			return
		}
	case "ensuremath":
		w.put(`\ensuremath`)
		w.i = end
		w.groupMode('m', end)
		return
	case "item", "caption":
		if !w.belongs(name) {
			w.i = end
			return
		}
	case "argmin", "argmax":
		if !w.own.Commands[name] {
			op := `\operatorname*{arg\,` + name[3:] + "}"
			if !w.inMath() {
				op = `\ensuremath{` + op + "}"
			}
			w.put(op)
			w.i = end
			return
		}
	case "left", "right", "middle":
		w.delimiter(name, end)
		return
	case "multicolumn", "multirow":
		w.span(name, end)
		return
	}
	if rules[name] && !w.rule(name) {
		w.i = end
		return
	}
	if algorithmOnly[name] && !w.own.Commands[name] && !w.algorithmStep(name) {
		w.i = end
		return
	}
	if accentLetters[name] && !w.own.Commands[name] {
		w.accent(name, end)
		return
	}
	known := allowed[name] || mathOnly[name] || w.own.Commands[name]
	switch {
	case !known:
		w.l.mended("C01", `the command \`+clip(name)+" was dropped, its text kept")
		w.i = end
		if w.i < len(w.s) && w.s[w.i] == '[' {
			if _, stop, ok := tex.Group(w.s, w.i); ok {
				w.i = stop
			}
		}
	case mathOnly[name] && !w.inMath() && !w.own.Commands[name]:
		w.mathInText(name, end)
	default:
		w.put(`\` + name)
		w.i = end
		if textGroups[name] {
			w.groupMode('t', end)
		}
		w.arguments(arity[name])
	}
}

// accentLetters are accents that are named by a letter.
var accentLetters = set("b c d H k r t u v")

func (w *weaver) accent(name string, end int) {
	w.i = end
	j := tex.SkipSpace(w.s, end)
	switch {
	case w.inMath() && name == "d": // many write the differential so
		w.put(`\mathrm{d}`)
	case w.inMath() || j >= len(w.s) || !tex.IsLetter(w.s[j]) && w.s[j] != '{' && w.s[j] != '\\':
		w.l.mended("C01", `the accent \`+name+" had no letter and was removed")
	default:
		w.put(`\` + name)
	}
}

// aside writes a footnote of a heading or a caption, where none can stand, in parentheses.
func (w *weaver) aside(end int) {
	w.i = end
	j := tex.SkipSpace(w.s, end)
	inside, stop, ok := tex.Group(w.s, j)
	if !ok || j >= len(w.s) || w.s[j] != '{' {
		return
	}
	w.l.mended("C01", "a footnote in a heading or caption was put in parentheses")
	inner := &weaver{l: w.l, own: w.own, s: inside, atom: -1, stack: []frame{{kind: 'g', mode: 't', short: 'j'}}}
	for inner.i < len(inner.s) {
		inner.step()
	}
	inner.closeTo(1, true)
	w.put(" (" + strings.TrimSpace(string(inner.out)) + ")")
	w.i = stop
}

func clip(s string) string { return s[:min(len(s), 40)] }

func (w *weaver) groupMode(mode byte, at int) {
	if j := tex.SkipSpace(w.s, at); j < len(w.s) && w.s[j] == '{' {
		w.pending, w.i = mode, j
	}
}

// raw copies a command whose arguments TeX does not print as text.
func (w *weaver) raw(name string, n int) {
	c := tex.ReadCall(w.s, w.i, n)
	if len(c.Args) < n || unfit(w.s[c.Start:c.End]) || strings.ContainsAny(strings.Join(c.Args, ""), "%$#&") && name != "measured" && name != "url" {
		_, w.i = tex.CommandAt(w.s, w.i)
		if name == "measured" || name == "setting" || name == "counted" { // it prints a gap, and goes back to the model
			w.put(`\` + name + "{}")
			return
		}
		w.l.mended("R01", `\`+name+" without a proper argument was removed")
		return
	}
	if rules[name] && !w.rule(name) {
		w.i = c.End
		return
	}
	if name == "url" && !webLink.MatchString(c.Args[0]) {
		w.l.mended("C03", "a link that is neither http nor https was removed")
		w.i = c.End
		return
	}
	w.put(escapePercent(w.s[c.Start:c.End]))
	w.i = c.End
}

var webLink = regexp.MustCompile(`^\s*https?://`)

// unfit says whether raw arguments hold what they cannot: paragraphs, environments.
func unfit(s string) bool {
	return blankLine.MatchString(s) || strings.Contains(s, `\begin`) || strings.Contains(s, `\end`)
}

// escapePercent escapes per cents that would make a comment of the rest of the line.
func escapePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			b.WriteByte(s[i])
			i++
		case s[i] == '%':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (w *weaver) drop(name string, n int) {
	id := "C01"
	switch name {
	case "color", "textcolor", "phantom", "hphantom", "vphantom", "colorbox", "fontsize":
		id = "C03"
	}
	w.l.mended(id, `\`+name+" was removed")
	w.i = max(tex.ReadCall(w.s, w.i, n).End, w.i+1+len(name))
}

func (w *weaver) verb(end int) {
	if end < len(w.s) && w.s[end] != '\n' {
		if j := strings.IndexByte(w.s[end+1:], w.s[end]); j >= 0 && !strings.Contains(w.s[end:end+1+j], "\n") {
			w.put(`\texttt{` + tex.Escape(w.s[end+1:end+1+j]) + "}")
			w.i = end + j + 2
			return
		}
	}
	w.i = end
}

// grammar copies the writer's own macros of several groups; the last group of cited and compare is text.
func (w *weaver) grammar(name string, end int) {
	n := map[string]int{"need": 2, "compare": 2, "cited": 1}[name]
	c := tex.ReadCall(w.s, w.i, n)
	if len(c.Args) < n || unfit(w.s[c.Start:c.End]) {
		w.l.mended("C01", `\`+name+" without its arguments was removed")
		w.i = end
		return
	}
	w.put(escapePercent(w.s[c.Start:c.End]))
	w.i = c.End
	if name != "need" {
		w.groupMode('t', c.End)
	}
}

// belongs says whether \item or \caption stands where it may.
func (w *weaver) belongs(name string) bool {
	for k := len(w.stack) - 1; k >= 0; k-- {
		f := &w.stack[k]
		if f.kind != 'e' {
			continue
		}
		if name == "item" && isList(f.name) {
			w.closeTo(k+1, true)
			return true
		}
		if name == "caption" && (floatEnvs[f.name] || f.name == "subfigure") {
			return true
		}
	}
	if name == "item" {
		w.l.mended("E03", `\item outside a list was removed`)
	} else {
		w.l.mended("G06", `\caption outside a float became text`)
	}
	return false
}

func isList(name string) bool {
	return name == "itemize" || name == "enumerate" || name == "description"
}
