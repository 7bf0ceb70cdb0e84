package foreign

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Setting is a study that changes one line of a template's experiment.py in each run.
type Setting struct {
	Name, Title        string   // of the idea
	Dataset, Metric    string   // the primary metric
	Lines              []string // the line as it is, then what it becomes in run 1, 2, …
	Figure             string   // one that the template's plot.py draws
	Query              string   // for the literature
	TypedNumber, About string   // a number nobody measured; what the study is about, for prose
}

// Grokking varies the weight decay of the template grokking.
func Grokking() Setting {
	return Setting{Name: "less_decay", Title: "Does less weight decay delay generalisation?", Dataset: "add", Metric: "steps_validation",
		Lines:  []string{`    "decay": 1.0,  # decoupled weight decay`, `    "decay": 0.3,  # decoupled weight decay`, `    "decay": 0.0,  # decoupled weight decay`},
		Figure: "delay.png", Query: "delayed generalisation modular arithmetic weight decay", TypedNumber: "41.7", About: "weight decay"}
}

// Lockdown varies the contacts of the template seir.
func Lockdown() Setting {
	return Setting{Name: "fewer_contacts", Title: "Does halving contacts halve the peak?", Dataset: "r0_2.8", Metric: "infected_peak",
		Lines:  []string{"    return 1.0", "    return 0.7", "    return 0.5"},
		Figure: "peaks.png", Query: "epidemic intervention contacts peak", TypedNumber: "63.9", About: "contacts"}
}

// Mind is how a plain model would go through the study.
func (s Setting) Mind() Mind {
	id := func(run int) string { return fmt.Sprintf("run_%d/%s/%s", run, s.Dataset, s.Metric) }
	change := "change(" + id(1) + "," + id(0) + ")"
	prose := "The study changes one line that sets " + s.About + " and holds all others, so that what moves can only come from there. Seeds are those of the unchanged program, and whoever runs it again gets the same numbers."
	metric := map[string]string{"name": s.Metric, "dataset": s.Dataset, "direction": "minimize"}
	var planned []map[string]string
	for n := range s.Lines[1:] {
		planned = append(planned, map[string]string{"name": fmt.Sprintf("step %d", n+1), "change": strings.TrimSpace(s.Lines[n+1]), "expected": "the metric moves"})
	}
	return Mind{
		Idea: object(map[string]any{"Name": s.Name, "Title": s.Title, "Hypothesis": "Changing " + s.About + " moves " + s.Metric + " by more than the spread of the seeds.",
			"Experiment":    "Change the one line of experiment.py that sets " + s.About + ", run by run, and compare " + s.Metric + " with the unchanged program.",
			"PrimaryMetric": metric, "PlannedRuns": planned, "Risks": "Few seeds.", "Interestingness": 5, "Feasibility": 10, "Novelty": 3}),
		Query: s.Query,
		Plan:  object(map[string]any{"runs": planned}),
		Run: func(_ Prompt, n int) string {
			if n >= len(s.Lines) {
				return "That was all.\n\nALL_COMPLETED"
			}
			return Edit("experiment.py", s.Lines[n-1], s.Lines[n])
		},
		Repair:   func(Prompt, int) string { return "I see nothing to mend." },
		Plots:    func(Prompt) string { return "The figures show all runs.\n\nALL_COMPLETED" },
		Describe: "All runs beside the unchanged program, with the spread over seeds.",
		Note:     "One line was changed. The metric is given above beside the unchanged program's.",
		Outline: object(map[string]any{"title": s.Title, "question": s.Title, "answer": "The runs show it.",
			"claims":   []any{map[string]any{"claim": "Changing " + s.About + " moves " + s.Metric + ".", "refs": []string{change}}},
			"sections": []any{map[string]any{"section": "introduction", "points": []string{"why"}}, map[string]any{"section": "results", "points": []string{"the table"}}},
			"figures":  []any{map[string]string{"file": s.Figure, "section": "results", "shows": "all runs"}},
			"tables": []any{map[string]any{"label": "tab:main", "section": "results", "caption": "All runs", "rows": []string{"run_0", "run_1"},
				"cols": []string{s.Dataset + "/" + s.Metric + "[pm]"}}}, "notation": []string{}, "needs": []string{}}),
		Closing: "%%% title\n" + s.Title + "\n%%% abstract\nA program has one line that sets " + s.About + ". We change it step by step and measure. The metric goes from \\measured{" + id(0) + "} to \\measured{" + id(1) +
			"}, a change of \\measured{" + change + "}. " + prose + "\n%%% conclusion\nOne line moved the metric to \\measured{" + id(len(s.Lines)-1) + "} in the last run. " + prose,
		Sections: map[string]string{"results": "\\begin{measuredtable}{label=tab:main, caption={All runs.}, rows={run_0, run_1, run_2}, cols={" + s.Dataset + "/" + s.Metric + "[pm]}}\\end{measuredtable}\n\n" +
			"Table~\\ref{tab:main} has the runs: \\measured[pm]{" + id(0) + "} becomes \\measured[pm]{" + id(1) + "}. A guess was " + s.TypedNumber + ", and \\measured{" + id(8) + "} was never measured. " + prose +
			"\n\n\\begin{figure}[t]\n\\centering\n\\includegraphics[width=0.9\\linewidth]{" + s.Figure + "}\n\\caption{All runs.}\n\\label{fig:runs}\n\\end{figure}\n\nFigure~\\ref{fig:runs} shows them. " + prose},
		Steady:   prose,
		Revision: "Seeds are shared by all runs, so differences are paired.",
		Criticism: `"Summary": "One line is varied.", "Strengths": ["simple"], "Weaknesses": ["few seeds"], "Questions": ["Why this line?"], "Limitations": ["small"], ` +
			`"Comments": [{"claim": "The seeds are few.", "severity": "minor", "item": "Soundness", "strength": false, "quotes": [], "absent": "confidence interval"}]`,
	}
}

func object(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and lists
	}
	return string(data)
}
