package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Rule is what an engine allows.
type Rule struct {
	Interval time.Duration // between requests
	Alone    bool          // one request at a time, and the interval counts from its answer's end
	Prepaid  bool          // go on when the free allowance is used up
}

// Closed says that no request may be sent for a while.
type Closed struct {
	Quota bool // the allowance is spent
	Asked bool // the engine asked for it; if neither is set, it failed too often
	For   time.Duration
}

func (c *Closed) Error() string { return fmt.Sprintf("closed for %s", c.For) }

// ErrQueue says that the queue was too long.
var ErrQueue = errors.New("the queue was too long")

// Ask is one caller's wish to send a request.
type Ask struct {
	Lane    string        // the study; lanes are served in turn
	First   bool          // a repeat of a request that was let through before: it goes to the front
	Cost    float64       // dollars
	Queue   time.Duration // how long to wait at most; 0: 300 s
	Patient bool          // wait also while the engine is left alone, since no other one will be asked
}

// Place is where a caller stands.
type Place struct {
	Ahead int       // callers before it in this process
	Until time.Time // when it may be its turn
	Why   string
}

// Done tells what came of a request; it must be called once.
type Done func(ctx context.Context, r Result)

// Limiter lets callers through.
type Limiter struct {
	store Store
	key   func() string // of the state: engine and hash of its key
	rule  func() Rule
	owner string

	mu    sync.Mutex
	busy  bool // somebody holds the baton
	front []*waiter
	lanes []*lane
	last  time.Time // when the last request was let through
	alone memory    // stands in for the store while that is away
}

type lane struct {
	name    string
	waiting []*waiter
}

type waiter struct {
	lane  string
	baton chan struct{}
}

// New makes a limiter; owner tells this process from others. A nil store limits this process alone.
func New(store Store, owner string, key func() string, rule func() Rule) *Limiter {
	l := &Limiter{store: store, key: key, rule: rule, owner: owner}
	if store == nil {
		l.store = Memory()
	}
	return l
}

const (
	defaultQueue = 300 * time.Second
	tellEvery    = 2 * time.Second
	// patience is how long an engine that is left alone is waited for: once, not each time for longer.
	patience = firstOpen
	askStore = 2 * time.Second
)

// Wait returns when a request may be sent, or *Closed, ErrQueue or ctx's error.
func (l *Limiter) Wait(ctx context.Context, a Ask, tell func(Place)) (Done, error) {
	if a.Queue <= 0 {
		a.Queue = defaultQueue
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, a.Queue)
	defer cancel()
	done, err := l.wait(ctx, a, tell)
	if err != nil && ctx.Err() != nil && outer.Err() == nil {
		return nil, ErrQueue
	}
	return done, err
}

func (l *Limiter) wait(ctx context.Context, a Ask, tell func(Place)) (Done, error) {
	for {
		if err := l.queue(ctx, a, tell); err != nil {
			return nil, err
		}
		done, err := l.turn(ctx, a, tell)
		var c *Closed
		if !errors.As(err, &c) || c.Quota || !a.Patient || c.For > patience {
			return done, err
		}
		until := time.Now().Add(c.For)
		if d, ok := ctx.Deadline(); ok && until.After(d) {
			return nil, err
		}
		why := "it failed several times in a row and is left alone"
		if c.Asked {
			why = "it asked to be left alone"
		}
		tell(Place{Until: until, Why: why})
		if err := Sleep(ctx, c.For); err != nil {
			return nil, err
		}
	}
}

// queue waits until the caller holds the baton.
func (l *Limiter) queue(ctx context.Context, a Ask, tell func(Place)) error {
	w := &waiter{lane: a.Lane, baton: make(chan struct{}, 1)}
	l.enter(w, a.First)
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		if n := l.ahead(w); n > 0 || !first {
			tell(Place{Ahead: n, Until: time.Now().Add(time.Duration(n+1) * l.rule().Interval), Why: strconv.Itoa(n) + " ahead"})
		}
		select {
		case <-w.baton:
			return nil
		case <-tick.C:
		case <-ctx.Done():
			l.leave(w)
			return ctx.Err()
		}
	}
}

func (l *Limiter) enter(w *waiter, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first {
		l.front = append(l.front, w)
	} else {
		i := slices.IndexFunc(l.lanes, func(n *lane) bool { return n.name == w.lane })
		if i < 0 {
			l.lanes = append(l.lanes, &lane{name: w.lane})
			i = len(l.lanes) - 1
		}
		l.lanes[i].waiting = append(l.lanes[i].waiting, w)
	}
	l.grant()
}

// grant gives the baton to the next in turn, if it is free. The mutex is held.
func (l *Limiter) grant() {
	if l.busy {
		return
	}
	var w *waiter
	if len(l.front) > 0 {
		w, l.front = l.front[0], l.front[1:]
	} else if len(l.lanes) > 0 {
		n := l.lanes[0]
		w, n.waiting = n.waiting[0], n.waiting[1:]
		l.lanes = l.lanes[1:]
		if len(n.waiting) > 0 {
			l.lanes = append(l.lanes, n) // its next one waits for the other lanes
		}
	} else {
		return
	}
	l.busy = true
	w.baton <- struct{}{}
}

