package pipeline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"nullius.dev/gateway/internal/pipeline"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// machine folds events and drives an idea without a broker.
type machine struct {
	s      *pipeline.IdeaState
	inputs map[string]string // step to what it was asked with
}

func newMachine(t errorer, settings *gatewayv1.StudySettings) *machine {
	m := &machine{s: pipeline.NewIdea("s", "idea-1"), inputs: map[string]string{}}
	m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_IdeaAccepted{IdeaAccepted: &gatewayv1.IdeaAccepted{
		Idea: &recordv1.Idea{Name: "i", Title: "I", Experiment: "x"}, Settings: settings, Template: &gatewayv1.TemplateRef{Name: "t", Snapshot: "sha256:t"},
		Baseline: &recordv1.Run{Snapshot: "sha256:base", Wall: durationpb.New(time.Second), Measurements: []*recordv1.Measurement{{Dataset: "d", Metric: "loss", Value: 1}}},
	}}})
	m.apply(t, claimed(1))
	return m
}

type errorer interface {
	Fatalf(format string, args ...any)
}

func (m *machine) apply(t errorer, e *gatewayv1.JournalEvent) {
	e.N, e.Time = m.s.N+1, timestamppb.New(time.Unix(m.s.N, 0))
	if err := m.s.Apply(e); err != nil {
		t.Fatalf("event %d %T: %v", e.N, e.Event, err)
	}
}

func claimed(epoch int64) *gatewayv1.JournalEvent {
	return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Claimed{Claimed: &gatewayv1.Claimed{Epoch: epoch, Owner: "o", Progress: epoch}}}
}

func (m *machine) start(t errorer, r pipeline.Run) {
	input := fmt.Sprintf("%v", r.Request)
	if was, ok := m.inputs[r.Step]; ok && was != input && !strings.Contains(input, "0x") {
		t.Fatalf("step %s was asked with\n%s\nand then with\n%s", r.Step, was, input)
	}
	m.inputs[r.Step] = input
	m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StepStarted{StepStarted: &gatewayv1.StepStarted{Step: r.Step, Attempt: r.Attempt, InputDigest: "d"}}})
}

func ended(r pipeline.Run, out *gatewayv1.StepEnded) *gatewayv1.JournalEvent {
	out.Step, out.Attempt = r.Step, r.Attempt
	return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StepEnded{StepEnded: out}}
}

func failed(r pipeline.Run, code, reason string) *gatewayv1.JournalEvent {
	return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StepFailed{StepFailed: &gatewayv1.StepFailed{Step: r.Step, Attempt: r.Attempt, Code: code, Reason: reason, RetryAt: timestamppb.New(time.Unix(9, 0))}}}
}

// outcome is what a worker answers; pick chooses among its outcomes.
func outcome(request any, pick func(n int) int) *gatewayv1.StepEnded {
	edited := func(o coderv1.Edited_Outcome) *gatewayv1.StepEnded {
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Edited{Edited: &coderv1.Edited{Outcome: o, Snapshot: "sha256:e", ReplyDigest: "sha256:r"}}}
	}
	edits := []coderv1.Edited_Outcome{coderv1.Edited_CHANGED, coderv1.Edited_NO_CHANGE, coderv1.Edited_FINISHED, coderv1.Edited_LLM_REFUSED}
	switch q := request.(type) {
	case *ideationv1.AssessNoveltyRequest:
		v := []ideationv1.AssessNoveltyResult_Verdict{ideationv1.AssessNoveltyResult_NOVEL, ideationv1.AssessNoveltyResult_NOT_NOVEL, ideationv1.AssessNoveltyResult_UNDECIDED}
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Novelty{Novelty: &ideationv1.AssessNoveltyResult{Verdict: v[pick(len(v))]}}}
	case *coderv1.ImplementRunRequest, *coderv1.RepairRunRequest, *coderv1.ImplementPlotsRequest, *coderv1.DescribeResultsRequest:
		return edited(edits[pick(len(edits))])
	case *executorv1.Job:
		ends := []executorv1.EndReason_Value{executorv1.EndReason_SUCCEEDED, executorv1.EndReason_FAILED, executorv1.EndReason_TIMEOUT, executorv1.EndReason_OOM,
			executorv1.EndReason_OUTPUT, executorv1.EndReason_DEAD, executorv1.EndReason_ENVIRONMENT}
		j := &executorv1.JobResult{EndReason: ends[pick(len(ends))], Snapshot: "sha256:j"}
		if q.GetMeasure() && j.GetEndReason() == executorv1.EndReason_SUCCEEDED {
			j.Measurements = []*recordv1.Measurement{{Dataset: "d", Metric: "loss", Value: 0.5, NotFinite: pick(5) == 4}}
		} else if pick(3) > 0 {
			j.Outputs = []*executorv1.CollectedOutput{{Path: "a.png", SizeBytes: 1}}
		}
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Job{Job: j}}
	case *writerv1.WritePaperRequest, *pipeline.ReviseStep:
		o := []writerv1.Paper_Outcome{writerv1.Paper_COMPILED, writerv1.Paper_NOT_COMPILED, writerv1.Paper_LATEX_UNCOMPILABLE, writerv1.Paper_LLM_OUTPUT_INVALID}
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Paper{Paper: &writerv1.Paper{Outcome: o[pick(len(o))], Snapshot: "sha256:p"}}}
	case *pipeline.ReviewStep:
		o := []reviewerv1.Review_Outcome{reviewerv1.Review_REVIEWED, reviewerv1.Review_LLM_OUTPUT_INVALID}
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Review{Review: &gatewayv1.ReviewOutcome{Outcome: o[pick(len(o))], Overall: 5, ReviewDigest: "sha256:v"}}}
	}
	panic(fmt.Sprintf("no outcome for %T", request))
}

