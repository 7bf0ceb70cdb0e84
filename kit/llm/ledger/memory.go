package ledger

import (
	"bytes"
	"context"
	"io"
	"sync"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
)

// memoryBlobs keeps contents in memory, for a door without a store.
type memoryBlobs struct {
	mu sync.Mutex
	m  map[store.Digest][]byte
}

func newMemoryBlobs() *memoryBlobs { return &memoryBlobs{m: map[store.Digest][]byte{}} }

func (b *memoryBlobs) Put(_ context.Context, r io.Reader) (store.Digest, int64, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return "", 0, err
	}
	d := store.DigestOf(data)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[d] = data
	return d, int64(len(data)), nil
}

func (b *memoryBlobs) find(d store.Digest) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.m[d]
	if !ok {
		return nil, fault.New(fault.NotFound, "BLOB_UNKNOWN", "there is no blob %s", d)
	}
	return data, nil
}

func (b *memoryBlobs) Get(_ context.Context, d store.Digest) (io.ReadCloser, error) {
	data, err := b.find(d)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (b *memoryBlobs) Has(_ context.Context, d store.Digest) (bool, error) {
	_, err := b.find(d)
	return err == nil, nil
}

func (b *memoryBlobs) Stat(_ context.Context, d store.Digest) (int64, error) {
	data, err := b.find(d)
	return int64(len(data)), err
}
