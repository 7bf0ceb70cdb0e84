package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Arguments that turn this binary into a part of the sandbox.
const (
	helperArg = "__nullius_sandbox_helper"
	attackArg = "__nullius_sandbox_attack"
)

// Descriptors of bubblewrap, which passes them on, and of the helper.
const (
	fdControl = 3
	fdArgs    = 4
	fdStatus  = 5
	fdSelf    = 6
	fdBwrap   = 7
)

// orders is what the parent sends to the helper before anything runs.
type orders struct {
	Argv      []string `json:"argv"`
	Env       []string `json:"env"`
	Dir       string   `json:"dir"`
	FileBytes uint64   `json:"file_bytes"`
	OpenFiles uint64   `json:"open_files"`
	Processes uint64   `json:"processes"`
	DataBytes uint64   `json:"data_bytes"`     // 0: a cgroup counts and divides
	Mark      uint64   `json:"mark,omitempty"` // of who belongs to the run
	Devices   bool     `json:"devices,omitempty"`
	Attack    string   `json:"attack,omitempty"`
	Fence     *fence   `json:"fence,omitempty"` // landlock; strict has none
}

// report is what the helper says: first that the program runs, then how it ended.
type report struct {
	Started bool   `json:"started,omitempty"`
	Ended   bool   `json:"ended,omitempty"`
	Status  uint32 `json:"status,omitempty"`
	CPU     int64  `json:"cpu,omitempty"`  // nanoseconds
	Read    uint64 `json:"read,omitempty"` // bytes, from storage
	Written uint64 `json:"written,omitempty"`
	Error   string `json:"error,omitempty"`
	Crowded bool   `json:"crowded,omitempty"` // the user has as many processes as the limit allows before anything ran
}

// Main turns the process into the sandbox's inner helper if it was started as
// such. Otherwise it returns at once, with a umask that lets others read: runs
// have users of their own and must be able to read what is laid out for them.
// Folders that nobody else may enter have modes that say so.
func Main() {
	if len(os.Args) >= 2 {
		switch os.Args[1] {
		case helperArg:
			exit(help())
		case attackArg:
			exit(attack(os.Args[2:]))
		}
	}
	syscall.Umask(syscall.Umask(0o077) &^ 0o055)
}

// exit ends the process at once. A runtime may have things to do in os.Exit
// that nobody waits for here; the race detector's sleeps for a second.
func exit(code int) {
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
	}
}

// help is the life of process 1 of a sandbox.
func help() int {
	runtime.LockOSThread() // limits of this thread are what the program inherits
	debug.SetGCPercent(-1)
	control := os.NewFile(fdControl, "control")
	say := json.NewEncoder(control)
	in := json.NewDecoder(control)
	var o orders
	if err := in.Decode(&o); err != nil {
		return 2
	}
	// The program may send process 1 any signal; none has an effect. Caught
	// ones, unlike ignored ones, are not inherited by the program.
	signal.Notify(make(chan os.Signal, 1))
	spareThreads()
	if o.Fence != nil {
		// Who is orphaned comes to this process, which ends it with the rest.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return 2
		}
	}
	leaf, err := o.start()
	if err != nil {
		var missing *commandError
		if !errors.As(err, &missing) {
			_ = say.Encode(report{Error: err.Error(), Crowded: errors.Is(err, unix.EAGAIN)})
			return 2
		}
		// A command that is not there is the program's failure, told as shells do.
		fmt.Fprintln(os.Stderr, missing.Error())
		_ = say.Encode(report{Started: true})
		_ = say.Encode(report{Ended: true, Status: uint32(missing.code) << 8})
		return 0
	}
	_ = say.Encode(report{Started: true})
	go obey(io.MultiReader(in.Buffered(), control), leaf, o.Fence != nil)
	end := reap(leaf)
	if o.Fence != nil {
		sweep()
	}
	_ = say.Encode(end)
	return 0
}

// obey passes a stop on to the program's process group, and ends everything
// when the parent is gone: process 1 takes all with it, a fenced helper first
// ends its program and then sweeps.
func obey(r io.Reader, leaf int, fenced bool) {
	b := make([]byte, 1)
	for {
		_, err := r.Read(b)
		switch {
		case err != nil && !fenced:
			exit(3)
		case err != nil:
			_ = unix.Kill(leaf, unix.SIGKILL)
		case b[0] == orderStop:
			if unix.Kill(-leaf, unix.SIGTERM) != nil { // it left its group
				_ = unix.Kill(leaf, unix.SIGTERM)
			}
		}
		if err != nil {
			return
		}
	}
}

// jobNice is how far a run stands back at least where no cgroup divides the processors.
const jobNice = 10

// orderStop is what the parent may say while the program runs.
const orderStop = 'T'

