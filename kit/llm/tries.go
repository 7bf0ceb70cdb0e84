package llm

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/ledger"
)

// attempts sends a request until it is answered or there is no sense in another try. start is called before the first byte
// leaves. The try under way is not cut with the caller; no further one starts.
func (c *call) attempts(ctx context.Context, start func() error) (answer, error) {
	t := c.d.times
	deadline := time.Now().Add(t.Call)
	circuit := c.d.circuitOf(c.m)
	lane := c.d.laneOf(accountOf(c.m, c.cred), c.m.local)
	var waited time.Duration
	reread := false
	for try, adapted := 1, 0; ; {
		a, p, err := c.once(ctx, circuit, lane, start)
		if err != nil {
			return answer{}, err
		}
		if p == nil {
			return a, nil
		}
		switch p.class {
		case tooLong:
			return answer{finish: TooLong, prompt: p.prompt, window: p.window}, nil
		case filtered:
			return answer{finish: Filtered, text: p.text}, nil
		case adapt:
			if p.param == "context" {
				if c.room > 0 { // it was taken at its word once
					return answer{finish: TooLong, prompt: p.prompt, window: p.window}, nil
				}
				c.room = p.window - p.prompt
				c.out = min(c.out, c.room)
				c.d.learn(ctx, c.m, *p)
				continue // no try
			}
			if adapted++; adapted <= 8 && c.d.learn(ctx, c.m, *p) {
				continue // no try
			}
		case refusal:
			if c.d.keys.setClock(c.m, *p) {
				continue // signed anew by the other's clock; no try
			}
			if (p.status == 401 || p.stale) && !reread && c.d.keys.reread(c.m) {
				reread = true
				if c.cred, err = c.d.keys.credential(c.m); err != nil {
					return answer{}, err
				}
				lane = c.d.laneOf(accountOf(c.m, c.cred), c.m.local)
				continue
			}
		}
		wait, again := c.again(p, try, waited, deadline)
		if !again {
			return answer{}, failure(c.m, c.r.Origin, *p, try)
		}
		try++
		c.tell(Progress{Kind: Waiting, Why: waiting(c.m, *p, wait, try, t.Tries), Until: time.Now().Add(wait)})
		began := time.Now()
		if err := sleep(ctx, wait); err != nil {
			return answer{}, stopped(ctx, err)
		}
		waited += time.Since(began)
		c.d.tel.waited(ctx, p.cause, time.Since(began))
	}
}

// again decides whether there is another try, and when.
func (c *call) again(p *problem, try int, waited time.Duration, deadline time.Time) (time.Duration, bool) {
	t := c.d.times
	switch p.class {
	case outage, limit:
		if try >= t.Tries {
			return 0, false
		}
	case closed:
		if try >= 2 {
			return 0, false
		}
	default:
		return 0, false
	}
	if p.never || p.wait > t.LongWait {
		return 0, false
	}
	wait := p.wait
	if !p.asked {
		grown := min(30*t.Backoff, t.Backoff<<min(try, 6))
		wait = time.Duration(float64(grown) * (0.5 + rand.Float64()/2))
	}
	if waited+wait > t.Waits || time.Now().Add(wait).After(deadline) {
		return 0, false
	}
	return wait, true
}

// once makes one try: circuit, turn, send.
func (c *call) once(ctx context.Context, circuit *circuit, lane *lane, start func() error) (answer, *problem, error) {
	ok, wait, last := circuit.allow()
	if !ok {
		last.wait, last.paid = wait, false
		return answer{}, nil, failure(c.m, c.r.Origin, last, 1)
	}
	settled := false
	defer func() {
		if !settled {
			circuit.untested()
		}
	}()
	began := time.Now()
	err := lane.enter(ctx, c.r.Origin.Study(), c.input+c.out, func(until time.Time) {
		c.tell(Progress{Kind: Waiting, Why: "Waiting for a turn at " + c.m.Title + ".", Until: until})
	})
	if err != nil {
		return answer{}, nil, stopped(ctx, err)
	}
	c.d.tel.waited(ctx, "TURN", time.Since(began))
	if err := start(); err != nil {
		lane.leave(false, false)
		return answer{}, nil, err
	}
	c.tries++
	x := c.exchange()
	// What was sent is paid for: the try ends by its own limits, not with its caller.
	run, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	stopWatch := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ledger.ErrTakenOver) {
			cut(ledger.ErrTakenOver)
		}
	})
	a, err := send(run, x, c.m, c.r, c.out, c.d.adaptation(c.m.Name))
	stopWatch()
	cut(nil)
	if err == nil {
		settled = true
		circuit.success()
		lane.leave(true, false)
		c.estimate(&a)
		c.d.tel.answered(ctx, c.m)
		return a, nil, nil
	}
	if errors.Is(context.Cause(ctx), ledger.ErrTakenOver) {
		lane.leave(false, false)
		return answer{}, nil, ledger.ErrTakenOver
	}
	if ce := (*credentialError)(nil); errors.As(err, &ce) {
		lane.leave(false, false)
		return answer{}, nil, ce.fault
	}
	p := classifyError(err, x.sent.Load(), time.Now())
	if p.class == adapt && !x.says(p.param) {
		p.class = rejected // its sentence has the word by chance
	}
	p.text = c.d.keys.scrub(p.text)
	p.said = c.d.keys.scrub(p.said)
	p.keyed = c.cred.id != ""
	if x.chars == 0 && (p.class == limit || p.class == credit || p.class == refusal) {
		p.paid = false // it was refused, though within a 200
	}
	lane.leave(false, p.class == limit)
	settled = true
	c.after(ctx, circuit, lane, &p, x)
	return answer{}, &p, nil
}

