// Package budget keeps the accounts of studies and ideas: what they may spend, have spent, and have reserved for calls that
// are under way. A call reserves its worst case before it is sent and settles afterwards, so an account never goes above its
// limit, however many processes share it. The package links no model SDK: the gateway sets limits and reads accounts with it.
package budget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// low says whether 80 % of a limit is used.
func (a Account) low() bool {
	u, l := a.Used(), a.Limit
	return l.Pico > 0 && u.Pico >= l.Pico-l.Pico/5 || l.Tokens > 0 && u.Tokens >= l.Tokens-l.Tokens/5
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
	later sync.WaitGroup // settlements that nobody waits for
}

// page is this process's side of one account. Its changes queue up, and one of those who wait writes all that are there at
// once: a synced write takes as long for one change as for many.
type page struct {
	changed chan struct{} // closed at each change by this process; under Book.mu

	mu    sync.Mutex
	queue []*wish
	busy  bool // somebody writes, or was told to

	// of whoever writes
	known   bool
	account Account // as of rev; its map is not written to
	rev     uint64
}

// wish is a change that waits for its turn.
type wish struct {
	set     func(*Account) error
	lead    chan struct{} // closed: write for all that wait
	done    chan struct{} // closed: account and err hold
	account Account
	err     error
}

// New makes a book. A nil bucket keeps the accounts in memory.
func New(bucket jetstream.KeyValue) *Book {
	return &Book{bucket: kv.Of(bucket), poll: 100 * time.Millisecond, pages: map[string]*page{}}
}

// Read returns an account, with every change that this process has begun; one that was never written is empty.
func (b *Book) Read(ctx context.Context, account string) (Account, error) {
	p := b.page(account)
	p.mu.Lock()
	busy := p.busy
	p.mu.Unlock()
	if busy {
		if _, err := b.change(ctx, account, func(*Account) error { return errSeen }); !errors.Is(err, errSeen) {
			return Account{}, err
		}
	}
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
		p = &page{changed: make(chan struct{})}
		b.pages[account] = p
	}
	return p
}

// errRefresh asks change to read the account again before it believes a refusal.
var errRefresh = errors.New("read the account again")

// errSeen ends a change that only waits for those before it.
var errSeen = errors.New("seen")

// change applies set by compare-and-set until it holds. What set returns as an error ends it without a write; set may run
// more than once, and what it did to the account counts only the last time.
func (b *Book) change(ctx context.Context, account string, set func(*Account) error) (Account, error) {
	p := b.page(account)
	return b.await(ctx, account, p, p.enqueue(set))
}

// enqueue puts a change behind those that wait.
func (p *page) enqueue(set func(*Account) error) *wish {
	w := &wish{set: set, lead: make(chan struct{}), done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, w)
	if !p.busy {
		p.busy = true
		close(w.lead)
	}
	return w
}

// await waits for a change, and writes if it is this one's turn to.
func (b *Book) await(ctx context.Context, account string, p *page, w *wish) (Account, error) {
	select {
	case <-w.done:
		return w.account, w.err
	case <-w.lead:
	case <-ctx.Done():
		if p.leave(w) {
			return Account{}, ctx.Err()
		}
		select { // it is being written, or others wait for it to write
		case <-w.done:
			return w.account, w.err
		case <-w.lead:
		}
	}
	b.serve(ctx, account, p)
	return w.account, w.err
}

// leave takes a change out of the queue, unless it was told to write or is being written.
func (p *page) leave(w *wish) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.lead:
		return false
	default:
	}
	i := slices.Index(p.queue, w)
	if i < 0 {
		return false
	}
	p.queue = slices.Delete(p.queue, i, i+1)
	return true
}

// writeLimit bounds one write of an account with what it has to read.
const writeLimit = 10 * time.Second

// serve writes what waits, then hands over to the next. It is not cut with its caller: others wait for it.
func (b *Book) serve(ctx context.Context, account string, p *page) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	p.mu.Lock()
	batch := p.queue
	p.queue = nil
	p.mu.Unlock()
	for !b.write(ctx, account, p, batch) {
	}
	for _, w := range batch {
		close(w.done)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		close(p.queue[0].lead)
		return
	}
	p.busy = false
}

// write applies a batch to the account and writes it; false: somebody else wrote, so that it must be tried again.
func (b *Book) write(ctx context.Context, account string, p *page, batch []*wish) bool {
	fresh := !p.known
	if fresh {
		a, rev, err := b.load(ctx, account)
		if err != nil {
			for _, w := range batch {
				w.err = err
			}
			return true
		}
		p.account, p.rev, p.known = a, rev, true
	}
	next := p.account
	some := false
	for _, w := range batch {
		trial := next.clone()
		w.err = w.set(&trial)
		if errors.Is(w.err, errRefresh) && !fresh {
			p.known = false // others write limits and settle too
			return false
		}
		if w.err == nil {
			next, some = trial, true
		}
	}
	var err error
	if some {
		var value []byte
		var rev uint64
		if value, err = json.Marshal(next); err == nil {
			rev, err = b.bucket.Set(ctx, account, value, p.rev)
		}
		switch {
		case errors.Is(err, kv.ErrConflict):
			p.known = false
			return false
		case err != nil:
			p.known = false // it may have been written: the next one reads
			err = busFault(err)
		default:
			p.account, p.rev = next, rev
			b.announce(p)
		}
	}
	for _, w := range batch {
		w.account = p.account
		if w.err == nil {
			w.err = err
		}
	}
	return true
}

// Wait waits for the settlements that were left to themselves.
func (b *Book) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with the last of them, each of which is bounded
		b.later.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
