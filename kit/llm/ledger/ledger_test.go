package ledger_test

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

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/store"
)

func bucket(t *testing.T) jetstream.KeyValue {
	t.Helper()
	kv, err := kittest.NATS(t).KV(t.Context(), ledger.Bucket())
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// fast are times under which a takeover takes milliseconds.
var fast = ledger.Config{Beat: 20 * time.Millisecond, Stale: 150 * time.Millisecond, Poll: 10 * time.Millisecond}

func origin(call string) ledger.Origin {
	return ledger.Origin{Scope: []string{"s-1", "idea-1"}, Step: "novelty/assess", Call: call}
}

func say(text string, n *atomic.Int64) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		n.Add(1)
		return []byte(text), nil
	}
}

func TestLedger_Do_records_an_answer_once(t *testing.T) {
	for name, kv := range map[string]jetstream.KeyValue{"in memory": nil, "on a bus": bucket(t)} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(kv, nil, fast)
			var n atomic.Int64
			for range 3 {
				got, err := l.Do(t.Context(), origin("search"), ledger.Literature, "sha256:1", say("papers", &n))
				if err != nil || string(got) != "papers" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			if n.Load() != 1 {
				t.Errorf("asked %d times", n.Load())
			}
			entries, err := l.List(t.Context(), "s-1", "idea-1")
			if err != nil || len(entries) != 1 || entries[0].Kind() != ledger.Literature || entries[0].State != ledger.Done ||
				entries[0].Origin.String() != origin("search").String() {
				t.Errorf("entries %+v, %v", entries, err)
			}
			if others, err := l.List(t.Context(), "s-1", "idea-10"); err != nil || len(others) != 0 {
				t.Errorf("another idea has %+v, %v", others, err)
			}
		})
	}
}

func TestLedger_Do_gives_a_failed_call_back(t *testing.T) {
	l := ledger.New(bucket(t), nil, fast)
	broken := errors.New("engine is down")
	_, err := l.Do(t.Context(), origin("search"), ledger.Literature, "sha256:1", func(context.Context) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	var n atomic.Int64
	if got, err := l.Do(t.Context(), origin("search"), ledger.Literature, "sha256:1", say("now", &n)); err != nil || string(got) != "now" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLedger_64_callers_of_one_key_make_one_call(t *testing.T) {
	kv := bucket(t)
	blobs := kittest.Blobs(t)
	ledgers := []*ledger.Ledger{ledger.New(kv, blobs, fast), ledger.New(kv, blobs, fast)} // two processes
	var n atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			got, err := ledgers[i%2].Do(t.Context(), origin("search"), ledger.Literature, "sha256:1", func(context.Context) ([]byte, error) {
				n.Add(1)
				time.Sleep(30 * time.Millisecond) // long enough for the others to come
				return []byte("papers"), nil
			})
			if err != nil || string(got) != "papers" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 {
		t.Errorf("asked %d times", n.Load())
	}
}

// left puts a record there as a process that died would leave it.
func left(t *testing.T, kv jetstream.KeyValue, key string, state ledger.State) {
	t.Helper()
	b, err := json.Marshal(ledger.Record{State: state, Owner: "dead", Model: "lab/m", Digest: "sha256:1", Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), key, b); err != nil {
		t.Fatal(err)
	}
}

func TestLedger_takes_over_what_a_dead_process_left(t *testing.T) {
	sole := fast
	sole.SoleOwner, sole.Stale = true, time.Hour
	for _, tc := range []struct {
		name  string
		state ledger.State
		cfg   ledger.Config
		sent  bool
	}{
		{"claimed, by another process after the stale time", ledger.Claimed, fast, false},
		{"started, by another process after the stale time", ledger.Started, fast, true},
		{"claimed, by the sole owner at once", ledger.Claimed, sole, false},
		{"started, by the sole owner at once", ledger.Started, sole, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kv := bucket(t)
			key := ledger.Key(origin("plan"), "lab/m", "sha256:1")
			left(t, kv, key, tc.state)
			l := ledger.New(kv, nil, tc.cfg)
			reply, err := store.PutBytes(t.Context(), l.Blobs(), []byte("again"))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			e, hit, err := l.Run(t.Context(), key, ledger.Record{Model: "lab/m", Digest: "sha256:1"}, func(ctx context.Context, c *ledger.Claim) error {
				if c.PossiblySent() != tc.sent {
					t.Errorf("possibly sent is %v", c.PossiblySent())
				}
				return c.Done(ctx, func(r *ledger.Record) { r.Reply, r.Finish = reply, "stop" })
			})
			if err != nil || hit || e.State != ledger.Done || (e.Lost == 1) != tc.sent {
				t.Errorf("got %+v, hit %v, %v", e, hit, err)
			}
			if took := time.Since(began); !tc.cfg.SoleOwner && took < tc.cfg.Stale {
				t.Errorf("taken over after %s, before it was stale", took)
			}
		})
	}
}

func TestLedger_waits_for_an_owner_that_is_alive(t *testing.T) {
	kv := bucket(t)
	blobs := kittest.Blobs(t)
	a, b := ledger.New(kv, blobs, fast), ledger.New(kv, blobs, fast)
	release, begun := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	first := make(chan error, 1)
	go func() {
		_, err := a.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", func(context.Context) ([]byte, error) {
			n.Add(1)
			close(begun)
			<-release
			return []byte("from a"), nil
		})
		first <- err
	}()
	<-begun
	time.AfterFunc(3*fast.Stale, func() { close(release) }) // much longer than stale: only the heartbeat keeps it
	got, err := b.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", say("from b", &n))
	if err != nil || string(got) != "from a" || n.Load() != 1 {
		t.Errorf("got %q, %v after %d calls", got, err, n.Load())
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestLedger_a_zombie_drops_its_answer_and_joins(t *testing.T) {
	kv := bucket(t)
	blobs := kittest.Blobs(t)
	silent := fast
	silent.Beat = time.Hour // as a process that was stopped
	zombie, heir := ledger.New(kv, blobs, silent), ledger.New(kv, blobs, fast)
	release, begun := make(chan struct{}), make(chan struct{})
	type result struct {
		got []byte
		err error
	}
	first := make(chan result, 1)
	go func() {
		got, err := zombie.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", func(context.Context) ([]byte, error) {
			close(begun)
			<-release
			return []byte("late"), nil
		})
		first <- result{got, err}
	}()
	<-begun
	var n atomic.Int64
	got, err := heir.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", say("heir", &n))
	if err != nil || string(got) != "heir" {
		t.Fatalf("the heir got %q, %v", got, err)
	}
	close(release)
	if r := <-first; r.err != nil || string(r.got) != "heir" {
		t.Errorf("the zombie got %q, %v", r.got, r.err)
	}
}

