package check

import (
	"regexp"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

// foreign are commands of packages that a paper does not load, and what says the same with those that it does. A template's own definition wins.
var foreign = map[string]string{
	// biblatex
	"parencite": `\citep`, "Parencite": `\citep`, "autocite": `\citep`, "Autocite": `\citep`, "footcite": `\citep`, "smartcite": `\citep`,
	"supercite": `\citep`, "onlinecite": `\citep`, "Citep": `\citep`, "textcite": `\citet`, "Textcite": `\citet`, "Citet": `\citet`,
	// cleveref, varioref, subcaption and what people define for themselves
	"nameref": `\ref`, "vref": `\ref`, "Vref": `\ref`, "subref": `\ref`, "labelcref": `\ref`, "figref": `\ref`, "tabref": `\ref`, "secref": `\ref`,
	// algorithmic, whose names algpseudocode spells otherwise
	"STATE": `\State`, "IF": `\If`, "ELSE": `\Else`, "ELSIF": `\ElsIf`, "ENDIF": `\EndIf`, "FOR": `\For`, "FORALL": `\ForAll`, "ENDFOR": `\EndFor`,
	"WHILE": `\While`, "ENDWHILE": `\EndWhile`, "REPEAT": `\Repeat`, "UNTIL": `\Until`, "REQUIRE": `\Require`, "ENSURE": `\Ensure`,
	"RETURN": `\State \Return`, "COMMENT": `\Comment`, "PRINT": `\State `, "INPUT": `\Require`, "OUTPUT": `\Ensure`, "Input": `\Require`, "Output": `\Ensure`,
	// mathematics
	"R": `\mathbb{R}`, "N": `\mathbb{N}`, "Z": `\mathbb{Z}`, "Q": `\mathbb{Q}`, "C": `\mathbb{C}`, "E": `\mathbb{E}`, "bold": `\mathbf`, "mathbbm": `\mathbb`,
	"mathds": `\mathbb`, "sgn": `\operatorname{sgn}`, "sign": `\operatorname{sign}`, "softmax": `\operatorname{softmax}`, "Var": `\operatorname{Var}`,
	"Cov": `\operatorname{Cov}`, "tr": `\operatorname{tr}`, "Tr": `\operatorname{Tr}`, "diag": `\operatorname{diag}`, "rank": `\operatorname{rank}`,
	"supp": `\operatorname{supp}`, "KL": `\operatorname{KL}`, "ReLU": `\operatorname{ReLU}`, "relu": `\operatorname{ReLU}`,
	// signs and short forms
	"textpercent": `\%`, "textdegree": `\ensuremath{^{\circ}}`, "degree": `\ensuremath{^{\circ}}`, "textmu": `\ensuremath{\mu}`,
	"texttimes": `\ensuremath{\times}`, "textpm": `\ensuremath{\pm}`, "textemdash": "---", "textendash": "--", "textellipsis": `\ldots{}`,
	"ie": "i.e.", "eg": "e.g.", "etal": "et al.", "etc": "etc.", "wrt": "w.r.t.", "iid": "i.i.d.",
	"todo": "TODO ", "TODO": "TODO ", "fixme": "FIXME ",
}

// translate writes foreign commands in those that a paper has.
func (l *List) translate(s string, own Known) string {
	masked := tex.Mask(s)
	var b strings.Builder
	last := 0
	for i := 0; i < len(masked); {
		if masked[i] != '\\' {
			i++
			continue
		}
		name, end := tex.CommandAt(masked, i)
		if other, ok := foreign[name]; ok && !own.Commands[name] {
			l.mended("C01", `\`+name+" was read as "+strings.TrimSpace(other))
			b.WriteString(s[last:i] + other)
			if tex.IsLetter(other[len(other)-1]) && strings.HasPrefix(other, `\`) && end < len(s) && tex.IsLetter(s[end]) {
				b.WriteByte(' ')
			}
			last = end
		}
		i = end
	}
	return b.String() + s[last:]
}

// foreignEnvironments are read as the one that comes nearest; the number is that of groups to skip behind \begin{…}.
var foreignEnvironments = map[string]struct {
	name string
	skip int
}{
	"longtable": {"tabular", 0}, "supertabular": {"tabular", 0}, "tabu": {"tabular", 0}, "tabulary": {"tabularx", 0}, "xltabular": {"tabularx", 0},
	"wrapfigure": {"figure", 2}, "wraptable": {"table", 2}, "sidewaysfigure": {"figure", 0}, "sidewaystable": {"table", 0}, "algorithm*": {"algorithm", 0},
	"dcases": {"cases", 0}, "compactitem": {"itemize", 0}, "compactenum": {"enumerate", 0}, "inparaenum": {"enumerate", 0},
	"adjustbox": {"", 1}, "multicols": {"", 1}, "spacing": {"", 1}, "threeparttable": {"", 0}, "tcolorbox": {"", 0}, "mdframed": {"", 0}, "landscape": {"", 0},
}

// drawn are environments whose content means nothing without their package: they go whole.
var drawn = set("tikzpicture pgfpicture axis picture pspicture forest circuitikz tikzcd asy thebibliography comment filecontents filecontents*")

// code are environments that print their content as it stands.
var code = set("verbatim verbatim* lstlisting minted Verbatim alltt semiverbatim")

// drop leaves an environment out with all that is in it.
func (w *weaver) dropEnvironment(name string) {
	w.l.mended("E02", "the environment "+clip(name)+" was left out with its content")
	closing := `\end{` + name + "}"
	if j := strings.Index(w.s[w.i:], closing); j >= 0 {
		w.i += j + len(closing)
		return
	}
	w.i += len(w.paragraphRest(w.i))
}

var codeHead = regexp.MustCompile(`^[ \t]*(?:\[[^\]\n]*\])?(?:\{[A-Za-z0-9+#-]*\})?[ \t]*\n?`)

// verbatim copies text that TeX must not read. Its name is that in the source.
func (w *weaver) verbatim(name string) {
	closing := `\end{` + name + "}"
	body, rest := w.s[w.i:], ""
	if j := strings.Index(body, closing); j >= 0 {
		body, rest = body[:j], body[j+len(closing):]
	} else {
		w.l.mended("E01", "the environment verbatim was closed")
	}
	w.i = len(w.s) - len(rest)
	if name != "verbatim" {
		w.l.mended("E02", "the environment "+name+" was read as verbatim")
		body = codeHead.ReplaceAllString(body, "\n")
	}
	body = strings.TrimRight(wrap(plain(strings.ReplaceAll(body, `\end{verbatim}`, ""))), " \t\n") + "\n"
	if strings.TrimSpace(body) == "" {
		return
	}
	if !strings.HasPrefix(body, "\n") {
		body = "\n" + strings.TrimLeft(body, " \t")
	}
	for _, f := range w.stack {
		if f.kind == 'g' { // no verbatim in an argument
			w.put(`\texttt{` + tex.Escape(body) + "}")
			return
		}
	}
	w.leaveMath()
	w.put(`\begin{verbatim}` + body + `\end{verbatim}`)
}

var plainSigns = strings.NewReplacer("“", `"`, "”", `"`, "‘", "'", "’", "'", "–", "-", "—", "-", "−", "-", "…", "...", "≤", "<=", "≥", ">=", "≠", "!=", "×", "x", "→", "->",
	"\t", "    ", "\u00a0", " ")

// plain keeps the characters that every typewriter font has.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 0x80 {
			return '?'
		}
		return c
	}, plainSigns.Replace(s))
}

const codeWidth = 88 // characters of a line at ten points

// wrap breaks lines that would run off the page.
func wrap(s string) string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		for len(line) > codeWidth {
			cut := codeWidth
			if j := strings.LastIndexByte(line[:codeWidth], ' '); j > codeWidth/2 {
				cut = j
			}
			out = append(out, line[:cut])
			line = line[cut:]
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
