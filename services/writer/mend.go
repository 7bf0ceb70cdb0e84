package writer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"nullius.dev/kit/llm"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/compile"
	"nullius.dev/services/writer/internal/tex"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// paperOrder is the order of the parts in the file.
func (w *work) paperOrder() []tex.Role {
	var out []tex.Role
	for _, sp := range w.frame.Spans {
		if sp.Role != "" {
			out = append(out, sp.Role)
		}
	}
	return out
}

// settle runs the mends that look at the whole paper: images, labels, references, citations.
func (w *work) settle() {
	used, labels := map[string]bool{}, map[string]bool{}
	for _, l := range check.Labels(w.frame.String()) {
		labels[l] = true
	}
	order := w.paperOrder()
	var all []string
	for _, r := range order {
		l := check.List{Section: r}
		w.parts[r] = l.Images(w.parts[r], w.figures, used)
		w.parts[r] = l.Unlabel(w.parts[r], labels)
		all = append(all, check.Labels(w.parts[r])...)
		w.mended = append(w.mended, l.Findings...)
	}
	for name := range labels {
		all = append(all, name)
	}
	slices.Sort(all)
	for _, r := range order {
		l := check.List{Section: r}
		w.parts[r] = l.References(w.parts[r], all)
		w.parts[r], _ = l.Cites(w.parts[r], w.set.Known)
		w.parts[r] = strings.TrimSpace(w.parts[r])
		w.mended = append(w.mended, l.Findings...)
	}
}

