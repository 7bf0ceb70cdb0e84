package coder_test

import (
	"fmt"
	"strings"
	"testing"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// However much there is to tell, a call stays under 25,000 tokens, a little more when it is asked again, and still has what it is about: the task, the failure, the failing function.
func TestService_PromptsStayWithinTheirLimit(t *testing.T) {
	script := map[string][]string{}
	for i, call := range []string{"edit", "edit/retry-1", "edit/retry-2", "edit/retry-3"} { // long replies of which no block fits
		var reply strings.Builder
		for k := range 12 {
			fmt.Fprintf(&reply, "experiment.py\n<<<<<<< SEARCH\ndef step_%d(x):\n    return y + %d\n%s=======\nx\n>>>>>>> REPLACE\n", k, i, strings.Repeat("    z = x * x + x\n", 120))
		}
		script[call] = []string{reply.String(), reply.String()} // of the run and of its repair
	}
	l := newLab(t, script)
	var program strings.Builder
	program.WriteString(experiment)
	for i := range 3000 {
		fmt.Fprintf(&program, "\n\ndef step_%d(x):\n    return x + %d  # %s\n", i, i, strings.Repeat("w", 40))
	}
	tree, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{
		"experiment.py": []byte(program.String()), "plot.py": []byte(strings.Repeat("print(1)\n", 9000)), "notes.txt": []byte(strings.Repeat("a line of notes\n", 9000)),
		"helper.py": []byte(strings.Repeat("x = 1\n", 3000)),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	long, err := store.PutBytes(t.Context(), l.blobs, []byte("--- a/experiment.py\n+++ b/experiment.py\n@@ -1 +1 @@\n"+strings.Repeat("-x = 1\n+x = 2\n", 5000)))
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := store.PutBytes(t.Context(), l.blobs, []byte("Traceback (most recent call last):\n  File \"experiment.py\", line 12, in main\n    step_2500(1)\n  File \"experiment.py\", line 12518, in step_2500\n    return x + 2500\nTypeError: "+strings.Repeat("bad ", 5000)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	frame := func(step string) *coderv1.Frame {
		f := l.frame(step)
		f.Snapshot = string(tree)
		f.Idea.Experiment = strings.Repeat("Vary the rate. ", 200)
		for n := range 5 {
			r := &recordv1.Run{Number: int32(n + 1), Label: "a run", Plan: strings.Repeat("plan ", 100), Outcome: recordv1.Run_Outcome_SUCCEEDED}
			for m := range 200 {
				r.Measurements = append(r.Measurements, &recordv1.Measurement{Dataset: fmt.Sprintf("dataset_%d", m), Metric: "a_long_metric_name", Value: 0.123456789 * float64(m)})
			}
			f.Runs = append(f.Runs, r)
			f.Plan = append(f.Plan, &recordv1.PlannedRun{Name: "n", Change: strings.Repeat("change ", 60), Expected: strings.Repeat("effect ", 60)})
			f.History = append(f.History, &coderv1.Exchange{Step: fmt.Sprintf("s/idea-1/experiments/run-%d/implement", n+1), DiffDigest: string(long)})
		}
		return f
	}
	s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: frame("experiments/run-6/implement"), Number: 6, MaxRuns: 9})
	last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
	failure := &coderv1.Failure{EndReason: "FAILED", ExitCode: 1, StderrDigest: string(stderr), DiffDigest: string(long)}
	r, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{Frame: frame("experiments/run-6/repair-1"), Number: 6, GoodSnapshot: l.tree, Failure: failure, Earlier: []*coderv1.Failure{failure}, TriesLeft: 1})
	last(t, r, err, (*coderv1.RepairRunResponse).GetResult)
	seen := 0
	for _, q := range l.model.Requests() {
		limit := int64(25_000)
		if q.Origin.Call == "edit" {
			seen++
		} else {
			limit += 1_000
		}
		var text strings.Builder
		for _, m := range q.Messages {
			for _, p := range m.Parts {
				text.WriteString(p.Text)
			}
		}
		if n := llm.Estimate(q); n > limit {
			t.Errorf("%s: %d tokens", q.Origin, n)
		}
		for _, want := range []string{"# Your task", "Run 5", "def main():", "too long to show whole"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: the prompt lacks %q", q.Origin, want)
			}
		}
		if strings.Contains(q.Origin.Step, "repair") && !strings.Contains(text.String(), "def step_2500(x):") {
			t.Errorf("%s: the failing function is not shown", q.Origin)
		}
	}
	if n := len(l.model.Requests()); seen != 2 || n != 8 {
		t.Errorf("%d calls, %d of them first ones", n, seen)
	}
}
