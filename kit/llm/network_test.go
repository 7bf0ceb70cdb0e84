package llm_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// wire is a server below HTTP: serve has each connection once the first bytes of a request came, or at once if early.
func wire(t *testing.T, early bool, serve func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }() // the client may have closed it
				if !early {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
						return
					}
				}
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

// drip writes s again and again until the client goes away.
func drip(c net.Conn, s string) {
	for {
		if _, err := io.WriteString(c, s); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestDoor_Chat_over_broken_connections: what a connection does below and between the replies, its cause, and whether it may have been paid for.
func TestDoor_Chat_over_broken_connections(t *testing.T) {
	first := "data: " + llmfault.Chunk("hel").Data + "\n\n"
	for name, tc := range map[string]struct {
		early          bool
		serve          func(c net.Conn)
		cause, say     string
		paid           bool
		times          func(*llm.Times)
		forgiveMessage bool
	}{
		"closed without an answer": {serve: func(net.Conn) {}, cause: "OUTAGE", say: "broke its stream off", paid: true},
		"closed at once":           {early: true, serve: func(net.Conn) {}, cause: "OUTAGE", say: ", 2 times", forgiveMessage: true},
		"reset in the body": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, streamHead+first)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, cause: "OUTAGE", say: "broke its stream off", paid: true},
		"no HTTP":           {serve: func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n") }, cause: "OUTAGE", say: "broke its stream off", paid: true},
		"a head that drips": {serve: func(c net.Conn) { drip(c, "X") }, cause: "TIMEOUT", say: "sent nothing for 200 ms", paid: true, times: func(t *llm.Times) { t.FirstByte = 200 * time.Millisecond }},
		"an error that drips": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 Oops\r\n\r\n")
			drip(c, "x")
		}, cause: "OUTAGE", say: "fails (500, 2 tries", times: func(t *llm.Times) { t.FirstByte = 200 * time.Millisecond }},
		"keep-alives for ever": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, streamHead+first)
			drip(c, ": wait\n\n")
		}, cause: "TIMEOUT", say: "sent nothing for 200 ms", paid: true, times: func(t *llm.Times) { t.KeepAlive = 200 * time.Millisecond }},
		"a frame that drips": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, streamHead+`data: {"choices":[{"index":0,"delta":{"content":"`)
			drip(c, "x")
		}, cause: "TIMEOUT", say: "sent nothing for 200 ms", paid: true, times: func(t *llm.Times) { t.KeepAlive = 200 * time.Millisecond }},
		"text for ever": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, streamHead)
			drip(c, first)
		}, cause: "TIMEOUT", say: "did not end its answer in time", paid: true, times: func(t *llm.Times) { t.Try = 300 * time.Millisecond }},
		"a chunk that lies": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"+first)
		}, cause: "OUTAGE", say: "broke its stream off", paid: true},
		"more than any reply": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, streamHead)
			pad := ": " + strings.Repeat("x", 1<<20) + "\n"
			for range 66 {
				if _, err := io.WriteString(c, pad); err != nil {
					return
				}
			}
		}, cause: "OUTAGE", say: "answered with larger than 64 MiB", paid: true},
		"a head of megabytes": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Pad: "+strings.Repeat("x", 2<<20)+"\r\n\r\n")
		}, cause: "OUTAGE", say: "broke its stream off", paid: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &llmfault.Server{URL: "http://" + wire(t, tc.early, tc.serve) + "/v1"}
			d := lab(t, s, func(c *llm.Config, _ *llm.Deps) {
				c.Times.Tries = 2
				if tc.times != nil {
					tc.times(&c.Times)
				}
			})
			_, err := d.Chat(t.Context(), ask("Say."))
			f, ok := fault.As(err)
			if !ok || f.Reason != "PROVIDER_UNAVAILABLE" || f.Meta["cause"] != tc.cause || !strings.Contains(f.Message, tc.say) || fault.RetryAfterOf(err) <= 0 {
				t.Fatalf("got %v, cause %q", err, f.Meta["cause"])
			}
			acc, err := d.Budgets().Read(t.Context(), "s-1")
			if err != nil || len(acc.Open) != 0 || acc.Spent.Tokens != 0 {
				t.Errorf("account %+v, %v", acc, err)
			}
			if !tc.forgiveMessage && ((acc.Possibly.Pico > 0) != tc.paid || strings.Contains(f.Message, "(possibly paid)") != tc.paid) {
				t.Errorf("possibly paid: %+v; said %q", acc.Possibly, f.Message)
			}
		})
	}
}

