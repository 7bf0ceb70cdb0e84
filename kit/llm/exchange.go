package llm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxErrorBody = 64 << 10
	maxLine      = 8 << 20
	maxStream    = 64 << 20
)

// statusError is an answer that is no model's reply: another status than 200, or an error inside a 200.
type statusError struct {
	status int
	header http.Header
	body   []byte
	inside bool // within a 200: the request was accepted
}

func (e *statusError) Error() string { return fmt.Sprintf("the provider answered %d", e.status) }

// hangError says that a provider fell silent.
type hangError struct {
	after time.Duration
	first bool // no byte came at all
}

func (e *hangError) Error() string { return fmt.Sprintf("nothing came for %s", e.after) }

// garbageError is a 200 whose body is not what was asked for.
type garbageError struct{ what string }

func (e *garbageError) Error() string { return "the answer is " + e.what }

// outageError is a part beside the model's endpoint that does not work, such as a service of tokens.
type outageError struct{ said string }

func (e *outageError) Error() string { return e.said }

// exchange is one HTTP request of one try. It stands between a client and the network: it signs the request, reads the body
// itself, and turns whatever is not a sound stream into a typed error. For go-openai it also patches what that library cannot
// say.
type exchange struct {
	base   http.RoundTripper
	cred   credential
	set    map[string]any // fields of the body
	query  string         // of the address
	times  Times
	cancel context.CancelCauseFunc
	onData func(bytes int)

	body      []byte      // as it was sent
	sent      atomic.Bool // the whole request left
	started   time.Time
	firstByte time.Duration
	got       http.Header
	usage     json.RawMessage
	finish    string
	refusal   bool
	chars     int // of output received, with reasoning
}

// Do sends a request; it implements openai.HTTPDoer.
func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	body, err := x.patched(req)
	if err != nil {
		return nil, err
	}
	if x.query != "" {
		req.URL.RawQuery = x.query
	}
	resp, s, err := x.open(req, body)
	if err != nil {
		return nil, err
	}
	if !s.isStream(resp) {
		return s.whole(resp)
	}
	resp.Body = s.filtered()
	return resp, nil
}

const eventStream = "text/event-stream"

func mediaType(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind
}

// open sends a request and gives the watched body of an answer; every status but those of success is a statusError.
func (x *exchange) open(req *http.Request, body []byte) (*http.Response, *stream, error) {
	if err := x.cred.apply(req, body); err != nil { // before the trace: it may ask for a token
		return nil, nil, err
	}
	x.body = body
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { x.sent.Store(i.Err == nil) },
	})
	req = req.WithContext(ctx)
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	x.started = time.Now()
	first := time.AfterFunc(x.times.FirstByte, func() { x.cancel(&hangError{x.times.FirstByte, true}) })
	resp, err := x.base.RoundTrip(req)
	if err != nil {
		first.Stop()
		return nil, nil, cause(ctx, err)
	}
	x.got = resp.Header
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") { // nobody asked for it
		resp.Body = &unzipped{body: resp.Body}
	}
	if resp.StatusCode/100 != 2 {
		defer first.Stop()
		defer func() { _ = resp.Body.Close() }() // read as far as wanted
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		return nil, nil, &statusError{status: resp.StatusCode, header: resp.Header, body: b}
	}
	s := &stream{x: x, ctx: ctx, body: resp.Body, first: first}
	s.lines = bufio.NewReaderSize(s, 32<<10)
	return resp, s, nil
}

// says reports whether the request named a parameter.
func (x *exchange) says(param string) bool {
	switch param {
	case "context", "max_output", "prefill", "max_tokens", "max_completion_tokens": // of the request as a whole, or under either name
		return true
	}
	return bytes.Contains(x.body, []byte(`"`+param+`":`)) // within a text the quotes are escaped
}

// unzipped is a body that a proxy compressed all the same.
type unzipped struct {
	body io.ReadCloser
	zip  *gzip.Reader
}

// Read reads what was compressed.
func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil {
		z, err := gzip.NewReader(u.body)
		if err != nil {
			return 0, err
		}
		u.zip = z
	}
	return u.zip.Read(p)
}

// Close closes the body.
func (u *unzipped) Close() error { return u.body.Close() }

// cause prefers why a context was cancelled over what the network made of it.
func cause(ctx context.Context, err error) error {
	var hang *hangError
	if c := context.Cause(ctx); c != nil && errors.As(c, &hang) {
		return hang
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

func (x *exchange) patched(req *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := req.Body.Close(); err != nil {
		return nil, err
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	for k, v := range x.set {
		m[k] = v
	}
	return json.Marshal(m)
}

// newTransport is a client's transport with the door's limits: no redirects (RoundTrip follows none), no compression.
func newTransport(t Times) *http.Transport {
	d := &net.Dialer{Timeout: t.Connect, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, TLSHandshakeTimeout: t.Connect, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 64, MaxIdleConns: 256, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		MaxResponseHeaderBytes: 1 << 20,
	}
}
