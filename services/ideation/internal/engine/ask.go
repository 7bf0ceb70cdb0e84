package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/limit"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
)

// Ask sends a request, three times at most, within a minute from the first one.
func (c *Client) Ask(ctx context.Context, r Request, call literature.Call) literature.Answer {
	return c.AskLate(ctx, r.Cost, call, func() (Request, bool) { return r, true })
}

// AskLate is Ask with a request that is made up when its turn has come; without one nothing is asked.
func (c *Client) AskLate(ctx context.Context, cost float64, call literature.Call, compose func() (Request, bool)) literature.Answer {
	var out literature.Answer
	var r Request
	var begin time.Time
	for try := 1; ; try++ {
		key := c.o.Key()
		if c.keyClosed(key) {
			out.Failure = c.keyRefused(0)
			return out
		}
		done, err := c.o.Gate.Wait(ctx, limit.Ask{Lane: call.Lane, First: try > 1, Cost: cost, Patient: call.Patient}, c.place(call.Tell))
		if err != nil {
			if try == 1 || out.Failure == nil {
				out.Failure = c.waited(err, key != "")
			}
			return out
		}
		if try == 1 {
			var ok bool
			if r, ok = compose(); !ok {
				done(ctx, limit.Result{})
				return out
			}
			begin, out.Request = c.o.Clock.Now(), r.Shown()
		}
		call.Tell(literature.Progress{Phase: "asking " + c.p.Title})
		papers, total, h, v := c.try(ctx, r, key)
		wait := v.Wait
		if wait == 0 {
			wait = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}[try-1]
		}
		late := c.o.Clock.Now().Add(wait).Sub(begin) > callLimit
		last := !v.Again || v.Once && try > 1 || try == tries || wait > maxWait || late || ctx.Err() != nil
		done(ctx, c.result(ctx, h, v, wait, last))
		if v.Failure == nil {
			out.Papers, out.Total, out.Failure = papers, total, nil
			if r.Cost > 0 {
				out.CostUSD = strconv.FormatFloat(r.Cost, 'f', -1, 64)
			}
			return out
		}
		out.Failure = v.Failure
		if last {
			c.conclude(out.Failure, v, wait, try)
			return out
		}
		call.Tell(literature.Progress{
			Phase:  "waiting for " + c.p.Title,
			Detail: fmt.Sprintf("%s; try %d of %d in %s.", strings.TrimSuffix(v.Failure.Detail, "."), try+1, tries, wait),
			Until:  c.o.Clock.Now().Add(wait),
		})
		if c.o.Clock.Sleep(ctx, wait) != nil {
			return out
		}
	}
}

// conclude says of a failure how often it was tried, and when it is worth trying again.
func (c *Client) conclude(f *literature.Failure, v Verdict, wait time.Duration, tried int) {
	if wait > maxWait && v.Wait > 0 {
		f.RetryAfter = wait
		if !v.Spent {
			f.Detail = fmt.Sprintf("%s and asks to wait %s.", strings.TrimSuffix(f.Detail, "."), human(wait))
		}
	}
	if tried > 1 && v.Again {
		d := strings.TrimSuffix(f.Detail, ".")
		if strings.HasSuffix(d, ")") {
			f.Detail = fmt.Sprintf("%s, %d tries).", d[:len(d)-1], tried)
		} else {
			f.Detail = fmt.Sprintf("%s (%d tries).", d, tried)
		}
	}
}

// place tells where in the queue a caller stands.
func (c *Client) place(tell literature.Tell) func(limit.Place) {
	return func(p limit.Place) {
		phase := "waiting for " + c.p.Title
		if p.Ahead > 0 {
			phase = "queued for " + c.p.Title
		}
		tell(literature.Progress{Phase: phase, Detail: p.Why, Until: p.Until})
	}
}

