// Package llmfault is a model provider that behaves as badly as it is told to: an HTTP server on loopback that plays the
// shapes, streams, errors and headers of OpenAI-compatible endpoints by script, and counts what it was asked.
package llmfault

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Play is the answer to one request.
type Play struct {
	Status int               // 0: 200
	Header map[string]string // beside the content type
	Type   string            // content type; empty: an event stream if there are events, else JSON
	Body   string
	Events []Event
	Hang   bool            // nothing comes until the client goes away
	Wait   <-chan struct{} // held until it closes
}

// Event is a piece of a stream.
type Event struct {
	Data  string        // a data line
	Raw   string        // bytes as they are
	Pause time.Duration // before it
	Hang  bool          // nothing more comes, the connection stays
	Reset bool          // the connection breaks
}

// Request is what came in.
type Request struct {
	Path   string
	Query  string
	Header http.Header
	Body   map[string]any
	Raw    string
}

// Server plays a script.
type Server struct {
	URL string // ends in /v1
	srv *httptest.Server

	mu       sync.Mutex
	plays    []Play
	choose   func(Request) Play
	requests []Request
	list     *Play // of GET /models; nil: a 404
}

// New starts a server. Each request takes the next play; the last one is repeated.
func New(t testing.TB, plays ...Play) *Server {
	s := start(t, httptest.NewServer)
	s.plays = plays
	return s
}

// NewTLS starts a server with a certificate that nobody trusts.
func NewTLS(t testing.TB, plays ...Play) *Server {
	s := start(t, httptest.NewTLSServer)
	s.plays = plays
	return s
}

// NewFunc starts a server that chooses its plays by request.
func NewFunc(t testing.TB, choose func(Request) Play) *Server {
	s := start(t, httptest.NewServer)
	s.choose = choose
	return s
}

func start(t testing.TB, open func(http.Handler) *httptest.Server) *Server {
	s := &Server{}
	s.srv = open(http.HandlerFunc(s.serve))
	s.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are meant
	s.URL = s.srv.URL + "/v1"
	t.Cleanup(func() {
		s.srv.CloseClientConnections()
		s.srv.Close()
	})
	return s
}

// Models sets the ids that GET /models lists; without it that is a 404.
func (s *Server) Models(ids ...string) {
	var list []map[string]string
	for _, id := range ids {
		list = append(list, map[string]string{"id": id, "object": "model"})
	}
	b, _ := json.Marshal(map[string]any{"object": "list", "data": list}) // strings always marshal
	s.List(Play{Body: string(b)})
}

// List sets the answer to GET /models.
func (s *Server) List(p Play) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = &p
}

// Requests lists the chats asked for so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count is the number of chats asked for so far.
func (s *Server) Count() int { return len(s.Requests()) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/models") {
		s.mu.Lock()
		list := s.list
		s.mu.Unlock()
		if list == nil {
			list = &Play{Status: http.StatusNotFound, Body: `{"error":{"message":"not found"}}`}
		}
		s.play(w, r, *list)
		return
	}
	raw, _ := io.ReadAll(r.Body) // a client that goes away is part of the game
	req := Request{Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Raw: string(raw)}
	_ = json.Unmarshal(raw, &req.Body)
	s.play(w, r, s.next(req))
}

func (s *Server) next(req Request) Play {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.requests)
	s.requests = append(s.requests, req)
	if s.choose != nil {
		return s.choose(req)
	}
	return s.plays[min(n, len(s.plays)-1)]
}

func (s *Server) play(w http.ResponseWriter, r *http.Request, p Play) {
	if p.Wait != nil {
		select {
		case <-p.Wait:
		case <-r.Context().Done():
			return
		}
	}
	if p.Hang {
		<-r.Context().Done()
		return
	}
	kind := p.Type
	if kind == "" {
		kind = "application/json"
		if len(p.Events) > 0 {
			kind = "text/event-stream"
		}
	}
	w.Header().Set("Content-Type", kind)
	for k, v := range p.Header {
		w.Header().Set(k, v)
	}
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	_, _ = io.WriteString(w, p.Body)
	for _, e := range p.Events {
		if !s.event(w, r, e) {
			return
		}
	}
}

func (s *Server) event(w http.ResponseWriter, r *http.Request, e Event) bool {
	if e.Pause > 0 {
		select {
		case <-time.After(e.Pause):
		case <-r.Context().Done():
			return false
		}
	}
	switch {
	case e.Hang:
		<-r.Context().Done()
		return false
	case e.Reset:
		panic(http.ErrAbortHandler)
	case e.Raw != "":
		_, _ = io.WriteString(w, e.Raw)
	default:
		_, _ = fmt.Fprintf(w, "data: %s\n\n", e.Data)
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	return true
}

// Chunk is a frame with a piece of text.
func Chunk(text string) Event {
	return Event{Data: fmt.Sprintf(`{"id":"chat-1","object":"chat.completion.chunk","model":"served-1","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`, quote(text))}
}

// Finish is the frame that ends a reply.
func Finish(reason string) Event {
	return Event{Data: fmt.Sprintf(`{"id":"chat-1","object":"chat.completion.chunk","model":"served-1","choices":[{"index":0,"delta":{},"finish_reason":%s}]}`, quote(reason))}
}

// Usage is the frame with the counts.
func Usage(prompt, completion int) Event {
	return Event{Data: fmt.Sprintf(`{"id":"chat-1","object":"chat.completion.chunk","model":"served-1","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`, prompt, completion, prompt+completion)}
}

// Done is the line after the last frame.
func Done() Event { return Event{Data: "[DONE]"} }

// Stream is a play of events.
func Stream(events ...Event) Play { return Play{Events: events} }

// Answer streams a sound reply of 100 tokens in and 10 out.
func Answer(text string) Play {
	half := len(text) / 2
	for half > 0 && text[half]&0xc0 == 0x80 {
		half--
	}
	return Stream(Chunk(text[:half]), Chunk(text[half:]), Finish("stop"), Usage(100, 10), Done())
}

// Error is an error in OpenAI's shape.
func Error(status int, code, message string) Play {
	return Play{Status: status, Body: fmt.Sprintf(`{"error":{"message":%s,"type":"error","param":null,"code":%s}}`, quote(message), quote(code))}
}

// Param is a refused parameter in OpenAI's shape.
func Param(param, message string) Play {
	return Play{Status: 400, Body: fmt.Sprintf(`{"error":{"message":%s,"type":"invalid_request_error","param":%s,"code":"unsupported_parameter"}}`, quote(message), quote(param))}
}

// With adds a header.
func (p Play) With(key, value string) Play {
	h := map[string]string{key: value}
	for k, v := range p.Header {
		h[k] = v
	}
	p.Header = h
	return p
}

func quote(s string) string {
	b, _ := json.Marshal(s) // strings always marshal
	return string(b)
}
