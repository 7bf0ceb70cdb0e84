package document

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// hardBreak marks a line end that survives the squeezing of white space.
const hardBreak = "\x00"

// walker turns the body of a LaTeX document into blocks.
type walker struct {
	src    string
	pos    int
	macros map[string]string
	used   int // macros expanded
	depth  int
	out    *builder
	doc    *Document
	para   strings.Builder
	role   Role
}

func (w *walker) run() {
	for w.pos < len(w.src) {
		w.step()
	}
	w.flush()
}

// flush ends the current paragraph.
func (w *walker) flush() {
	role := w.role
	if role == "" {
		role = Paragraph
	}
	w.out.add(role, squeeze(w.para.String()))
	w.para.Reset()
}

func (w *walker) step() {
	rest := w.src[w.pos:]
	switch c := rest[0]; c {
	case '\\':
		w.command()
	case '$':
		w.math()
	case '{', '}':
		w.pos++
	case '~':
		w.emit(" ", 1)
	case '&':
		w.emit(" | ", 1)
	case '\n':
		w.lineEnd()
	case '`':
		w.mark(rest, "``", "“", "‘")
	case '\'':
		w.mark(rest, "''", "”", "’")
	case '-':
		n := len(rest) - len(strings.TrimLeft(rest, "-"))
		w.emit([]string{"-", "–", "—"}[min(n, 3)-1], n)
	default:
		_, size := utf8.DecodeRuneInString(rest)
		w.emit(rest[:size], size)
	}
}

func (w *walker) emit(s string, consumed int) {
	w.para.WriteString(s)
	w.pos += consumed
}

func (w *walker) mark(rest, double, two, one string) {
	if strings.HasPrefix(rest, double) {
		w.emit(two, 2)
		return
	}
	w.emit(one, 1)
}

// lineEnd ends a paragraph at a blank line.
func (w *walker) lineEnd() {
	rest := w.src[w.pos:]
	blank := rest[:len(rest)-len(strings.TrimLeft(rest, " \t\n"))]
	w.pos += len(blank)
	if strings.Count(blank, "\n") > 1 {
		w.flush()
		return
	}
	w.para.WriteByte(' ')
}

// math copies a formula as it is.
func (w *walker) math() {
	mark := "$"
	if strings.HasPrefix(w.src[w.pos:], "$$") {
		mark = "$$"
	}
	body := w.src[w.pos+len(mark):]
	end := 0
	for end < len(body) && !strings.HasPrefix(body[end:], mark) {
		if body[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(body))
	w.emit("$"+body[:end]+"$", len(mark)+min(end+len(mark), len(body)))
}

// name reads a command's name; symbols are names of one character.
func (w *walker) name() string {
	s := w.src[w.pos+1:]
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z') {
		n++
	}
	if n == 0 && s != "" {
		_, n = utf8.DecodeRuneInString(s)
	}
	name := s[:n]
	w.pos += 1 + n
	if n > 0 && name[0] >= 'A' {
		if strings.HasPrefix(w.src[w.pos:], "*") {
			w.pos++
		}
	}
	return name
}

// arg reads one {group}, skipping white space and [options] before it.
func (w *walker) arg() string {
	for range 4 {
		rest := strings.TrimLeft(w.src[w.pos:], " \t\n")
		if strings.HasPrefix(rest, "[") {
			if end := strings.IndexByte(rest[:min(len(rest), maxOption)], ']'); end >= 0 {
				w.pos = len(w.src) - len(rest) + end + 1
				continue
			}
		}
		if !strings.HasPrefix(rest, "{") {
			return ""
		}
		at := len(w.src) - len(rest)
		content, end := group(w.src, at)
		w.pos = end
		return content
	}
	return ""
}

