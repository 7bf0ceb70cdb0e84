package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"nullius.dev/kit/fault"
)

// ReadFile reads one file of a snapshot, of at most limit bytes. No such file: fault.NotFound FILE_UNKNOWN; a lost part: fault.Precondition MISSING_BLOB.
func ReadFile(ctx context.Context, b Blobs, snapshot Digest, path string, limit int64) ([]byte, error) {
	m, err := LoadManifest(ctx, b, snapshot)
	if err != nil {
		return nil, err
	}
	f, ok := m.Find(path)
	if !ok {
		return nil, fault.New(fault.NotFound, "FILE_UNKNOWN", "the snapshot has no file %q", cut(path, 200))
	}
	data, err := GetBytes(ctx, b, f.Digest, limit)
	return data, missing(f, err)
}

// missing tells a snapshot that lacks a part from one that is unknown.
func missing(f File, err error) error {
	if errors.Is(err, fault.NotFound) {
		return fault.Wrap(err, fault.Precondition, "MISSING_BLOB", "the bytes of %q are not stored here", f.Path).WithMeta("digest", string(f.Digest))
	}
	return err
}

// Edit makes a snapshot from another: files in set are written, keeping the mode of one that was there, those in remove are left out. An empty base is the empty tree.
func Edit(ctx context.Context, b Blobs, base Digest, set map[string][]byte, remove []string) (Digest, error) {
	var m Manifest
	if base != "" {
		var err error
		if m, err = LoadManifest(ctx, b, base); err != nil {
			return "", err
		}
	}
	out := m[:0:0]
	modes := map[string]uint32{}
	for _, f := range m {
		if _, ok := set[f.Path]; ok {
			modes[f.Path] = f.Mode
			continue
		}
		if !slices.Contains(remove, f.Path) {
			out = append(out, f)
		}
	}
	for p, data := range set {
		if err := CheckPath(p); err != nil {
			return "", err
		}
		d, size, err := b.Put(ctx, bytes.NewReader(data))
		if err != nil {
			return "", err
		}
		mode := modes[p]
		if mode == 0 {
			mode = 0o644
		}
		out = append(out, File{Path: p, Mode: mode, Size: size, Digest: d})
	}
	return PutManifest(ctx, b, out)
}

// PutTree stores a folder as a snapshot. Links and special files are refused, not followed.
func PutTree(ctx context.Context, b Blobs, dir string) (Digest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	var m Manifest
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if !e.Type().IsRegular() {
			return fault.New(fault.Invalid, "PATH_INVALID", "%q is a link or a special file; a snapshot takes regular files only", p)
		}
		p = filepath.ToSlash(p)
		if err := CheckPath(p); err != nil {
			return err
		}
		f, err := root.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		mode := uint32(0o644)
		if st.Mode()&0o111 != 0 {
			mode = 0o755
		}
		d, size, err := b.Put(ctx, f)
		m = append(m, File{Path: p, Mode: mode, Size: size, Digest: d})
		return err
	})
	if err != nil {
		return "", err
	}
	return PutManifest(ctx, b, m)
}

// Materialize writes a snapshot into a folder, which is made. The files are copies, so that nothing that runs on them can reach the store.
func Materialize(ctx context.Context, b Blobs, d Digest, dir string) error {
	m, err := LoadManifest(ctx, b, d)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range m {
		if err := writeFile(ctx, b, root, f); err != nil {
			return missing(f, err)
		}
	}
	return nil
}

func writeFile(ctx context.Context, b Blobs, root *os.Root, f File) error {
	if dir := filepath.Dir(f.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	r, err := b.Get(ctx, f.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(f.Mode))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, readerOf(ctx, r))
	return errors.Join(err, w.Close())
}
