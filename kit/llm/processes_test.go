package llm_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/store"
)

// TestMain is also the caller that tests kill: a process with a door on the broker of the test.
func TestMain(m *testing.M) {
	if os.Getenv("NULLIUS_TEST_CALLER") == "" {
		os.Exit(m.Run())
	}
	if err := caller(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// caller asks for calls first to last, four at a time, and prints the outcome of each.
func caller(ctx context.Context, args []string) error {
	url, dir, models, owner := args[0], args[1], args[2], args[3] == "owner"
	from, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	to, err := strconv.Atoi(args[5])
	if err != nil {
		return err
	}
	conn, err := bus.Connect(ctx, url, bus.Options{})
	if err != nil {
		return err
	}
	defer conn.Close()
	blobs, err := store.OpenDir(dir)
	if err != nil {
		return err
	}
	d, err := llm.Open(ctx, llm.Config{ModelsFile: models, SoleOwner: owner, Process: "caller"}, llm.On{Bus: conn, Blobs: blobs})
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	turns := make(chan int)
	for range callers {
		all.Go(func() {
			for i := range turns {
				r := ask("Question " + strconv.Itoa(i))
				r.Origin.Call = "call-" + strconv.Itoa(i)
				_, err := d.Chat(ctx, r)
				switch {
				case err == nil:
					fmt.Println("done", i)
				case fault.ReasonOf(err) == "BUDGET_EXCEEDED":
					fmt.Println("over", i)
				default:
					fmt.Println("failed", i, err)
				}
			}
		})
	}
	for i := from; i < to; i++ {
		turns <- i
	}
	close(turns)
	all.Wait()
	return d.Close(ctx)
}

const callers = 4

// counted is a provider that counts each question, and knows which are being answered.
type counted struct {
	*httptest.Server
	mu     sync.Mutex
	asked  map[string]int
	flying map[string]int
}

func newCounted(t *testing.T) *counted {
	c := &counted{asked: map[string]int{}, flying: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct{ Messages []struct{ Content string } }
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || len(req.Messages) == 0 {
			http.Error(w, "no messages", http.StatusBadRequest)
			return
		}
		q := req.Messages[len(req.Messages)-1].Content
		c.mu.Lock()
		c.asked[q]++
		c.flying[q]++
		c.mu.Unlock()
		time.Sleep(time.Duration(1+rand.IntN(8)) * time.Millisecond) // what a model takes
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":"stop"}]}`+"\n\n"+
			`data: {"id":"1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10}}`+"\n\ndata: [DONE]\n\n")
		c.mu.Lock()
		c.flying[q]--
		c.mu.Unlock()
	}))
	t.Cleanup(func() { c.CloseClientConnections(); c.Close() })
	return c
}

func (c *counted) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.asked {
		n += k
	}
	return n
}

// shop is a broker, a store and a provider that several callers share.
type shop struct {
	broker *natsd.Server
	dir    string
	models string
	c      *counted
}

