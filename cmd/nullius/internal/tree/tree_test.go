package tree_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/cmd/nullius/internal/tree"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

var update = flag.Bool("update", false, "rewrite goldens")

var start = time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC)

func at(s int) *timestamppb.Timestamp {
	return timestamppb.New(start.Add(time.Duration(s) * time.Second))
}

func text(lines []tree.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text() + "\n")
	}
	return b.String()
}

// study is one with ideas in many states, as GetStudy gives it.
func study() *gatewayv1.Study {
	name := func(k int) string { return fmt.Sprintf("studies/bandit-1/ideas/idea-%d", k) }
	return &gatewayv1.Study{
		Name: "studies/bandit-1", Template: "templates/bandit", State: gatewayv1.IdeaState_RUNNING, Created: at(0), Etag: 20,
		Settings: &gatewayv1.StudySettings{Model: "openai/gpt-4o", Improvement: true, Parallel: 3},
		Usage:    &recordv1.Usage{InputTokens: 40_000, OutputTokens: 5_300, Calls: 12, CostPicoDollars: 1_230_000_000_000, Unpriced: true},
		Account:  &gatewayv1.Account{LimitPicoDollars: 5e12, SpentPicoDollars: 1_230_000_000_000, LimitTokens: 200_000, SpentTokens: 45_300},
		Facts: &gatewayv1.TemplateFacts{
			Primary: &recordv1.Metric{Dataset: "ucb1", Name: "regret", Direction: recordv1.Direction_MINIMIZE},
			Metrics: []*recordv1.Metric{{Name: "regret", Direction: recordv1.Direction_MINIMIZE, Label: "total regret"}},
		},
		Ideas: []*gatewayv1.IdeaSummary{
			{Name: name(1), Title: "How much optimism does UCB1 need when arms are hard to tell apart?", State: gatewayv1.IdeaState_RUNNING, Stage: "experiments",
				Step: "experiments/run-2/execute-3", StepSince: at(100), Message: "running on node-a", Created: at(10), Etag: 30},
			{Name: name(2), Title: "A gate", State: gatewayv1.IdeaState_WAITING, WaitReason: gatewayv1.WaitReason_APPROVAL, Reason: "APPROVAL", Stage: "experiments",
				Message: "waits for approval before experiments", StepSince: at(60), Next: "nullius approve bandit-1/idea-2", Created: at(11), Etag: 6},
			{Name: name(3), Title: "No provider", State: gatewayv1.IdeaState_WAITING, WaitReason: gatewayv1.WaitReason_PROVIDER, Reason: "PROVIDER", Stage: "writing",
				Step: "writing/draft", Message: "openai answers 503", StepSince: at(90), Next: "nullius status", Created: at(12), Etag: 40},
			{Name: name(4), Title: "Later", State: gatewayv1.IdeaState_PENDING, Message: "waits for its turn"},
			{Name: name(5), Title: "Later still", State: gatewayv1.IdeaState_PENDING, Message: "waits for its turn"},
		},
	}
}

func runs(values ...float64) []*recordv1.Run {
	var out []*recordv1.Run
	for n, v := range values {
		out = append(out, &recordv1.Run{Number: int32(n), Outcome: recordv1.Run_Outcome_SUCCEEDED, Measurements: []*recordv1.Measurement{
			{Dataset: "random", Metric: "regret", Value: 180}, {Dataset: "ucb1", Metric: "regret", Value: v}}})
	}
	return out
}

func detail(st *gatewayv1.Study, k int) *gatewayv1.Idea {
	s := st.GetIdeas()[k]
	return &gatewayv1.Idea{Name: s.GetName(), Summary: s, Etag: s.GetEtag(), Runs: runs(159.912, 121.9), TraceId: "4bf92f3577b34da6a3ce929d0e0e4736", Steps: []*gatewayv1.StepView{
		{Step: "experiments/run-1/execute-1", Stage: "experiments", State: "ended", Outcome: "SUCCEEDED"},
		{Step: "experiments/run-2/execute-2", Stage: "experiments", State: "ended", Outcome: "FAILED", Text: "exit code 1: ZeroDivisionError: division by zero", Bad: true},
	}}
}

func scene() *tree.State {
	s, st := tree.New("bandit-1", ""), study()
	s.Study(st)
	s.Idea(detail(st, 0))
	return s
}

