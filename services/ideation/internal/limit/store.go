package limit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/proto/subject"
)

// Memory is a store within this process.
func Memory() Store { return &memory{} }

type memory struct {
	mu     sync.Mutex
	begin  time.Time
	states map[string]State
}

func (m *memory) Change(_ context.Context, key string, f func(State, int64) State) (State, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states == nil {
		m.states, m.begin = map[string]State{}, time.Now().Add(-time.Minute) // no time is 0
	}
	now := time.Since(m.begin).Milliseconds()
	s := f(m.states[key], now)
	m.states[key] = s
	return s, now, nil
}

// Bucket is how the bucket ENGINES is made. Losing it costs a pause at most, so it lies in memory.
func Bucket() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: subject.BucketEngines, Description: "rates of literature engines", History: 1, MaxValueSize: 4 << 10, Storage: jetstream.MemoryStorage,
	}
}

// KV is a store that all processes on a bus share.
func KV(kv jetstream.KeyValue) Store { return &shared{kv: kv, begin: time.Now()} }

// clockKey is written now and then to learn the broker's time.
const (
	clockKey    = "clock"
	recalibrate = time.Minute
)

// shared keeps states in a bucket. The broker's clock is the store's: an entry's timestamp, read right after it was written,
// lies between two readings of our own clock, and those bound what the broker's time is later.
type shared struct {
	kv    jetstream.KeyValue
	begin time.Time // our own clock counts from it

	mu      sync.Mutex
	at      time.Time     // of the last calibration
	earlier time.Duration // the broker's time is at least ours plus earlier
	later   time.Duration // and at most ours plus later
}

func (s *shared) calibrate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < recalibrate {
		return nil
	}
	before := time.Since(s.begin)
	if _, err := s.kv.Put(ctx, clockKey, nil); err != nil {
		return err
	}
	e, err := s.kv.Get(ctx, clockKey) // perhaps of somebody who wrote after us: still between before and after
	if err != nil {
		return err
	}
	after := time.Since(s.begin)
	broker := time.Duration(e.Created().UnixNano())
	s.at, s.earlier, s.later = time.Now(), broker-after, broker-before
	return nil
}

func (s *shared) now() (earliest, latest int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := time.Since(s.begin)
	return (own + s.earlier).Milliseconds(), (own + s.later).Milliseconds() + 1
}

// Change implements Store.
func (s *shared) Change(ctx context.Context, key string, f func(State, int64) State) (State, int64, error) {
	if err := s.calibrate(ctx); err != nil {
		return State{}, 0, err
	}
	for {
		var old State
		var revision uint64
		e, err := s.kv.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return State{}, 0, err
		default:
			revision = e.Revision()
			if json.Unmarshal(e.Value(), &old) != nil {
				old = State{} // nobody can go on with it
			}
		}
		_, latest := s.now()
		next := f(old, latest)
		if !reflect.DeepEqual(next, old) {
			if err := s.write(ctx, key, next, revision); errors.Is(err, jetstream.ErrKeyExists) {
				continue // somebody was faster
			} else if err != nil {
				return State{}, 0, err
			}
		}
		earliest, _ := s.now()
		return next, earliest, nil
	}
}

func (s *shared) write(ctx context.Context, key string, next State, revision uint64) error {
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if revision == 0 {
		_, err = s.kv.Create(ctx, key, b)
	} else {
		_, err = s.kv.Update(ctx, key, b, revision)
	}
	return err
}

// SQL is a store in a file that the processes of one machine share; table engine_state is made in it.
func SQL(ctx context.Context, db *sql.DB) (Store, error) {
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS engine_state(key TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID`)
	return &file{db}, err
}

type file struct{ db *sql.DB }

// Change implements Store.
func (f *file) Change(ctx context.Context, key string, change func(State, int64) State) (_ State, _ int64, err error) {
	conn, err := f.db.Conn(ctx)
	if err != nil {
		return State{}, 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return State{}, 0, err
	}
	commit := false
	defer func() {
		if !commit {
			_, e := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
			err = errors.Join(err, e)
		}
	}()
	var old State
	var raw string
	switch err := conn.QueryRowContext(ctx, `SELECT state FROM engine_state WHERE key = ?`, key).Scan(&raw); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return State{}, 0, err
	default:
		if json.Unmarshal([]byte(raw), &old) != nil {
			old = State{}
		}
	}
	now := time.Now().UnixMilli()
	next := change(old, now)
	b, err := json.Marshal(next)
	if err != nil {
		return State{}, 0, err
	}
	if _, err := conn.ExecContext(ctx, `INSERT OR REPLACE INTO engine_state VALUES(?, ?)`, key, string(b)); err != nil {
		return State{}, 0, err
	}
	if _, err := conn.ExecContext(ctx, `COMMIT`); err != nil {
		return State{}, 0, err
	}
	commit = true
	return next, now, nil
}
