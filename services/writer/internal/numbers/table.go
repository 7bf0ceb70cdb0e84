package numbers

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

// tableSpec is what stands in the braces of a measuredtable.
type tableSpec struct {
	label   string
	caption string
	capAt   int // offset of the caption in the braces
	rows    []string
	cols    []string
	bold    bool
}

const (
	tallTable    = 36 // rows that fit a page beside caption and note
	maxTableRows = 60
	maxTableCols = 14
)

func readTable(inside string) tableSpec {
	var t tableSpec
	open := "" // a list that came without braces
	for _, f := range fields(inside) {
		key, val, ok := strings.Cut(f.text, "=")
		if !ok {
			switch open {
			case "rows":
				t.rows = append(t.rows, listOf(f.text)...)
			case "cols":
				t.cols = append(t.cols, listOf(f.text)...)
			}
			continue
		}
		open = ""
		at := f.at + len(key) + 1 + len(val) - len(strings.TrimLeft(val, " \n\t"))
		val = strings.TrimSpace(val)
		if strings.HasPrefix(val, "{") && strings.HasSuffix(val, "}") {
			val = val[1 : len(val)-1]
			at++
		} else {
			open = strings.TrimSpace(key)
		}
		switch strings.TrimSpace(key) {
		case "label":
			t.label = strings.TrimSpace(val)
		case "caption":
			t.caption, t.capAt = val, at
		case "rows":
			t.rows = listOf(val)
		case "cols":
			t.cols = listOf(val)
		case "bold":
			t.bold = strings.TrimSpace(val) == "best"
		}
	}
	return t
}

type field struct {
	text string
	at   int
}

// fields cuts at commas outside braces and brackets.
func fields(s string) []field {
	var out []field
	depth, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == ',' && depth == 0 {
			out = append(out, field{s[start:i], start})
			start = i + 1
			continue
		}
		switch s[i] {
		case '\\':
			i++
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(0, depth-1)
		}
	}
	return out
}

func listOf(s string) []string {
	var out []string
	for _, f := range fields(s) {
		if t := cleanExpr(f.text); t != "" {
			out = append(out, t)
		}
	}
	return out
}

type column struct {
	id       string
	opts     Options
	decimals int
	bold     map[int]bool
}

func (w *renderer) table(inside string, base int) {
	t := readTable(inside)
	runs, cols := w.tableRuns(t, base), w.tableColumns(t, base)
	if len(runs) == 0 || len(cols) == 0 {
		w.problems = append(w.problems, Problem{Offset: base, Macro: `\begin{measuredtable}`, Why: "the table has no usable row or column",
			Near: w.rec.order[:min(3, len(w.rec.order))]})
		return
	}
	w.b.WriteString("\\begin{table}[t]\n\\centering\n\\caption{")
	w.inline(t.caption, base+t.capAt)
	w.b.WriteString("}\n")
	if t.label != "" {
		w.b.WriteString("\\label{" + tex.CleanLabel(t.label) + "}\n")
	}
	wide := 26 + 15*len(cols)
	scale := wide > 80
	w.b.WriteString("\\small\n")
	if wide > 62 {
		w.b.WriteString("\\setlength{\\tabcolsep}{4pt}\n")
	}
	if scale {
		w.b.WriteString("\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n")
	}
	high := len(runs) > tallTable
	if high {
		w.b.WriteString("\\resizebox*{!}{0.8\\textheight}{%\n")
	}
	w.b.WriteString("\\begin{tabular}{@{}l" + strings.Repeat("r", len(cols)) + "@{}}\n\\toprule\n")
	w.heads(cols)
	w.b.WriteString("\\midrule\n")
	for _, run := range runs {
		w.row(run, cols)
	}
	w.b.WriteString("\\bottomrule\n\\end{tabular}")
	if high {
		w.b.WriteString("}")
	}
	if scale {
		w.b.WriteString("}")
	}
	w.b.WriteString("\n\n\\vspace{3pt}\n{\\footnotesize " + w.note(runs, cols) + "}\n\\end{table}")
}

