package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/sandbox"
)

// host is what attacks aim at: servers of every kind that count who comes, secrets, a process that waits.
type host struct {
	env     []string
	arrived chan string
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{arrived: make(chan string, 64)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set := func(name, value string) { h.env = append(h.env, name+"="+value) }
	listen := func(name, network, addr string) net.Addr {
		l, err := net.Listen(network, addr)
		must(err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				h.arrived <- name
				c.Close()
			}
		}()
		return l.Addr()
	}
	dir, err := os.MkdirTemp("", "nullius-host-") // short enough for a socket's name
	must(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(os.Chmod(dir, 0o755))
	set("TCP4", fmt.Sprint(listen("tcp", "tcp", "127.0.0.1:0").(*net.TCPAddr).Port))
	set("TCP6", fmt.Sprint(listen("tcp6", "tcp", "[::1]:0").(*net.TCPAddr).Port))
	listen("abstract", "unix", "@"+filepath.Base(dir))
	set("ABSTRACT", filepath.Base(dir))
	listen("path", "unix", filepath.Join(dir, "socket"))
	must(os.Chmod(filepath.Join(dir, "socket"), 0o777))
	set("SOCKET", filepath.Join(dir, "socket"))
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { udp.Close() })
	go func() {
		for _, _, err := udp.ReadFrom(make([]byte, 9)); err == nil; _, _, err = udp.ReadFrom(make([]byte, 9)) {
			h.arrived <- "udp"
		}
	}()
	set("UDP4", fmt.Sprint(udp.LocalAddr().(*net.UDPAddr).Port))
	home, err := os.UserHomeDir()
	must(err)
	secret := filepath.Join(home, ".nullius-test-"+filepath.Base(dir))
	must(os.WriteFile(secret, []byte("planted"), 0o600))
	t.Cleanup(func() { os.Remove(secret) })
	set("SECRET", secret)
	set("PID", fmt.Sprint(os.Getpid()))
	t.Setenv("NULLIUS_CANARY", "canary-in-the-parent")
	return h
}

// unharmed fails if anybody came.
func (h *host) unharmed(t *testing.T) {
	time.Sleep(20 * time.Millisecond)
	select {
	case name := <-h.arrived:
		t.Errorf("the host was reached by %s", name)
	default:
	}
}

