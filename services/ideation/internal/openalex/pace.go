package openalex

import (
	"context"
	"sync"
	"time"
)

// System is the machine's clock.
type System struct{}

// Now is the time.
func (System) Now() time.Time { return time.Now() }

// Sleep waits, or ends with ctx.
func (System) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pacer lets the callers of one process through one by one.
type Pacer struct {
	clock    Clock
	interval func() time.Duration

	mu   sync.Mutex
	next time.Time
}

// NewPacer makes a pacer.
func NewPacer(c Clock, interval func() time.Duration) *Pacer {
	return &Pacer{clock: c, interval: interval}
}

// Wait takes the next slot and waits for it.
func (p *Pacer) Wait(ctx context.Context, tell func(time.Time)) error {
	p.mu.Lock()
	now := p.clock.Now()
	slot := p.next
	if slot.Before(now) {
		slot = now
	}
	p.next = slot.Add(p.interval())
	p.mu.Unlock()
	wait := slot.Sub(now)
	if wait <= 0 {
		return ctx.Err()
	}
	if wait > time.Second {
		tell(slot)
	}
	return p.clock.Sleep(ctx, wait)
}

// Pause holds later callers back.
func (p *Pacer) Pause(_ context.Context, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.clock.Now().Add(d); until.After(p.next) {
		p.next = until
	}
}
