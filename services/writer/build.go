package writer

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/compile"
	"nullius.dev/services/writer/internal/numbers"
	"nullius.dev/services/writer/internal/tex"
)

// built is a rendered paper: the file that is compiled, and where its parts stand in it.
type built struct {
	template string
	source   string
	places   []place
	numbers  []number
	typed    []unexplained
}

// place is where a part stands in template.tex.
type place struct {
	role       tex.Role
	start, end int
}

// number is one digit string of the paper with where it comes from.
type number struct {
	Section   tex.Role `json:"section"`
	Paragraph int      `json:"paragraph"`
	Offset    int      `json:"offset"`
	Text      string   `json:"text"`
	Kind      string   `json:"kind"`
	Expr      string   `json:"expr"`
	Value     *float64 `json:"value,omitempty"`
	SE        *float64 `json:"se,omitempty"`
	N         int      `json:"n,omitempty"`
	Runs      []int    `json:"runs,omitempty"`
	Run       string   `json:"run,omitempty"`
}

// unexplained is a number that leads nowhere.
type unexplained struct {
	Section   tex.Role `json:"section"`
	Paragraph int      `json:"paragraph"`
	Text      string   `json:"text"`
	Sentence  string   `json:"sentence"`
}

// Statement is what every paper says of its authorship.
const Statement = "Written by an automatic system; its numbers were inserted from recorded runs."

const placeholderBody = "\\begin{center}\n\\fbox{\\parbox{0.85\\linewidth}{This section could not be typeset. Its text is kept beside the paper, in the folder latex/failed.}}\n\\end{center}"

// build renders the paper from its parts.
func (w *work) build(findings []check.Finding) built {
	b := built{}
	src, doc := w.clone(), w.clone()
	type rendered struct {
		uses []numbers.Use
		pre  int
	}
	uses := map[tex.Role]rendered{}
	for i := range doc.Spans {
		role := doc.Spans[i].Role
		if role == "" {
			continue
		}
		body := w.parts[role]
		lead, tail := "\n\n", "\n\n"
		switch role {
		case tex.Title:
			lead, tail = "", ""
		case tex.Abstract:
			lead, tail = "\n", "\n"
		}
		src.Spans[i].Body = lead + body + tail
		if _, bad := w.failed[role]; bad {
			doc.Spans[i].Body = lead + placeholderBody + tail
			continue
		}
		literals := w.rec.Literals(body, strictRole(role))
		for _, l := range literals {
			if !l.Advice {
				b.typed = append(b.typed, unexplained{role, paragraphAt(body, l.Start), l.Text, tex.SentenceAt(body, l.Start)})
			}
		}
		text, found, _ := w.rec.Render(numbers.MarkLiterals(body, literals), w.abstracts())
		doc.Spans[i].Body = lead + text + tail
		uses[role] = rendered{found, len(lead)}
	}
	w.furnish(&doc, b.typed, findings)
	b.source = src.String()
	offset := 0
	for _, sp := range doc.Spans {
		if sp.Role != "" {
			start := offset + len(sp.Head)
			b.places = append(b.places, place{sp.Role, start, start + len(sp.Body)})
			r := uses[sp.Role]
			body := sp.Body
			for _, u := range r.uses {
				at := r.pre + u.Offset
				b.numbers = append(b.numbers, w.numberOf(sp.Role, u, start+at, paragraphAt(body, at)))
			}
		}
		offset += len(sp.Text())
	}
	b.template = doc.String()
	return b
}

func (w *work) numberOf(role tex.Role, u numbers.Use, offset, paragraph int) number {
	n := number{Section: role, Paragraph: paragraph, Offset: offset, Text: u.Text, Kind: u.Kind, Expr: u.Expr, N: u.Value.N, Runs: u.Value.Runs}
	if v := u.Value.V; v == v {
		n.Value = &v
	}
	if u.Value.SEKnown {
		se := u.Value.SE
		n.SE = &se
	}
	if len(u.Value.Runs) == 1 {
		if run, ok := w.rec.Run(u.Value.Runs[0]); ok {
			n.Run = run.Snapshot
		}
	}
	return n
}

func (w *work) clone() tex.Document {
	d := w.frame
	d.Spans = slices.Clone(w.frame.Spans)
	if a := d.Author(); a != nil {
		a.Body = w.authors()
	}
	for i := range d.Spans {
		if d.Spans[i].Kind == tex.Raw {
			d.Spans[i].Head = bibliographyName.ReplaceAllString(d.Spans[i].Head, `\bibliography{references}`)
		}
	}
	if !strings.Contains(d.String(), `\bibliography{`) && !strings.Contains(d.String(), `\begin{thebibliography}`) && len(w.cited()) > 0 {
		d.BeforeEnd("\n\\bibliographystyle{plainnat}\n\\bibliography{references}\n\n")
	}
	if lines := w.packages(d.String()); lines != "" {
		d.BeforeBegin("% nullius: packages that the text needs\n" + lines + "% nullius: end\n\n")
	}
	return d
}

