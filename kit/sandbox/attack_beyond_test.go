package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/sandbox"
)

// Attacks that stand in no list: B01 to B19 on processes, B20 to B39 on memory, B40 to B69 on files, B70 to B99 on the kernel.

// hidden starts a process that the environment does not tell and that writes for as long as it lives.
const hidden = `
def hidden(least=1):
    if least == 0: write("run_1/grows", b"")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sh", ["sh", "-c", "trap '' TERM HUP INT; while true; do echo x >> run_1/grows; sleep 0.01; done"], {})
        os._exit(0)
    while not os.path.exists("run_1/grows") or os.path.getsize("run_1/grows") < least: time.sleep(0.01)
`

// nobodyWrites is stands for one that may have had no time to begin.
func nobodyWrites(t *testing.T, _ run, out string) {
	before, _ := os.ReadFile(filepath.Join(out, "grows"))
	time.Sleep(50 * time.Millisecond)
	if after, _ := os.ReadFile(filepath.Join(out, "grows")); len(after) != len(before) {
		t.Error("it still grows after the run")
	}
}

// TestAttackBeyond_processes: none outlives its run or keeps it from ending.
func TestAttackBeyond_processes(t *testing.T) {
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	place := 20 - prio // of the tests themselves (getpriority(2), C library/kernel differences)
	if !counted(t) {   // nothing else divides the processors
		place = max(place, 10)
	}
	timedOut := func(id, name, code string, signal int, forced bool) assault {
		return assault{id: id, name: name, code: code, limits: awake, end: sandbox.TimedOut, exit: -1, signal: signal, forced: forced}
	}
	besiege(t, []assault{
		{id: "B01", name: "strict: the helper is killed", want: "alive\n", after: stands, code: hidden + `
hidden()
for s in (9, 15, 19, 11): os.kill(os.getppid(), s)
say("alive")`},
		{id: "B01", name: "landlock: the helper is killed", exit: -1, signal: 9, after: stands, code: hidden + `
hidden(); os.kill(os.getppid(), 9); time.sleep(60)`},
		timedOut("B02", "strict: the helper is stopped", "\nos.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)", 15, false),
		timedOut("B02", "landlock: the helper is stopped", "\nos.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)", 9, true),
		{id: "B03", name: "a daemon whose first thread is gone", after: stands, code: `
def grow():
    while True: write("run_1/grows", b"x", "ab"); time.sleep(0.005)
if os.fork() == 0:
    os.setsid(); threading.Thread(target=grow).start(); call("exit", 0)
time.sleep(0.4)`},
		{id: "B04", name: "its own first thread is gone", exit: 7, code: `
threading.Thread(target=lambda: (time.sleep(0.3), os._exit(7))).start(); call("exit", 0)`},
		{id: "B05", long: true, name: "three hundred zombies", want: "300\n", code: `
n = 0
for i in range(300):
    if os.fork() == 0: os._exit(0)
    n += 1
say(n); os._exit(0)`},
		timedOut("B06", "all are stopped at the limit", `
for i in range(20):
    if os.fork() == 0: os.setsid(); os.kill(os.getpid(), signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGSTOP)`, 9, true),
		{id: "B07", long: true, name: "its own group is killed", exit: -1, signal: 9, code: "\nos.kill(0, 9); time.sleep(60)"},
		{id: "B08", name: "everybody is killed", want: "(alive\n)?", exit: anyExit, after: stands, code: hidden + `
hidden()
try: os.kill(-1, 9)
except OSError: pass
time.sleep(0.2); say("alive")`},
		timedOut("B09", "the least favoured of all does not end", `
os.nice(19); os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
signal.signal(15, signal.SIG_IGN)
for i in range(8): os.fork()
while True: pass`, 9, true),
		{id: "B10", long: true, name: "its own limit of processor time", exit: -1, signal: 24, code: "\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass"},
		{id: "B11", name: "the mark is shed", refused: "EPERM", code: `
held("setrlimit", lambda: resource.setrlimit(15, (5, 5))); held("prlimit", lambda: resource.prlimit(0, 15, (5, 5)))
class Limit(ctypes.Structure): _fields_ = [("now", ctypes.c_ulong), ("most", ctypes.c_ulong)]
held("old", lambda: call("setrlimit", 15, ctypes.byref(Limit(5, 5))))
if os.fork() == 0: held("child", lambda: resource.setrlimit(15, (5, 5))); os._exit(0)
os.wait()`},
		{id: "B12", name: "cores are turned off", want: "1 1\n", code: `
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)); say(*resource.getrlimit(resource.RLIMIT_CORE))`},
		{id: "B13", name: "a daemon is born when the stop comes", limits: awake, end: sandbox.TimedOut, exit: 0, after: nobodyWrites, code: hidden + `
signal.signal(15, lambda *a: (hidden(0), os._exit(0))); time.sleep(60)`},
		{id: "B14", name: "a daemon that no death of a parent reaches", after: stands, code: `
libc.prctl(1, 0)
if os.fork() == 0:
    libc.prctl(36, 1); os.setsid()
    if os.fork() == 0:
        libc.prctl(1, 0)
        while True: write("run_1/grows", b"x", "ab"); time.sleep(0.005)
    time.sleep(300)
time.sleep(0.4)`},
		{id: "B16", name: "its place among others", want: fmt.Sprintln(place), code: `
try: os.setpriority(os.PRIO_PROCESS, 0, -5)
except OSError: pass
say(os.getpriority(os.PRIO_PROCESS, 0))`},
		{id: "B15", name: "programs that become each other", limits: awake, end: sandbox.TimedOut, exit: -1, signal: 15, code: `
os.execv("/bin/sh", ["sh", "-c", "exec sh -c \"$0\" \"$0\"", "exec sh -c \"$0\" \"$0\""])`},
	})
}

