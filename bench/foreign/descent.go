package foreign

import "strings"

const descentSteady = "All runs share their seeds, their splits and their noise, so that two curves differ by the change of the code alone and the spread over seeds can be read beside it. The narrow model is chosen on the validation points and judged on the test points, which nothing in the program looks at before."

// DoubleDescent answers for the template double_descent in its own way: four runs instead of five, each in another form of edit, a crash in the second, a plotting
// script of its own that fails at first, and LaTeX with the habits of chat models.
func DoubleDescent() Mind {
	return Mind{
		Idea: `{"Name": "shrink_or_squash", "Title": "Shrinkage or squashing: which of them flattens the interpolation peak?", "Hypothesis": "Shrinkage flattens the peak and another nonlinearity does not.",
 "Experiment": "Change fit to a ridge solution, then change features and random_layer, each beside the unchanged program, and compare the error at the threshold.",
 "PrimaryMetric": {"name": "log10_mse_threshold", "dataset": "noise_0.3", "direction": "minimize"},
 "PlannedRuns": [{"name": "weak ridge", "change": "fit adds a small ridge", "expected": "the peak falls"}],
 "Risks": "Few seeds.", "Interestingness": "6", "Feasibility": 9.0, "Novelty": 3}`,
		Query: "ridge regularisation double descent",
		Plan: `{"runs": [
 {"name": "weak ridge", "change": "fit divides by sigma squared plus a small ridge", "expected": "the peak falls"},
 {"name": "stronger ridge", "change": "the ridge is larger", "expected": "the peak falls further"},
 {"name": "tanh features", "change": "features use tanh", "expected": "no change of the peak"},
 {"name": "uniform layer", "change": "random_layer draws from a uniform distribution", "expected": "no change at all"}]}`,
		Run: descentRun,
		Repair: func(p Prompt, _ int) string {
			return "A typo of mine.\n\n" + whole("experiment.py", strings.Replace(p.File("experiment.py"), "np.linalgebra.svd", "np.linalg.svd", 1))
		},
		Plots:    descentPlots,
		Describe: "Test error at the threshold and over the width, for the baseline and the runs, with bands of one standard error. The runs with a ridge lie lowest at the threshold.",
		Note:     "The one change of this run was made in the function that the plan names. Beside the baseline the error at the threshold moved as the table shows; a difference within the spread over seeds counts as none.",
		Outline: "<think>\nWhat would a reader want? {\"title\": \"not this one\"}\n</think>\n" + `{"title": "Shrinkage, Not Squashing, Flattens the Interpolation Peak", "question": "What flattens the peak?", "answer": "Shrinkage does.",
 "claims": [{"claim": "A weak ridge lowers the error at the threshold.", "refs": ["paired(run_1/noise_0.3/log10_mse_threshold,run_0/noise_0.3/log10_mse_threshold)"]}],
 "sections": [{"section": "introduction", "points": ["why"]}, {"section": "method", "points": ["the ridge"]}, {"section": "results", "points": ["the table", "the curves"]}],
 "figures": [{"file": "curves.png", "section": "results", "shows": "error over width"}, {"file": "peak.png", "section": "results", "shows": "the peak"}],
 "tables": [{"label": "tab:main", "section": "results", "caption": "Error at the threshold", "rows": ["run_0", "run_1"], "cols": ["noise_0.3/log10_mse_threshold[pm]"]}],
 "notation": ["p: width", "n: training points"], "needs": [{"query": "double descent interpolation threshold", "why": "the phenomenon", "section": "introduction"}, {"query": "benign overfitting linear regression", "why": "the theory", "section": "related"}]}`,
		Closing: "Here are the three parts.\n\n%%% title\nShrinkage, Not Squashing, Flattens the Interpolation Peak\n%%% abstract\nModels with as many parameters as training points can err badly, and both smaller and larger ones do better. We ask whether shrinkage or the shape of the features decides about this peak. With random features we change one function at a time. A weak ridge changes the logarithm of the error at the threshold by \\measured[pm]{paired(run_1/noise_0.3/log10_mse_threshold,run_0/noise_0.3/log10_mse_threshold)}. " +
			descentSteady + "\n%%% conclusion\n" + descentSteady + "\n\n\\interp{Other data may behave in another way.}",
		Sections: map[string]string{
			"method": "```latex\n\\section{Method}\n\\label{sec:method}\nThe read-out solves a regularised problem, with λ ≥ 0 as its weight:\n\\begin{equation}\n\\hat w = \\arg\\min_w \\|\\Phi w - y\\|^2 + \\lambda \\|w\\|^2 .\n\\label{eq:ridge}\n\\end{equation}\nEquation~\\ref{eq:ridge} has a **closed form** by the singular values.\n\n- the weak ridge changes `fit`\n- the squashing changes `features`\n\n" + descentSteady + "\n```",
			"results": "\\begin{measuredtable}{label=tab:main, caption={Error at the threshold and beyond it; lower is better.}, rows={run_0, run_1, run_2, run_3, run_4}, cols={noise_0.3/log10_mse_threshold[pm], noise_0.3/mse_widest[pm], noise_1.0/mse_narrow[pm]}, bold=best}\\end{measuredtable}\n\n" +
				"Table~\\ref{tab:main} has all runs. At medium noise \\compare{run_1/noise_0.3/log10_mse_threshold}{run_0/noise_0.3/log10_mse_threshold}{a weak ridge lowers the error at the threshold}, from \\measured[pm]{run_0/noise_0.3/log10_mse_threshold} to \\measured[pm]{run_1/noise_0.3/log10_mse_threshold}. " +
				"A reference that was made up reads \\measured{run_7/noise_0.3/log10_mse_threshold}, and a number that was typed reads 0.4711 here. " + descentSteady +
				"\n\n\\begin{figure}[h]\n\\centering\n\\includegraphics[width=\\linewidth]{curves.png}\n\\caption{Test error over the width.}\n\\label{fig:curves}\n\\end{figure}\n\n\\begin{figure}[h]\n\\centering\n\\includegraphics[width=0.7\\textwidth]{peek.png}\n\\caption{Error at the threshold.}\n\\label{fig:peak}\n\\end{figure}\n\nFigure~\\ref{fig:curves} shows the curves and Figure~\\ref{fig:peak} their peaks. " + descentSteady +
				"\n\n\\section{Conclusion}\nThis does not belong here.",
			"related": "\\documentclass{article}\n\\begin{document}\n\\section{Related Work}\nThe peak has been described before \\need{double descent}{the phenomenon}, also by someone whom nobody knows \\citep{nobody2031}. " + descentSteady + "\n\\end{document}",
			"setup":   "We use \\counted{runs} runs. " + descentSteady + " Costs are 5% & rising, and a_b stays.\n\n" + descentSteady,
		},
		Steady:   descentSteady,
		Revision: "Bands and bars show one standard error over seeds, which all runs share, so that differences between runs are paired by seed.",
		Criticism: `"Summary": "A study of what flattens the peak.", "Strengths": ["paired seeds"], "Weaknesses": ["one kind of data"], "Questions": ["What do the bands show?"], "Limitations": ["random features only"], ` +
			`"Comments": [{"claim": "The bands are not explained.", "severity": "major", "item": "Clarity", "strength": false, "quotes": [], "absent": "confidence band"}]`,
	}
}