var bibliographyName = regexp.MustCompile(`\\bibliography\s*\{[^{}]*\}`)

func (w *work) authors() string {
	if w.in.Settings.Anonymous {
		return "Anonymous Authors"
	}
	if len(w.in.Settings.Authors) > 0 {
		var names []string
		for _, a := range w.in.Settings.Authors[:min(len(w.in.Settings.Authors), 40)] {
			names = append(names, tex.Escape(cut(oneLine(a), 120)))
		}
		return strings.Join(names, ` \and `)
	}
	model := withoutAddress(w.in.Settings.Model)
	if strings.HasPrefix(model, "recording/") {
		model = "recorded model answers"
	}
	return "Nullius\\\\{\\small with " + tex.Escape(cut(model, 80)) + "}"
}

// packages lists the preamble lines that the text needs and the template lacks.
func (w *work) packages(file string) string {
	preamble, _, _ := strings.Cut(tex.Mask(file), `\begin{document}`)
	for _, name := range sortedKeys(w.latex) {
		if ext := path.Ext(name); ext == ".sty" || ext == ".cls" || ext == ".tex" {
			preamble += string(w.latex[name])
		}
	}
	has := func(p string) bool {
		return regexp.MustCompile(`\\(?:usepackage|RequirePackage)\s*(?:\[[^\]]*\])?\s*\{[^{}]*\b` + regexp.QuoteMeta(p) + `\b[^{}]*\}`).MatchString(preamble)
	}
	text := ""
	for _, r := range allRoles() {
		text += w.parts[r]
	}
	var b strings.Builder
	need := func(p, option string) {
		if !has(p) && !w.seen["drop:"+p] {
			b.WriteString(`\usepackage` + option + "{" + p + "}\n")
		}
	}
	need("graphicx", "")
	need("booktabs", "")
	need("amsmath", "")
	need("amssymb", "")
	if strings.Contains(text, `\multirow`) {
		need("multirow", "")
	}
	if strings.Contains(text, `\begin{tabularx}`) {
		need("tabularx", "")
	}
	if strings.Contains(text, `\begin{subfigure}`) {
		need("subcaption", "")
	}
	if strings.Contains(text, `\bm{`) {
		need("bm", "")
	}
	if strings.Contains(text, `\begin{algorithm`) && !has("algorithm2e") {
		need("algorithm", "")
		if !has("algorithmic") && !has("algcompatible") {
			need("algpseudocode", "")
		}
	}
	for _, t := range []string{"theorem", "lemma", "proposition", "definition", "corollary", "remark"} {
		if strings.Contains(text, `\begin{`+t+"}") && !w.known.Environments[t] {
			need("amsthm", "")
			b.WriteString(`\newtheorem{` + t + "}{" + strings.ToUpper(t[:1]) + t[1:] + "}\n")
		}
	}
	if strings.Contains(text, `\begin{proof}`) && !strings.Contains(b.String(), "{amsthm}") {
		need("amsthm", "")
	}
	if strings.Contains(text, `\cite`) && !has("natbib") && !has("biblatex") {
		option := "[round]"
		if strings.Contains(file, `\bibliographystyle{plain}`) || strings.Contains(file, `\bibliographystyle{unsrt}`) || strings.Contains(file, `\bibliographystyle{ieee`) {
			option = "[numbers]"
		}
		need("natbib", option)
	}
	if w.seen["times"] && !has("times") {
		need("times", "")
	}
	if !has("hyperref") {
		need("url", "")
		b.WriteString("\\providecommand{\\href}[2]{#2}\n\\providecommand{\\texorpdfstring}[2]{#1}\n\\providecommand{\\autoref}[1]{\\ref{#1}}\n")
	}
	return b.String()
}

