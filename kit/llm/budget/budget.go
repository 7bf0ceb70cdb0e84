// Package budget keeps the accounts of studies and ideas: what they may spend, have spent, and have reserved for calls that
// are under way. A call reserves its worst case before it is sent and settles afterwards, so an account never goes above its
// limit, however many processes share it. The package links no model SDK: the gateway sets limits and reads accounts with it.
package budget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/internal/kv"
)

// Amount is money in pico-dollars and tokens. As a limit, zero means none.
type Amount struct {
	Pico   int64 `json:"pico"`
	Tokens int64 `json:"tokens"`
}

// Plus sums two amounts.
func (a Amount) Plus(b Amount) Amount { return Amount{a.Pico + b.Pico, a.Tokens + b.Tokens} }

// Open is a reservation for a call under way.
type Open struct {
	Amount
	Key string `json:"key,omitempty"` // of the ledger
}

// Account is the state of one account. Fields of others in the same record survive every change.
type Account struct {
	Limit    Amount
	Spent    Amount
	Possibly Amount // of calls whose outcome nobody knows
	Open     map[string]Open
	// AllowUnpriced lets calls without a known price through although there is a limit of money, which then cannot hold.
	AllowUnpriced bool

	rest map[string]json.RawMessage
}

// Reserved sums what is open.
func (a Account) Reserved() Amount {
	var s Amount
	for _, o := range a.Open {
		s = s.Plus(o.Amount)
	}
	return s
}

// Used is what counts against the limit without the open reservations.
func (a Account) Used() Amount { return a.Spent.Plus(a.Possibly) }

// Left is what can still be spent; a part without limit gives -1.
func (a Account) Left() Amount {
	left := Amount{-1, -1}
	if a.Limit.Pico > 0 {
		left.Pico = max(0, a.Limit.Pico-a.Used().Pico)
	}
	if a.Limit.Tokens > 0 {
		left.Tokens = max(0, a.Limit.Tokens-a.Used().Tokens)
	}
	return left
}

func (a Account) fits(total Amount) bool {
	return (a.Limit.Pico <= 0 || total.Pico <= a.Limit.Pico) && (a.Limit.Tokens <= 0 || total.Tokens <= a.Limit.Tokens)
}

var fields = []string{"limit_pico", "limit_tokens", "spent_pico", "spent_tokens", "possibly_pico", "possibly_tokens"}

func (a *Account) numbers() []*int64 {
	return []*int64{&a.Limit.Pico, &a.Limit.Tokens, &a.Spent.Pico, &a.Spent.Tokens, &a.Possibly.Pico, &a.Possibly.Tokens}
}

