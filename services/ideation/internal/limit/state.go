// Package limit lets the callers of an engine through at the rate that it allows, over all studies and all processes.
//
// What an engine's processes must agree on is one small state in a shared store, changed by compare-and-set: when the next
// request may go, who is asking where only one may, until when all wait, and whether the engine is left alone. Within a
// process callers stand in one queue with a lane for each study, served in turn.
package limit

import (
	"context"
	"time"
)

// State is what the processes that ask an engine under one key agree on. Times are milliseconds of the store's clock.
type State struct {
	Next      int64    `json:"next_ms,omitempty"`       // before it no request may be sent
	Busy      int64    `json:"busy_until,omitempty"`    // one is being answered, where only one may; a dead owner's claim ends then
	Owner     string   `json:"owner,omitempty"`         // of that one
	Pause     int64    `json:"pause_until,omitempty"`   // the engine asked everybody to wait
	Asked     int64    `json:"asked_until,omitempty"`   // the engine asked for longer than anybody should wait
	Failures  int      `json:"failures,omitempty"`      // calls in a row that the engine could not answer
	Limited   int      `json:"limited,omitempty"`       // calls in a row that it would not answer
	Opened    int64    `json:"opened,omitempty"`        // it is left alone until then
	Span      int64    `json:"span_ms,omitempty"`       // for how long it was left alone last
	Testing   int64    `json:"testing_until,omitempty"` // one call tests whether it answers again
	Remaining *float64 `json:"remaining_usd,omitempty"` // of the allowance
	Spent     bool     `json:"spent,omitempty"`         // the engine said that the allowance is used up
	Reset     int64    `json:"reset,omitempty"`         // when the allowance is given anew
}

// Bounds of the circuit: an engine that keeps failing is left alone, each time for longer.
const (
	longestPause = 30 * time.Second
	maxFailures  = 5
	maxLimited   = 3
	firstOpen    = 30 * time.Second
	longestOpen  = 10 * time.Minute
	testLimit    = 65 * time.Second // a call's own limit, and a little
	busyLimit    = 35 * time.Second // a try's own limit, and a little
)

// Store keeps states.
type Store interface {
	// Change applies f to a key's state, atomically over all processes. f gets the latest that the store's time can be and
	// may be called again; it must have no effect but its result. Change returns the state, and the earliest that the
	// store's time can be by then.
	Change(ctx context.Context, key string, f func(s State, now int64) State) (State, int64, error)
}

// Outcome of a call, as far as the circuit is concerned.
type Outcome uint8

// Outcomes.
const (
	Neutral Outcome = iota // says nothing of the engine: given up by the caller, or not the last try
	Good
	Limited
	Broken
)

// Result is what one request told.
type Result struct {
	Outcome   Outcome
	Pause     time.Duration // the engine asked to wait
	Remaining *float64      // dollars of the allowance; nil: not told
	Spent     bool          // the allowance is used up
	Reset     time.Duration // until the allowance is given anew
}

// after is the state once a request has told something.
func (s State) after(r Result, now int64) State {
	switch {
	case r.Pause > longestPause:
		s.Asked = max(s.Asked, now+r.Pause.Milliseconds())
	case r.Pause > 0:
		s.Pause = max(s.Pause, now+r.Pause.Milliseconds())
	}
	if r.Remaining != nil {
		s.Remaining, s.Reset = r.Remaining, now+r.Reset.Milliseconds()
		s.Spent = false
	}
	if r.Spent {
		s.Spent, s.Reset = true, now+r.Reset.Milliseconds()
	}
	tested := s.Testing != 0
	switch r.Outcome {
	case Neutral:
		s.Testing = 0
		return s
	case Good:
		s.Failures, s.Limited, s.Opened, s.Span, s.Testing = 0, 0, 0, 0, 0
		return s
	case Limited:
		s.Limited++
	case Broken:
		s.Failures++
	}
	s.Testing = 0
	if tested || s.Opened == 0 && (s.Failures >= maxFailures || s.Limited >= maxLimited) {
		s.Span = min(max(2*s.Span, firstOpen.Milliseconds()), longestOpen.Milliseconds())
		s.Opened = now + s.Span
	}
	return s
}

// claim takes the next slot, or says why there is none.
func (s State) claim(now int64, r Rule, owner string, cost float64) (next State, slot, hold int64, closed *Closed) {
	switch {
	case s.Reset > now && (s.Spent || s.Remaining != nil && cost > *s.Remaining && !r.Prepaid):
		return s, 0, 0, &Closed{Quota: true, For: time.Duration(s.Reset-now) * time.Millisecond}
	case s.Asked > now:
		return s, 0, 0, &Closed{Asked: true, For: time.Duration(s.Asked-now) * time.Millisecond}
	case s.Opened > now:
		return s, 0, 0, &Closed{For: time.Duration(s.Opened-now) * time.Millisecond}
	case s.Opened != 0 && s.Testing > now:
		return s, 0, 0, &Closed{For: time.Second} // how the test ends is soon known
	case r.Alone && s.Busy > now && s.Owner != owner:
		return s, 0, s.Busy, nil
	}
	if s.Opened != 0 {
		s.Testing = now + testLimit.Milliseconds()
	}
	slot = max(now, s.Next, s.Pause)
	s.Next = slot + r.Interval.Milliseconds()
	if r.Alone {
		s.Busy, s.Owner = slot+busyLimit.Milliseconds(), owner
	}
	return s, slot, 0, nil
}

// released is the state after the answer, where only one request may be under way.
func (s State) released(now int64, r Rule, owner string) State {
	if r.Alone && s.Owner == owner {
		s.Busy, s.Owner = 0, ""
		s.Next = now + r.Interval.Milliseconds() // counts from the answer's end
	}
	return s
}
