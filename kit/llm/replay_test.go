package llm_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/store"
)

func TestDoor_Chat_replays_a_recording(t *testing.T) {
	conn, blobs := kittest.NATS(t), kittest.Blobs(t)
	r := ask("Say.")
	digest, err := llm.Digest(r)
	if err != nil {
		t.Fatal(err)
	}
	index := `{"recording":1}
{"idea":"idea-1","step":"experiments/run-1/implement","call":"plan","kind":"model","model":"openai/gpt-4o","digest":"` + string(digest) + `","usage":{"input":5,"output":6},"cost_usd":"0.5","file":"a.txt"}
{"idea":"idea-1","step":"experiments/run-1/implement","call":"other","kind":"model","digest":"sha256:1","finish":"refused","file":"b.txt"}
{"idea":"idea-1","step":"experiments/run-1/implement","call":"by-hand","file":"a.txt"}
`
	snapshot, err := store.Edit(t.Context(), blobs, "", map[string][]byte{"index.jsonl": []byte(index), "a.txt": []byte("recorded\n"), "b.txt": []byte("no")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := llm.Open(t.Context(), llm.Config{}, llm.On{Bus: conn, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	r.Model = "recording/" + snapshot.Hex()
	for i, want := range []llm.Source{llm.FromRecording, llm.FromLedger} {
		rep, err := d.Chat(t.Context(), r)
		if err != nil || rep.Text != "recorded\n" || rep.Finish != llm.Stop || rep.Source != want || rep.Cost != 0 || rep.WouldCost != 5e11 ||
			rep.Served != "openai/gpt-4o" || len(rep.Notes) != 0 || rep.Usage.Output != 6 {
			t.Errorf("round %d: got %+v, %v", i, rep, err)
		}
	}
	other := r
	other.Origin.Call = "other"
	if rep, err := d.Chat(t.Context(), other); err != nil || rep.Finish != llm.Refused || len(rep.Notes) != 1 || rep.Notes[0] != recording.Note {
		t.Errorf("an edited prompt: got %+v, %v", rep, err)
	}
	other.Origin.Call = "by-hand"
	if rep, err := d.Chat(t.Context(), other); err != nil || len(rep.Notes) != 0 {
		t.Errorf("an entry without digest: got %+v, %v", rep, err)
	}
	other.Origin.Call = "missing"
	if _, err := d.Chat(t.Context(), other); fault.ReasonOf(err) != "RECORDING_MISSING" ||
		!strings.Contains(err.Error(), "idea-1, experiments/run-1/implement, missing") {
		t.Errorf("got %v", err)
	}
	entries, err := d.Ledger().List(t.Context(), "s-1", "idea-1")
	if err != nil {
		t.Fatal(err)
	}
	if differ, n := recording.Differing(entries); differ != 1 || n != 3 {
		t.Errorf("%d of %d differ", differ, n)
	}
	calls, cost, would := 0, int64(0), int64(0)
	for _, e := range entries {
		if e.State == ledger.Done {
			calls, cost, would = calls+1, cost+e.Cost, would+e.WouldCost
		}
	}
	if cost != 0 || would != 5e11 || calls != 3 {
		t.Errorf("%d calls cost %d, would have cost %d", calls, cost, would)
	}
	other.Model = "recording/" + strings.Repeat("0", 64)
	if _, err := d.Chat(t.Context(), other); fault.ReasonOf(err) != "BLOB_UNKNOWN" {
		t.Errorf("an unknown recording: got %v", err)
	}
}

// on puts a door's buckets on a bus.
func on(t *testing.T, sole bool) func(*llm.Config, *llm.Deps) {
	t.Helper()
	conn, blobs := kittest.NATS(t), kittest.Blobs(t)
	kv := func(c jetstream.KeyValueConfig) jetstream.KeyValue {
		b, err := conn.KV(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	l, b := kv(ledger.Bucket()), kv(budget.Bucket())
	return func(c *llm.Config, d *llm.Deps) {
		c.SoleOwner, c.Times.FirstByte = sole, 10*time.Second
		d.Ledger, d.Budgets, d.Blobs = l, b, blobs
	}
}

func TestDoor_a_killed_process_pays_a_call_in_flight_at_most_twice(t *testing.T) {
	buckets := on(t, true)
	lost := llmfault.Answer("lost with the process")
	lost.Wait = make(chan struct{}) // the dead process never hears it
	s := llmfault.New(t, lost, llmfault.Answer("second"))
	dead := lab(t, s, buckets, func(c *llm.Config, _ *llm.Deps) { c.Process, c.Times.Try = "dead", 400*time.Millisecond })
	if err := dead.Budgets().SetLimit(t.Context(), "s-1", budget.Amount{Pico: 1e12}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = dead.Chat(t.Context(), ask("Say.")) }() // its answer is of no interest
	wait(t, func() bool { return s.Count() == 1 })
	heir := lab(t, s, buckets)
	rep, err := heir.Chat(t.Context(), ask("Say."))
	if err != nil || rep.Text != "second" || !rep.PossiblyPaid || s.Count() != 2 {
		t.Fatalf("got %+v, %v after %d calls", rep, err, s.Count())
	}
	for _, name := range []string{"s-1", "s-1.idea-1"} {
		a, err := heir.Budgets().Read(t.Context(), name)
		if err != nil || a.Spent.Pico != rep.Cost || a.Possibly.Pico <= 0 || len(a.Open) != 0 {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestDoor_64_callers_on_one_account_stay_below_its_limit(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ok"))
	d := lab(t, s, on(t, true))
	// One call costs 0.35 mill-dollars and may need 2.2: ten dollars' worth would fit all, this fits some at a time.
	if err := d.Budgets().SetLimit(t.Context(), "s-1", budget.Amount{Pico: 40 * 350_000_000}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered, refused := 0, 0
	for i := range 64 {
		wg.Go(func() {
			r := ask("Say.")
			r.Origin.Call = "reviewer-" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "/review"
			_, err := d.Chat(t.Context(), r)
			mu.Lock()
			defer mu.Unlock()
			switch fault.ReasonOf(err) {
			case "":
				answered++
			case "BUDGET_EXCEEDED":
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	a, err := d.Budgets().Read(t.Context(), "s-1")
	if err != nil || a.Spent.Pico > a.Limit.Pico || a.Spent.Pico != int64(answered)*350_000_000 || len(a.Open) != 0 || s.Count() != answered {
		t.Errorf("%d answered, %d refused, %d calls, account %+v, %v", answered, refused, s.Count(), a, err)
	}
	if answered < 30 || refused == 0 {
		t.Errorf("%d answered, %d refused", answered, refused)
	}
}

func TestDoor_64_callers_of_one_call_pay_once(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ok"))
	buckets := on(t, false)
	doors := []*llm.Door{lab(t, s, buckets), lab(t, s, buckets)}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if rep, err := doors[i%2].Chat(t.Context(), ask("Say.")); err != nil || rep.Text != "ok" {
				t.Errorf("got %+v, %v", rep, err)
			}
		})
	}
	wg.Wait()
	if s.Count() != 1 {
		t.Errorf("%d calls", s.Count())
	}
}

func BenchmarkDoor_Chat(b *testing.B) {
	conn := kittest.NATS(b)
	s := llmfault.New(b, llmfault.Answer("ok"))
	d, err := llm.Open(b.Context(), llm.Config{}, llm.On{Bus: conn, Blobs: kittest.Blobs(b)})
	if err != nil {
		b.Fatal(err)
	}
	r := ask("Say.")
	r.Model = "openai-compatible/m@" + s.URL
	seed := int64(0)
	for b.Loop() {
		seed++
		r.Seed = &seed
		if _, err := d.Chat(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