// reap waits for the program, collecting orphans on the way.
func reap(leaf int) report {
	for {
		var ws unix.WaitStatus
		var ru unix.Rusage
		pid, err := unix.Wait4(-1, &ws, 0, &ru)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return report{Error: "wait: " + err.Error()}
		}
		if pid == leaf && (ws.Exited() || ws.Signaled()) {
			var all unix.Rusage
			_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &all)
			return report{
				Ended: true, Status: uint32(ws), CPU: all.Utime.Nano() + all.Stime.Nano(),
				Read: uint64(all.Inblock) * block, Written: uint64(all.Oublock) * block,
			}
		}
	}
}

// spareThreads makes the runtime own a few idle threads, so that it needs no
// new one when the program has used up the process limit.
func spareThreads() {
	done := make(chan struct{})
	const n = 3
	for range n {
		go func() {
			ts := unix.NsecToTimespec(int64(200 * time.Microsecond))
			_ = unix.Nanosleep(&ts, nil)
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
}

// commandError is a program that cannot be executed.
type commandError struct {
	name string
	code int
	err  error
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %v", e.name, e.err) }

func (o orders) start() (int, error) {
	if o.Dir != "" {
		if err := os.Chdir(o.Dir); err != nil {
			return 0, fmt.Errorf("working folder: %w", err)
		}
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(jobScore), 0)
	if o.DataBytes > 0 { // no cgroup, so nothing but this leaves others their share of the processors
		if prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && 20-prio < jobNice { // getpriority(2): the kernel tells 20 less the niceness
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, jobNice)
		}
	}
	name, argv := "", o.Argv
	if o.Attack != "" {
		name, argv = fmt.Sprintf("/proc/self/fd/%d", fdSelf), []string{"attack", attackArg, o.Attack}
	} else {
		var err error
		if name, err = lookPath(o.Argv[0], o.Env); err != nil {
			return 0, err
		}
	}
	closeOnExec(o.Attack != "")
	if o.Mark > 0 {
		if err := putOn(o.Mark); err != nil {
			return 0, err
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("not dumpable: %w", err)
	}
	if o.Fence == nil { // a fenced helper outlives its parent for as long as it takes to sweep
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return 0, fmt.Errorf("parent death signal: %w", err)
		}
	}
	kind := filterStrict
	if f := o.Fence; f != nil {
		extra := -1
		if o.Attack != "" {
			extra = fdSelf
		}
		if err := f.enclose(extra); err != nil {
			return 0, err
		}
		kind = filterOwn
		if f.Shared {
			kind = filterShared
		}
	}
	if err := o.limit(); err != nil { // after the fence, which opens files
		return 0, err
	}
	if err := installFilter(filterSpec{kind, o.DataBytes == 0, o.Devices}); err != nil {
		return 0, err
	}
	pid, err := syscall.ForkExec(name, argv, &syscall.ProcAttr{
		Env: o.Env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if errors.Is(err, unix.EAGAIN) { // fork(2): the first process of a run cannot have used up its limit
		return 0, fmt.Errorf("first process: %w", err)
	}
	if errors.Is(err, unix.ENOENT) {
		return 0, &commandError{name: o.Argv[0], code: 127, err: err}
	}
	if err != nil {
		return 0, &commandError{name: o.Argv[0], code: 126, err: err}
	}
	if o.DataBytes > 0 {
		// Set on the program only: this process may have mapped more than that.
		// By another thread: the filter of this one may refuse.
		limit := unix.Rlimit{Cur: o.DataBytes, Max: o.DataBytes}
		set := make(chan error)
		go func() { set <- unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil) }()
		if err := <-set; err != nil && err != unix.ESRCH {
			return 0, fmt.Errorf("limit of data: %w", err)
		}
	}
	return pid, nil
}

// closeOnExec keeps every descriptor but the three standard ones from the
// program; an attack needs the one it is started from.
func closeOnExec(attack bool) {
	from := uint(fdControl)
	if attack {
		from = fdSelf + 1
		for fd := fdControl; fd < fdSelf; fd++ {
			unix.CloseOnExec(fd)
		}
	}
	if err := unix.CloseRange(from, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		for fd := int(from); fd < 256; fd++ {
			unix.CloseOnExec(fd)
		}
	}
}

func (o orders) limit() error {
	set := []struct {
		what  int
		name  string
		value uint64
	}{
		{unix.RLIMIT_CORE, "core", 1}, // see limits of the filter
		{unix.RLIMIT_FSIZE, "file size", o.FileBytes},
		{unix.RLIMIT_NOFILE, "open files", o.OpenFiles},
		{unix.RLIMIT_NPROC, "processes", o.Processes},
	}
	for _, l := range set {
		if l.value == 0 {
			continue
		}
		var old unix.Rlimit
		if err := unix.Getrlimit(l.what, &old); err != nil {
			return fmt.Errorf("limit of %s: %w", l.name, err)
		}
		v := min(l.value, old.Max)
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("limit of %s: %w", l.name, err)
		}
	}
	return nil
}

// lookPath finds a command in PATH of env, not in the helper's own.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := "/usr/bin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	for dir := range strings.SplitSeq(path, ":") {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", &commandError{name: name, code: 127, err: errors.New("command not found")}
}
