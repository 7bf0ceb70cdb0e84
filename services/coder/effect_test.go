package coder_test

import (
	"strings"
	"testing"

	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// A repair lets no program run that was run before: neither the one that has just failed nor the baseline's, whose numbers would pass for a result.
func TestService_RepairsDoNotRepeatARun(t *testing.T) {
	failing := strings.Replace(experiment, "RATE = 0.1", "RATE = 1 / 0", 1)
	block := func(replace string) string {
		return "experiment.py\n<<<<<<< SEARCH\nRATE = 1 / 0\n=======\n" + replace + "\n>>>>>>> REPLACE\n"
	}
	mended := block("RATE = 1 / 10")
	for _, c := range []struct{ name, first, says string }{
		{"takes the change back", block("RATE = 0.1"), "equals that of run 0"},
		{"takes it back and says why", block("RATE = 0.1  # the old value works"), "but for comments"},
		{"explains the failing line", block("RATE = 1 / 0  # should work"), "only comments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, map[string][]string{"edit": {c.first}, "edit/retry-1": {mended}})
			f := l.frame("experiments/run-1/repair-1")
			f.Snapshot = l.with(t, failing)
			f.Runs[0].Snapshot = l.tree
			f.Runs = append(f.Runs, &recordv1.Run{Number: 1, Outcome: recordv1.Run_Outcome_FAILED, Snapshot: f.GetSnapshot()})
			s, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{Frame: f, Number: 1, GoodSnapshot: l.tree, TriesLeft: 3, Failure: &coderv1.Failure{EndReason: "FAILED", ExitCode: 1}})
			got := last(t, s, err, (*coderv1.RepairRunResponse).GetResult)
			if got.GetOutcome() != coderv1.Edited_CHANGED {
				t.Fatalf("outcome %s: %s", got.GetOutcome(), got.GetFeedback())
			}
			r := l.model.Requests()[1]
			if told := r.Messages[len(r.Messages)-1].Parts[0].Text; !strings.Contains(told, c.says) {
				t.Errorf("the model is not told %q:\n%s", c.says, told)
			}
			code, err := store.ReadFile(t.Context(), l.blobs, store.Digest(got.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || !strings.Contains(string(code), "RATE = 1 / 10") {
				t.Errorf("experiment.py: %v\n%s", err, code)
			}
		})
	}
}

// A program is all that a run executes: a module that experiment.py imports counts, under whatever name it is imported, and so do data.
func TestService_ChangesOfOtherFilesCount(t *testing.T) {
	const main = "import argparse\nfrom lib.net import width\n\nRATE = 0.1\nprint(width, argparse)\n"
	for _, c := range []struct {
		name, edit string
		changed    bool
	}{
		{"an imported module", "lib/net.py\n<<<<<<< SEARCH\nwidth = 8\n=======\nwidth = 16\n>>>>>>> REPLACE\n", true},
		{"its docstring", "lib/net.py\n<<<<<<< SEARCH\nwidth = 8\n=======\n\"\"\"Nets.\"\"\"\nwidth = 8\n>>>>>>> REPLACE\n", false},
		{"a module that an imported one imports", "lib/parts.py\n<<<<<<< SEARCH\nsize = 1\n=======\nsize = 2\n>>>>>>> REPLACE\n", true},
		{"a module that nothing imports", "lib/spare.py\n<<<<<<< SEARCH\nsize = 1\n=======\nsize = 2\n>>>>>>> REPLACE\n", false},
		{"a table that may be read", "lib/rates.csv\n<<<<<<< SEARCH\n1,2\n=======\n1,3\n>>>>>>> REPLACE\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, always(c.edit))
			tree, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{
				"experiment.py": []byte(main), "lib/net.py": []byte("from lib import parts\n\nwidth = 8\nassert parts\n"), "lib/parts.py": []byte("size = 1\n"), "lib/spare.py": []byte("size = 1\n"), "lib/rates.csv": []byte("1,2\n"),
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := l.frame("experiments/run-1/implement")
			f.Snapshot, f.Editable = string(tree), []string{"experiment.py", "lib/*"}
			s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			got := last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
			if (got.GetOutcome() == coderv1.Edited_CHANGED) != c.changed {
				t.Errorf("outcome %s: %s", got.GetOutcome(), got.GetFeedback())
			}
		})
	}
}
