package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/sandbox"
)

// assault is one hostile program: lines of Python after prelude, and what must come of it.
type assault struct {
	id, name     string
	code         string
	limits       sandbox.Limits
	end          sandbox.End
	exit, signal int
	forced       bool
	refused      string // words, one of which ends every line of the output
	want         string // expression for the whole output; empty: anything
	long         bool   // run under NULLIUS_SOAK only
	// after looks at what is left, the folder that the program could write being run.
	after func(t *testing.T, r run, run string)
}

// anyExit is the exit code of an assault that may end itself one way or another.
const anyExit = -2

// prelude gives an attack short words. Numbers of system calls come from the host.
var prelude = fmt.Sprintf(`
import ctypes, errno, mmap, os, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
N = %s
def call(name, *a):
    r = libc.syscall(N[name], *[ctypes.c_long(x) if isinstance(x, int) else x for x in a])
    if r < 0: raise OSError(ctypes.get_errno(), "")
    return r
def held(name, f):
    try: r = f()
    except ValueError as e: say(name, "EPERM" if "not allowed to raise" in str(e) else "OPEN " + str(e))
    except OSError as e: say(name, errno.errorcode.get(e.errno, str(e.errno) + " " + str(e)))
    else: say(name, "OPEN", repr(r))
def say(*a): os.write(1, (" ".join(map(str, a)) + "\n").encode())
def write(p, data=b"x", mode="wb"):
    with open(p, mode) as f: f.write(data); f.flush()
def libc_socket(f, k, p):
    r = libc.socket(ctypes.c_long(f), k, p)
    if r < 0: raise OSError(ctypes.get_errno(), "")
    return os.close(r)
def libc_pair(f):
    if libc.socketpair(f, 1, 0, (ctypes.c_int * 2)()) < 0: raise OSError(ctypes.get_errno(), "")
def call_ioctl(fd):
    if libc.ioctl(fd, ctypes.c_ulong(0x5412 | (1 << 32)), b"x") < 0: raise OSError(ctypes.get_errno(), "")
def read(p):
    with open(p, "rb") as f: return f.read(64)
`, numbers())

func numbers() string {
	list := map[string]int{
		"unshare": unix.SYS_UNSHARE, "clone": unix.SYS_CLONE, "clone3": unix.SYS_CLONE3, "setns": unix.SYS_SETNS, "mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2,
		"fsopen": unix.SYS_FSOPEN, "open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT, "mount_setattr": unix.SYS_MOUNT_SETATTR,
		"pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT, "ptrace": unix.SYS_PTRACE, "process_vm_readv": unix.SYS_PROCESS_VM_READV,
		"process_vm_writev": unix.SYS_PROCESS_VM_WRITEV, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "kcmp": unix.SYS_KCMP, "bpf": unix.SYS_BPF,
		"perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD, "io_uring_setup": unix.SYS_IO_URING_SETUP,
		"add_key": unix.SYS_ADD_KEY, "keyctl": unix.SYS_KEYCTL, "request_key": unix.SYS_REQUEST_KEY, "init_module": unix.SYS_INIT_MODULE,
		"finit_module": unix.SYS_FINIT_MODULE, "kexec_load": unix.SYS_KEXEC_LOAD, "reboot": unix.SYS_REBOOT, "swapon": unix.SYS_SWAPON,
		"settimeofday": unix.SYS_SETTIMEOFDAY, "clock_settime": unix.SYS_CLOCK_SETTIME, "adjtimex": unix.SYS_ADJTIMEX, "quotactl": unix.SYS_QUOTACTL,
		"acct": unix.SYS_ACCT, "syslog": unix.SYS_SYSLOG, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "name_to_handle_at": unix.SYS_NAME_TO_HANDLE_AT,
		"fanotify_init": unix.SYS_FANOTIFY_INIT, "sethostname": unix.SYS_SETHOSTNAME, "exit": unix.SYS_EXIT, "tkill": unix.SYS_TKILL, "tgkill": unix.SYS_TGKILL, "rt_sigqueueinfo": unix.SYS_RT_SIGQUEUEINFO, "setrlimit": unix.SYS_SETRLIMIT, "fallocate": unix.SYS_FALLOCATE, "close_range": unix.SYS_CLOSE_RANGE, "mknodat": unix.SYS_MKNODAT,
		"open_tree_attr": unix.SYS_OPEN_TREE_ATTR, "fsconfig": unix.SYS_FSCONFIG, "fsmount": unix.SYS_FSMOUNT, "fspick": unix.SYS_FSPICK, "quotactl_fd": unix.SYS_QUOTACTL_FD,
		"kexec_file_load": unix.SYS_KEXEC_FILE_LOAD, "delete_module": unix.SYS_DELETE_MODULE, "io_uring_enter": unix.SYS_IO_URING_ENTER, "io_uring_register": unix.SYS_IO_URING_REGISTER,
		"process_madvise": unix.SYS_PROCESS_MADVISE, "fanotify_mark": unix.SYS_FANOTIFY_MARK, "clock_adjtime": unix.SYS_CLOCK_ADJTIME, "setdomainname": unix.SYS_SETDOMAINNAME,
		"swapoff": unix.SYS_SWAPOFF, "vhangup": unix.SYS_VHANGUP, "mq_open": unix.SYS_MQ_OPEN, "sched_setattr": unix.SYS_SCHED_SETATTR, "ioprio_set": unix.SYS_IOPRIO_SET,
		"inotify_init1": unix.SYS_INOTIFY_INIT1, "timer_create": unix.SYS_TIMER_CREATE, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL, "memfd_secret": unix.SYS_MEMFD_SECRET,
		"shmget": unix.SYS_SHMGET, "msgget": unix.SYS_MSGGET, "semget": unix.SYS_SEMGET,
	}
	var b strings.Builder
	b.WriteString("{")
	for name, n := range list {
		fmt.Fprintf(&b, "%q: %d, ", name, n)
	}
	return b.String() + "}"
}

