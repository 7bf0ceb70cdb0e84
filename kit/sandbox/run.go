package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/fault"
)

const (
	lookEvery  = 50 * time.Millisecond // memory
	diskEvery  = time.Second
	startLimit = 30 * time.Second // for the helper to report that the program runs
	emptyLimit = 20 * time.Second // for the kernel to remove killed processes
)

// watch follows one run; the first trigger decides its end.
type watch struct {
	s       *Sandbox
	l       *launch
	spec    Spec
	user    *user
	shm     segments        // what lay in /dev/shm before the run, at landlock with a shared user
	tmp     string          // the run's own /tmp, at landlock
	dirs    []string        // writable folders
	devices map[uint64]bool // that they lie on
	floor   uint64          // of free space on them
	leave   uint64          // the same for the host's memory, where no cgroup limits the run's
	free    map[string]uint64
	looking bool   // at the disk, beside the loop
	onWay   int    // looks in a row at which files were on their way through sockets
	memory  uint64 // at the last look, where no cgroup counts
	initial diskUse
	pidfd   int
	pid     int
	doomed  bool // process 1 is to be killed as soon as it is known

	result   Result
	started  time.Time
	running  bool // the helper reported the start
	ended    bool // the helper reported the end
	stopping bool
	broken   string
	crowded  bool
}

// errCrowded is a run that never began because processes of its user, of which this process may see none, are as many as the limit allows.
var errCrowded = errors.New("other processes of the run's user leave it none")

// startTries is how often a run that never began is tried, each time as another user where there is a choice.
const startTries = 4

func (s *Sandbox) run(ctx context.Context, spec Spec, attack string) (res Result, err error) {
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		var u *user
		if s.users != nil {
			if u, err = s.users.acquire(); err != nil {
				return Result{}, broken(err)
			}
			defer u.release() // not before the last try: the next one must not take it again
		}
		if res, err = s.runAs(ctx, u, spec, attack); !errors.Is(err, errCrowded) || try == startTries {
			return res, err
		}
	}
}

func broken(err error) error {
	return fault.Wrap(err, fault.Internal, ReasonBroken, "the sandbox could not start the program: %v", err)
}

func (s *Sandbox) runAs(ctx context.Context, u *user, spec Spec, attack string) (res Result, err error) {
	name := strconv.FormatUint(s.serial.Add(1), 10) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	g, err := s.groups.create(name, spec.Limits)
	if err != nil {
		return Result{}, broken(err)
	}
	defer func() {
		if e := g.remove(); e != nil && err == nil {
			err = fault.Wrap(e, fault.Internal, ReasonBroken, "the run left something behind: %v", e)
		}
	}()
	if err := errors.Join(s.self.unchanged(), s.bwrap.unchanged()); err != nil {
		return Result{}, broken(err)
	}
	w := &watch{s: s, spec: spec, user: u, pidfd: -1}
	if s.level == LevelLandlock {
		if err := w.clearUser(); err != nil {
			return Result{}, broken(err)
		}
		if u != nil {
			sweepUser(u) // what an executor that was killed left is nobody's
			defer sweepUser(u)
		} else {
			s.shm.enter(w)
			defer s.shm.leave(w)
		}
	}
	w.survey()
	if w.l, err = s.launch(spec, u, g, attack); err != nil {
		return Result{}, broken(err)
	}
	defer func() {
		if e := w.l.close(); e != nil && err == nil {
			err = fault.Wrap(e, fault.Internal, ReasonBroken, "the run left something behind: %v", e)
		}
	}()
	w.surveyPlace()
	waitErr := w.follow(ctx)
	if err := w.empty(); err != nil {
		return Result{}, fault.Wrap(err, fault.Internal, ReasonBroken, "the run left something behind: %v", err)
	}
	if !w.running && g.oomKills() > 0 {
		w.stopping, w.result.End = true, OutOfMemory // its limit is too low for any program
	}
	if !w.running && w.result.End != Cancelled && w.result.End != OutOfMemory {
		if w.crowded {
			return Result{}, broken(fmt.Errorf("%w (%s)", errCrowded, w.broken))
		}
		if w.broken == "" {
			w.broken = strings.TrimSpace(w.l.errors.String())
		}
		return Result{}, broken(fmt.Errorf("%s (%v)", w.broken, waitErr))
	}
	w.conclude()
	return w.result, nil
}

