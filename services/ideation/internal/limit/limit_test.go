package limit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"nullius.dev/kit/kittest"

	"nullius.dev/services/ideation/internal/limit"
)

func TestMain(m *testing.M) { kittest.NoLeaks(m) }

func quiet(limit.Place) {}

func rule(r limit.Rule) func() limit.Rule { return func() limit.Rule { return r } }

func key() string { return "engine.none" }

// stores are all ways in which processes agree; each call gives the store of another process.
func stores(t *testing.T) map[string]func() limit.Store {
	t.Helper()
	conn := kittest.NATS(t)
	kv, err := conn.KV(t.Context(), limit.Bucket())
	if err != nil {
		t.Fatal(err)
	}
	another := limit.Bucket()
	another.Bucket += "_OFF"
	off, err := conn.KV(t.Context(), another)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rates.sqlite")
	memory := limit.Memory()
	processes := 0
	return map[string]func() limit.Store{
		"memory": func() limit.Store { return memory },
		"bus":    func() limit.Store { return limit.KV(kv) },
		"bus, clocks an hour off": func() limit.Store {
			processes++
			return limit.KVOff(off, time.Duration(processes%3-1)*time.Hour)
		},
		"file": func() limit.Store {
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			s, err := limit.SQL(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

// TestWait_ProcessesShareOneRate: no gap between requests is much too short, whoever sends them.
func TestWait_ProcessesShareOneRate(t *testing.T) {
	const processes, calls, interval = 4, 8, 40 * time.Millisecond
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var at []time.Time
			var wg sync.WaitGroup
			for p := range processes {
				l := limit.New(store(), fmt.Sprint("process-", p), key, rule(limit.Rule{Interval: interval}))
				for c := range calls {
					wg.Go(func() {
						done, err := l.Wait(t.Context(), limit.Ask{Lane: fmt.Sprint("study-", c)}, quiet)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						at = append(at, time.Now())
						mu.Unlock()
						done(t.Context(), limit.Result{Outcome: limit.Good})
					})
				}
			}
			wg.Wait()
			first, last := at[0], at[0]
			for _, x := range at {
				if x.Before(first) {
					first = x
				}
				if x.After(last) {
					last = x
				}
			}
			// One slot each: all of them cannot take less than that, whatever the machine's load.
			if took, want := last.Sub(first), (processes*calls-1)*interval-interval; took < want {
				t.Errorf("%d requests took %s, at least %s was expected", len(at), took, want)
			}
		})
	}
}

// TestWait_AloneMeansOneAtATime over processes, and the interval counts from the answer's end.
func TestWait_AloneMeansOneAtATime(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			under, most := 0, 0
			var wg sync.WaitGroup
			for p := range 3 {
				l := limit.New(store(), fmt.Sprint("process-", p), key, rule(limit.Rule{Interval: 10 * time.Millisecond, Alone: true}))
				for range 2 {
					wg.Go(func() {
						done, err := l.Wait(t.Context(), limit.Ask{}, quiet)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						under++
						most = max(most, under)
						mu.Unlock()
						time.Sleep(20 * time.Millisecond) // the answer
						mu.Lock()
						under--
						mu.Unlock()
						done(t.Context(), limit.Result{Outcome: limit.Good})
					})
				}
			}
			wg.Wait()
			if most != 1 {
				t.Errorf("%d requests were under way at once", most)
			}
		})
	}
}

// TestWait_LanesAreServedInTurn: five calls of one study do not wait for a hundred of another.
func TestWait_LanesAreServedInTurn(t *testing.T) {
	l := limit.New(nil, "p", key, rule(limit.Rule{Interval: time.Millisecond, Alone: true}))
	first, err := l.Wait(t.Context(), limit.Ask{Lane: "a"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	queued := make(chan struct{}, 200)
	ask := func(lane string, front bool) {
		told := false
		wg.Go(func() {
			done, err := l.Wait(t.Context(), limit.Ask{Lane: lane, First: front}, func(p limit.Place) {
				if !told && p.Ahead > 0 {
					told = true
					queued <- struct{}{}
				}
			})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, lane)
			mu.Unlock()
			done(t.Context(), limit.Result{})
		})
		<-queued
	}
	for range 60 {
		ask("a", false)
	}
	for range 5 {
		ask("b", false)
	}
	ask("again", true)
	first(t.Context(), limit.Result{})
	wg.Wait()
	if order[0] != "again" {
		t.Errorf("a request that is repeated came after %v", order[:1])
	}
	seen := 0
	for i, lane := range order {
		if lane == "b" {
			if seen++; i > 1+2*seen {
				t.Errorf("call %d of the small study was number %d", seen, i)
			}
		}
	}
}

func TestWait_Closed(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			s := store()
			l := limit.New(s, "p", key, rule(limit.Rule{}))
			report := func(r limit.Result) error {
				done, err := l.Wait(t.Context(), limit.Ask{Cost: 0.001}, quiet)
				if err == nil {
					done(t.Context(), r)
				}
				return err
			}
			var closed *limit.Closed
			for n := 1; ; n++ {
				if err := report(limit.Result{Outcome: limit.Broken}); err != nil {
					if !errors.As(err, &closed) || closed.Quota || n != 6 || closed.For < 25*time.Second || closed.For > 30*time.Second {
						t.Fatalf("after %d failures: %v", n-1, err)
					}
					break
				}
			}
			// Another process sees it too.
			if _, err := limit.New(store(), "q", key, rule(limit.Rule{})).Wait(t.Context(), limit.Ask{}, quiet); !errors.As(err, &closed) {
				t.Errorf("another process got %v", err)
			}
			// What cannot be waited for within the queue's limit is said at once, also to the patient.
			if _, err := l.Wait(t.Context(), limit.Ask{Patient: true, Queue: time.Second}, quiet); !errors.As(err, &closed) {
				t.Errorf("got %v", err)
			}
			busy := func() string { return "engine.busy" }
			l = limit.New(s, "p", busy, rule(limit.Rule{}))
			if err := report(limit.Result{Pause: time.Hour}); err != nil {
				t.Fatal(err)
			}
			if err := report(limit.Result{}); !errors.As(err, &closed) || !closed.Asked || closed.For < 59*time.Minute {
				t.Errorf("an hour was asked for: %v", err)
			}
			other := func() string { return "engine.other" }
			l = limit.New(s, "p", other, rule(limit.Rule{}))
			left := 0.0005
			if err := report(limit.Result{Outcome: limit.Good, Remaining: &left, Reset: time.Minute}); err != nil {
				t.Fatal(err)
			}
			if err := report(limit.Result{}); !errors.As(err, &closed) || !closed.Quota {
				t.Errorf("more than is left: %v", err)
			}
			l = limit.New(s, "p", other, rule(limit.Rule{Prepaid: true}))
			if err := report(limit.Result{Spent: true, Reset: time.Minute}); err != nil {
				t.Errorf("prepaid money may be spent: %v", err)
			}
			if err := report(limit.Result{}); !errors.As(err, &closed) || !closed.Quota {
				t.Errorf("nothing is left at all: %v", err)
			}
		})
	}
}

