package sandbox_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/sandbox"
)

// soaking tells whether attacks run in their long form.
var soaking = os.Getenv("NULLIUS_SOAK") == "1"

// short64 is memory that eaters are held to.
var short64 = sandbox.Limits{MemoryBytes: 64 * mib}

// awake leaves a program the time to set itself up before it is stopped.
var awake = sandbox.Limits{Wall: 2 * time.Second}

func peaked(t *testing.T, r run, _ string) {
	if r.PeakMemoryBytes < 32*mib {
		t.Errorf("peak of %d bytes", r.PeakMemoryBytes)
	}
}

// TestAttack_processes is A01, A02 and A19 to A23, and what lives next to them.
func TestAttack_processes(t *testing.T) {
	few := sandbox.Limits{Processes: 40}
	besiege(t, []assault{
		{id: "A01", name: "a fork bomb", limits: few, exit: 5, want: "EAGAIN\n", code: `
said = os.getpid()
try:
    while True: os.fork()
except OSError as e:
    if os.getpid() == said: say(errno.errorcode[e.errno]); time.sleep(0.2); os._exit(5)
    time.sleep(60)`},
		{id: "A01", name: "a bomb of threads", limits: few, exit: 5, want: "threads\n", code: `
try:
    for i in range(200): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError: say("threads"); os._exit(5)`},
		{id: "A01", name: "a bomb of vfork and exec", limits: few, exit: 5, want: "EAGAIN\n", code: `
try:
    while True: subprocess.Popen(["/usr/bin/sleep", "60"])
except OSError as e: say(errno.errorcode[e.errno]); os._exit(5)`},
		{id: "A02", name: "a chain that replicates itself in new sessions", limits: sandbox.Limits{Processes: 40, Wall: time.Second},
			end: sandbox.TimedOut, exit: -1, signal: 15, code: `
if os.fork():
    time.sleep(60)
while True:
    try:
        if os.fork(): os._exit(0)
        os.setsid()
    except OSError: pass`},
		{id: "A02", name: "a chain whose head is gone", limits: few, want: "bye\n", code: `
if os.fork() == 0:
    for i in range(100000):
        try:
            if os.fork(): os._exit(0)
            os.setsid()
        except OSError: pass
time.sleep(0.1); say("bye"); os._exit(0)`},
		{id: "A16", name: "a busy loop", limits: sandbox.Limits{Wall: 300 * time.Millisecond}, end: sandbox.TimedOut, exit: -1, signal: 15, code: "\nwhile True: pass"},
		{id: "A17", name: "a sleeper", limits: sandbox.Limits{Wall: 300 * time.Millisecond}, end: sandbox.TimedOut, exit: -1, signal: 15, code: "\ntime.sleep(60)"},
		{id: "A17", name: "one that stops itself", limits: awake, end: sandbox.TimedOut, exit: -1, signal: 9, forced: true,
			code: "\nos.kill(os.getpid(), signal.SIGSTOP)"},
		{id: "A19", name: "one that ignores every signal", limits: awake, end: sandbox.TimedOut, exit: -1, signal: 9, forced: true, code: `
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
time.sleep(60)`},
		{id: "A20", name: "one that handles the stop", limits: awake, end: sandbox.TimedOut, exit: 3, code: `
def bye(*a): write("run_1/last", b"words"); os._exit(3)
signal.signal(signal.SIGTERM, bye); time.sleep(60)`,
			after: func(t *testing.T, _ run, out string) {
				if b, err := os.ReadFile(filepath.Join(out, "last")); string(b) != "words" {
					t.Errorf("what the handler wrote: %q, %v", b, err)
				}
			}},
		{id: "A21", name: "a daemon's grandchild", want: "", after: stands, code: `
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: write("run_1/grows", b"x", "ab"); time.sleep(0.005)
    os._exit(0)
time.sleep(0.3)`},
		{id: "A22", name: "a daemon that holds standard output", want: "started\n", code: `
if os.fork() == 0: os.setsid(); time.sleep(300)
say("started")`},
		{id: "A22", name: "one that closes what it was given", code: `
for fd in range(3): os.close(fd)
time.sleep(0.1)`},
		{id: "A23", name: "one that spawns during the grace", limits: sandbox.Limits{Wall: awake.Wall, Processes: 60}, end: sandbox.TimedOut, exit: -1, signal: 9, forced: true, code: `
def more(*a):
    while True:
        try:
            if os.fork() == 0: os.setsid(); signal.signal(15, signal.SIG_IGN); time.sleep(300)
        except OSError: time.sleep(0.01)
signal.signal(signal.SIGTERM, more); time.sleep(60)`},
		{id: "A50", name: "an exit code like a kill's", exit: 137, code: "\nos._exit(137)"},
		{id: "A51", name: "a core dump", exit: -1, signal: 6, code: `
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.chdir("run_1"); os.abort()`,
			after: func(t *testing.T, _ run, out string) {
				if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
					t.Errorf("a core was left: %v, %v", left, err)
				}
			}},
	})
}