var failures = []struct{ code, reason string }{
	{"UNAVAILABLE", "BUS_UNAVAILABLE"}, {"UNAVAILABLE", "PROVIDER_UNAVAILABLE"}, {"RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED"}, {"RESOURCE_EXHAUSTED", "STORAGE_FULL"},
	{"DEADLINE_EXCEEDED", ""}, {"INTERNAL", ""}, {"UNAUTHENTICATED", "KEY_REFUSED"}, {"CANCELED", pipeline.ReasonStopped},
}

func TestAnyInterleavingEndsOrWaitsForAPerson(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		m := newMachine(t, &gatewayv1.StudySettings{Improvement: pick(2) == 0, Gates: []string{pipeline.Stages[pick(6)]}})
		for range 600 {
			a := m.s.Decide()
			if s, ok := a.(pipeline.Sleep); ok {
				a = s.Then
			}
			switch a := a.(type) {
			case pipeline.Append:
				m.apply(t, a.Event)
			case pipeline.Run:
				m.start(t, a)
				switch pick(8) {
				case 0:
					f := failures[pick(len(failures))]
					m.apply(t, failed(a, f.code, f.reason))
				case 1: // the process dies; the next owner repeats the step
					m.apply(t, death(m, m.s.N*int64(pick(2)), time.Duration(pick(2))*time.Hour, pick(3) == 0))
				case 2:
					if pick(10) == 0 {
						m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_CancelRequested{CancelRequested: &gatewayv1.CancelRequested{}}})
					}
				default:
					m.apply(t, ended(a, outcome(a.Request, pick)))
				}
			case pipeline.Stop:
				if m.s.Ended != nil {
					return
				}
				switch m.s.Wait.GetReason() {
				case gatewayv1.WaitReason_APPROVAL, gatewayv1.WaitReason_QUARANTINE:
					m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Approved{Approved: &gatewayv1.Approved{Stage: m.s.Wait.GetStage()}}})
				case gatewayv1.WaitReason_BUDGET:
					m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_BudgetRaised{BudgetRaised: &gatewayv1.BudgetRaised{PicoDollars: 1}}})
				default:
					t.Fatalf("stopped in %v", m.s.Wait)
				}
			}
		}
		t.Fatalf("no end after 600 moves; order %v", m.s.Order)
	})
}

func TestIllegalMovesAreRefused(t *testing.T) {
	started := func(step string, attempt int32) *gatewayv1.JournalEvent {
		return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StepStarted{StepStarted: &gatewayv1.StepStarted{Step: step, Attempt: attempt, InputDigest: "d"}}}
	}
	other := started("novelty/assess", 2)
	other.GetStepStarted().InputDigest = "another"
	end := &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Ended{Ended: &gatewayv1.Ended{State: gatewayv1.IdeaState_CANCELLED}}}
	for name, events := range map[string][]*gatewayv1.JournalEvent{
		"an epoch that does not rise":           {claimed(1)},
		"an end without a start":                {ended(pipeline.Run{Step: "novelty/assess", Attempt: 1}, &gatewayv1.StepEnded{})},
		"a failure without a start":             {failed(pipeline.Run{Step: "novelty/assess", Attempt: 1}, "INTERNAL", "")},
		"a second step while one is open":       {started("novelty/assess", 1), started("experiments/run-1/implement", 1)},
		"an attempt that skips one":             {started("novelty/assess", 2)},
		"a repeat with another input":           {started("novelty/assess", 1), other},
		"a step after the end":                  {end, started("novelty/assess", 1)},
		"an approval without a wait":            {{Event: &gatewayv1.JournalEvent_Approved{Approved: &gatewayv1.Approved{}}}},
		"a rejection without a wait":            {{Event: &gatewayv1.JournalEvent_Rejected{Rejected: &gatewayv1.Rejected{}}}},
		"an event of a study in an idea":        {{Event: &gatewayv1.JournalEvent_Released{Released: &gatewayv1.Released{Idea: "x"}}}},
		"a second acceptance":                   {{Event: &gatewayv1.JournalEvent_IdeaAccepted{IdeaAccepted: &gatewayv1.IdeaAccepted{}}}},
		"an end of a step that has ended twice": {started("novelty/assess", 1), ended(pipeline.Run{Step: "novelty/assess", Attempt: 1}, &gatewayv1.StepEnded{}), ended(pipeline.Run{Step: "novelty/assess", Attempt: 1}, &gatewayv1.StepEnded{})},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, &gatewayv1.StudySettings{})
			for i, e := range events {
				e.N = m.s.N + 1
				err := m.s.Apply(e)
				var bad *pipeline.Illegal
				if last := i == len(events)-1; last != errors.As(err, &bad) {
					t.Fatalf("event %d: %v", i, err)
				}
			}
		})
	}
}