// TestAttack_network is A25 to A31.
func TestAttack_network(t *testing.T) {
	h := newHost(t)
	t.Cleanup(func() { h.unharmed(t) })
	const noWay = "ECONNREFUSED ENETUNREACH EADDRNOTAVAIL EPERM ENETDOWN EACCES"
	besiege(t, []assault{
		{id: "A25", name: "TCP to a port of the host", refused: noWay, code: `
def tcp(family, addr): s = socket.socket(family); s.settimeout(2); s.connect(addr)
held("v4", lambda: tcp(socket.AF_INET, ("127.0.0.1", int(os.environ["TCP4"]))))
held("v6", lambda: tcp(socket.AF_INET6, ("::1", int(os.environ["TCP6"]))))
held("mapped", lambda: tcp(socket.AF_INET6, ("::ffff:127.0.0.1", int(os.environ["TCP4"]))))
held("mptcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(("127.0.0.1", int(os.environ["TCP4"]))))`},
		{id: "A26", name: "strict: UDP to loopback", want: "(sent|EPERM)\n", code: `
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(os.environ["UDP4"]))); say("sent")
except PermissionError: say("EPERM")`},
		{id: "A26", name: "landlock: UDP to loopback", refused: "EPERM", code: `
held("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(os.environ["UDP4"]))))`},
		{id: "A27", name: "a name, a metadata address and a broadcast", refused: noWay, code: `
began = time.time()
try: socket.getaddrinfo("example.org", 80); say("dns", "OPEN")
except socket.gaierror: pass
def to(kind, addr): s = socket.socket(socket.AF_INET, kind); s.settimeout(3); s.connect(addr)
held("metadata", lambda: to(socket.SOCK_STREAM, ("169.254.169.254", 80)))
held("resolver", lambda: to(socket.SOCK_DGRAM, ("8.8.8.8", 53)))
def broadcast():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.sendto(b"x", ("255.255.255.255", 9))
held("broadcast", broadcast)
if time.time() - began > 5: say("slow", "OPEN")`},
		{id: "A28", name: "an abstract socket of the host", refused: "ECONNREFUSED EPERM", code: `
held("stream", lambda: socket.socket(socket.AF_UNIX).connect("\0" + os.environ["ABSTRACT"]))`},
		{id: "A29", name: "strict: a socket of the host with a path", refused: "ENOENT", code: `
held("stream", lambda: socket.socket(socket.AF_UNIX).connect(os.environ["SOCKET"]))
held("datagram", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", os.environ["SOCKET"]))`},
		{id: "A30", name: "vsock, packet, raw, crypto and other families", refused: "EPERM EAFNOSUPPORT EACCES", code: `
for f, k, p in ((40, 1, 0), (17, 3, 0), (17, 2, 0), (38, 5, 0), (15, 3, 0), (31, 3, 1), (29, 3, 1), (9, 5, 0), (30, 1, 0), (44, 3, 0)):
    held("family %d" % f, lambda: libc_socket(f, k, p))
for f, k, p in ((2, 3, 1), (2, 3, 255), (10, 3, 58), (2, 2, 1)): held("raw %d %d %d" % (f, k, p), lambda: libc_socket(f, k, p))
held("pair", lambda: libc_pair(40))
held("high bits", lambda: libc_socket(40 | (1 << 32), 1, 0))`},
		{id: "A31", name: "strict: listening on loopback works", want: "hello\n", code: `
l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); s, _ = l.accept(); c.send(b"hello"); say(s.recv(9).decode())`},
		{id: "A31", name: "landlock: listening on loopback", refused: "EPERM", code: `
held("listen", lambda: socket.create_server(("127.0.0.1", 0)))`},
		{id: "A39", name: "strict: the network's own settings", refused: "EPERM EACCES EROFS ENOENT", code: `
def address():
    s = socket.socket(16, 3, 0); s.bind((0, 0))
    s.send(b"\x20\0\0\0\x10\0\x05\0\x01\0\0\0\0\0\0\0" + b"\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0")
    e = -int.from_bytes(s.recv(4096)[16:20], "little", signed=True)
    if e: raise OSError(e, "")
held("link", address)
held("sysctl", lambda: write("/proc/sys/net/ipv4/ip_forward", b"1"))`},
	}, h.env...)
}

