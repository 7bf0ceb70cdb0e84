package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nullius.dev/kit/fault"
)

// File is one file of a snapshot.
type File struct {
	Path   string
	Mode   uint32 // 0644 or 0755
	Size   int64
	Digest Digest
}

// Manifest lists a snapshot's files, sorted by the bytes of their paths.
type Manifest []File

// Bounds of a snapshot (reliability.md section 7).
const (
	maxFiles    = 200_000
	maxManifest = 64 << 20
	maxPath     = 4096
	maxSegment  = 255
)

// CheckPath refuses a path that a snapshot does not take: absolute, not cleaned, with "..", a backslash, control characters or bad UTF-8, or too long.
func CheckPath(p string) error {
	bad := func(why string) error {
		return fault.New(fault.Invalid, "PATH_INVALID", "path %q %s", cut(p, 200), why)
	}
	switch {
	case p == "" || p == ".":
		return bad("is empty")
	case len(p) > maxPath:
		return bad("is longer than 4,096 bytes")
	case !utf8.ValidString(p):
		return bad("is not UTF-8")
	case strings.HasPrefix(p, "/"):
		return bad("is absolute")
	case strings.ContainsRune(p, '\\'):
		return bad("holds a backslash")
	case path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return bad("is not clean or leaves the tree")
	case strings.ContainsFunc(p, unicode.IsControl):
		return bad("holds a control character")
	}
	for seg := range strings.SplitSeq(p, "/") {
		if len(seg) > maxSegment {
			return bad("has a part longer than 255 bytes")
		}
	}
	return nil
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Encode gives the manifest's bytes: a line a file, `<mode> <sha256> <size> <path, JSON-quoted>`.
func (m Manifest) Encode() []byte {
	var b bytes.Buffer
	for _, f := range m {
		fmt.Fprintf(&b, "%o %s %d %s\n", f.Mode, f.Digest.Hex(), f.Size, quote(f.Path))
	}
	return b.Bytes()
}

// quote writes a path as a JSON string, in the one way that this package knows.
func quote(p string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(p) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// ParseManifest reads what Encode wrote, and nothing else.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if line == "" && len(data) == 0 {
			break
		}
		f, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("manifest line %d: %w", i+1, err)
		}
		m = append(m, f)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(m.Encode(), data) {
		return nil, errors.New("manifest is not in its one form")
	}
	return m, nil
}

func parseLine(line string) (File, error) {
	part := strings.SplitN(line, " ", 4)
	if len(part) != 4 {
		return File{}, errors.New("four fields expected")
	}
	mode, err := strconv.ParseUint(part[0], 8, 32)
	if err != nil || (mode != 0o644 && mode != 0o755) {
		return File{}, errors.New("mode is neither 644 nor 755")
	}
	size, err := strconv.ParseInt(part[2], 10, 64)
	if err != nil || size < 0 {
		return File{}, errors.New("size is no number")
	}
	var p string
	if err := json.Unmarshal([]byte(part[3]), &p); err != nil {
		return File{}, errors.New("path is not quoted")
	}
	return File{Path: p, Mode: uint32(mode), Size: size, Digest: Digest(prefix + part[1])}, nil
}

// check refuses what no snapshot may hold.
func (m Manifest) check() error {
	if len(m) > maxFiles {
		return fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "a snapshot of %d files is over the limit of %d", len(m), maxFiles)
	}
	folded := make(map[string]string, len(m))
	files := make(map[string]bool, len(m))
	for i, f := range m {
		if err := CheckPath(f.Path); err != nil {
			return err
		}
		if !f.Digest.Valid() {
			return fault.New(fault.Invalid, "DIGEST_MISMATCH", "file %q has no valid digest", f.Path)
		}
		if i > 0 && m[i-1].Path >= f.Path {
			return fault.New(fault.Invalid, "PATH_INVALID", "paths %q and %q are doubled or out of order", m[i-1].Path, f.Path)
		}
		key := strings.ToLower(f.Path)
		if twin, ok := folded[key]; ok {
			return fault.New(fault.Invalid, "PATH_INVALID", "paths %q and %q differ only in case", twin, f.Path)
		}
		folded[key], files[f.Path] = f.Path, true
	}
	for _, f := range m {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return fault.New(fault.Invalid, "PATH_INVALID", "path %q is both a file and a folder", dir)
			}
		}
	}
	return nil
}

// Find gives a file by its path.
func (m Manifest) Find(p string) (File, bool) {
	i, ok := slices.BinarySearchFunc(m, p, func(f File, p string) int { return cmp.Compare(f.Path, p) })
	if !ok {
		return File{}, false
	}
	return m[i], true
}

// PutManifest sorts, checks and stores a manifest; its digest is the snapshot's.
func PutManifest(ctx context.Context, b Blobs, m Manifest) (Digest, error) {
	m = slices.Clone(m)
	slices.SortFunc(m, func(x, y File) int { return cmp.Compare(x.Path, y.Path) })
	if err := m.check(); err != nil {
		return "", err
	}
	return PutBytes(ctx, b, m.Encode())
}

// LoadManifest reads a snapshot's manifest. Unknown: fault.NotFound BLOB_UNKNOWN.
func LoadManifest(ctx context.Context, b Blobs, d Digest) (Manifest, error) {
	data, err := GetBytes(ctx, b, d, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "DIGEST_MISMATCH", "blob %s is no snapshot's manifest", d)
	}
	return m, nil
}