// follow watches until bubblewrap is gone.
func (w *watch) follow(ctx context.Context) error {
	wall := time.NewTimer(startLimit)
	defer wall.Stop()
	grace := time.NewTimer(time.Hour)
	grace.Stop()
	defer grace.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	disk := time.NewTicker(diskEvery)
	defer disk.Stop()
	full := make(chan bool, 1)
	defer func() {
		if w.looking {
			<-full
		}
	}()
	reports, child, done, kill := w.l.reports, w.l.child, ctx.Done(), w.spec.Kill
	for {
		select {
		case pid, ok := <-child:
			child = nil
			w.hold(pid, ok)
		case r, ok := <-reports:
			if !ok {
				reports = nil
				continue
			}
			if r.Started && !w.running {
				wall.Reset(w.spec.Limits.Wall)
			}
			w.take(r)
		case <-done:
			done = nil
			w.stop(Cancelled, grace)
		case <-kill:
			kill = nil
			w.abort(Cancelled)
		case <-wall.C:
			if !w.running {
				w.broken = "the helper did not start within " + startLimit.String()
				w.kill()
				_ = w.l.cmd.Process.Kill()
				continue
			}
			w.stop(TimedOut, grace)
		case <-grace.C:
			w.result.Forced = !w.ended
			w.kill()
		case <-look.C:
			if !w.running && stopped(w.pid) {
				w.begin() // only a program that runs stops its helper, which then could not tell
				wall.Reset(w.spec.Limits.Wall)
			}
			w.lookAtMemory()
		case <-disk.C:
			w.account()
			if !w.looking { // a walk may take longer than memory can wait
				w.looking = true
				go func(pid int) { full <- w.diskIsFull(pid) }(w.pid)
			}
		case is := <-full:
			if w.looking = false; is {
				w.abort(DiskFull)
			}
		case err := <-w.l.waited:
			w.last(child)
			return err
		}
	}
}

// last takes what is still to come when bubblewrap is gone. Somebody may have killed it alone; then process 1 has nobody any more.
func (w *watch) last(child <-chan int) {
	late := time.NewTimer(emptyLimit)
	defer late.Stop()
	w.doomed = true
	for reports := w.l.reports; ; {
		select {
		case pid, ok := <-child:
			child = nil
			w.hold(pid, ok)
		case r, ok := <-reports: // closed by the helper's end
			if !ok {
				return
			}
			w.take(r)
		case <-late.C:
			w.broken = "what bubblewrap had started does not end"
			return
		}
		if w.pidfd >= 0 {
			_ = unix.PidfdSendSignal(w.pidfd, unix.SIGKILL, nil, 0)
		}
	}
}

func (w *watch) hold(pid int, ok bool) {
	if w.pid != 0 {
		return
	}
	if ok {
		w.pid = pid
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			w.pidfd = fd
		}
	}
	if w.doomed {
		w.doomed = false
		w.kill()
		_ = w.l.cmd.Process.Kill()
	}
}

func (w *watch) begin() {
	// Bubblewrap told the id before it let the helper begin.
	pid, ok := <-w.l.child
	w.hold(pid, ok)
	w.running = true
	w.started = time.Now()
	if w.spec.OnStart != nil {
		w.spec.OnStart(w.pid)
	}
}

func (w *watch) take(r report) {
	if r.Error != "" {
		w.broken, w.crowded = r.Error, r.Crowded
	}
	if r.Started && !w.running {
		w.begin()
	}
	if !r.Ended {
		return
	}
	w.ended = true
	w.result.Wall = time.Since(w.started)
	w.result.CPU, w.result.IO = time.Duration(r.CPU), &IO{r.Read, r.Written}
	ws := unix.WaitStatus(r.Status)
	w.result.ExitCode = ws.ExitStatus()
	if ws.Signaled() {
		w.result.ExitCode, w.result.Signal = -1, int(ws.Signal())
	}
}

