package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launch is one started helper, at the strict level behind bubblewrap.
type launch struct {
	spec  Spec
	user  *user
	group group
	place *place // at the landlock level
	order orders

	cmd     *exec.Cmd
	control *os.File      // to and from the helper
	reports chan report   // closed when the helper is gone
	child   chan int      // the host's id of process 1, then closed
	placed  chan struct{} // closed when process 1 is known, before it gets its orders
	waited  chan error    // the end of bubblewrap
	began   chan error    // the result of starting
	errors  *headBuffer   // first bytes of standard error: bubblewrap's complaints
	files   []*os.File    // descriptors for the child, closed after the start
}

// thread starts bubblewrap and waits for it on one operating system thread
// that ends with the run: the kernel kills a child that asked for it when the
// thread that made it ends, and the thread's mounts and cgroup are its own.
func (l *launch) thread() {
	runtime.LockOSThread()
	err := l.start()
	l.began <- err
	if err != nil {
		return
	}
	l.waited <- l.cmd.Wait()
}

func (s *Sandbox) launch(spec Spec, u *user, g group, attack string) (*launch, error) {
	l := &launch{
		spec: spec, user: u, group: g, errors: &headBuffer{},
		reports: make(chan report, 4), child: make(chan int, 1), placed: make(chan struct{}), waited: make(chan error, 1), began: make(chan error, 1),
	}
	o := orders{
		Argv: spec.Argv, Env: spec.Env, Dir: spec.Dir, Attack: attack,
		FileBytes: spec.Limits.FileBytes, OpenFiles: uint64(spec.Limits.OpenFiles),
		Processes: uint64(spec.Limits.Processes + ownProcesses), Devices: len(spec.Devices) > 0,
	}
	if n, ok := g.(noGroup); ok {
		o.Mark = n.mark
		// Above what the watchdog allows: it bounds a burst between two looks,
		// and leaves the verdict to the watchdog.
		o.DataBytes = 4*spec.Limits.MemoryBytes + 4*gib
	}
	if s.level == LevelLandlock {
		var err error
		if l.place, err = newPlace(u, spec.Python); err != nil {
			return nil, err
		}
		if o.Mark == 0 {
			o.Mark = newMark()
		}
		if err := l.place.note(o.Mark); err != nil {
			return nil, errors.Join(err, l.close())
		}
		if u == nil {
			o.Processes += uint64(tasksOf(os.Geteuid()))
		}
	}
	l.order = o
	if err := l.descriptors(s); err != nil {
		l.closeFiles()
		return nil, errors.Join(err, l.close())
	}
	l.command(s)
	go l.thread()
	err := <-l.began
	l.closeFiles()
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// close ends the talk with the helper and removes what was made for the run.
func (l *launch) close() error {
	if l.control != nil {
		l.control.Close()
	}
	if l.place != nil {
		return l.place.remove()
	}
	return nil
}

// descriptors prepares what the helper and bubblewrap find at 3 to 6.
func (l *launch) descriptors(s *Sandbox) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return err
	}
	l.control = os.NewFile(uintptr(pair[0]), "control")
	args, err := unix.MemfdCreate("arguments", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	statusR, statusW, err := os.Pipe()
	if err != nil {
		return err
	}
	l.files = []*os.File{os.NewFile(uintptr(pair[1]), "helper"), os.NewFile(uintptr(args), "arguments"), statusW}
	if l.place == nil {
		go l.readStatus(statusR)
	} else {
		statusR.Close()
	}
	go l.readReports()
	l.cmd = &exec.Cmd{ExtraFiles: append(slices.Clone(l.files), s.self.file)}
	if l.place == nil {
		l.cmd.ExtraFiles = append(l.cmd.ExtraFiles, s.bwrap.file)
	}
	return nil
}

func (l *launch) closeFiles() {
	for _, f := range l.files {
		f.Close()
	}
	l.files = nil
}

