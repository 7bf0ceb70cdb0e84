package tree_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nullius.dev/cmd/nullius/internal/tree"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// life is the life of one idea as public events.
func life() []*gatewayv1.StudyEvent {
	e := func(n int64, kind, step string) *gatewayv1.StudyEvent {
		stage, _, _ := strings.Cut(step, "/")
		return &gatewayv1.StudyEvent{Study: "bandit-1", Idea: "idea-1", N: n, Kind: kind, Step: step, Stage: stage, Time: at(int(n)), Attempt: 1}
	}
	out := []*gatewayv1.StudyEvent{e(1, "accepted", ""), e(2, "claimed", ""), e(3, "step-started", "novelty/assess"), e(4, "step-ended", "novelty/assess"),
		e(5, "waiting", ""), e(6, "approved", ""), e(7, "step-started", "experiments/run-1/implement"), e(8, "step-failed", "experiments/run-1/implement"),
		e(9, "step-started", "experiments/run-1/implement"), e(10, "step-ended", "experiments/run-1/implement"), e(11, "ended", "")}
	out[0].Text = "A title"
	out[4].Reason, out[4].Stage, out[4].Text = "APPROVAL", "experiments", "waits for approval before experiments"
	out[7].Reason, out[7].Text = "UNAVAILABLE", "the coder is away"
	out[8].Attempt = 2
	out[10].State, out[10].Reason, out[10].Text = gatewayv1.IdeaState_FAILED, "NO_SUCCESSFUL_RUN", "no run succeeded"
	return out
}

func event(e *gatewayv1.StudyEvent) *gatewayv1.WatchStudyResponse {
	return &gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Event{Event: e}}
}

func TestFold_followsAnIdea(t *testing.T) {
	s := tree.New("bandit-1", "")
	st := study()
	st.Ideas = nil
	s.Study(st)
	for n, want := range []string{"A title", "", "checking novelty, 2s", "about to begin its next step", "waits for your approval before experiments, since 14:00:05 (0s)", "about to begin", "changing the code, 0s",
		"UNAVAILABLE: the coder is away, since 14:00:08", "attempt 2", "", "NO_SUCCESSFUL_RUN: no run succeeded"} {
		if !s.Message(event(life()[n])) {
			t.Errorf("event %d was no news", n+1)
		}
		now := start.Add(time.Duration(n+1) * time.Second)
		if n == 2 {
			now = now.Add(2 * time.Second)
		}
		if got := text(s.Frame(now, 150, 50)); !strings.Contains(got, want) {
			t.Errorf("after event %d %q is missing in\n%s", n+1, want, got)
		}
	}
	if s.Message(event(life()[10])) {
		t.Error("the same event was news twice")
	}
}

// TestFold_anyOrder: events and snapshots that come late, twice or out of order never panic, and in the end the one with the highest number stands.
func TestFold_anyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := tree.New("bandit-1", rapid.SampledFrom([]string{"", "idea-1", "idea-9"}).Draw(t, "only"))
		kinds := []string{"accepted", "claimed", "step-started", "step-ended", "step-failed", "waiting", "resumed", "approved", "rejected", "budget-raised", "cancel-requested", "retry-requested",
			"ended", "idea-added", "idea-ended", "released", "idea-resumed", "never heard of", ""}
		steps := []string{"", "baseline/run", "ideation/idea-2", "novelty/assess", "experiments/run-1/execute-1", "experiments-3/run-99/repair-2", "figures/plot-last", "//", "-", "x"}
		words := []string{"", "APPROVAL", "PROVIDER", "no such reason", "idea-7: title", "\x1b[2J\u202e\x00", strings.Repeat("long ", 300)}
		for range rapid.IntRange(0, 60).Draw(t, "messages") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				st := study()
				st.Etag, st.Ideas = rapid.Int64Range(-1, 50).Draw(t, "etag"), st.Ideas[:rapid.IntRange(0, 5).Draw(t, "ideas")]
				s.Study(st)
			case 1:
				d := detail(study(), rapid.IntRange(0, 4).Draw(t, "idea"))
				d.Etag = rapid.Int64Range(-1, 50).Draw(t, "etag")
				s.Idea(d)
			case 2:
				s.Message(&gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Progress{Progress: &gatewayv1.LiveProgress{
					Idea: rapid.SampledFrom([]string{"_", "", "idea-1"}).Draw(t, "idea"), Step: rapid.SampledFrom(steps).Draw(t, "step"),
					Progress: &recordv1.Progress{Phase: rapid.SampledFrom(words).Draw(t, "phase"), Total: rapid.Int32().Draw(t, "total"), Until: at(5)}}}})
			case 3:
				for _, id := range s.Over() {
					s.End(id, rapid.IntRange(-5, 200).Draw(t, "width"), "step", []string{"\x1b", ""})
					s.Told(id)
				}
			default:
				e := &gatewayv1.StudyEvent{Study: "bandit-1", Idea: rapid.SampledFrom([]string{"_", "", "idea-1", "idea-2", "own-1"}).Draw(t, "idea"), N: rapid.Int64Range(-1, 60).Draw(t, "n"),
					Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Step: rapid.SampledFrom(steps).Draw(t, "step"), Stage: rapid.SampledFrom(steps).Draw(t, "stage"),
					Reason: rapid.SampledFrom(words).Draw(t, "reason"), Text: rapid.SampledFrom(words).Draw(t, "text"), State: gatewayv1.IdeaState_Value(rapid.IntRange(0, 9).Draw(t, "state"))}
				if rapid.Bool().Draw(t, "timed") {
					e.Time = at(rapid.IntRange(-100, 100).Draw(t, "time"))
				}
				s.Message(event(e))
			}
			w, h := rapid.IntRange(-1, 200).Draw(t, "w"), rapid.IntRange(-1, 60).Draw(t, "h")
			if frame := s.Frame(start, w, h); len(frame) > max(h, 3) {
				t.Fatalf("%d lines of %d", len(frame), h)
			}
		}
		s.Wanted()
	})
}

// TestFold_theLastWordStands: in whatever order an idea's events come, the frame ends as if they had come in order.
func TestFold_theLastWordStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mixed := rapid.Permutation(life()).Draw(t, "order")
		mixed = append(mixed, mixed[:rapid.IntRange(0, len(mixed)).Draw(t, "again")]...)
		s := tree.New("bandit-1", "")
		for _, e := range mixed {
			s.Message(event(e))
		}
		s.Idea(&gatewayv1.Idea{Name: "studies/bandit-1/ideas/idea-1", Etag: 11, Summary: &gatewayv1.IdeaSummary{Name: "studies/bandit-1/ideas/idea-1", Etag: 11, State: gatewayv1.IdeaState_FAILED, Reason: "NO_SUCCESSFUL_RUN"}})
		if got := s.Over(); !slices.Equal(got, []string{"idea-1"}) {
			t.Fatalf("over: %v\n%s", got, fmt.Sprint(text(s.Frame(start, 100, 20))))
		}
	})
}