// MarshalJSON writes the account with the fields of others.
func (a Account) MarshalJSON() ([]byte, error) {
	m := make(map[string]any, len(a.rest)+7)
	for k, v := range a.rest {
		m[k] = v
	}
	for i, p := range a.numbers() {
		m[fields[i]] = *p
	}
	if a.AllowUnpriced {
		m["allow_unpriced"] = true
	}
	m["open"] = a.Open
	if a.Open == nil {
		m["open"] = map[string]Open{}
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads an account and keeps the fields of others.
func (a *Account) UnmarshalJSON(b []byte) error {
	*a = Account{}
	if err := json.Unmarshal(b, &a.rest); err != nil {
		return err
	}
	for i, p := range a.numbers() {
		if v, ok := a.rest[fields[i]]; ok {
			if err := json.Unmarshal(v, p); err != nil {
				return fmt.Errorf("%s: %w", fields[i], err)
			}
			delete(a.rest, fields[i])
		}
	}
	if v, ok := a.rest["allow_unpriced"]; ok {
		if err := json.Unmarshal(v, &a.AllowUnpriced); err != nil {
			return fmt.Errorf("allow_unpriced: %w", err)
		}
		delete(a.rest, "allow_unpriced")
	}
	if v, ok := a.rest["open"]; ok {
		if err := json.Unmarshal(v, &a.Open); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		delete(a.rest, "open")
	}
	return nil
}

// Book holds the accounts of a bucket.
type Book struct {
	bucket kv.Bucket
	poll   time.Duration

	mu    sync.Mutex
	pages map[string]*page
}

// page is this process's side of one account: its writers take turns, which halves the lost compare-and-sets.
type page struct {
	turn    chan struct{} // holds a token while nobody writes
	known   bool
	account Account // as of rev
	rev     uint64
	changed chan struct{} // closed at each change by this process
}

// New makes a book. A nil bucket keeps the accounts in memory.
func New(bucket jetstream.KeyValue) *Book {
	return &Book{bucket: kv.Of(bucket), poll: 100 * time.Millisecond, pages: map[string]*page{}}
}

// Read returns an account; one that was never written is empty.
func (b *Book) Read(ctx context.Context, account string) (Account, error) {
	a, _, err := b.load(ctx, account)
	return a, err
}

// SetLimit sets an account's limit; zero parts mean no limit.
func (b *Book) SetLimit(ctx context.Context, account string, limit Amount) error {
	_, err := b.change(ctx, account, func(a *Account) error {
		a.Limit = limit
		return nil
	})
	return err
}

// SetAllowUnpriced says whether calls without a known price may pass a limit of money.
func (b *Book) SetAllowUnpriced(ctx context.Context, account string, allow bool) error {
	_, err := b.change(ctx, account, func(a *Account) error {
		a.AllowUnpriced = allow
		return nil
	})
	return err
}

// AddLimit raises an account's limit. A part without a limit stays without one.
func (b *Book) AddLimit(ctx context.Context, account string, add Amount) (Account, error) {
	return b.change(ctx, account, func(a *Account) error {
		if a.Limit.Pico > 0 {
			a.Limit.Pico += add.Pico
		}
		if a.Limit.Tokens > 0 {
			a.Limit.Tokens += add.Tokens
		}
		return nil
	})
}

func (b *Book) load(ctx context.Context, account string) (Account, uint64, error) {
	it, err := b.bucket.Get(ctx, account)
	if errors.Is(err, kv.ErrNotFound) {
		return Account{}, 0, nil
	}
	if err != nil {
		return Account{}, 0, busFault(err)
	}
	var a Account
	if err := json.Unmarshal(it.Value, &a); err != nil {
		return Account{}, 0, fmt.Errorf("the budget account %s is damaged: %w", account, err)
	}
	return a, it.Revision, nil
}

func (b *Book) page(account string) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.pages[account]
	if !ok {
		p = &page{turn: make(chan struct{}, 1), changed: make(chan struct{})}
		p.turn <- struct{}{}
		b.pages[account] = p
	}
	return p
}

// errRefresh asks change to read the account again before it believes a refusal.
var errRefresh = errors.New("read the account again")

// change applies set by compare-and-set until it holds. What set returns as an error ends it without a write.
func (b *Book) change(ctx context.Context, account string, set func(*Account) error) (Account, error) {
	p := b.page(account)
	select {
	case <-p.turn:
	case <-ctx.Done():
		return Account{}, ctx.Err()
	}
	defer func() { p.turn <- struct{}{} }()
	fresh := false
	for {
		if !p.known {
			a, rev, err := b.load(ctx, account)
			if err != nil {
				return Account{}, err
			}
			p.account, p.rev, p.known, fresh = a, rev, true, true
		}
		next := p.account.clone()
		if err := set(&next); err != nil {
			if errors.Is(err, errRefresh) && !fresh {
				p.known = false // others write limits and settle too
				continue
			}
			return p.account.clone(), err
		}
		value, err := json.Marshal(next)
		if err != nil {
			return Account{}, err
		}
		rev, err := b.bucket.Set(ctx, account, value, p.rev)
		if errors.Is(err, kv.ErrConflict) {
			p.known = false
			continue
		}
		if err != nil {
			p.known = false // it may have been written: the next one reads
			return Account{}, busFault(err)
		}
		p.account, p.rev = next, rev
		b.announce(p)
		return next.clone(), nil
	}
}

func (a Account) clone() Account {
	open := make(map[string]Open, len(a.Open)+1)
	for k, v := range a.Open {
		open[k] = v
	}
	a.Open = open
	return a
}

func (b *Book) announce(p *page) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (b *Book) changes(p *page) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.changed
}

func busFault(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the budget accounts cannot be reached").WithNext("nullius status")
}

// Bucket is how the bucket BUDGETS is made.
func Bucket() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: "BUDGETS", Description: "limits, spent and reserved amounts", History: 1, MaxValueSize: 256 << 10, Storage: jetstream.FileStorage,
	}
}