func (w *renderer) tableRuns(t tableSpec, base int) []Run {
	if len(t.rows) == 0 || slices.Contains(t.rows, "all") || slices.Contains(t.rows, "*") {
		return w.rec.Runs[:min(len(w.rec.Runs), maxTableRows)]
	}
	var out []Run
	for _, name := range t.rows[:min(len(t.rows), maxTableRows)] {
		n, err := strconv.Atoi(strings.TrimPrefix(strings.ReplaceAll(name, "baseline", "run_0"), "run_"))
		run, ok := w.rec.Run(n)
		if err != nil || !ok {
			w.problems = append(w.problems, Problem{Offset: base, Macro: "rows " + name, Why: "there is no such run"})
			continue
		}
		out = append(out, run)
	}
	return out
}

func (w *renderer) tableColumns(t tableSpec, base int) []column {
	var out []column
	for _, spec := range t.cols[:min(len(t.cols), maxTableCols)] {
		id, opt, _ := strings.Cut(spec, "[")
		o, _ := ParseOptions(strings.TrimSuffix(strings.TrimSpace(opt), "]"))
		c := w.rec.find(strings.TrimSpace(id))
		if c == nil {
			w.problems = append(w.problems, Problem{Offset: base, Macro: "column " + spec, Why: fmt.Sprintf("nothing called %q was measured", id), Near: w.rec.near(id)})
			continue
		}
		col := column{id: c.id, opts: o, decimals: tableDecimals(c)}
		if t.bold {
			col.bold = w.rec.bestOf(c)
		}
		out = append(out, col)
	}
	return out
}

// tableDecimals gives a column one number of places: every standard error shows one significant digit at least, most show two.
func tableDecimals(c *cell) int {
	lo, hi := 99, 0
	for _, m := range c.values {
		d := Decimals(Value{V: m.Value, SE: m.SE, SEKnown: m.SEKnown, Integer: !m.SEKnown && m.Value == math.Trunc(m.Value)}, Options{})
		lo, hi = min(lo, d), max(hi, d)
	}
	return min(max(lo, hi-1), 6)
}

// bestOf names the best run and all that cannot be told from it.
func (r *Record) bestOf(c *cell) map[int]bool {
	best, err := r.best(c, false)
	if err != nil {
		return nil
	}
	out := map[int]bool{best: true}
	b := c.values[best]
	for n, m := range c.values {
		t, df, err := r.tTest(Value{V: m.Value, SE: m.SE, SEKnown: m.SEKnown, N: m.N, PerSeed: m.PerSeed},
			Value{V: b.Value, SE: b.SE, SEKnown: b.SEKnown, N: b.N, PerSeed: b.PerSeed})
		if n != best && err == nil && math.Abs(t) < tQuantile(df) {
			out[n] = true
		}
	}
	return out
}

// heads prints datasets over metrics, or metrics alone if there is one dataset.
func (w *renderer) heads(cols []column) {
	var groups []struct {
		name string
		n    int
	}
	for _, c := range cols {
		d := w.rec.cells[c.id].dataset
		if len(groups) > 0 && groups[len(groups)-1].name == d {
			groups[len(groups)-1].n++
			continue
		}
		groups = append(groups, struct {
			name string
			n    int
		}{d, 1})
	}
	at := 2
	if len(groups) > 1 {
		rules := ""
		for _, g := range groups {
			w.b.WriteString(fmt.Sprintf(" & \\multicolumn{%d}{c}{%s}", g.n, Escape(g.name)))
			rules += fmt.Sprintf("\\cmidrule(lr){%d-%d}", at, at+g.n-1)
			at += g.n
		}
		w.b.WriteString(" \\\\\n" + rules + "\n")
	}
	w.b.WriteString("Run")
	for _, c := range cols {
		label := w.rec.Label(c.id)
		if label == w.rec.cells[c.id].metric {
			label = strings.ReplaceAll(label, "_", " ")
		}
		w.b.WriteString(" & " + headOf(label))
	}
	w.b.WriteString(" \\\\\n")
}

