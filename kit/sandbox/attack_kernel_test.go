package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nullius.dev/kit/sandbox"
)

// TestAttackBeyond_kernel is what the list does not name of the kernel's doors.
func TestAttackBeyond_kernel(t *testing.T) {
	h := newHost(t)
	victim := exec.Command("sleep", "120")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = victim.Process.Kill(); _ = victim.Wait() })
	besiege(t, []assault{
		{id: "B70", name: "calls that came later or are seldom named", refused: "EPERM ENOSYS", code: `
for n in ("open_tree_attr", "fsconfig", "fsmount", "fspick", "quotactl_fd", "kexec_file_load", "delete_module", "io_uring_enter", "io_uring_register",
          "process_madvise", "fanotify_mark", "clock_adjtime", "setdomainname", "swapoff", "vhangup"): held(n, lambda: call(n, 0, 0, 0, 0, 0, 0))`},
		{id: "B71", name: "strict: input for its own terminal", refused: "EPERM EIO", code: `
import pty, fcntl, termios
m, s = pty.openpty(); held("inject", lambda: fcntl.ioctl(s, termios.TIOCSTI, b"x")); held("high", lambda: call_ioctl(s))`},
		{id: "B72", long: true, name: "strict: the kernel's other netlink families", want: "done\n", code: `
for p in range(23):
    try: s = socket.socket(16, 3, p); s.settimeout(0.2); s.bind((0, -1 & 0xffffffff))
    except OSError:
        continue
    try: s.send(b"\x10\0\0\0\xeb\x03\x05\0\1\0\0\0\0\0\0\0"); b = s.recv(4096)
    except OSError: continue
    if p == 9 and int.from_bytes(b[16:20], "little", signed=True) == 0: say("OPEN audit", b)
say("done")`},
		{id: "B73", name: "strict: protocols that a module would be loaded for", refused: "EPERM", code: `
for f in (2, 10):
    for k, p in ((1, 132), (5, 132), (6, 33), (1, 262), (2, 136), (2, 115), (2, 1), (2, 58), (3, 255), (3, 89)): held("%d %d %d" % (f, k, p), lambda: libc_socket(f, k, p))`},
		{id: "B74", name: "landlock: watches on files", refused: "EPERM", code: `held("inotify", lambda: call("inotify_init1", 0))`},
		{id: "B75", long: true, name: "strict: watches without number", refused: "EMFILE ENOSPC", limits: sandbox.Limits{OpenFiles: 300}, code: `
l = []
def watch():
    for i in range(2000): l.append(call("inotify_init1", 0))
held("inotify", watch)`},
		{id: "B76", name: "strict: queues of messages of its own", code: `
try: call("mq_open", b"nullius-left", 0o102, 0o600, 0)
except OSError: pass`, after: func(t *testing.T, _ run, _ string) {
			if _, err := os.Stat("/dev/mqueue/nullius-left"); err == nil {
				t.Error("a queue was left")
			}
		}},
		{id: "B77", name: "landlock: queues of messages", refused: "EPERM", code: `held("mq", lambda: call("mq_open", b"nullius-left", 0o102, 0o600, 0))`},
		{id: "B78", name: "deadlines and real-time disks", refused: "EPERM EINVAL", code: `
import struct
held("deadline", lambda: call("sched_setattr", 0, struct.pack("<IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8), 0))
held("fifo", lambda: call("sched_setattr", 0, struct.pack("<IIQiIQQQ", 48, 1, 0, 0, 50, 0, 0, 0), 0))
held("disk", lambda: call("ioprio_set", 1, 0, 1 << 13))`},
		{id: "B79", name: "knobs under /proc", refused: "EACCES ENOENT EROFS EPERM EINVAL", code: `
for p in ("/proc/sys/fs/binfmt_misc/register", "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/randomize_va_space", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/ns_last_pid",
          "/proc/sys/fs/suid_dumpable", "/proc/self/loginuid", "/proc/self/timens_offsets", "/proc/self/projid_map", "/proc/self/gid_map", "/proc/1/oom_score_adj", "/proc/1/coredump_filter", "/proc/1/mem",
          "/proc/%d/oom_score_adj" % os.getppid(), "/proc/%d/comm" % os.getppid(), "/proc/irq/0/smp_affinity", "/proc/kcore", "/proc/kmsg"): held(p, lambda: write(p, b"0"))`},
		{id: "B80", name: "a victim by every way to signal", refused: "ESRCH EPERM EINVAL EACCES ENOENT EBADF", code: `
import fcntl
pid = int(os.environ["VICTIM"])
held("kill", lambda: os.kill(pid, 9)); held("group", lambda: os.killpg(pid, 9)); held("thread", lambda: call("tkill", pid, 9)); held("thread of", lambda: call("tgkill", pid, pid, 9))
held("pidfd", lambda: call("pidfd_send_signal", os.pidfd_open(pid), 9, 0, 0)); held("folder", lambda: call("pidfd_send_signal", os.open("/proc/%d" % pid, os.O_DIRECTORY), 9, 0, 0))
held("queue", lambda: call("rt_sigqueueinfo", pid, 9, ctypes.create_string_buffer(b"\x09\0\0\0\0\0\0\0\xff\xff\xff\xff" + b"\0" * 116)))
def owned():
    a, b = socket.socketpair(); fcntl.fcntl(a, fcntl.F_SETOWN, pid); fcntl.fcntl(a, 10, 9); fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK); b.send(b"x"); raise PermissionError(errno.EPERM, "")
held("owner", owned)
def all_of(group): # 0: led from outside this pid namespace, and a signal to "-0" would be one to itself
    os.kill(-group, 9) if group > 1 else denied()
def denied(): raise PermissionError(errno.EPERM, "")
for who in (os.getpgid, os.getsid): held(who.__name__, lambda: all_of(who(pid)))`},
		{id: "B81", long: true, name: "a terminal of the host by its number", refused: "ENOENT EACCES EPERM ENXIO EIO", code: `
for i in range(8):
    for p in ("/dev/pts/%d" % i, "/dev/tty%d" % i, "/dev/ttyS%d" % i, "/dev/vcs%d" % i, "/dev/hvc0", "/dev/console", "/dev/ptmx"):
        if not (p == "/dev/ptmx" and os.path.exists("/dev/pts/ptmx")): held(p, lambda: os.open(p, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))`},
		{id: "B82", long: true, name: "what the kernel tells about the host", refused: "ENOENT EACCES EPERM EIO", code: `
for p in ("/proc/kcore", "/proc/kmsg", "/proc/slabinfo", "/proc/vmallocinfo", "/proc/1/root/etc/hostname", "/proc/1/task/1/environ", "/sys/kernel/debug", "/sys/kernel/tracing/trace", "/sys/class/net", "/sys/firmware/dmi", "/dev/mem", "/dev/cpu/0/msr"):
    held(p, lambda: os.listdir(p) if os.path.isdir(p) else read(p))
if any(int(l.split()[0], 16) for l in open("/proc/kallsyms").read().splitlines()[:50]): say("addresses", "OPEN")`},
		{id: "B83", long: true, name: "its own filters and fences do not widen", refused: "EPERM ENOSYS", code: `
import struct
ok = struct.pack("HBBI", 6, 0, 0, 0x7fff0000); b = ctypes.create_string_buffer(ok); p = struct.pack("HxxxxxxQ", 1, ctypes.addressof(b))
libc.prctl(22, 2, p, 0, 0); held("mount", lambda: call("mount", 0, 0, 0, 0, 0)); held("bpf", lambda: call("bpf", 0, 0, 0)); held("unshare", lambda: call("unshare", 0x10000000))`},
		{id: "B84", long: true, name: "secrets in the memory of an exited run", want: "0\n", limits: sandbox.Limits{MemoryBytes: 512 * mib}, code: `
m = mmap.mmap(-1, 64 << 20); say(m[:].count(b"canary-in-the" + b"-parent"))`},
	}, append(h.env, "VICTIM="+strconv.Itoa(victim.Process.Pid))...)
	h.unharmed(t)
	if err := victim.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the victim: %v", err)
	}
}

