package openalex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/text"
)

type request struct {
	path   string
	query  url.Values
	single bool    // one record: 404 means that there is none
	cost   float64 // dollars
}

// shown is the request without the fields that are always the same.
func (r request) shown() string {
	q := url.Values{}
	for k, v := range r.query {
		if k != "select" {
			q[k] = v
		}
	}
	if len(q) == 0 {
		return "GET " + r.path
	}
	return "GET " + r.path + "?" + q.Encode()
}

// gate remembers what makes every further request pointless for a while.
type gate struct {
	mu          sync.Mutex
	refusedKey  string
	refused     bool
	quotaUntil  time.Time
	remaining   float64 // dollars; known only if hasRemaining
	hasBudget   bool
	budgetReset time.Time
}

// verdict is what one try came to.
type verdict struct {
	failure *literature.Failure
	again   bool          // may be tried again
	once    bool          // but only once
	wait    time.Duration // before the next try; 0: the usual
}

// ask sends a request, three times at most, within a minute from the first one.
func (c *Client) ask(ctx context.Context, r request, tell literature.Tell) literature.Answer {
	out := literature.Answer{Request: r.shown()}
	if r.cost > 0 {
		out.CostUSD = strconv.FormatFloat(r.cost, 'f', -1, 64)
	}
	key := c.o.Key()
	if f := c.closed(key, r.cost); f != nil {
		out.Failure, out.CostUSD = f, ""
		return out
	}
	var begin time.Time
	for try := 1; ; try++ {
		if err := c.o.Pace.Wait(ctx, func(until time.Time) {
			tell(literature.Progress{Phase: "waiting for OpenAlex", Detail: "its rate allows one request at a time", Until: until})
		}); err != nil {
			out.Failure = &literature.Failure{Cause: literature.Timeout, Detail: "The wait for OpenAlex's rate was given up."}
			return out
		}
		if begin.IsZero() {
			begin = c.o.Clock.Now()
		}
		papers, total, v := c.try(ctx, r, key)
		if v.failure == nil {
			out.Papers, out.Total, out.Failure = papers, total, nil
			return out
		}
		out.Failure = v.failure
		wait := v.wait
		if wait == 0 {
			wait = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}[try-1]
		}
		late := c.o.Clock.Now().Add(wait).Sub(begin) > callLimit
		if !v.again || v.once && try > 1 || try == tries || wait > maxWait || late || ctx.Err() != nil {
			if wait > maxWait {
				out.Failure.RetryAfter = wait
			}
			out.CostUSD = ""
			return out
		}
		tell(literature.Progress{
			Phase:  "waiting for OpenAlex",
			Detail: fmt.Sprintf("%s; try %d of %d in %s", strings.TrimSuffix(v.failure.Detail, "."), try+1, tries, wait),
			Until:  c.o.Clock.Now().Add(wait),
		})
		if v.failure.Cause == literature.RateLimit {
			c.o.Pace.Pause(ctx, wait)
		}
		if c.o.Clock.Sleep(ctx, wait) != nil {
			return out
		}
	}
}

// closed says why a request need not be sent at all.
func (c *Client) closed(key string, cost float64) *literature.Failure {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	now := c.o.Clock.Now()
	if c.gate.refused && c.gate.refusedKey == key {
		return keyRefused(401)
	}
	if now.Before(c.gate.quotaUntil) {
		return spent(c.gate.quotaUntil.Sub(now), key != "")
	}
	if c.gate.hasBudget && cost > c.gate.remaining && now.Before(c.gate.budgetReset) {
		return spent(c.gate.budgetReset.Sub(now), key != "")
	}
	return nil
}

func keyRefused(status int) *literature.Failure {
	return &literature.Failure{Cause: literature.KeyRefused, Detail: fmt.Sprintf("OpenAlex refused %s (%d).", keyName, status)}
}

func spent(d time.Duration, keyed bool) *literature.Failure {
	what := "OpenAlex's free allowance for today is spent; a free " + keyName + " raises it"
	if keyed {
		what = "OpenAlex's allowance of this key for today is spent"
	}
	return &literature.Failure{Cause: literature.Quota, Detail: fmt.Sprintf("%s; back in %s.", what, d.Round(time.Minute)), RetryAfter: d}
}