func descentRun(p Prompt, n int) string {
	switch n {
	case 1:
		return "A ridge.\n\n### experiment.py\n\n------- SEARCH\nimport evaluate\n\n# NULLIUS_SIZE picks one of these; the command line stays the same.\n=======\nimport evaluate\n\nRIDGE = 0.001\n\n# NULLIUS_SIZE picks one of these; the command line stays the same.\n+++++++ REPLACE\n\n" +
			"------- SEARCH\n    inverse[keep] = 1.0 / sigma[keep]\n=======\n    inverse[keep] = sigma[keep] / (sigma[keep] ** 2 + RIDGE)\n+++++++ REPLACE\n"
	case 2:
		text := strings.Replace(p.File("experiment.py"), "RIDGE = 0.001", "RIDGE = 0.1", 1)
		return "I give the whole file.\n\n**experiment.py**\n```py\n" + strings.Replace(text, "np.linalg.svd", "np.linalgebra.svd", 1) + "```\n"
	case 3:
		return "```diff\n--- a/experiment.py\n+++ b/experiment.py\n@@ -3,2 +3,2 @@ def features(x, layer):\n     \"\"\"Map inputs (points x dimensions) to features (points x width).\"\"\"\n-    return np.maximum(x @ layer, 0.0) / np.sqrt(layer.shape[1])\n+    return np.tanh(x @ layer) / np.sqrt(layer.shape[1])\n```\n"
	case 4:
		return "*** Begin Patch\n*** Update File: experiment.py\n@@ def random_layer(seed, width, member=0):\n-    return stream.standard_normal((evaluate.DIM, width)) / np.sqrt(evaluate.DIM)\n+    return stream.uniform(-1.0, 1.0, (evaluate.DIM, width)) * np.sqrt(3.0 / evaluate.DIM)\n*** End Patch\n"
	}
	if !p.Again {
		return "We have seen enough, so I say ALL_COMPLETED here."
	}
	return "We have seen enough.\n\nALL_COMPLETED"
}

