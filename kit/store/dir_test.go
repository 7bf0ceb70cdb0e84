package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
)

func openDir(t *testing.T) (*store.Dir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := store.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func TestManyWritersOfTheSameBytesStoreThemOnce(t *testing.T) {
	b, path := openDir(t)
	data := bytes.Repeat([]byte("nullius "), 10_000)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			d, n, err := b.Put(t.Context(), bytes.NewReader(data))
			if err != nil || n != int64(len(data)) || d != store.DigestOf(data) {
				t.Errorf("put: %v, %v, %v", d, n, err)
			}
		})
	}
	wg.Wait()
	files := 0
	err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != 1 {
		t.Errorf("%d files lie there, %v", files, err)
	}
	if got, err := store.GetBytes(t.Context(), b, store.DigestOf(data), int64(len(data))); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read back: %v", err)
	}
}

func TestABrokenSourceLeavesNothingBehind(t *testing.T) {
	b, path := openDir(t)
	source := errors.New("connection reset")
	if _, _, err := b.Put(t.Context(), io.MultiReader(strings.NewReader("half"), failing{source})); !errors.Is(err, source) {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(filepath.Join(path, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestACancelledPutStops(t *testing.T) {
	b, _ := openDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.PutBytes(ctx, b, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestADamagedBlobIsNotReadAsGood(t *testing.T) {
	b, path := openDir(t)
	d, err := store.PutBytes(t.Context(), b, []byte("measured 0.93"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, d.Hex()[:2], d.Hex())
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("measured 0.99"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := store.GetBytes(t.Context(), b, d, 1<<20); err == nil {
		t.Errorf("read %q", got)
	}
}

func TestReadsAreBounded(t *testing.T) {
	b, _ := openDir(t)
	d, err := store.PutBytes(t.Context(), b, []byte("0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.GetBytes(t.Context(), b, d, 10); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := store.GetBytes(t.Context(), b, d, 9); fault.ReasonOf(err) != "PAYLOAD_TOO_LARGE" {
		t.Errorf("one above: %v", err)
	}
}

func TestUnknownAndInvalidDigestsAreNotFound(t *testing.T) {
	b, _ := openDir(t)
	for _, d := range []store.Digest{store.DigestOf([]byte("never stored")), "", "sha256:../../etc/passwd", "md5:00", "sha256:" + store.Digest(strings.Repeat("A", 64))} {
		if _, err := b.Get(t.Context(), d); fault.ReasonOf(err) != "BLOB_UNKNOWN" {
			t.Errorf("get %q: %v", d, err)
		}
		if _, err := b.Stat(t.Context(), d); fault.ReasonOf(err) != "BLOB_UNKNOWN" {
			t.Errorf("stat %q: %v", d, err)
		}
		if ok, err := b.Has(t.Context(), d); ok || err != nil {
			t.Errorf("has %q: %v, %v", d, ok, err)
		}
	}
}

func TestEditing(t *testing.T) {
	b, _ := openDir(t)
	ctx := t.Context()
	run, err := store.PutBytes(ctx, b, []byte("#!/bin/sh\n"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := store.PutManifest(ctx, b, store.Manifest{
		{Path: "run.sh", Mode: 0o755, Size: 10, Digest: run}, {Path: "notes.txt", Mode: 0o644, Size: 10, Digest: run}, {Path: "data/x", Mode: 0o644, Size: 10, Digest: run},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		base   store.Digest
		set    map[string][]byte
		remove []string
		want   []string // path:mode:size
		reason string
	}{
		{"a changed file keeps its mode", base, map[string][]byte{"run.sh": []byte("new")}, nil, []string{"data/x:644:10", "notes.txt:644:10", "run.sh:755:3"}, ""},
		{"a new file is plain", base, map[string][]byte{"a.py": nil}, nil, []string{"a.py:644:0", "data/x:644:10", "notes.txt:644:10", "run.sh:755:10"}, ""},
		{"files are left out", base, nil, []string{"data/x", "no/such"}, []string{"notes.txt:644:10", "run.sh:755:10"}, ""},
		{"from nothing", "", map[string][]byte{"a": []byte("1")}, nil, []string{"a:644:1"}, ""},
		{"to nothing", base, nil, []string{"data/x", "notes.txt", "run.sh"}, nil, ""},
		{"a hostile path", base, map[string][]byte{"../x": nil}, nil, nil, "PATH_INVALID"},
		{"a file where a folder is", base, map[string][]byte{"data": nil}, nil, nil, "PATH_INVALID"},
		{"a file under a file", base, map[string][]byte{"run.sh/x": nil}, nil, nil, "PATH_INVALID"},
		{"a twin in case", base, map[string][]byte{"RUN.sh": nil}, nil, nil, "PATH_INVALID"},
		{"an unknown base", store.DigestOf([]byte("no")), nil, nil, nil, "BLOB_UNKNOWN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := store.Edit(ctx, b, tt.base, tt.set, tt.remove)
			if fault.ReasonOf(err) != tt.reason {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			m, err := store.LoadManifest(ctx, b, d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, short(m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func short(m store.Manifest) []string {
	var out []string
	for _, f := range m {
		line, _ := strings.CutSuffix(string(store.Manifest{f}.Encode()), "\n")
		part := strings.Fields(line)
		out = append(out, f.Path+":"+part[0]+":"+part[2])
	}
	return out
}

func TestAnEditIsWhatWritingTheFilesWouldGive(t *testing.T) {
	b := memory{}
	name := rapid.StringMatching(`[a-d](/[e-h]){0,2}\.txt`)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		before := rapid.MapOfN(name, rapid.SliceOfN(rapid.Byte(), 0, 8), 0, 6).Draw(rt, "before")
		set := rapid.MapOfN(name, rapid.SliceOfN(rapid.Byte(), 0, 8), 0, 4).Draw(rt, "set")
		remove := rapid.SliceOfN(name, 0, 4).Draw(rt, "remove")
		base, err := store.Edit(ctx, b, "", before, nil)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := store.Edit(ctx, b, base, set, remove)
		if err != nil {
			rt.Fatal(err)
		}
		after := map[string][]byte{}
		for p, data := range before {
			after[p] = data
		}
		for _, p := range remove {
			delete(after, p)
		}
		for p, data := range set { // set and removed: set
			after[p] = data
		}
		want, err := store.Edit(ctx, b, "", after, nil)
		if err != nil || got != want {
			rt.Fatalf("got %s, want %s (%v)", got, want, err)
		}
	})
}

func TestAManifestInAnotherFormIsRefused(t *testing.T) {
	h := store.DigestOf(nil).Hex()
	tests := []struct{ name, text string }{
		{"an odd mode", "600 " + h + " 0 \"a\"\n"},
		{"a mode with a zero before it", "0644 " + h + " 0 \"a\"\n"},
		{"a negative size", "644 " + h + " -1 \"a\"\n"},
		{"a size with a plus", "644 " + h + " +1 \"a\"\n"},
		{"an escape that need not be", "644 " + h + " 0 \"\\u0061\"\n"},
		{"no line end", "644 " + h + " 0 \"a\""},
		{"an empty line", "644 " + h + " 0 \"a\"\n\n"},
		{"paths out of order", "644 " + h + " 0 \"b\"\n644 " + h + " 0 \"a\"\n"},
		{"a doubled path", "644 " + h + " 0 \"a\"\n644 " + h + " 0 \"a\"\n"},
		{"a path that leaves the tree", "644 " + h + " 0 \"../a\"\n"},
		{"a digest in capitals", "644 " + strings.ToUpper(h) + " 0 \"a\"\n"},
		{"three fields", "644 " + h + " 0\n"},
		{"no manifest at all", "\x00\x01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := store.ParseManifest([]byte(tt.text)); err == nil {
				t.Errorf("read as %v", m)
			}
		})
	}
}

func TestPathsAreQuotedAsJSON(t *testing.T) {
	d := store.DigestOf(nil)
	got := string(store.Manifest{{Path: `a "b" <é> 😀`, Mode: 0o644, Digest: d}}.Encode())
	if want := "644 " + d.Hex() + ` 0 "a \"b\" <é> 😀"` + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenDirSweepsWhatAKilledWriterLeft(t *testing.T) {
	root := t.TempDir()
	if _, err := store.OpenDir(root); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(root, "tmp", "put-1")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := store.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	r, w := io.Pipe() // a writer that is at it while another process starts
	done := make(chan error, 1)
	go func() { _, _, err := again.Put(t.Context(), r); done <- err }()
	for range 20 {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.OpenDir(root); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("its file was swept: %v", err)
	}
}
