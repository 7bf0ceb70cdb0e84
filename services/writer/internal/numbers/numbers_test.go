package numbers_test

import (
	"strings"
	"testing"

	"nullius.dev/services/writer/internal/numbers"
)

func record() *numbers.Record {
	m := func(v, se float64, seeds ...float64) []numbers.Measurement {
		return []numbers.Measurement{{Dataset: "noise_0.3", Metric: "mse", Value: v, SE: se, SEKnown: se > 0, N: 10, PerSeed: seeds},
			{Dataset: "a b/c", Metric: "50%", Value: 12345, N: 0}, {Dataset: "noise_0.3", Metric: "tiny", Value: 0.00012345 * v, SE: 0.000012, SEKnown: true, N: 10},
			{Dataset: "noise_0.3", Metric: "nan", NotFinite: true}}
	}
	r := &numbers.Record{Runs: []numbers.Run{{Number: 0, OK: true, Measurements: m(0.3391, 0.019, 1, 2, 3)}, {Number: 1, Label: "ridge", OK: true, Measurements: m(0.2304, 0.012, 0.5, 1.2, 2.1)},
		{Number: 2, Label: "broken", Reason: "boom"}}, Metrics: []numbers.Metric{{Name: "mse", Direction: numbers.Minimize}}}
	r.Index()
	r.SetSettings(map[int][]numbers.Setting{0: numbers.ReadSettings("RIDGE = 0.001\nW = [5, 10]\nfit(x, lr=1e-5)\n# X = 7\n"), 1: numbers.ReadSettings("RIDGE = 0.1\nW = [5, 10]\n")})
	r.AddNames("noise_0.3 CIFAR-10")
	return r
}

