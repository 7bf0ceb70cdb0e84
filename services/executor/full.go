package executor

import (
	"context"
	"errors"
	"syscall"
	"time"

	"nullius.dev/kit/fault"
)

const (
	reasonFull = "STORAGE_FULL"
	// fullEvery is how often a store that was full is tried again.
	fullEvery = 2 * time.Second
	// lastWords is how long an attempt may take to give its job back when the
	// node stops.
	lastWords = 10 * time.Second
)

// isStorageFull tells a lack of room, here or in the blob store or the broker,
// from other trouble. It is nobody's fault, and passes when somebody makes room.
func isStorageFull(err error) bool {
	return fault.ReasonOf(err) == reasonFull || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func storageText(err error) string {
	if f, ok := fault.As(err); ok {
		return f.Message
	}
	return "the disk of the executor is full"
}

// storageFault is what a watcher of a job gets that waits for room. It goes on
// by itself; who submits and watches it again finds its end.
func storageFault(r *record) error {
	return fault.New(fault.Exhausted, reasonFull, "job %s waits: %s", r.GetJob().GetJobId(), r.Full).
		WithNext("nullius doctor").WithRetry(fullEvery)
}

// lasting is a context that outlives ctx: for ever after a cancel by a person
// or another attempt, lastWords when the node stops.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var timer *time.Timer
	started := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(started)
		if errors.Is(context.Cause(ctx), errDrain) {
			timer = time.AfterFunc(lastWords, func() { cancel(errDrain) })
		}
	})
	return out, func() {
		if !stop() {
			<-started
			if timer != nil {
				timer.Stop()
			}
		}
		cancel(nil)
	}
}

// whileFull does what needs room until there is room, the job is cancelled,
// the claim is lost or the node stops. Meanwhile the record says why it waits.
func (a *attempt) whileFull(run context.Context, do func() error) error {
	for told := false; ; {
		err := do()
		if !isStorageFull(err) {
			if errors.Is(err, context.Canceled) && context.Cause(run) != nil {
				return context.Cause(run)
			}
			return err
		}
		if !told {
			a.n.s.log.WarnContext(run, "a job's results wait for room", "job_id", a.id, "error", err)
			// Where the broker has no room either, nobody can be told.
			tell, cancel := context.WithTimeout(context.WithoutCancel(run), fullEvery)
			told = a.update(tell, func(r *record) { r.Full = storageText(err) }) == nil
			cancel()
		}
		if !pause(run, fullEvery) {
			return context.Cause(run)
		}
	}
}
