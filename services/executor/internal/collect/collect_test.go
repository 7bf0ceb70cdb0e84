package collect_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/store"
	"nullius.dev/services/executor/internal/collect"
)

func TestFrom_TakesRegularFilesOnly(t *testing.T) {
	root := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		must(os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	must(os.WriteFile(secret, []byte("secret"), 0o644))
	write("run_1/good.txt", "good")
	write("run_1/sub/deep.txt", "deep")
	write("run_1/big.bin", strings.Repeat("x", 100))
	write("run_1/two.txt", "two")
	must(os.Link(filepath.Join(root, "run_1/two.txt"), filepath.Join(root, "run_1/two-again.txt")))
	must(os.Symlink(secret, filepath.Join(root, "run_1/link.txt")))
	must(os.Symlink("..", filepath.Join(root, "run_1/loop")))
	must(unix.Mkfifo(filepath.Join(root, "run_1/fifo.txt"), 0o644))
	must(os.WriteFile(filepath.Join(root, "run_1/set.txt"), []byte("s"), 0o644))
	must(os.Chmod(filepath.Join(root, "run_1/set.txt"), 0o4755))
	must(os.WriteFile(filepath.Join(root, "run_1/odd\nname.txt"), nil, 0o644))
	sparse, err := os.Create(filepath.Join(root, "run_1/sparse.txt"))
	must(err)
	must(sparse.Truncate(64 << 30))
	must(sparse.Close())
	write("run_1/other.log", "other")

	got, err := collect.From(t.Context(), kittest.Blobs(t), root, "run_1", []collect.Rule{{Glob: "run_1/**/*.txt", MaxBytes: 1 << 20}, {Glob: "run_1/big.bin", MaxBytes: 10}}, 1<<20)
	must(err)
	var names []string
	for _, f := range got.Files {
		names = append(names, f.Path)
		if f.Mode != 0o644 && f.Mode != 0o755 {
			t.Errorf("%s has mode %o", f.Path, f.Mode)
		}
	}
	if s := strings.Join(names, " "); s != "run_1/good.txt run_1/set.txt run_1/sub/deep.txt" {
		t.Errorf("taken: %s", s)
	}
	refused := map[string]string{}
	for _, r := range got.Refused {
		refused[r.Path] = r.Reason
	}
	for _, p := range []string{"run_1/big.bin", "run_1/two.txt", "run_1/two-again.txt", "run_1/link.txt", "run_1/fifo.txt", "run_1/sparse.txt", `run_1/odd\nname.txt`} {
		if refused[p] == "" {
			t.Errorf("%s was not refused: %v", p, refused)
		}
	}
	if len(got.Others) != 1 || got.Others[0] != "run_1/other.log" {
		t.Errorf("others: %v", got.Others)
	}
	if _, err := collect.From(t.Context(), kittest.Blobs(t), root, "run_1/loop", nil, 1); err != nil {
		t.Errorf("a link as the folder: %v", err)
	}
}

// TestFrom_isNotCrowdedOut: what is declared by its whole name is taken, whatever else lies beside it and wherever a listing would end.
func TestFrom_isNotCrowdedOut(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run_1"), 0o755); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range collect.MaxFiles + 50 {
		names = append(names, fmt.Sprintf("run_1/%d.txt", i))
		if err := os.WriteFile(filepath.Join(root, names[i]), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var rules []collect.Rule
	for _, n := range names[:100] {
		rules = append(rules, collect.Rule{Glob: n})
	}
	rules = append(rules, collect.Rule{Glob: "run_1/none.txt"}, collect.Rule{Glob: "run_1"}, collect.Rule{Glob: "../x"}, collect.Rule{Glob: "run_1/**"})
	got, err := collect.From(t.Context(), kittest.Blobs(t), root, "run_1", rules, 1<<20)
	if err != nil || len(got.Files) != collect.MaxFiles {
		t.Fatalf("%d files, %v", len(got.Files), err)
	}
	taken := map[string]bool{}
	for _, f := range got.Files {
		if taken[f.Path] {
			t.Errorf("%s was taken twice", f.Path)
		}
		taken[f.Path] = true
	}
	for _, n := range names[:100] {
		if !taken[n] {
			t.Errorf("%s was crowded out", n)
		}
	}
}

// TestFrom_namesWhatItRefuses in words that a message can carry.
func TestFrom_namesWhatItRefuses(t *testing.T) {
	for _, name := range []string{strings.Repeat("\u00e9", 120), strings.Repeat("\U0001F600", 60), "\"quoted\"", "\xff\xfe", "a\u202eb", strings.Repeat("x", 250)} {
		root := t.TempDir()
		dir := filepath.Join(root, "a", name, name, name)
		if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mkfifo(filepath.Join(dir, "p"), 0o644)); err != nil {
			t.Fatal(err)
		}
		got, err := collect.From(t.Context(), kittest.Blobs(t), root, "", []collect.Rule{{Glob: "**"}}, 1)
		if err != nil || len(got.Refused) != 1 {
			t.Fatalf("%q: %v, %v", name, got, err)
		}
		if p := got.Refused[0].Path; !utf8.ValidString(p) || len(p) > 600 || strings.Contains(p, "\u202e") || !strings.HasPrefix(p, "a/") {
			t.Errorf("%q", p)
		}
	}
}

// TestSame_readsNoMoreThanThereWas: a file may be as large as a file can be.
func TestSame_readsNoMoreThanThereWas(t *testing.T) {
	root := t.TempDir()
	at := filepath.Join(root, "f")
	if err := os.WriteFile(at, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("text"))
	was := store.File{Path: "f", Size: 4, Digest: store.Digest("sha256:" + hex.EncodeToString(sum[:]))}
	if !collect.Same(root, was) {
		t.Error("it is the same")
	}
	for name, change := range map[string]func() error{
		"other text": func() error { return os.WriteFile(at, []byte("texT"), 0o644) },
		"a terabyte": func() error { return os.Truncate(at, 1<<40) },
		"nothing":    func() error { return os.Truncate(at, 0) },
		"a link to it": func() error {
			return errors.Join(os.WriteFile(at+"2", []byte("text"), 0o644), os.Remove(at), os.Symlink("f2", at))
		},
		"a pipe":         func() error { return errors.Join(os.Remove(at), unix.Mkfifo(at, 0o644)) },
		"no file at all": func() error { return os.Remove(at) },
	} {
		if err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if collect.Same(root, was) {
			t.Errorf("%s is not the same", name)
		}
		_ = os.Remove(at)
		if err := os.WriteFile(at, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMatch_StarsAndSegments(t *testing.T) {
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"*.png", "a.png", true}, {"*.png", "d/a.png", false}, {"run_*/**", "run_1/a/b", true}, {"run_*/**", "run_1", false},
		{"**/*.py", "a.py", true}, {"**/*.py", "x/y/a.py", true}, {"latex/**", "latex/t.tex", true}, {"a", "a/b", false},
	} {
		if got := collect.Match(c.glob, c.path); got != c.want {
			t.Errorf("Match(%q, %q) = %t", c.glob, c.path, got)
		}
	}
	for _, bad := range []string{"", "/a", "../a", "a/[", strings.Repeat("**/", 5)} {
		if collect.GlobError(bad) == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
