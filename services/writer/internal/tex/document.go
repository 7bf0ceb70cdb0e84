package tex

import (
	"regexp"
	"slices"
	"strings"
)

// Role is what a part of the paper is for.
type Role string

// The roles, in the order in which missing ones are added.
const (
	Title        Role = "title"
	Abstract     Role = "abstract"
	Introduction Role = "introduction"
	Related      Role = "related"
	Background   Role = "background"
	Method       Role = "method"
	Setup        Role = "setup"
	Results      Role = "results"
	Conclusion   Role = "conclusion"
)

// Sections are the roles that are sections, in paper order.
func Sections() []Role {
	return []Role{Introduction, Related, Background, Method, Setup, Results, Conclusion}
}

// Heading is the heading that an added section gets.
func (r Role) Heading() string {
	switch r {
	case Related:
		return "Related Work"
	case Setup:
		return "Experimental Setup"
	case Conclusion:
		return "Conclusions and Future Work"
	default:
		return strings.ToUpper(string(r[:1])) + string(r[1:])
	}
}

// RoleOf reads a heading; empty if it is none of ours.
func RoleOf(heading string) Role {
	h := strings.ToLower(heading)
	for _, m := range []struct {
		word string
		role Role
	}{
		{"intro", Introduction}, {"related", Related}, {"prior work", Related}, {"background", Background}, {"preliminar", Background},
		{"method", Method}, {"approach", Method}, {"setup", Setup}, {"set-up", Setup}, {"result", Results}, {"experiment", Results},
		{"evaluation", Results}, {"conclusion", Conclusion}, {"discussion", Conclusion},
	} {
		if strings.Contains(h, m.word) {
			return m.role
		}
	}
	return ""
}

// Kind says what a span of the file is.
type Kind uint8

// The kinds of span.
const (
	Raw         Kind = iota // kept as it is
	TitleSpan               // \title{…}
	AuthorSpan              // \author{…}
	AbstractEnv             // \begin{abstract}…\end{abstract}
	SectionSpan             // \section{…} to the next cut
)

// Span is a piece of the file. Head, Body and Foot in a row are its bytes.
type Span struct {
	Kind    Kind
	Role    Role
	Heading string
	Head    string // heading and labels, or what opens the span
	Body    string
	Foot    string
}

// Text returns the span's bytes.
func (s Span) Text() string { return s.Head + s.Body + s.Foot }

// Document is a LaTeX file cut into spans; their concatenation is the file.
type Document struct {
	Spans []Span
	Whole bool // it had a document class and began a document
}

// String renders the document.
func (d Document) String() string {
	var b strings.Builder
	for _, s := range d.Spans {
		b.WriteString(s.Text())
	}
	return b.String()
}

var cutPattern = regexp.MustCompile(`\\(title|author)\b|\\begin\s*\{(document|abstract)\}|\\section\*?\s*[\[{]|\\appendix\b|\\bibliographystyle\b|\\bibliography\b|\\begin\s*\{thebibliography\}|\\end\s*\{document\}|\\printbibliography\b`)

