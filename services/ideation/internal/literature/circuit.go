package literature

import (
	"sync"
	"time"
)

const (
	maxOutages = 5
	maxLimits  = 3
	firstOpen  = 30 * time.Second
	longest    = 10 * time.Minute
)

// circuit leaves an engine alone that keeps failing, and lets one call test it after a while.
type circuit struct {
	mu      sync.Mutex
	outages int
	limits  int
	until   time.Time
	span    time.Duration
	testing bool
}

func (c *circuit) open(now time.Time) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() {
		return time.Time{}, false
	}
	if now.Before(c.until) || c.testing {
		return c.until, true
	}
	c.testing = true
	return time.Time{}, false
}

func (c *circuit) saw(now time.Time, f *Failure, cancelled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tested := c.testing
	c.testing = false
	switch {
	case cancelled:
		return // tells nothing about the engine
	case f == nil:
		c.outages, c.limits, c.until, c.span = 0, 0, time.Time{}, 0
		return
	case f.Cause == Outage, f.Cause == Timeout, f.Cause == BadAnswer:
		c.outages++
	case f.Cause == RateLimit:
		c.limits++
	default:
		return // a wrong key or a spent allowance closes the engine itself
	}
	if tested || c.until.IsZero() && (c.outages >= maxOutages || c.limits >= maxLimits) {
		c.span = min(max(2*c.span, firstOpen), longest)
		c.until = now.Add(c.span)
	}
}
