package llm

import (
	"context"
	"sync"
	"time"
)

// lane is the rate of one provider and key: how many calls at a time, until when nothing may start, who waits. Waiters stand
// in one queue per study, served in turn, so that one study cannot starve another.
type lane struct {
	mu     sync.Mutex
	max    int
	allow  int // calls at a time now
	busy   int
	run    int // successes since allow last changed
	halved time.Time
	until  time.Time // pause
	rpm    bucket
	tpm    bucket
	queues map[string][]*ticket
	order  []string // studies with waiters, next first
	timer  *time.Timer
}

type ticket struct {
	ready  chan struct{}
	tokens float64
	gone   bool
}

// bucket allows so many a minute; zero: any number.
type bucket struct {
	perMinute float64
	level     float64
	at        time.Time
}

func (b *bucket) wait(n float64, now time.Time) time.Duration {
	if b.perMinute <= 0 {
		return 0
	}
	if b.at.IsZero() {
		b.level = b.perMinute
	} else {
		b.level = min(b.perMinute, b.level+now.Sub(b.at).Minutes()*b.perMinute)
	}
	b.at = now
	n = min(n, b.perMinute)
	if b.level >= n {
		return 0
	}
	return time.Duration((n - b.level) / b.perMinute * float64(time.Minute))
}

func (b *bucket) take(n float64) {
	if b.perMinute > 0 {
		b.level -= min(n, b.perMinute)
	}
}

func newLane(limit int, p providerLine) *lane {
	if p.MaxParallel > 0 {
		limit = p.MaxParallel
	}
	if limit <= 0 {
		limit = 32
	}
	return &lane{max: limit, allow: min(8, limit), queues: map[string][]*ticket{},
		rpm: bucket{perMinute: float64(p.RPM)}, tpm: bucket{perMinute: float64(p.TPM)}}
}

// enter waits for a turn. onWait is told once if there is a wait, with the time until which the lane pauses, if it does.
func (l *lane) enter(ctx context.Context, study string, tokens int64, onWait func(until time.Time)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &ticket{ready: make(chan struct{}), tokens: float64(tokens)}
	l.mu.Lock()
	if len(l.queues[study]) == 0 {
		l.order = append(l.order, study)
	}
	l.queues[study] = append(l.queues[study], t)
	l.serve()
	until := l.until
	l.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	default:
	}
	if onWait != nil {
		if until.Before(time.Now()) {
			until = time.Time{}
		}
		onWait(until)
	}
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		select {
		case <-t.ready: // it came at the same time: hand it on
			l.busy--
			l.serve()
		default:
			t.gone = true
		}
		return ctx.Err()
	}
}

// serve hands out turns; the lane is locked.
func (l *lane) serve() {
	for l.busy < l.allow && len(l.order) > 0 {
		study := l.order[0]
		t := l.queues[study][0]
		if !t.gone {
			now := time.Now()
			if wait := max(l.until.Sub(now), l.rpm.wait(1, now), l.tpm.wait(t.tokens, now)); wait > 0 {
				l.later(wait)
				return
			}
			l.rpm.take(1)
			l.tpm.take(t.tokens)
			l.busy++
			close(t.ready)
		}
		l.order = l.order[1:]
		if l.queues[study] = l.queues[study][1:]; len(l.queues[study]) > 0 {
			l.order = append(l.order, study)
		} else {
			delete(l.queues, study)
		}
	}
}

func (l *lane) later(d time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.serve()
	})
}

// leave gives a turn back. A full round of successes allows one call more; a limit halves, at most once in ten seconds.
func (l *lane) leave(ok, limited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	switch {
	case limited && time.Since(l.halved) > 10*time.Second:
		l.halved, l.run = time.Now(), 0
		l.allow = max(1, l.allow/2)
	case ok:
		if l.run++; l.run >= l.allow && l.allow < l.max {
			l.allow, l.run = l.allow+1, 0
		}
	}
	l.serve()
}

// pause lets nothing start for a while.
func (l *lane) pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.until) {
		l.until = until
	}
}

// circuit stops calls to a host that is down.
type circuit struct {
	mu      sync.Mutex
	times   Times
	failed  int
	since   time.Time // of the first failure in a row
	open    bool
	next    time.Time // when one call may test it
	wait    time.Duration
	testing bool
	last    problem
}

// allow reports whether a call may go, and if not how long until one may test.
func (c *circuit) allow() (ok bool, wait time.Duration, last problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return true, 0, problem{}
	}
	if wait := time.Until(c.next); wait > 0 || c.testing {
		return false, max(wait, time.Second), c.last
	}
	c.testing = true
	return true, 0, problem{}
}

// success closes the circuit; any answer of the host is one, also a refusal.
func (c *circuit) success() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed, c.open, c.testing, c.wait = 0, false, false, 0
}

// failure counts an outage; it reports whether the circuit is open now.
func (c *circuit) failure(p problem) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.failed == 0 {
		c.since = now
	}
	c.failed++
	c.last = p
	switch {
	case c.open:
		c.wait = min(2*c.wait, 4*c.times.Circuit)
	case c.failed >= 5 && now.Sub(c.since) >= c.times.Quiet:
		c.open, c.wait = true, c.times.Circuit
	default:
		return false
	}
	c.testing = false
	c.next = now.Add(c.wait)
	return true
}
