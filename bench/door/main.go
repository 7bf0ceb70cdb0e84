// Command door measures what a call to a model costs beyond the model: ledger, budget and limit, with a provider that answers at once. Run it as
//
//	go run ./bench/door [-calls 2000] [-callers 1,64] [-memory] [-dir DIR]
//
// It prints the time of a call through the door, that of the same request without it, and the difference, at the middle and at the
// 99th of a hundred.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	calls := flag.Int("calls", 2000, "calls of each measurement")
	callers := flag.String("callers", "1,64", "callers at a time, comma-separated")
	memory := flag.Bool("memory", false, "keep ledger and accounts in memory instead of a synced bus")
	dir := flag.String("dir", "", "folder of the bus and the blobs; empty: a temporary one")
	profile := flag.String("profile", "", "file that gets a CPU profile")
	flag.Parse()
	if err := run(ctx, *calls, strings.Split(*callers, ","), *memory, *dir, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, calls int, callers []string, memory bool, dir, profile string) (err error) {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); _ = f.Close() }() // a profile that is cut says so when it is read
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "nullius-bench-door-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	b, err := open(ctx, dir, memory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close(context.WithoutCancel(ctx))) }()
	fmt.Println("callers  calls/s  door p50  p99       bare p50  p99       own p50   p99")
	for _, text := range callers {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-callers %s: not a number", text)
		}
		bare, _, err := measure(calls, n, func(int) error { return b.bare(ctx) })
		if err != nil {
			return err
		}
		door, wall, err := measure(calls, n, func(i int) error { return b.ask(ctx, fmt.Sprintf("%d-%d", n, i)) })
		if err != nil {
			return err
		}
		fmt.Printf("%-8d %-8.0f %-9s %-9s %-9s %-9s %-9s %s\n", n, float64(calls)/wall.Seconds(), ms(door, 50), ms(door, 99), ms(bare, 50), ms(bare, 99),
			text2(at(door, 50)-at(bare, 50)), text2(at(door, 99)-at(bare, 99)))
	}
	return nil
}

func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func ms(sorted []time.Duration, percent int) string { return text2(at(sorted, percent)) }

func text2(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// measure runs calls, n at a time, and gives what each took, sorted, and all together.
func measure(calls, n int, call func(i int) error) ([]time.Duration, time.Duration, error) {
	took, failed := make([]time.Duration, calls), make([]error, calls)
	turns := make(chan int)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for i := range turns {
				began := time.Now()
				failed[i] = call(i)
				took[i] = time.Since(began)
			}
		})
	}
	began := time.Now()
	for i := range calls {
		turns <- i
	}
	close(turns)
	all.Wait()
	wall := time.Since(began)
	slices.Sort(took)
	return took, wall, errors.Join(failed...)
}

// bench is a door with all that it stands on.
type bench struct {
	door   *llm.Door
	server *http.Server
	url    string
	client http.Client
	ended  chan error
	broker *natsd.Server
	shut   func()
}

const answer = `data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":"stop"}]}` + "\n\n" +
	`data: {"id":"1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10}}` + "\n\ndata: [DONE]\n\n"

func open(ctx context.Context, dir string, memory bool) (*bench, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &bench{url: "http://" + l.Addr().String() + "/v1", ended: make(chan error, 1), shut: func() {}}
	b.client.Transport = &http.Transport{MaxIdleConnsPerHost: 256}
	b.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // whatever was sent, the answer is the same
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, answer)
	})}
	go func() { b.ended <- b.server.Serve(l) }()
	models := filepath.Join(dir, "models.yaml")
	yaml := "version: 1\nproviders: {lab: {api: openai, title: Lab, base_url: \"" + b.url + "\", max_parallel: 256}}\nmodels:\n" +
		"  - {match: \"lab/*\", context: 100000, max_output: 1000, extra: {stream_options: true}, price: [{as_of: 2026-01-01, source: bench, input: \"2.50\", output: \"10\"}]}\n"
	if err := os.WriteFile(models, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	on := llm.On{}
	if !memory {
		if b.broker, err = natsd.Start(natsd.Config{Dir: filepath.Join(dir, "bus")}); err != nil {
			return nil, err
		}
		if on.Bus, err = b.broker.Connect(ctx); err != nil {
			return nil, err
		}
		b.shut = on.Bus.Close
		if on.Blobs, err = store.OpenDir(filepath.Join(dir, "blobs")); err != nil {
			return nil, err
		}
	}
	if b.door, err = llm.Open(ctx, llm.Config{ModelsFile: models, SoleOwner: true, Process: "bench", MaxParallel: 256}, on); err != nil {
		return nil, err
	}
	return b, b.door.Budgets().SetLimit(ctx, "bench", budget.Amount{Pico: 1e18})
}

func (b *bench) close(ctx context.Context) error {
	err := b.door.Close(ctx)
	b.shut()
	if b.broker != nil {
		err = errors.Join(err, b.broker.Stop())
	}
	err = errors.Join(err, b.server.Close())
	if e := <-b.ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

var prompt = strings.Repeat("What follows from this? ", 400) // about 2,400 tokens

// ask makes one call through the door.
func (b *bench) ask(ctx context.Context, call string) error {
	rep, err := b.door.Chat(ctx, llm.Request{
		Model: "lab/m", Origin: llm.Origin{Scope: []string{"bench", "idea-1"}, Step: "experiments/run-1/implement", Call: call},
		Messages: []llm.Message{llm.Say(llm.User, prompt+call)}, MaxTokens: 100,
	})
	if err == nil && rep.Text != "yes" {
		err = fmt.Errorf("the answer was %q", rep.Text)
	}
	return err
}

// bare makes the same request without the door.
func (b *bench) bare(ctx context.Context) error {
	body := []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"` + prompt + `"}]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
