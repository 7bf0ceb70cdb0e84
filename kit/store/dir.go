package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/filelock"
)

// Dir keeps blobs in a directory: <first two digits>/<64 digits>, mode 0444. A write goes to a temporary file, is synced and renamed.
type Dir struct {
	root string
}

// OpenDir opens or makes the directory; blobs are readable by its owner alone.
func OpenDir(path string) (*Dir, error) {
	for _, p := range []string{path, filepath.Join(path, "tmp")} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return nil, fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "the blob folder %s cannot be made", p)
		}
	}
	filelock.Sweep(filepath.Join(path, "tmp")) // of writers that were killed
	return &Dir{path}, nil
}

func (s *Dir) path(d Digest) string {
	h := d.Hex()
	return filepath.Join(s.root, h[:2], h)
}

// Put implements Blobs.
func (s *Dir) Put(ctx context.Context, r io.Reader) (d Digest, size int64, err error) {
	r = readerOf(ctx, r)
	var head bytes.Buffer
	switch n, err := io.CopyN(&head, r, smallBlob); {
	case errors.Is(err, io.EOF): // most blobs are small, and most of those that a snapshot names are known
		d = DigestOf(head.Bytes())
		if _, err := os.Stat(s.path(d)); err == nil {
			return d, n, nil
		}
	case err != nil:
		return "", 0, err
	}
	return s.write(io.MultiReader(&head, r))
}

// smallBlob is up to how many bytes are read into memory, to find out whether they are known, before a file is made.
const smallBlob = 256 << 10

func (s *Dir) write(r io.Reader) (d Digest, size int64, err error) {
	tmp, err := s.temp()
	if err != nil {
		return "", 0, diskFault(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name()))
		}
	}()
	sum := sha256.New()
	if size, err = io.Copy(io.MultiWriter(tmp, sum), r); err != nil {
		return "", 0, diskFault(err)
	}
	d = Digest(prefix + hex.EncodeToString(sum.Sum(nil)))
	if _, statErr := os.Stat(s.path(d)); statErr == nil { // known already
		return d, size, errors.Join(tmp.Close(), os.Remove(tmp.Name()))
	}
	if err = errors.Join(tmp.Chmod(0o444), tmp.Sync()); err != nil {
		return "", 0, diskFault(err)
	}
	if err = s.shard(d); err != nil {
		return "", 0, diskFault(err)
	}
	if err = os.Rename(tmp.Name(), s.path(d)); err != nil {
		return "", 0, diskFault(err)
	}
	return d, size, errors.Join(tmp.Close(), syncDir(filepath.Dir(s.path(d))))
}

// temp makes a file that no process's start takes for one of the dead.
func (s *Dir) temp() (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Join(s.root, "tmp"), "put-*")
		if err != nil {
			return nil, err
		}
		if err = filelock.Hold(f); err == nil {
			return f, nil
		}
		_ = f.Close()
		if !errors.Is(err, fs.ErrNotExist) { // else a start was faster
			return nil, err
		}
	}
}

// shard makes the folder of a digest durably, once for each two digits.
func (s *Dir) shard(d Digest) error {
	dir := filepath.Dir(s.path(d))
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(s.root)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func diskFault(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(err, fault.Exhausted, "STORAGE_FULL", "the disk of the blob store is full").WithNext("nullius doctor")
	}
	return err
}

// Get implements Blobs.
func (s *Dir) Get(_ context.Context, d Digest) (io.ReadCloser, error) {
	if !d.Valid() {
		return nil, unknown(d)
	}
	f, err := os.Open(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unknown(d)
	}
	if err != nil {
		return nil, err
	}
	return &verifier{f: f, sum: sha256.New(), want: d}, nil
}

// Has implements Blobs.
func (s *Dir) Has(_ context.Context, d Digest) (bool, error) {
	if !d.Valid() {
		return false, nil
	}
	_, err := os.Stat(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Stat implements Blobs.
func (s *Dir) Stat(_ context.Context, d Digest) (int64, error) {
	if !d.Valid() {
		return 0, unknown(d)
	}
	st, err := os.Stat(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, unknown(d)
	}
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// verifier fails at the end of a blob whose bytes are not what its name says.
type verifier struct {
	f    *os.File
	sum  hash.Hash
	want Digest
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.sum.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(v.sum.Sum(nil)) != v.want.Hex() {
		return n, fmt.Errorf("blob %s is damaged: its bytes have another digest", v.want)
	}
	return n, err
}

func (v *verifier) Close() error { return v.f.Close() }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func readerOf(ctx context.Context, r io.Reader) io.Reader { return ctxReader{ctx, r} }

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
