package llm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/store"
)

// call is one request on its way through the door.
type call struct {
	d      *Door
	m      Model
	r      Request
	cred   credential
	digest store.Digest

	out      int64 // tokens of output that are asked for
	room     int64 // that the provider said there is beside the prompt; 0: it did not
	bytes    int64 // of the input's text
	input    int64 // tokens of input, at most
	unpriced bool
	tries    int
	lost     int           // own tries whose outcome nobody knows
	possibly budget.Amount // what they may have cost
	low      []string      // notes on accounts that are nearly used up

	firstByte time.Duration // of the try that was answered
	reply     string        // as it is in the ledger
}

// replay answers from a recording.
func (c *call) replay(ctx context.Context, claim *ledger.Claim) error {
	rec, err := c.d.shelf.Open(ctx, c.m.Name)
	if err != nil {
		return err
	}
	a, err := rec.Lookup(ctx, c.r.Origin, "model")
	if err != nil {
		return err
	}
	request, err := c.putRequest(ctx)
	if err != nil {
		return err
	}
	reply, err := store.PutBytes(ctx, c.d.ledger.Blobs(), a.Text)
	if err != nil {
		return err
	}
	return claim.Done(ctx, func(r *ledger.Record) {
		r.Request, r.Reply, r.Served, r.Finish, r.Usage = request, reply, a.Model, a.Finish, a.Usage
		r.WouldCost, r.FromRecord = a.Cost(), true
		if r.Finish == "" {
			r.Finish = string(Stop)
		}
		if a.Digest != "" && a.Digest != string(c.digest) {
			r.Notes = append(r.Notes, recording.Note)
		}
	})
}

func (c *call) putRequest(ctx context.Context) (store.Digest, error) {
	data, err := stored(c.r, c.m.Name)
	if err != nil {
		return "", err
	}
	return store.PutBytes(ctx, c.d.ledger.Blobs(), data)
}

// ask reserves, sends, records and settles.
func (c *call) ask(ctx context.Context, claim *ledger.Claim) error {
	if err := c.measure(); err != nil {
		return err
	}
	request := make(chan error, 1)
	var requestDigest store.Digest
	go func() { // waited for below; a root for the sweep must be there before STARTED
		var err error
		requestDigest, err = c.putRequest(ctx)
		request <- err
	}()
	err := c.reserve(ctx, claim)
	if perr := <-request; err == nil && perr != nil {
		err = perr
		c.settle(ctx, claim, budget.Amount{})
	}
	if err != nil {
		return err
	}
	// It is written before each try: an owner that was taken over sends no more.
	start := func() error {
		return claim.Started(ctx, func(r *ledger.Record) { r.Request, r.Tries = requestDigest, r.Tries+1 })
	}
	a, err := c.attempts(ctx, start)
	if errors.Is(err, ledger.ErrTakenOver) {
		return err // the reservation is the new owner's
	}
	if err != nil {
		c.settle(ctx, claim, budget.Amount{})
		return err
	}
	return c.record(ctx, claim, a)
}

// measure fills the sizes of a call; a request far over the window is not sent.
func (c *call) measure() error {
	window, est := c.m.Context, Estimate(c.r)
	if told := c.d.adaptation(c.m.Name).window; told > 0 {
		window = min(window, told)
	}
	if window > 0 && est > window+window/2 {
		return &tooLongError{est, window}
	}
	var images int64
	add := func(parts []Part) {
		for _, p := range parts {
			c.bytes += int64(len(p.Text))
			if len(p.Image) > 0 {
				images += imageTokens(p.Image)
			}
		}
		c.bytes += 16
	}
	add(c.r.System)
	for _, m := range c.r.Messages {
		add(m.Parts)
	}
	c.bytes += int64(len(c.r.Schema))
	c.input = c.d.inputWorst(c.m.Name, c.bytes, images)
	c.out = c.m.MaxOutput
	if c.r.MaxTokens > 0 {
		c.out = min(c.out, int64(c.r.MaxTokens)+c.m.Reasoning)
	}
	if left := window - est*11/10; window > 0 && c.out > left {
		c.out = max(left, min(c.out, 256))
	}
	return nil
}