var quiet = slog.New(slog.DiscardHandler)

// levels are those that this host must offer; a level that is missing fails the tests.
var levels = []struct {
	name string
	open func() (*sandbox.Sandbox, error)
}{
	{"strict", sync.OnceValues(func() (*sandbox.Sandbox, error) {
		return sandbox.New(context.Background(), sandbox.Config{}, quiet)
	})},
	{"landlock", sync.OnceValues(func() (*sandbox.Sandbox, error) {
		return sandbox.New(context.Background(), sandbox.Config{Isolation: sandbox.Isolation{Level: "landlock", Min: "landlock"}}, quiet)
	})},
}

// counted tells whether a cgroup counts memory here.
func counted(t *testing.T) bool {
	t.Helper()
	var errs []error
	for _, l := range levels { // a container offers but the weaker one
		s, err := l.open()
		if err == nil {
			return s.Probe().MemoryWall != sandbox.WallWatchdog
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return false
}

// eachLevel runs a test at every level.
func eachLevel(t *testing.T, f func(t *testing.T, s *sandbox.Sandbox, level string)) {
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			s, err := l.open()
			if err != nil {
				t.Fatalf("level %s: %v", l.name, err)
			}
			f(t, s, l.name)
		})
	}
}

// besiege runs attacks beside each other. After each, nothing of it is left, what it could not write is as it was, and a canary runs in the same slot.
func besiege(t *testing.T, attacks []assault, env ...string) {
	eachLevel(t, func(t *testing.T, s *sandbox.Sandbox, level string) {
		for _, a := range attacks {
			if strings.HasPrefix(a.name, "strict: ") && level != "strict" || strings.HasPrefix(a.name, "landlock: ") && level != "landlock" {
				continue
			}
			if a.long && !soaking {
				continue
			}
			t.Run(a.id+" "+a.name, func(t *testing.T) {
				t.Parallel()
				a.against(t, s, env)
			})
		}
	})
}

func (a assault) against(t *testing.T, s *sandbox.Sandbox, env []string) {
	tree := t.TempDir()
	if err := os.Chmod(filepath.Dir(tree), 0o711); err != nil { // where nothing can be mounted, other users must get in
		t.Fatal(err)
	}
	out, template := filepath.Join(tree, "run_1"), filepath.Join(tree, "template.txt")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(template, []byte("as it was"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sandbox.RemoveTree(out); err != nil {
			t.Errorf("what it left cannot be removed: %v", err)
		}
	})
	token := fmt.Sprintf("%s-%d", filepath.Base(filepath.Dir(tree)), time.Now().UnixNano())
	spec := sandbox.Spec{
		Argv: []string{"python3", "-c", prelude + a.code}, Dir: "/tree", Limits: a.limits,
		Env:   append([]string{"PATH=/nullius/bin:/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "NULLIUS_TOKEN=" + token}, env...),
		Binds: []sandbox.Bind{{Source: tree, Target: "/tree"}, {Source: out, Target: "/tree/run_1", Writable: true}},
	}
	if !a.forced { // who ends when told so must have the time to
		spec.Grace = 3 * time.Second
	}
	r := do(t, s, spec)
	if left := processesWith(t, token); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if a.exit != anyExit && (r.ExitCode != a.exit || r.Signal != a.signal) || r.End != a.end || r.Forced != a.forced {
		t.Errorf("%s, exit code %d, signal %d, forced %t; want %s, %d, %d, %t\n%s%s", r.End, r.ExitCode, r.Signal, r.Forced,
			a.end, a.exit, a.signal, a.forced, tail(r.out), tail(r.err))
	}
	if r.Level == "" || r.ProbeDigest == "" || r.MemoryWall == "" {
		t.Errorf("not stamped: %+v", r.Result)
	}
	a.judge(t, r)
	if a.after != nil {
		a.after(t, r, out)
	}
	if b, err := os.ReadFile(template); err != nil || string(b) != "as it was" {
		t.Errorf("the template: %q, %v", b, err)
	}
	canary := do(t, s, sandbox.Spec{Argv: []string{"sh", "-c", "echo alive"}})
	if canary.out != "alive\n" || canary.End != sandbox.Exited || canary.ExitCode != 0 {
		t.Errorf("the canary after it: %+v", canary)
	}
}

func (a assault) judge(t *testing.T, r run) {
	t.Helper()
	if a.want != "" && !regexp.MustCompile("^(?s:"+a.want+")$").MatchString(r.out) {
		t.Errorf("output %q, want %s; %s", tail(r.out), a.want, tail(r.err))
	}
	if a.refused == "" {
		return
	}
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	for _, line := range lines {
		if i := strings.LastIndexByte(line, ' '); i < 0 || !slices.Contains(strings.Fields(a.refused), line[i+1:]) {
			t.Errorf("%q, want one of %s; %s", line, a.refused, tail(r.err))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-600):] }

// processesWith finds processes of the host by what stands in their environment.
func processesWith(t *testing.T, token string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(token)) {
			found = append(found, filepath.Dir(f))
		}
	}
	return found
}