// frame2 is a frame of HTTP/2: https://www.rfc-editor.org/rfc/rfc9113#section-4.1
func frame2(kind, flags byte, stream uint32, payload string) string {
	head := []byte{0, 0, 0, kind, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8)
	head[3] = kind
	binary.BigEndian.PutUint32(head[5:], stream)
	return string(head) + payload
}

// TestDoor_Chat_over_HTTP2_that_goes_away: a server that shuts down in the middle of a reply is a cut, and one that did not look at the request is asked again.
func TestDoor_Chat_over_HTTP2_that_goes_away(t *testing.T) {
	const headers, data, settings, goaway = 1, 0, 4, 7
	var whole strings.Builder
	for _, e := range llmfault.Answer("hello").Events {
		whole.WriteString("data: " + e.Data + "\n\n")
	}
	good := frame2(headers, 4, 1, "\x88") + frame2(data, 1, 1, whole.String())
	for name, tc := range map[string]struct {
		reply string // on the first connection; the answer comes on the next
		tries int    // that the ledger knows
		lost  bool
	}{
		"in a reply": {frame2(headers, 4, 1, "\x88") + frame2(data, 0, 1, "data: "+llmfault.Chunk("hel").Data+"\n\n") + frame2(goaway, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x00"), 2, true},
		"before it":  {frame2(goaway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			addr := wire(t, true, func(c net.Conn) {
				_, _ = io.WriteString(c, frame2(settings, 0, 0, ""))
				buf := make([]byte, 64<<10)
				for got := 0; got < 24+9+9+9; { // the preface, its settings, and something of the request
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					got += n
				}
				time.Sleep(20 * time.Millisecond)
				if calls.Add(1) == 1 {
					_, _ = io.WriteString(c, tc.reply)
				} else {
					_, _ = io.WriteString(c, good)
				}
				time.Sleep(20 * time.Millisecond)
			})
			two := new(http.Protocols)
			two.SetUnencryptedHTTP2(true)
			tr := &http.Transport{Protocols: two}
			t.Cleanup(tr.CloseIdleConnections)
			d := lab(t, &llmfault.Server{URL: "http://" + addr + "/v1"}, func(_ *llm.Config, d *llm.Deps) { d.Transport = tr })
			rep, err := d.Chat(t.Context(), ask("Say."))
			if err != nil || rep.Text != "hello" || rep.PossiblyPaid != tc.lost {
				t.Fatalf("got %+v, %v", rep, err)
			}
			entries, err := d.Ledger().List(t.Context(), "s-1", "")
			if err != nil || len(entries) != 1 || entries[0].Tries != tc.tries {
				t.Errorf("got %+v, %v; want %d tries", entries, err, tc.tries)
			}
		})
	}
}

// dialer fails before any byte leaves.
type dialer struct{ err error }

func (d dialer) RoundTrip(*http.Request) (*http.Response, error) { return nil, d.err }

// TestDoor_Chat_that_reaches_nobody: nothing was sent, so nothing is booked.
func TestDoor_Chat_that_reaches_nobody(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, tc := range map[string]struct {
		err        error
		cause, say string
	}{
		"no such name":           {op(&net.DNSError{Err: "no such host", Name: "api.lab.test", IsNotFound: true}), "OUTAGE", "Lab cannot be found: no address for api.lab.test, 2 times; the idea goes on by itself"},
		"a resolver that is out": {op(&net.DNSError{Err: "i/o timeout", Name: "api.lab.test", IsTimeout: true}), "OUTAGE", "Lab cannot be found: no address for api.lab.test, 2 times; the idea goes on by itself"},
		"no route":               {op(errors.New("connect: no route to host")), "OUTAGE", "Lab cannot be reached, 2 times; the idea goes on by itself"},
		"a proxy that is out":    {&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("no route to host")}, "OUTAGE", "Lab cannot be reached through the proxy that HTTPS_PROXY or HTTP_PROXY names, 2 times"},
		"a proxy with a lock":    {errors.New("Proxy Authentication Required"), "OUTAGE", "Lab cannot be reached through the proxy that HTTPS_PROXY or HTTP_PROXY names, 2 times"},
		"a slow handshake":       {errors.New("net/http: TLS handshake timeout"), "OUTAGE", "Lab cannot be reached, 2 times; the idea goes on by itself"},
		"no common version":      {op(tls.AlertError(70)), "TLS", "and this machine agree on no TLS: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t)
			d := lab(t, s, func(c *llm.Config, d *llm.Deps) { c.Times.Tries, d.Transport = 2, dialer{tc.err} })
			_, err := d.Chat(t.Context(), ask("Say."))
			f, ok := fault.As(err)
			if !ok || f.Reason != "PROVIDER_UNAVAILABLE" || f.Meta["cause"] != tc.cause || !strings.Contains(f.Message, tc.say) {
				t.Errorf("got %v", err)
			}
			if acc, err := d.Budgets().Read(t.Context(), "s-1"); err != nil || acc.Used().Pico != 0 || len(acc.Open) != 0 {
				t.Errorf("account %+v, %v", acc, err)
			}
		})
	}
}