func (c *call) need() budget.Amount {
	pico, ok := c.m.worst(c.input, c.out, time.Now())
	c.unpriced = !ok
	return budget.Amount{Pico: pico, Tokens: c.input + c.out}
}

func (c *call) reserve(ctx context.Context, claim *ledger.Claim) error {
	need := c.need()
	defer func(began time.Time) { c.d.tel.waited(ctx, "BUDGET", time.Since(began)) }(time.Now())
	err := c.d.book.Reserve(ctx, budget.Claim{
		Accounts: c.r.Origin.Accounts(), ID: openID(claim.Key()), Key: claim.Key(), Need: need, Unpriced: c.unpriced,
		Lost: claim.PossiblySent(), Fate: c.d.fate,
		OnWait: func(account string) {
			c.tell(Progress{Kind: Waiting, Why: "Waiting for the budget of " + account + ": calls under way may need it."})
		},
		OnLow: func(account string, used, limit budget.Amount) { c.low = append(c.low, lowNote(account, used, limit)) },
	})
	var no *budget.Refusal
	switch {
	case errors.As(err, &no):
		return overBudget(no)
	case errors.Is(err, budget.ErrUnpriced):
		return fault.New(fault.Precondition, "MODEL_UNPRICED", "%s has no price, so no budget can hold", c.m.Name).
			WithMeta("model", c.m.Name).WithNext("--allow-unpriced")
	}
	return err
}

// lowNote says how much of an account is used, of money or of tokens, whichever is nearer to its limit.
func lowNote(account string, used, limit budget.Amount) string {
	spent, of := Dollars(used.Pico), Dollars(limit.Pico)
	if limit.Pico <= 0 || limit.Tokens > 0 && float64(used.Tokens)/float64(limit.Tokens) > float64(used.Pico)/float64(limit.Pico) {
		spent, of = thousands(used.Tokens)+" tokens", thousands(limit.Tokens)
	}
	return BudgetLow + accountName(account) + " has used " + spent + " of " + of
}

func openID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

func overBudget(no *budget.Refusal) error {
	name := accountName(no.Account)
	left, a := no.State.Left(), no.State
	f := fault.New(fault.Exhausted, "BUDGET_EXCEEDED", "")
	if a.Limit.Pico > 0 && no.Need.Pico > left.Pico {
		f.Message = fmt.Sprintf("%s has %s of %s left; the next call may need %s", name, Dollars(left.Pico), Dollars(a.Limit.Pico), Dollars(no.Need.Pico))
		return f.WithMeta("account", no.Account).WithNext("nullius approve " + name + " --add-budget " + wholeDollars(a.Limit.Pico/2, no.Need.Pico-left.Pico))
	}
	f.Message = fmt.Sprintf("%s has %s of %s tokens left; the next call may need %s", name, thousands(left.Tokens), thousands(a.Limit.Tokens), thousands(no.Need.Tokens))
	return f.WithMeta("account", no.Account).WithNext("nullius approve " + name + " --add-tokens " + strconv.FormatInt(max(a.Limit.Tokens/2, no.Need.Tokens-left.Tokens), 10))
}

// wholeDollars proposes a raise: half of the limit, at least what is missing, rounded up.
func wholeDollars(half, missing int64) string {
	const unit = 1_000_000_000_000
	return strconv.FormatInt(max(1, (max(half, missing)+unit-1)/unit), 10)
}

// fate tells the budget what became of a call that has a reservation.
func (d *Door) fate(ctx context.Context, key string, o budget.Open) (budget.Fate, error) {
	e, found, gone, err := d.ledger.Gone(ctx, key)
	switch {
	case err != nil:
		return budget.Fate{}, err
	case !found: // given back
		return budget.Fate{Over: true}, nil
	case e.State == ledger.Done:
		return budget.Fate{Over: true, Spent: budget.Amount{Pico: e.Cost, Tokens: e.Usage.Total()}}, nil
	case gone && e.State == ledger.Started:
		return budget.Fate{Over: true, Possibly: o.Amount}, nil
	}
	return budget.Fate{Over: gone}, nil
}