// furnish adds what only the compiled file has: marks, the statement, page labels and the appendix.
func (w *work) furnish(d *tex.Document, typed []unexplained, findings []check.Finding) {
	room := ""
	if n := len(floatBegin.FindAllStringIndex(d.String(), -1)); n > plentyOfFloats {
		room = "\\extrafloats{" + strconv.Itoa(n) + "}\n\\maxdeadcycles=" + strconv.Itoa(100+n) + "\n"
	}
	d.BeforeBegin("% nullius: marks of the checks\n" + numbers.Preamble + room + "\\setlength{\\emergencystretch}{3em}\n% nullius: end\n\n")
	d.BeforeBibliography("\n\\paragraph{Authorship.} \\emph{" + Statement + "}\\label{" + compile.BodyLabel + "}\n\n")
	appendix := w.appendix(typed, findings)
	if w.in.Settings.Anonymous {
		w.latex["appendix-side.tex"] = []byte(appendix)
		appendix = ""
	}
	d.BeforeEnd("\n" + appendix + "\\label{" + compile.EndLabel + "}\n\n")
}

var floatBegin = regexp.MustCompile(`\\begin\{(?:figure|table|algorithm)\*?\}`)

// plentyOfFloats is from where LaTeX is asked for more room than it has at first (ltnews22, \extrafloats).
const plentyOfFloats = 16

// locate finds the part and paragraph of a line of template.tex.
func (b built) locate(line int) (tex.Role, int) {
	if line <= 0 {
		return "", 0
	}
	start := 0
	for i := 1; i < line; i++ {
		j := strings.IndexByte(b.template[start:], '\n')
		if j < 0 {
			return "", 0
		}
		start += j + 1
	}
	end := len(b.template)
	if j := strings.IndexByte(b.template[start:], '\n'); j >= 0 {
		end = start + j
	}
	for _, p := range b.places {
		if p.start <= end && start <= p.end {
			body := b.template[p.start:p.end]
			at := min(max(end-p.start, 0), len(body))
			return p.role, paragraphAt(body, max(at-1, 0))
		}
	}
	return "", 0
}

// search finds an excerpt of the log in the text.
func (b built) search(excerpt string) (tex.Role, int) {
	if len(excerpt) > 40 {
		excerpt = excerpt[:40]
	}
	if len(excerpt) < 6 {
		return "", 0
	}
	for _, p := range b.places {
		body := b.template[p.start:p.end]
		if i := strings.Index(body, excerpt); i >= 0 {
			return p.role, paragraphAt(body, i)
		}
	}
	return "", 0
}

var packageLine = regexp.MustCompile(`\\usepackage\s*(\[[^\]]*\])?\s*\{([^{}]*)\}`)

// substitutes are used for styles that this installation lacks.
var substitutes = map[string]string{"lmodern": "times", "newtxtext": "times", "newtxmath": "", "fullpage": "geometry", "cmbright": "", "mathpazo": "times"}

// noScalable is what pdfTeX says when a font exists only as a bitmap that would have to be made.
var noScalable = regexp.MustCompile(`[Ff]ont (?:tc|ec|la|t2)[a-z]+[0-9]+ .*not found`)

// addFont answers a missing scalable font with times. It says whether it changed anything.
func (w *work) addFont(res compile.Result) bool {
	for _, p := range res.Problems {
		if noScalable.MatchString(p.Text) && !w.seen["times"] {
			w.seen["times"] = true
			w.found("L06", "the template's font has no scalable form here; times stands in for it")
			return true
		}
	}
	return false
}

// dropStyles takes styles that do not exist here out of the preamble. It says whether it changed anything.
func (w *work) dropStyles(styles []string) bool {
	changed := false
	for _, file := range styles {
		name := strings.TrimSuffix(file, ".sty")
		w.seen["drop:"+name] = true
		for i := range w.frame.Spans {
			sp := &w.frame.Spans[i]
			if sp.Kind != tex.Raw {
				continue
			}
			sp.Head = packageLine.ReplaceAllStringFunc(sp.Head, func(line string) string {
				m := packageLine.FindStringSubmatch(line)
				var kept []string
				hit := false
				for p := range strings.SplitSeq(m[2], ",") {
					if strings.TrimSpace(p) != name {
						kept = append(kept, strings.TrimSpace(p))
						continue
					}
					hit = true
					if s := substitutes[name]; s != "" {
						kept = append(kept, s)
					}
				}
				if !hit {
					return line
				}
				changed = true
				if len(kept) == 0 {
					return ""
				}
				return `\usepackage{` + strings.Join(kept, ",") + "}"
			})
		}
		if changed {
			w.found("L04", "the style "+name+" is not installed; "+substituteText(name))
		}
	}
	return changed
}

func substituteText(name string) string {
	if s := substitutes[name]; s != "" {
		return s + " stands in for it"
	}
	return "it was left out"
}

func encode(v any) []byte {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return []byte(fmt.Sprintf("{\"error\": %q}", err))
	}
	return append(data, '\n')
}
