package executor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
	"nullius.dev/services/executor"
)

// told reads the public events of study-1.
func (w *world) told(events jetstream.Stream) (all []*gatewayv1.StudyEvent) {
	w.t.Helper()
	info, err := events.Info(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for seq := max(1, info.State.FirstSeq); seq <= info.State.LastSeq; seq++ {
		m, err := events.GetMsg(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		e := &gatewayv1.StudyEvent{}
		if err := protojson.Unmarshal(m.Data, e); err != nil {
			w.t.Fatal(err)
		}
		if want := subject.Event(e.GetStudy(), e.GetIdea(), subject.KindJob); m.Subject != want || e.GetKind() != subject.KindJob || e.GetN() != 0 {
			w.t.Errorf("%s holds %v", m.Subject, e)
		}
		all = append(all, e)
	}
	return all
}

func TestEvents_TellOfEachEndOnce(t *testing.T) {
	w := newWorld(t)
	events, err := w.bus.Stream(t.Context(), jetstream.StreamConfig{ // the gateway's
		Name: subject.StreamEvents, Subjects: []string{subject.EventsAll}, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Sandbox: box(t)})
	j := w.job("experiments/run-1/execute-1", "raise SystemExit(3)")
	r := w.run(j)
	queueIsEmpty(t, w)
	// A delivery after the end, as one whose acknowledgement was lost.
	if _, err := w.bus.JS.Publish(t.Context(), subject.Jobs("cpu"), []byte(j.GetJobId())); err != nil {
		t.Fatal(err)
	}
	queueIsEmpty(t, w)
	waits := w.job("experiments/run-2/execute-1", good)
	waits.Pool = "elsewhere"
	w.submit(w.client, waits)
	for range 2 {
		if _, err := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: waits.GetJobId()}); err != nil {
			t.Fatal(err)
		}
	}
	queueIsEmpty(t, w)        // though no node serves that pool
	own := w.job("x", "pass") // of no study
	own.JobId, own.Measure, own.Outputs = "own/job", false, []*executorv1.Output{{Glob: "run_1/**"}}
	w.run(own)
	kittest.Eventually(t, 5*time.Second, func() error {
		if all := w.told(events); len(all) < 2 {
			return fmt.Errorf("%v", all)
		}
		return nil
	})
	all := w.told(events)
	if len(all) != 2 {
		t.Fatalf("%v", all)
	}
	failed, cancelled := all[0], all[1]
	if failed.GetStudy() != "study-1" || failed.GetIdea() != "idea-1" || failed.GetStep() != "experiments/run-1/execute-1" || failed.GetAttempt() != 1 ||
		failed.GetOutcome() != "FAILED" || failed.GetText() != fmt.Sprintf("on test in %s: exit code 3", r.GetWall().AsDuration().Round(10*time.Millisecond)) ||
		!failed.GetTime().AsTime().Equal(r.GetEnded().AsTime()) {
		t.Errorf("%v", failed)
	}
	if cancelled.GetStep() != "experiments/run-2/execute-1" || cancelled.GetAttempt() != 0 || cancelled.GetOutcome() != "CANCELLED" || cancelled.GetText() != "cancelled before it ran" {
		t.Errorf("%v", cancelled)
	}
}
