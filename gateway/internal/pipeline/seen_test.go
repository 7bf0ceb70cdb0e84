package pipeline_test

import (
	"testing"

	"nullius.dev/gateway/internal/pipeline"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

func TestWhatIsSeenOfAnIdeaChangesWithItsEventsAlone(t *testing.T) {
	s := pipeline.NewIdea("s", "i")
	apply := func(e *gatewayv1.JournalEvent) {
		t.Helper()
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	apply(&gatewayv1.JournalEvent{N: 1, Event: &gatewayv1.JournalEvent_IdeaAccepted{IdeaAccepted: &gatewayv1.IdeaAccepted{
		Idea: &recordv1.Idea{Name: "a", Title: "A"}, Settings: &gatewayv1.StudySettings{Skip: []string{"novelty", "experiments", "figures", "writing"}}, Baseline: &recordv1.Run{}}}})
	before := s.Seen()
	if before.Stage != pipeline.Review || s.Seen() != before {
		t.Errorf("stage %s, walked anew: %v", before.Stage, s.Seen() != before)
	}
	apply(&gatewayv1.JournalEvent{N: 2, Event: &gatewayv1.JournalEvent_Claimed{Claimed: &gatewayv1.Claimed{Epoch: 1}}})
	if s.Seen() == before {
		t.Error("an event changed nothing")
	}
}