// stop begins an orderly end: SIGTERM, and SIGKILL after the grace.
func (w *watch) stop(why End, grace *time.Timer) {
	if w.stopping || w.ended {
		return
	}
	w.stopping = true
	w.result.End = why
	if !w.running || w.l.terminate() != nil {
		w.kill()
		return
	}
	grace.Reset(w.spec.Grace)
}

// abort ends at once: what the program does next would only add to the harm.
func (w *watch) abort(why End) {
	if !w.stopping {
		w.stopping = true
		w.result.End = why
	}
	w.kill()
}

// kill ends every process of the sandbox. At strict they die with process 1. Bubblewrap alone is not to be killed before that is known: its child waits
// for it, for ever, and has not asked yet to die with it.
func (w *watch) kill() {
	if w.pidfd >= 0 {
		_ = unix.PidfdSendSignal(w.pidfd, unix.SIGKILL, nil, 0)
	}
	w.l.group.kill()
	switch {
	case w.pidfd >= 0:
	case w.pid == 0 && w.l.place == nil:
		w.doomed = true
	default:
		_ = w.l.cmd.Process.Kill()
	}
}

// clearUser ends what runs as this run's user, where no cgroup tells.
func (w *watch) clearUser() error {
	if w.user == nil || w.s.groups.wall() != WallWatchdog {
		return nil
	}
	return w.user.evict()
}

// empty waits until no process of the run is left; only then may anyone look
// at its files.
func (w *watch) empty() error {
	if w.pidfd >= 0 {
		defer unix.Close(w.pidfd)
		_ = unix.PidfdSendSignal(w.pidfd, unix.SIGKILL, nil, 0)
		fds := []unix.PollFd{{Fd: int32(w.pidfd), Events: unix.POLLIN}}
		for {
			if n, err := unix.Poll(fds, int(emptyLimit.Milliseconds())); err == unix.EINTR {
				continue
			} else if err != nil || n == 0 {
				return errors.New("process 1 of the sandbox does not end")
			}
			break
		}
	}
	for until := time.Now().Add(emptyLimit); ; time.Sleep(2 * time.Millisecond) {
		left := w.l.group.members()
		if len(left) == 0 {
			w.bury()
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("processes %v do not end", left)
		}
		w.l.group.kill()
	}
}

// bury waits for what came to this process when the helper, or at strict bubblewrap, was killed: it asked the kernel for orphans, since the first
// process of a container often does not wait for them. Until somebody does, they count against their user's limit of processes and the host's.
func (w *watch) bury() {
	if w.l.place == nil { // process 1 of a namespace has waited for the others; bubblewrap need not wait for it
		waitFor([]int{w.pid})
	} else if !w.ended { // else the helper has waited for all
		waitFor(everMarked(w.l.order.Mark))
	}
}

// conclude fills in what is known only when everything has ended.
func (w *watch) conclude() {
	r := &w.result
	if r.Wall == 0 && !w.started.IsZero() {
		r.Wall = time.Since(w.started)
	}
	if !w.ended {
		// Killed with its helper: there is no status of its own.
		r.ExitCode, r.Signal = -1, int(unix.SIGKILL)
	}
	if !w.stopping {
		switch {
		case w.l.group.oomKills() > 0:
			r.End = OutOfMemory
		case w.overDisk(w.pid):
			r.End = DiskFull
		}
	}
	u := w.l.group.usage()
	r.CPU = max(r.CPU, u.CPU, processCPU(w.l.cmd))
	r.PeakMemoryBytes = max(r.PeakMemoryBytes, u.PeakMemoryBytes)
	r.IO, r.Stalled = r.IO.most(u.IO), u.Stalled
	r.Level, r.MemoryWall, r.ProbeDigest, r.Limits = w.s.level, w.s.groups.wall(), w.s.probe.Digest, w.spec.Limits
}

func processCPU(c *exec.Cmd) time.Duration {
	if c.ProcessState == nil {
		return 0
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}
