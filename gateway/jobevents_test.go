package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/natsd"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// TestEventsOfJobsStandBesideTheGatewaysOwn has the executor's event as the last of an idea when the gateway dies with one of its own lost. A successor
// publishes what is missing, and nothing twice, also when the broker remembers no message ids any more.
func TestEventsOfJobsStandBesideTheGatewaysOwn(t *testing.T) {
	w, restart := restartable(t)
	reached := make(chan struct{}, 10)
	w.w.hook = func(ctx context.Context, step string) error {
		if !strings.HasSuffix(step, "writing/draft") {
			return nil
		}
		reached <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "writing"})
	<-reached
	w.stop()
	study := strings.TrimPrefix(name, "studies/")
	stream, err := w.bus.JS.Stream(t.Context(), subject.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := stream.GetLastMsgForSubject(t.Context(), subject.EventsOf(study, "idea-1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), lost.Sequence); err != nil {
		t.Fatal(err)
	}
	const step = "experiments/run-1/execute-1"
	event := fmt.Sprintf(`{"study":%q,"idea":"idea-1","kind":"job","step":%q,"attempt":2,"outcome":"SUCCEEDED","text":"on gpu-1 in 3s"}`, study, step)
	for range 2 {
		if _, err := w.bus.JS.Publish(t.Context(), subject.Event(study, "idea-1", subject.KindJob), []byte(event),
			jetstream.WithMsgID(subject.JobEventID(study+"/idea-1/"+step, 2))); err != nil {
			t.Fatal(err)
		}
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := w.bus.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	restart()
	w.w.mu.Lock()
	w.w.hook = nil
	w.w.mu.Unlock()
	w.start()
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	idea := w.ideaUntil(name+"/ideas/idea-1", gatewayv1.IdeaState_SUCCEEDED)
	kittest.Eventually(t, 10*time.Second, func() error {
		seen, jobs := map[int64]int{}, 0
		for _, e := range w.events(name + "/ideas/idea-1") {
			if e.GetKind() != subject.KindJob {
				seen[e.GetN()]++
				continue
			}
			if jobs++; e.GetN() != 0 || e.GetStage() != "experiments" || e.GetStep() != step || e.GetAttempt() != 2 || e.GetOutcome() != "SUCCEEDED" {
				return fmt.Errorf("the job's event is %v", e)
			}
		}
		for n := int64(1); n <= idea.GetSummary().GetEtag(); n++ {
			if seen[n] != 1 {
				return fmt.Errorf("event %d came %d times", n, seen[n])
			}
		}
		if jobs != 1 || len(seen) != int(idea.GetSummary().GetEtag()) {
			return fmt.Errorf("%d events of jobs, numbers %v of %d", jobs, seen, idea.GetSummary().GetEtag())
		}
		return nil
	})
}

// restartable is a world whose broker can be started anew; it then remembers the message ids that lie within the streams' windows, and no others.
func restartable(t *testing.T) (w *world, restart func()) {
	t.Helper()
	cfg := natsd.Config{Dir: t.TempDir(), MaxBytes: 2 << 30}
	start := func() (*natsd.Server, *bus.Conn) {
		s, err := natsd.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s, b
	}
	s, b := start()
	stop := func() {
		w.bus.Close()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { stop() }) // after the world's own
	w = newWorldOn(t, b)
	if _, err := w.upload("toy", toy()); err != nil {
		t.Fatal(err)
	}
	return w, func() {
		stop()
		s, w.bus = start()
	}
}

// events reads all events of a study or idea that has ended.
func (w *world) events(name string) (all []*gatewayv1.StudyEvent) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	s, err := w.api.WatchStudy(ctx, &gatewayv1.WatchStudyRequest{Name: name, Journal: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if e := m.GetEvent(); e != nil {
			if all = append(all, e); (e.GetKind() == subject.KindJob) != (e.GetJournal() == nil) {
				w.t.Errorf("event %v has the journal's %v", e, e.GetJournal())
			}
		}
	}
}