// TestDoor_Chat_tells_a_certificate_from_a_handshake: a name that is not the server's, and a server that wants a certificate of ours.
func TestDoor_Chat_tells_a_certificate_from_a_handshake(t *testing.T) {
	open := func(ask tls.ClientAuthType) (*httptest.Server, *http.Transport) {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{ClientAuth: ask}
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // failed handshakes are meant
		s.StartTLS()
		t.Cleanup(s.Close)
		tr := s.Client().Transport.(*http.Transport).Clone()
		t.Cleanup(tr.CloseIdleConnections)
		return s, tr
	}
	wants, tr := open(tls.RequireAnyClientCert)
	other, tr2 := open(tls.NoClientCert)
	tr2.TLSClientConfig.ServerName = "elsewhere.test"
	for say, tc := range map[string]struct {
		url string
		tr  *http.Transport
	}{
		wants.URL + " and this machine agree on no TLS: ":        {wants.URL, tr},
		"the certificate of " + other.URL + " is not trusted: x": {other.URL, tr2},
	} {
		d := lab(t, &llmfault.Server{URL: tc.url + "/v1"}, func(_ *llm.Config, d *llm.Deps) { d.Transport = tc.tr })
		_, err := d.Chat(t.Context(), ask("Say."))
		if f, ok := fault.As(err); !ok || f.Meta["cause"] != "TLS" || !strings.HasPrefix(f.Message, say) || f.Next != "nullius doctor" {
			t.Errorf("got %v, want %s", err, say)
		}
	}
}

// TestDoor_Chat_follows_no_redirect: the key would go to wherever it points.
func TestDoor_Chat_follows_no_redirect(t *testing.T) {
	target := llmfault.New(t, llmfault.Answer("stolen"))
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := llmfault.New(t, llmfault.Play{Status: code}.With("Location", target.URL+"/chat/completions"))
		_, err := lab(t, s).Chat(t.Context(), ask("Say."))
		checkFault(t, err, fault.Precondition, "PROVIDER_REJECTED", fmt.Sprintf("Lab rejected the request (%d: a redirect, which is not followed)", code), "nullius models test lab/m-1")
	}
	if target.Count() != 0 {
		t.Errorf("%d requests went on", target.Count())
	}
}
