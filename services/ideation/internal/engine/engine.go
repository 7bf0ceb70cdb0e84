// Package engine asks a literature engine over HTTP: at its rate, three times at most, and with the words in which all
// engines' failures are told. What an engine says in its own way is its Protocol.
package engine

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"nullius.dev/services/ideation/internal/limit"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
)

// Bounds of a request; literature.md section 1.
const (
	tries     = 3
	maxBody   = 10 << 20
	maxWait   = 30 * time.Second // that an engine may ask for
	tryLimit  = 30 * time.Second
	callLimit = 60 * time.Second // from the first slot on
)

// Gate lets requests through at the engine's rate; *limit.Limiter is one.
type Gate interface {
	Wait(ctx context.Context, a limit.Ask, tell func(limit.Place)) (limit.Done, error)
}

// Clock is time as the client sees it.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// System is the machine's clock.
type System struct{}

// Now is the time.
func (System) Now() time.Time { return time.Now() }

// Sleep waits, or ends with ctx.
func (System) Sleep(ctx context.Context, d time.Duration) error { return limit.Sleep(ctx, d) }

// Options are what a client needs; Base, Agent and Gate are required.
type Options struct {
	Base      string
	Agent     string        // the User-Agent header
	Key       func() string // the key as it is now; empty: none
	Gate      Gate
	Clock     Clock // nil: the machine's
	Transport http.RoundTripper
	TryLimit  time.Duration // of one try; 0: 30 s
}

// Protocol is what differs between engines.
type Protocol struct {
	Name    string // in requests: openalex
	Title   string // for people: OpenAlex
	KeyVar  string // the variable that holds the key; empty: there are no keys
	SetKey  func(h http.Header, key string)
	Limited string                                                                         // the sentence of a limit, without its full stop
	KeyHint string                                                                         // what to add to the sentence of a refused key
	Next    map[string]string                                                              // by cause, what to do
	Special func(code int, h http.Header, body []byte, now time.Time, keyed bool) *Verdict // looks at an answer first; nil: the common rules
	Account func(h http.Header) (remaining *float64, reset time.Duration)                  // what is left of the allowance; nil: not told
	Decode  func(body []byte, r Request) (papers []paper.Paper, total int64, v *Verdict)   // of an answer with status 200
	Accept  string
}

// Request is one request.
type Request struct {
	Path   string
	Query  url.Values
	Body   []byte   // not empty: POST, JSON
	Single bool     // of one record: 404 means that there is none
	Cost   float64  // dollars
	Hidden []string // parameters that are always the same and not shown
	IDs    []string // asked for, in their order
}

// Shown is the request as people are told of it; it holds no key.
func (r Request) Shown() string {
	method := "GET "
	if len(r.Body) > 0 {
		method = "POST "
	}
	q := url.Values{}
	for k, v := range r.Query {
		q[k] = v
	}
	for _, k := range r.Hidden {
		delete(q, k)
	}
	s := method + r.Path
	if len(q) > 0 {
		s += "?" + q.Encode()
	}
	return s
}

// Verdict is what one try came to.
type Verdict struct {
	Failure *literature.Failure // nil: there is none, and no paper
	Again   bool                // may be tried again
	Once    bool                // but only once
	Wait    time.Duration       // before the next try; 0: the usual
	Spent   bool                // the allowance is used up until Wait has passed
}

// Client asks one engine.
type Client struct {
	p    Protocol
	o    Options
	http *http.Client

	mu      sync.Mutex
	refused string // the key that was refused, with its first letter so that no key is one too
}

// New makes a client; it dials nothing.
func New(p Protocol, o Options) (*Client, error) {
	u, err := url.Parse(o.Base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%s: %q is no http address", p.Name, o.Base)
	}
	o.Base = strings.TrimRight(o.Base, "/")
	if o.Key == nil {
		o.Key = func() string { return "" }
	}
	if o.TryLimit <= 0 {
		o.TryLimit = tryLimit
	}
	if o.Clock == nil {
		o.Clock = System{}
	}
	return &Client{p: p, o: o, http: &http.Client{
		Transport:     o.Transport,
		CheckRedirect: stay,
	}}, nil
}

// stay follows an engine that points to another of its own addresses, as OpenAlex does for a record that was merged; to nobody else's, who would get
// the key.
func stay(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	if len(before) > 3 || next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Keyed reports whether there is a key.
func (c *Client) Keyed() bool { return c.o.Key() != "" }

// keyClosed reports whether this very key was refused.
func (c *Client) keyClosed(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return key != "" && c.refused == key
}

func (c *Client) closeKey(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = key
}

// fail makes a failure with the next step of its cause.
func (c *Client) fail(cause, format string, a ...any) *literature.Failure {
	return &literature.Failure{Cause: cause, Detail: fmt.Sprintf(format, a...), Next: c.next(cause)}
}

func (c *Client) next(cause string) string {
	if n := c.p.Next[cause]; n != "" {
		if !c.Keyed() {
			return n
		}
		if n = strings.TrimSuffix(n, ", or "+c.p.KeyVar); !strings.HasPrefix(n, c.p.KeyVar) {
			return n
		}
		return "--engine auto" // there is a key already
	}
	switch cause {
	case literature.KeyRefused, literature.KeyMissing, literature.Rejected:
		return "nullius doctor"
	}
	return "nullius status"
}
