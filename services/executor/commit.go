package executor

import (
	"context"
	"errors"
	"time"

	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// finish commits a result, or puts the job back for another attempt.
func (a *attempt) finish(ctx, run context.Context, res *executorv1.JobResult, err error) {
	log := a.n.s.log.With("job_id", a.id, "attempt", a.number)
	defer a.n.state.forget(a.id)
	ctx, cancel := lasting(ctx)
	defer cancel()
	if err == nil {
		err = a.commit(ctx, res)
		if err == nil {
			log.InfoContext(ctx, "job ended", "reason", res.GetEndReason().String(), "wall", res.GetWall().AsDuration().String())
			a.n.s.metrics.ended(ctx, a.job.GetPool(), res)
			a.n.conclude(ctx, a.msg, &executorv1.JobRecord{Job: a.job, Result: res})
			return
		}
	}
	if errors.Is(err, errLeaseLost) || errors.Is(context.Cause(run), errLeaseLost) {
		end := endSuperseded
		if errors.Is(context.Cause(run), errLeaseLost) && res == nil {
			end = endLeaseLost
		}
		log.WarnContext(ctx, "attempt discarded: another one has taken over", "end", end)
		a.n.s.metrics.lost(ctx, end)
		a.tookOver(ctx, end)
		return // the message is the other's
	}
	end, full := endInfra, ""
	switch {
	case errors.Is(err, errDrain), errors.Is(context.Cause(run), errDrain):
		end = endInterrupted
	case errors.Is(err, errGPUFault), errors.Is(context.Cause(run), errGPUFault):
		end = endGPUFault
		log.WarnContext(ctx, "attempt ended by a GPU", "error", context.Cause(run))
	case isStorageFull(err):
		end, full = endFull, storageText(err)
		log.WarnContext(ctx, "no room to run a job", "error", err)
	default:
		log.ErrorContext(ctx, "attempt failed by the node's own trouble", "error", err)
	}
	a.n.s.metrics.lost(ctx, end)
	if e := a.update(ctx, func(r *record) { r.lose(end); r.Full = full }); e != nil {
		log.WarnContext(ctx, "give the job back", "error", e)
	}
	switch end {
	case endInterrupted:
		_ = a.msg.Nak()
	case endFull:
		_ = a.msg.NakWithDelay(5 * fullEvery)
	default:
		_ = a.msg.NakWithDelay(time.Second)
	}
}

// isAway tells that the broker did not answer. The client's own time limit is
// a missed deadline, which is no fault of ours as long as our context lasts.
func isAway(err error) bool {
	return errors.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded)
}

// tookOver writes in the record of the attempt that goes on how this one
// ended, unless it has ended itself: ends are never changed.
func (a *attempt) tookOver(ctx context.Context, end string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := a.n.s.jobs.change(ctx, a.id, func(r *record) (bool, error) {
		for _, e := range r.Earlier {
			if !r.ended() && e.GetNumber() == a.number && e.GetEnd() == endLost {
				e.End = end
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		a.n.s.log.DebugContext(ctx, "note the take-over", "job_id", a.id, "error", err)
	}
}

// outlive says in the record that the node still lives some time after the
// program began: its loss is no fault of the program from then on.
func (a *attempt) outlive(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-a.began:
	}
	if pause(ctx, poisonWithin) {
		if err := a.update(ctx, func(r *record) { r.Outlived = true }); err != nil {
			a.n.s.log.DebugContext(ctx, "note that the node lives", "job_id", a.id, "error", err)
		}
	}
}

// commit is the only way a result comes into the world: a compare-and-set at
// the revision this attempt holds.
func (a *attempt) commit(ctx context.Context, res *executorv1.JobResult) error {
	return a.update(ctx, func(r *record) {
		r.State, r.Result, r.Whole, r.WaitingFor, r.Full = executorv1.State_ENDED, res, a.whole, "", ""
	})
}

// update changes the record while the claim is ours. A cancel request changes
// the revision without taking the claim away.
func (a *attempt) update(ctx context.Context, change func(*record)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	mine, r := a.number, a.r
	for {
		change(r)
		err := a.n.s.jobs.put(ctx, r)
		if err == nil {
			a.r = r
			return nil
		}
		if !errors.Is(err, fault.Conflict) {
			// An unknown outcome, or a full broker: the record tells.
			if !isAway(err) && !isStorageFull(err) || !pause(ctx, 500*time.Millisecond) {
				return err
			}
		}
		now, e := a.n.s.jobs.get(ctx, a.id)
		for isAway(e) && pause(ctx, 100*time.Millisecond) {
			now, e = a.n.s.jobs.get(ctx, a.id)
		}
		if e != nil {
			return e
		}
		if now.ended() && now.GetResult().GetAttempt() == mine && now.Instance == a.n.instance {
			return nil // ours got through after all
		}
		if now.ended() || now.Instance != a.n.instance || now.GetAttempt() != mine {
			return errLeaseLost
		}
		r = now
	}
}
