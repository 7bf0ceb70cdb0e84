package gateway_test

import (
	"errors"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// TestAFullJournalStopsAndGoesOnWhereItWas: with the journal's quota used up nothing is accepted, nothing that was confirmed is lost, and with more room the
// study ends as if nothing had been.
func TestAFullJournalStopsAndGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.quota = 6 << 10
	w.start()
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty"})
	kittest.Eventually(t, 20*time.Second, func() error {
		_, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "scripted", Until: "novelty"}})
		if fault.ReasonOf(err) == "STORAGE_FULL" && errors.Is(err, fault.Exhausted) && fault.NextOf(err) != "" {
			return nil
		}
		return errors.Join(errors.New("a study is accepted, or refused for another reason"), err)
	})
	if _, err := w.api.GetStudy(t.Context(), &gatewayv1.GetStudyRequest{Name: name}); err != nil {
		t.Errorf("a full journal cannot be read: %v", err)
	}
	w.stop()
	w.quota = 0
	w.start()
	st := w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	if len(st.GetIdeas()) != 1 || st.GetIdeas()[0].GetState() != gatewayv1.IdeaState_SUCCEEDED {
		t.Errorf("with room again the study is %v", st)
	}
}
