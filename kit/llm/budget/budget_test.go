package budget_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/budget"
)

func bucket(t *testing.T) jetstream.KeyValue {
	t.Helper()
	kv, err := kittest.NATS(t).KV(t.Context(), budget.Bucket())
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

var accounts = []string{"s.idea-1", "s"}

func claim(id string, pico int64) budget.Claim {
	return budget.Claim{Accounts: accounts, ID: id, Key: id, Need: budget.Amount{Pico: pico, Tokens: 1}}
}

func TestBook_keeps_fields_of_others(t *testing.T) {
	kv := bucket(t)
	if _, err := kv.Put(t.Context(), "s", []byte(`{"limit_pico":5,"gpu_seconds":12.5,"open":{}}`)); err != nil {
		t.Fatal(err)
	}
	b := budget.New(kv)
	if a, err := b.AddLimit(t.Context(), "s", budget.Amount{Pico: 3, Tokens: 9}); err != nil || a.Limit != (budget.Amount{Pico: 8}) {
		t.Errorf("got %+v, %v", a, err)
	}
	e, err := kv.Get(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(e.Value(), &m); err != nil || m["gpu_seconds"] != 12.5 || m["limit_pico"] != 8.0 {
		t.Errorf("the record is %s, %v", e.Value(), err)
	}
}

func TestBook_64_callers_never_pass_the_limit_and_none_is_refused_falsely(t *testing.T) {
	kv := bucket(t)
	books := []*budget.Book{budget.New(kv), budget.New(kv)} // two processes
	// Each call needs 10 at worst and costs 1: the limit of 100 holds all 64 in turn, never 11 at once.
	if err := books[0].SetLimit(t.Context(), "s", budget.Amount{Pico: 100}); err != nil {
		t.Fatal(err)
	}
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			b, id := books[i%2], fmt.Sprint(i)
			if err := b.Reserve(t.Context(), claim(id, 10)); err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			a, err := b.Read(t.Context(), "s")
			if total := a.Used().Plus(a.Reserved()); err != nil || total.Pico > 100 {
				t.Errorf("%d is above the limit, %v", total.Pico, err)
			}
			if err := b.Settle(t.Context(), accounts, id, budget.Amount{Pico: 1, Tokens: 1}, budget.Amount{}); err != nil {
				t.Error(err)
			}
			done.Add(1)
		})
	}
	wg.Wait()
	a, err := books[0].Read(t.Context(), "s")
	if err != nil || done.Load() != 64 || a.Spent.Pico != 64 || len(a.Open) != 0 {
		t.Errorf("%d calls, account %+v, %v", done.Load(), a, err)
	}
}