// waited says why a request was not let through.
func (c *Client) waited(err error, keyed bool) *literature.Failure {
	var closed *limit.Closed
	switch {
	case errors.As(err, &closed) && closed.Quota:
		f := c.fail(literature.Quota, "%s; back in %s.", c.spent(keyed), human(closed.For))
		f.RetryAfter = closed.For
		return f
	case errors.As(err, &closed) && closed.Asked:
		f := c.fail(literature.RateLimit, "%s asked to be left alone for %s.", c.p.Title, human(closed.For))
		f.RetryAfter = closed.For
		return f
	case errors.As(err, &closed):
		f := c.fail(literature.Outage, "%s failed several times in a row and is left alone for %s.", c.p.Title, human(closed.For))
		f.RetryAfter = closed.For
		return f
	case errors.Is(err, limit.ErrQueue):
		return c.fail(literature.RateLimit, "The queue for %s was longer than its limit of 5 min.", c.p.Title)
	}
	return c.fail(literature.Timeout, "The wait for %s was given up.", c.p.Title)
}

func (c *Client) spent(keyed bool) string {
	if keyed {
		return c.p.Title + "'s allowance of this key for today is spent"
	}
	return c.p.Title + "'s free $0.10 for today is spent"
}

// human is a duration as people say it.
func human(d time.Duration) string {
	d = d.Round(time.Second)
	switch h, m := int(d.Hours()), int(d.Minutes())%60; {
	case d < time.Minute:
		return d.String()
	case h == 0:
		return fmt.Sprintf("%d min", m)
	case m == 0:
		return fmt.Sprintf("%d h", h)
	default:
		return fmt.Sprintf("%d h %d min", h, m)
	}
}

// result is what the gate is told of a try.
func (c *Client) result(ctx context.Context, h http.Header, v Verdict, wait time.Duration, last bool) limit.Result {
	var r limit.Result
	if c.p.Account != nil && h != nil {
		r.Remaining, r.Reset = c.p.Account(h)
	}
	if v.Spent {
		r.Spent, r.Reset = true, v.Wait
		return r
	}
	if v.Failure == nil {
		r.Outcome = limit.Good
		return r
	}
	if v.Failure.Cause == literature.RateLimit {
		r.Pause = min(wait, 24*time.Hour)
	}
	if !last || ctx.Err() != nil {
		return r
	}
	switch v.Failure.Cause {
	case literature.RateLimit:
		r.Outcome = limit.Limited
	case literature.Outage, literature.Timeout, literature.BadAnswer:
		r.Outcome = limit.Broken
	}
	return r
}

func (c *Client) try(ctx context.Context, r Request, key string) ([]paper.Paper, int64, http.Header, Verdict) {
	ctx, cancel := context.WithTimeout(ctx, c.o.TryLimit)
	defer cancel()
	req, err := c.request(ctx, r, key)
	if err != nil {
		return nil, 0, nil, Verdict{Failure: c.fail(literature.Rejected, "The request to %s could not be written as an address.", c.p.Title)}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, nil, c.broken(err)
	}
	defer func() { _ = res.Body.Close() }() // it was read as far as it is wanted
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, 0, res.Header, c.broken(err)
	}
	body = hideKey(body, key)
	if len(body) > maxBody {
		return nil, 0, res.Header, c.Bad("its answer is longer than 10 MB")
	}
	if v := c.status(res, body, r, key); v != nil {
		return nil, 0, res.Header, *v
	}
	papers, total, v := c.p.Decode(readable(body), r)
	if v == nil {
		return papers, total, res.Header, Verdict{}
	}
	if v.Failure != nil && v.Failure.Next == "" {
		v.Failure.Next = c.next(v.Failure.Cause)
	}
	return nil, 0, res.Header, *v
}

func (c *Client) request(ctx context.Context, r Request, key string) (*http.Request, error) {
	address := c.o.Base + r.Path
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	method, body := http.MethodGet, io.Reader(nil)
	if len(r.Body) > 0 {
		method, body = http.MethodPost, bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.o.Agent)
	req.Header.Set("Accept", c.p.Accept)
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" && c.p.SetKey != nil {
		c.p.SetKey(req.Header, key)
	}
	return req, nil
}
