package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attack is what this binary does as a canary inside its own sandbox.
func attack(args []string) int {
	var b bait
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &b) != nil {
		return 2
	}
	f := findings{Held: map[string]string{}}
	switch b.Kind {
	case "walls":
		f.walls(b)
	case "memory":
		useMemory(b.Limit)
	case "processes":
		f.processes(b.Limit)
	}
	if json.NewEncoder(os.Stdout).Encode(f) != nil {
		return 2
	}
	return 0
}

// try notes an attack; a nil error means that it got through.
func (f *findings) try(name, open string, err error) {
	if err == nil {
		f.Open = append(f.Open, open)
		return
	}
	how := err.Error()
	var no syscall.Errno
	if errors.As(err, &no) {
		how = no.Error()
	}
	f.Held[name] = how
}

func (f *findings) walls(b bait) {
	_, err := os.ReadFile(b.Secret)
	f.try("secret", "a file of the host was read", err)
	f.try("template", "a read-only file was written", os.WriteFile(b.Template, []byte("y"), 0o600))
	for _, p := range []string{"/usr/nullius", "/nullius-probe", "/dev/nullius"} {
		f.try("write "+p, p+" was written", os.WriteFile(p, []byte("y"), 0o600))
	}
	if err := os.WriteFile(b.Out, []byte("x"), 0o600); err != nil {
		f.Open = append(f.Open, "the run folder cannot be written") // a wall too many
	}
	f.network(b)
	f.kernel()
	f.own(b)
	if b.Victim > 0 {
		f.try("signal", "a process of the host was signalled", unix.Kill(b.Victim, 0))
	}
}

func (f *findings) network(b bait) {
	dial := func(network, addr string) error {
		c, err := net.DialTimeout(network, addr, 100*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	}
	f.try("tcp", "a port of the host was reached", dial("tcp", b.TCP))
	f.try("abstract", "an abstract socket of the host was reached", dial("unix", b.Abstract))
	if c, err := net.Dial("udp", b.UDP); err == nil {
		_, _ = c.Write([]byte("x")) // the parent looks whether it came
		c.Close()
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(fd)
	}
	f.try("vsock", "a socket that leaves the network namespace was made", err)
}

func (f *findings) kernel() {
	call := func(n uintptr, a ...uintptr) error {
		a = append(a, 0, 0, 0, 0)
		if _, _, e := unix.RawSyscall6(n, a[0], a[1], a[2], a[3], 0, 0); e != 0 {
			return e
		}
		return nil
	}
	f.try("unshare", "a user namespace was made", call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER))
	f.try("mount", "a file system was mounted", unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
	f.try("io_uring", "io_uring was set up", call(unix.SYS_IO_URING_SETUP, 1, 0))
	f.try("bpf", "bpf was called", call(unix.SYS_BPF, 99, 0, 0))
	f.try("keys", "a key ring was reached", call(unix.SYS_KEYCTL, 0, 0, 0))
	f.try("clone3", "clone3 was not refused", refused(call(unix.SYS_CLONE3, 0, 0), unix.ENOSYS))
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	if e == 0 {
		f.Open = append(f.Open, "a user namespace was cloned")
	}
	var hard unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &hard)
	f.try("raise limits", "a limit was raised", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: hard.Max + 1, Max: hard.Max + 1}))
}

func refused(err error, want syscall.Errno) error {
	if errors.Is(err, want) {
		return err
	}
	return nil
}

// own looks for what should not have come along.
func (f *findings) own(b bait) {
	if env := os.Environ(); len(env) != 1 || env[0] != "CANARY=1" {
		f.Open = append(f.Open, "the environment is not the one that was given")
	}
	if env, err := os.ReadFile("/proc/1/environ"); err == nil && len(env) > 0 {
		f.Open = append(f.Open, "the helper's environment can be read")
	}
	for fd := 3; fd < 64; fd++ {
		var st unix.Stat_t
		if fd == fdSelf || unix.Fstat(fd, &st) != nil {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			f.Open = append(f.Open, fmt.Sprintf("descriptor %d was inherited", fd))
		}
	}
	signal.Ignore(syscall.SIGXFSZ)
	f.try("file size", "a file grew past the limit", os.WriteFile(b.Out+".big", make([]byte, 128<<10), 0o600))
	_ = os.Remove(b.Out + ".big")
	// A daemon; the run must not end before it is gone.
	_, _ = syscall.ForkExec("/usr/bin/sleep", []string{"sleep", "300"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
}

func useMemory(mebibytes int) {
	var kept [][]byte
	for range mebibytes {
		b := make([]byte, mib)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	time.Sleep(2 * time.Second) // a watchdog needs time to look
	for _, b := range kept {
		b[0]++
	}
}

func (f *findings) processes(limit int) {
	spareThreads()
	for n := range limit + 64 {
		_, err := syscall.ForkExec("/usr/bin/sleep", []string{"sleep", "300"}, &syscall.ProcAttr{})
		if err != nil {
			f.Held["processes"] = err.Error()
			return
		}
		if n > limit {
			f.Open = append(f.Open, fmt.Sprintf("more than %d processes were started", limit))
			return
		}
	}
}