// TestAttackBeyond_memory: what counts, whoever holds it.
func TestAttackBeyond_memory(t *testing.T) {
	oom := func(id, name, code string) assault {
		return assault{id: id, name: name, code: code, limits: short64, end: sandbox.OutOfMemory, exit: -1, signal: 9}
	}
	attacks := []assault{
		oom("B20", "the first thread is gone and another eats", `
def eat():
    b = []
    while True: b.append(bytearray(1 << 20)); time.sleep(0.002)
threading.Thread(target=eat).start(); call("exit", 0)`),
		oom("B21", "a process that forbids to look", `
libc.prctl(4, 0); b = []
while True: b.append(bytearray(1 << 20)); time.sleep(0.002)`),
		oom("B22", "strict: a file system in memory full of names", "\nfor i in range(400000): os.close(os.open('/tmp/%d' % i, os.O_CREAT))\ntime.sleep(9)"),
		oom("B23", "many threads with deep stacks", `
threading.stack_size(32 << 20)
def deep(n): b = bytearray(1 << 20); return deep(n - 1) if n else time.sleep(60)
for i in range(16): threading.Thread(target=deep, args=(20,), daemon=True).start()
time.sleep(30)`),
		{id: "B24", name: "huge pages", refused: "ENOMEM EINVAL EPERM", code: `
held("map", lambda: mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)); held("file", lambda: os.memfd_create("x", 4))`},
		{id: "B25", long: true, name: "an endless stack", exit: -1, signal: 11, limits: sandbox.Limits{MemoryBytes: 256 * mib}, code: `
import re
f = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
sys.setrecursionlimit(1 << 30); resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
os.execv(sys.executable, [sys.executable, "-c", "import sys; sys.setrecursionlimit(1 << 30)\ndef f(x): return f(x)\ng = lambda x: sorted([x], key=g)\ng(1)"])`},
	}
	if counted(t) { // without a cgroup only the host's free memory tells of these
		attacks = append(attacks,
			oom("B30", "files in memory on their way through a socket", `
a, b = socket.socketpair()
for i in range(30):
    f = os.memfd_create("x"); os.write(f, b"x" * (10 << 20)); socket.send_fds(a, [b"x"], [f]); os.close(f)
time.sleep(5)`),
			oom("B31", "buffers of sockets", `
l = []
for i in range(400):
    for s in socket.socketpair():
        s.setblocking(False); l.append(s)
        try:
            while True: s.send(b"x" * 65536)
        except BlockingIOError: pass
time.sleep(5)`),
			assault{id: "B33", name: "strict: buffers of TCP", limits: sandbox.Limits{MemoryBytes: 128 * mib}, want: "held\n", code: `
l = socket.create_server(("127.0.0.1", 0), backlog=500); n = 0; kept = []
for i in range(300):
    c = socket.create_connection(l.getsockname()); s, _ = l.accept(); kept += [c, s]; c.setblocking(False)
    try:
        while True: n += c.send(b"x" * 65536)
    except BlockingIOError: pass
say("held" if n < 200 << 20 else "OPEN %d" % n)`},
			oom("B32", "strict: segments that nobody has attached", `
for i in range(6):
    n = call("shmget", 0, 32 << 20, 0o1600); libc.shmat.restype = ctypes.c_void_p
    p = libc.shmat(n, None, 0); ctypes.memset(p, 1, 32 << 20); libc.shmdt(ctypes.c_void_p(p))
time.sleep(5)`))
	} else {
		attacks = append(attacks, assault{id: "B32", name: "segments that nobody has attached", refused: "EPERM", code: `
for n in ("shmget", "msgget", "semget"): held(n, lambda: call(n, 0, 1, 0o1600))`})
	}
	besiege(t, attacks)
}