// exchange prepares the HTTP request of a try. Models that think before they speak get more time.
func (c *call) exchange() *exchange {
	times, own := c.d.times, c.d.cfg.Times
	if c.m.FirstByte > 0 && own.FirstByte == 0 {
		times.FirstByte = c.m.FirstByte
		if own.KeepAlive == 0 {
			times.KeepAlive = max(times.KeepAlive, 540*time.Second)
		}
	}
	x := &exchange{base: c.d.base, cred: c.cred, query: c.m.query, times: times}
	x.onData = tell(x, c.r.Progress)
	return x
}

// after books what a failed try leaves behind: the circuit, the pause, what was possibly paid.
func (c *call) after(ctx context.Context, circuit *circuit, lane *lane, p *problem, x *exchange) {
	switch p.class {
	case outage, closed:
		if circuit.failure(*p) {
			c.d.tel.opened(ctx, c.m)
		}
	default:
		circuit.success()
	}
	if p.class == limit && p.wait > 0 {
		lane.pause(min(p.wait, c.d.times.LongWait))
		if c.d.pauses != nil {
			c.d.pauses.Announce(accountOf(c.m, c.cred), p.wait)
		}
	}
	if p.paid {
		u := Usage{Input: Estimate(c.r), Output: int64(x.chars+3) / 4, Estimated: true}
		cost, _, _ := c.m.Cost(u, time.Now())
		c.lose(u.Total(), cost)
	}
	c.d.tel.try(ctx, c.m, *p)
	c.d.log.InfoContext(ctx, "try failed", "model", c.m.Name, "step", c.r.Origin.Step, "call", c.r.Origin.Call,
		"cause", p.cause, "status", p.status, "text", p.text, "said", p.said, "try", c.tries)
}

// estimate fills in the usage that a provider did not tell, and finds prompts that a local server cut in silence.
func (c *call) estimate(a *answer) {
	est := Estimate(c.r)
	if !a.hasUsage {
		a.usage = Usage{Input: est, Output: int64(a.chars+3) / 4, Estimated: true}
		return
	}
	got := a.usage.Input + a.usage.CacheRead + a.usage.CacheWrite
	if got == 0 { // Ollama leaves out what it had in its cache
		a.usage.Input, a.usage.Estimated = est, true
		got = est
	}
	if c.m.Provider == "ollama" && est > 1500 && got*10 < est*6 {
		a.finish = TooLong
	}
	if a.usage.Output == 0 && a.chars > 0 {
		a.usage.Output, a.usage.Estimated = int64(a.chars+3)/4, true
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopped is why a call ended before its next try.
func stopped(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ledger.ErrTakenOver) {
		return ledger.ErrTakenOver
	}
	return err
}

// untested gives the right to test an open circuit back.
func (c *circuit) untested() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.testing = false
}

// Probe asks a provider for its models, and if that does not tell for one token: it tells whether name can be called.
func (d *Door) Probe(ctx context.Context, name string) error {
	seen, err := d.Check(ctx, name)
	if err != nil || seen == SeenModel {
		return err
	}
	m, err := d.table.resolve(name, d.env)
	if err != nil {
		return err
	}
	cred, err := d.keys.credential(m)
	if err != nil {
		return err
	}
	r := Request{Model: name, Origin: Origin{Scope: []string{"probe", "_"}, Step: "probe", Call: "probe"},
		Messages: []Message{Say(User, "Say ok.")}, MaxTokens: 16}
	c := &call{d: d, m: m, r: r, cred: cred, out: 16 + m.Reasoning}
	_, err = c.attempts(ctx, func() error { return nil })
	return err
}

// errNotListed is a model that its provider's list lacks.
func errNotListed(m Model) error {
	return fault.New(fault.NotFound, "MODEL_UNKNOWN", "%s lists no model %s", m.Title, m.wire).WithMeta("model", m.Name).WithNext("nullius models")
}