const descentScript = `import json
import pathlib

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

NAMES = {"run_0": "baseline", "run_1": "weak ridge", "run_2": "stronger ridge", "run_3": "tanh, stronger ridge", "run_4": "uniform layer, tanh, ridge"}
found = [p for p in sorted(pathlib.Path(".").glob("run_*")) if (p / "final_info.json").exists()]
info = {p.name: json.loads((p / "final_info.json").read_text()) for p in found}
curves = {p.name: json.loads((p / "curves.json").read_text()) for p in found}

fig, ax = plt.subplots(figsize=(6, 3.6))
for marker, (run, c) in zip("os^Dv", curves.items()):
    logs = np.log10(np.array(c["datasets"]["noise_0.3"]["KIND"]))
    mean, err = logs.mean(axis=0), logs.std(axis=0, ddof=1) / np.sqrt(len(logs))
    ax.plot(c["widths"], 10 ** mean, marker=marker, markersize=3, linewidth=1, label=NAMES.get(run, run))
    ax.fill_between(c["widths"], 10 ** (mean - err), 10 ** (mean + err), alpha=0.2)
ax.set(xscale="log", yscale="log", xlabel="width p (features)", ylabel="test error")
ax.legend(frameon=False, fontsize=8)
fig.tight_layout()
fig.savefig("curves.png", dpi=180)

fig, ax = plt.subplots(figsize=(5, 3))
for i, run in enumerate(info):
    d = info[run]["noise_0.3"]
    ax.errorbar([i], [d["means"]["log10_mse_threshold"]], yerr=[d["stderrs"]["log10_mse_threshold"]], marker="o", capsize=3, color="black")
ax.set_xticks(range(len(info)))
ax.set_xticklabels([NAMES.get(r, r) for r in info], rotation=20, ha="right", fontsize=7)
ax.set_ylabel("log10 of the error at p = n")
fig.tight_layout()
fig.savefig("peak.png", dpi=180)
`

func descentPlots(p Prompt) string {
	switch {
	case strings.Contains(p.File("plot.py"), `["test"]`) && strings.Contains(p.File("plot.py"), "stronger ridge"):
		return "All is there.\nALL_COMPLETED"
	case strings.Contains(p.All, "The last try of plot.py failed"):
		return "The split is called test.\n\n" + Edit("plot.py", `    logs = np.log10(np.array(c["datasets"]["noise_0.3"]["testing"]))`, `    logs = np.log10(np.array(c["datasets"]["noise_0.3"]["test"]))`)
	}
	return "I would rather write the script anew.\n\n" + whole("plot.py", strings.Replace(descentScript, "KIND", "testing", 1))
}
