// Package kv is the little of a key-value bucket that ledger and budgets need, over JetStream or in memory.
package kv

import (
	"context"
	"errors"
	"sort"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// Errors of a bucket.
var (
	ErrNotFound = errors.New("no such key")
	ErrConflict = errors.New("the key has another revision")
)

// Item is a key with its value and revision.
type Item struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Bucket is a compare-and-set store.
type Bucket interface {
	Get(ctx context.Context, key string) (Item, error)
	// Set writes a value if the key has the given revision; 0: if the key has no value.
	Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) error
	// List returns the items whose keys begin with prefix, which ends with a dot or is empty, sorted by key.
	List(ctx context.Context, prefix string) ([]Item, error)
}

// Of wraps a JetStream bucket; nil gives one in memory.
func Of(b jetstream.KeyValue) Bucket {
	if b == nil {
		return &memory{items: map[string]Item{}}
	}
	return stream{b}
}

type stream struct{ kv jetstream.KeyValue }

func (s stream) Get(ctx context.Context, key string) (Item, error) {
	e, err := s.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Item{}, ErrNotFound
	}
	if err != nil {
		return Item{}, err
	}
	return Item{Key: key, Value: e.Value(), Revision: e.Revision()}, nil
}

func (s stream) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	var rev uint64
	var err error
	if revision == 0 {
		rev, err = s.kv.Create(ctx, key, value)
	} else {
		rev, err = s.kv.Update(ctx, key, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) { // also what a lost Update says
		return 0, ErrConflict
	}
	return rev, err
}

func (s stream) Delete(ctx context.Context, key string, revision uint64) error {
	err := s.kv.Delete(ctx, key, jetstream.LastRevision(revision))
	if wrongSequence(err) {
		return ErrConflict
	}
	return err
}

func wrongSequence(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

func (s stream) List(ctx context.Context, prefix string) ([]Item, error) {
	w, err := s.kv.Watch(ctx, prefix+">", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }() // a watcher that ended by itself has nothing left to stop
	var out []Item
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return nil, errors.New("the watch of " + prefix + " ended early")
			}
			if e == nil {
				sortItems(out)
				return out, nil
			}
			out = append(out, Item{Key: e.Key(), Value: e.Value(), Revision: e.Revision()})
		}
	}
}

type memory struct {
	mu    sync.Mutex
	rev   uint64
	items map[string]Item
}

func (m *memory) Get(ctx context.Context, key string) (Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	it, ok := m.items[key]
	if !ok {
		return Item{}, ErrNotFound
	}
	return it, ctx.Err()
}

func (m *memory) Set(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if m.items[key].Revision != revision {
		return 0, ErrConflict
	}
	m.rev++
	m.items[key] = Item{Key: key, Value: append([]byte(nil), value...), Revision: m.rev}
	return m.rev, nil
}

func (m *memory) Delete(_ context.Context, key string, revision uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items[key].Revision != revision {
		return ErrConflict
	}
	delete(m.items, key)
	return nil
}

func (m *memory) List(_ context.Context, prefix string) ([]Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Item
	for k, it := range m.items {
		if strings.HasPrefix(k, prefix) {
			out = append(out, it)
		}
	}
	sortItems(out)
	return out, nil
}

func sortItems(s []Item) { sort.Slice(s, func(i, j int) bool { return s[i].Key < s[j].Key }) }
