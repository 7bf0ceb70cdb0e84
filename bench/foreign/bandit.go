package foreign

import "strings"

const steady = "The comparison holds every other part of the program fixed, so that a change of the regret can only come from the constant that was changed, and the same seeds are used for all runs of the study. A reader who starts the program again gets the same bytes, since only the standard library is used and sums are exact."

// Play answers for bandit_lite.
func Play(all, last string) (kind, answer string) { return Bandit().Play(all, last) }

// Bandit sends an edit that fits nowhere for run 1, an experiment that crashes for run 2, and a typed number and a run that does not exist for the results.
func Bandit() Mind {
	return Mind{
		Idea: `{"Name": "bonus_weight", "Title": "How much optimism does UCB1 need on nearly equal arms?", "Hypothesis": "A smaller bonus lowers the regret of ucb1 at this horizon.",
 "Experiment": "Vary UCB_CONSTANT in choose_ucb1, hold arms, gap and seeds fixed, compare the regret with the unchanged program; no fall beyond two standard errors speaks against it.",
 "PrimaryMetric": {"name": "regret", "dataset": "ucb1", "direction": "minimize"},
 "PlannedRuns": [{"name": "half", "change": "UCB_CONSTANT = 1.0", "expected": "less regret"}, {"name": "eighth", "change": "UCB_CONSTANT = 0.25", "expected": "still less"}],
 "Risks": "Eight seeds are few.", "Interestingness": 5, "Feasibility": 9, "Novelty": 3}`,
		Query: "exploration bonus bandit regret tuning",
		Plan: "Here is my plan:\n```json\n" + `{"runs": [
 {"name": "half the bonus", "change": "UCB_CONSTANT becomes 1.0", "expected": "regret of ucb1 falls"},
 {"name": "an eighth of the bonus", "change": "UCB_CONSTANT becomes 0.25 by way of a helper", "expected": "regret of ucb1 falls further or rises again"},
 {"name": "more exploration", "change": "EPSILON becomes 0.3", "expected": "control: ucb1 does not move"}]}` + "\n```\nThat settles it.",
		Run: banditRun,
		Repair: func(Prompt, int) string {
			return "The helper was never defined.\n\n" + Edit("experiment.py", "UCB_CONSTANT = weight_of_bonus(0.25)  # weight of the exploration bonus", "UCB_CONSTANT = 0.25  # weight of the exploration bonus")
		},
		Plots: func(p Prompt) string {
			if p.Again || !strings.Contains(p.Last, `"policy", align="middle")`) {
				return "The script shows all that is asked.\n\nALL_COMPLETED"
			}
			return "A clearer axis.\n\n" + Edit("plot.py", `    canvas.text((LEFT + RIGHT) // 2, BOTTOM + 70, "policy", align="middle")`, `    canvas.text((LEFT + RIGHT) // 2, BOTTOM + 70, "policy of the bandit", align="middle")`)
		},
		Describe: "Regret of each policy for the baseline and the runs, with one standard error as bars. Less is better.",
		Note:     "Only the constant was changed in this run. The regret of ucb1 moved in the expected direction beside the baseline, more than the spread of the seeds. That speaks for the idea; longer horizons stay open.",
		Outline: "Sure, the outline:\n" + `{"title": "How Much Optimism Nearly Equal Arms Need", "question": "Does a smaller bonus lower regret?", "answer": "It does at this horizon.",
 "claims": [{"claim": "A smaller bonus lowers the regret of the bandit.", "refs": ["change(run_1/ucb1/regret,run_0/ucb1/regret)"]}],
 "sections": [{"section": "introduction", "points": ["why"]}, {"section": "results", "points": ["the table"]}],
 "figures": [{"file": "regret.png", "section": "results", "shows": "regret by policy"}],
 "tables": [{"label": "tab:main", "section": "results", "caption": "Regret of all runs", "rows": ["run_0", "run_1"], "cols": ["ucb1/regret[pm]"]}],
 "notation": ["K: arms"], "needs": [{"query": "double descent linear regression", "why": "another case where a constant decides", "section": "related"}]}`,
		Closing: "%%% title\nHow Much Optimism Nearly Equal Arms Need\n%%% abstract\nA bandit with arms that are hard to tell apart punishes policies that explore too much. We ask how much optimism UCB needs there, and change the weight of its bonus while everything else stays. Halving it changes the regret by \\measured[sign]{change(run_1/ucb1/regret,run_0/ucb1/regret)} over the seeds of the study. " +
			steady + " " + steady + "\n%%% conclusion\nLess optimism helps at this horizon. " + steady + "\n\n" + steady,
		Sections: map[string]string{
			"results": "Sure, here is the section:\n\n\\begin{measuredtable}{label=tab:main, caption={Regret of all runs; lower is better.}, rows={run_0, run_1, run_2, run_3}, cols={ucb1/regret[pm], epsilon_greedy/regret[pm]}, bold=best}\\end{measuredtable}\n\n" +
				"Table~\\ref{tab:main} shows that the regret goes from \\measured[pm]{run_0/ucb1/regret} to \\measured[pm]{run_1/ucb1/regret}. A run that does not exist would read \\measured{run_9/ucb1/regret}. " + steady +
				"\n\n\\begin{figure}[t]\n\\centering\n\\includegraphics[width=0.8\\linewidth]{regret.png}\n\\caption{Regret by policy and run.}\n\\label{fig:regret}\n\\end{figure}\n\nFigure~\\ref{fig:regret} shows all policies. The gain is about 37.5\\% as typed here. " + steady,
			"related": "Work on interpolation asks the like of a constant that decides \\need{ridge regression}{the classical source of a penalty}. " + steady,
		},
		Steady:   steady,
		Revision: "The bars of the figure show one standard error over the seeds, which are the same for all runs, so differences between runs are paired.",
		Criticism: `"Summary": "A study of the bonus in UCB.", "Strengths": ["repeatable"], "Weaknesses": ["few seeds"], "Questions": ["What do the bars show?"], "Limitations": ["one horizon"], ` +
			`"Comments": [{"claim": "The spread is not explained.", "severity": "major", "item": "Clarity", "strength": false, "quotes": [], "absent": "confidence interval"}]`,
	}
}

func banditRun(p Prompt, n int) string {
	switch n {
	case 1:
		if !p.Again {
			return "Halve it.\n\n" + Edit("experiment.py", "UCB_WEIGHT_OF_EXPLORATION: float = 2\nARM_COUNT = TEN", "UCB_CONSTANT = 1.0")
		}
		return "Sorry. Halve it.\n\n" + Edit("experiment.py", "UCB_CONSTANT = 2.0  # weight of the exploration bonus", "UCB_CONSTANT = 1.0  # weight of the exploration bonus")
	case 2:
		return "Much less.\n\n" + Edit("experiment.py", "UCB_CONSTANT = 1.0  # weight of the exploration bonus", "UCB_CONSTANT = weight_of_bonus(0.25)  # weight of the exploration bonus")
	case 3:
		return "Now the control.\n\n" + Edit("experiment.py", "EPSILON = 0.1  # share of steps at which epsilon-greedy explores", "EPSILON = 0.3  # share of steps at which epsilon-greedy explores")
	}
	return "The plan is done; nothing more would add to the answer.\n\nALL_COMPLETED"
}