// TestAttack_secrets is A32 to A37, A40 to A42 and A53.
func TestAttack_secrets(t *testing.T) {
	h := newHost(t)
	besiege(t, []assault{
		{id: "A32", name: "shadow, home, other jobs", refused: "ENOENT EACCES EPERM", code: `
for p in ("/etc/shadow", "/etc/passwd-", os.environ["SECRET"], "/root/.bashrc", "/home", "/var/log", "/run", "/boot", "/tree/../proc/1/root" + os.environ["SECRET"], "/proc/self/root" + os.environ["SECRET"], "/proc/1/cwd/root"):
    held(p, lambda: os.listdir(p) if os.path.isdir(p) else read(p))
held("through a link", lambda: (os.symlink(os.environ["SECRET"], "run_1/l"), read("run_1/l")))
held("by a hard link", lambda: os.link(os.environ["SECRET"], "run_1/h"))
held("by a rename", lambda: os.rename(os.environ["SECRET"], "run_1/r"))`,
			after: func(_ *testing.T, _ run, out string) { os.Remove(filepath.Join(out, "l")) }},
		{id: "A33", name: "environments, arguments and descriptors of everybody", want: "searched\n", code: `
for p in os.listdir("/proc"):
    for f in ("environ", "cmdline"):
        try: b = open("/proc/%s/%s" % (p, f), "rb").read()
        except OSError: continue
        if b"canary-in-the" + b"-parent" in b and p != str(os.getpid()): say("OPEN", p, f)
if "NULLIUS_CANARY" in os.environ: say("OPEN own")
say("searched")`},
		{id: "A33", name: "memory and descriptors of the helper", refused: "EACCES EPERM ESRCH ENOENT", code: `
for f in ("mem", "environ", "maps", "exe", "root", "cwd", "fd/3", "task/1/mem"):
    p = "/proc/%d/%s" % (os.getppid(), f)
    held(p, lambda: os.readlink(p) if f in ("exe", "root", "cwd", "fd/3") else read(p))
held("list", lambda: os.listdir("/proc/%d/fd" % os.getppid()))`},
		{id: "A34", name: "descriptors that were inherited", want: "0 1 2\n", code: `
def there(fd):
    try: os.fstat(fd); return True
    except OSError: return False
say(*[fd for fd in range(512) if there(fd)])`},
		{id: "A34", name: "standard input holds nothing", want: "b''\n", code: "\nsay(os.read(0, 9))"},
		{id: "A36", name: "the tree, the interpreter, the helper", refused: "EROFS EACCES EPERM ENOENT ETXTBSY EXDEV", code: `
for p in ("template.txt", "new.txt", "run_1/../template.txt", sys.executable, "/usr/bin/python3", os.__file__, "/proc/%d/exe" % os.getppid()):
    held(p, lambda: write(p)); held("append " + p, lambda: write(p, b"x", "ab"))
held("truncate", lambda: os.truncate("template.txt", 0))
def same(f): # where the user is shared these calls succeed and do nothing
    before = os.stat("template.txt"); f(); after = os.stat("template.txt")
    if (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns): raise PermissionError(errno.EPERM, "")
held("chmod", lambda: same(lambda: os.chmod("template.txt", 0o777)))
held("utime", lambda: same(lambda: os.utime("template.txt", (1, 1))))
handle = os.open("template.txt", os.O_RDONLY)
held("chmod by handle", lambda: same(lambda: os.fchmod(handle, 0o777))); held("utime by handle", lambda: same(lambda: os.utime(handle, (1, 1))))
held("owner by handle", lambda: same(lambda: os.fchown(handle, os.getuid(), os.getgid())))
def attribute(): # succeeds and does nothing, where the user is shared
    os.setxattr(handle, "user.mark", b"x")
    if "user.mark" not in os.listxattr(handle): raise PermissionError(errno.EPERM, "")
held("attribute by handle", attribute)
import fcntl, struct
for request in (0x40086602, 0x40046602, 0x40087602, 0x401c5820, 0x40806685, 0x800c6613): # FS_IOC_SETFLAGS and its kin
    held("request %x by handle" % request, lambda: fcntl.ioctl(handle, request, struct.pack("l", 0x40) + bytes(128)))
held("unlink", lambda: os.unlink("template.txt"))
held("move over", lambda: (write("run_1/t"), os.rename("run_1/t", "template.txt")))
held("exchange", lambda: os.rename("template.txt", "run_1/t2"))`},
		{id: "A37", name: "the run directory's own name", refused: "EROFS EACCES EBUSY EPERM EXDEV ENOTEMPTY", code: `
held("rename", lambda: os.rename("run_1", "run_2")); held("remove", lambda: os.rmdir("run_1"))
held("replace", lambda: (os.mkdir("run_1/d"), os.rename("run_1/d", "run_1/../run_1")))
held("link", lambda: os.symlink("/etc", "run_2"))`},
		{id: "A40", name: "programs that change their user", want: "1000 1000|(\\d+) (\\d+)\n.*", code: `
before = os.getresuid()
for p in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/newgrp", "/usr/bin/chsh"):
    if os.path.exists(p): subprocess.run([p, "--help"], stdin=0, stdout=-3, stderr=-3)
import shutil
shutil.copyfile("/usr/bin/id", "run_1/id"); os.chmod("run_1/id", 0o6755)
if os.stat("run_1/id").st_mode & 0o111: assert subprocess.run(["run_1/id", "-u"], capture_output=True).stdout.strip() == str(before[0]).encode()
for f in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.setresuid(0, 0, 0)):
    try: f()
    except OSError: pass
    else: say("OPEN")
say(os.getuid(), os.getgid())`,
			after: func(t *testing.T, r run, _ string) {
				if strings.Contains(r.out, "OPEN") || strings.HasPrefix(r.out, "0 ") {
					t.Errorf("another user: %s", r.out)
				}
			}},
		{id: "A41", name: "devices", refused: "ENOENT EPERM EACCES EROFS ENXIO", code: `
for p in ("/dev/sda", "/dev/vda", "/dev/loop0", "/dev/kvm", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/dev/vsock", "/dev/uinput", "/dev/loop-control"): held(p, lambda: read(p))
for kind in (0o20600, 0o60600): held("node", lambda: os.mknod("run_1/d", kind, os.makedev(1, 1)))`},
		{id: "A42", name: "/proc and /sys", refused: "EACCES ENOENT EROFS EPERM", code: `
for p in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/self/uid_map", "/proc/self/setgroups", "/proc/1/oom_score_adj", "/sys/power/state", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/tasks", "/sys/kernel/mm/ksm/run"): held(p, lambda: write(p, b"1"))`},
		{id: "A54", name: "a terminal", refused: "ENXIO ENOENT EACCES ENOTTY EPERM EIO EINVAL EBADF", code: `
import fcntl, termios
held("tty", lambda: read("/dev/tty")); held("console", lambda: read("/dev/console"))
for fd in range(3):
    held("inject %d" % fd, lambda: fcntl.ioctl(fd, termios.TIOCSTI, b"x")); held("high %d" % fd, lambda: call_ioctl(fd))`},
	}, h.env...)
	h.unharmed(t)
}

