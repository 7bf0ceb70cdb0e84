package collect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/kittest"
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
