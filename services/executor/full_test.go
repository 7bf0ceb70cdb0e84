package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
)

// filled is a blob store whose disk is full while full is set.
type filled struct {
	store.Blobs
	full atomic.Bool
	puts atomic.Int32
}

func (f *filled) Put(ctx context.Context, r io.Reader) (store.Digest, int64, error) {
	if f.full.Load() {
		f.puts.Add(1)
		return "", 0, fault.Wrap(syscall.ENOSPC, fault.Exhausted, "STORAGE_FULL", "the disk of the blob store is full")
	}
	return f.Blobs.Put(ctx, r)
}

// openFilled is an executor over a store that can be filled.
func openFilled(t *testing.T) (*world, *filled) {
	w := newWorld(t)
	f := &filled{Blobs: w.blobs}
	w.blobs = f
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Sandbox: box(t)})
	return w, f
}

// watchErr watches a job whose watch fails.
func (w *world) watchErr(id string) error {
	stream, err := w.client.Watch(w.t.Context(), &executorv1.WatchRequest{JobId: id})
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

func TestExecutor_WaitsForRoomAndLosesNoResult(t *testing.T) {
	w, f := openFilled(t)
	j := w.job("full", "import time\n"+good)
	j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
	f.full.Store(true)
	w.submit(w.client, j)
	err := w.watchErr(j.GetJobId())
	if fault.ReasonOf(err) != "STORAGE_FULL" || !errors.Is(err, fault.Exhausted) {
		t.Fatalf("a watcher got %v", err)
	}
	r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
	if err != nil || r.GetRecord().GetWaitingFor() != "the disk of the blob store is full" {
		t.Errorf("%v, %v", r, err)
	}
	again := w.submit(w.client, j) // as the step's next attempt does
	if again.GetState() != executorv1.State_COLLECTING || again.GetAttempt() != 1 {
		t.Errorf("%v", again)
	}
	puts := f.puts.Load()
	kittest.Eventually(t, 20*time.Second, func() error { // far past five tries of old
		if n := f.puts.Load() - puts; n < 3 {
			return fmt.Errorf("%d further tries", n)
		}
		return nil
	})
	f.full.Store(false)
	kittest.Eventually(t, 20*time.Second, func() error {
		r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
		if err == nil && !ended(r.GetRecord()) {
			err = fmt.Errorf("is %v", r.GetRecord().GetState())
		}
		return err
	})
	res := w.watch(w.client, j.GetJobId()).record.GetResult()
	if res.GetEndReason() != executorv1.EndReason_SUCCEEDED || res.GetAttempt() != 1 || len(res.GetEarlier()) != 0 || len(res.GetMeasurements()) != 2 {
		t.Errorf("%v", res)
	}
}

func TestExecutor_AJobThatWaitsForRoomCanBeCancelled(t *testing.T) {
	w, f := openFilled(t)
	j := w.job("full", good)
	j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
	f.full.Store(true)
	w.submit(w.client, j)
	if err := w.watchErr(j.GetJobId()); fault.ReasonOf(err) != "STORAGE_FULL" {
		t.Fatalf("a watcher got %v", err)
	}
	if _, err := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: j.GetJobId()}); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, 20*time.Second, func() error {
		r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
		if err == nil && r.GetRecord().GetResult().GetEndReason() != executorv1.EndReason_CANCELLED {
			err = fmt.Errorf("is %v", r.GetRecord())
		}
		return err
	})
}