func (c *Client) try(ctx context.Context, r request, key string) (papers papersOf, total int64, v verdict) {
	ctx, cancel := context.WithTimeout(ctx, c.o.TryLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.o.Base+r.path+"?"+r.query.Encode(), nil)
	if err != nil {
		return nil, 0, verdict{failure: &literature.Failure{Cause: literature.Rejected, Detail: "The request could not be written as an address."}}
	}
	req.Header.Set("User-Agent", c.o.Agent)
	req.Header.Set("Accept", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, c.broken(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, 0, c.broken(err)
	}
	c.account(res.Header)
	if len(body) > maxBody {
		return nil, 0, bad("its answer is longer than 10 MB")
	}
	if v := c.status(res, body, r, key); v != nil {
		return nil, 0, *v
	}
	if r.single && res.StatusCode == http.StatusNotFound {
		return nil, 0, verdict{}
	}
	papers, total, err = decode(body, r.single)
	if err != nil {
		return nil, 0, bad("its answer is not the JSON that was expected")
	}
	return papers, total, verdict{}
}

func bad(what string) verdict {
	return verdict{failure: &literature.Failure{Cause: literature.BadAnswer, Detail: "OpenAlex did not answer usefully: " + what + "."}, again: true}
}

// broken names what happened to a connection, without the address in it.
func (c *Client) broken(err error) verdict {
	f := &literature.Failure{Cause: literature.Outage, Detail: "The connection to OpenAlex broke."}
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		f.Detail = "OpenAlex's name cannot be looked up; is there a network?"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.Cause, f.Detail = literature.Timeout, fmt.Sprintf("OpenAlex sent nothing for %s.", c.o.TryLimit)
	case errors.Is(err, context.Canceled):
		f.Cause, f.Detail = literature.Timeout, "The request to OpenAlex was given up."
	case strings.Contains(err.Error(), "refused"):
		f.Detail = "Nothing listens at OpenAlex's address."
	case strings.Contains(err.Error(), "certificate"):
		f.Detail = "OpenAlex's certificate is not trusted."
	}
	return verdict{failure: f, again: true}
}

// message is the error text of a body, if it has one.
func message(body []byte) string {
	var e struct{ Error, Message any }
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return text.ClipRunes(text.OneLine(fmt.Sprint(e.Error, " ", e.Message)), 200)
}

// status judges the answer's code; nil means that the body is to be read.
func (c *Client) status(res *http.Response, body []byte, r request, key string) *verdict {
	said := message(body)
	switch code := res.StatusCode; {
	case code == http.StatusOK, code == http.StatusNotFound && r.single:
		return nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden && key != "":
		c.gate.mu.Lock()
		c.gate.refused, c.gate.refusedKey = true, key
		c.gate.mu.Unlock()
		return &verdict{failure: keyRefused(code)}
	case code == http.StatusForbidden:
		return &verdict{failure: &literature.Failure{Cause: literature.Outage, Detail: "OpenAlex refuses this address (403)."}, again: true, once: true}
	case strings.Contains(said, "Insufficient budget"):
		d := c.exhausted(res.Header, body)
		return &verdict{failure: spent(d, key != "")}
	case code == http.StatusTooManyRequests && strings.Contains(said, "Plan upgrade"), code == http.StatusBadRequest:
		return &verdict{failure: &literature.Failure{Cause: literature.Rejected, Detail: fmt.Sprintf("OpenAlex rejected the request (%d: %s).", code, scrub(said, key))}}
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		why := "OpenAlex limits this caller (%d)."
		if code == http.StatusServiceUnavailable {
			why = "OpenAlex sheds load (%d)."
		}
		return &verdict{
			failure: &literature.Failure{Cause: literature.RateLimit, Detail: fmt.Sprintf(why, code)}, again: true,
			wait: retryAfter(res.Header, c.o.Clock.Now()),
		}
	case code >= 300 && code < 400:
		v := bad("it points to another address")
		return &v
	}
	return &verdict{failure: &literature.Failure{Cause: literature.Outage, Detail: fmt.Sprintf("OpenAlex did not answer (%d).", res.StatusCode)}, again: true}
}

func scrub(s, key string) string {
	if key == "" {
		return s
	}
	return strings.ReplaceAll(s, key, "***")
}

// retryAfter reads the header: seconds or a date; 0 if there is none or it makes no sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 && n < 1e6 {
		return max(time.Duration(n*float64(time.Second)), time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		if at, err := http.ParseTime(h.Get("Date")); err == nil {
			now = at
		}
		return max(t.Sub(now), time.Second)
	}
	return 0
}

// exhausted closes the engine until its allowance is given anew.
func (c *Client) exhausted(h http.Header, body []byte) time.Duration {
	d := seconds(h.Get("X-RateLimit-Reset"))
	if d == 0 {
		d = retryAfter(h, c.o.Clock.Now())
	}
	if d == 0 {
		var e struct {
			RetryAfter float64 `json:"retryAfter"`
		}
		if json.Unmarshal(body, &e) == nil && e.RetryAfter > 0 && e.RetryAfter < 1e6 {
			d = time.Duration(e.RetryAfter * float64(time.Second))
		}
	}
	if d == 0 {
		d = time.Hour
	}
	c.gate.mu.Lock()
	c.gate.quotaUntil = c.o.Clock.Now().Add(d)
	c.gate.mu.Unlock()
	return d
}

func seconds(s string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || n <= 0 || n > 1e6 {
		return 0
	}
	return time.Duration(n * float64(time.Second))
}

// account keeps what the answer says is left of the allowance.
func (c *Client) account(h http.Header) {
	left, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(h.Get("X-RateLimit-Remaining-USD")), "$"), 64)
	if err != nil || left < 0 {
		return
	}
	reset := seconds(h.Get("X-RateLimit-Reset"))
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.hasBudget, c.gate.remaining, c.gate.budgetReset = true, left, c.o.Clock.Now().Add(reset)
}
