package llm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// strict is a provider that refuses what goes over its limit of calls at a time.
type strict struct {
	limit  int32
	busy   atomic.Int32
	served atomic.Int32
	over   atomic.Int32
}

func (s *strict) play(llmfault.Request) llmfault.Play {
	if s.busy.Add(1) > s.limit {
		s.busy.Add(-1)
		s.over.Add(1)
		return llmfault.Error(429, "rate_limit_exceeded", "too many at a time").With("retry-after-ms", "5")
	}
	go func() { // the answer takes this long
		time.Sleep(2 * time.Millisecond)
		s.busy.Add(-1)
	}()
	s.served.Add(1)
	return llmfault.Answer("ok")
}

// TestDoor_ten_providers: each keeps its own limit, and one that hangs and one that nothing listens for hold nobody up.
func TestDoor_ten_providers(t *testing.T) {
	var yaml strings.Builder
	yaml.WriteString("version: 1\nproviders:\n")
	limited := make([]*strict, 8)
	for i := range limited {
		limited[i] = &strict{limit: int32(1 + i)}
		s := llmfault.NewFunc(t, limited[i].play)
		fmt.Fprintf(&yaml, "  p%d: {api: openai, title: P%d, base_url: %q, max_parallel: 16}\n", i, i, s.URL)
	}
	hang := llmfault.New(t, llmfault.Play{Hang: true})
	fmt.Fprintf(&yaml, "  dead: {api: openai, title: Dead, base_url: \"http://127.0.0.1:1/v1\"}\n  hangs: {api: openai, title: Hangs, base_url: %q}\n", hang.URL)
	file := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(file, []byte(yaml.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	times := quick()
	times.FirstByte, times.Tries, times.Waits = time.Hour, 50, time.Hour
	d, err := llm.New(llm.Config{ModelsFile: file, Times: times}, llm.Deps{Env: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	t.Cleanup(func() {
		giveUp()
		stop, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel() // the call that hangs is not waited for
		if err := d.Close(stop); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	call := func(provider string, i int) error {
		r := ask("Say.")
		r.Model, r.Origin.Call = provider+"/m", fmt.Sprintf("call-%d", i)
		_, err := d.Chat(ctx, r)
		return err
	}
	hung := make(chan error, 12)
	for i := range cap(hung) { // more than may go at a time
		go func() { hung <- call("hangs", i) }()
	}
	const calls = 20
	var good, dead sync.WaitGroup
	for i := range calls {
		dead.Go(func() {
			if err := call("dead", i); fault.ReasonOf(err) != "PROVIDER_UNAVAILABLE" {
				t.Errorf("the dead provider gave %v", err)
			}
		})
		for p := range limited {
			good.Go(func() {
				if err := call(fmt.Sprintf("p%d", p), i); err != nil {
					t.Errorf("p%d: %v", p, err)
				}
			})
		}
	}
	good.Wait() // while the others hang and fail
	dead.Wait()
	for p, s := range limited {
		if s.served.Load() != calls {
			t.Errorf("p%d answered %d calls, want %d", p, s.served.Load(), calls)
		}
		if over := s.over.Load(); over > 4*calls { // as many as five tries a call allow
			t.Errorf("p%d was asked %d times over its limit of %d", p, over, s.limit)
		}
	}
	select {
	case err := <-hung:
		t.Errorf("a call that hangs came back: %v", err)
	default:
	}
	giveUp()
	for range cap(hung) {
		if err := <-hung; !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
	}
}