// TestAttackBeyond_files: what lies in the run's folder, or nowhere.
func TestAttackBeyond_files(t *testing.T) {
	small := sandbox.Limits{DiskBytes: 8 * mib, Wall: 15 * time.Second}
	full := func(id, name, code string, l sandbox.Limits) assault {
		return assault{id: id, name: name, code: code, limits: l, end: sandbox.DiskFull, exit: -1, signal: 9}
	}
	besiege(t, []assault{
		{id: "B40", name: "room that is taken at once", limits: sandbox.Limits{FileBytes: mib}, refused: "ENOTSUP EOPNOTSUPP", code: `
f = os.open("run_1/far", os.O_CREAT | os.O_RDWR)
for mode in (0, 1, 0x10, 0x11, 8, 0x20, 0x41): held("mode %x" % mode, lambda: call("fallocate", f, mode, 0, 1 << 40))
if os.fstat(f).st_blocks > 100: say("OPEN")`},
		full("B41", "a file that has never had a name", `
f = os.open("run_1", os.O_TMPFILE | os.O_RDWR)
for i in range(40): os.write(f, b"x" * (1 << 20))
time.sleep(20)`, small),
		full("B42", "a file held by a process whose first thread is gone", `
f = os.open("run_1/gone", os.O_CREAT | os.O_RDWR); os.unlink("run_1/gone")
def fill():
    for i in range(40): os.write(f, b"x" * (1 << 20))
    time.sleep(60)
if os.fork() == 0: threading.Thread(target=fill).start(); call("exit", 0)
os.close(f); time.sleep(20)`, small),
		full("B43", "a file that is on its way through a socket", `
a, b = socket.socketpair()
for i in range(60):
    f = os.open("run_1/gone", os.O_CREAT | os.O_RDWR); os.unlink("run_1/gone"); os.write(f, b"x" * (8 << 20)); socket.send_fds(a, [b"x"], [f]); os.close(f)
time.sleep(20)`, small),
		{id: "B44", name: "a table of descriptors that only one thread has", refused: "EINVAL EPERM", code: `
held("close_range", lambda: call("close_range", 100, 200, 2)); held("clone", lambda: call("clone", 0x10900, 0, 0, 0, 0))`},
		{id: "B45", name: "one file under a thousand names", limits: sandbox.Limits{DiskBytes: 8 * mib}, want: "1001\n", code: `
write("run_1/f", b"x" * (1 << 20))
for i in range(1000): os.link("run_1/f", "run_1/%d" % i)
time.sleep(2.2); say(len(os.listdir("run_1")))`},
		{id: "B46", long: true, name: "names that terminals and shells trip over", want: "ok\n", code: `
for n in (b"a\nb", b"\xff\xfe\x80", b"-rf", b"...", b" ", b"\x1b[2J", b"x" * 255, b"$(id)", "\u202egnp.exe".encode(), b"\\", b"*", b"CON"):
    write(b"run_1/" + n); os.mkdir(b"run_1/d" + n[:200]); os.symlink(n, b"run_1/l" + n[:200])
say("ok")`},
		{id: "B47", long: true, name: "everything but files", want: "ok\n", code: `
os.mkfifo("run_1/fifo"); s = socket.socketpair()
for i in range(9): os.symlink("../" * i + "etc", "run_1/l%d" % i)
os.symlink("self", "run_1/self"); os.mkdir("run_1/sticky", 0o7777); os.chmod("run_1/sticky", 0o7777)
for d in range(40): os.makedirs("run_1/" + "/".join(["deep"] * (d + 1)), exist_ok=True)
say("ok")`},
		{id: "B48", long: true, name: "attributes and times beyond reason", want: "ok\n", code: `
for i in range(200):
    write("run_1/%d" % i)
    for f in (lambda: os.setxattr("run_1/%d" % i, "user.x", b"x" * 60000), lambda: os.setxattr("run_1/%d" % i, "user.y", b"x" * 900),
              lambda: os.utime("run_1/%d" % i, (1 << 40, 1 << 40)), lambda: os.utime("run_1/%d" % i, (-1 << 30, -1 << 30)), lambda: os.setxattr("run_1/%d" % i, "trusted.x", b"x")):
        try: f()
        except OSError: pass
say("ok")`},
		{id: "B49", name: "the tree by other ways than its name", refused: "EROFS EACCES EPERM EBADF EXDEV ENOENT EINVAL", code: `
t = os.open("template.txt", os.O_RDONLY); d = os.open("run_1", os.O_RDONLY)
held("again", lambda: os.open("/proc/self/fd/%d" % t, os.O_RDWR)); held("map", lambda: mmap.mmap(t, 9, prot=3))
held("beside", lambda: os.open("../template.txt", os.O_RDWR, dir_fd=d)); held("above", lambda: os.open("../new", os.O_CREAT | os.O_RDWR, dir_fd=d))
held("by cwd", lambda: os.open("/proc/self/cwd/template.txt", os.O_RDWR)); held("by root", lambda: os.open("/proc/self/root/tree/template.txt", os.O_RDWR))
held("copy", lambda: os.copy_file_range(os.open("/usr/bin/env", 0), t, 9)); held("send", lambda: os.sendfile(t, os.open("/usr/bin/env", 0), 0, 9))
held("own", lambda: os.link("template.txt", "run_1/h") or write("run_1/h")); held("lease", lambda: __import__("fcntl").fcntl(t, 1024, 1))`},
		{id: "B50", name: "what later programs would load", refused: "EROFS EACCES EPERM ENOENT", code: `
import site, sysconfig
for p in ("/etc/ld.so.preload", "/etc/ld.so.cache", "/usr/lib/python3/dist-packages/x.pth", os.path.join(sysconfig.get_paths()["stdlib"], "__pycache__", "os.cpython-311.pyc"),
          "__pycache__/experiment.cpython-311.pyc", ".git/hooks/post-checkout", "sitecustomize.py", "/nullius/bin/python3", "/usr/bin/sitecustomize.py"):
    held(p, lambda: (os.makedirs(os.path.dirname(p) or ".", exist_ok=True), write(p)))`},
		{id: "B51", name: "binary noise without an end of line, at once on both outputs", want: "", code: `
def flood(fd):
    m = os.urandom(1 << 20).replace(b"\n", b"\0")
    for i in range(8):
        v = memoryview(m)
        while v: v = v[os.write(fd, v):]
t = [threading.Thread(target=flood, args=(fd,)) for fd in (1, 2)]
[x.start() for x in t]; [x.join() for x in t]`,
			after: func(t *testing.T, r run, _ string) {
				if len(r.out) != 8*mib || len(r.err) != 8*mib || strings.Contains(r.out, "\n") {
					t.Errorf("%d and %d bytes came", len(r.out), len(r.err))
				}
			}},
		{id: "B52", long: true, name: "an output that does not wait and is read back", want: "(?s).*", code: `
import fcntl
fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK)
try: fcntl.fcntl(1, 1031, 4096)
except OSError: pass
try: r = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
except OSError: r = -1
for i in range(1000):
    try: os.write(1, b"x" * 4096)
    except BlockingIOError: pass
    try: os.read(r, 4096)
    except OSError: pass`},
	})
}