func TestWait_PauseHoldsEverybodyBack(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			a, b := limit.New(store(), "a", key, rule(limit.Rule{})), limit.New(store(), "b", key, rule(limit.Rule{}))
			done, err := a.Wait(t.Context(), limit.Ask{}, quiet)
			if err != nil {
				t.Fatal(err)
			}
			done(t.Context(), limit.Result{Pause: 200 * time.Millisecond})
			began := time.Now()
			if _, err := b.Wait(t.Context(), limit.Ask{}, quiet); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < 150*time.Millisecond {
				t.Errorf("another process went on after %s", took)
			}
		})
	}
}

// TestWait_ADeadOwnerIsTakenOver: a claim of a process that died is not waited for longer than a request can take.
func TestWait_ADeadOwnerIsTakenOver(t *testing.T) {
	s := limit.Memory()
	if _, _, err := s.Change(t.Context(), key(), func(_ limit.State, now int64) limit.State {
		return limit.State{Busy: now + 300, Owner: "dead"}
	}); err != nil {
		t.Fatal(err)
	}
	told := false
	done, err := limit.New(s, "heir", key, rule(limit.Rule{Alone: true})).Wait(t.Context(), limit.Ask{}, func(p limit.Place) { told = told || p.Why != "" })
	if err != nil || !told {
		t.Fatalf("got %v, told %v", err, told)
	}
	done(t.Context(), limit.Result{})
}

func TestWait_QueueAndContextEnd(t *testing.T) {
	l := limit.New(nil, "p", key, rule(limit.Rule{Interval: time.Hour}))
	if _, err := l.Wait(t.Context(), limit.Ask{}, quiet); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Wait(t.Context(), limit.Ask{Queue: 20 * time.Millisecond}, quiet); !errors.Is(err, limit.ErrQueue) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Wait(ctx, limit.Ask{}, quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// gone is a bus that is away.
type gone struct{}

func (gone) Change(context.Context, string, func(limit.State, int64) limit.State) (limit.State, int64, error) {
	return limit.State{}, 0, errors.New("no bus")
}

func TestWait_WithoutTheBusAtHalfTheRate(t *testing.T) {
	l := limit.New(gone{}, "p", key, rule(limit.Rule{Interval: 50 * time.Millisecond}))
	began := time.Now()
	for range 4 {
		done, err := l.Wait(t.Context(), limit.Ask{}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		done(t.Context(), limit.Result{Outcome: limit.Good})
	}
	if took := time.Since(began); took < 290*time.Millisecond {
		t.Errorf("four requests in %s", took)
	}
}

// TestWait_ThePatientWaitForAnEngineThatIsLeftAlone, and go on when it answers again.
func TestWait_ThePatientWaitForAnEngineThatIsLeftAlone(t *testing.T) {
	s := limit.Memory()
	leave := func(d, span time.Duration) {
		t.Helper()
		if _, _, err := s.Change(t.Context(), key(), func(_ limit.State, now int64) limit.State {
			return limit.State{Opened: now + d.Milliseconds(), Span: span.Milliseconds(), Failures: 5}
		}); err != nil {
			t.Fatal(err)
		}
	}
	l := limit.New(s, "p", key, rule(limit.Rule{}))
	leave(300*time.Millisecond, time.Second)
	if _, err := l.Wait(t.Context(), limit.Ask{}, quiet); err == nil {
		t.Error("the impatient got through")
	}
	told := ""
	done, err := l.Wait(t.Context(), limit.Ask{Patient: true}, func(p limit.Place) { told = p.Why })
	if err != nil || told == "" {
		t.Fatalf("got %v, told %q", err, told)
	}
	done(t.Context(), limit.Result{Outcome: limit.Broken}) // the test fails: left alone for twice as long, 30 s at least
	var closed *limit.Closed
	if _, err := l.Wait(t.Context(), limit.Ask{}, quiet); !errors.As(err, &closed) || closed.For < 29*time.Second {
		t.Errorf("got %v", err)
	}
	leave(time.Minute, time.Minute)
	if _, err := l.Wait(t.Context(), limit.Ask{Patient: true}, quiet); !errors.As(err, &closed) {
		t.Errorf("a minute was waited for: %v", err)
	}
}
