package store_test

import (
	"bytes"
	"context"
	"io"

	"nullius.dev/kit/store"
)

// memory keeps one blob.
type memory struct{ last []byte }

func (m *memory) Put(_ context.Context, r io.Reader) (store.Digest, int64, error) {
	b, err := io.ReadAll(r)
	m.last = b
	return store.DigestOf(b), int64(len(b)), err
}

func (m *memory) Get(context.Context, store.Digest) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.last)), nil
}
func (m *memory) Has(context.Context, store.Digest) (bool, error)   { return true, nil }
func (m *memory) Stat(context.Context, store.Digest) (int64, error) { return int64(len(m.last)), nil }
