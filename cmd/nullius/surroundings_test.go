package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDemo_inOddSurroundings is the fast whole run: standard library alone, two runs, a short paper. A private umask, a hostile Python environment, no home, folders with blanks and umlauts, a relative data folder, and the C locale change nothing.
func TestDemo_inOddSurroundings(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	dir := filepath.Join(t.TempDir(), "mit Leerzeichen äöü")
	evil := filepath.Join(dir, "evil")
	for _, name := range []string{"evil/json.py", "evil/argparse.py", "evil/sitecustomize.py", "tmp/keep"} {
		put(name, "raise SystemExit('hostile')\n")(t, dir)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `umask 077; exec "$0" demo --template bandit_lite --ideas 1 --data-dir data --address 127.0.0.1:0 --results results`, filepath.Join(bin, "nullius"))
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + filepath.Join(dir, "tmp"), "PYTHONPATH=" + evil, "PYTHONHOME=/nowhere", "PYTHONSTARTUP=" + evil + "/json.py"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "results", "bandit_lite", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("result folders: %v %v", found, err)
	}
	if st, err := os.Stat(found[0]); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the result folder's mode is %v (%v), against the user's umask", st.Mode(), err)
	}
	if pdfs, err := filepath.Glob(filepath.Join(found[0], "*_improved.pdf")); err != nil || len(pdfs) != 1 {
		t.Errorf("improved papers: %v, %v", pdfs, err)
	}
	settle(t, "bandit_lite", filepath.Join(dir, "data"))
	if left, err := filepath.Glob(filepath.Join(dir, "tmp", "nullius*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
