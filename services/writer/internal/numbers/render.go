package numbers

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

// Use is one number that rendering put into the paper.
type Use struct {
	Kind    string // measured, setting, counted
	Expr    string
	Text    string // the LaTeX that was printed
	Offset  int    // in the rendered text
	Value   Value
	Setting string
}

// Problem is a reference that leads nowhere.
type Problem struct {
	Offset int // in the source text
	Macro  string
	Why    string
	Near   []string
	Advice bool // rendered all the same
}

// Abstracts gives the abstract of a citation key, for \cited.
type Abstracts map[string]string

// Macros is the number of arguments of each macro of the paper's grammar.
var Macros = map[string]int{"measured": 1, "setting": 1, "counted": 1, "cited": 2, "need": 2, "interp": 1, "compare": 3}

// Gap stands where a reference could not be resolved.
const Gap = `\nulliusgap{}`

// Mark stands behind a number that leads nowhere.
const Mark = `\nulliusmark{}`

// Preamble defines the two marks.
const Preamble = `\DeclareRobustCommand{\nulliusmark}{\ifmmode{}^{\mathrm{?}}\else\textsuperscript{?}\fi}
\DeclareRobustCommand{\nulliusgap}{\ensuremath{\langle\mathrm{?}\rangle}}
`

var (
	tableOpen  = regexp.MustCompile(`\\begin\s*\{measuredtable\}\s*`)
	tableClose = regexp.MustCompile(`^\s*\\end\s*\{measuredtable\}`)
)

// Render replaces every macro by what it prints.
func (r *Record) Render(src string, quotes Abstracts) (string, []Use, []Problem) {
	w := &renderer{rec: r, quotes: quotes}
	w.text(src, 0)
	return w.b.String(), w.uses, w.problems
}

type renderer struct {
	rec      *Record
	quotes   Abstracts
	b        strings.Builder
	uses     []Use
	problems []Problem
}

// text renders src, whose first byte stands at base in the source.
func (w *renderer) text(src string, base int) {
	masked := tex.Mask(src)
	last := 0
	for _, m := range tableOpen.FindAllStringIndex(masked, -1) {
		if m[0] < last {
			continue
		}
		inside, end, ok := tex.Group(masked, m[1])
		if !ok {
			continue
		}
		stop := end
		if c := tableClose.FindStringIndex(masked[end:]); c != nil {
			stop = end + c[1]
		}
		w.inline(src[last:m[0]], base+last)
		w.table(src[m[1]+1:m[1]+1+len(inside)], base+m[1]+1)
		last = stop
	}
	w.inline(src[last:], base+last)
}

func (w *renderer) inline(src string, base int) {
	headings := tex.Calls(src, map[string]int{"section": 1, "subsection": 1, "subsubsection": 1, "paragraph": 1, "subparagraph": 1})
	last := 0
	for _, c := range tex.Calls(src, Macros) {
		w.b.WriteString(src[last:c.Start])
		inHeading := slices.ContainsFunc(headings, func(h tex.Call) bool { return h.Start < c.Start && c.End <= h.End })
		w.macro(c, base+c.Start, inHeading)
		last = c.End
	}
	w.b.WriteString(src[last:])
}

func (w *renderer) fail(c tex.Call, at int, why string, near []string) {
	w.problems = append(w.problems, Problem{Offset: at, Macro: macroText(c), Why: why, Near: near})
	w.b.WriteString(Gap)
}

