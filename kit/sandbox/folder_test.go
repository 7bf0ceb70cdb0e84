package sandbox_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/sandbox"
)

// TestFolders_ofTheDeadAreSwept kills an executor whose run has written a tree that resists and has stopped its helper, and starts others beside and after it.
func TestFolders_ofTheDeadAreSwept(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	token := fmt.Sprintf("swept-%d", time.Now().UnixNano())
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), orphanEnv+"=landlock", "NULLIUS_TOKEN="+token, "NULLIUS_TEST_THEN=kill -STOP $PPID; ")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	folders := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "nullius-sandbox-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	start := func() {
		s, err := sandbox.New(t.Context(), sandbox.Config{Isolation: sandbox.Isolation{Level: "landlock", Min: "landlock"}}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	}
	start()
	if left := folders(); len(left) != 1 {
		t.Errorf("beside a living one: %v", left)
	} else if _, err := os.Stat(filepath.Join(left[0], "tmp", "dark")); err != nil {
		t.Error(err)
	}
	for until := time.Now().Add(time.Minute); !parentStopped(t, token); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the helper does not stop")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for until := time.Now().Add(time.Minute); len(folders()) > 0 || len(processesWith(t, token)) > 0; time.Sleep(20 * time.Millisecond) {
		if start(); time.Now().After(until) {
			t.Fatalf("left behind: %v, %v", folders(), processesWith(t, token))
		}
	}
}

// parentStopped tells whether the parent of a process with this token in its environment was stopped by a signal.
func parentStopped(t *testing.T, token string) bool {
	t.Helper()
	fields := func(proc string) []string { // from the state on
		b, _ := os.ReadFile(filepath.Join(proc, "stat"))
		return append(strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])), "", "")
	}
	for _, proc := range processesWith(t, token) {
		if fields(filepath.Join("/proc", fields(proc)[1]))[0] == "T" {
			return true
		}
	}
	return false
}

// A folder of another name, a file, a link: not ours.
func TestFolders_ofOthersStay(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	elsewhere := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(elsewhere, "kept"), nil, 0o600))
	must(os.Symlink(elsewhere, filepath.Join(dir, "nullius-sandbox-link")))
	must(os.WriteFile(filepath.Join(dir, "nullius-sandbox-file"), nil, 0o600))
	must(os.Mkdir(filepath.Join(dir, "nullius-demo-1"), 0o700))
	must(os.MkdirAll(filepath.Join(dir, "nullius-sandbox-dead", "tmp"), 0o700))
	s, err := sandbox.New(t.Context(), sandbox.Config{}, quiet)
	must(err)
	must(s.Close())
	for path, stays := range map[string]bool{
		filepath.Join(elsewhere, "kept"): true, filepath.Join(dir, "nullius-sandbox-link"): true, filepath.Join(dir, "nullius-sandbox-file"): true,
		filepath.Join(dir, "nullius-demo-1"): true, filepath.Join(dir, "nullius-sandbox-dead"): false,
	} {
		if _, err := os.Lstat(path); (err == nil) != stays {
			t.Errorf("%s: %v, should stay: %t", path, err, stays)
		}
	}
}

// A service keeps its own temporary files where nobody else may look; its runs at landlock have users of their own.
func TestFolders_lieWhereRunsCanGo(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	s, err := sandbox.New(t.Context(), sandbox.Config{Isolation: sandbox.Isolation{Level: "landlock", Min: "landlock"}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r := do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "echo x > $HOME/f; cat $HOME/f"}}); r.out != "x\n" {
		t.Errorf("%q; %s", r.out, r.err)
	}
}
