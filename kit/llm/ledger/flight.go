package ledger

import (
	"context"
	"errors"
	"time"
)

// Work answers a request under a claim; it ends with c.Done or an error. Its context ends when nobody waits for the
// answer any more or the claim is lost: what was paid for should be recorded all the same.
type Work func(ctx context.Context, c *Claim) error

// flight is one call of this process and those who wait for it.
type flight struct {
	done   chan struct{}
	cancel context.CancelCauseFunc

	waiters   int  // under Ledger.mu
	abandoned bool // under Ledger.mu: the last waiter left

	entry Entry
	hit   bool
	err   error
}

var errAbandoned = errors.New("nobody waits for the answer any more")

// Run returns the DONE entry of a key and whether it was there before; if there is none, work is called to make it.
// Callers of one key share one call. A caller whose context ends gets that error at once.
func (l *Ledger) Run(ctx context.Context, key string, first Record, work Work) (Entry, bool, error) {
	for {
		e, ok, err := l.Get(ctx, key)
		if err != nil {
			return Entry{}, false, err
		}
		if ok && e.State == Done {
			return e, true, nil
		}
		f, joined := l.join(ctx, key, first, !ok, work)
		select {
		case <-f.done:
		case <-ctx.Done():
			l.leave(f)
			return Entry{}, false, ctx.Err()
		}
		if f.err != nil && joined && ctx.Err() == nil && l.wasAbandoned(f) {
			continue // it was given up before we joined
		}
		return f.entry, f.err == nil && (joined || f.hit), f.err
	}
}

func (l *Ledger) join(ctx context.Context, key string, first Record, absent bool, work Work) (*flight, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.flights[key]; ok {
		f.waiters++
		return f, true
	}
	// The call outlives its caller: others may have joined it, and a sent request is paid for.
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel, waiters: 1}
	l.flights[key] = f
	l.wg.Go(func() {
		defer cancel(nil)
		f.entry, f.hit, f.err = l.fly(run, key, first, absent, work)
		if errors.Is(f.err, context.Canceled) && context.Cause(run) == errAbandoned {
			f.err = context.Canceled
		}
		l.mu.Lock()
		delete(l.flights, key)
		l.mu.Unlock()
		close(f.done)
	})
	return f, false
}

func (l *Ledger) leave(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.waiters--
	if f.waiters == 0 {
		f.abandoned = true
		f.cancel(errAbandoned)
	}
}

func (l *Ledger) wasAbandoned(f *flight) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f.abandoned
}

// fly acquires the claim and works under it, again each time the claim is lost.
func (l *Ledger) fly(ctx context.Context, key string, first Record, absent bool, work Work) (Entry, bool, error) {
	for ; ; absent = false {
		claim, done, err := l.acquire(ctx, key, first, absent)
		if err != nil {
			return Entry{}, false, err
		}
		if claim == nil {
			return done, true, nil
		}
		err = l.under(ctx, claim, work)
		if errors.Is(err, ErrTakenOver) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return Entry{}, false, err
		}
		return claim.entry(), false, nil
	}
}

// under runs work while a goroutine keeps the claim fresh.
func (l *Ledger) under(ctx context.Context, c *Claim, work Work) error {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.lose = func() { cancel(ErrTakenOver) }
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() { // waited for below
		defer close(stopped)
		t := time.NewTicker(l.cfg.Beat)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				_ = c.change(ctx, func(*Record) {}) // a lost claim shows at the next write; a bus that is away comes back
			}
		}
	}()
	err := work(run, c)
	close(stop)
	<-stopped
	if err == nil && c.state() != Done {
		err = errors.New("ledger: work ended without an answer or an error")
	}
	if c.isLost() {
		return ErrTakenOver
	}
	if err != nil {
		c.giveBack(ctx)
	}
	return err
}