func TestFrame_golden(t *testing.T) {
	lost := scene()
	lost.Lost(start.Add(110 * time.Second))
	empty := tree.New("bandit-1", "")
	alone := tree.New("bandit-1", "idea-2")
	alone.Study(study())
	for _, c := range []struct {
		name  string
		state *tree.State
		w, h  int
	}{
		{"wide", scene(), 119, 36}, {"narrow", scene(), 59, 40}, {"grouped", scene(), 119, 16}, {"short", scene(), 79, 8}, {"cut", scene(), 59, 6}, {"lost", lost, 79, 36},
		{"nothing-known", empty, 79, 20}, {"one-idea", alone, 79, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			golden(t, "frame-"+c.name, text(c.state.Frame(start.Add(125*time.Second), c.w, c.h)))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestFrame_fitsTheTerminal: no line is wider than the terminal and no frame higher, whatever there is to show and however small it is.
func TestFrame_fitsTheTerminal(t *testing.T) {
	st := study()
	for k := 6; k <= 50; k++ {
		i := proto.CloneOf(st.GetIdeas()[k%5])
		i.Name, i.Title = fmt.Sprintf("studies/bandit-1/ideas/idea-%d", k), strings.Repeat("広い title 🙂 ", 20)
		i.Message += strings.Repeat(" words\n\x1b[2J", 100)
		st.Ideas = append(st.Ideas, i)
	}
	s := tree.New("bandit-1", "")
	s.Study(st)
	s.Lost(start)
	for _, w := range []int{20, 59, 60, 79, 119, 300} {
		for _, h := range []int{3, 8, 20, 36, 500} {
			frame := s.Frame(start.Add(time.Hour), w, h)
			if len(frame) > h {
				t.Errorf("%d lines in a terminal of %d", len(frame), h)
			}
			for _, l := range frame {
				if n := ansi.StringWidth(l.Text()); n > w {
					t.Errorf("%d cells in a terminal of %d: %q", n, w, l.Text())
				}
				if strings.ContainsAny(l.Text(), "\x1b\n\r") {
					t.Errorf("a line would move the cursor: %q", l.Text())
				}
			}
		}
	}
	if all := text(s.Frame(start, 119, 500)); strings.Count(all, "idea-") < 50 {
		t.Errorf("not every idea is shown where there is room:\n%s", all)
	}
}

func TestEnd_golden(t *testing.T) {
	s, st := tree.New("bandit-1", ""), study()
	st.Ideas = st.Ideas[:4]
	good, failed, rejected := st.Ideas[0], st.Ideas[1], st.Ideas[2]
	*good = gatewayv1.IdeaSummary{Name: good.GetName(), Title: good.GetTitle(), State: gatewayv1.IdeaState_SUCCEEDED, Message: "2 of 2 runs succeeded, a paper of 4 pages, reviewed 5.0 (REJECT)",
		Created: at(10), Ended: at(200), Etag: 50, Best: proto.Float64(55.2), BestRun: 1, Usage: &recordv1.Usage{Calls: 3, InputTokens: 12_000, WouldHaveCostPicoDollars: 4e11}}
	*failed = gatewayv1.IdeaSummary{Name: failed.GetName(), Title: failed.GetTitle(), State: gatewayv1.IdeaState_FAILED, Reason: "NO_SUCCESSFUL_RUN", Stage: "experiments",
		Message: "no run succeeded: run 1 FAILED: exit code 1", Created: at(10), Ended: at(75), Etag: 51, Next: "nullius logs bandit-1/idea-2 --stage experiments"}
	*rejected = gatewayv1.IdeaSummary{Name: rejected.GetName(), Title: rejected.GetTitle(), State: gatewayv1.IdeaState_REJECTED, Reason: "NOT_NOVEL", Message: "not novel: an old paper shares all of it",
		Created: at(10), Ended: at(11), Etag: 9}
	s.Study(st)
	var got strings.Builder
	for _, w := range []int{119, 59} {
		for k := range 3 {
			d := detail(st, k)
			d.Runs = runs(159.912, 55.2, 170)[:3-k]
			s.Idea(d)
		}
		for _, id := range s.Over() {
			got.WriteString(text(s.End(id, w, "experiments/run-1/execute-4", []string{"Traceback (most recent call last):", "  File \"experiment.py\", line 3, in main\x1b[31m",
				"    " + strings.Repeat("long ", 25), "ZeroDivisionError: division by zero"})) + "\n")
		}
	}
	golden(t, "end", got.String())
	if over := s.Over(); len(over) != 3 {
		t.Fatalf("over: %v", over)
	}
	for _, id := range s.Over() {
		s.Told(id)
	}
	if over := s.Over(); len(over) != 0 {
		t.Errorf("told twice: %v", over)
	}
	if frame := text(s.Frame(start, 100, 50)); strings.Contains(frame, "no run succeeded") {
		t.Errorf("what was told is still in the frame:\n%s", frame)
	}
}

// TestMeasured_saysWhichIsBetter through what the frame shows.
func TestMeasured_saysWhichIsBetter(t *testing.T) {
	for name, c := range map[string]struct {
		direction recordv1.Direction_Value
		base, run float64
		want      string
	}{
		"lower is better, and it is lower":   {recordv1.Direction_MINIMIZE, 160, 120, "baseline 160 (-40, -25.0%): better, lower is better"},
		"lower is better, and it is higher":  {recordv1.Direction_MINIMIZE, 160, 200, "baseline 160 (+40, +25.0%): worse, lower is better"},
		"higher is better, and it is higher": {recordv1.Direction_MAXIMIZE, 0.5, 0.75, "baseline 0.5 (+0.25, +50.0%): better, higher is better"},
		"the same":                           {recordv1.Direction_MAXIMIZE, 2, 2, "(+0, +0.0%): the same"},
		"no direction":                       {recordv1.Direction_NONE, 2, 3, "baseline 2 (+1, +50.0%)"},
		"a negative baseline":                {recordv1.Direction_MINIMIZE, -2, -3, "(-1, -50.0%): better"},
		"a baseline of nothing":              {recordv1.Direction_MINIMIZE, 0, 3, "baseline 0 (+3): worse"},
		"another sign":                       {recordv1.Direction_MINIMIZE, 2.2, -0.5, "baseline 2.2 (-2.7): better"},
		"large":                              {recordv1.Direction_MINIMIZE, 1234567, 1234568, "1234568, baseline 1234567"},
	} {
		t.Run(name, func(t *testing.T) {
			s, st := tree.New("bandit-1", ""), study()
			st.Facts = &gatewayv1.TemplateFacts{Primary: &recordv1.Metric{Dataset: "ucb1", Name: "regret", Direction: c.direction}}
			s.Study(st)
			d := detail(st, 0)
			d.Runs = runs(c.base, c.run)
			s.Idea(d)
			if got := text(s.Frame(start, 150, 50)); !strings.Contains(got, c.want) {
				t.Errorf("%q is missing in\n%s", c.want, got)
			}
		})
	}
}

// TestStep_saysWhereItIs: stage, run and try of every step that a study takes.
func TestStep_saysWhereItIs(t *testing.T) {
	for step, want := range map[string]string{
		"novelty/assess":                "novelty, stage 1 of 6|checking novelty",
		"experiments/run-3/implement":   "experiments, stage 2 of 6, run 3 of 5\n|changing the code",
		"experiments/run-3/execute-1":   "run 3 of 5, try 1 of 4|running the experiment",
		"experiments/run-3/repair-2":    "run 3 of 5, try 3 of 4|repairing the code",
		"experiments-2/run-1/execute-1": "stage 2 of 6, retry 1, run 1 of 5, try 1 of 4|running the experiment",
		"figures/plot-2":                "figures, stage 3 of 6, try 2 of 4|plotting",
		"figures/plot-last":             "figures, stage 3 of 6\n|plotting",
		"review/review-2":               "review, stage 5 of 6|reviewing the paper",
		"improvement/review":            "improvement, stage 6 of 6|reviewing the revised paper",
		"unheard/of-7":                  "unheard\n|unheard/of-7",
	} {
		s := tree.New("bandit-1", "")
		st := study()
		st.Ideas[0].Step, st.Ideas[0].Stage = step, strings.TrimRight(strings.SplitN(step, "/", 2)[0], "-0123456789")
		s.Study(st)
		got := text(s.Frame(start, 150, 50))
		for part := range strings.SplitSeq(want, "|") {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is missing in\n%s", step, part, got)
			}
		}
	}
}

func TestPaint_coloursOnlyWhenAsked(t *testing.T) {
	for _, l := range scene().Frame(start, 100, 50) {
		if l.Paint(false) != l.Text() || ansi.Strip(l.Paint(true)) != l.Text() {
			t.Errorf("painted %q of %q", l.Paint(true), l.Text())
		}
	}
	if all := scene().Frame(start, 100, 50); !strings.Contains(all[0].Paint(true), "\x1b[") {
		t.Error("no colour though it was asked for")
	}
}