// TestAttackBeyond_tex is B90: documents that read, write, run and never end, with an engine that is told to allow everything.
func TestAttackBeyond_tex(t *testing.T) {
	const document = `\documentclass{article}\begin{document}x `
	for i, c := range []struct {
		name, body string
		engine     string
		end        sandbox.End
		limits     sandbox.Limits
	}{
		{name: "commands", body: `\immediate\write18{cat /etc/passwd /etc/shadow; id > owned; cp owned /usr/owned; setsid sleep 300 &}\end{document}`},
		{name: "commands as input", body: `\input{|"cat /etc/shadow SECRET; ls /root /home"}\end{document}`},
		{name: "files of the host", body: `\newread\f\openin\f=SECRET \ifeof\f gone\else\read\f to\x LEAK\x\fi\closein\f\openin\f=/etc/shadow \ifeof\f gone\else\read\f to\x LEAK\x\fi\end{document}`},
		{name: "files beside", body: `\newwrite\f\immediate\openout\f=../template.txt \immediate\write\f{x}\immediate\openout\f=/usr/x.tex \immediate\write\f{x}\end{document}`},
		{name: "a loop", body: `\loop\iftrue\repeat\end{document}`, end: sandbox.TimedOut, limits: sandbox.Limits{Wall: 4 * time.Second}},
		{name: "pages without number", body: `\def\p{\null\newpage\p}\p\end{document}`, end: sandbox.TimedOut, limits: sandbox.Limits{Wall: 4 * time.Second}},
		{name: "a file without end", body: `\newwrite\f\immediate\openout\f=big.tex \def\p{\immediate\write\f{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}\p}\p\end{document}`,
			limits: sandbox.Limits{Wall: 20 * time.Second, FileBytes: 4 * mib}},
		{name: "a program in Lua", engine: "lualatex", body: `\directlua{os.execute("id > owned"); local f = io.open("SECRET"); if f then tex.print("LEAK" .. f:read("a")) end}\end{document}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, level string) {
				if level == "landlock" && i > 2 && !soaking {
					return
				}
				t.Parallel()
				engine := c.engine
				if engine == "" {
					engine = "pdflatex"
				}
				if sandbox.Program(engine) == "" {
					if engine == "pdflatex" {
						t.Fatal("pdflatex is missing (install: sudo apt-get install -y texlive-latex-base)")
					}
					t.Logf("not run: %s is not installed", engine)
					return
				}
				home, err := os.UserHomeDir()
				if err != nil {
					t.Fatal(err)
				}
				secret := filepath.Join(home, ".nullius-test-tex-"+filepath.Base(t.TempDir())+"-"+strconv.Itoa(int(time.Now().UnixNano())))
				if err := os.WriteFile(secret, []byte("planted-for-tex"), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Remove(secret) })
				tree := t.TempDir()
				if err := os.Chmod(filepath.Dir(tree), 0o711); err != nil {
					t.Fatal(err)
				}
				paper := filepath.Join(tree, "paper")
				if err := os.Mkdir(paper, 0o755); err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{"template.txt": "as it was", "paper/p.tex": document + strings.ReplaceAll(c.body, "SECRET", secret)} {
					if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				token := "tex-" + strconv.Itoa(int(time.Now().UnixNano()))
				limits := c.limits
				if limits.Wall == 0 {
					limits.Wall = time.Minute
				}
				limits.MemoryBytes = 1 << 30
				r := do(t, s, sandbox.Spec{
					Argv: []string{engine, "-interaction=nonstopmode", "-shell-escape", "p.tex"}, Dir: "/tree/paper", TeX: true, Limits: limits,
					Env:   []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "openin_any=a", "openout_any=a", "NULLIUS_TOKEN=" + token},
					Binds: []sandbox.Bind{{Source: tree, Target: "/tree"}, {Source: paper, Target: "/tree/paper", Writable: true}},
				})
				if r.End != c.end {
					t.Errorf("%s, exit code %d, signal %d; want %s\n%s", r.End, r.ExitCode, r.Signal, c.end, tail(r.out))
				}
				if left := processesWith(t, token); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				if b, err := os.ReadFile(filepath.Join(tree, "template.txt")); err != nil || string(b) != "as it was" {
					t.Errorf("the file beside: %q, %v", b, err)
				}
				for _, leak := range []string{"planted-for-tex", "root:x:", "root:*:"} {
					if strings.Contains(r.out+r.err, leak) {
						t.Errorf("it read %q", leak)
					}
				}
			})
		})
	}
}
