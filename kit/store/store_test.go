package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/store"
)

func TestATreeComesBackAsItWas(t *testing.T) {
	b, src, dst := kittest.Blobs(t), t.TempDir(), filepath.Join(t.TempDir(), "out")
	files := map[string]string{"experiment.py": "print(1)\n", "latex/template.tex": "x", "data/a b.txt": "", "ünïcode.txt": "ü"}
	for p, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, p), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d, err := store.PutTree(t.Context(), b, src)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Materialize(t.Context(), b, d, dst); err != nil {
		t.Fatal(err)
	}
	again, err := store.PutTree(t.Context(), b, dst)
	if err != nil || again != d {
		t.Errorf("digest %s became %s (%v)", d, again, err)
	}
}

func TestHostilePathsAreRefused(t *testing.T) {
	for _, p := range []string{"", ".", "/etc/passwd", "../x", "a/../b", "a//b", "a\x00b", "a\nb", "a\\b", "./a", "a/", string([]byte{0xff})} {
		if err := store.CheckPath(p); fault.ReasonOf(err) != "PATH_INVALID" {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestALinkIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutTree(t.Context(), kittest.Blobs(t), dir); fault.ReasonOf(err) != "PATH_INVALID" {
		t.Errorf("got %v", err)
	}
}

func TestTwinsInCaseAreRefused(t *testing.T) {
	d := store.DigestOf(nil)
	_, err := store.PutManifest(t.Context(), kittest.Blobs(t), store.Manifest{{Path: "A", Mode: 0o644, Digest: d}, {Path: "a", Mode: 0o644, Digest: d}})
	if !errors.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestAnUnknownSnapshotAndALostPartAreTold(t *testing.T) {
	b := kittest.Blobs(t)
	if _, err := store.LoadManifest(t.Context(), b, store.DigestOf([]byte("x"))); fault.ReasonOf(err) != "BLOB_UNKNOWN" {
		t.Errorf("unknown: %v", err)
	}
	d, err := store.PutManifest(t.Context(), b, store.Manifest{{Path: "a", Mode: 0o644, Digest: store.DigestOf([]byte("lost"))}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.ReadFile(t.Context(), b, d, "a", 10); fault.ReasonOf(err) != "MISSING_BLOB" {
		t.Errorf("lost: %v", err)
	}
}

func TestManifestsHaveOneForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paths := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9 _"é]{0,12}\.[a-z]{1,3}`), 0, 8, rapid.ID[string]).Draw(t, "paths")
		var m store.Manifest
		for _, p := range paths {
			m = append(m, store.File{Path: p, Mode: rapid.SampledFrom([]uint32{0o644, 0o755}).Draw(t, "mode"), Size: int64(len(p)), Digest: store.DigestOf([]byte(p))})
		}
		b := memory{}
		d, err := store.PutManifest(t.Context(), b, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.LoadManifest(t.Context(), b, d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(len(m), len(got)); diff != "" || !bytes.Equal(got.Encode(), b[d]) {
			t.Fatal(diff)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte("644 " + store.DigestOf(nil).Hex() + " 0 \"a\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := store.ParseManifest(data); err == nil && !bytes.Equal(m.Encode(), data) {
			t.Errorf("%q was read but has another form", data)
		}
	})
}
