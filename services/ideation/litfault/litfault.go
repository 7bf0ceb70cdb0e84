// Package litfault plays the literature engines on loopback: their answers in their own shapes, their errors and limits, by
// script. It serves tests, measurements and whoever wants to try the service without the engines.
//
// Shapes and errors follow the engines' public pages: https://api.semanticscholar.org/api-docs/graph,
// https://docs.openalex.org and https://info.arxiv.org/help/api/user-manual.html.
package litfault

import (
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Engines that are played; they are the first parts of paths.
const (
	SemanticScholar = "s2"
	OpenAlex        = "openalex"
	ArXiv           = "arxiv"
)

// Bodies with a meaning of their own.
const (
	Reset  = "<reset>"  // the connection is cut
	Cut    = "<cut>"    // cut in the middle of the answer
	Hang   = "<hang>"   // nothing comes
	Bomb   = "<bomb>"   // 12 MB out of a few KB
	Papers = "<papers>" // from the list, as without a script
)

// Step is one answer.
type Step struct {
	Status int // 0: 200
	Header map[string]string
	Body   string
	After  time.Duration
}

// Seen is a request as it came.
type Seen struct {
	At     time.Time
	Method string
	Path   string // less the engine
	Query  map[string][]string
	Header http.Header
	Body   string
	Status int
	Remote string
}

// Server plays the engines.
type Server struct {
	URL string

	http   *httptest.Server
	mu     sync.Mutex
	script map[string][]Step
	limit  map[string]time.Duration
	last   map[string]time.Time
	busy   map[string]int
	seen   map[string][]Seen
	papers []Paper
	search map[string]func(query string, limit int) []Paper
}

// New starts a server on a loopback port. Close stops it.
func New(papers ...Paper) *Server {
	s := &Server{
		script: map[string][]Step{}, limit: map[string]time.Duration{}, last: map[string]time.Time{}, busy: map[string]int{}, seen: map[string][]Seen{},
		papers: papers, search: map[string]func(string, int) []Paper{},
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Close stops the server, hanging answers too.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Base is the address that stands for an engine's.
func (s *Server) Base(engine string) string {
	if engine == ArXiv {
		return s.URL + "/" + engine + "/api/query"
	}
	return s.URL + "/" + engine
}

// Play answers an engine's requests in turn; the last step is repeated. No step: from the list of papers.
func (s *Server) Play(engine string, steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[engine] = steps
}

// Limit refuses what comes sooner than every after the last request that was let through, as the engine does; 0: nothing.
func (s *Server) Limit(engine string, every time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit[engine] = every
}

// Search replaces the search of an engine over the list.
func (s *Server) Search(engine string, find func(query string, limit int) []Paper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.search[engine] = find
}

// Seen lists the requests to an engine, in order.
func (s *Server) Seen(engine string) []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Seen(nil), s.seen[engine]...)
}

// Most is how many requests to an engine were under way at once.
func (s *Server) Most(engine string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[engine+" most"]
}

// ServeHTTP plays.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	engine, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	step, done := s.enter(engine, "/"+path, r)
	defer done()
	if step.After > 0 {
		select {
		case <-time.After(step.After):
		case <-r.Context().Done():
			return
		}
	}
	for k, v := range step.Header {
		w.Header().Set(k, v)
	}
	switch step.Body {
	case Reset:
		panic(http.ErrAbortHandler)
	case Hang:
		<-r.Context().Done()
	case Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"total":1,"data":[{"title":"A`)) // the client sees what is missing
	case Bomb:
		bomb(w)
	case Papers:
		s.answer(w, engine, "/"+path, r)
	default:
		w.WriteHeader(max(step.Status, 200))
		_, _ = w.Write([]byte(step.Body)) // a client that went away is none of ours
	}
}

// enter notes a request and says how it is answered.
func (s *Server) enter(engine, path string, r *http.Request) (Step, func()) {
	body := new(strings.Builder)
	if r.Body != nil {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(buf)
			body.Write(buf[:n])
			if err != nil || body.Len() > 1<<20 {
				break
			}
		}
	}
	host, port, _ := net.SplitHostPort(r.RemoteAddr)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	step := Step{Body: Papers}
	if script := s.script[engine]; len(script) > 0 {
		step = script[0]
		if len(script) > 1 {
			s.script[engine] = script[1:]
		}
	}
	if every := s.limit[engine]; every > 0 {
		if now.Sub(s.last[engine]) < every {
			step = Limited(engine)
		} else {
			s.last[engine] = now
		}
	}
	status := max(step.Status, 200)
	s.seen[engine] = append(s.seen[engine], Seen{
		At: now, Method: r.Method, Path: path, Query: r.URL.Query(), Header: r.Header.Clone(), Body: body.String(), Status: status, Remote: host + ":" + port,
	})
	s.busy[engine]++
	s.busy[engine+" most"] = max(s.busy[engine+" most"], s.busy[engine])
	r.Body = http.NoBody
	if body.Len() > 0 {
		r.Header.Set("X-Played-Body", body.String())
	}
	return step, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy[engine]--
	}
}

// Limited is how an engine refuses a request that comes too soon.
func Limited(engine string) Step {
	switch engine {
	case SemanticScholar: // no Retry-After
		return Step{Status: 429, Body: `{"message":"Too Many Requests. Please wait and try again or apply for a key for higher rate limits. https://www.semanticscholar.org/product/api#api-key-form","code":"429"}`}
	case OpenAlex:
		return Step{Status: 429, Header: map[string]string{"Retry-After": "1"}, Body: `{"error":"Rate limit exceeded","message":"Too many requests","retryAfter":1}`}
	}
	return Step{Status: 429, Body: "Rate exceeded."}
}

// Spent is how OpenAlex says that the allowance of the day is used up.
func Spent(seconds int) Step {
	return Step{Status: 429, Header: map[string]string{
		"Retry-After": fmt.Sprint(seconds), "X-RateLimit-Reset": fmt.Sprint(seconds), "X-RateLimit-Remaining-USD": "0", "X-RateLimit-Cost-USD": "0.001",
	}, Body: fmt.Sprintf(`{"error":"Rate limit exceeded","message":"Insufficient budget. This request costs $0.001 but you only have $0 remaining.","retryAfter":%d}`, seconds)}
}

// Rejected is arXiv's feed of an error.
const Rejected = `<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"><title>Error</title>
<opensearch:totalResults>1</opensearch:totalResults><entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_1234.12345</id>
<title>Error</title><summary>incorrect id format for 1234.12345</summary></entry></feed>`

func bomb(w http.ResponseWriter) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	chunk := make([]byte, 1<<20)
	for range 12 {
		if _, err := z.Write(chunk); err != nil {
			return
		}
	}
	_ = z.Close() // the client has seen enough
}