// cited lists the keys in use, in the order of use.
func (w *work) cited() []string {
	var out []string
	for _, r := range w.paperOrder() {
		l := check.List{}
		_, used := l.Cites(w.parts[r], w.set.Known)
		for _, k := range used {
			if !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
		for _, c := range tex.Calls(w.parts[r], map[string]int{"cited": 2}) {
			if len(c.Args) > 0 {
				if k, ok := w.set.Known(strings.TrimSpace(c.Args[0])); ok && !slices.Contains(out, k) {
					out = append(out, k)
				}
			}
		}
	}
	return out
}

// addMissingFloats gives a paper without any table the main one, and a paper without any figure the recorded ones.
func (w *work) addMissingFloats() {
	whole := ""
	for _, r := range allRoles() {
		whole += w.parts[r]
	}
	if !strings.Contains(whole, `\begin{measuredtable}`) && len(w.plan.Tables) > 0 {
		t := w.plan.Tables[0]
		w.parts[tex.Results] = tex.Join([]string{w.parts[tex.Results], `Table~\ref{` + tex.CleanLabel(t.Label) + `} sets the runs side by side.`, t.macro()})
		w.found("G03", "no table of measurements was placed; code put one into the results")
	}
	if strings.Contains(whole, `\includegraphics`) || len(w.figures) == 0 {
		return
	}
	names := figureNames(w.figures)
	for _, name := range names[:min(3, len(names))] {
		label := "fig:" + tex.CleanLabel(strings.TrimSuffix(name, path.Ext(name)))
		caption := tex.Escape(cut(oneLine(w.figures[name]), 600))
		if caption == "" {
			caption = tex.Escape(strings.ReplaceAll(strings.TrimSuffix(name, path.Ext(name)), "_", " "))
		}
		w.parts[tex.Results] = tex.Join([]string{w.parts[tex.Results], `Figure~\ref{` + label + `} shows what the caption describes.`,
			"\\begin{figure}[t]\n\\centering\n\\includegraphics[width=0.85\\linewidth]{" + name + "}\n\\caption{" + caption + "}\n\\label{" + label + "}\n\\end{figure}"})
	}
	w.found("G03", "no figure was included; code put the recorded ones into the results")
}

func strictRole(r tex.Role) bool {
	return r == tex.Title || r == tex.Abstract || r == tex.Results || r == tex.Conclusion
}

// check lists what is wrong with the text as it stands, TeX aside.
func (w *work) check() []check.Finding {
	var out []check.Finding
	whole := ""
	for _, r := range w.paperOrder() {
		body := w.parts[r]
		whole += body + "\n\n"
		add := func(id string, sev check.Severity, at int, text string) {
			out = append(out, check.Finding{ID: id, Severity: sev, Section: r, Paragraph: paragraphAt(body, at), Text: text})
		}
		for _, l := range w.rec.Literals(body, strictRole(r)) {
			sev := check.Blocking
			if l.Advice {
				sev = check.Advice
			}
			text := fmt.Sprintf("the typed number %q in %q leads to no measurement", l.Text, tex.SentenceAt(body, l.Start))
			if len(l.Near) > 0 {
				text += "; perhaps " + strings.Join(l.Near, " or ")
			}
			add(l.ID, sev, l.Start, text)
		}
		_, _, problems := w.rec.Render(body, w.abstracts())
		for _, p := range problems {
			text := fmt.Sprintf("%s: %s", cut(oneLine(p.Macro), 160), p.Why)
			if len(p.Near) > 0 {
				text += "; the record has " + strings.Join(p.Near, ", ")
			}
			id, sev := "N02", check.Blocking
			if p.Advice {
				id, sev = "N09", check.Advice
			}
			add(id, sev, p.Offset, text)
		}
		for _, p := range check.Placeholders(body) {
			add("F07", check.Blocking, p.At, "a placeholder is left: "+p.Text)
		}
		if n := tex.Words(body); r != tex.Title && (n < minWords && r != tex.Abstract || n < 10) {
			add("F08", check.Blocking, 0, fmt.Sprintf("the section has only %d words", n))
		}
	}
	return append(out, w.checkFloats(whole)...)
}

// checkFloats finds figures that no section includes and floats that no sentence mentions.
func (w *work) checkFloats(whole string) []check.Finding {
	var out []check.Finding
	for _, name := range figureNames(w.figures) {
		if !strings.Contains(whole, "{"+name+"}") {
			out = append(out, check.Finding{ID: "G03", Severity: check.Warning, Section: tex.Results, Text: "the figure " + name + " is not included: " + cut(oneLine(w.figures[name]), 160)})
		}
	}
	for _, r := range w.paperOrder() {
		for _, l := range check.Labels(w.parts[r]) {
			if (strings.HasPrefix(l, "fig:") || strings.HasPrefix(l, "tab:")) && !strings.Contains(whole, "ref{"+l+"}") {
				out = append(out, check.Finding{ID: "G04", Severity: check.Warning, Section: r, Paragraph: paragraphAt(w.parts[r], strings.Index(w.parts[r], l)),
					Text: "no sentence mentions " + l})
			}
		}
	}
	return out
}

// paragraphAt numbers the paragraph of a body that holds the offset.
func paragraphAt(body string, at int) int {
	from, n := 0, 0
	for _, p := range tex.Paragraphs(body) {
		i := strings.Index(body[from:], p)
		if i < 0 || from+i > at && n > 0 {
			break
		}
		n++
		from += i + len(p)
		if at < from {
			break
		}
	}
	return max(n, 1)
}

// describe writes findings for a model; roles nil means all.
func describe(findings []check.Finding, roles []tex.Role, most int) []string {
	var out []string
	for _, f := range findings {
		if f.Severity == check.Advice || f.MendedBy != "" || roles != nil && !slices.Contains(roles, f.Section) {
			continue
		}
		where := string(f.Section)
		if f.Paragraph > 0 && where != "" {
			where += fmt.Sprintf(".%d", f.Paragraph)
		}
		if where != "" {
			where += ": "
		}
		if len(out) < most {
			out = append(out, f.ID+" "+where+oneLine(f.Text))
		}
	}
	return out
}

// version is one state of the paper with what is known of it.
type version struct {
	parts    parts
	failed   map[tex.Role]string
	frame    tex.Document
	built    built
	result   compile.Result
	findings []check.Finding
	compiled bool
}

// worse compares by TeX errors, defects and warnings.
func (v version) worse(o version) bool {
	a, b := v.score(), o.score()
	return slices.Compare(a[:], b[:]) > 0
}

func (v version) score() [3]int {
	s := [3]int{v.result.Errors(), 0, 0}
	for _, f := range v.findings {
		switch {
		case f.MendedBy != "":
		case f.Severity == check.Blocking:
			s[1]++
		case f.Severity == check.Warning:
			s[2]++
		}
	}
	return s
}

// version builds and compiles the paper as it stands.
func (w *work) version(ctx context.Context) (version, error) {
	w.settle()
	v := version{parts: maps.Clone(w.parts), failed: maps.Clone(w.failed), frame: w.frame, findings: w.check()}
	for round := 0; ; round++ {
		v.built = w.build(v.findings)
		if !w.s.compiler.Available() {
			return v, nil
		}
		w.say("compiling", "")
		compiler := w.s.compiler
		if w.rescuing {
			compiler.Wall = min(compiler.Wall, 15*time.Second)
		}
		res, err := compiler.Run(ctx, compile.Job{Latex: w.texFiles(v.built.template), Root: w.images, Epoch: w.in.Record.Created})
		if err != nil {
			return v, err
		}
		v.result, v.compiled = res, true
		if styles := compile.MissingStyles(res.Problems); len(styles) > 0 && round < 4 && w.dropStyles(styles) {
			v.frame = w.frame
			continue
		}
		if round < 5 && w.addFont(res) {
			continue
		}
		break
	}
	v.findings = append(v.findings, w.texFindings(v.built, v.result)...)
	return v, nil
}

// texFiles are the files of the latex folder as they are compiled.
func (w *work) texFiles(template string) map[string][]byte {
	files := maps.Clone(w.latex)
	files["template.tex"] = []byte(template)
	files["references.bib"] = []byte(w.set.File(w.cited()))
	return files
}

// texFindings maps the log's problems to paragraphs.
func (w *work) texFindings(b built, res compile.Result) []check.Finding {
	var out []check.Finding
	for _, p := range res.Problems {
		f := check.Finding{ID: p.ID, Severity: check.Blocking, Line: p.Line, Text: p.Text}
		switch {
		case p.ID == "P02" && p.Points > 10:
			f.Severity = check.Warning
		case p.ID == "P02":
			f.Severity = check.Advice
		case p.ID == "L05":
			f.Severity = check.Warning
		}
		f.Section, f.Paragraph = b.locate(p.Line)
		if f.Section == "" && p.Excerpt != "" {
			f.Section, f.Paragraph = b.search(p.Excerpt)
		}
		if p.Excerpt != "" {
			f.Text += " near " + p.Excerpt
		}
		out = append(out, f)
	}
	if limit := w.in.Settings.PageLimit; res.PDF != nil && res.BodyPages > limit {
		out = append(out, check.Finding{ID: "P01", Severity: check.Warning, Text: fmt.Sprintf("the body has %d pages, the limit is %d", res.BodyPages, limit)})
	}
	return out
}

// mend is the loop of code, compiler and model. It returns the best version.
func (w *work) mend(ctx context.Context) (version, error) {
	best, err := w.version(ctx)
	if err != nil {
		return best, err
	}
	idle := 0
	for k := 1; k <= w.in.Settings.MendRounds && idle < 2; k++ {
		open := w.open(best.findings, k == 1)
		if len(open) == 0 {
			break
		}
		w.say("mending", fmt.Sprintf("round %d, %d findings", k, len(open)))
		w.parts, w.failed = maps.Clone(best.parts), maps.Clone(best.failed)
		changed, err := w.askMend(ctx, k, open)
		if err != nil {
			var s *stop
			if errors.As(err, &s) {
				break
			}
			return best, err
		}
		if changed == 0 {
			idle++
			continue
		}
		next, err := w.version(ctx)
		if err != nil {
			return best, err
		}
		if best.worse(next) {
			w.mended = append(w.mended, gone(best.findings, next.findings)...)
			best, idle = next, 0
			continue
		}
		idle++
	}
	w.parts, w.failed, w.frame = maps.Clone(best.parts), maps.Clone(best.failed), best.frame
	return best, nil
}

// gone lists the findings of before that a model mended.
func gone(before, after []check.Finding) []check.Finding {
	left := map[string]int{}
	for _, f := range after {
		left[f.ID+string(f.Section)]++
	}
	var out []check.Finding
	for _, f := range before {
		if f.MendedBy != "" || f.Severity == check.Advice {
			continue
		}
		if k := f.ID + string(f.Section); left[k] > 0 {
			left[k]--
			continue
		}
		f.MendedBy = "model"
		out = append(out, f)
	}
	return out
}

// open are the findings to send back: defects each round, warnings once.
func (w *work) open(findings []check.Finding, first bool) []check.Finding {
	var out []check.Finding
	for _, f := range findings {
		switch {
		case f.MendedBy != "" || f.ID == "L02" || f.ID == "P01" || f.ID == "L05":
		case f.Severity == check.Blocking, f.Severity == check.Warning && first:
			if f.Section != "" {
				out = append(out, f)
			}
		}
	}
	return out
}

// askMend sends the findings with the paragraphs that they concern.
func (w *work) askMend(ctx context.Context, k int, open []check.Finding) (int, error) {
	want := map[tex.Role]map[int]bool{}
	for _, f := range open {
		if want[f.Section] == nil {
			want[f.Section] = map[int]bool{}
		}
		want[f.Section][f.Paragraph] = true
	}
	var b strings.Builder
	var roles []tex.Role
	for _, r := range w.paperOrder() {
		if want[r] == nil {
			continue
		}
		roles = append(roles, r)
		for i, p := range tex.Paragraphs(w.parts[r]) {
			if (want[r][i+1] || want[r][0]) && b.Len() < 40_000 {
				fmt.Fprintf(&b, "%%%%%% %s.%d\n%s\n", r, i+1, p)
			}
		}
	}
	prompt := w.s.prompts.Mend(describe(open, nil, 40), nonEmpty(b.String()))
	if prompt == w.declined {
		return 0, nil // the same question would get the same answer
	}
	r := w.request(fmt.Sprintf("mend-%d", k), "mend", llm.Part{Text: prompt})
	text, ok, err := w.text(ctx, r, nil)
	if err != nil || !ok {
		return 0, err
	}
	if strings.TrimSpace(text) == "NONE" {
		w.declined = prompt
	}
	return w.apply(text, roles, len(roles) == 1), nil
}
