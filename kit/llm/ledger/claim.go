package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/llm/internal/kv"
)

// ErrTakenOver is what an owner gets whose claim was taken over.
var ErrTakenOver = errors.New("the claim was taken over")

// Claim is the right to answer one request.
type Claim struct {
	l    *Ledger
	key  string
	took State // what the record was when it was taken over, or ""
	lose func()

	mu   sync.Mutex
	rec  Record
	rev  uint64
	lost bool
}

// Key is the entry's key.
func (c *Claim) Key() string { return c.key }

// PossiblySent says that an earlier owner died after it had sent the request, with an outcome that nobody knows.
func (c *Claim) PossiblySent() bool { return c.took == Started }

// Started records that the request is about to be sent. It must have returned before the first byte leaves.
func (c *Claim) Started(ctx context.Context, set func(*Record)) error {
	return c.change(ctx, func(r *Record) {
		r.State = Started
		set(r)
	})
}

// Done records the answer.
func (c *Claim) Done(ctx context.Context, set func(*Record)) error {
	return c.change(ctx, func(r *Record) {
		r.State = Done
		set(r)
	})
}

func (c *Claim) state() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rec.State
}

func (c *Claim) isLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *Claim) entry() Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, _ := parseKey(c.key) // it was made by Key
	return Entry{Key: c.key, Origin: o, Record: c.rec}
}

// change writes the record anew. The write is not cut with the context: what it says has happened.
func (c *Claim) change(ctx context.Context, set func(*Record)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return ErrTakenOver
	}
	if c.rec.State == Done {
		return nil // a late heartbeat
	}
	rec := c.rec
	set(&rec)
	rec.Beat = time.Now().UnixMilli()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.l.cfg.Write)
	defer cancel()
	rev, err := c.l.set(ctx, c.key, rec, c.rev)
	if errors.Is(err, kv.ErrConflict) {
		c.lost = true
		if c.lose != nil {
			c.lose()
		}
		return ErrTakenOver
	}
	if err != nil {
		return busFault(err)
	}
	c.rec, c.rev = rec, rev
	return nil
}

// giveBack removes the claim, so that the next who asks need not wait for it to go stale.
func (c *Claim) giveBack(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.l.cfg.Write)
	defer cancel()
	_ = c.l.bucket.Delete(ctx, c.key, c.rev) // what stays goes stale
}

// acquire claims a key, or returns its DONE entry. It waits for an owner that is alive, and takes over from a dead one. absent
// says that the key had no entry a moment ago.
func (l *Ledger) acquire(ctx context.Context, key string, first Record, absent bool) (*Claim, Entry, error) {
	var watched uint64
	var since time.Time
	for {
		it, err := kv.Item{}, error(kv.ErrNotFound)
		if !absent {
			it, err = l.bucket.Get(ctx, key)
		}
		absent = false
		var next Record
		var took State
		switch {
		case errors.Is(err, kv.ErrNotFound):
			next, it.Revision = first, 0
			next.State, next.Began = Claimed, time.Now().UnixMilli()
		case err != nil:
			return nil, Entry{}, busFault(err)
		default:
			e, err := decode(key, it.Value)
			if err != nil {
				return nil, Entry{}, err
			}
			if e.State == Done {
				return nil, e, nil
			}
			if it.Revision != watched {
				watched, since = it.Revision, time.Now()
			}
			if !l.dead(e.Record, since) {
				if err := pause(ctx, l.cfg.Poll); err != nil {
					return nil, Entry{}, err
				}
				continue
			}
			next, took = e.Record, e.State // STARTED stays STARTED: the next owner may die as well
			if took == Started {
				next.Lost++
			}
		}
		next.Owner, next.Beat = l.owner, time.Now().UnixMilli()
		rev, err := l.set(ctx, key, next, it.Revision)
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, Entry{}, busFault(err)
		}
		return &Claim{l: l, key: key, took: took, rec: next, rev: rev}, Entry{}, nil
	}
}

// dead reports whether a record's owner is gone. Our own record without a flight is one that could not be given back.
func (l *Ledger) dead(r Record, since time.Time) bool {
	foreign := !strings.HasPrefix(r.Owner, l.cfg.Process+"/")
	return r.Owner == l.owner || l.cfg.SoleOwner && foreign || time.Since(since) >= l.cfg.Stale
}

// set writes a record by compare-and-set. A write whose answer got lost and that shows as a conflict is found again by
// its bytes.
func (l *Ledger) set(ctx context.Context, key string, r Record, rev uint64) (uint64, error) {
	value, err := r.encode()
	if err != nil {
		return 0, err
	}
	next, err := l.bucket.Set(ctx, key, value, rev)
	if err == nil || ctx.Err() != nil && !errors.Is(err, kv.ErrConflict) {
		return next, err
	}
	it, gerr := l.bucket.Get(ctx, key)
	if gerr == nil && string(it.Value) == string(value) && it.Revision > rev {
		return it.Revision, nil
	}
	return 0, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
