package coder_test

import (
	"strings"
	"testing"

	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
)

func TestService_RepairRunRestoresTheLastGoodTree(t *testing.T) {
	l := newLab(t, map[string][]string{"edit": {goodEdit}})
	failing, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{"experiment.py": []byte("RATE = broken\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := store.PutBytes(t.Context(), l.blobs, []byte("Traceback (most recent call last):\n  File \"experiment.py\", line 1, in <module>\n    RATE = broken\nNameError: name 'broken' is not defined\n"))
	if err != nil {
		t.Fatal(err)
	}
	failure := &coderv1.Failure{EndReason: "FAILED", ExitCode: 1, StderrDigest: string(stderr)}
	frame := l.frame("experiments/run-1/repair-3")
	frame.Snapshot = string(failing)
	s, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{
		Frame: frame, Number: 1, GoodSnapshot: l.tree, Failure: failure, Earlier: []*coderv1.Failure{failure, failure}, TriesLeft: 1,
	})
	out := last(t, s, err, (*coderv1.RepairRunResponse).GetResult)
	if !out.GetRestored() || out.GetOutcome() != coderv1.Edited_CHANGED {
		t.Fatalf("restored %v, outcome %s, feedback %s", out.GetRestored(), out.GetOutcome(), out.GetFeedback())
	}
	data, err := store.ReadFile(t.Context(), l.blobs, store.Digest(out.GetSnapshot()), "experiment.py", 1<<20)
	if err != nil || !strings.Contains(string(data), "RATE = 0.2") || strings.Contains(string(data), "broken") {
		t.Errorf("the last good program was not edited: %v\n%s", err, data)
	}
}

// A model that goes to and fro between two programs is told so: the first of them has failed already. What was seen before the last repairs is said so too.
func TestService_RepairsDoNotGoToAndFro(t *testing.T) {
	to := func(from, to string) string {
		return strings.NewReplacer("0.1", from, "0.2", to).Replace(goodEdit)
	}
	l := newLab(t, map[string][]string{"repair-1 edit": {to("1/0", "2/0")}, "repair-2 edit": {to("2/0", "1/0  # again")}, "repair-2 edit/retry-1": {to("2/0", "0.5")},
		"repair-3 edit": {to("0.5", "0.25")}})
	tree, stderr := l.with(t, strings.Replace(experiment, "RATE = 0.1", "RATE = 1/0", 1)), func(message string) string {
		d, err := store.PutBytes(t.Context(), l.blobs, []byte("Traceback (most recent call last):\n  File \"experiment.py\", line 3, in <module>\n    x\n"+message+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		return string(d)
	}
	repair := func(try int, failure *coderv1.Failure, earlier ...*coderv1.Failure) *coderv1.Edited {
		f := l.frame("experiments/run-1/repair-" + string(rune('0'+try)))
		f.Snapshot = tree
		s, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{Frame: f, Number: 1, GoodSnapshot: l.tree, Failure: failure, Earlier: earlier, TriesLeft: int32(3 - try)})
		got := last(t, s, err, (*coderv1.RepairRunResponse).GetResult)
		if got.GetOutcome() != coderv1.Edited_CHANGED {
			t.Fatalf("repair %d: %s: %s", try, got.GetOutcome(), got.GetFeedback())
		}
		tree, failure.Signature, failure.DiffDigest = got.GetSnapshot(), got.GetSignature(), got.GetDiffDigest()
		return got
	}
	first, second := &coderv1.Failure{EndReason: "FAILED", StderrDigest: stderr("ValueError: one")}, &coderv1.Failure{EndReason: "FAILED", StderrDigest: stderr("TypeError: two")}
	repair(1, first)
	repair(2, second, first)
	requests := l.model.Requests()
	if m := requests[2].Messages; len(requests) != 3 || !strings.Contains(m[len(m)-1].Parts[0].Text, "an earlier try of this run, which failed") {
		t.Errorf("%d calls; the model is told %v", len(requests), m[len(m)-1].Parts)
	}
	repair(3, &coderv1.Failure{EndReason: "FAILED", StderrDigest: stderr("ValueError: one")}, first, second)
	requests = l.model.Requests()
	parts := requests[len(requests)-1].Messages[0].Parts
	if told := parts[len(parts)-1].Text; !strings.Contains(told, "before the last 2 repairs") || !strings.Contains(told, "+RATE = 2/0") || !strings.Contains(told, "+RATE = 0.5") {
		t.Errorf("the model is told\n%s", told)
	}
}

func TestService_ImplementPlots(t *testing.T) {
	plot := "plot.py\n```python\nprint(2)\n```\n"
	tests := []struct {
		name    string
		replies map[string][]string
		outcome coderv1.Edited_Outcome
	}{
		{"a small script given whole is taken", map[string][]string{"edit": {plot}}, coderv1.Edited_CHANGED},
		{"a script that does all already may stay", map[string][]string{"edit": {"It does.\n\nALL_COMPLETED"}}, coderv1.Edited_FINISHED},
		{"the experiment cannot be changed any more", map[string][]string{"edit": {goodEdit}, "edit/retry-1": {plot}}, coderv1.Edited_CHANGED},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, tt.replies)
			frame := l.frame("figures/implement")
			frame.Command = "python plot.py"
			s, err := l.client.ImplementPlots(t.Context(), &coderv1.ImplementPlotsRequest{Frame: frame})
			out := last(t, s, err, (*coderv1.ImplementPlotsResponse).GetResult)
			if out.GetOutcome() != tt.outcome {
				t.Fatalf("outcome %s, want %s; feedback: %s", out.GetOutcome(), tt.outcome, out.GetFeedback())
			}
			data, err := store.ReadFile(t.Context(), l.blobs, store.Digest(out.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || string(data) != experiment {
				t.Errorf("experiment.py changed: %v", err)
			}
		})
	}
}