func macroText(c tex.Call) string {
	s := `\` + c.Name
	if c.HasOption {
		s += "[" + c.Option + "]"
	}
	for _, a := range c.Args {
		s += "{" + a + "}"
	}
	return s
}

func (w *renderer) macro(c tex.Call, at int, inHeading bool) {
	if len(c.Args) < Macros[c.Name] {
		w.fail(c, at, `\`+c.Name+" takes "+strconv.Itoa(Macros[c.Name])+" arguments", nil)
		return
	}
	switch c.Name {
	case "measured":
		w.measured(c, at, inHeading)
	case "setting":
		id := cleanExpr(c.Args[0])
		s, ok := w.rec.setting[id]
		if !ok {
			w.fail(c, at, "no code sets "+strconv.Quote(id), w.rec.nearSetting(id))
			return
		}
		w.put(Use{Kind: "setting", Expr: id, Text: s.Text, Setting: id, Value: Value{V: s.Value}}, inHeading)
	case "counted":
		w.counted(c, at, inHeading)
	case "cited":
		w.cited(c, at)
	case "need": // a wish that was not met prints nothing
	case "interp":
		w.inline(c.Args[0], at)
	case "compare":
		w.inline(c.Args[2], at)
	}
}

func (w *renderer) measured(c tex.Call, at int, inHeading bool) {
	o, err := ParseOptions(c.Option)
	if err != nil {
		w.problems = append(w.problems, Problem{Offset: at, Macro: macroText(c), Why: err.Error(), Advice: true})
	}
	v, err := w.rec.Eval(c.Args[0])
	if err != nil {
		why, near := split(err)
		w.fail(c, at, why, near)
		return
	}
	text, err := Format(v, o)
	if err != nil {
		why, near := split(err)
		w.fail(c, at, why, near)
		return
	}
	w.put(Use{Kind: "measured", Expr: cleanExpr(c.Args[0]), Text: text, Value: v}, inHeading)
}

func split(err error) (string, []string) {
	if e, ok := err.(*ExprError); ok {
		return e.Why, e.Near
	}
	return err.Error(), nil
}

func (w *renderer) counted(c tex.Call, at int, inHeading bool) {
	id := cleanExpr(c.Args[0])
	o, _ := ParseOptions(c.Option)
	for _, k := range w.rec.counts {
		if k.ID != id {
			continue
		}
		text := strconv.Itoa(k.Value)
		if o.Word != "" {
			if text = Word(k.Value); o.Word == "Word" {
				text = strings.ToUpper(text[:1]) + text[1:]
			}
		}
		w.put(Use{Kind: "counted", Expr: id, Text: text, Value: Value{V: float64(k.Value)}}, inHeading)
		return
	}
	var near []string
	for _, k := range w.rec.counts {
		near = append(near, k.ID)
	}
	w.fail(c, at, "nothing counts "+strconv.Quote(id), near)
}

// put prints a number; a heading also needs a form without mathematics for the PDF's outline.
func (w *renderer) put(u Use, inHeading bool) {
	math := strings.ContainsAny(u.Text, `\{-+`) || u.Kind == "measured"
	printed := u.Text
	if math {
		printed = `\ensuremath{` + u.Text + `}`
	}
	if inHeading {
		plain := strings.NewReplacer(`\pm`, "+-", `\times`, "x", "{,}", ",", "{", "", "}", "", `\`, "").Replace(u.Text)
		printed = `\texorpdfstring{` + printed + `}{` + plain + `}`
	}
	u.Offset = w.b.Len()
	w.b.WriteString(printed)
	w.uses = append(w.uses, u)
}

// cited prints words of a cited abstract as a quotation, if they stand there; else a gap.
func (w *renderer) cited(c tex.Call, at int) {
	key, words := strings.TrimSpace(c.Args[0]), strings.TrimSpace(c.Args[1])
	plain := foldQuote(words)
	if len(strings.Fields(plain)) > 25 {
		w.problems = append(w.problems, Problem{Offset: at, Macro: macroText(c), Why: "a quotation has at most 25 words"})
	} else if plain == "" || !strings.Contains(foldQuote(w.quotes[key]), plain) {
		w.problems = append(w.problems, Problem{Offset: at, Macro: macroText(c), Why: "these words do not stand in the abstract of " + strconv.Quote(key)})
	} else {
		w.b.WriteString("``" + words + "''~\\citep{" + key + "}")
		return
	}
	w.b.WriteString(Gap + "~\\citep{" + key + "}") // words that nobody wrote may hold numbers that nobody measured
}

func foldQuote(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c > 127 || c == '.')
	}), " ")
}

func (r *Record) nearSetting(id string) []string {
	all := slices.Clone(r.settings)
	slices.SortStableFunc(all, func(a, b Setting) int { return distance(id, a.ID) - distance(id, b.ID) })
	var out []string
	for _, s := range all[:min(3, len(all))] {
		out = append(out, s.ID)
	}
	return out
}
