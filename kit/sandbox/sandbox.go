package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/fault"
)

// Sandbox is one level of isolation on this host. It is safe for concurrent use.
type Sandbox struct {
	cfg     Config
	level   string
	log     *slog.Logger
	bwrap   *image
	self    *image // this binary, as the helper
	users   *users // nil: everything runs as the calling user
	groups  groups
	python  *Python // the system's, if there is one
	pythons pythons
	serial  atomic.Uint64
	shm     sharedShm
	probe   Probe
}

// New prepares the level that the configuration allows and attacks it. It
// fails with SANDBOX_TOO_WEAK, naming the remedy, if any attack gets through.
// A weaker level than strict is offered only where Isolation.Min names it.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Sandbox, error) {
	levels, err := cfg.Isolation.candidates()
	if err != nil {
		return nil, err
	}
	var first error
	for _, level := range levels {
		s := &Sandbox{cfg: cfg.withDefaults(), level: level, log: log}
		err := s.open(ctx)
		if err == nil {
			if first != nil {
				log.WarnContext(ctx, "a weaker level is offered, as configured", "level", level, "stronger", first)
			}
			return s, nil
		}
		if ctx.Err() != nil || fault.ReasonOf(err) != ReasonTooWeak {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (s *Sandbox) open(ctx context.Context) error {
	err := s.prepare()
	if err == nil {
		err = s.prove(ctx)
	}
	if err != nil {
		if s.groups != nil {
			s.groups.close()
		}
		return errors.Join(err, s.self.close(), s.bwrap.close())
	}
	s.log.InfoContext(ctx, "sandbox ready", "level", s.level, "memory_wall", s.groups.wall(),
		"probe_ms", s.probe.Took.Milliseconds(), "warnings", s.probe.Warnings)
	return nil
}

func (s *Sandbox) prepare() error {
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // see bury
	if err != nil {
		return fault.Wrap(err, fault.Internal, ReasonBroken, "orphans of a run cannot be adopted: %v", err)
	}
	if s.level == LevelStrict {
		path, err := findBubblewrap(s.cfg.Bubblewrap)
		if err != nil {
			return err
		}
		if s.bwrap, err = openImage("bubblewrap", path); err != nil {
			return fault.Wrap(err, fault.Precondition, ReasonTooWeak, "bubblewrap cannot be read: %v", err).WithNext("sudo chmod 0755 " + path)
		}
	} else if abi := landlockABI(); abi < minABI {
		return fault.New(fault.Precondition, ReasonTooWeak, "landlock: this kernel has version %d of it, needed is %d", abi, minABI).
			WithNext("run Linux 6.12 or later with landlock among its security modules (lsm=…,landlock)")
	}
	if s.users, err = newUsers(s.cfg); err != nil {
		return fault.Wrap(err, fault.Precondition, ReasonTooWeak,
			"root has no real user id to drop to: %v", err).WithNext("run as an ordinary user, or give the container a wider user id map")
	}
	if s.self, err = ownImage(s.users != nil); err != nil {
		return fault.Wrap(err, fault.Internal, ReasonBroken, "this program cannot be started as the sandbox's helper: %v", err)
	}
	name, err := groupName()
	if err != nil {
		return fault.Wrap(err, fault.Internal, ReasonBroken, "no name for cgroups: %v", err)
	}
	if err := s.prepareMemory(name); err != nil {
		return err
	}
	sweepFolders(s.users) // with what a sweep of groups has not ended
	return nil
}

// prepareMemory finds what limits memory, and looks at what else the host does
// with a job's memory.
func (s *Sandbox) prepareMemory(name string) error {
	var why []string
	s.groups, why = findGroups(name)
	if s.groups.wall() == WallWatchdog {
		if s.cfg.RequireHardMemory {
			return fault.New(fault.Precondition, ReasonTooWeak, "no cgroup can limit memory here: %s", strings.Join(why, "; ")).
				WithNext("give it a cgroup: systemd-run --user --scope -p Delegate=yes COMMAND; or let a watchdog do, which every result tells: sandbox.require_hard_memory: false")
		}
		s.probe.Warnings = append(s.probe.Warnings, "memory is limited by a watchdog only: "+strings.Join(why, "; "))
	}
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		s.python = &Python{Path: "/usr/bin/python3"}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err == nil && strings.HasPrefix(string(b), "|") {
		s.probe.Warnings = append(s.probe.Warnings, "core_pattern pipes to a program of the host")
	}
	return nil
}

func findBubblewrap(path string) (string, error) {
	for _, p := range []string{path, "/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"} {
		if p == "" {
			continue
		}
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p, nil
		}
	}
	if p, err := exec.LookPath("bwrap"); err == nil {
		return p, nil
	}
	return "", fault.New(fault.Precondition, ReasonTooWeak, "bubblewrap is not installed, so nothing can be isolated").
		WithNext("sudo apt-get install -y bubblewrap")
}

// Probe returns what the attacks at the start found.
func (s *Sandbox) Probe() Probe { return s.probe }

// Close removes the sandbox's cgroups; no run may be going on.
func (s *Sandbox) Close() error {
	s.groups.close()
	return errors.Join(s.self.close(), s.bwrap.close())
}

// Run runs one program. See Runner.
func (s *Sandbox) Run(ctx context.Context, spec Spec) (Result, error) {
	if spec.Python == nil {
		spec.Python = s.python
	}
	if spec.Grace <= 0 {
		spec.Grace = s.cfg.Grace
	}
	spec.Limits = spec.Limits.or(s.cfg.Limits)
	if err := check(spec); err != nil {
		return Result{}, err
	}
	return s.run(ctx, spec, "")
}

func check(s Spec) error {
	invalid := func(field, format string, a ...any) error {
		msg := fmt.Sprintf(format, a...)
		return fault.New(fault.Invalid, ReasonSpecInvalid, "%s: %s", field, msg).WithField(field, msg)
	}
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return invalid("argv", "names no command")
	}
	for _, a := range append(append([]string{s.Dir}, s.Argv...), s.Env...) {
		if strings.ContainsRune(a, 0) {
			return invalid("argv", "holds a zero byte")
		}
		if !utf8.ValidString(a) { // the orders to the helper are JSON
			return invalid("argv", "%.80q is not UTF-8", a)
		}
	}
	for _, e := range s.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return invalid("env", "%q is not NAME=value", e)
		}
	}
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return invalid("dir", "%q is not absolute", s.Dir)
	}
	for _, b := range s.Binds {
		for _, p := range []string{b.Source, b.Target} {
			if !filepath.IsAbs(p) || filepath.Clean(p) != p || p == "/" || strings.ContainsRune(p, 0) {
				return invalid("binds", "%q is not a clean absolute path", p)
			}
		}
		st, err := os.Lstat(b.Source)
		if err != nil {
			return invalid("binds", "%v", err)
		}
		if up, err := os.Stat(filepath.Dir(b.Source)); err == nil && up.Mode()&0o002 != 0 && up.Mode()&os.ModeSticky == 0 {
			return invalid("binds", "%s lies in a folder in which everybody may exchange it (chmod o-w %s)", b.Source, filepath.Dir(b.Source))
		}
		if !st.IsDir() && !st.Mode().IsRegular() {
			return invalid("binds", "%s is neither a folder nor a regular file", b.Source)
		}
	}
	return nil
}