// TestAttack_kernel is A35, A38, A39, A43 and A52, and doors beside the filter.
func TestAttack_kernel(t *testing.T) {
	h := newHost(t)
	attacks := []assault{
		{id: "A35", name: "signals, limits and schedules of others", refused: "ESRCH EPERM EINVAL EACCES", code: `
pid = int(os.environ["PID"])
held("kill", lambda: os.kill(pid, 0)); held("stop", lambda: os.kill(pid, signal.SIGURG)); held("prlimit", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, 4)))
held("nice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)); held("affinity", lambda: os.sched_setaffinity(pid, {0}))
held("pidfd", lambda: (signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGURG)))
held("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))`},
		{id: "A35", name: "strict: everybody at once", want: "alive\n", code: `
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for pid in (1, -1, os.getppid()):
    for s in (signal.SIGTERM,): 
        try: os.kill(pid, s)
        except OSError: pass
say("alive")`},
		{id: "A38", name: "user namespaces", refused: "EPERM ENOSYS ENOSPC EINVAL", code: `
for f in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x4000000, 0x8000000, 0x2000000, 0x80):
    held("unshare %x" % f, lambda: call("unshare", f))
    if f != 0x80: held("clone %x" % f, lambda: call("clone", f | 17, 0, 0, 0, 0))
held("clone3", lambda: call("clone3", 0, 0)); held("setns", lambda: call("setns", os.open("/proc/self/ns/user", 0), 0))`},
		{id: "A39", name: "calls that reach the kernel's depths", refused: "EPERM ENOSYS", code: `
for n in ("mount", "umount2", "fsopen", "open_tree", "move_mount", "mount_setattr", "pivot_root", "chroot", "ptrace", "process_vm_readv", "process_vm_writev",
          "pidfd_getfd", "kcmp", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "add_key", "keyctl", "request_key", "init_module",
          "finit_module", "kexec_load", "reboot", "swapon", "settimeofday", "clock_settime", "adjtimex", "quotactl", "acct", "syslog",
          "open_by_handle_at", "name_to_handle_at", "fanotify_init", "sethostname"):
    held(n, lambda: call(n, 0, 0, 0, 0, 0, 0))
held("trace me", lambda: call("ptrace", 0, 0, 0, 0))`},
		{id: "A39", name: "from a program in memory", refused: "EPERM", code: `
f = os.memfd_create("x", 0)
os.write(f, open("/usr/bin/env", "rb").read())
os.set_inheritable(f, True)
r = subprocess.run(["/proc/self/fd/%d" % f, sys.executable, "-c", "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.unshare(0x10000000), ctypes.get_errno())"], pass_fds=(f,), capture_output=True)
say("memory", "EPERM" if r.stdout == b"-1 1\n" else "OPEN", *([] if r.stdout == b"-1 1\n" else [r]))`},
		{id: "A43", name: "its own limits, score and niceness", refused: "EPERM EACCES EINVAL", limits: sandbox.Limits{OpenFiles: 64}, code: `
for what in ("NOFILE", "FSIZE", "NPROC"):
    n = getattr(resource, "RLIMIT_" + what); hard = resource.getrlimit(n)[1]
    held(what, lambda: resource.setrlimit(n, (hard + 1 if hard > 0 else 1, hard + 1 if hard > 0 else 1)))
    if hard == resource.RLIM_INFINITY: say(what, "OPEN")
held("score", lambda: write("/proc/self/oom_score_adj", b"-1000"))
held("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
held("lock", lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)))`},
		{id: "A52", name: "landlock: segments and queues", refused: "EPERM", code: `
for n in ("shmget", "msgget", "semget"): held(n, lambda: call(n, 0x4e554c, 1, 0o1666))
write("/dev/shm/nullius-left")`, after: func(t *testing.T, _ run, _ string) {
			segmentGone(t)
		}},
	}
	if counted(t) { // without a cgroup nobody could count them: B32
		attacks = append(attacks, assault{id: "A52", name: "strict: segments and queues of its own", code: `
n = call("shmget", 0x4e554c, 4096, 0o1666); call("msgget", 0x4e554c, 0o1666); call("semget", 0x4e554c, 1, 0o1666)
write("/dev/shm/nullius-left")`, after: func(t *testing.T, _ run, _ string) {
			for _, f := range []string{"shm", "msg", "sem"} {
				if b, err := os.ReadFile("/proc/sysvipc/" + f); err == nil && strings.Contains(string(b), fmt.Sprint(0x4e554c)) {
					t.Errorf("%s left: %s", f, b)
				}
			}
			segmentGone(t)
		}})
	}
	if runtime.GOARCH == "amd64" {
		attacks = append(attacks,
			assault{id: "A39", name: "calls under the numbers of another architecture", exit: -1, signal: int(unix.SIGSYS), code: `
m = mmap.mmap(-1, 4096, prot=7); m.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()`},
			assault{id: "A39", name: "calls under the numbers of x32", refused: "ENOSYS", code: `
N["x32"] = 0x40000000 | N["mount"]; held("x32", lambda: call("x32", 0, 0, 0, 0, 0))`})
	}
	besiege(t, attacks, h.env...)
}

// segmentGone waits where the user is shared: the last of the runs beside each other removes what they left.
func segmentGone(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat("/dev/shm/nullius-left"); err != nil {
			return
		}
		if !shared || time.Now().After(until) {
			t.Error("a segment was left")
			return
		}
	}
}

// TestAttack_leftovers is A53: what a run leaves in its own folders is not there for the next.
func TestAttack_leftovers(t *testing.T) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, _ string) {
		script := python("import os, tempfile\nd = os.environ.get('TMPDIR', '/tmp')\nprint(sorted(os.listdir(d)), [p for p in os.listdir('/dev/shm') if 'nullius' in p])\n" +
			"for p in (d, '/dev/shm'): open(p + '/nullius-trap', 'w')")
		for range 2 {
			r := do(t, s, sandbox.Spec{Argv: script, Env: []string{"PATH=/nullius/bin:/usr/bin", "HOME=/tmp", "TMPDIR=/tmp"}})
			if r.out != "[] []\n" {
				t.Errorf("found %q; %s", r.out, r.err)
			}
		}
	})
}
