package llm_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// canned answers every request alike, without a network.
type canned struct {
	status int
	kind   string
	body   string
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {c.kind}}, Body: io.NopCloser(iotest.OneByteReader(strings.NewReader(c.body))), Request: r}, nil
}

// FuzzAnswer: whatever a provider sends, a call ends with a reply or a fault of a known reason, its usage is no nonsense, nothing stays reserved, and the key is hidden.
func FuzzAnswer(f *testing.F) {
	whole := `{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":10}}`
	var stream, claude, bedrock strings.Builder
	for _, e := range llmfault.Answer("grün").Events {
		stream.WriteString("data: " + e.Data + "\n\n")
	}
	for _, e := range llmfault.Claude(llmfault.ClaudeReply("hello")...).Events {
		claude.WriteString(e.Raw)
	}
	for _, e := range llmfault.Bedrock(llmfault.ClaudeReply("hello")...).Exception("throttlingException", "slow").Events {
		bedrock.WriteString(e.Raw)
	}
	for i, body := range []string{whole, stream.String(), claude.String(), bedrock.String(), strings.ReplaceAll(stream.String(), "\n", "\r"), `{"error":{"message":"` + testKey + `","code":429}}`, `[{"error":{"details":[{"retryDelay":"3s"}]}}]`,
		`{"error":{"message":"maximum context length is 4096 tokens and your request has 3000 input tokens"}}`, "<html><title>x</title>", ": hi\n\n\xef\xbb\xbf\r\r", `{"type":"error","error":{"type":"overloaded_error"}}`} {
		f.Add(uint8(i), uint8(i), uint16(200), body)
		f.Add(uint8(i+1), uint8(i+2), uint16(429), body)
		f.Add(uint8(i+2), uint8(i+1), uint16(400), body)
	}
	models := []string{"openai/gpt-4o", "anthropic/claude-opus-4-5", "bedrock/anthropic.claude-opus-5", "gemini/gemini-2.5-pro", "ollama/qwen3"}
	kinds := []string{"text/event-stream", "application/json", "application/vnd.amazon.eventstream", "text/html", ""}
	env := map[string]string{"OPENAI_API_KEY": testKey, "ANTHROPIC_API_KEY": testKey, "AWS_BEARER_TOKEN_BEDROCK": testKey, "GEMINI_API_KEY": testKey}
	f.Fuzz(func(t *testing.T, model, kind uint8, status uint16, body string) {
		times := quick()
		times.Tries, times.LongWait = 1, time.Nanosecond
		d, err := llm.New(llm.Config{Times: times}, llm.Deps{Env: func(k string) string { return env[k] }, Transport: canned{200 + int(status)%400, kinds[int(kind)%len(kinds)], body}})
		if err != nil {
			t.Fatal(err)
		}
		r := ask("Say.")
		r.Model = models[int(model)%len(models)]
		rep, err := d.Chat(t.Context(), r)
		if f, ok := fault.As(err); err != nil && (!ok || f.Next == "" || f.Message == "") {
			t.Fatalf("got %v", err)
		}
		if err != nil {
			switch reason := fault.ReasonOf(err); reason {
			case "KEY_REFUSED", "MODEL_UNKNOWN", "PROVIDER_REJECTED", "PROVIDER_UNAVAILABLE":
			default:
				t.Fatalf("reason %s: %v", reason, err)
			}
		}
		u := rep.Usage
		if min(u.Input, u.CacheRead, u.CacheWrite, u.CacheWrite1h, u.Output, u.Reasoning, rep.Cost) < 0 || u.Reasoning > u.Output || u.CacheWrite1h > u.CacheWrite {
			t.Fatalf("usage %+v, cost %d", u, rep.Cost)
		}
		if strings.Contains(fmt.Sprint(err, rep), testKey) {
			t.Fatalf("the key shows: %v, %+v", err, rep)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if acc, err := d.Budgets().Read(t.Context(), "s-1"); err != nil || len(acc.Open) != 0 || acc.Spent.Pico != rep.Cost {
			t.Fatalf("account %+v, %v; cost %d", acc, err, rep.Cost)
		}
	})
}