// TestAttackBeyond_manyFiles is B53: what is collected later is many small files.
func TestAttackBeyond_manyFiles(t *testing.T) {
	n := "2000"
	if soaking {
		n = "150000"
	}
	besiege(t, []assault{{id: "B53", name: "small files without number", want: n + "\n", limits: sandbox.Limits{Wall: 10 * time.Minute}, code: `
for i in range(` + n + `): write("run_1/%d" % i)
say(len(os.listdir("run_1")))`, after: func(t *testing.T, _ run, out string) {
		if found, err := filepath.Glob(filepath.Join(out, "199?")); err != nil || len(found) != 10 {
			t.Errorf("%d, %v", len(found), err)
		}
	}}})
}

// TestAttackBeyond_laterRuns is B54: what a run leaves where Python looks for code is not there for the next.
func TestAttackBeyond_laterRuns(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		work := t.TempDir()
		if err := os.Chmod(filepath.Dir(work), 0o711); err != nil {
			t.Fatal(err)
		}
		script := python(`
import os, site, sys
home = os.environ["HOME"]
print(getattr(sys, "poisoned", "clean"), [f for f in os.listdir(home) if f != "run"])
for p in (site.getusersitepackages() + "/usercustomize.py", site.getusersitepackages() + "/x.pth", home + "/.pythonrc.py", home + "/.bashrc", home + "/.config/matplotlib/matplotlibrc", home + "/.gitconfig"):
    os.makedirs(os.path.dirname(p), exist_ok=True); open(p, "w").write("import sys; sys.poisoned = 'poisoned'\n")`)
		for range 2 {
			r := do(t, s, sandbox.Spec{Argv: script, Env: []string{"PATH=/nullius/bin:/usr/bin", "HOME=/tmp", "TMPDIR=/tmp"}, Dir: "/work",
				Binds: []sandbox.Bind{{Source: work, Target: "/work", Writable: true}}})
			if r.out != "clean []\n" {
				t.Errorf("%q; %s", r.out, r.err)
			}
		}
	})
}
