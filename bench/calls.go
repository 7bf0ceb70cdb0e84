package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// call is one request to the model and when it was under way.
type call struct {
	begin, end time.Time
	prompt     string // roles and texts in order: what a provider reads from its start
}

// recorder keeps what the model behind it is asked.
type recorder struct {
	next  http.Handler
	texts bool // keep prompts

	mu    sync.Mutex
	calls []*call
	sent  int64 // bytes of prompts
}

func (c *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Method != http.MethodPost {
		c.next.ServeHTTP(w, r)
		return
	}
	at := &call{begin: time.Now()}
	text := promptOf(body)
	c.mu.Lock()
	if c.texts {
		at.prompt = text
	}
	c.calls, c.sent = append(c.calls, at), c.sent+int64(len(text))
	c.mu.Unlock()
	c.next.ServeHTTP(w, r)
	c.mu.Lock()
	at.end = time.Now()
	c.mu.Unlock()
}

// all gives the calls by their beginnings.
func (c *recorder) all() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]call, 0, len(c.calls))
	for _, p := range c.calls {
		out = append(out, *p)
	}
	slices.SortStableFunc(out, func(a, b call) int { return a.begin.Compare(b.begin) })
	return out
}

func (c *recorder) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent
}

// promptOf puts the messages of a chat one after the other.
func promptOf(body []byte) string {
	var req struct {
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if json.Unmarshal(body, &req) != nil {
		return string(body)
	}
	var out bytes.Buffer
	for _, m := range req.Messages {
		out.WriteString(m.Role + "\n")
		var s string
		if json.Unmarshal(m.Content, &s) != nil {
			s = string(m.Content) // parts: text and images
		}
		out.WriteString(s + "\n")
	}
	return out.String()
}

// inARow is the longest chain of calls of which each began after the one before had ended: what a model's latency is paid for.
func inARow(calls []call) int {
	byEnd := slices.Clone(calls)
	slices.SortFunc(byEnd, func(a, b call) int { return a.end.Compare(b.end) })
	n, free := 0, time.Time{}
	for _, c := range byEnd {
		if !c.begin.Before(free) {
			n, free = n+1, c.end
		}
	}
	return n
}