func TestLedger_an_abandoned_call_ends_and_a_later_caller_starts_anew(t *testing.T) {
	l := ledger.New(bucket(t), nil, fast)
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		_, err := l.Do(ctx, origin("plan"), ledger.Literature, "sha256:1", func(ctx context.Context) ([]byte, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		got <- err
	}()
	<-begun
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var n atomic.Int64
	if b, err := l.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", say("anew", &n)); err != nil || string(b) != "anew" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := l.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOriginOf(t *testing.T) {
	for _, tc := range []struct {
		step, call string
		want       string
	}{
		{"s-1/idea-1/experiments/run-2/implement", "edit/retry-1", "s-1/idea-1/experiments/run-2/implement: edit/retry-1"},
		{"s-1/_/ideation/idea-3", "round-1", "s-1/_/ideation/idea-3: round-1"},
		{"s-1/idea-1", "plan", ""},
		{"s-1/idea 1/x", "plan", ""},
		{"s-1/idea-1/x.y", "plan", ""},
		{"s-1/idea-1/x//y", "plan", ""},
		{"s-1/idea-1/x", "", ""},
		{"s-1/idea-1/x", "a=b", ""},
		{"s-1/idea-1/x", "*", ""},
	} {
		o, err := ledger.OriginOf(tc.step, tc.call)
		if (err == nil) != (tc.want != "") || err == nil && o.String() != tc.want {
			t.Errorf("%s, %s: got %s, %v", tc.step, tc.call, o, err)
		}
	}
}

func TestKey_is_pinned(t *testing.T) {
	got := ledger.Key(origin("edit/retry-1"), "openai/gpt-4o", "sha256:abc")
	const want = "s-1.idea-1.novelty/assess=edit/retry-1=18712a998d03c5e98a1ea3f17d9a4e7a"
	if got != want { // a changed key would pay for every answer again
		t.Errorf("got %s", got)
	}
}

func TestSplitTry(t *testing.T) {
	for step, want := range map[string]string{
		"writing-2/draft": "writing/draft 2", "writing/draft": "writing/draft 1", "experiments/run-2/implement": "experiments/run-2/implement 1",
		"novelty-12": "novelty 12", "novelty-1/assess": "novelty-1/assess 1", "-2/x": "-2/x 1", "a-/x": "a-/x 1",
	} {
		s, n := ledger.SplitTry(step)
		if got := fmt.Sprintf("%s %d", s, n); got != want {
			t.Errorf("%s: got %s, want %s", step, got, want)
		}
	}
}

func TestLedger_a_sole_owner_knows_its_process_other_ledgers(t *testing.T) {
	sole := fast
	sole.SoleOwner = true
	kv, blobs := bucket(t), kittest.Blobs(t)
	a, b := ledger.New(kv, blobs, sole), ledger.New(kv, blobs, sole)
	release, begun := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	first := make(chan error, 1)
	go func() {
		_, err := a.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", func(context.Context) ([]byte, error) {
			n.Add(1)
			close(begun)
			<-release
			return []byte("from a"), nil
		})
		first <- err
	}()
	<-begun
	key := ledger.Key(origin("plan"), ledger.Literature, "sha256:1")
	if _, found, gone, err := b.Gone(t.Context(), key); err != nil || !found || gone {
		t.Errorf("found %v, gone %v, %v", found, gone, err)
	}
	close(release)
	if got, err := b.Do(t.Context(), origin("plan"), ledger.Literature, "sha256:1", say("from b", &n)); err != nil || string(got) != "from a" || n.Load() != 1 {
		t.Errorf("got %q, %v after %d calls", got, err, n.Load())
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}