// Parse cuts a file. It never fails: what it does not know stays raw.
func Parse(s string) Document {
	masked := Mask(s)
	d := Document{Whole: strings.Contains(masked, `\documentclass`) && strings.Contains(masked, `\begin{document}`)}
	begun := !strings.Contains(masked, `\begin{document}`)
	last, tail := 0, false
	var open *Span
	flush := func(upTo int) {
		text := s[last:upTo]
		last = upTo
		switch {
		case open != nil:
			open.Body = text
			d.Spans = append(d.Spans, *open)
			open = nil
		case text != "":
			d.Spans = append(d.Spans, Span{Head: text})
		}
	}
	for _, m := range cutPattern.FindAllStringIndex(masked, -1) {
		at := m[0]
		if at < last {
			continue
		}
		word := masked[m[0]:m[1]]
		switch {
		case strings.HasPrefix(word, `\title`), strings.HasPrefix(word, `\author`):
			c := ReadCall(masked, at, 1)
			if len(c.Args) == 0 || tail || d.has(kindOf(word)) {
				continue
			}
			flush(at)
			d.Spans = append(d.Spans, Span{Kind: kindOf(word), Role: roleOfKind(word), Head: s[at:c.ArgStart[0]],
				Body: s[c.ArgStart[0] : c.End-1], Foot: s[c.End-1 : c.End]})
			last = c.End
		case strings.Contains(word, "{document}") && strings.HasPrefix(word, `\begin`):
			flush(m[1])
			begun = true
		case strings.Contains(word, "{abstract}"):
			end := strings.Index(masked[m[1]:], `\end{abstract}`)
			if end < 0 || tail || d.has(AbstractEnv) {
				continue
			}
			flush(at)
			stop := m[1] + end
			d.Spans = append(d.Spans, Span{Kind: AbstractEnv, Role: Abstract, Head: s[at:m[1]], Body: s[m[1]:stop], Foot: `\end{abstract}`})
			last = stop + len(`\end{abstract}`)
		case strings.HasPrefix(word, `\section`):
			if tail || !begun {
				continue
			}
			c := ReadCall(masked, at, 1)
			if len(c.Args) == 0 {
				continue
			}
			flush(at)
			head := labelsEnd(masked, c.End)
			open = &Span{Kind: SectionSpan, Heading: strings.TrimSpace(c.Args[0]), Head: s[at:head]}
			if r := RoleOf(open.Heading); r != "" && !d.hasRole(r) {
				open.Role = r
			}
			last = head
		default: // appendix, bibliography, end of document: from here on nothing is a slot
			if !begun {
				continue
			}
			flush(at)
			tail = true
		}
	}
	flush(len(s))
	return d
}

func kindOf(word string) Kind {
	if strings.HasPrefix(word, `\title`) {
		return TitleSpan
	}
	return AuthorSpan
}

func roleOfKind(word string) Role {
	if strings.HasPrefix(word, `\title`) {
		return Title
	}
	return ""
}

// labelsEnd skips the \label uses that directly follow a heading.
func labelsEnd(s string, i int) int {
	for {
		j := i
		for j < len(s) && (s[j] == ' ' || s[j] == '\n' || s[j] == '\t' || s[j] == '\r') {
			j++
		}
		if !strings.HasPrefix(s[j:], `\label`) {
			return i
		}
		c := ReadCall(s, j, 1)
		if len(c.Args) == 0 {
			return i
		}
		i = c.End
	}
}

func (d *Document) has(k Kind) bool {
	return slices.ContainsFunc(d.Spans, func(s Span) bool { return s.Kind == k })
}

func (d *Document) hasRole(r Role) bool {
	return slices.ContainsFunc(d.Spans, func(s Span) bool { return s.Role == r })
}

// Part returns the span with that role, nil if there is none.
func (d *Document) Part(r Role) *Span {
	for i := range d.Spans {
		if d.Spans[i].Role == r {
			return &d.Spans[i]
		}
	}
	return nil
}

// Author returns the author span, nil if there is none.
func (d *Document) Author() *Span {
	for i := range d.Spans {
		if d.Spans[i].Kind == AuthorSpan {
			return &d.Spans[i]
		}
	}
	return nil
}

// Complete adds what a paper needs and the file lacks: title, author, abstract, sections. It returns a sentence for each.
func (d *Document) Complete() []string {
	var notes []string
	if d.Part(Title) == nil {
		d.beforeBody(Span{Kind: TitleSpan, Role: Title, Head: `\title{`, Foot: "}\n"})
		notes = append(notes, "the template had no title; one was added")
	}
	if d.Author() == nil {
		d.beforeBody(Span{Kind: AuthorSpan, Head: `\author{`, Foot: "}\n"})
		notes = append(notes, "the template had no author line; one was added")
	}
	if d.Part(Abstract) == nil {
		d.addAbstract()
		notes = append(notes, "the template had no abstract; one was added")
	}
	for _, r := range Sections() {
		if d.Part(r) == nil {
			d.addSection(r)
			notes = append(notes, "the template had no section for "+string(r)+"; one was added")
		}
	}
	return notes
}

