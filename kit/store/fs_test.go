package store_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/store"
)

func TestFSShowsASnapshotWithoutCopies(t *testing.T) {
	b := kittest.Blobs(t)
	d, err := store.Edit(t.Context(), b, "", map[string][]byte{"a.py": []byte("x = 1\n"), "latex/fig/b.png": nil, "latex/t.tex": []byte("t"), "z/z/z": []byte("z")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.FS(t.Context(), b, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "a.py", "latex/fig/b.png", "latex/t.tex", "z/z/z"); err != nil {
		t.Error(err)
	}
	if _, err := store.FS(t.Context(), b, "sha256:"+store.Digest(make([]byte, 64))); err == nil {
		t.Error("an unknown snapshot opens")
	}
}

func TestFSNamesALostPart(t *testing.T) {
	b := memory{}
	d, err := store.Edit(t.Context(), b, "", map[string][]byte{"a.py": []byte("x"), "b.py": []byte("y")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	delete(b, store.DigestOf([]byte("x")))
	tree, err := store.FS(t.Context(), b, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(tree, "a.py"); fault.ReasonOf(err) != "MISSING_BLOB" {
		t.Errorf("a lost part: %v", err)
	}
	if _, err := fs.ReadFile(tree, "c.py"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}