var accents = map[string]string{"'": "\u0301", "`": "\u0300", "^": "\u0302", `"`: "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307", "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "r": "\u030a", "k": "\u0328"}

var symbols = map[string]string{
	"%": "%", "&": "&", "_": "_", "#": "#", "$": "$", "{": "{", "}": "}", " ": " ", ",": " ", ";": " ", ":": " ", "!": "", "/": "", "-": "", "@": "", "\n": " ",
	"ldots": "…", "dots": "…", "textendash": "–", "textemdash": "—", "textasciitilde": "~", "textbackslash": "\\", "LaTeX": "LaTeX", "TeX": "TeX", "ss": "ß", "o": "ø", "O": "Ø", "ae": "æ", "AE": "Æ", "aa": "å", "AA": "Å", "l": "ł", "L": "Ł", "i": "ı", "S": "§", "quad": " ", "qquad": " ", "textquotedblleft": "“", "textquotedblright": "”", "textless": "<", "textgreater": ">", "textbar": "|", "pm": "±", "times": "×", "newline": hardBreak, "\\": hardBreak, "tabularnewline": hardBreak, "hfill": " ",
}

// dropped are commands whose arguments are not printed, with their number.
var dropped = map[string]int{
	"label": 1, "vspace": 1, "hspace": 1, "setlength": 2, "addtolength": 2, "bibliographystyle": 1, "bibliography": 1, "usepackage": 1, "phantom": 1, "hphantom": 1, "vphantom": 1, "color": 1, "pagestyle": 1, "thispagestyle": 1, "title": 1, "author": 1, "date": 1, "newcommand": 2, "renewcommand": 2, "providecommand": 2, "graphicspath": 1, "resizebox": 2, "scalebox": 1, "fontsize": 2, "pdfbookmark": 1, "hypersetup": 1, "captionsetup": 1, "cmidrule": 1, "cline": 1, "rule": 2, "setcounter": 2, "addcontentsline": 3, "input": 1, "include": 1, "nocite": 1, "thanks": 1, "textcolor": 1, "colorbox": 1, "multirow": 2, "multicolumn": 2, "texorpdfstring": 0, "raisebox": 1, "setcitestyle": 1, "def": 1,
}

var sections = map[string]string{"part": "# ", "chapter": "# ", "section": "# ", "subsection": "## ", "subsubsection": "### "}

var citeName = regexp.MustCompile(`^([cC]ite|[pP]arencite|[tT]extcite|autocite)`)

func (w *walker) command() {
	name := w.name()
	if mark, ok := sections[name]; ok {
		w.heading(mark)
		return
	}
	if s, ok := symbols[name]; ok {
		w.para.WriteString(s)
		if name == "\\" {
			w.skipOption()
		}
		return
	}
	if mark, ok := accents[name]; ok {
		w.accent(mark)
		return
	}
	if body, ok := w.macros[name]; ok && w.used < maxMacros {
		w.used++
		w.para.WriteString(w.inline(body))
		return
	}
	if citeName.MatchString(name) {
		w.cite()
		return
	}
	w.structural(name)
}

func (w *walker) structural(name string) {
	switch name {
	case "paragraph", "subparagraph":
		w.flush()
		w.para.WriteString(w.inline(w.arg()) + " ")
	case "par", "maketitle", "newpage", "clearpage", "bigskip", "medskip":
		w.flush()
	case "begin":
		w.begin(w.arg())
	case "end":
		w.end(w.arg())
	case "item":
		w.para.WriteString(hardBreak + "- ")
		w.skipSpace()
	case "caption", "captionof":
		w.caption(name)
	case "footnote":
		w.para.WriteString(" (footnote: " + w.inline(w.arg()) + ")")
	case "includegraphics":
		file := w.arg()
		w.doc.Figures = append(w.doc.Figures, file)
		w.para.WriteString("[figure file " + path.Base(file) + "] ")
	case "ref", "autoref", "cref", "Cref", "eqref", "pageref":
		target := w.arg()
		w.doc.Refs = append(w.doc.Refs, target)
		w.para.WriteString("[" + target + "]")
	case "label":
		w.doc.Labels = append(w.doc.Labels, w.arg())
	case "url":
		w.para.WriteString(w.arg())
	case "href":
		w.arg()
	case "ensuremath":
		w.para.WriteString("$" + w.arg() + "$")
	case "(", "[":
		w.displayed(map[string]string{"(": `\)`, "[": `\]`}[name])
	default:
		w.unprinted(name)
	}
}

// unprinted skips what belongs to a command that prints nothing of its own.
func (w *walker) unprinted(name string) {
	for range dropped[name] {
		w.arg()
	}
	if _, known := dropped[name]; !known {
		w.skipOption()
	}
	if name == "texorpdfstring" {
		w.para.WriteString(w.inline(w.arg()))
		w.arg()
	}
	// A space ends a command's name and is not printed, but words must not fuse.
	if name == "" || strings.HasPrefix(w.src[w.pos:], " ") {
		w.para.WriteByte(' ')
	}
}

func (w *walker) heading(mark string) {
	w.flush()
	title := w.inline(w.arg())
	if title != "" {
		w.out.add(Heading, mark+title)
	}
}

func (w *walker) caption(name string) {
	if name == "captionof" {
		w.arg()
	}
	text := w.inline(w.arg())
	role := w.role
	w.flush()
	w.out.add(Caption, text)
	w.role = role
}

func (w *walker) cite() {
	keys := strings.Split(w.arg(), ",")
	for i, k := range keys {
		keys[i] = strings.TrimSpace(k)
		if keys[i] != "" && len(w.doc.Cites) < 1000 && !slices.Contains(w.doc.Cites, keys[i]) {
			w.doc.Cites = append(w.doc.Cites, keys[i])
		}
	}
	w.para.WriteString("[" + strings.Join(keys, ", ") + "]")
}

func (w *walker) accent(mark string) {
	base := w.arg()
	if base == "" {
		rest := strings.TrimLeft(w.src[w.pos:], " ")
		if rest == "" {
			return
		}
		w.pos = len(w.src) - len(rest)
		if strings.HasPrefix(rest, `\i`) || strings.HasPrefix(rest, `\j`) {
			base = rest[1:2]
			w.pos += 2
		} else {
			_, size := utf8.DecodeRuneInString(rest)
			base = rest[:size]
			w.pos += size
		}
	}
	base = strings.TrimPrefix(base, `\`)
	_, size := utf8.DecodeRuneInString(base)
	w.para.WriteString(base[:size] + mark + base[size:])
}

func (w *walker) skipOption() {
	if rest := w.src[w.pos:]; strings.HasPrefix(rest, "[") {
		if end := strings.IndexByte(rest[:min(len(rest), maxOption)], ']'); end >= 0 {
			w.pos += end + 1
		}
	}
}

func (w *walker) skipSpace() {
	w.pos = len(w.src) - len(strings.TrimLeft(w.src[w.pos:], " \t\n"))
}

// displayed copies a formula up to its closing mark.
func (w *walker) displayed(closing string) {
	body, _, found := strings.Cut(w.src[w.pos:], closing)
	w.pos += len(body)
	if found {
		w.pos += len(closing)
	}
	w.para.WriteString("$" + body + "$")
}
