// Package foreign plays a model with habits of its own behind an OpenAI-compatible API, for tests and benchmarks of whole studies.
package foreign

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Model answers by reading the prompt, wraps JSON in talk, breaks it now and then, sends an edit that fits nowhere and an experiment that crashes.
// The same prompt always gets the same answer. It is an HTTP handler; set its fields before it serves.
type Model struct {
	Latency time.Duration                              // before each answer
	Answer  func(all, last string) (kind, text string) // Play by default; kind is empty for a prompt that it does not know

	mu    sync.Mutex
	asked map[string]*prompt
}

// prompt is what became of one prompt.
type prompt struct {
	kind     string
	end      string // of the prompt
	requests int
	flying   int       // being answered now
	ended    time.Time // of the last answer
}

// digest is of results that hold times: papers name them, so prompts differ in them between runs.
var digest = regexp.MustCompile(`\b[0-9a-f]{8,64}\b`)

// New makes a model.
func New() *Model { return &Model{Answer: Play, asked: map[string]*prompt{}} }

// Repeats gives how many requests came for prompts that had been asked before, but for kinds that are meant to be asked alike more than once.
func (m *Model) Repeats(except ...string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, p := range m.asked {
		if !slices.Contains(except, p.kind) {
			n += p.requests - 1
		}
	}
	return n
}

// Counts gives the requests by prompt.
func (m *Model) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for id, p := range m.asked {
		out[id] = p.requests
	}
	return out
}

// Flying gives the prompts whose answers may not have been written down yet: being answered, or answered just before.
func (m *Model) Flying(within time.Duration) map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for id, p := range m.asked {
		if n := p.flying; n > 0 {
			out[id] = n
		} else if time.Since(p.ended) < within {
			out[id] = p.requests
		}
	}
	return out
}

// Reset forgets what was asked, and tells it.
func (m *Model) Reset() map[string]int {
	out := m.Counts()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = map[string]*prompt{}
	return out
}

// Calls gives the number of requests.
func (m *Model) Calls() int { return Total(m.Counts()) }

// Total adds counts up.
func Total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Describe tells which prompt it is.
func (m *Model) Describe(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.asked[id]
	return fmt.Sprintf("%s: %.200s", p.kind, p.end)
}

// Unknown gives the number of prompts that it did not know.
func (m *Model) Unknown() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.asked {
		if p.kind == "" {
			n++
		}
	}
	return n
}

// ServeHTTP answers a chat, streamed or whole.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		http.Error(w, `{"error":{"message":"not found"}}`, http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var req struct {
		Stream   bool
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &req); err != nil || len(req.Messages) == 0 {
		http.Error(w, `{"error":{"message":"bad request"}}`, http.StatusBadRequest)
		return
	}
	var all strings.Builder
	var last string
	for _, msg := range req.Messages {
		text := contentText(msg.Content)
		all.WriteString(msg.Role + ": " + text + "\n")
		last = text
	}
	sum := sha256.Sum256([]byte(digest.ReplaceAllString(all.String(), ""))) // papers name digests of results that hold times
	id := hex.EncodeToString(sum[:])
	kind, text := m.Answer(all.String(), last)
	defer m.begin(id, kind, last)()
	if m.Latency > 0 {
		select {
		case <-time.After(m.Latency):
		case <-r.Context().Done():
			return
		}
	}
	send(w, req.Stream, text)
}

// begin counts a request; what it returns ends it.
func (m *Model) begin(id, kind, text string) (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.asked[id]
	if p == nil {
		p = &prompt{kind: kind, end: text}
		m.asked[id] = p
	}
	p.requests++
	p.flying++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		p.flying--
		p.ended = time.Now()
	}
}

func contentText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var parts []struct{ Text string }
	_ = json.Unmarshal(raw, &parts) // another shape has no text
	for _, p := range parts {
		s += p.Text
	}
	return s
}

// Ends gives a reply that ends for another reason than "stop"; with "tool_calls" it holds a call of a tool and no text.
func Ends(reason, text string) string { return "\x00" + reason + "\x00" + text }

func send(w http.ResponseWriter, stream bool, text string) {
	reason, message := "stop", map[string]any{"role": "assistant"}
	if rest, ok := strings.CutPrefix(text, "\x00"); ok && strings.Contains(rest, "\x00") {
		reason, text, _ = strings.Cut(rest, "\x00")
	}
	message["content"] = text
	if reason == "tool_calls" {
		message["content"] = nil
		message["tool_calls"] = []any{map[string]any{"index": 0, "id": "call_1", "type": "function", "function": map[string]string{"name": "answer", "arguments": "{}"}}}
	}
	usage := map[string]int{"prompt_tokens": 100, "completion_tokens": len(text)/4 + 1, "total_tokens": 101 + len(text)/4}
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "x", "object": "chat.completion", "model": "foreign-1", "usage": usage,
			"choices": []any{map[string]any{"index": 0, "finish_reason": reason, "message": message}}})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	frame := func(choices []any, u any) {
		b, _ := json.Marshal(map[string]any{"id": "x", "object": "chat.completion.chunk", "model": "foreign-1", "choices": choices, "usage": u}) // always marshals
		_, _ = fmt.Fprintf(w, "data: %s\n\n", b)
	}
	frame([]any{map[string]any{"index": 0, "delta": message, "finish_reason": nil}}, nil)
	frame([]any{map[string]any{"index": 0, "delta": map[string]string{}, "finish_reason": reason}}, nil)
	frame([]any{}, usage)
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}
