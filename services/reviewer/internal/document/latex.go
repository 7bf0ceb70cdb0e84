package document

import (
	"path"
	"regexp"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Bounds of what LaTeX may make of itself.
const (
	maxExpanded = 8 << 20 // bytes after \input
	maxMacros   = 5000    // expansions
	maxMacro    = 2000    // bytes of a macro's body
	maxInputs   = 64
	maxOption   = 400 // bytes between square brackets
)

// Loader finds a file that the source includes.
type Loader func(path string) ([]byte, bool)

// FromLaTeX reads LaTeX source as its printed page would read: comments, macros and
// layout are gone, formulas stay as TeX. Name is the source's path, from which
// included files are resolved.
func FromLaTeX(source, name string, load Loader) *Document {
	src, embedded := dropFileContents(stripComments(clean(source)))
	src = include(src, path.Dir(name), load)
	pre, body := splitBody(src)
	w := &walker{src: body, macros: macros(pre), out: &builder{}, doc: &Document{Source: "latex"}}
	if title, ok := argumentOf(src, `\title`); ok {
		w.out.section = "Title"
		w.out.add(Title, w.inline(title))
		w.out.section = ""
	}
	w.run()
	w.references(embedded, path.Dir(name), load)
	w.doc.Text, w.doc.Blocks = w.out.text.String(), w.out.blocks
	return w.doc
}

// IsLaTeX says whether a text is a LaTeX document.
func IsLaTeX(s string) bool {
	return strings.Contains(s, `\documentclass`) || strings.Contains(s, `\begin{document}`)
}

// stripComments removes what follows a percent sign that is not escaped.
func stripComments(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for line := range strings.Lines(s) {
		cut := -1
		for i := 0; i < len(line); i++ {
			if line[i] == '\\' {
				i++
			} else if line[i] == '%' {
				cut = i
				break
			}
		}
		if cut < 0 {
			b.WriteString(line)
			continue
		}
		b.WriteString(line[:cut])
		if strings.TrimSpace(line[:cut]) == "" {
			continue // a line of comment only is not a paragraph break
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var fileContents = regexp.MustCompile(`(?s)\\begin\{filecontents\*?\}(?:\[[^\]]*\])?\{[^}]*\}(.*?)\\end\{filecontents\*?\}`)

// dropFileContents takes files that travel inside the source out of it.
func dropFileContents(s string) (rest, contents string) {
	var all strings.Builder
	rest = fileContents.ReplaceAllStringFunc(s, func(m string) string {
		all.WriteString(fileContents.FindStringSubmatch(m)[1])
		return ""
	})
	return rest, all.String()
}

var inputCommand = regexp.MustCompile(`\\(?:input|include)\s*\{([^{}]+)\}`)

// include resolves \input and \include, once each level, a few levels deep.
func include(src, dir string, load Loader) string {
	if load == nil {
		return src
	}
	used, size := 0, len(src)
	for range 4 {
		found := false
		src = inputCommand.ReplaceAllStringFunc(src, func(m string) string {
			name := strings.TrimSpace(inputCommand.FindStringSubmatch(m)[1])
			if path.Ext(name) == "" {
				name += ".tex"
			}
			used++
			if used > maxInputs {
				return ""
			}
			raw, ok := load(path.Join(dir, name))
			if size += len(raw); !ok || size > maxExpanded {
				return ""
			}
			found = true
			return stripComments(clean(string(raw)))
		})
		if !found {
			break
		}
	}
	return src
}

func splitBody(src string) (preamble, body string) {
	preamble, body, ok := strings.Cut(src, `\begin{document}`)
	if !ok {
		return "", src
	}
	body, _, _ = strings.Cut(body, `\end{document}`)
	return preamble, body
}

var macroHead = regexp.MustCompile(`\\(?:re)?(?:newcommand|providecommand|DeclareMathOperator)\*?\s*\{?\\([A-Za-z]+)\}?\s*\{`)

// macros reads definitions without arguments from the preamble.
func macros(preamble string) map[string]string {
	out := map[string]string{}
	for _, m := range macroHead.FindAllStringSubmatchIndex(preamble, 500) {
		if body, _ := group(preamble, m[1]-1); len(body) <= maxMacro {
			out[preamble[m[2]:m[3]]] = body
		}
	}
	return out
}

// group returns the content of the brace group that begins at i, and where it ends.
// A group that is never closed ends with the text.
func group(s string, i int) (content string, end int) {
	if i >= len(s) || s[i] != '{' {
		return "", i
	}
	depth := 0
	for j := i; j < len(s); j++ {
		switch s[j] {
		case '\\':
			j++
		case '{':
			depth++
		case '}':
			depth--
			if depth == 0 {
				return s[i+1 : j], j + 1
			}
		}
	}
	return s[i+1:], len(s)
}

// argumentOf finds the first use of a command with an argument.
func argumentOf(src, command string) (string, bool) {
	for from := 0; ; {
		i := strings.Index(src[from:], command)
		if i < 0 {
			return "", false
		}
		at := from + i + len(command)
		from = at
		rest := strings.TrimLeft(src[at:], " \t\n")
		if strings.HasPrefix(rest, "{") {
			arg, _ := group(rest, 0)
			return arg, true
		}
	}
}

// inline turns a fragment, such as a caption, into one line of text.
func (w *walker) inline(fragment string) string {
	if w.depth > 20 {
		return ""
	}
	sub := &walker{src: fragment, macros: w.macros, out: &builder{}, doc: w.doc, depth: w.depth + 1, used: w.used}
	sub.run()
	w.used = sub.used
	return strings.Join(strings.Fields(sub.out.text.String()), " ")
}

// squeeze collapses white space, keeping the line ends that were asked for.
func squeeze(s string) string {
	lines := strings.Split(s, hardBreak)
	kept := lines[:0]
	for _, l := range lines {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			kept = append(kept, l)
		}
	}
	return norm.NFC.String(strings.Join(kept, "\n"))
}
