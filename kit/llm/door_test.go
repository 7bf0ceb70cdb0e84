package llm_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

const testKey = "sk-canary-0123456789abcdef"

// quick are times under which a test of failures takes milliseconds.
func quick() llm.Times {
	return llm.Times{
		Connect: 10 * time.Second, FirstByte: 10 * time.Second, Gap: 10 * time.Second, KeepAlive: 20 * time.Second,
		Try: 20 * time.Second, Backoff: time.Millisecond, Circuit: 50 * time.Millisecond, Quiet: time.Hour,
	}
}

// lab makes a door whose provider "lab" is the server: lab/MODEL has a price, lab/free/… has none.
func lab(t *testing.T, s *llmfault.Server, change ...func(*llm.Config, *llm.Deps)) *llm.Door {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.yaml")
	yaml := `version: 1
providers: {lab: {api: openai, title: Lab, base_url: "` + s.URL + `", key: LAB_API_KEY}}
models:
  - match: "lab/*"
    context: 8000
    max_output: 1000
    supports: {schema: true, images: true, seed: true}
    extra: {stream_options: true}
    price: [{as_of: 2026-01-01, source: test, input: "2.50", output: "10", cache_read: "1.25"}]
`
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := llm.Config{Component: "coder", ModelsFile: file, Times: quick()}
	deps := llm.Deps{Env: func(k string) string {
		if k == "LAB_API_KEY" {
			return testKey
		}
		return ""
	}}
	for _, f := range change {
		f(&cfg, &deps)
	}
	d, err := llm.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close the door: %v", err)
		}
	})
	return d
}

func ask(text string) llm.Request {
	return llm.Request{
		Model:    "lab/m-1",
		Origin:   llm.Origin{Scope: []string{"s-1", "idea-1"}, Step: "experiments/run-1/implement", Call: "plan"},
		System:   []llm.Part{llm.Text("You are careful.")},
		Messages: []llm.Message{llm.Say(llm.User, text)}, MaxTokens: 200,
	}
}

func TestDoor_Chat_good_streams(t *testing.T) {
	split := llmfault.Chunk("grün")
	at := strings.Index(split.Data, "ü") + 1 // in the middle of a character
	for name, tc := range map[string]struct {
		play   llmfault.Play
		text   string
		finish llm.Finish
		usage  llm.Usage
	}{
		"usage comes last": {llmfault.Answer("hello world"), "hello world", llm.Stop, llm.Usage{Input: 100, Output: 10}},
		"usage is absent and estimated": {llmfault.Stream(llmfault.Chunk("hello"), llmfault.Finish("stop"), llmfault.Done()),
			"hello", llm.Stop, llm.Usage{Input: 15, Output: 2, Estimated: true}},
		"the stream ends without DONE": {llmfault.Stream(llmfault.Chunk("hello"), llmfault.Finish("stop"), llmfault.Usage(7, 3)),
			"hello", llm.Stop, llm.Usage{Input: 7, Output: 3}},
		"it breaks after the finish": {llmfault.Stream(llmfault.Chunk("hello"), llmfault.Finish("stop"), llmfault.Event{Reset: true}),
			"hello", llm.Stop, llm.Usage{Input: 15, Output: 2, Estimated: true}},
		"length without text": {llmfault.Stream(llmfault.Finish("length"), llmfault.Usage(7, 200), llmfault.Done()),
			"", llm.Length, llm.Usage{Input: 7, Output: 200}},
		"a content filter": {llmfault.Stream(llmfault.Chunk("he"), llmfault.Finish("content_filter"), llmfault.Usage(7, 1)),
			"he", llm.Filtered, llm.Usage{Input: 7, Output: 1}},
		"a refusal": {llmfault.Stream(llmfault.Event{Data: `{"choices":[{"index":0,"delta":{"refusal":"no, sorry"},"finish_reason":null}]}`},
			llmfault.Finish("stop"), llmfault.Usage(7, 3)), "no, sorry", llm.Refused, llm.Usage{Input: 7, Output: 3}},
		"carriage returns and comments": {llmfault.Stream(llmfault.Event{Raw: ": keep-alive\r\n\r\n"},
			llmfault.Event{Raw: "data:" + llmfault.Chunk("hello").Data + "\r\n\r\n"}, llmfault.Finish("stop"), llmfault.Usage(7, 3)),
			"hello", llm.Stop, llm.Usage{Input: 7, Output: 3}},
		"a thousand keep-alives": {llmfault.Stream(llmfault.Event{Raw: strings.Repeat(": ping\n\n", 1000)}, llmfault.Chunk("hello"),
			llmfault.Finish("stop"), llmfault.Usage(7, 3)), "hello", llm.Stop, llm.Usage{Input: 7, Output: 3}},
		"a character in two pieces": {llmfault.Stream(llmfault.Event{Raw: "data: " + split.Data[:at]}, llmfault.Event{Raw: split.Data[at:] + "\n\n"},
			llmfault.Finish("stop"), llmfault.Usage(7, 3)), "grün", llm.Stop, llm.Usage{Input: 7, Output: 3}},
		"a line of a mebibyte": {llmfault.Stream(llmfault.Chunk(strings.Repeat("x", 1<<20)), llmfault.Finish("stop"), llmfault.Usage(7, 3)),
			strings.Repeat("x", 1<<20), llm.Stop, llm.Usage{Input: 7, Output: 3}},
		"cached and reasoning tokens": {llmfault.Stream(llmfault.Chunk("hello"), llmfault.Finish("stop"), llmfault.Event{Data: `{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":40}}}`}),
			"hello", llm.Stop, llm.Usage{Input: 40, CacheRead: 60, Output: 50, Reasoning: 40}},
		"a reply in one piece": {llmfault.Play{Body: `{"id":"x","model":"served-1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}`},
			"hello", llm.Stop, llm.Usage{Input: 7, Output: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, tc.play)
			d := lab(t, s)
			rep, err := d.Chat(t.Context(), ask("Say hello."))
			if err != nil {
				t.Fatal(err)
			}
			if rep.Text != tc.text || rep.Finish != tc.finish {
				t.Errorf("got %q, %s; want %q, %s", short(rep.Text), rep.Finish, short(tc.text), tc.finish)
			}
			if diff := cmp.Diff(tc.usage, rep.Usage); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			want := tc.usage.Input*2_500_000 + tc.usage.CacheRead*1_250_000 + tc.usage.Output*10_000_000
			if rep.Cost != want {
				t.Errorf("cost is %d, want %d", rep.Cost, want)
			}
			if s.Count() != 1 {
				t.Errorf("%d calls, want 1", s.Count())
			}
		})
	}
}