// beforeBody inserts a span in front of the one that holds \begin{document}.
func (d *Document) beforeBody(s Span) {
	for i, sp := range d.Spans {
		if sp.Kind != Raw {
			continue
		}
		if j := strings.Index(Mask(sp.Head), `\begin{document}`); j >= 0 {
			d.Spans = slices.Replace(d.Spans, i, i+1, Span{Head: sp.Head[:j]}, s, Span{Head: sp.Head[j:]})
			return
		}
	}
	d.Spans = slices.Insert(d.Spans, 0, s)
}

func (d *Document) addAbstract() {
	a := Span{Kind: AbstractEnv, Role: Abstract, Head: "\n\\begin{abstract}", Body: "\n", Foot: "\\end{abstract}\n"}
	for i, sp := range d.Spans {
		if sp.Kind != Raw {
			continue
		}
		masked := Mask(sp.Head)
		at := -1
		if j := strings.Index(masked, `\maketitle`); j >= 0 {
			at = j + len(`\maketitle`)
		} else if j := strings.Index(masked, `\begin{document}`); j >= 0 {
			at = j + len(`\begin{document}`)
		}
		if at >= 0 {
			if !strings.Contains(Mask(d.String()), `\maketitle`) {
				a.Head = "\n\\maketitle\n" + a.Head
			}
			d.Spans = slices.Replace(d.Spans, i, i+1, Span{Head: sp.Head[:at]}, a, Span{Head: sp.Head[at:]})
			return
		}
	}
	d.Spans = append(d.Spans, a)
}

// addSection puts a section in front of the next one in paper order that exists, else in front of the tail.
func (d *Document) addSection(r Role) {
	s := Span{Kind: SectionSpan, Role: r, Heading: r.Heading(), Head: "\\section{" + r.Heading() + "}\n\\label{sec:" + string(r) + "}", Body: "\n\n"}
	order := Sections()
	for _, next := range order[slices.Index(order, r)+1:] {
		for i := range d.Spans {
			if d.Spans[i].Role == next {
				d.Spans = slices.Insert(d.Spans, i, s)
				return
			}
		}
	}
	at := len(d.Spans)
	for i := len(d.Spans) - 1; i >= 0; i-- {
		k := d.Spans[i].Kind
		if k == SectionSpan || k == AbstractEnv {
			break
		}
		if strings.Contains(d.Spans[i].Head, `\begin{document}`) {
			break
		}
		at = i
	}
	d.Spans = slices.Insert(d.Spans, at, s)
}

// BeforeBibliography puts text in front of the first bibliography command, or of \end{document}.
func (d *Document) BeforeBibliography(text string) {
	for i, sp := range d.Spans {
		if sp.Kind == Raw && tailStart(sp.Head) {
			d.Spans = slices.Insert(d.Spans, i, Span{Head: text})
			return
		}
	}
	d.Spans = append(d.Spans, Span{Head: text})
}

// BeforeEnd puts text in front of \end{document}; what stands behind it stays.
func (d *Document) BeforeEnd(text string) {
	for i := len(d.Spans) - 1; i >= 0; i-- {
		sp := d.Spans[i]
		if sp.Kind != Raw {
			continue
		}
		if j := strings.Index(Mask(sp.Head), `\end{document}`); j >= 0 {
			d.Spans = slices.Replace(d.Spans, i, i+1, Span{Head: sp.Head[:j]}, Span{Head: text}, Span{Head: sp.Head[j:]})
			return
		}
	}
	d.Spans = append(d.Spans, Span{Head: text + "\n\\end{document}\n"})
}

// BeforeBegin puts preamble lines in front of \begin{document}.
func (d *Document) BeforeBegin(text string) { d.beforeBody(Span{Head: text}) }

func tailStart(s string) bool {
	m := strings.TrimSpace(Mask(s))
	for _, w := range []string{`\appendix`, `\bibliographystyle`, `\bibliography`, `\printbibliography`, `\begin{thebibliography}`, `\end{document}`} {
		if strings.HasPrefix(m, w) {
			return true
		}
	}
	return false
}
