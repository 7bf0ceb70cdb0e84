package writer_test

import (
	"strings"
	"testing"

	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

func goodReplies() map[string]string {
	filler := "The procedure follows the recorded code without any deviation, and every choice that matters for a repetition is named in the list of settings of the study. The reader can therefore follow each step, from the draw of the random features to the closed-form solution of the regression problem."
	return map[string]string{
		"outline":      `{"title":"A Tiny Ridge Removes the Interpolation Peak and Little Else","question":"What removes the peak?","answer":"A small ridge.","claims":[{"claim":"A small ridge lowers the error at the threshold.","refs":["change(run_1/noise_0.3/mse_widest,run_0/noise_0.3/mse_widest)","paired(run_1/noise_0.3/log10_mse_threshold,run_0/noise_0.3/log10_mse_threshold)"]}],"sections":[{"section":"introduction","points":["why"]}],"figures":[{"file":"test_error.png","section":"results","shows":"error"}],"tables":[{"label":"tab:main","section":"results","caption":"All runs","rows":["run_0","run_1"],"cols":["noise_0.3/mse_widest[pm]"]}],"notation":["p: width"],"needs":[{"query":"double descent linear regression","why":"prior account of the peak","section":"related"}]}`,
		"citations":    `{"picks":[{"need":1,"keys":["doe2020"]}]}`,
		"citations-2":  `{"picks":[{"need":1,"keys":["roe1970"]}]}`,
		"method/draft": "We change the solver of a random-feature regression. With features $\\phi(x) = \\max(Wx, 0)/\\sqrt{p}$ the ridge solution is\n\\begin{equation}\n\\hat\\theta = (\\Phi^\\top\\Phi + \\lambda I)^{-1}\\Phi^\\top y,\n\\label{eq:ridge}\n\\end{equation}\nwith $\\lambda$ as in each run; the baseline takes the limit of minimum norm.\n\n" + filler + "\n\n\\paragraph{Runs.} Run by run, Equation~\\ref{eq:ridge} is used with $\\lambda = \\setting{RIDGE}$ or a larger value, then with other features.",
		"setup/draft":  "The training set has \\setting{N_TRAIN} points, and widths are \\setting{WIDTHS}. We repeat each run over \\counted{seeds} seeds and report means with standard errors over seeds.\n\n" + filler,
		"results/draft": "\\begin{measuredtable}{label=tab:main, caption={Errors of all runs; lower is better.}, rows={run_0, run_1, run_2, run_3, run_4}, cols={noise_0.3/log10_mse_threshold[pm], noise_0.3/mse_widest[pm], noise_0.3/mse_narrow[pm]}, bold=best}\\end{measuredtable}\n\nTable~\\ref{tab:main} shows that the error at the threshold falls from \\measured[pm]{run_0/noise_0.3/log10_mse_threshold} to \\measured[pm]{run_1/noise_0.3/log10_mse_threshold} in log units, a paired change of \\measured[pm,sign]{paired(run_1/noise_0.3/log10_mse_threshold,run_0/noise_0.3/log10_mse_threshold)}. " + filler +
			"\n\n\\begin{figure}[t]\n\\centering\n\\includegraphics[width=0.9\\linewidth]{test_error.png}\n\\caption{Test error against width. The peak sits where width equals sample size.}\n\\label{fig:error}\n\\end{figure}\n\nFigure~\\ref{fig:error} shows the curves. At the largest width the change is \\measured[sign]{change(run_1/noise_0.3/mse_widest,run_0/noise_0.3/mse_widest)}, within its standard error of \\measured{se(run_1/noise_0.3/mse_widest)} \\citep{belkin2018reconciling}. The best run at the widest model reaches \\measured{best/noise_0.3/mse_widest}.\n\n\\begin{figure}[t]\n\\centering\n\\includegraphics[width=0.6\\linewidth]{threshold.png}\n\\caption{Error at the threshold.}\n\\label{fig:threshold}\n\\end{figure}\n\nFigure~\\ref{fig:threshold} repeats the threshold values. The run with the mean of draws failed in all its tries and shows nothing.",
		"introduction/draft": "Why does the test error of an interpolating model peak where parameters equal samples \\citep{belkin2018reconciling,hastie2019surprises}? " + filler + "\n\nContributions:\n\\begin{itemize}\n\\item a comparison of \\counted[word]{runs} changes, in Table~\\ref{tab:main};\n\\item an honest account of what did not work.\n\\end{itemize}",
		"background/draft":   "Let $p$ be the number of features and $n$ the number of training points; interpolation begins at $p = n$. " + filler,
		"related/draft":      "\\citet{nakkiran2019deep} describe the effect in deep networks, and \\citet{nakkiran2020optimal} show that optimal regularisation removes it. We instead ask what a tiny penalty does \\need{ridge regression}{classical source of ridge}. " + filler,
		"conclusion/draft":   "%%% title\nA Tiny Ridge Removes the Interpolation Peak and Little Else\n%%% abstract\nThe test error of interpolating models peaks where the number of parameters equals the number of samples. We ask what removes this peak and at what price, in random-feature regression where every run can be repeated. A tiny ridge changes the logarithm of the error at the threshold by \\measured[pm,sign]{paired(run_1/noise_0.3/log10_mse_threshold,run_0/noise_0.3/log10_mse_threshold)} over \\counted{seeds} seeds, while the widest model changes within its standard error. One of the planned runs failed and is reported as such.\n%%% conclusion\nA tiny ridge removes the peak in this setting and changes little else; a larger one helps wide models too. What was not seen is any effect that depends on the failed run. " + filler,
		"results/refine":     "%%% results.2+\nNo claim is made about widths that were not run; the comparison is fair in that all runs share seeds, data and evaluation code of the study.",
	}
}

func TestService_WritePaper(t *testing.T) {
	f := newFixture(t, nil)
	m := &book{replies: goodReplies()}
	p, err := write(t, dial(t, f, m, library{}, box(t)), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, "template.tex", file(t, f, p.GetSnapshot(), "latex/template.tex"))
	keep(t, "template.log", file(t, f, p.GetSnapshot(), "latex/template.log"))
	keep(t, "verification.json", file(t, f, p.GetSnapshot(), "verification.json"))
	keep(t, "findings.txt", findings(p, false))
	if p.GetOutcome() != writerv1.Paper_COMPILED {
		t.Fatalf("%s: %s\n%s", p.GetOutcome(), p.GetReason(), findings(p, false))
	}
	keep(t, "paper.pdf", file(t, f, p.GetSnapshot(), p.GetPdfPath()))
	if open := findings(p, true); open != "" {
		t.Errorf("open findings:\n%s", open)
	}
	if p.GetNumbersUnexplained() != 0 || p.GetNumbersMeasured() < 10 || p.GetCitations() < 5 {
		t.Errorf("unexplained %d, measured %d, citations %d", p.GetNumbersUnexplained(), p.GetNumbersMeasured(), p.GetCitations())
	}
	if s := file(t, f, p.GetSnapshot(), "latex/source.tex"); !strings.Contains(s, `\measured`) || strings.Contains(s, "0.331") {
		t.Error("source.tex must hold references, no digits")
	}
	again, err := write(t, dial(t, f, &book{replies: goodReplies()}, library{}, box(t)), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.GetSnapshot() != p.GetSnapshot() {
		t.Error("the same step gave another snapshot")
	}
	t.Log(m.calls())
	var total int64
	for _, r := range m.asked {
		total += int64(len(r.System[0].Text)+len(r.System[1].Text)) / 4
		for _, part := range r.Messages[0].Parts {
			total += int64(len(part.Text)) / 4
		}
	}
	t.Logf("%d prompt tokens", total)
}