func (l *Limiter) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	l.grant()
}

// leave takes a caller that gives up out of the queue, or passes on the baton that it got meanwhile.
func (l *Limiter) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := func(o *waiter) bool { return o == w }
	l.front = slices.DeleteFunc(l.front, same)
	for _, n := range l.lanes {
		n.waiting = slices.DeleteFunc(n.waiting, same)
	}
	l.lanes = slices.DeleteFunc(l.lanes, func(n *lane) bool { return len(n.waiting) == 0 })
	select {
	case <-w.baton:
		l.busy = false
		l.grant()
	default:
	}
}

// ahead counts those that are served before w.
func (l *Limiter) ahead(w *waiter) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.front, w); i >= 0 {
		return i + 1
	}
	mine := -1
	for _, n := range l.lanes {
		if n.name == w.lane {
			mine = slices.Index(n.waiting, w)
		}
	}
	if mine < 0 {
		return 0
	}
	count := len(l.front) + 1 // the one that holds the baton
	for _, n := range l.lanes {
		count += min(len(n.waiting), mine+1)
	}
	return count - 1
}

// turn takes a slot and waits for it. The baton is passed on when the slot has come; where only one request may be under way,
// after its answer.
func (l *Limiter) turn(ctx context.Context, a Ask, tell func(Place)) (Done, error) {
	rule, key := l.rule(), l.key()
	wait, err := l.claim(ctx, key, rule, a, tell)
	if err == nil {
		err = l.due(ctx, wait, rule, tell)
		if err != nil {
			l.report(ctx, key, rule, Result{})
		}
	}
	if err != nil {
		l.pass()
		return nil, err
	}
	if rule.Alone {
		return func(ctx context.Context, r Result) {
			l.report(ctx, key, rule, r)
			l.mark()
			l.pass()
		}, nil
	}
	l.mark()
	l.pass()
	return func(ctx context.Context, r Result) { l.report(ctx, key, rule, r) }, nil
}

func (l *Limiter) mark() {
	l.mu.Lock()
	l.last = time.Now()
	l.mu.Unlock()
}

// due waits for a slot, and also until the interval has passed since the request before it really went.
func (l *Limiter) due(ctx context.Context, wait time.Duration, rule Rule, tell func(Place)) error {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	if !last.IsZero() {
		wait = max(wait, rule.Interval-time.Since(last))
	}
	if wait <= 0 {
		return ctx.Err()
	}
	if wait > time.Second {
		tell(Place{Until: time.Now().Add(wait), Why: "its rate"})
	}
	return Sleep(ctx, wait)
}

// claim reserves a slot in the store and says how long to wait for it.
func (l *Limiter) claim(ctx context.Context, key string, rule Rule, a Ask, tell func(Place)) (time.Duration, error) {
	for told := false; ; told = true {
		var slot, hold int64
		var closed *Closed
		_, now, err := l.change(ctx, key, func(s State, now int64, r Rule) State {
			s, slot, hold, closed = s.claim(now, r, l.owner, a.Cost)
			return s
		}, rule)
		switch {
		case err != nil:
			return 0, err
		case closed != nil:
			return 0, closed
		case hold == 0:
			return time.Duration(slot-now) * time.Millisecond, nil
		}
		d := time.Duration(hold-now) * time.Millisecond
		if !told {
			tell(Place{Until: time.Now().Add(d), Why: "another process is being answered"})
		}
		if err := Sleep(ctx, min(max(d, 10*time.Millisecond), 250*time.Millisecond)); err != nil {
			return 0, err
		}
	}
}

func (l *Limiter) report(ctx context.Context, key string, rule Rule, r Result) {
	ctx = context.WithoutCancel(ctx) // what came of a request is told also when nobody waits for it any more
	_, _, _ = l.change(ctx, key, func(s State, now int64, rule Rule) State {
		return s.released(now, rule, l.owner).after(r, now)
	}, rule) // a report that is lost costs a request that is refused
}

// change asks the store; while that is away this process goes on at half the rate.
func (l *Limiter) change(ctx context.Context, key string, f func(State, int64, Rule) State, rule Rule) (State, int64, error) {
	asked, cancel := context.WithTimeout(ctx, askStore)
	defer cancel()
	s, now, err := l.store.Change(asked, key, func(s State, now int64) State { return f(s, now, rule) })
	if err == nil || ctx.Err() != nil {
		return s, now, errors.Join(ctx.Err(), err)
	}
	rule.Interval *= 2
	return l.alone.Change(ctx, key, func(s State, now int64) State { return f(s, now, rule) })
}

// Sleep waits, or ends with ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
