package foreign

import (
	"regexp"
	"strings"
)

const seirSteady = "The model is deterministic, so that a run has one value of each measure and no spread, and a difference between two runs is a property of the equations rather than of chance. Whether real epidemics differ in the same way is another question that this program cannot answer."

// Seir answers for a folder in the shape of AI-Scientist's seir: two runs, the first of which takes three replies, own figures, results without standard errors.
func Seir() Mind {
	return Mind{
		Idea: `{"Name": "Contact Fatigue!", "Title": "Fatigue of contacts in a compartment model", "Hypothesis": "Contacts that fall with prevalence lower the peak more than they lower the total.",
 "Experiment": "Let beta depend on the share of infectious people in rates, then vary how strongly, and compare peak and total with the unchanged program.",
 "PrimaryMetric": {"name": "infected_peak", "dataset": "SEIR", "direction": "minimize"},
 "PlannedRuns": [], "Risks": "One solution, no chance.", "Interestingness": 11, "Feasibility": 9, "Novelty": 2}`,
		Query: "behaviour change compartment model epidemic",
		Plan: "1. First fatigue.\n2. Then more of it.\n\n" + `{"runs": [{"name": "fatigue", "change": "beta falls with prevalence", "expected": "a lower peak", "confidence": "high"},
 {"name": "strong fatigue", "change": "beta falls faster", "expected": "a still lower peak"}]}`,
		Run: seirRun,
		Repair: func(p Prompt, _ int) string {
			return whole("experiment.py", seirAssert.ReplaceAllString(p.File("experiment.py"), ""))
		},
		Plots:    seirPlots,
		Describe: "Share of infectious people over days, for the unchanged program and the runs with fatigue. The peak is lower and wider with fatigue.",
		Note:     "The rate of contacts now falls with the share of infectious people. The peak is lower than in the unchanged program and comes at another time.",
		Outline: `{"title": "Fatigue of Contacts Flattens a Model Epidemic", "question": "Does fatigue flatten the curve?", "answer": "In this model it does.",
 "claims": [{"claim": "Fatigue lowers the peak.", "refs": ["change(run_1/SEIR/infected_peak,run_0/SEIR/infected_peak)"]}],
 "sections": [{"section": "introduction", "points": ["why"]}, {"section": "results", "points": ["the table"]}],
 "figures": [{"file": "infectious.png", "section": "results", "shows": "the curves"}],
 "tables": [{"label": "tab:main", "section": "results", "caption": "All runs", "rows": ["run_0", "run_1", "run_2"], "cols": ["SEIR/infected_peak", "SEIR/total_infected"]}],
 "notation": [], "needs": []}`,
		Closing: "%%% title\nFatigue of Contacts Flattens a Model Epidemic\n%%% abstract\nWhether people who avoid contacts flatten an epidemic is asked often. We let contacts fall with prevalence in a compartment model and compare it with the unchanged one. The peak goes from \\measured{run_0/SEIR/infected_peak} to \\measured{run_1/SEIR/infected_peak}, a change of \\measured{change(run_1/SEIR/infected_peak,run_0/SEIR/infected_peak)}. " + seirSteady +
			"\n%%% conclusion\nIn this model fatigue lowers the peak (\\measured{run_2/SEIR/infected_peak} at the strongest). " + seirSteady,
		Sections: map[string]string{
			"background": "Compartment models go back a long way \\citep{kermack1927}, see \\citet{hethcote2000} for a survey. " + seirSteady,
			"results": "\\begin{table}[h]\n\\centering\n\\begin{tabular}{lrr}\n\\toprule\nRun & Peak & Total \\\\\n\\midrule\nUnchanged & \\measured{run_0/SEIR/infected_peak} & \\measured{run_0/SEIR/total_infected} \\\\\nFatigue & \\measured{run_1/SEIR/infected_peak} & \\measured{run_1/SEIR/total_infected} \\\\\n\\bottomrule\n\\end{tabular}\n\\caption{Peak and total.}\n\\label{tab:hand}\n\\end{table}\n\n" +
				"Table~\\ref{tab:hand} has the runs. The width of the wave is \\measured{run_1/SEIR/spread.width_above_5_percent} days beside \\measured{run_0/SEIR/spread.width_above_5_percent}. With its error the peak is \\measured[pm]{run_1/SEIR/infected_peak}. The peak is about 23.5\\% lower, as I recall, and \\measured{run_5/SEIR/infected_peak} would be a run that nobody made. " + seirSteady +
				"\n\n\\begin{figure}[h]\n\\centering\n\\includegraphics[width=0.8\\textwidth]{infectious.png}\n\\caption{Infectious people over days.}\n\\label{fig:infectious}\n\\end{figure}\n\nFigure~\\ref{fig:infectious} shows the waves. " + seirSteady,
		},
		Steady:   seirSteady,
		Revision: "The model has no chance in it, hence no spread is given.",
		Criticism: `"Summary": "Fatigue in a compartment model.", "Strengths": ["clear"], "Weaknesses": ["no data"], "Questions": ["Is there spread?"], "Limitations": ["deterministic"], ` +
			`"Comments": [{"claim": "Uncertainty is not discussed.", "severity": "minor", "item": "Soundness", "strength": false, "quotes": ["A sentence that is not in the paper"], "absent": ""}]`,
	}
}

var seirAssert = regexp.MustCompile(`(?m)^\s*assert I < .*\n`)

func seirRun(p Prompt, n int) string {
	const old, tired = "    new = beta * S * I / N", "    new = beta / (1.0 + 10.0 * I) * S * I / N"
	switch {
	case n == 1 && p.Turn == 0:
		return "I would make contacts depend on prevalence. Shall I go on?"
	case n == 1 && p.Turn == 1:
		return Edit("prompt.json", `    "system":`, `    "SYSTEM":`) + Edit("experiment.py", old, tired)
	case n == 1:
		return "Only the equation then.\n\n" + Edit("experiment.py", old, tired)
	case n == 2:
		return Edit("experiment.py", strings.ReplaceAll(tired, "    ", "\t"), "\tnew = beta / (1.0 + 60.0 * I) * S * I / N\n\tassert I < 0.005, \"more than expected: %s\" % I")
	}
	return "Enough.\n\nALL_COMPLETED"
}

func seirPlots(p Prompt) string {
	if strings.Contains(p.File("plot.py"), `"run_1"`) {
		return "Nothing is missing.\n\nALL_COMPLETED"
	}
	return Edit("plot.py", `    "run_0": "Baselines",`, `    "run_0": "Baselines",`+"\n"+`    "run_1": "fatigue",`+"\n"+`    "run_2": "strong fatigue",`)
}