func (l *launch) command(s *Sandbox) {
	c := l.cmd
	c.Path = "/proc/self/fd/" + strconv.Itoa(fdBwrap)
	c.Args = []string{"bwrap", "--args", strconv.Itoa(fdArgs), "--", "/proc/self/fd/" + strconv.Itoa(fdSelf), helperArg}
	c.Env = []string{} // what stands here can be read inside
	c.Dir = "/"
	c.Stdout = drain{l.spec.Stdout}
	c.Stderr = drain{io.MultiWriter(l.errors, drain{l.spec.Stderr})}
	c.WaitDelay = 10 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if l.place != nil {
		c.Path, c.Args = "/proc/self/fd/"+strconv.Itoa(fdSelf), []string{"nullius-sandbox", helperArg}
		c.Env = []string{"GOMAXPROCS=1", "GOGC=off"}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // away from any terminal
	}
	if l.user != nil {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(l.user.uid), Gid: uint32(l.user.gid)}
	}
	if fd := l.group.fd(); fd >= 0 {
		c.SysProcAttr.UseCgroupFD = true
		c.SysProcAttr.CgroupFD = fd
	}
}

// start runs on the run's own thread.
func (l *launch) start() error {
	binds, err := l.stage()
	if err != nil {
		return fmt.Errorf("show files: %w", err)
	}
	if l.place != nil {
		err = l.fence(binds)
	} else {
		err = l.tellBubblewrap(binds)
	}
	if err != nil {
		close(l.placed)
		return err
	}
	if err := l.group.enter(); err != nil {
		close(l.placed)
		return err
	}
	err = l.cmd.Start()
	if l.place != nil {
		if err == nil {
			l.found(l.cmd.Process.Pid)
		}
		close(l.child)
		close(l.placed)
	}
	return errors.Join(err, l.group.leave())
}

func (l *launch) tellBubblewrap(binds []Bind) error {
	a, err := joinArguments(arguments(l.spec, binds, l.spec.Limits))
	if err != nil {
		return err
	}
	f := l.files[fdArgs-fdControl]
	if _, err := f.Write(a); err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// fence writes the orders of a run at the landlock level.
func (l *launch) fence(binds []Bind) error {
	for i, b := range binds {
		l.place.bind(b)
		if l.user != nil && i >= len(l.spec.Python.binds()) {
			if err := reachable(b.Source); err != nil {
				return err
			}
		}
	}
	if l.user != nil {
		if err := reachable(l.place.tmp()); err != nil {
			return err
		}
	}
	l.place.orders(&l.order)
	l.order.Fence = &fence{Grants: l.place.grants(l.spec, binds), Shared: l.user == nil}
	return nil
}

// jobScore makes the kernel look at jobs first when the host is out of memory.
const jobScore = "500"

// readStatus learns the helper's process id as the host sees it.
func (l *launch) readStatus(r *os.File) {
	defer r.Close()
	defer close(l.placed)
	defer close(l.child)
	for dec := json.NewDecoder(r); ; {
		var m struct {
			Child int `json:"child-pid"`
		}
		if dec.Decode(&m) != nil {
			return
		}
		if m.Child > 0 {
			l.found(m.Child)
			return
		}
	}
}

// found passes the helper's process id on.
func (l *launch) found(pid int) {
	if l.user != nil {
		// Set by a privileged process, it is also the least that the program
		// can set for itself (proc(5), oom_score_adj).
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(jobScore), 0)
	}
	l.child <- pid
}

// readReports sends the orders and passes on what the helper says.
func (l *launch) readReports() {
	defer close(l.reports)
	<-l.placed
	if err := json.NewEncoder(l.control).Encode(l.order); err != nil {
		return
	}
	dec := json.NewDecoder(io.LimitReader(l.control, 1<<16))
	for {
		var r report
		if dec.Decode(&r) != nil {
			return
		}
		l.reports <- r
	}
}

// terminate asks the helper to send SIGTERM to the program's process group.
func (l *launch) terminate() error {
	_, err := l.control.Write([]byte{orderStop})
	return err
}

// drain never fails and never blocks the program because its reader did.
type drain struct{ w io.Writer }

func (d drain) Write(p []byte) (int, error) {
	if d.w != nil {
		_, _ = d.w.Write(p)
	}
	return len(p), nil
}

// headBuffer keeps the first bytes written to it.
type headBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (h *headBuffer) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := 2048 - len(h.b); room > 0 {
		h.b = append(h.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (h *headBuffer) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.b)
}