// stands looks whether anybody still writes.
func stands(t *testing.T, _ run, out string) {
	size := func() int64 {
		st, err := os.Stat(filepath.Join(out, "grows"))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	if before := size(); before == 0 {
		t.Error("nothing was written")
	} else if time.Sleep(30 * time.Millisecond); size() != before {
		t.Error("it still grows after the run")
	}
}

// TestAttack_memory is A03 to A06.
func TestAttack_memory(t *testing.T) {
	oom := func(id, name, code string) assault {
		return assault{id: id, name: name, code: code, limits: short64, end: sandbox.OutOfMemory, exit: -1, signal: 9, after: peaked}
	}
	quiet := oom("A04", "children eat and the leader leaves", `
kids = []
for i in range(4):
    if os.fork() == 0: b = bytearray(40 << 20); time.sleep(0.3); os._exit(0)
for i in range(4):
    try: os.wait()
    except OSError: pass
time.sleep(2); os._exit(0)`)
	besiege(t, []assault{
		oom("A03", "one process eats", "\nb = []\nwhile True: b.append(bytearray(1 << 20))"),
		oom("A03", "one process eats at once", "\nb = bytearray(700 << 20); time.sleep(5)"),
		oom("A03", "one locks what it eats", "\nlibc.mlockall(3)\nb = []\nwhile True: b.append(bytearray(1 << 20))"),
		quiet,
		oom("A05", "a shared mapping", "\nm = mmap.mmap(-1, 300 << 20)\nfor i in range(0, 300 << 20, 4096): m[i] = 1\ntime.sleep(5)"),
		oom("A05", "a file in memory that nobody maps", "\nf = os.memfd_create('x')\nfor i in range(300): os.write(f, b'x' * (1 << 20))\ntime.sleep(5)"),
		oom("A05", "a file in memory handed to a child", `
f = os.memfd_create('x')
if os.fork() == 0:
    for i in range(300): os.write(f, b'x' * (1 << 20))
    time.sleep(5)
os.close(f); time.sleep(6)`),
		oom("A05", "files of /dev/shm", "\nfor i in range(300): write('/dev/shm/%d' % i, b'x' * (1 << 20))\ntime.sleep(5)"),
		oom("A05", "a file of /dev/shm that has no name any more", `
f = os.open('/dev/shm/gone', os.O_CREAT | os.O_RDWR); os.unlink('/dev/shm/gone')
for i in range(300): os.write(f, b'x' * (1 << 20))
time.sleep(5)`),
		oom("A05", "strict: files of /tmp", "\nfor i in range(300): write('/tmp/%d' % i, b'x' * (1 << 20))\ntime.sleep(5)"),
		oom("A05", "many small processes", "\nfor i in range(30):\n    if os.fork() == 0: b = bytearray(8 << 20); time.sleep(9)\ntime.sleep(9)"),
		{id: "A06", name: "64 GiB of addresses are reserved", limits: short64, want: "68719476736\n",
			code: "\nm = mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=0); say(len(m))"},
	})
}

// TestAttack_files is A07 to A13.
func TestAttack_files(t *testing.T) {
	small := sandbox.Limits{DiskBytes: 8 * mib, Wall: 15 * time.Second}
	full := func(id, name, code string, l sandbox.Limits) assault {
		return assault{id: id, name: name, code: code, limits: l, end: sandbox.DiskFull, exit: -1, signal: 9}
	}
	besiege(t, []assault{
		full("A07", "many files", "\nfor i in range(40): write('run_1/%d' % i, b'x' * (1 << 20))\ntime.sleep(20)", small),
		full("A07", "a file that has no name any more", `
f = os.open('run_1/gone', os.O_CREAT | os.O_RDWR); os.unlink('run_1/gone')
for i in range(40): os.write(f, b'x' * (1 << 20))
time.sleep(20)`, small),
		full("A07", "a mapped file that has neither name nor handle", `
f = os.open('run_1/gone', os.O_CREAT | os.O_RDWR); os.ftruncate(f, 40 << 20); m = mmap.mmap(f, 40 << 20); os.close(f); os.unlink('run_1/gone')
for i in range(0, 40 << 20, 4096): m[i] = 1
m.flush(); time.sleep(20)`, small),
		full("A07", "files deeper than a path can say", `
os.chdir('run_1')
for i in range(60): os.mkdir('d' * 100); os.chdir('d' * 100)
for i in range(40): write('%d' % i, b'x' * (1 << 20))
time.sleep(20)`, small),
		full("A07", "files in a folder that cannot be listed", `
os.mkdir('run_1/dark'); os.chmod('run_1/dark', 0o300)
for i in range(40): write('run_1/dark/%d' % i, b'x' * (1 << 20))
time.sleep(20)`, small),
		{id: "A08", name: "a huge file", limits: sandbox.Limits{FileBytes: mib}, refused: "EFBIG", code: `
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
held("write", lambda: write('run_1/big', b'x' * (3 << 20)))
held("seek", lambda: os.pwrite(os.open('run_1/far', os.O_CREAT | os.O_RDWR), b'x', 5 << 40))
held("truncate", lambda: os.truncate('run_1/far', 5 << 40))
held("allocate", lambda: os.posix_fallocate(os.open('run_1/far', os.O_RDWR), 0, 5 << 30))`},
		full("A09", "empty files", "\nfor i in range(5000): write('run_1/f%d' % i, b'')\ntime.sleep(20)", sandbox.Limits{Inodes: 1000}),
		full("A09", "folders within folders", "\nos.chdir('run_1')\nfor i in range(5000): os.mkdir('d'); os.chdir('d')\ntime.sleep(20)", sandbox.Limits{Inodes: 1000}),
		{id: "A10", name: "a sparse file beyond its limit", limits: sandbox.Limits{FileBytes: mib}, refused: "EFBIG", code: `
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
f = os.open('run_1/sparse', os.O_CREAT | os.O_RDWR); held("sparse", lambda: os.ftruncate(f, 64 << 30))`},
		{id: "A11", name: "strict: /tmp and /dev/shm are full", limits: sandbox.Limits{TmpBytes: mib, ShmBytes: mib}, refused: "ENOSPC", code: `
held("tmp", lambda: write('/tmp/x', b'x' * (4 << 20)))
held("shm", lambda: write('/dev/shm/x', b'x' * (4 << 20)))`},
		{id: "A11", name: "landlock: /tmp is full", limits: sandbox.Limits{TmpBytes: mib}, end: sandbox.DiskFull, exit: -1, signal: 9,
			code: "\nwrite(os.environ['TMPDIR'] + '/x', b'x' * (4 << 20)); time.sleep(20)"},
		{id: "A12", name: "strict: /dev and / are written", refused: "EROFS", code: `
for p in ('/dev/x', '/x', '/nullius/x', '/nullius/bin/x', '/etc/x', '/usr/x', '/tree/x'): held(p, lambda: write(p))`},
		{id: "A12", name: "landlock: /dev and / are written", refused: "EACCES ENOENT", code: `
for p in ('/dev/x', '/x', '/etc/x', '/usr/x', 'x', '/tmp/nullius-x', '/var/tmp/nullius-x'): held(p, lambda: write(p))`},
		{id: "A13", name: "open files in a loop", limits: sandbox.Limits{OpenFiles: 32}, refused: "EMFILE", code: `
l = []
def many():
    for i in range(99): l.append(os.open('/dev/null', 0))
held("open", many)`},
		{id: "A13", name: "pipes, events and sockets in a loop", limits: sandbox.Limits{OpenFiles: 64}, refused: "EMFILE", code: `
l = []
def many(f):
    for i in range(999): l.append(f())
held("pipe", lambda: many(os.pipe)); l.clear()
held("events", lambda: many(lambda: os.eventfd(0))); l.clear()
held("sockets", lambda: many(socket.socketpair))`},
		{id: "A14", name: "a flood of both outputs", code: floodCode(),
			after: func(t *testing.T, r run, _ string) {
				if want := floodMiB() * mib; len(r.out) != want || len(r.err) != want {
					t.Errorf("%d and %d bytes came, want %d", len(r.out), len(r.err), want)
				}
			}},
	})
}

func floodMiB() int {
	if soaking {
		return 512
	}
	return 16
}

func floodCode() string {
	return strings.ReplaceAll(`
for i in range(COUNT):
    b = b'\xff\x1b[2J' * (1 << 18)
    for fd in (1, 2):
        m = memoryview(b)[:1 << 20]
        while m: m = m[os.write(fd, m):]`, "COUNT", strconv.Itoa(floodMiB()))
}