const headWidth = 16 // characters of a line of a column's head

// headOf prints a column's head, over several lines if it is long, so that the numbers stand under it.
func headOf(label string) string {
	var lines []string
	for _, word := range strings.Fields(label) {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= headWidth {
			lines[n-1] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	if len(lines) < 2 {
		return Escape(label)
	}
	for i := range lines {
		lines[i] = Escape(lines[i])
	}
	return `\shortstack[r]{` + strings.Join(lines, `\\`) + "}"
}

func (w *renderer) row(run Run, cols []column) {
	label := run.Label
	if label == "" && run.Number == 0 {
		label = "baseline"
	}
	w.b.WriteString(strconv.Itoa(run.Number))
	if label != "" {
		w.b.WriteString("\\quad " + Escape(shorten(label, 34)))
	}
	for _, c := range cols {
		w.b.WriteString(" & ")
		m, ok := w.rec.cells[c.id].values[run.Number]
		if !ok {
			if run.OK {
				w.b.WriteString("---")
			} else {
				w.b.WriteString("\\emph{failed}")
			}
			continue
		}
		w.cell(run, c, m)
	}
	w.b.WriteString(" \\\\\n")
}

func (w *renderer) cell(run Run, c column, m Measurement) {
	text := fixed(m.Value, c.decimals)
	if a := math.Abs(m.Value); a >= 1e6 || a != 0 && a < 1e-3 && c.decimals > 4 {
		text, _ = Format(Value{V: m.Value, SE: m.SE, SEKnown: m.SEKnown, N: m.N}, c.opts)
	} else if c.opts.PM && m.SEKnown {
		text += ` \pm ` + fixed(m.SE, c.decimals)
	}
	u := Use{Kind: "measured", Expr: run.Name() + "/" + c.id, Text: text, Offset: w.b.Len(),
		Value: Value{V: m.Value, SE: m.SE, SEKnown: m.SEKnown, N: m.N, Runs: []int{run.Number}}}
	w.uses = append(w.uses, u)
	if c.bold[run.Number] {
		w.b.WriteString(`{\boldmath$\mathbf{` + text + `}$}`)
		return
	}
	w.b.WriteString("$" + text + "$")
}

func (w *renderer) note(runs []Run, cols []column) string {
	lo, hi, known, pm, bold := 0, 0, true, false, false
	var imported []string
	for _, c := range cols {
		pm = pm || c.opts.PM
		bold = bold || len(c.bold) > 0
		for _, run := range runs {
			m, ok := w.rec.cells[c.id].values[run.Number]
			if !ok {
				continue
			}
			known = known && m.SEKnown
			if m.N > 0 && (lo == 0 || m.N < lo) {
				lo = m.N
			}
			hi = max(hi, m.N)
			if m.Imported && !slices.Contains(imported, run.Name()) {
				imported = append(imported, run.Name())
			}
		}
	}
	var s []string
	what := "Means"
	if pm && known {
		what = "Mean $\\pm$ standard error"
	}
	switch {
	case hi > 0 && lo == hi:
		what += fmt.Sprintf(" over $n=%d$ seeds", hi)
	case hi > 0:
		what += fmt.Sprintf(" over $n=%d$ to $%d$ seeds", lo, hi)
	}
	if !known {
		what += "; no standard error is known for some"
		if hi == 0 {
			what = "Single values; no standard error"
		}
	}
	s = append(s, what+".")
	if bold {
		s = append(s, "Bold: best in its column, and what cannot be told from it at the 95\\,\\% level.")
	}
	if len(imported) > 0 {
		s = append(s, Escape(strings.Join(imported, ", "))+" came with the template and was not measured here.")
	}
	return strings.Join(s, " ")
}

func shorten(s string, n int) string {
	rs := []rune(s)
	if len(rs) <= n {
		return s
	}
	return strings.TrimSpace(string(rs[:n-1])) + "…"
}

// Escape writes plain text for LaTeX.
func Escape(s string) string { return tex.Escape(s) }