func short(s string) string { return s[:min(len(s), 80)] }

func TestDoor_Chat_sends_what_is_wanted(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ok"))
	d := lab(t, s)
	r := ask("Look.")
	r.Temperature, r.Seed, r.Stop = llm.Ptr(0.0), llm.Ptr(int64(7)), []string{"END"}
	r.Messages[0].Parts = append(r.Messages[0].Parts, llm.Part{Image: []byte("\x89PNG"), MIME: "image/png"})
	if _, err := d.Chat(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := s.Requests()[0]
	if got.Path != "/v1/chat/completions" || got.Header.Get("Authorization") != "Bearer "+testKey {
		t.Errorf("path %s, authorization %q", got.Path, got.Header.Get("Authorization"))
	}
	want := map[string]any{
		"model": "m-1", "stream": true, "temperature": 0.0, "seed": 7.0, "max_tokens": 200.0, "stop": []any{"END"},
		"stream_options": map[string]any{"include_usage": true},
		"messages": []any{
			map[string]any{"role": "system", "content": "You are careful."},
			map[string]any{"role": "user", "content": []any{
				map[string]any{"type": "text", "text": "Look."},
				map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,iVBORw=="}},
			}},
		},
	}
	if diff := cmp.Diff(want, got.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestDoor_Chat_answers_from_the_ledger(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("first"), llmfault.Answer("second"))
	d := lab(t, s)
	a, err := d.Chat(t.Context(), ask("Say."))
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Chat(t.Context(), ask("Say."))
	if err != nil {
		t.Fatal(err)
	}
	if b.Text != "first" || b.Source != llm.FromLedger || b.Cost != a.Cost || s.Count() != 1 {
		t.Errorf("got %q from %s after %d calls", b.Text, b.Source, s.Count())
	}
	if c, err := d.Chat(t.Context(), ask("Say more.")); err != nil || c.Text != "second" {
		t.Errorf("another request gave %q, %v", c.Text, err)
	}
	acc, err := d.Budgets().Read(t.Context(), "s-1.idea-1")
	if err != nil || acc.Spent.Pico != 2*a.Cost || len(acc.Open) != 0 {
		t.Errorf("account %+v, %v", acc, err)
	}
}

func TestDoor_Chat_leaves_out_what_an_endpoint_refuses(t *testing.T) {
	s := llmfault.New(t, llmfault.Param("seed", "Unsupported parameter: 'seed'"),
		llmfault.Error(400, "", "max_tokens is not supported, use 'max_completion_tokens'"), llmfault.Answer("ok"))
	d := lab(t, s)
	r := ask("Say.")
	r.Seed = llm.Ptr(int64(1))
	if _, err := d.Chat(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Origin.Call = "next" // what was learned is kept
	if _, err := d.Chat(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, q := range s.Requests()[2:] {
		if q.Body["seed"] != nil || q.Body["max_tokens"] != nil || q.Body["max_completion_tokens"] != 200.0 {
			t.Errorf("sent %v", q.Body)
		}
	}
	if s.Count() != 4 {
		t.Errorf("%d requests, want 4", s.Count())
	}
}

func TestDoor_Chat_replies_that_are_no_answers(t *testing.T) {
	for name, tc := range map[string]struct {
		play   llmfault.Play
		finish llm.Finish
		reason string
	}{
		"context by code":         {llmfault.Error(400, "context_length_exceeded", "This model's maximum context length is 8000 tokens"), llm.TooLong, "CONTEXT_TOO_LONG"},
		"context of llama.cpp":    {llmfault.Error(500, "", "Context size has been exceeded."), llm.TooLong, "CONTEXT_TOO_LONG"},
		"context in a flat error": {llmfault.Play{Status: 400, Body: `{"object":"error","message":"maximum context length is 8"}`}, llm.TooLong, "CONTEXT_TOO_LONG"},
		"entity too large":        {llmfault.Play{Status: 413, Body: "too large"}, llm.TooLong, "CONTEXT_TOO_LONG"},
		"filtered":                {llmfault.Error(400, "content_filter", "The response was filtered"), llm.Filtered, "LLM_REFUSED"},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, tc.play)
			r := ask("Say.")
			rep, err := lab(t, s).Chat(t.Context(), r)
			if err != nil || rep.Finish != tc.finish || s.Count() != 1 || rep.Cost != 0 {
				t.Fatalf("got %+v, %v after %d calls", rep, err, s.Count())
			}
			reason, sentence, next := rep.Outcome(r.Origin)
			if reason != tc.reason || sentence == "" || next != "nullius retry s-1/idea-1" {
				t.Errorf("got %s, %q, %q", reason, sentence, next)
			}
		})
	}
	t.Run("far too long is not sent", func(t *testing.T) {
		s := llmfault.New(t, llmfault.Answer("ok"))
		rep, err := lab(t, s).Chat(t.Context(), ask(strings.Repeat("word ", 12000)))
		if err != nil || rep.Finish != llm.TooLong || s.Count() != 0 {
			t.Errorf("got %+v, %v after %d calls", rep, err, s.Count())
		}
	})
}

func TestDoor_Chat_errors_name_reason_sentence_and_next_command(t *testing.T) {
	rate := llmfault.Error(429, "rate_limit_exceeded", "Rate limit reached").With("retry-after-ms", "2")
	for name, tc := range map[string]struct {
		plays    []llmfault.Play
		kind     fault.Kind
		reason   string
		sentence string
		next     string
		cause    string
		calls    int
		possibly bool
	}{
		"401": {[]llmfault.Play{llmfault.Error(401, "invalid_api_key", "Incorrect API key provided: "+testKey)},
			fault.Unauthenticated, "KEY_REFUSED", "Lab refused the key from LAB_API_KEY (401)", "nullius models test lab/m-1", "", 1, false},
		"403": {[]llmfault.Play{llmfault.Error(403, "", "no access for "+testKey)},
			fault.Denied, "KEY_REFUSED", "Lab does not let this key use m-1 (403: no access for ***)", "nullius models test lab/m-1", "", 1, false},
		"404": {[]llmfault.Play{llmfault.Error(404, "model_not_found", "The model does not exist")},
			fault.NotFound, "MODEL_UNKNOWN", "Lab has no model m-1 (404)", "nullius models", "", 1, false},
		"400": {[]llmfault.Play{llmfault.Error(400, "", "tools are odd")},
			fault.Precondition, "PROVIDER_REJECTED", "Lab rejected the request (400: tools are odd)", "nullius models test lab/m-1", "", 1, false},
		"a redirect": {[]llmfault.Play{llmfault.Play{Status: 302}.With("Location", "http://127.0.0.1:1/")},
			fault.Precondition, "PROVIDER_REJECTED", "Lab rejected the request (302: a redirect, which is not followed)", "nullius models test lab/m-1", "", 1, false},
		"429 for ever": {[]llmfault.Play{rate}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab keeps limiting this key; the idea goes on by itself", "nullius status", "RATE_LIMIT", 5, false},
		"429 for an hour": {[]llmfault.Play{llmfault.Error(429, "", "slow").With("Retry-After", "3600")}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab limits this key and asks to wait 60 min; the idea goes on by itself", "nullius status", "RATE_LIMIT", 1, false},
		"no credit": {[]llmfault.Play{llmfault.Error(429, "insufficient_quota", "You exceeded your current quota")}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab says this account has no credit left; after a top-up the idea goes on", "nullius status", "CREDIT", 1, false},
		"402": {[]llmfault.Play{llmfault.Error(402, "", "Insufficient Balance")}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab says this account has no credit left; after a top-up the idea goes on", "nullius status", "CREDIT", 1, false},
		"500": {[]llmfault.Play{llmfault.Error(500, "", "oops")}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab fails (500, 5 tries: oops); the idea goes on by itself", "nullius status", "OUTAGE", 5, false},
		"529 with HTML": {[]llmfault.Play{{Status: 529, Type: "text/html", Body: "<html><head><title>Busy\nnow</title></head>" + strings.Repeat("x", 1<<20)}},
			fault.Unavailable, "PROVIDER_UNAVAILABLE", "Lab is overloaded (529, 5 tries); the idea goes on by itself", "nullius status", "OUTAGE", 5, false},
		"should not retry": {[]llmfault.Play{llmfault.Error(500, "", "oops").With("x-should-retry", "false")}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab fails (500, 1 try: oops); the idea goes on by itself", "nullius status", "OUTAGE", 1, false},
		"a cut stream": {[]llmfault.Play{llmfault.Stream(llmfault.Chunk("hel"))}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab broke its stream off, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"a reset stream": {[]llmfault.Play{llmfault.Stream(llmfault.Chunk("hel"), llmfault.Event{Reset: true})}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab broke its stream off, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"a hang": {[]llmfault.Play{{Hang: true}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab sent nothing for 150 ms, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "TIMEOUT", 5, true},
		"a hang in the middle": {[]llmfault.Play{llmfault.Stream(llmfault.Chunk("hel"), llmfault.Event{Hang: true})}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab sent nothing for 150 ms, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "TIMEOUT", 5, true},
		"a page for an answer": {[]llmfault.Play{{Type: "text/html", Body: "<!DOCTYPE html><title>Log in</title>"}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab answered with an HTML page: Log in, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"garbage for an answer": {[]llmfault.Play{{Body: "}{"}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab answered with not JSON (2 bytes), 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"nothing for an answer": {[]llmfault.Play{{Body: ""}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab answered with an empty body, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"an error in a 200": {[]llmfault.Play{{Body: `{"error":{"message":"upstream is down","code":502}}`}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab fails (502, 5 tries: upstream is down) (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"an error frame": {[]llmfault.Play{llmfault.Stream(llmfault.Chunk("hel"), llmfault.Event{Data: `{"id":"x","error":{"message":"overloaded","code":503}}`})},
			fault.Unavailable, "PROVIDER_UNAVAILABLE", "Lab is overloaded (503, 5 tries); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5, true},
		"an error as an array": {[]llmfault.Play{{Status: 500, Body: `[{"error":{"code":500,"message":"internal","status":"INTERNAL"}}]`}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab fails (500, 5 tries: internal); the idea goes on by itself", "nullius status", "OUTAGE", 5, false},
		"an error as a string": {[]llmfault.Play{{Status: 500, Body: `{"error":"broken"}`}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab fails (500, 5 tries: broken); the idea goes on by itself", "nullius status", "OUTAGE", 5, false},
		"an error that is null": {[]llmfault.Play{{Status: 500, Body: `{"error":null}`}}, fault.Unavailable, "PROVIDER_UNAVAILABLE",
			"Lab fails (500, 5 tries); the idea goes on by itself", "nullius status", "OUTAGE", 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := llmfault.New(t, tc.plays...)
			d := lab(t, s, func(c *llm.Config, _ *llm.Deps) {
				if tc.cause == "TIMEOUT" {
					c.Times.FirstByte, c.Times.Gap = 150*time.Millisecond, 150*time.Millisecond
				}
			})
			_, err := d.Chat(t.Context(), ask("Say."))
			checkFault(t, err, tc.kind, tc.reason, tc.sentence, tc.next)
			if f, ok := fault.As(err); ok && f.Meta["cause"] != tc.cause {
				t.Errorf("cause is %q, want %q", f.Meta["cause"], tc.cause)
			}
			if s.Count() != tc.calls {
				t.Errorf("%d calls, want %d", s.Count(), tc.calls)
			}
			acc, err := d.Budgets().Read(t.Context(), "s-1")
			if err != nil || len(acc.Open) != 0 || acc.Spent.Pico != 0 || (acc.Possibly.Pico > 0) != tc.possibly {
				t.Errorf("account %+v, %v", acc, err)
			}
		})
	}
}

func checkFault(t *testing.T, err error, kind fault.Kind, reason, sentence, next string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok {
		t.Fatalf("got %v, want a fault %s", err, reason)
	}
	if !errors.Is(err, kind) || f.Reason != reason || f.Message != sentence || f.Next != next {
		t.Errorf("got %v %s\n %q\n next %q\nwant %v %s\n %q\n next %q", f.Kind, f.Reason, f.Message, f.Next, kind, reason, sentence, next)
	}
	if strings.Contains(err.Error(), testKey) {
		t.Errorf("the error has the key: %v", err)
	}
}

func TestDoor_Chat_errors_before_a_provider_is_called(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ok"))
	noKey := func(_ *llm.Config, d *llm.Deps) { d.Env = func(string) string { return "" } }
	t.Run("no key", func(t *testing.T) {
		_, err := lab(t, s, noKey).Chat(t.Context(), ask("Say."))
		checkFault(t, err, fault.Unauthenticated, "KEY_MISSING", "lab/m-1 needs LAB_API_KEY or LAB_API_KEY_FILE; the coder has neither", "nullius doctor")
	})
	t.Run("an unknown model", func(t *testing.T) {
		r := ask("Say.")
		r.Model = "gtp-4o"
		_, err := lab(t, s).Chat(t.Context(), r)
		checkFault(t, err, fault.NotFound, "MODEL_UNKNOWN", `there is no model "gtp-4o": want provider/model; the nearest name is gpt-4o`, "nullius models")
	})
	t.Run("nothing listens", func(t *testing.T) {
		r := ask("Say.")
		r.Model = "openai-compatible/m@http://127.0.0.1:1/v1"
		_, err := lab(t, s).Chat(t.Context(), r)
		checkFault(t, err, fault.Unavailable, "PROVIDER_UNAVAILABLE", "nothing listens at http://127.0.0.1:1", "nullius doctor")
	})
	t.Run("ollama does not run", func(t *testing.T) {
		r := ask("Say.")
		r.Model = "ollama/qwen3"
		env := func(_ *llm.Config, d *llm.Deps) {
			d.Env = func(k string) string { return map[string]string{"OLLAMA_HOST": "127.0.0.1:1"}[k] }
		}
		_, err := lab(t, s, env).Chat(t.Context(), r)
		checkFault(t, err, fault.Unavailable, "PROVIDER_UNAVAILABLE", "nothing listens at http://127.0.0.1:1", "ollama serve")
	})
	t.Run("a certificate that nobody trusts", func(t *testing.T) {
		bad := llmfault.NewTLS(t, llmfault.Answer("ok"))
		_, err := lab(t, bad).Chat(t.Context(), ask("Say."))
		if f, ok := fault.As(err); !ok || f.Meta["cause"] != "TLS" || !strings.Contains(f.Message, "is not trusted: x509") || f.Next != "nullius doctor" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a budget that is used up", func(t *testing.T) {
		d := lab(t, s)
		if err := d.Budgets().SetLimit(t.Context(), "s-1", amount(500_000_000, 0)); err != nil {
			t.Fatal(err)
		}
		_, err := d.Chat(t.Context(), ask("Say."))
		checkFault(t, err, fault.Exhausted, "BUDGET_EXCEEDED", "s-1 has $0.0005 of $0.0005 left; the next call may need $0.0022", "nullius approve s-1 --add-budget 1")
	})
	t.Run("tokens that are used up", func(t *testing.T) {
		d := lab(t, s)
		if err := d.Budgets().SetLimit(t.Context(), "s-1.idea-1", amount(0, 100)); err != nil {
			t.Fatal(err)
		}
		_, err := d.Chat(t.Context(), ask("Say."))
		checkFault(t, err, fault.Exhausted, "BUDGET_EXCEEDED", "s-1/idea-1 has 100 of 100 tokens left; the next call may need 235", "nullius approve s-1/idea-1 --add-tokens 135")
	})
	t.Run("a model without a price under a budget", func(t *testing.T) {
		d := lab(t, s)
		r := ask("Say.")
		r.Model = "openai-compatible/m@" + s.URL
		if err := d.Budgets().SetLimit(t.Context(), "s-1.idea-1", amount(1e12, 0)); err != nil {
			t.Fatal(err)
		}
		_, err := d.Chat(t.Context(), r)
		if fault.ReasonOf(err) != "MODEL_UNPRICED" || fault.NextOf(err) != "--allow-unpriced" {
			t.Errorf("got %v", err)
		}
		if err := d.Budgets().SetAllowUnpriced(t.Context(), "s-1.idea-1", true); err != nil {
			t.Fatal(err)
		}
		if rep, err := d.Chat(t.Context(), r); err != nil || !rep.Unpriced {
			t.Errorf("got %+v, %v", rep, err)
		}
	})
	if s.Count() != 1 {
		t.Errorf("%d calls, want 1", s.Count())
	}
}

func TestDoor_Chat_goes_on_after_trouble(t *testing.T) {
	for name, play := range map[string]llmfault.Play{
		"429 with milliseconds": llmfault.Error(429, "", "slow down").With("retry-after-ms", "3"),
		"429 with Retry-After":  llmfault.Error(429, "", "slow down").With("Retry-After", "0"),
		"429 with a past date":  llmfault.Error(429, "", "slow down").With("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),
		"429 with nonsense":     llmfault.Error(429, "", "slow down").With("Retry-After", "soon"),
		"429 with minus one":    llmfault.Error(429, "", "slow down").With("Retry-After", "-1"),
		"500":                   llmfault.Error(500, "", "oops"),
		"408":                   llmfault.Error(408, "", "timeout"),
		"409":                   llmfault.Error(409, "", "conflict"),
		"a reset":               llmfault.Stream(llmfault.Event{Reset: true}),
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, play, llmfault.Answer("at last"))
			var mu sync.Mutex
			var told []string
			r := ask("Say.")
			r.Progress = func(p llm.Progress) {
				mu.Lock()
				defer mu.Unlock()
				if p.Kind == llm.Waiting {
					told = append(told, p.Why)
				}
			}
			rep, err := lab(t, s).Chat(t.Context(), r)
			if err != nil || rep.Text != "at last" || s.Count() != 2 {
				t.Fatalf("got %q, %v after %d calls", rep.Text, err, s.Count())
			}
			if len(told) == 0 || !strings.HasPrefix(told[0], "Waiting for Lab: ") {
				t.Errorf("told %q", told)
			}
		})
	}
}

func TestDoor_circuit_opens_and_is_tested(t *testing.T) {
	var mu sync.Mutex
	down := true
	s := llmfault.NewFunc(t, func(llmfault.Request) llmfault.Play {
		mu.Lock()
		defer mu.Unlock()
		if down {
			return llmfault.Error(503, "", "down")
		}
		return llmfault.Answer("up")
	})
	d := lab(t, s, func(c *llm.Config, _ *llm.Deps) {
		c.Times.Quiet, c.Times.Circuit = time.Nanosecond, 30*time.Millisecond
	})
	if _, err := d.Chat(t.Context(), ask("Say.")); fault.ReasonOf(err) != "PROVIDER_UNAVAILABLE" {
		t.Fatal(err)
	}
	before := s.Count()
	if _, err := d.Chat(t.Context(), ask("Say.")); fault.ReasonOf(err) != "PROVIDER_UNAVAILABLE" || fault.RetryAfterOf(err) <= 0 || s.Count() != before {
		t.Fatalf("an open circuit let a call through: %v, %d calls", err, s.Count()-before)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	deadline := time.Now().Add(5 * time.Second)
	for {
		rep, err := d.Chat(t.Context(), ask("Say."))
		if err == nil {
			if rep.Text != "up" {
				t.Errorf("got %q", rep.Text)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the circuit stays open: %v", err)
		}
	}
}

func TestDoor_reads_a_key_file_again_after_401(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old-key-123")
	s := llmfault.NewFunc(t, func(r llmfault.Request) llmfault.Play {
		if r.Header.Get("Authorization") != "Bearer new-key-456" {
			write("new-key-456")
			return llmfault.Error(401, "", "wrong")
		}
		return llmfault.Answer("ok")
	})
	d := lab(t, s, func(_ *llm.Config, d *llm.Deps) {
		d.Env = func(k string) string { return map[string]string{"LAB_API_KEY_FILE": file}[k] }
	})
	if rep, err := d.Chat(t.Context(), ask("Say.")); err != nil || rep.Text != "ok" {
		t.Errorf("got %q, %v", rep.Text, err)
	}
}

func TestDoor_hides_keys_everywhere(t *testing.T) {
	var logs strings.Builder
	var mu sync.Mutex
	s := llmfault.New(t, llmfault.Error(500, testKey, "bad key "+testKey), llmfault.Answer("your key is "+testKey), llmfault.Error(400, "", "no "+testKey))
	d := lab(t, s, func(_ *llm.Config, d *llm.Deps) {
		d.Log = slog.New(slog.NewTextHandler(locked{&mu, &logs}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	rep, err := d.Chat(t.Context(), ask("Say."))
	if err != nil || strings.Contains(rep.Text, testKey) || rep.Text != "your key is ***" {
		t.Errorf("got %q, %v", rep.Text, err)
	}
	if _, err := d.Chat(t.Context(), ask("Say more.")); err == nil || strings.Contains(err.Error(), testKey) {
		t.Errorf("got %v", err)
	}
	entries, err := d.Ledger().List(t.Context(), "s-1", "")
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		reply, err := d.Ledger().Reply(t.Context(), e)
		if err != nil || strings.Contains(string(reply), testKey) {
			t.Errorf("the ledger's reply is %q, %v", reply, err)
		}
		request, err := d.Ledger().Request(t.Context(), e)
		if err != nil || strings.Contains(string(request), testKey) || !strings.Contains(string(request), "Say.") {
			t.Errorf("the ledger's request is %q, %v", request, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(logs.String(), testKey) || !strings.Contains(logs.String(), "try failed") {
		t.Errorf("the log says %s", logs.String())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *strings.Builder
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestDoor_a_caller_that_goes_away_loses_nothing(t *testing.T) {
	release := make(chan struct{})
	p := llmfault.Answer("kept")
	p.Wait = release
	s := llmfault.New(t, p)
	d := lab(t, s, func(c *llm.Config, _ *llm.Deps) { c.Times.FirstByte = 5 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := d.Chat(ctx, ask("Say."))
		got <- err
	}()
	wait(t, func() bool { return s.Count() == 1 })
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	close(release)
	rep, err := d.Chat(t.Context(), ask("Say."))
	if err != nil || rep.Text != "kept" || s.Count() != 1 {
		t.Errorf("got %q, %v after %d calls", rep.Text, err, s.Count())
	}
}

func wait(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 10 s")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDoor_Probe(t *testing.T) {
	t.Run("a listed model", func(t *testing.T) {
		s := llmfault.New(t, llmfault.Answer("ok"))
		s.Models("m-1", "m-2")
		if err := lab(t, s).Probe(t.Context(), "lab/m-1"); err != nil || s.Count() != 0 {
			t.Errorf("got %v after %d calls", err, s.Count())
		}
	})
	t.Run("a model that is not listed", func(t *testing.T) {
		s := llmfault.New(t, llmfault.Answer("ok"))
		s.Models("m-2")
		if err := lab(t, s).Probe(t.Context(), "lab/m-1"); fault.ReasonOf(err) != "MODEL_UNKNOWN" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an endpoint without a list is asked for one token", func(t *testing.T) {
		s := llmfault.New(t, llmfault.Answer("ok"))
		if err := lab(t, s).Probe(t.Context(), "lab/m-1"); err != nil || s.Count() != 1 {
			t.Errorf("got %v after %d calls", err, s.Count())
		}
	})
}
