package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	orphanMain()
	_ = flag.Set("test.parallel", "6") // attacks mostly wait; the command line may say otherwise
	os.Exit(m.Run())
}

func open(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(t.Context(), sandbox.Config{}, quiet)
	if err != nil {
		t.Fatalf("New: %v (install: sudo apt-get install -y bubblewrap)", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

const mib = 1 << 20

// slowness stretches limits of time on a machine that is emulated: NULLIUS_SLOW=5.
var slowness = func() time.Duration {
	n, _ := strconv.Atoi(os.Getenv("NULLIUS_SLOW"))
	return time.Duration(max(1, n))
}()

type run struct {
	sandbox.Result
	out, err string
}

func do(t *testing.T, s *sandbox.Sandbox, spec sandbox.Spec) run {
	t.Helper()
	var out, errs bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &errs
	if spec.Env == nil {
		spec.Env = []string{"PATH=/nullius/bin:/usr/bin:/bin", "HOME=/tmp"}
	}
	if spec.Grace == 0 {
		spec.Grace = 300 * time.Millisecond
	}
	if spec.Limits.Wall == 0 {
		spec.Limits.Wall = 20 * time.Second
	}
	if spec.Limits.MemoryBytes == 0 {
		spec.Limits.MemoryBytes = 256 * mib
	}
	spec.Limits.Wall, spec.Grace = spec.Limits.Wall*slowness, spec.Grace*slowness
	r, err := s.Run(t.Context(), spec)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return run{r, out.String(), errs.String()}
}

func python(code string) []string { return []string{"python3", "-c", code} }

func TestSandbox_ProbeHoldsEveryAttack(t *testing.T) {
	s := open(t)
	p := s.Probe()
	t.Logf("probe took %v, memory wall %s, warnings %v", p.Took, p.MemoryWall, p.Warnings)
	for _, name := range []string{"secret", "tcp", "udp", "abstract", "template", "memory", "processes", "unshare", "file size"} {
		if p.Attacks[name] == "" {
			t.Errorf("attack %q was not made: %v", name, p.Attacks)
		}
	}
	if !strings.HasPrefix(p.Digest, "sha256:") {
		t.Errorf("digest %q", p.Digest)
	}
}

func TestSandbox_TellsHowAProgramEnded(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		name         string
		argv         []string
		limits       sandbox.Limits
		end          sandbox.End
		code, signal int
		forced       bool
		out, err     string
	}{
		{"an exit code is its own", []string{"sh", "-c", "echo hi; echo oops >&2; exit 3"}, sandbox.Limits{}, sandbox.Exited, 3, 0, false, "hi\n", "oops\n"},
		{"a forged 137 is an exit code", []string{"sh", "-c", "exit 137"}, sandbox.Limits{}, sandbox.Exited, 137, 0, false, "", ""},
		{"a signal is a signal", []string{"sh", "-c", "kill -9 $$"}, sandbox.Limits{}, sandbox.Exited, -1, 9, false, "", ""},
		{"an abort leaves no core", python("import os; os.abort()"), sandbox.Limits{}, sandbox.Exited, -1, 6, false, "", ""},
		{"killing process 1 does nothing", []string{"sh", "-c", "kill -9 1; kill -TERM 1; kill -SEGV 1; sleep 0.1; exit 4"}, sandbox.Limits{}, sandbox.Exited, 4, 0, false, "", ""},
		{"a missing command is told as shells do", []string{"no-such-command"}, sandbox.Limits{}, sandbox.Exited, 127, 0, false, "", "no-such-command: command not found\n"},
		{"a sleeper is stopped at its limit", []string{"sleep", "60"}, sandbox.Limits{Wall: 200 * time.Millisecond}, sandbox.TimedOut, -1, 15, false, "", ""},
		{"one who ignores the stop is killed", python("import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"), sandbox.Limits{Wall: 400 * time.Millisecond}, sandbox.TimedOut, -1, 9, true, "", ""},
		{"one who handles the stop ends by himself", python("import signal,sys,time\nsignal.signal(15, lambda *a: sys.exit(3))\ntime.sleep(60)"), sandbox.Limits{Wall: time.Second}, sandbox.TimedOut, 3, 0, false, "", ""},
		{"a busy loop is stopped", python("while True: pass"), sandbox.Limits{Wall: 300 * time.Millisecond}, sandbox.TimedOut, -1, 15, false, "", ""},
		{"a memory eater is killed", python("b = b'x' * (600 << 20)\nimport time; time.sleep(5)"), sandbox.Limits{MemoryBytes: 64 * mib}, sandbox.OutOfMemory, -1, 9, false, "", ""},
		{"memory in /dev/shm counts", python("f = open('/dev/shm/x','wb')\nfor i in range(300): f.write(b'x' * (1 << 20))\nf.flush()\nimport time; time.sleep(5)"), sandbox.Limits{MemoryBytes: 64 * mib}, sandbox.OutOfMemory, -1, 9, false, "", ""},
		{"/tmp has a size", python("f = open('/tmp/x','wb')\ntry:\n for i in range(300): f.write(b'x' * (1 << 20))\nexcept OSError as e: print(e.errno, flush=True)\nimport os; os._exit(0)"), sandbox.Limits{TmpBytes: mib}, sandbox.Exited, 0, 0, false, "28\n", ""},
		{"a file has a size", python("import signal; signal.signal(25, signal.SIG_IGN)\nf = open('/tmp/x','wb', buffering=0)\ntry:\n for i in range(3): f.write(b'x' * (1 << 20))\nexcept OSError as e: print(e.errno)"), sandbox.Limits{FileBytes: mib}, sandbox.Exited, 0, 0, false, "27\n", ""},
		{"open files are counted", python("l = []\ntry:\n for i in range(99): l.append(open('/dev/null'))\nexcept OSError as e: print(e.errno)"), sandbox.Limits{OpenFiles: 32}, sandbox.Exited, 0, 0, false, "24\n", ""},
		{"address space may be reserved", python("import mmap; m = mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE|mmap.MAP_ANONYMOUS|0x4000, prot=0); print(len(m))"), sandbox.Limits{MemoryBytes: 64 * mib}, sandbox.Exited, 0, 0, false, fmt.Sprintln(64 << 30), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			grace := 3 * time.Second
			if c.forced {
				grace = 300 * time.Millisecond
			}
			r := do(t, s, sandbox.Spec{Argv: c.argv, Limits: c.limits, Grace: grace})
			if r.End != c.end || r.Forced != c.forced {
				t.Errorf("end %s, forced %t; want %s, %t (code %d signal %d, %s)", r.End, r.Forced, c.end, c.forced, r.ExitCode, r.Signal, r.err)
			}
			if r.ExitCode != c.code || r.Signal != c.signal {
				t.Errorf("exit code %d, signal %d; want %d, %d", r.ExitCode, r.Signal, c.code, c.signal)
			}
			if c.out != "" && r.out != c.out || c.err != "" && r.err != c.err {
				t.Errorf("output %q, %q; want %q, %q", r.out, r.err, c.out, c.err)
			}
			if r.Level != "strict" || r.MemoryWall == "" || r.ProbeDigest == "" {
				t.Errorf("not stamped: %+v", r.Result)
			}
		})
	}
}

func TestSandbox_AForkBombIsBounded(t *testing.T) {
	s := open(t)
	r := do(t, s, sandbox.Spec{
		Argv:   python("import os,sys,time\nn=0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\nexcept OSError as e: print(e.errno, n < 64); sys.stdout.flush()\nos._exit(5)"),
		Limits: sandbox.Limits{Processes: 40},
	})
	if r.out != "11 True\n" || r.ExitCode != 5 {
		t.Errorf("got %q, exit code %d, %s, %s", r.out, r.ExitCode, r.End, r.err)
	}
}

func TestSandbox_ADaemonIsGoneBeforeTheRunReturns(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	r := do(t, s, sandbox.Spec{
		Argv: []string{"sh", "-c", "(setsid sh -c 'while true; do echo x >> /out/f; sleep 0.01; done' &) ; sleep 0.2; exit 0"},
		Dir:  "/out", Binds: []sandbox.Bind{{Source: dir, Target: "/out", Writable: true}},
	})
	size := func() int64 {
		st, err := os.Stat(filepath.Join(dir, "f"))
		if err != nil {
			t.Fatalf("%v; %s", err, r.err)
		}
		return st.Size()
	}
	before := size()
	time.Sleep(50 * time.Millisecond)
	if after := size(); before == 0 || after != before {
		t.Errorf("the file grew from %d to %d after the run", before, after)
	}
}

func TestSandbox_TheHostIsOutOfReach(t *testing.T) {
	s := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(home, ".nullius-test-secret")
	if err := os.WriteFile(secret, []byte("planted"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(secret) })
	tree := t.TempDir()
	out := filepath.Join(tree, "run_1")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NULLIUS_CANARY", "canary-in-the-parent")
	for _, c := range []struct{ name, code, want string }{
		{"a planted secret", "open('" + secret + "').read()", "FileNotFoundError"},
		{"the shadow file", "open('/etc/shadow').read()", "FileNotFoundError"},
		{"a loopback port", "import socket; socket.create_connection(('127.0.0.1'," + fmt.Sprint(l.Addr().(*net.TCPAddr).Port) + "), 2)", "ConnectionRefusedError"},
		{"a name to resolve", "import socket; socket.getaddrinfo('example.org', 80)", "gaierror"},
		{"a file beside the run folder", "open('/tree/x','w')", "OSError: [Errno 30]"},
		{"the run folder's own name", "import os; os.rename('/tree/run_1','/tree/run_2')", "OSError"},
		{"the interpreter", "open('/usr/bin/x','w')", "OSError: [Errno 30]"},
		{"a raw socket", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "PermissionError"},
		{"the memory of process 1", "open('/proc/1/mem','rb')", "PermissionError"},
		{"the descriptors of process 1", "import os; os.listdir('/proc/1/fd')", "PermissionError"},
		{"a device", "import os; os.mknod('/tmp/d', 0o20600, os.makedev(1,1))", "PermissionError"},
	} {
		t.Run(c.name+" is refused", func(t *testing.T) {
			t.Parallel()
			r := do(t, s, sandbox.Spec{
				Argv: python(c.code), Dir: "/tree",
				Binds: []sandbox.Bind{{Source: tree, Target: "/tree"}, {Source: out, Target: "/tree/run_1", Writable: true}},
			})
			if r.ExitCode != 1 || !strings.Contains(r.err, c.want) {
				t.Errorf("exit code %d, want %s; got %s", r.ExitCode, c.want, r.err)
			}
		})
	}
	t.Run("the parent's environment is nowhere", func(t *testing.T) {
		r := do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; env"}, Env: []string{"A=1", "PATH=/usr/bin"}})
		if strings.Contains(r.out, "canary-in-the-parent") {
			t.Error("the canary was found")
		}
	})
}

func TestSandbox_FilesOfARun(t *testing.T) {
	s := open(t)
	closed := filepath.Join(t.TempDir(), "closed") // as under root's home
	tree := filepath.Join(closed, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "run_1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "in.txt"), []byte("input"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{closed, tree} {
		if err := os.Chmod(p, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	spec := sandbox.Spec{
		Argv: []string{"sh", "-c", "cat in.txt > run_1/out.txt; python --version >> run_1/out.txt; id -u >> run_1/out.txt"},
		Dir:  "/nullius/results/t/idea",
		Binds: []sandbox.Bind{{Source: tree, Target: "/nullius/results/t/idea"},
			{Source: filepath.Join(tree, "run_1"), Target: "/nullius/results/t/idea/run_1", Writable: true}},
	}
	for range 2 { // the second time the folder has another owner
		r := do(t, s, spec)
		got, err := os.ReadFile(filepath.Join(tree, "run_1", "out.txt"))
		if err != nil || !strings.HasPrefix(string(got), "inputPython 3.") || !strings.HasSuffix(string(got), "\n1000\n") {
			t.Errorf("got %q, %v; %s", got, err, r.err)
		}
	}
	spec.Argv = python("for i in range(40): open(f'run_1/big{i}','wb').write(b'x' * (1 << 20))\nimport time; time.sleep(20)")
	spec.Limits.DiskBytes = 8 * mib
	if r := do(t, s, spec); r.End != sandbox.DiskFull {
		t.Errorf("disk: %s", r.End)
	}
	spec.Argv = python("for i in range(3000): open(f'run_1/f{i}','w')")
	spec.Limits = sandbox.Limits{Inodes: 1000}
	if r := do(t, s, spec); r.End != sandbox.DiskFull {
		t.Errorf("inodes: %s", r.End)
	}
}

func TestSandbox_CancelIsTold(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := s.Run(ctx, sandbox.Spec{
		Argv: []string{"sleep", "60"}, Env: []string{"PATH=/usr/bin"}, Limits: sandbox.Limits{Wall: time.Minute},
		OnStart: func(int) { cancel() },
	})
	if err != nil || r.End != sandbox.Cancelled || r.Signal != 15 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSandbox_AKillGivesNoGrace(t *testing.T) {
	s := open(t)
	kill := make(chan struct{})
	r, err := s.Run(t.Context(), sandbox.Spec{
		Argv: []string{"sh", "-c", "trap '' TERM; while true; do sleep 1; done"}, Env: []string{"PATH=/usr/bin"},
		Limits: sandbox.Limits{Wall: time.Minute}, Kill: kill, OnStart: func(int) { close(kill) },
	})
	if err != nil || r.End != sandbox.Cancelled || r.Signal != 9 || r.Wall > 20*time.Second {
		t.Errorf("%+v, %v", r, err)
	}
}

func BenchmarkSandbox_True(b *testing.B) {
	s, err := sandbox.New(b.Context(), sandbox.Config{}, quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	dir := b.TempDir()
	for b.Loop() {
		r, err := s.Run(b.Context(), sandbox.Spec{Argv: []string{"/usr/bin/true"}, Binds: []sandbox.Bind{{Source: dir, Target: "/tree", Writable: true}}})
		if err != nil || r.ExitCode != 0 {
			b.Fatalf("%+v, %v", r, err)
		}
	}
}

func TestSandbox_RunsSideBySide(t *testing.T) {
	s, other := open(t), open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			box := s
			if i%2 == 1 {
				box = other
			}
			var out bytes.Buffer
			r, err := box.Run(t.Context(), sandbox.Spec{
				Argv: []string{"sh", "-c", fmt.Sprintf("sleep 0.1; ls /tmp /dev/shm; echo %d; exit %d", i, i)}, Env: []string{"PATH=/usr/bin"}, Stdout: &out,
			})
			if want := fmt.Sprintf("/dev/shm:\n\n/tmp:\n%d\n", i); err != nil || r.ExitCode != i || out.String() != want {
				t.Errorf("run %d: %+v, %v, %q", i, r, err, out.String())
			}
		})
	}
	wg.Wait()
}

func TestSandbox_RefusesABadSpec(t *testing.T) {
	s := open(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/etc", link); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.MkdirAll(filepath.Join(open, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]sandbox.Spec{
		"a source that anybody may exchange": {Argv: []string{"true"}, Binds: []sandbox.Bind{{Source: filepath.Join(open, "tree"), Target: "/x"}}},

		"no command":       {},
		"a relative dir":   {Argv: []string{"true"}, Dir: "x"},
		"a linked source":  {Argv: []string{"true"}, Binds: []sandbox.Bind{{Source: link, Target: "/x"}}},
		"a missing source": {Argv: []string{"true"}, Binds: []sandbox.Bind{{Source: "/no/such", Target: "/x"}}},
		"a dirty target":   {Argv: []string{"true"}, Binds: []sandbox.Bind{{Source: "/usr", Target: "/x/../y"}}},
		"a bad variable":   {Argv: []string{"true"}, Env: []string{"=x"}},
	} {
		if _, err := s.Run(t.Context(), spec); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSandbox_ScientificPythonWorks(t *testing.T) {
	s := open(t)
	p, err := s.FindPython(t.Context(), "", []string{"numpy", "matplotlib"})
	if err != nil {
		t.Fatalf("%v (install: sudo apt-get install -y python3-numpy python3-matplotlib)", err)
	}
	r := do(t, s, sandbox.Spec{
		Python: p, Limits: sandbox.Limits{MemoryBytes: 1 << 30, Wall: time.Minute},
		Env: []string{"PATH=" + p.SearchPath(), "HOME=/tmp", "MPLBACKEND=Agg", "OPENBLAS_NUM_THREADS=1"},
		Dir: "/tmp",
		Argv: []string{"python", "-c", `
import numpy as np, matplotlib.pyplot as plt, multiprocessing as mp
def f(x): return x * x
if __name__ == "__main__":
    with mp.Pool(2) as pool: print(sum(pool.map(f, range(4))), np.linalg.norm(np.eye(4)))
    plt.plot([1, 2]); plt.savefig("a.png")`},
	})
	if r.out != "14 2.0\n" {
		t.Errorf("%q, %s, %s", r.out, r.err, r.End)
	}
	if _, err := s.FindPython(t.Context(), "", []string{"no_such_module_here"}); fault.ReasonOf(err) != sandbox.ReasonNoPython {
		t.Errorf("got %v", err)
	}
}

func TestSandbox_LaTeXWorks(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.tex"), []byte("\\documentclass{article}\\begin{document}Hello $x^2$\\end{document}"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := do(t, s, sandbox.Spec{
		Argv: []string{"pdflatex", "-interaction=nonstopmode", "p.tex"}, Dir: "/paper", TeX: true,
		Binds:  []sandbox.Bind{{Source: dir, Target: "/paper", Writable: true}},
		Limits: sandbox.Limits{Wall: time.Minute, MemoryBytes: 1 << 30},
	})
	if b, err := os.ReadFile(filepath.Join(dir, "p.pdf")); err != nil || !bytes.HasPrefix(b, []byte("%PDF")) {
		t.Errorf("%v; exit code %d; %s (install: sudo apt-get install -y texlive-latex-base)", err, r.ExitCode, r.out)
	}
}