func newShop(t *testing.T) *shop {
	t.Helper()
	dir := t.TempDir()
	broker, err := natsd.Start(natsd.Config{Dir: filepath.Join(dir, "bus"), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &shop{broker: broker, dir: filepath.Join(dir, "blobs"), models: filepath.Join(dir, "models.yaml"), c: newCounted(t)}
	yaml := `version: 1
providers: {lab: {api: openai, title: Lab, base_url: "` + s.c.URL + `/v1"}}
models:
  - {match: "lab/*", context: 8000, max_output: 1000, extra: {stream_options: true}, price: [{as_of: 2026-01-01, source: test, input: "2.50", output: "10"}]}
`
	if err := os.WriteFile(s.models, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// door is the test's own look at ledger and accounts.
func (s *shop) door(t *testing.T) *llm.Door {
	t.Helper()
	conn, err := bus.Connect(t.Context(), s.broker.URL(), bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := store.OpenDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	d, err := llm.Open(t.Context(), llm.Config{ModelsFile: s.models, SoleOwner: true}, llm.On{Bus: conn, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return d
}

// start begins a caller; its lines come by outcome when it has ended.
func (s *shop) start(t *testing.T, owner string, from, to int) (cmd *exec.Cmd, outcome func() map[string]int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, s.broker.URL(), s.dir, s.models, owner, strconv.Itoa(from), strconv.Itoa(to))
	cmd.Env = append(os.Environ(), "NULLIUS_TEST_CALLER=1")
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() map[string]int {
		got := map[string]int{}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			got[word]++
			if word == "failed" {
				t.Errorf("call %s", rest)
			}
		}
		if err := cmd.Wait(); err != nil && errOut.Len() > 0 {
			t.Errorf("caller: %v\n%s", err, errOut.String())
		}
		return got
	}
}

// TestDoor_survives_the_kill_of_its_process: at random moments the caller is killed; only calls in flight are made again, each once for each kill,
// and they are booked as possibly paid.
func TestDoor_survives_the_kill_of_its_process(t *testing.T) {
	kills, calls := 4, 120
	if os.Getenv("NULLIUS_SOAK") != "" {
		kills, calls = 50, 2000
	}
	s := newShop(t)
	for n := range kills {
		cmd, outcome := s.start(t, "owner", 0, calls)
		begun := s.c.total()
		for deadline := time.Now().Add(20 * time.Second); s.c.total() == begun; { // the caller is at work
			if time.Now().After(deadline) {
				t.Fatalf("kill %d: no call within 20 s", n)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		outcome()
	}
	_, outcome := s.start(t, "owner", 0, calls)
	if got := outcome(); got["done"] != calls {
		t.Fatalf("the last caller got %v, want %d answers", got, calls)
	}
	d := s.door(t)
	entries, err := d.Ledger().List(t.Context(), "s-1", "idea-1")
	if err != nil || len(entries) != calls {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	repeats, lost := 0, 0
	var spent int64
	for _, e := range entries {
		q := "Question " + strings.TrimPrefix(e.Origin.Call, "call-")
		s.c.mu.Lock()
		asked := s.c.asked[q]
		s.c.mu.Unlock()
		if asked-1 > e.Lost {
			t.Errorf("%s was asked %d times, and %d of them are booked as possibly paid", q, asked, e.Lost)
		}
		repeats, lost, spent = repeats+asked-1, lost+e.Lost, spent+e.Cost
	}
	if repeats > kills*callers {
		t.Errorf("%d calls were made again after %d kills with %d in flight", repeats, kills, callers)
	}
	for _, name := range []string{"s-1", "s-1.idea-1"} {
		a, err := d.Budgets().Read(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if a.Spent.Pico > spent || len(a.Open) > kills*callers {
			t.Errorf("account %s: spent %d of %d, %d open", name, a.Spent.Pico, spent, len(a.Open))
		}
		if lost > 0 && a.Possibly.Pico == 0 {
			t.Errorf("account %s: %d calls are possibly paid, nothing is booked", name, lost)
		}
	}
	t.Logf("%d kills, %d calls, %d made again, %d possibly paid", kills, calls, repeats, lost)
}

// TestDoor_two_processes_share_a_budget: together they never spend more than the limit, and stop no sooner than the next call could go over it.
func TestDoor_two_processes_share_a_budget(t *testing.T) {
	s := newShop(t)
	d := s.door(t)
	const limit, cost, worst = 40_000_000_000, 100*2_500_000 + 10*10_000_000, 3_000_000_000
	if err := d.Budgets().SetLimit(t.Context(), "s-1", amount(limit, 0)); err != nil {
		t.Fatal(err)
	}
	_, one := s.start(t, "shared", 0, 100)
	_, two := s.start(t, "shared", 100, 200)
	a, b := one(), two()
	got, err := d.Budgets().Read(t.Context(), "s-1")
	if err != nil {
		t.Fatal(err)
	}
	calls := int64(s.c.total())
	if calls*cost > limit || got.Spent.Pico != calls*cost || len(got.Open) != 0 {
		t.Errorf("%d calls cost %d, the limit is %d; account %+v", calls, calls*cost, int64(limit), got)
	}
	if got.Spent.Pico < limit-2*callers*worst {
		t.Errorf("stopped at %d of %d", got.Spent.Pico, int64(limit))
	}
	if a["over"] == 0 || b["over"] == 0 || int64(a["done"]+b["done"]) != calls {
		t.Errorf("the callers got %v and %v after %d calls", a, b, calls)
	}
	raised, err := d.Budgets().AddLimit(t.Context(), "s-1", amount(limit*2, 0))
	if err != nil || raised.Limit.Pico != 3*limit {
		t.Fatalf("raised to %+v, %v", raised.Limit, err)
	}
	_, again := s.start(t, "shared", 0, 200)
	if got := again(); got["done"] != 200 || int64(s.c.total()) != 200 {
		t.Errorf("after the raise: %v, %d calls in all, want 200 without repeats", got, s.c.total())
	}
}