// record writes the answer to the ledger, then settles.
func (c *call) record(ctx context.Context, claim *ledger.Claim, a answer) error {
	ctx = context.WithoutCancel(ctx) // it is paid for
	now := time.Now()
	c.firstByte = a.firstByte
	cost, asOf, priced := c.m.Cost(a.usage, now)
	if a.hasCost {
		cost, asOf, priced = a.cost, "", true
	}
	text := c.d.keys.hide(a.text)
	c.reply = text
	reply, err := store.PutBytes(ctx, c.d.ledger.Blobs(), []byte(text))
	if err != nil {
		c.lose(a.usage.Total(), cost)
		c.settle(ctx, claim, budget.Amount{})
		return err
	}
	err = claim.Done(ctx, func(r *ledger.Record) {
		r.Reply, r.Finish, r.Usage, r.Cost, r.PriceAsOf, r.Unpriced = reply, string(a.finish), a.usage, cost, asOf, !priced
		r.Served, r.RequestID, r.Lost = c.d.keys.scrub(a.served), c.d.keys.scrub(a.id), r.Lost+c.lost // on top of those of dead owners
		if a.finish == TooLong {
			if size := c.sizes(a); size.estimate > size.window {
				r.Notes = append(r.Notes, size.Error())
			}
		}
		if text != a.text {
			r.Notes = append(r.Notes, "a key in the reply was hidden")
		}
		if n := len(c.r.Messages); n > 0 && c.r.Messages[n-1].Role == Assistant && c.d.adaptation(c.m.Name).drop["prefill"] {
			r.Notes = append(r.Notes, PrefillDropped)
		}
		r.Notes = append(r.Notes, c.low...)
	})
	if err != nil {
		if !errors.Is(err, ledger.ErrTakenOver) {
			c.lose(a.usage.Total(), cost)
			c.settle(ctx, claim, budget.Amount{})
		}
		return err
	}
	if a.hasUsage {
		c.d.count(c.m.Name, c.bytes, a.usage.Input+a.usage.CacheRead+a.usage.CacheWrite)
	}
	c.d.book.SettleLater(ctx, c.r.Origin.Accounts(), openID(claim.Key()), budget.Amount{Pico: cost, Tokens: a.usage.Total()}, c.possibly,
		func(err error) { c.unsettled(ctx, err) })
	return nil
}

// sizes are a prompt's size and the model's window as the provider told them, else as far as they are known.
func (c *call) sizes(a answer) *tooLongError {
	size := &tooLongError{max(Estimate(c.r), a.usage.Input+a.usage.CacheRead+a.usage.CacheWrite), c.m.Context}
	if a.window > 0 {
		size.window = a.window
	}
	if a.prompt > 0 {
		size.estimate = a.prompt
	}
	return size
}

func (c *call) lose(tokens, pico int64) {
	c.lost++
	c.possibly = c.possibly.Plus(budget.Amount{Pico: pico, Tokens: tokens})
}

// settle books what the call cost. A bus that is away is no reason to lose the answer: the entry stays open, and is settled
// from the ledger before it could refuse anyone.
func (c *call) settle(ctx context.Context, claim *ledger.Claim, spent budget.Amount) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := c.d.book.Settle(ctx, c.r.Origin.Accounts(), openID(claim.Key()), spent, c.possibly)
	if err != nil {
		c.unsettled(ctx, err)
	}
}

func (c *call) unsettled(ctx context.Context, err error) {
	c.d.log.WarnContext(ctx, "budget not settled", "study_id", c.r.Origin.Study(), "idea_id", c.r.Origin.Idea(), "error", err)
}

func (c *call) tell(p Progress) {
	if c.r.Progress != nil {
		c.r.Progress(p)
	}
}

func accountName(account string) string {
	o := Origin{}
	for i := 0; i < len(account); i++ {
		if account[i] == '.' {
			o.Scope = []string{account[:i], account[i+1:]}
			return ideaName(o)
		}
	}
	return account
}

func decimalInt(n int64) string { return strconv.FormatInt(n, 10) }
