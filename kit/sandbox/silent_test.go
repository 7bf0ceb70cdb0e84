package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/sandbox"
)

// TestSilent: one test for each way in which a wall like this one breaks without anybody noticing. Those that need no more than a hostile program stand
// in the attack tables: system calls by other numbers and flags (A38, A39), vsock and datagrams (A26, A30), what is left in /dev/shm (A52, A53).
func TestSilent_theEnvironmentIsSeenByNobody(t *testing.T) {
	t.Setenv("NULLIUS_CANARY", "canary-of-the-caller")
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		var seen []byte
		r, err := s.Run(t.Context(), sandbox.Spec{
			Argv: []string{"sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c canary-of-the-[c]aller; sleep 0.2"},
			Env:  []string{"PATH=/usr/bin:/bin", "GIVEN=canary-of-the-program"}, Stdout: writerFunc(func(p []byte) { seen = append(seen, p...) }),
			OnStart: func(pid int) { // seen from the host, in no argument list and in the program's environment only
				for _, p := range append(ancestors(t, pid), pid) {
					for _, f := range []string{"environ", "cmdline"} {
						if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p, f)); err == nil && bytes.Contains(b, []byte("canary-of-the-program")) {
							t.Errorf("/proc/%d/%s tells the program's environment", p, f)
						}
					}
				}
			},
		})
		if err != nil || strings.TrimSpace(string(seen)) != "0" {
			t.Errorf("%q, %+v, %v", seen, r, err)
		}
	})
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// ancestors lists the processes between this one and pid.
func ancestors(t *testing.T, pid int) []int {
	t.Helper()
	var all []int
	for pid > 1 && pid != os.Getpid() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return all
		}
		_, rest, _ := strings.Cut(string(b), "PPid:\t")
		line, _, _ := strings.Cut(rest, "\n")
		if pid, err = strconv.Atoi(line); err != nil {
			t.Fatal(err)
		}
		if pid > 1 && pid != os.Getpid() {
			all = append(all, pid)
		}
	}
	return all
}

func TestSilent_rootBecomesAnotherUserOnTheHost(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		dir := t.TempDir()
		r := do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "echo x > f; sleep 0.1"}, Dir: "/out", Binds: []sandbox.Bind{{Source: dir, Target: "/out", Writable: true}},
			OnStart: func(pid int) {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				if err != nil || os.Getuid() == 0 && strings.Contains(string(b), "\nUid:\t0\t") {
					t.Errorf("the first process is root: %v\n%s", err, b)
				}
			}})
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, "f"), &st); err != nil || st.Uid == 0 || os.Getuid() == 0 && st.Uid == 1000 {
			t.Errorf("%v, owned by %d; %s", err, st.Uid, r.err)
		}
	})
}

func TestSilent_everyProcessIsBornInItsCgroup(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		if s.Probe().MemoryWall == sandbox.WallWatchdog {
			t.Log("not run: no cgroup on this host")
			return
		}
		var seen string
		r, err := s.Run(t.Context(), sandbox.Spec{Argv: []string{"sleep", "0.2"}, Env: []string{"PATH=/usr/bin:/bin"}, OnStart: func(pid int) {
			for _, p := range append(ancestors(t, pid), pid) {
				b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p))
				if !regexp.MustCompile(fmt.Sprintf(`/nullius-\d+-%d-`, os.Getpid())).Match(b) {
					t.Errorf("process %d stands outside: %s", p, b)
				}
				seen += string(b)
			}
		}})
		if err != nil || seen == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// A program that Python runs gets the stop although it is not process 1, for which Python would ignore it, and a parent that dies takes all with it.
func TestSilent_theStopReachesTheProgram(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		r := do(t, s, sandbox.Spec{Limits: sandbox.Limits{Wall: time.Second}, Grace: 10 * time.Second,
			Argv: python("import signal, sys, time, os\nsignal.signal(15, lambda *a: (print('stopped'), sys.exit(7)))\nprint(os.getpid() != 1, flush=True); time.sleep(60)")})
		if r.out != "True\nstopped\n" || r.ExitCode != 7 || r.Forced {
			t.Errorf("%q, %+v", r.out, r.Result)
		}
	})
}

const orphanEnv = "NULLIUS_TEST_ORPHAN"

// orphanMain is an executor that will be killed: it runs a program that leaves a daemon.
func orphanMain() {
	level := os.Getenv(orphanEnv)
	if level == "" {
		return
	}
	for _, l := range levels {
		if l.name != level {
			continue
		}
		s, err := l.open()
		if err == nil {
			_, err = s.Run(context.Background(), sandbox.Spec{
				Argv: []string{"sh", "-c", "mkdir $TMPDIR/dark; chmod 0 $TMPDIR/dark; setsid sleep 300 & (sleep 300 &) ; echo up; " + os.Getenv("NULLIUS_TEST_THEN") + "sleep 300"},
				Env:  []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp", "NULLIUS_TOKEN=" + os.Getenv("NULLIUS_TOKEN")}, Stdout: os.Stdout,
			})
		}
		fmt.Println("ended", err)
	}
	os.Exit(1)
}

// TestSilent_nothingSurvivesTheExecutor is A24: at landlock what left the program's session lives until the next start sweeps.
func TestSilent_nothingSurvivesTheExecutor(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, level string) {
		token := fmt.Sprintf("orphan-%d", time.Now().UnixNano())
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), orphanEnv+"="+level, "NULLIUS_TOKEN="+token)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		n, err := out.Read(b)
		if string(b[:n]) != "up\n" {
			t.Errorf("%q, %v", b[:n], err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			left := processesWith(t, token)
			if len(left) == 0 {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("left behind: %v", left)
			}
		}
	})
}

// Forty processes that share one mapping hold it once.
func TestSilent_sharedMemoryIsCountedOnce(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		r := do(t, s, sandbox.Spec{Limits: sandbox.Limits{MemoryBytes: 256 * mib}, Argv: python(`
import mmap, os, time
m = mmap.mmap(-1, 64 << 20)
for i in range(0, 64 << 20, 4096): m[i] = 1
for k in range(12):
    if os.fork() == 0:
        s = sum(m[i] for i in range(0, 64 << 20, 4096)); time.sleep(0.5); os._exit(s != 16384)
codes = [os.wait()[1] for k in range(12)]
print(sum(codes))`)})
		if r.out != "0\n" || r.End != sandbox.Exited || r.PeakMemoryBytes > 256*mib {
			t.Errorf("%q, %s, peak %d MiB; %s", r.out, r.End, r.PeakMemoryBytes>>20, r.err)
		}
	})
}

// A run returns only when its last process is gone, however many there are.
func TestSilent_aRunReturnsWhenAllAreGone(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		token := fmt.Sprintf("crowd-%d", time.Now().UnixNano())
		for range 3 {
			r := do(t, s, sandbox.Spec{Env: []string{"PATH=/usr/bin:/bin:/nullius/bin", "NULLIUS_TOKEN=" + token},
				Argv: []string{"sh", "-c", "i=0; while [ $i -lt 40 ]; do setsid sleep 300 & i=$((i+1)); done; exit 0"}})
			if left := processesWith(t, token); len(left) > 0 || r.ExitCode != 0 {
				t.Errorf("%d left, %+v %s", len(left), r.Result, r.err)
			}
		}
	})
}
