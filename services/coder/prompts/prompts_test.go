package prompts_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"nullius.dev/services/coder/prompts"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func TestPrompts_Goldens(t *testing.T) {
	s, err := prompts.Load()
	if err != nil {
		t.Fatal(err)
	}
	plan := []prompts.Planned{{Name: "averaging", Change: "Average five layers in fit.", Expected: "Lower error at the threshold."}, {Name: "control", Change: "One wide layer of the same size."}}
	context := prompts.Context{
		Task: "Random-feature regression.", Command: "python experiment.py --out_dir=run_N", Keys: "noise_0.3 (mse_widest)", TimeLimit: "10 minutes", Hardware: "2 CPU cores", Modules: "numpy",
		Editable: "experiment.py, notes.txt, plot.py", Protected: "evaluate.py, latex/", Title: "Averaging layers", Name: "averaging", Hypothesis: "Averaging removes the peak.",
		Experiment: "Average predictions.", Primary: "log10_mse of noise_0.3, lower is better", Risks: "Cost.", Plan: plan,
	}
	tests := map[string]func() (string, error){
		"system":  s.System,
		"planner": s.Planner,
		"context": func() (string, error) { return s.Context(context) },
		"runs": func() (string, error) {
			return s.Runs([]prompts.Run{{Number: 0, Label: "Baseline", Outcome: "succeeded", Numbers: []string{"noise_0.3/mse = 0.5 ± 0.01 (n = 10)"}}},
				[]prompts.Change{{Step: "experiments/run-1/implement", Diff: "```diff\n-a\n+b\n```"}})
		},
		"files": func() (string, error) {
			return s.Files([]prompts.File{{Path: "experiment.py", Role: "editable", Text: "```python\nx = 1\n```"}})
		},
		"run": func() (string, error) {
			return s.Run(prompts.ForRun{Number: 2, Max: 5, Planned: &plan[1], Command: "python experiment.py --out_dir=run_2"})
		},
		"repair": func() (string, error) {
			return s.Repair(prompts.ForRepair{Number: 2, TriesLeft: 1, SeenBefore: 1, Goal: "A control.", Failure: prompts.Data("ValueError: x"), LastRepair: prompts.Data("-a"), Diff: prompts.Data("+b"), Advice: "Keep it small."})
		},
		"plots": func() (string, error) {
			return s.Plots(prompts.ForPlots{Command: "python plot.py", Folders: []string{"run_0: Baseline"}, Findings: []string{"No unit on the x axis."}})
		},
		"plan": func() (string, error) { return s.Plan(prompts.ForPlan{Max: 5, Proposed: plan}) },
		"notes": func() (string, error) {
			return s.Notes(prompts.ForNotes{Number: 1, Label: "averaging", Outcome: "succeeded", Change: "Average.", Diff: prompts.Data("+b")})
		},
		"format": func() (string, error) {
			var all string
			for _, f := range []prompts.ForFormat{{Whole: "experiment.py"}, {Whole: "plot.py", Instead: true}, {Small: true}, {Markers: "notes.txt"}} {
				one, err := s.Format(f)
				if err != nil {
					return "", err
				}
				all += one
			}
			return all, nil
		},
		"describe": func() (string, error) { return s.Describe([]string{"error.png"}) },
	}
	for name, render := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := render()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; run go test ./prompts -update", err)
			}
			if got != string(want) {
				t.Errorf("the prompt differs from %s; run go test ./prompts -update and read the difference", golden)
			}
		})
	}
}
