package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nullius.dev/kit/sandbox"
)

// TestUsers_aCrowdedOneIsPassedOver: the kernel counts the processes of a user id over all containers that share it, also those that nobody here can see.
func TestUsers_aCrowdedOneIsPassedOver(t *testing.T) {
	if shared {
		t.Log("not run: needs root")
		return
	}
	cfg := sandbox.Config{UIDBase: 1_700_000_000, UIDCount: 8, Isolation: sandbox.Isolation{Level: "landlock", Min: "landlock"}}
	s, err := sandbox.New(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 60 {
		cmd := exec.Command("sleep", "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(cfg.UIDBase) + 1, Gid: uint32(cfg.UIDBase)}, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	if r := do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "id -u; sleep 0 & wait"}, Limits: sandbox.Limits{Processes: 8}}); r.ExitCode != 0 || r.out == "" {
		t.Errorf("%+v", r)
	}
}

// TestUsers_nobodyIsLeftUnburied ends runs whose orphans come to this process, which nobody waits for unless the sandbox does.
func TestUsers_nobodyIsLeftUnburied(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		before := endedChildren(t)  // of executors that other tests killed
		r := do(t, s, sandbox.Spec{ // whose helper may be stopped before it could tell that the program runs
			Argv:   []string{"sh", "-c", "trap '' TERM; for i in 1 2 3 4 5; do setsid sleep 300 & done; kill -STOP $PPID; sleep 300"},
			Limits: sandbox.Limits{Wall: time.Second}, Grace: 100 * time.Millisecond,
		})
		if r.End != sandbox.TimedOut {
			t.Errorf("%+v", r)
		}
		for pid, what := range endedChildren(t) {
			if _, ok := before[pid]; !ok {
				t.Errorf("not waited for: %d, %s", pid, what)
			}
		}
	})
}

// endedChildren lists this process's children that ended and that nobody waited for, by their ids.
func endedChildren(t *testing.T) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if text := string(b); strings.Contains(text, fmt.Sprintf(") Z %d ", os.Getpid())) {
			var pid int
			_, _ = fmt.Sscan(text, &pid)
			found[pid], _, _ = strings.Cut(text, " Z ")
		}
	}
	return found
}
