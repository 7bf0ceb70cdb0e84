package coder_test

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/llmtest"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/services/coder"
)

var box *sandbox.Sandbox

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

const experiment = `import argparse

RATE = 0.1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out_dir", default="run_0")
    args = parser.parse_args()
    print(args.out_dir, RATE)


main()
`

// lab is a coder behind the real wire, with a scripted model and the real sandbox.
type lab struct {
	client coderv1.CoderServiceClient
	blobs  store.Blobs
	model  *llmtest.Script
	tree   string
}

func newLab(t *testing.T, script map[string][]string) *lab {
	return newLabWith(t, script, func(s *llmtest.Script) coder.Deps { return coder.Deps{Models: s} })
}

// newLabWith lets a test choose how the script is asked, and where metrics go.
func newLabWith(t *testing.T, script map[string][]string, with func(*llmtest.Script) coder.Deps) *lab {
	t.Helper()
	if box == nil {
		var err error
		if box, err = sandbox.New(t.Context(), sandbox.DefaultConfig(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("no sandbox: %v", err)
		}
	}
	l := &lab{blobs: kittest.Blobs(t), model: llmtest.New(t, script)}
	tree, err := store.Edit(t.Context(), l.blobs, "", map[string][]byte{"experiment.py": []byte(experiment), "plot.py": []byte("print(1)\n"), "run_0/final_info.json": []byte("{}")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.tree = string(tree)
	d := with(l.model)
	d.Blobs, d.Sandbox = l.blobs, box
	svc, err := coder.New(coder.DefaultConfig(), d)
	if err != nil {
		t.Fatal(err)
	}
	l.client = coderv1.NewCoderServiceClient(kittest.Serve(t, func(r grpc.ServiceRegistrar) { coder.Register(r, svc) }))
	return l
}

// with is the lab's tree with another program.
func (l *lab) with(t *testing.T, program string) string {
	t.Helper()
	tree, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{"experiment.py": []byte(program)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(tree)
}

func (l *lab) frame(step string) *coderv1.Frame {
	return &coderv1.Frame{
		Step: "s/idea-1/" + step, Snapshot: l.tree, Model: "scripted", Command: "python experiment.py --out_dir=run_1", TaskDescription: "Lower the loss.",
		Idea: &recordv1.Idea{Name: "rates", Title: "Rates", Experiment: "Vary the rate."},
		Runs: []*recordv1.Run{{Label: "baseline", Outcome: recordv1.Run_Outcome_SUCCEEDED, Measurements: []*recordv1.Measurement{{Dataset: "d", Metric: "loss", Value: 0.5}}}},
	}
}

// last reads a stream to its end and gives its result.
func last[M any](t *testing.T, s grpc.ServerStreamingClient[M], err error, result func(*M) *coderv1.Edited) *coderv1.Edited {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var out *coderv1.Edited
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			if out == nil {
				t.Fatal("the stream ended without a result")
			}
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := result(m); r != nil {
			out = r
		}
	}
}

const goodEdit = "experiment.py\n<<<<<<< SEARCH\nRATE = 0.1\n=======\nRATE = 0.2\n>>>>>>> REPLACE\n"

func (l *lab) implement(t *testing.T) *coderv1.Edited {
	t.Helper()
	s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: l.frame("experiments/run-1/implement"), Number: 1})
	return last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
}

func TestService_ImplementRun(t *testing.T) {
	plan := `{"runs": [{"name": "twice", "change": "Double RATE.", "expected": "loss falls"}]}`
	for _, c := range []struct {
		name  string
		edits []string
		want  coderv1.Edited_Outcome
		code  string
	}{
		{"an edit that fits is applied", []string{goodEdit}, coderv1.Edited_CHANGED, "RATE = 0.2"},
		{"a wrong block is sent back and mended", []string{strings.Replace(goodEdit, "RATE = 0.1", "SPEED = 9", 1), goodEdit}, coderv1.Edited_CHANGED, "RATE = 0.2"},
		{"broken syntax never lands", []string{strings.Replace(goodEdit, "RATE = 0.2", "RATE = (", 1), goodEdit}, coderv1.Edited_CHANGED, "RATE = 0.2"},
		{"prose alone ends without a change", []string{"I would double it.", "Yes, double it.", "Done."}, coderv1.Edited_NO_CHANGE, "RATE = 0.1"},
		{"results are protected", []string{"run_0/final_info.json\n<<<<<<< SEARCH\n{}\n=======\n{\"d\": 1}\n>>>>>>> REPLACE\n", goodEdit}, coderv1.Edited_CHANGED, "RATE = 0.2"},
		{"a stop without a run and without a reason is not accepted", []string{"ALL_COMPLETED", goodEdit}, coderv1.Edited_CHANGED, "RATE = 0.2"},
		{"a refusal is an outcome", []string{"!refused no"}, coderv1.Edited_LLM_REFUSED, "RATE = 0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := map[string][]string{"plan": {plan}}
			for i, e := range c.edits {
				call := "edit"
				if i > 0 {
					call = "edit/retry-" + string(rune('0'+i))
				}
				script[call] = []string{e}
			}
			l := newLab(t, script)
			got := l.implement(t)
			if got.GetOutcome() != c.want {
				t.Fatalf("outcome %v (%s), want %v", got.GetOutcome(), got.GetFeedback(), c.want)
			}
			code, err := store.ReadFile(t.Context(), l.blobs, store.Digest(got.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || !strings.Contains(string(code), c.code) {
				t.Errorf("code lacks %q (%v):\n%s", c.code, err, code)
			}
			if c.want != coderv1.Edited_CHANGED {
				return
			}
			notes, err := store.ReadFile(t.Context(), l.blobs, store.Digest(got.GetSnapshot()), "notes.txt", 1<<20)
			if err != nil || !strings.Contains(string(notes), "## Run 0: Baseline") || !strings.Contains(string(notes), "Double RATE") {
				t.Errorf("notes (%v):\n%s", err, notes)
			}
			if len(got.GetPlan()) != 1 || got.GetDiffDigest() == "" || got.GetReportDigest() == "" {
				t.Errorf("result %v", got)
			}
		})
	}
}

func TestService_RepairRunIsToldOfTheException(t *testing.T) {
	l := newLab(t, map[string][]string{"edit": {goodEdit}})
	stderr, err := store.PutBytes(t.Context(), l.blobs, []byte("Traceback (most recent call last):\n  File \"experiment.py\", line 13, in <module>\n    main()\nNameError: name 'steps' is not defined\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{Frame: l.frame("experiments/run-1/repair-1"), Number: 1, GoodSnapshot: l.tree, TriesLeft: 3,
		Failure: &coderv1.Failure{EndReason: "FAILED", ExitCode: 1, StderrDigest: string(stderr)}})
	got := last(t, s, err, (*coderv1.RepairRunResponse).GetResult)
	if got.GetOutcome() != coderv1.Edited_CHANGED || !strings.Contains(got.GetSignature(), "NameError") {
		t.Errorf("got %v", got)
	}
}

func TestService_DescribeResults(t *testing.T) {
	l := newLab(t, map[string][]string{"notes": {"## Heading\nThe loss fell.\n"}, "describe": {"a.png: Loss by run.\n"}})
	f := l.frame("experiments/run-1/notes")
	f.Runs = append(f.Runs, &recordv1.Run{Number: 1, Label: "twice", Outcome: recordv1.Run_Outcome_SUCCEEDED})
	s, err := l.client.DescribeResults(t.Context(), &coderv1.DescribeResultsRequest{Frame: f, Number: 1})
	got := last(t, s, err, (*coderv1.DescribeResultsResponse).GetResult)
	notes, err := store.ReadFile(t.Context(), l.blobs, store.Digest(got.GetSnapshot()), "notes.txt", 1<<20)
	if err != nil || !strings.Contains(string(notes), "## Run 1: twice") || !strings.Contains(string(notes), "The loss fell.") {
		t.Errorf("notes (%v):\n%s", err, notes)
	}
	s, err = l.client.DescribeResults(t.Context(), &coderv1.DescribeResultsRequest{Frame: l.frame("figures/describe"), Figures: []*recordv1.Figure{{Path: "a.png"}}})
	if got := last(t, s, err, (*coderv1.DescribeResultsResponse).GetResult); got.GetFigures()[0].GetDescription() != "Loss by run." {
		t.Errorf("got %v", got)
	}
}
