package store_test

import (
	"bytes"
	"context"
	"io"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
)

// memory keeps blobs without a disk, for tests that make thousands.
type memory map[store.Digest][]byte

func (m memory) Put(_ context.Context, r io.Reader) (store.Digest, int64, error) {
	b, err := io.ReadAll(r)
	d := store.DigestOf(b)
	m[d] = b
	return d, int64(len(b)), err
}

func (m memory) Get(_ context.Context, d store.Digest) (io.ReadCloser, error) {
	b, ok := m[d]
	if !ok {
		return nil, fault.New(fault.NotFound, "BLOB_UNKNOWN", "no blob %s", d)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m memory) Has(_ context.Context, d store.Digest) (bool, error)   { return m[d] != nil, nil }
func (m memory) Stat(_ context.Context, d store.Digest) (int64, error) { return int64(len(m[d])), nil }