func TestBook_refuses_only_when_waiting_is_of_no_use(t *testing.T) {
	b := budget.New(nil)
	if err := b.SetLimit(t.Context(), "s", budget.Amount{Pico: 10}); err != nil {
		t.Fatal(err)
	}
	if err := b.Reserve(t.Context(), claim("a", 8)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Reserve(ctx, claim("b", 8)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it did not wait: %v", err)
	}
	var no *budget.Refusal
	if err := b.Reserve(t.Context(), claim("c", 11)); !errors.As(err, &no) || no.Account != "s" {
		t.Errorf("got %v", err)
	}
	if a, err := b.Read(t.Context(), "s.idea-1"); err != nil || len(a.Open) != 1 {
		t.Errorf("the idea holds %+v, %v", a.Open, err)
	}
	if err := b.Settle(t.Context(), accounts, "a", budget.Amount{Pico: 8}, budget.Amount{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Reserve(t.Context(), claim("b", 8)); !errors.As(err, &no) {
		t.Errorf("got %v", err)
	}
	if _, err := b.AddLimit(t.Context(), "s", budget.Amount{Pico: 10}); err != nil {
		t.Fatal(err)
	}
	if err := b.Reserve(t.Context(), claim("b", 8)); err != nil {
		t.Errorf("after the raise: %v", err)
	}
}

func TestBook_hears_of_a_raise_by_another_process(t *testing.T) {
	kv := bucket(t)
	gateway, door := budget.New(kv), budget.New(kv)
	if err := gateway.SetLimit(t.Context(), "s", budget.Amount{Tokens: 1}); err != nil {
		t.Fatal(err)
	}
	c := claim("a", 0)
	c.Need.Tokens = 5
	var no *budget.Refusal
	if err := door.Reserve(t.Context(), c); !errors.As(err, &no) || no.State.Left().Tokens != 1 || no.State.Left().Pico != -1 {
		t.Fatalf("got %v", err)
	}
	if err := gateway.SetLimit(t.Context(), "s", budget.Amount{Tokens: 10}); err != nil {
		t.Fatal(err)
	}
	if err := door.Reserve(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestBook_a_crash_leaks_nothing(t *testing.T) {
	for name, tc := range map[string]struct {
		fate budget.Fate
		want budget.Account
	}{
		"answered, not settled": {budget.Fate{Over: true, Spent: budget.Amount{Pico: 2}}, budget.Account{Spent: budget.Amount{Pico: 2}}},
		"sent, owner dead":      {budget.Fate{Over: true, Possibly: budget.Amount{Pico: 8, Tokens: 1}}, budget.Account{Possibly: budget.Amount{Pico: 8, Tokens: 1}}},
		"given back":            {budget.Fate{Over: true}, budget.Account{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := budget.New(nil)
			if err := b.SetLimit(t.Context(), "s", budget.Amount{Pico: 17}); err != nil {
				t.Fatal(err)
			}
			if err := b.Reserve(t.Context(), claim("dead", 8)); err != nil {
				t.Fatal(err)
			}
			c := claim("next", 10) // not beside 8 that are open or lost
			c.Fate = func(context.Context, string, budget.Open) (budget.Fate, error) { return tc.fate, nil }
			err := b.Reserve(t.Context(), c)
			var no *budget.Refusal
			if refused := errors.As(err, &no); err != nil && !refused || refused != (tc.want.Possibly.Pico > 0) {
				t.Fatal(err)
			}
			a, err := b.Read(t.Context(), "s")
			if _, dead := a.Open["dead"]; err != nil || a.Spent != tc.want.Spent || a.Possibly != tc.want.Possibly || dead {
				t.Errorf("got %+v, %v", a, err)
			}
			// The owner that was only slow settles late: nothing is booked twice.
			if err := b.Settle(t.Context(), []string{"s"}, "dead", budget.Amount{Pico: 2}, budget.Amount{}); err != nil {
				t.Fatal(err)
			}
			if late, err := b.Read(t.Context(), "s"); err != nil || late.Spent != tc.want.Spent {
				t.Errorf("settled late: %+v, %v", late, err)
			}
		})
	}
}

func TestBook_a_lost_try_is_booked_as_possibly_paid(t *testing.T) {
	b := budget.New(nil)
	if err := b.Reserve(t.Context(), claim("a", 8)); err != nil {
		t.Fatal(err)
	}
	again := claim("a", 7)
	again.Lost = true
	if err := b.Reserve(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	for _, name := range accounts {
		if a, err := b.Read(t.Context(), name); err != nil || a.Possibly.Pico != 8 || a.Reserved().Pico != 7 {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// Whatever happens to calls: what is booked equals what they cost, nothing stays open, no limit is passed.
func TestBook_property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		b := budget.New(nil)
		limit := rapid.Int64Range(0, 60).Draw(t, "limit")
		if err := b.SetLimit(ctx, "s", budget.Amount{Pico: limit}); err != nil {
			t.Fatal(err)
		}
		open := map[string]int64{}
		var spent, lost int64
		for i := range rapid.IntRange(1, 30).Draw(t, "calls") {
			id := fmt.Sprint(i)
			need := rapid.Int64Range(1, 20).Draw(t, "need")
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			err := b.Reserve(short, claim(id, need))
			cancel()
			var no *budget.Refusal
			switch {
			case err == nil:
				open[id] = need
			case !errors.As(err, &no) && !errors.Is(err, context.DeadlineExceeded):
				t.Fatal(err)
			}
			for id, need := range open {
				if !rapid.Bool().Draw(t, "ends") {
					continue
				}
				cost, possibly := rapid.Int64Range(0, need).Draw(t, "cost"), int64(0)
				if rapid.Bool().Draw(t, "lost") {
					cost, possibly = 0, cost
				}
				if err := b.Settle(ctx, accounts, id, budget.Amount{Pico: cost}, budget.Amount{Pico: possibly}); err != nil {
					t.Fatal(err)
				}
				spent, lost = spent+cost, lost+possibly
				delete(open, id)
			}
			a, err := b.Read(ctx, "s")
			if err != nil || limit > 0 && a.Used().Plus(a.Reserved()).Pico > limit {
				t.Fatalf("above the limit %d: %+v, %v", limit, a, err)
			}
		}
		for id := range open {
			if err := b.Settle(ctx, accounts, id, budget.Amount{}, budget.Amount{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range accounts {
			a, err := b.Read(ctx, name)
			if err != nil || len(a.Open) != 0 || a.Spent.Pico != spent || a.Possibly.Pico != lost {
				t.Fatalf("%s: %+v, want spent %d, possibly %d, %v", name, a, spent, lost, err)
			}
		}
	})
}