func TestRecord_Render(t *testing.T) {
	r := record()
	for _, tc := range []struct{ name, in, want string }{
		{"a value takes the decimals of its error", `\measured{run_0/noise_0.3/mse}`, `\ensuremath{0.339}`},
		{"with its error", `\measured[pm]{run_0/noise_0.3/mse}`, `\ensuremath{0.339 \pm 0.019}`},
		{"escaped underscores", `\measured{run\_0/noise\_0.3/mse}`, `\ensuremath{0.339}`},
		{"ids with odd characters", `\measured{run_0/a:b:c/50:}`, `\ensuremath{12{,}345}`},
		{"the best run", `\measured{best/noise_0.3/mse}`, `\ensuremath{0.230}`},
		{"a difference", `\measured[pm,sign]{diff(run_0/noise_0.3/mse, run_1/noise_0.3/mse)}`, `\ensuremath{+0.109 \pm 0.022}`},
		{"a change in per cent", `\measured{change(run_1/noise_0.3/mse,run_0/noise_0.3/mse)}`, `\ensuremath{-32.1\%}`},
		{"per-seed differences", `\measured[pm]{paired(run_1/noise_0.3/mse,run_0/noise_0.3/mse)}`, `\ensuremath{-0.73 \pm 0.12}`},
		{"a small number", `\measured[pm]{run_1/noise_0.3/tiny}`, `\ensuremath{(2.8 \pm 1.2) \times 10^{-5}}`},
		{"the number of seeds", `\measured{n(run_0/noise_0.3/mse)}`, `\ensuremath{10}`},
		{"a p value", `\measured[digits=1]{p(run_0/noise_0.3/mse,run_1/noise_0.3/mse)}`, `\ensuremath{2 \times 10^{-4}}`},
		{"a setting", `\setting{RIDGE} and \setting{run_1:RIDGE}, \setting{lr}, \setting{W.len}`, `0.001 and 0.1, \ensuremath{10^{-5}}, 2`},
		{"a count as a word", `\counted[Word]{failed_runs}`, `One`},
		{"in a heading", `\subsection{At \measured{run_0/noise_0.3/mse}}`, `\subsection{At \texorpdfstring{\ensuremath{0.339}}{0.339}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, uses, problems := r.Render(tc.in, nil)
			if got != tc.want || len(problems) > 0 || len(uses) == 0 {
				t.Errorf("got %q, problems %v", got, problems)
			}
		})
	}
}

func TestRecord_Render_unknown(t *testing.T) {
	r := record()
	for in, why := range map[string]string{
		`\measured{run_9/noise_0.3/mse}`:                                      "there is no run_9",
		`\measured{run_2/noise_0.3/mse}`:                                      "failed",
		`\measured{run_0/noise_0.3/nan}`:                                      "was measured",
		`\measured{run_0/noise_0.3/mes}`:                                      "was measured",
		`\measured{diff(run_0/noise_0.3/mse)}`:                                "takes 2",
		`\measured{best/a:b:c/50:}`:                                           "no direction",
		`\measured{exp(run_0/noise_0.3/mse)}`:                                 "no function",
		`\measured{}`:                                                         "empty",
		`\measured{` + strings.Repeat("diff(", 90) + `}`:                      "longer than",
		`\setting{nothing}`:                                                   "no code sets",
		`\counted{stars}`:                                                     "nothing counts",
		`\begin{measuredtable}{cols={none/x}}\end{measuredtable}`:             "nothing called",
		`\measured{paired(run_0/noise_0.3/tiny,run_1/noise_0.3/tiny)}`:        "equal length",
		`\measured[percent]{ratio(run_0/noise_0.3/mse,run_1/noise_0.3/tiny)}`: "percent is for",
	} {
		_, _, problems := r.Render(in, nil)
		if len(problems) == 0 || !strings.Contains(problems[0].Why, why) {
			t.Errorf("%s: %v, want %q", in, problems, why)
		}
	}
}

func TestRecord_Literals(t *testing.T) {
	r := record()
	for _, tc := range []struct {
		name, in string
		strict   bool
		want     string // ids of what is no advice
	}{
		{"a typed number", "The error is 0.339 here.", true, "N01"},
		{"digits in mathematics", "$p = 100$", true, "N01"},
		{"names of the record", `On noise\_0.3 and CIFAR-10 the 2D case`, true, ""},
		{"references", `\measured{run_0/noise_0.3/mse} in Figure~\ref{fig:1} \citep{a2020}`, true, ""},
		{"a comparison's references but not its words", `\compare{run_1/noise_0.3/mse}{run_0/noise_0.3/mse}{it fell by 7}`, true, "N01"},
		{"sub- and superscripts", `$x_{12} + R^2 + \ell_2$`, true, ""},
		{"a power of ten", `$3 \times 10^{-4}$`, true, "N01 N01 N01"},
		{"number words", "about forty-two runs and dozens", true, "N04 N04"},
		{"Roman numerals", "run II", true, "N03"},
		{"a decimal elsewhere", "a rate of 0.5 and 7 layers", false, "N01"},
		{"a whole number elsewhere", "100 points", false, ""},
		{"a caption elsewhere", `\caption{All 7 of them} 7`, false, "N01"},
		{"the caption of a generated table", `\begin{measuredtable}{label=tab:1, caption={Has 12}, rows={run_0}, cols={noise_0.3/mse}}\end{measuredtable}`, true, "N01"},
		{"an exponent", "about 3.1e-2 of it", true, "N01"},
		{"an exponent elsewhere", "a rate of 3e-4 and .05", false, "N01 N01"},
		{"a year and a full stop", "in 2019. Fig.7 shows", false, ""},
		{"a percentage behind a space", `12\,\% or $12$ percent`, true, "N01 N01"},
		{"about", `$\sim$0.4 and $\approx 7$ and 2.5$\times$`, true, "N01 N01 N01"},
		{"thousands", `1,234.5 and 1\,000 and 1{,}000`, true, "N01 N01 N01"},
		{"fractions", `$\frac{3}{4}$ or 7/8`, true, "N01 N01 N01 N01"},
		{"a number as an index of nothing", `{}$_{88}$ and {}_{77} and a\_9`, true, "N01 N01 N01"},
		{"a number as a raised text", `\textsuperscript{93} of $x\textsuperscript{2}$`, true, "N01"},
		{"indices of text", `x\textsubscript{1} and $\hat{y}_{12}$ and $\theta_i^{(1)}$`, true, "N01"},
		{"a tag of an equation", `\begin{equation} x \tag{0.97} \end{equation}`, true, "N01"},
		{"the name of a theorem", `\begin{theorem}[Accuracy 0.93] x \end{theorem}`, false, "N01"},
		{"the place of a float", `\begin{figure}[h!]\begin{enumerate}[1.] x`, true, ""},
		{"text that TeX does not read", "\\begin{verbatim}\nacc = 0.97 of 40\n\\end{verbatim}", true, "N01 N01"},
		{"the same elsewhere", "\\begin{verbatim}\nacc = 0.97 of 40\n\\end{verbatim}", false, "N01"},
		{"an item's mark", `\item[93\%] of them`, true, "N01"},
		{"a footnote and a heading", `\footnote{7 runs} \subsection{The 8}`, true, "N01 N01"},
		{"lengths and columns", `\begin{tabular}{p{3cm}l} a \\[2pt] \multicolumn{2}{c}{b} \end{tabular}`, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ids []string
			for _, l := range r.Literals(tc.in, tc.strict) {
				if !l.Advice {
					ids = append(ids, l.ID)
				}
			}
			if got := strings.Join(ids, " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRecord_Render_table(t *testing.T) {
	got, uses, problems := record().Render(`\begin{measuredtable}{label=tab:m, caption={Errors at \measured{run_0/noise_0.3/mse}.}, rows={run_0, run_1, run_2}, cols={noise_0.3/mse[pm]}, bold=best}\end{measuredtable}`, nil)
	for _, want := range []string{`\caption{Errors at \ensuremath{0.339}.}`, `\label{tab:m}`, `0\quad baseline & $0.339 \pm 0.019$`, `{\boldmath$\mathbf{0.230 \pm 0.012}$}`, `\emph{failed}`, "seeds"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
	if len(uses) != 3 || len(problems) != 0 || !strings.HasPrefix(got[uses[1].Offset:], "$0.339") {
		t.Errorf("uses %v, problems %v", uses, problems)
	}
}

func TestMarkLiterals(t *testing.T) {
	r := record()
	src := "It is 0.97.\n\\begin{verbatim}\n0.5 and 0.6\n\\end{verbatim}\nMore."
	if got, want := numbers.MarkLiterals(src, r.Literals(src, true)), "It is 0.97"+numbers.Mark+".\n\\begin{verbatim}\n0.5 and 0.6\n\\end{verbatim}"+numbers.Mark+"\nMore."; got != want {
		t.Errorf("got %q", got)
	}
}

func TestRecord_Render_cited(t *testing.T) {
	quotes := numbers.Abstracts{"k": "We find an accuracy of 0.9 in all cases."}
	for in, want := range map[string]string{
		`\cited{k}{an accuracy of 0.9}`: "``an accuracy of 0.9''~\\citep{k}",
		`\cited{k}{an accuracy of 0.8}`: numbers.Gap + `~\citep{k}`,
		`\cited{x}{anything}`:           numbers.Gap + `~\citep{x}`,
	} {
		got, _, problems := record().Render(in, quotes)
		if got != want || (len(problems) > 0) != strings.Contains(want, numbers.Gap) {
			t.Errorf("%s: got %q, problems %v", in, got, problems)
		}
	}
}

func TestRecord_Render_odd(t *testing.T) {
	for in, want := range map[string]string{
		`\measured{\measured{run_0/noise_0.3/mse}}`:                          `\ensuremath{0.339}`,
		`\measured{\texttt{run\_0/noise\_0.3/mse}}`:                          `\ensuremath{0.339}`,
		`\measured{ run_0 / noise_0.3 / mse }`:                               numbers.Gap,
		`\measured[digits=2]{run_0/noise_0.3/mse}`:                           `\ensuremath{0.34}`,
		`\measured[ci]{run_0/noise_0.3/mse}`:                                 `\ensuremath{[0.296, 0.382]}`,
		`\measured[abs]{diff(run_1/noise_0.3/mse,run_0/noise_0.3/mse)}`:      `\ensuremath{0.109}`,
		`\measured{ratio(run_1/noise_0.3/mse,run_0/noise_0.3/mse)}`:          `\ensuremath{0.679}`,
		`\measured[percent]{ratio(run_1/noise_0.3/mse,run_0/noise_0.3/mse)}`: `\ensuremath{67.9\%}`,
		`\measured{avg(run_0/*/mse)}`:                                        `\ensuremath{0.339}`,
		`\measured{se(run_0/noise_0.3/mse)}`:                                 `\ensuremath{0.0190}`,
		`\measured{bestnew/noise_0.3/mse}`:                                   `\ensuremath{0.230}`,
		`\setting{W}`:                                                        `\ensuremath{5,\allowbreak\ 10}`,
		`\counted{runs}`:                                                     `1`,
		`\need{a}{b}`:                                                        ``,
	} {
		if got, _, _ := record().Render(in, nil); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	table := `\begin{measuredtable}{label=tab:m, caption={C}, rows=run_0, run_1, cols=noise_0.3/mse[pm], noise_0.3/tiny}\end{measuredtable}`
	if got, uses, problems := record().Render(table, nil); len(uses) != 4 || len(problems) != 0 {
		t.Errorf("lists without braces: %d uses, problems %v\n%s", len(uses), problems, got)
	}
}

func TestRecord_Label(t *testing.T) {
	r := &numbers.Record{Runs: []numbers.Run{{OK: true, Measurements: []numbers.Measurement{{Dataset: "d", Metric: "mse", Value: 1}, {Dataset: "e", Metric: "mse", Value: 1}}}},
		Metrics: []numbers.Metric{{Dataset: "d", Name: "mse", Direction: numbers.Minimize}, {Name: "mse", Label: "test error"}}}
	r.Index()
	for _, id := range []string{"d/mse", "e/mse"} { // an idea names its metric, the template says what people call it
		if r.Label(id) != "test error" || r.DirectionOf(id) != numbers.Minimize {
			t.Errorf("%s: %q %v", id, r.Label(id), r.DirectionOf(id))
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add(`\measured[pm]{paired(run_0/noise_0.3/mse,run_1/noise_0.3/mse)} \begin{measuredtable}{caption={x}, cols={noise_0.3/mse}}\end{measuredtable} 7 \\[2pt]`)
	r := record()
	f.Fuzz(func(t *testing.T, s string) {
		r.Render(s, nil)
		marked := numbers.MarkLiterals(s, r.Literals(s, true))
		if strings.ReplaceAll(marked, numbers.Mark, "") != strings.ReplaceAll(s, numbers.Mark, "") {
			t.Error("marking changed the text")
		}
	})
}
