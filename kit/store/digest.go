// Package store keeps files by content: blobs named by their SHA-256, and snapshots, which are immutable trees named by the digest of their manifest.
package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"nullius.dev/kit/fault"
)

// Digest names a blob: "sha256:" and 64 lower-case hex digits.
type Digest string

const prefix = "sha256:"

// DigestOf gives the digest of bytes.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(prefix + hex.EncodeToString(sum[:]))
}

// Valid tells whether d has a digest's form.
func (d Digest) Valid() bool {
	h, ok := strings.CutPrefix(string(d), prefix)
	if !ok || len(h) != 64 {
		return false
	}
	return strings.Trim(h, "0123456789abcdef") == ""
}

// Hex gives the 64 digits, or "" for an invalid digest.
func (d Digest) Hex() string {
	if !d.Valid() {
		return ""
	}
	return string(d[len(prefix):])
}

// Blobs stores files by digest. All methods may be called from many goroutines.
type Blobs interface {
	// Put stores what r yields and gives its digest and size; storing the same bytes again is free. It returns once they are durable.
	Put(ctx context.Context, r io.Reader) (Digest, int64, error)
	// Get opens a blob; reading it to the end verifies it. Unknown: fault.NotFound BLOB_UNKNOWN.
	Get(ctx context.Context, d Digest) (io.ReadCloser, error)
	// Has tells whether a blob is there.
	Has(ctx context.Context, d Digest) (bool, error)
	// Stat gives a blob's size. Unknown: fault.NotFound BLOB_UNKNOWN.
	Stat(ctx context.Context, d Digest) (int64, error)
}

// PutBytes stores bytes.
func PutBytes(ctx context.Context, b Blobs, data []byte) (Digest, error) {
	d, _, err := b.Put(ctx, bytes.NewReader(data))
	return d, err
}

// GetBytes reads a blob of at most limit bytes; a larger one is fault.Exhausted PAYLOAD_TOO_LARGE.
func GetBytes(ctx context.Context, b Blobs, d Digest, limit int64) ([]byte, error) {
	r, err := b.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "blob %s is larger than the %d bytes that are read here", d, limit)
	}
	return data, nil
}

func unknown(d Digest) error {
	return fault.New(fault.NotFound, "BLOB_UNKNOWN", "no blob %s is stored here", d).WithMeta("digest", string(d))
}
