package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tempVar makes the test binary a process that makes temporary files in a folder and then waits.
const tempVar = "NULLIUS_TEST_TEMP"

func TestOwnTemp_child(t *testing.T) {
	dir := os.Getenv(tempVar)
	if dir == "" {
		return
	}
	if _, err := OwnTemp(dir); err != nil {
		t.Fatal(err)
	}
	made, err := os.MkdirTemp("", "left-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(made, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("ready\n") // the parent waits for it
	select {}
}

func TestOwnTemp_sweepsTheDeadAndLeavesTheLiving(t *testing.T) {
	dir := t.TempDir()
	child := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOwnTemp_child$")
		cmd.Env = append(os.Environ(), tempVar+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if n, err := out.Read(make([]byte, 6)); err != nil || n == 0 {
			t.Fatalf("the child says nothing: %v", err)
		}
		return cmd
	}
	dead, _ := child(), child()
	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.Wait() // it was killed
	before := os.TempDir()
	remove, err := OwnTemp(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "tmp", "*", "left-*", "f"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if n := left(); n != 1 {
		t.Errorf("%d folders of two children are left, want that of the living one", n)
	}
	if os.TempDir() == before {
		t.Error("temporary files still go to " + before)
	}
	remove()
	if entries, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(entries) != 1 || os.TempDir() != before {
		t.Errorf("%v, %v; temporary files go to %s", entries, err, os.TempDir())
	}
}
