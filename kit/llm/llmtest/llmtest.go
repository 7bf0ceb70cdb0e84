// Package llmtest has a scripted model for tests of services.
package llmtest

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"

	"nullius.dev/kit/llm"
)

// Script answers calls from a table and fails the test on an unexpected one.
type Script struct {
	t testing.TB

	mu       sync.Mutex
	replies  map[string][]string
	requests []llm.Request
	answered map[string]llm.Reply
	used     map[string]int
}

// New makes a scripted model. The replies are keyed by call ("plan"), or by the end of a step and the call
// ("run-2/implement plan"), which goes first. The replies of a key are given in turn. A reply that begins with "!" sets how
// it finishes: "!length text", "!refused why", "!filtered why", "!too_long". The same request under one name is answered
// the same way again, as the ledger does.
func New(t testing.TB, replies map[string][]string) *Script {
	s := &Script{t: t, replies: map[string][]string{}, answered: map[string]llm.Reply{}, used: map[string]int{}}
	for k, v := range replies {
		s.replies[k] = append([]string(nil), v...)
	}
	return s
}

// Chat gives the next scripted reply.
func (s *Script) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	if err := ctx.Err(); err != nil {
		return llm.Reply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	digest, err := llm.Digest(r)
	if err != nil {
		return llm.Reply{}, err
	}
	id := r.Origin.String() + " " + string(digest)
	if rep, ok := s.answered[id]; ok {
		rep.Source = llm.FromLedger
		return rep, nil
	}
	key, ok := s.find(r.Origin)
	if !ok {
		s.t.Errorf("unexpected call to the model: %s\nthe script has %s\nthe prompt ends with: %s", r.Origin, s.keys(), tail(r))
		return llm.Reply{}, fmt.Errorf("llmtest: no reply for %s", r.Origin)
	}
	text := s.replies[key][s.used[key]]
	s.used[key]++
	rep := llm.Reply{
		Text: text, Finish: llm.Stop, Model: r.Model, Served: r.Model, Source: llm.FromProvider, Cost: 1_000_000_000,
		Usage: llm.Usage{Input: llm.Estimate(r), Output: int64(len(text)+3) / 4},
	}
	if strings.HasPrefix(text, "!") {
		finish, rest, _ := strings.Cut(text[1:], " ")
		switch f := llm.Finish(finish); f {
		case llm.Length, llm.Refused, llm.Filtered, llm.TooLong:
			rep.Finish, rep.Text = f, rest
		}
	}
	if r.Progress != nil {
		r.Progress(llm.Progress{Kind: llm.FirstByte})
	}
	s.answered[id] = rep
	return rep, nil
}

func (s *Script) find(o llm.Origin) (string, bool) {
	best := ""
	for k, v := range s.replies {
		if s.used[k] >= len(v) {
			continue
		}
		step, call, ok := strings.Cut(k, " ")
		if !ok {
			step, call = "", k
		}
		if call != o.Call || step != "" && o.Step != step && !strings.HasSuffix(o.Step, "/"+step) {
			continue
		}
		if best == "" || len(k) > len(best) {
			best = k
		}
	}
	return best, best != ""
}

func (s *Script) keys() string {
	var left []string
	for k, v := range s.replies {
		if n := len(v) - s.used[k]; n > 0 {
			left = append(left, fmt.Sprintf("%q×%d", k, n))
		}
	}
	if len(left) == 0 {
		return "no replies left"
	}
	sort.Strings(left)
	return strings.Join(left, " ")
}

// Requests lists what was asked, in order.
func (s *Script) Requests() []llm.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]llm.Request(nil), s.requests...)
}

// Unused fails the test if replies were not asked for.
func (s *Script) Unused() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys(); k != "no replies left" {
		s.t.Errorf("replies that nobody asked for: %s", k)
	}
}

// PromptText joins the texts of a request, for tests that look into a prompt.
func PromptText(r llm.Request) string {
	var b strings.Builder
	add := func(parts []llm.Part) {
		for _, p := range parts {
			b.WriteString(p.Text)
			b.WriteByte('\n')
		}
	}
	add(r.System)
	for _, m := range r.Messages {
		add(m.Parts)
	}
	return b.String()
}

func tail(r llm.Request) string {
	s := PromptText(r)
	if len(s) > 400 {
		s = "…" + strings.ToValidUTF8(s[len(s)-400:], "")
	}
	return s
}
