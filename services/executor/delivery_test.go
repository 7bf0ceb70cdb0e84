package executor_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
	"nullius.dev/services/executor"
	"nullius.dev/services/executor/internal/gpu"
)

func queueIsEmpty(t *testing.T, w *world) {
	t.Helper()
	kittest.Eventually(t, 10*time.Second, func() error {
		s, err := w.bus.JS.Stream(t.Context(), subject.StreamJobs)
		if err == nil && s.CachedInfo().State.Msgs > 0 {
			err = fmt.Errorf("%d messages are left", s.CachedInfo().State.Msgs)
		}
		return err
	})
}

func TestExecutor_DoubledMessagesHaveOneEffect(t *testing.T) {
	w := open(t)
	var ids []string
	for i := range size(6, 1000) {
		j := w.job(fmt.Sprintf("doubled-%d", i), good)
		j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
		w.submit(w.client, j)
		for range 4 { // without a message id: as after the window of duplicates
			if _, err := w.bus.Publish(t.Context(), subject.Jobs("cpu"), "", "again", []byte(j.GetJobId())); err != nil {
				t.Fatal(err)
			}
		}
		ids = append(ids, j.GetJobId())
	}
	if _, err := w.bus.Publish(t.Context(), subject.Jobs("cpu"), "", "garbage", []byte("\xff no job > *")); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if r := w.watch(w.client, id).record.GetResult(); r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetAttempt() != 1 {
			t.Errorf("%v", r)
		}
	}
	queueIsEmpty(t, w)
}

func TestExecutor_CancelAgainstCompletionHasOneEnd(t *testing.T) {
	w := open(t)
	var jobs []*executorv1.Job
	for i := range size(24, 1000) {
		j := w.job(fmt.Sprintf("race-%d", i), good)
		j.Argv, j.Measure, j.Outputs = []string{"sh", "-c", "sleep 0.02"}, false, []*executorv1.Output{{Glob: "run_1/**"}}
		w.submit(w.client, j)
		jobs = append(jobs, j)
	}
	var group sync.WaitGroup
	for i, j := range jobs {
		group.Go(func() {
			for try := 0; ; try++ { // at another moment of its life for each
				r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
				if err != nil {
					t.Error(err)
					return
				}
				if int(r.GetRecord().GetState()) > i%6 {
					break
				}
			}
			if _, err := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: j.GetJobId()}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	ends := map[executorv1.EndReason_Value]int{}
	for _, j := range jobs {
		first := w.watch(w.client, j.GetJobId()).record.GetResult()
		again := w.watch(w.client, j.GetJobId()).record.GetResult()
		if first.GetEndReason() != again.GetEndReason() || first.GetAttempt() != again.GetAttempt() {
			t.Errorf("two ends: %v, %v", first, again)
		}
		ends[first.GetEndReason()]++
	}
	if ends[executorv1.EndReason_SUCCEEDED]+ends[executorv1.EndReason_CANCELLED] != len(jobs) {
		t.Errorf("ends: %v", ends)
	}
	t.Logf("ends: %v", ends)
	queueIsEmpty(t, w)
}

func TestExecutor_AMessageDeliveredTooOftenBecomesADeadLetter(t *testing.T) {
	w := newWorld(t)
	cfg := quick(t.TempDir())
	cfg.MaxDeliver, cfg.BusyDelay = 2, 50*time.Millisecond
	gpus := gpu.Fake{List: []gpu.Device{{UUID: "GPU-a", Model: "NVIDIA T4", MemoryBytes: 16 << 30, DeviceNodes: []string{}}}}
	w.client, _ = w.start(cfg, executor.Shared{Sandbox: box(t), GPUs: gpus})
	j := w.job("never-fits", good)
	j.Pool, j.Gpu = "gpu", &executorv1.Gpu{Count: 2}
	w.submit(w.client, j)
	r := w.watch(w.client, j.GetJobId()).record.GetResult()
	if r.GetEndReason() != executorv1.EndReason_DEAD || r.GetMessage() != "its message was delivered 2 times without an end" {
		t.Errorf("%v", r)
	}
	queueIsEmpty(t, w)
	kittest.Eventually(t, 10*time.Second, func() error {
		s, err := w.bus.JS.Stream(t.Context(), subject.StreamJobsDead)
		if err == nil && s.CachedInfo().State.Msgs != 1 {
			err = fmt.Errorf("%d dead letters", s.CachedInfo().State.Msgs)
		}
		return err
	})
}