func TestAGapInTheJournalIsRefused(t *testing.T) {
	m := newMachine(t, &gatewayv1.StudySettings{})
	e := claimed(2)
	e.N = m.s.N + 2
	if err := m.s.Apply(e); err == nil {
		t.Error("a gap was folded")
	}
}

// death is a claim after the owner before died in the open step.
func death(m *machine, progress int64, lived time.Duration, crashed bool) *gatewayv1.JournalEvent {
	return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Claimed{Claimed: &gatewayv1.Claimed{
		Epoch: m.s.Epoch + 1, Owner: fmt.Sprint("owner ", m.s.Epoch+1), Progress: progress, Lived: durationpb.New(lived), Crashed: crashed}}}
}

func TestDeathsInAStep(t *testing.T) {
	type life struct {
		starts   bool // the step was started in it
		progress int64
		lived    time.Duration
		crashed  bool
	}
	many := func(n int, l life) []life { return slices.Repeat([]life{l}, n) }
	killed := life{starts: true, lived: 2 * time.Second}
	crashed := life{starts: true, lived: time.Second, crashed: true}
	stuck := life{starts: true, lived: time.Minute}
	for name, c := range map[string]struct {
		lives      []life
		quarantine bool
	}{
		"twenty kills in one long step":                     {many(20, killed), false},
		"four crashes":                                      {many(4, crashed), false},
		"five crashes":                                      {many(5, crashed), true},
		"five crashes with kills between":                   {slices.Concat(many(3, crashed), many(10, killed), many(2, crashed)), true},
		"five deaths though there was time enough":          {many(5, stuck), true},
		"five deaths with something new before the last":    {append(many(4, stuck), life{starts: true, progress: 1, lived: time.Minute}), false},
		"five crashes before the step was started again":    {append(many(1, crashed), many(4, life{crashed: true})...), true},
		"kills before the step was started again":           {many(60, life{}), false},
		"kills without end":                                 {many(50, killed), true},
		"deaths of which nothing is known, as in old times": {many(20, life{starts: true}), false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, &gatewayv1.StudySettings{})
			m.start(t, m.s.Decide().(pipeline.Run))
			for i, l := range c.lives {
				m.apply(t, death(m, 1+l.progress, l.lived, l.crashed))
				if l.starts && i < len(c.lives)-1 {
					r, ok := m.s.Decide().(pipeline.Run)
					if !ok {
						t.Fatalf("after %d deaths: %#v", i+1, m.s.Decide())
					}
					m.start(t, r)
				}
			}
			a, _ := m.s.Decide().(pipeline.Append)
			if got := a.Event.GetWaiting().GetReason() == gatewayv1.WaitReason_QUARANTINE; got != c.quarantine {
				t.Fatalf("quarantine %t, want %t", got, c.quarantine)
			}
			if !c.quarantine {
				return
			}
			m.apply(t, a.Event)
			m.apply(t, &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Approved{Approved: &gatewayv1.Approved{}}})
			if _, ok := m.s.Decide().(pipeline.Run); !ok {
				t.Errorf("approved, and yet %#v", m.s.Decide())
			}
		})
	}
}

func TestAnOwnerThatClaimsAgainHasNotDied(t *testing.T) {
	m := newMachine(t, &gatewayv1.StudySettings{})
	m.start(t, m.s.Decide().(pipeline.Run))
	for range 10 {
		e := death(m, 1, time.Hour, true)
		e.GetClaimed().Owner = m.s.Owner
		m.apply(t, e)
	}
	if _, ok := m.s.Decide().(pipeline.Run); !ok {
		t.Errorf("got %#v", m.s.Decide())
	}
}
