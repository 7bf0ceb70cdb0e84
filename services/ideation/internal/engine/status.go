package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/text"
)

// Bad is the verdict on an answer that cannot be used.
func (c *Client) Bad(what string) Verdict { return BadAnswer(c.p.Title, what) }

// BadAnswer is the verdict on an answer of an engine that cannot be used.
func BadAnswer(title, what string) Verdict {
	return Verdict{Failure: &literature.Failure{
		Cause: literature.BadAnswer, Detail: title + " did not answer usefully: " + what + ".", Next: "nullius status",
	}, Again: true}
}

// broken names what happened to a connection, without the address in it.
func (c *Client) broken(err error) Verdict {
	f := c.fail(literature.Outage, "The connection to %s broke.", c.p.Title)
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		f.Detail, f.Next = c.p.Title+"'s name cannot be looked up; is there a network?", "--engine local"
	case errors.Is(err, context.Canceled):
		f.Cause, f.Detail = literature.Timeout, "The request to "+c.p.Title+" was given up."
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.Cause, f.Detail = literature.Timeout, fmt.Sprintf("%s did not answer within %s.", c.p.Title, c.o.TryLimit)
	case strings.Contains(err.Error(), "refused"):
		f.Detail = "Nothing listens at " + c.p.Title + "'s address."
	case strings.Contains(err.Error(), "certificate"):
		f.Detail, f.Next = c.p.Title+"'s certificate is not trusted.", "nullius doctor"
	}
	return Verdict{Failure: f, Again: true}
}

// Message is the error text of a JSON body, if it has one.
func Message(body []byte) string {
	var e struct{ Error, Message any }
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	var parts []string
	for _, p := range []any{e.Error, e.Message} {
		if p != nil {
			parts = append(parts, fmt.Sprint(p))
		}
	}
	return text.ClipRunes(text.OneLine(strings.Join(parts, ": ")), 200)
}

func (c *Client) keyRefused(code int) *literature.Failure {
	said := ""
	if code != 0 {
		said = fmt.Sprintf(" (%d)", code)
	}
	return c.fail(literature.KeyRefused, "%s refused %s%s%s.", c.p.Title, c.p.KeyVar, said, c.p.KeyHint)
}

// status judges the answer's code; nil means that the body is to be read.
func (c *Client) status(res *http.Response, body []byte, r Request, key string) *Verdict {
	now, code := c.o.Clock.Now(), res.StatusCode
	if c.p.Special != nil {
		if v := c.p.Special(code, res.Header, body, now, key != ""); v != nil {
			return c.completed(v, key)
		}
	}
	switch {
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotFound && r.Single:
		return &Verdict{}
	case code == http.StatusUnauthorized && c.p.KeyVar != "" && key == "":
		f := c.fail(literature.KeyMissing, "%s wants a key (401), and %s is not set.", c.p.Title, c.p.KeyVar)
		f.Next = "export " + c.p.KeyVar + "=…"
		return &Verdict{Failure: f}
	case code == http.StatusUnauthorized && c.p.KeyVar != "", code == http.StatusForbidden && key != "":
		c.closeKey(key)
		return &Verdict{Failure: c.keyRefused(code)}
	case code == http.StatusForbidden:
		return &Verdict{Failure: c.fail(literature.Outage, "%s refuses this address (403).", c.p.Title), Again: true, Once: true}
	case code == http.StatusBadRequest, code == http.StatusRequestURITooLong, code == http.StatusUnprocessableEntity:
		said := Message(body)
		if said != "" {
			said = ": " + said
		}
		return &Verdict{Failure: c.fail(literature.Rejected, "%s rejected the request (%d%s).", c.p.Title, code, said)}
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return &Verdict{Failure: c.limited(code, key), Again: true, Wait: RetryAfter(res.Header, now)}
	case code >= 300 && code < 400:
		v := c.Bad("it points to another address")
		return &v
	}
	return &Verdict{Failure: c.fail(literature.Outage, "%s did not answer (%d).", c.p.Title, code), Again: true}
}

func (c *Client) limited(code int, key string) *literature.Failure {
	switch {
	case code == http.StatusServiceUnavailable:
		return c.fail(literature.RateLimit, "%s sheds load (503).", c.p.Title)
	case key != "":
		return c.fail(literature.RateLimit, "%s limits this key (%d).", c.p.Title, code)
	}
	return c.fail(literature.RateLimit, "%s (%d).", c.p.Limited, code)
}

// completed adds the next step to a protocol's own verdict.
func (c *Client) completed(v *Verdict, key string) *Verdict {
	if f := v.Failure; f != nil {
		if f.Next == "" {
			f.Next = c.next(f.Cause)
		}
		if v.Spent {
			f.Detail = fmt.Sprintf("%s; back in %s.", c.spent(key != ""), human(v.Wait))
			f.RetryAfter = v.Wait
		}
	}
	return v
}

// RetryAfter reads the header: seconds or a date, at least a second; 0 if there is none or it makes no sense.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 && n < 1e6 {
		return max(time.Duration(n*float64(time.Second)), time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		if at, err := http.ParseTime(h.Get("Date")); err == nil {
			now = at // the engine's clock, not ours
		}
		return max(t.Sub(now), time.Second)
	}
	return 0
}

// Seconds reads a header of seconds; 0 if there is none or it makes no sense.
func Seconds(s string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || n <= 0 || n > 1e6 {
		return 0
	}
	return time.Duration(n * float64(time.Second))
}
