package writer

import (
	"fmt"
	"strings"

	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/tex"
)

type findingJSON struct {
	ID        string   `json:"id"`
	Severity  string   `json:"severity"`
	Section   tex.Role `json:"section,omitempty"`
	Paragraph int      `json:"paragraph,omitempty"`
	Line      int      `json:"line,omitempty"`
	Text      string   `json:"text"`
	MendedBy  string   `json:"mended_by"`
}

type pagesJSON struct {
	Body  int `json:"body"`
	Total int `json:"total"`
}

type costJSON struct {
	Calls        int   `json:"calls"`
	InputTokens  int64 `json:"input_tokens"`
	CacheRead    int64 `json:"cache_read_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	PicoDollars  int64 `json:"pico_dollars"`
}

// verificationJSON is verification.json, schema 1. Comparisons, interpretations and read-back have their place, empty until they are checked.
type verificationJSON struct {
	Schema          int            `json:"schema"`
	Outcome         Outcome        `json:"outcome"`
	Paper           store.Digest   `json:"paper"`
	Pages           pagesJSON      `json:"pages"`
	Numbers         []number       `json:"numbers"`
	Unexplained     []unexplained  `json:"unexplained"`
	Comparisons     []struct{}     `json:"comparisons"`
	Interpretations int            `json:"interpretations"`
	Citations       citationRecord `json:"citations"`
	Findings        []findingJSON  `json:"findings"`
	Figures         string         `json:"figures"`
	Models          []string       `json:"models"`
	Cost            costJSON       `json:"cost"`
	TraceID         string         `json:"trace_id"`
	Authorship      string         `json:"authorship"`
}

func (w *work) verification(v version, res Result) verificationJSON {
	out := verificationJSON{Schema: 1, Outcome: res.Outcome, Paper: res.PDFDigest, Pages: pagesJSON{res.BodyPages, res.Pages}, Numbers: v.built.numbers,
		Unexplained: v.built.typed, Comparisons: []struct{}{}, Citations: w.cites, Figures: "not looked at", TraceID: w.in.Record.TraceID, Authorship: Statement,
		Models: []string{w.in.Settings.Model}, Findings: []findingJSON{},
		Cost: costJSON{w.usage.Calls, w.usage.Input, w.usage.CacheRead, w.usage.Output, w.usage.CostPico}}
	for _, list := range []*[]string{&out.Citations.Removed, &out.Citations.Unresolved, &out.Citations.Corrected} {
		if *list == nil {
			*list = []string{}
		}
	}
	for _, f := range res.Findings {
		if f.ID == "B01" && f.MendedBy == "code" {
			out.Citations.Removed = append(out.Citations.Removed, f.Text)
		}
	}
	if out.Numbers == nil {
		out.Numbers = []number{}
	}
	if out.Unexplained == nil {
		out.Unexplained = []unexplained{}
	}
	for _, f := range res.Findings {
		out.Findings = append(out.Findings, findingJSON{f.ID, f.Severity.String(), f.Section, f.Paragraph, f.Line, f.Text, f.MendedBy})
	}
	return out
}

// provenanceJSON leads from each reference of the paper to its runs.
type provenanceJSON struct {
	Schema     int              `json:"schema"`
	Runs       []runJSON        `json:"runs"`
	References []provenanceLine `json:"references"`
}

type runJSON struct {
	Number   int    `json:"number"`
	Label    string `json:"label"`
	Outcome  string `json:"outcome"`
	Snapshot string `json:"snapshot"`
	Code     string `json:"code"`
}

type provenanceLine struct {
	Expr string `json:"expr"`
	Kind string `json:"kind"`
	Runs []int  `json:"runs,omitempty"`
	Text string `json:"text"`
	Uses int    `json:"uses"`
}

func (w *work) provenance(v version) provenanceJSON {
	out := provenanceJSON{Schema: 1, References: []provenanceLine{}}
	for _, r := range w.rec.Runs {
		out.Runs = append(out.Runs, runJSON{r.Number, r.Label, outcomeWord(r.OK, r.Skipped), r.Snapshot, r.Code})
	}
	index := map[string]int{}
	for _, n := range v.built.numbers {
		k := n.Kind + n.Expr + n.Text
		if i, ok := index[k]; ok {
			out.References[i].Uses++
			continue
		}
		index[k] = len(out.References)
		out.References = append(out.References, provenanceLine{n.Expr, n.Kind, n.Runs, n.Text, 1})
	}
	return out
}

func outcomeWord(ok, skipped bool) string {
	switch {
	case ok:
		return "succeeded"
	case skipped:
		return "skipped"
	}
	return "failed"
}

// appendix is a page by code: which runs the paper rests on, and how it was made.
func (w *work) appendix(typed []unexplained, findings []check.Finding) string {
	var b strings.Builder
	b.WriteString("\\clearpage\n\\appendix\n\\section{Provenance}\n\\label{nullius:provenance}\n\n")
	b.WriteString("This page was written by code. Table~\\ref{nullius:runs} lists every run of the study, failed ones included; snapshots are named by the first digits of their SHA-256.\n\n")
	b.WriteString("\\begin{table}[h]\n\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}\n\\caption{Runs and their records.}\n\\label{nullius:runs}\n\\begin{tabular}{@{}rp{0.34\\linewidth}lrll@{}}\n\\toprule\n")
	b.WriteString("Run & Label & Outcome & Tries & Snapshot & Code \\\\\n\\midrule\n")
	for _, r := range w.rec.Runs[:min(len(w.rec.Runs), 30)] {
		label := r.Label
		if label == "" && r.Number == 0 {
			label = "baseline"
		}
		fmt.Fprintf(&b, "%d & %s & %s & %d & \\texttt{%s} & \\texttt{%s} \\\\\n", r.Number, tex.Escape(cut(oneLine(label), 70)), outcomeWord(r.OK, r.Skipped), r.Tries,
			shortDigest(r.Snapshot), shortDigest(r.Code))
	}
	b.WriteString("\\bottomrule\n\\end{tabular}\n\\end{table}\n\n")
	for _, r := range w.rec.Runs[:min(len(w.rec.Runs), 30)] {
		if !r.OK && r.Reason != "" {
			fmt.Fprintf(&b, "Run %d %s: %s.\n\n", r.Number, outcomeWord(r.OK, r.Skipped), tex.Escape(strings.TrimRight(cut(oneLine(r.Reason), 160), ". ")))
		}
	}
	open := 0
	for _, f := range findings {
		if f.Severity == check.Blocking && f.MendedBy == "" {
			open++
		}
	}
	traced := "No number was typed where a measurement belongs."
	if n := len(typed); n > 0 {
		traced = fmt.Sprintf("%d typed %s could not be traced to a measurement and %s a raised question mark.", n, plural(n, "number", "numbers"), plural(n, "carries", "carry"))
	}
	fmt.Fprintf(&b, "\\paragraph{Numbers.} Every number printed through a reference is listed with its run in the verification file. %s Open findings of the checks: %d.\n\n", traced, open)
	model := withoutAddress(w.in.Settings.Model)
	if strings.HasPrefix(model, "recording/") {
		model = "recorded answers (" + shortDigest(strings.TrimPrefix(model, "recording/")) + ")"
	}
	fmt.Fprintf(&b, "\\paragraph{How it was made.} Text by %s. Template: %s. Figures: not looked at by a model.", tex.Escape(cut(model, 100)), tex.Escape(nonEmpty(cut(w.in.Record.Template, 60))))
	if w.cites.Searched > 0 {
		fmt.Fprintf(&b, " Literature searches: %d", w.cites.Searched)
		if n := w.cites.Unavailable; n > 0 {
			fmt.Fprintf(&b, ", of which %d found no engine to answer", n)
		}
		b.WriteString(".")
	}
	if u := w.in.Record.Usage; u.Calls > 0 {
		fmt.Fprintf(&b, " Before writing, the idea had used %d model calls", u.Calls)
		if u.CostPico > 0 {
			fmt.Fprintf(&b, " and \\$%.4f", float64(u.CostPico)/1e12)
		}
		b.WriteString(".")
	}
	if t := w.in.Record.TraceID; t != "" {
		fmt.Fprintf(&b, " Trace: \\texttt{%s}.", tex.Escape(cut(t, 64)))
	}
	return b.String() + "\n\n"
}

// withoutAddress drops the address of a server of one's own from a model's name (models.md section 5): a paper names the model, not the machine.
func withoutAddress(model string) string {
	if i := strings.LastIndex(model, "@http"); i > 0 {
		return model[:i]
	}
	return model
}

func shortDigest(d string) string {
	d = strings.TrimPrefix(d, "sha256:")
	return tex.CleanLabel(d[:min(len(d), 8)])
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
