package budget

import (
	"context"
	"errors"
	"time"
)

// Fate is what the ledger knows of a reservation's call.
type Fate struct {
	Over     bool   // it has ended: the entry leaves
	Spent    Amount // of an answer
	Possibly Amount // of a call whose owner died
}

// Refusal says which account has too little left.
type Refusal struct {
	Account string
	State   Account
	Need    Amount
}

// ErrUnpriced says that a limit of money cannot hold a call whose price nobody knows.
var ErrUnpriced = errors.New("a call without a price under a limit of money")

func (r *Refusal) Error() string { return "the account " + r.Account + " has too little left" }

// Claim is what a call wants from its accounts.
type Claim struct {
	Accounts []string // inner first
	ID       string   // same for every try of the call, also after a crash: the entry is replaced, not doubled
	Key      string   // of the ledger
	Need     Amount
	Unpriced bool
	Lost     bool // the entry that is there belongs to a call that was sent and whose owner died: possibly paid

	// Fate looks an open reservation up before a refusal or a wait; nil: none is ever found over.
	Fate func(ctx context.Context, key string, o Open) (Fate, error)
	// OnWait is told once, with the account that is waited for.
	OnWait func(account string)
	// OnLow is told of each account of which 80 % or more is used, when the call has its reservation; nil: nobody is.
	OnLow func(account string, used, limit Amount)
}

// errWait says that others' reservations are in the way and may settle.
var errWait = errors.New("wait for others to settle")

// Reserve takes the worst case of a call from its accounts, all or none. While only others' reservations are in the way it
// waits for them, holding nothing; if even without them there is too little it gives a *Refusal.
func (b *Book) Reserve(ctx context.Context, c Claim) error {
	told := false
	for {
		next := map[string]<-chan struct{}{} // taken before the try, so that no change between is missed
		for _, name := range c.Accounts {
			next[name] = b.changes(b.page(name))
		}
		blocked, err := b.try(ctx, &c)
		if !errors.Is(err, errWait) {
			return err
		}
		again, err := b.reconcile(ctx, blocked, c.Fate)
		if err != nil {
			return err
		}
		if again {
			continue
		}
		if c.OnWait != nil && !told {
			told = true
			c.OnWait(blocked)
		}
		t := time.NewTimer(b.poll)
		select {
		case <-next[blocked]:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

// try reserves on every account, or on none; blocked is the one that must be waited for.
func (b *Book) try(ctx context.Context, c *Claim) (blocked string, err error) {
	low := map[string]Account{}
	for i, name := range c.Accounts {
		a, err := b.change(ctx, name, c.take)
		if err == nil && a.low() {
			low[name] = a
		}
		if errors.Is(err, errRefresh) { // a fresh read says no
			err = c.judge(ctx, b, name)
		}
		if err != nil {
			_ = b.release(context.WithoutCancel(ctx), c.Accounts[:i], c.ID)
			return name, err
		}
	}
	c.Lost = false
	for _, name := range c.Accounts {
		if a, ok := low[name]; ok && c.OnLow != nil {
			c.OnLow(name, a.Used(), a.Limit)
		}
	}
	return "", nil
}

func (c *Claim) take(a *Account) error {
	if c.Unpriced && a.Limit.Pico > 0 && !a.AllowUnpriced {
		return ErrUnpriced
	}
	if o, ok := a.Open[c.ID]; ok {
		if c.Lost {
			a.Possibly = a.Possibly.Plus(o.Amount)
		}
		delete(a.Open, c.ID)
	}
	if !a.fits(a.Used().Plus(a.Reserved()).Plus(c.Need)) {
		return errRefresh
	}
	a.Open[c.ID] = Open{Amount: c.Need, Key: c.Key}
	return nil
}

// judge tells waiting from refusing. What belongs to a lost call is booked first, since it must not get lost with a refusal.
func (c *Claim) judge(ctx context.Context, b *Book, name string) error {
	if c.Lost {
		if err := b.settle(ctx, []string{name}, c.ID, Amount{}, Amount{}, true); err != nil {
			return err
		}
	}
	if _, err := b.reconcile(ctx, name, c.Fate); err != nil {
		return err
	}
	a, err := b.Read(ctx, name)
	if err != nil {
		return err
	}
	delete(a.Open, c.ID)
	if len(a.Open) > 0 && a.fits(a.Used().Plus(c.Need)) {
		return errWait
	}
	if a.fits(a.Used().Plus(a.Reserved()).Plus(c.Need)) {
		return errWait // it became free meanwhile: try again
	}
	return &Refusal{Account: name, State: a, Need: c.Need}
}

// Settle takes a call's reservation out of its accounts and books what it cost, and what it possibly cost.
func (b *Book) Settle(ctx context.Context, accounts []string, id string, spent, possibly Amount) error {
	return b.settle(ctx, accounts, id, spent, possibly, false)
}

func (b *Book) settle(ctx context.Context, accounts []string, id string, spent, possibly Amount, lost bool) error {
	var errs []error
	for _, name := range accounts {
		_, err := b.change(ctx, name, settled(id, spent, possibly, lost))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// settled takes a reservation out and books what it cost.
func settled(id string, spent, possibly Amount, lost bool) func(*Account) error {
	return func(a *Account) error {
		o, ok := a.Open[id]
		if ok && lost {
			a.Possibly = a.Possibly.Plus(o.Amount)
		}
		if ok { // else someone found the answer in the ledger and booked it already
			a.Spent = a.Spent.Plus(spent)
		}
		delete(a.Open, id)
		a.Possibly = a.Possibly.Plus(possibly)
		return nil
	}
}

// SettleLater settles a call whose answer is in the ledger without keeping its caller: a crash before it is written leaves the
// reservation, which is settled from the ledger then. What follows in this process sees it done. failed hears of an error.
func (b *Book) SettleLater(ctx context.Context, accounts []string, id string, spent, possibly Amount, failed func(error)) {
	ctx = context.WithoutCancel(ctx)
	for _, name := range accounts {
		p := b.page(name)
		w := p.enqueue(settled(id, spent, possibly, false))
		b.later.Go(func() {
			if _, err := b.await(ctx, name, p, w); err != nil {
				failed(err)
			}
		})
	}
}

func (b *Book) release(ctx context.Context, accounts []string, id string) error {
	return b.Settle(ctx, accounts, id, Amount{}, Amount{})
}

// reconcile settles reservations whose calls the ledger knows to be over: a crash between an answer and its settling leaks
// nothing.
func (b *Book) reconcile(ctx context.Context, name string, fate func(context.Context, string, Open) (Fate, error)) (bool, error) {
	if fate == nil {
		return false, nil
	}
	a, err := b.Read(ctx, name)
	if err != nil {
		return false, err
	}
	some := false
	for id, o := range a.Open {
		f, err := fate(ctx, o.Key, o)
		if err != nil {
			return some, err
		}
		if !f.Over {
			continue
		}
		_, err = b.change(ctx, name, func(a *Account) error {
			if cur, ok := a.Open[id]; !ok || cur != o { // its owner settled it meanwhile
				return errRefresh
			}
			delete(a.Open, id)
			a.Spent, a.Possibly = a.Spent.Plus(f.Spent), a.Possibly.Plus(f.Possibly)
			return nil
		})
		if err != nil && !errors.Is(err, errRefresh) {
			return some, err
		}
		some = some || err == nil
	}
	return some, nil
}
