package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// FS shows a snapshot as a file system that reads straight from the store: nothing is copied. Files hold the context that it was made with. Failures of
// LoadManifest come at once; a lost part is MISSING_BLOB when it is opened.
func FS(ctx context.Context, b Blobs, snapshot Digest) (fs.FS, error) {
	m, err := LoadManifest(ctx, b, snapshot)
	if err != nil {
		return nil, err
	}
	t := &treeFS{ctx: ctx, blobs: b, files: map[string]File{}, dirs: map[string][]fs.DirEntry{".": nil}}
	for _, f := range m {
		t.files[f.Path] = f
		var entry fs.DirEntry = fs.FileInfoToDirEntry(treeInfo{f})
		for p := f.Path; p != "."; {
			dir := path.Dir(p)
			_, known := t.dirs[dir]
			t.dirs[dir] = append(t.dirs[dir], entry)
			if known {
				break
			}
			p, entry = dir, fs.FileInfoToDirEntry(dirInfo(dir))
		}
	}
	for _, entries := range t.dirs {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return t, nil
}

// treeFS lives as long as the call that reads from it, so it may hold its context.
type treeFS struct {
	ctx   context.Context
	blobs Blobs
	files map[string]File
	dirs  map[string][]fs.DirEntry
}

func (t *treeFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if entries, ok := t.dirs[name]; ok {
		return &treeDir{info: dirInfo(name), left: entries}, nil
	}
	f, ok := t.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	r, err := t.blobs.Get(t.ctx, f.Digest)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: missing(f, err)}
	}
	return treeFile{r, treeInfo{f}}, nil
}

type treeFile struct {
	io.ReadCloser
	info treeInfo
}

func (f treeFile) Stat() (fs.FileInfo, error) { return f.info, nil }

type treeDir struct {
	info dirInfo
	left []fs.DirEntry
}

func (d *treeDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *treeDir) Close() error               { return nil }
func (d *treeDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: string(d.info), Err: errors.New("is a folder")}
}

// ReadDir gives the next n entries, or all that are left if n is not positive.
func (d *treeDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.left) {
		n = len(d.left)
	}
	out := slices.Clone(d.left[:n])
	d.left = d.left[n:]
	return out, nil
}

type treeInfo struct{ f File }

func (i treeInfo) Name() string      { return path.Base(i.f.Path) }
func (i treeInfo) Size() int64       { return i.f.Size }
func (i treeInfo) Mode() fs.FileMode { return fs.FileMode(i.f.Mode) }
func (treeInfo) ModTime() time.Time  { return time.Time{} }
func (treeInfo) IsDir() bool         { return false }
func (treeInfo) Sys() any            { return nil }

type dirInfo string

func (i dirInfo) Name() string     { return path.Base(string(i)) }
func (dirInfo) Size() int64        { return 0 }
func (dirInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (dirInfo) ModTime() time.Time { return time.Time{} }
func (dirInfo) IsDir() bool        { return true }
func (dirInfo) Sys() any           { return nil }
