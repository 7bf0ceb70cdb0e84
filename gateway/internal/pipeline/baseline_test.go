package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/pipeline"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

func TestABaselineNeedsAFinitePrimaryMetric(t *testing.T) {
	loss := func(dataset string, nan bool) *recordv1.Measurement {
		return &recordv1.Measurement{Dataset: dataset, Metric: "loss", NotFinite: nan}
	}
	primary := &recordv1.Metric{Dataset: "mnist", Name: "loss"}
	for name, tc := range map[string]struct {
		facts   *gatewayv1.TemplateFacts
		numbers []*recordv1.Measurement
		says    string // empty: the baseline is good
		next    string
	}{
		"finite":                         {&gatewayv1.TemplateFacts{Primary: primary}, []*recordv1.Measurement{loss("mnist", false)}, "", ""},
		"not finite":                     {&gatewayv1.TemplateFacts{Primary: primary}, []*recordv1.Measurement{loss("cifar", false), loss("mnist", true)}, "mnist/loss in run_0/final_info.json is not a finite number", "nullius logs s"},
		"not finite on another data set": {&gatewayv1.TemplateFacts{Primary: primary}, []*recordv1.Measurement{loss("cifar", true), loss("mnist", false)}, "", ""},
		"any data set":                   {&gatewayv1.TemplateFacts{Primary: &recordv1.Metric{Name: "loss"}}, []*recordv1.Measurement{loss("a", false), loss("b", true)}, "b/loss", "nullius logs s"},
		"no primary, one finite":         {&gatewayv1.TemplateFacts{}, []*recordv1.Measurement{loss("a", true), loss("b", false)}, "", ""},
		"no primary, none finite":        {&gatewayv1.TemplateFacts{}, []*recordv1.Measurement{loss("a", true)}, "a/loss", "nullius logs s"},
		"brought by the template":        {&gatewayv1.TemplateFacts{Primary: primary, HasBaseline: true}, []*recordv1.Measurement{loss("mnist", true)}, "mnist/loss", "nullius run toy --fresh-baseline"},
	} {
		t.Run(name, func(t *testing.T) {
			s := pipeline.NewStudy("s")
			apply := func(e *gatewayv1.JournalEvent) {
				t.Helper()
				e.N, e.Time = s.N+1, timestamppb.New(time.Unix(s.N, 0))
				if err := s.Apply(e); err != nil {
					t.Fatal(err)
				}
			}
			apply(&gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StudyAccepted{StudyAccepted: &gatewayv1.StudyAccepted{
				Settings: &gatewayv1.StudySettings{Ideas: 1}, Template: &gatewayv1.TemplateRef{Name: "toy", Snapshot: "sha256:t", Facts: tc.facts}}}})
			apply(claimed(1))
			measure := func(numbers []*recordv1.Measurement) {
				t.Helper()
				r, ok := s.Decide().(pipeline.Run)
				if !ok || pipeline.StageOf(r.Step) != pipeline.Baseline {
					t.Fatalf("no baseline first: %#v", s.Decide())
				}
				apply(&gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StepStarted{StepStarted: &gatewayv1.StepStarted{Step: r.Step, Attempt: 1, InputDigest: "d"}}})
				apply(ended(r, &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Job{Job: &executorv1.JobResult{
					EndReason: executorv1.EndReason_SUCCEEDED, Snapshot: "sha256:b", Measurements: numbers}}}))
			}
			measure(tc.numbers)
			if tc.says == "" {
				if r, ok := s.Decide().(pipeline.Run); !ok || pipeline.StageOf(r.Step) != pipeline.Ideation || s.BaselineRun() == nil {
					t.Fatalf("got %#v", s.Decide())
				}
				return
			}
			a, ok := s.Decide().(pipeline.Append)
			if e := a.Event.GetEnded(); !ok || e.GetState() != gatewayv1.IdeaState_FAILED || e.GetReason() != pipeline.ReasonBaselineFailed ||
				!strings.Contains(e.GetMessage(), tc.says) || e.GetNext() != tc.next {
				t.Fatalf("got %v", a.Event)
			}
			apply(a.Event)
			apply(&gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_RetryRequested{RetryRequested: &gatewayv1.RetryRequested{}}})
			measure([]*recordv1.Measurement{loss("mnist", false)})
			if s.BaselineRun() == nil {
				t.Error("a retry did not measure anew")
			}
		})
	}
}

func TestSmokeRuns(t *testing.T) {
	for name, tc := range map[string]struct {
		smoke int32
		wall  time.Duration // of the baseline; 0: unknown
		limit time.Duration // of the smoke run; 0: there is none
	}{
		"no smoke size":            {0, time.Hour, 0},
		"a baseline as quick":      {1, 89 * time.Second, 0},
		"a long baseline":          {1, 90 * time.Second, 90 * time.Second},
		"an imported baseline":     {3, 0, 90 * time.Second},
		"a long smoke":             {60, time.Hour, 180 * time.Second},
		"a smoke like the runs":    {60, 2 * time.Minute, 0},
		"three times is the least": {30, time.Hour, 90 * time.Second},
		"a little more than that":  {31, time.Hour, 93 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{s: pipeline.NewIdea("s", "idea-1"), inputs: map[string]string{}}
			base := &recordv1.Run{Snapshot: "sha256:base"}
			if tc.wall > 0 {
				base.Wall = durationpb.New(tc.wall)
			}
			m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_IdeaAccepted{IdeaAccepted: &gatewayv1.IdeaAccepted{
				Idea: &recordv1.Idea{Name: "i"}, Settings: &gatewayv1.StudySettings{Skip: []string{pipeline.Novelty}}, Baseline: base,
				Template: &gatewayv1.TemplateRef{Name: "t", Facts: &gatewayv1.TemplateFacts{SmokeSeconds: tc.smoke}}}}})
			m.apply(t, claimed(1))
			implement := m.s.Decide().(pipeline.Run)
			m.start(t, implement)
			m.apply(t, ended(implement, outcome(implement.Request, func(int) int { return 0 })))
			r := m.s.Decide().(pipeline.Run)
			job := r.Request.(*executorv1.Job)
			if tc.limit == 0 {
				if r.Step != "experiments/run-1/execute-1" {
					t.Errorf("%s", r.Step)
				}
				return
			}
			if r.Step != "experiments/run-1/smoke-1" || job.GetLimits().GetWall().AsDuration() != tc.limit || job.GetEnv()["NULLIUS_SIZE"] != "smoke" || job.GetMeasure() {
				t.Errorf("%s %v", r.Step, job)
			}
		})
	}
}

func TestAPaperThatWasNotCompiledHasNoPages(t *testing.T) {
	for want, p := range map[string]*writerv1.Paper{
		"of 8 pages":                            {Outcome: writerv1.Paper_COMPILED, PagesTotal: 8},
		"of 1 page":                             {Outcome: writerv1.Paper_LATEX_UNCOMPILABLE, PagesTotal: 1},
		"that stayed .tex (NOT_COMPILED)":       {Outcome: writerv1.Paper_NOT_COMPILED},
		"that stayed .tex (LATEX_UNCOMPILABLE)": {Outcome: writerv1.Paper_LATEX_UNCOMPILABLE},
	} {
		if got := pipeline.Extent(p.GetOutcome().String(), p.GetPagesTotal()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
