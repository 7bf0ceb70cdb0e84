package llm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLane_serves_studies_in_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1, providerLine{})
		enter := func(study string) chan struct{} {
			in := make(chan struct{})
			go func() {
				if err := l.enter(t.Context(), study, 1, nil); err == nil {
					close(in)
				}
			}()
			synctest.Wait()
			return in
		}
		<-enter("busy")
		var order []string
		waiting := map[string]chan struct{}{}
		for _, name := range []string{"a1", "a2", "a3", "b1"} {
			waiting[name] = enter(name[:1])
		}
		for range 4 {
			l.leave(true, false)
			synctest.Wait()
			for name, in := range waiting {
				select {
				case <-in:
					order = append(order, name)
					delete(waiting, name)
				default:
				}
			}
		}
		if want := "[a1 b1 a2 a3]"; sprint(order) != want {
			t.Errorf("served %v, want %s", order, want)
		}
	})
}

func sprint(s []string) string {
	out := "["
	for i, x := range s {
		if i > 0 {
			out += " "
		}
		out += x
	}
	return out + "]"
}

func TestLane_pauses_halves_and_grows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(32, providerLine{})
		l.pause(42 * time.Second)
		began := time.Now()
		if err := l.enter(t.Context(), "s", 1, nil); err != nil || time.Since(began) != 42*time.Second {
			t.Errorf("waited %s, %v", time.Since(began), err)
		}
		l.leave(false, true)
		if err := l.enter(t.Context(), "s", 1, nil); err != nil {
			t.Fatal(err)
		}
		l.leave(false, true) // within ten seconds: not halved again
		if l.allow != 4 {
			t.Errorf("%d at a time after a limit, want 4", l.allow)
		}
		for range 4 {
			if err := l.enter(t.Context(), "s", 1, nil); err != nil {
				t.Fatal(err)
			}
			l.leave(true, false)
		}
		if l.allow != 5 {
			t.Errorf("%d at a time after a round of successes, want 5", l.allow)
		}
	})
}

func TestLane_keeps_calls_and_tokens_a_minute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(32, providerLine{RPM: 2, TPM: 1000})
		began := time.Now()
		for range 3 {
			if err := l.enter(t.Context(), "s", 400, nil); err != nil {
				t.Fatal(err)
			}
			l.leave(true, false)
		}
		if d := time.Since(began); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("the third call of two a minute came after %s", d)
		}
	})
}

func TestLane_a_waiter_that_leaves_takes_no_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1, providerLine{})
		if err := l.enter(t.Context(), "s", 1, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.enter(ctx, "s", 1, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		l.leave(true, false)
		if err := l.enter(t.Context(), "s", 1, nil); err != nil || l.busy != 1 {
			t.Errorf("busy %d, %v", l.busy, err)
		}
	})
}

func TestAskedWait(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		h    map[string]string
		want time.Duration
		ok   bool
	}{
		"nothing":      {nil, 0, false},
		"milliseconds": {map[string]string{"Retry-After-Ms": "1500", "Retry-After": "9"}, 1500 * time.Millisecond, true},
		"seconds":      {map[string]string{"Retry-After": "42"}, 42 * time.Second, true},
		"a fraction":   {map[string]string{"Retry-After": "0.5"}, 500 * time.Millisecond, true},
		"a date by the answer's clock": {map[string]string{"Date": "Thu, 01 Jan 2026 10:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 10:00:42 GMT"},
			42 * time.Second, true},
		"a past date": {map[string]string{"Retry-After": "Thu, 01 Jan 2015 10:00:42 GMT"}, 0, true},
		"minus one":   {map[string]string{"Retry-After": "-1"}, 0, false},
		"words":       {map[string]string{"Retry-After": "soon"}, 0, false},
		"a reset": {map[string]string{"X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "6m0s", "X-Ratelimit-Reset-Requests": "9h"},
			6 * time.Minute, true},
	} {
		h := map[string][]string{}
		for k, v := range tc.h {
			h[k] = []string{v}
		}
		if got, ok := askedWait(h, now); got != tc.want || ok != tc.ok {
			t.Errorf("%s: got %s, %v", name, got, ok)
		}
	}
}
