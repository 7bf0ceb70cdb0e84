package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groups2 uses the unified hierarchy.
type groups2 struct {
	parent string // folder of all our runs, with memory and pids for children
}

func newGroups2(name string) (groups, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, errors.New("cgroup v2: not mounted alone at " + cgroupRoot)
	}
	path, ok := ownCgroup("")
	if !ok {
		return nil, errors.New("cgroup v2: this process is in none")
	}
	own := filepath.Join(cgroupRoot, path)
	if _, err := os.Stat(own); err != nil {
		own = cgroupRoot
	}
	var errs []error
	for _, at := range candidates2(cgroupRoot, own) {
		sweepGroups(at.dir)
		dir, err := parent2(at, name)
		if err == nil {
			return &groups2{parent: dir}, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("cgroup v2: %w", errors.Join(errs...))
}

// selfLeaf holds this process below a group that was given to it: processes and controllers for children exclude each other in one group.
const selfLeaf = "nullius-self"

// candidate2 is a folder below which the folder of our runs may be made.
type candidate2 struct {
	dir string
	own bool // this process lives in it and must move to a leaf first
}

// candidates2 lists them, best first: the group that is ours, where what limits and ends the service holds for its jobs as well; else a neighbour of
// it, which needs no move; else the root, which serves root.
func candidates2(root, own string) []candidate2 {
	var list []candidate2
	if filepath.Base(own) == selfLeaf {
		own = filepath.Dir(own)
		list = append(list, candidate2{own, false})
	} else {
		list = append(list, candidate2{own, true})
	}
	if dir := filepath.Dir(own); strings.HasPrefix(dir, root+"/") {
		list = append(list, candidate2{dir, false})
	}
	if own != root {
		list = append(list, candidate2{root, false})
	}
	return list
}

// parent2 makes the folder of our runs.
func parent2(at candidate2, name string) (string, error) {
	if !has(at.dir, "cgroup.controllers", "memory", "pids") {
		return "", fmt.Errorf("%s has no memory and pids controllers", at.dir)
	}
	// A child is born from one group into another only for who may move processes in what both lie in (cgroups(7), delegation containment).
	if err := unix.Access(filepath.Join(at.dir, "cgroup.procs"), unix.W_OK); err != nil {
		return "", fmt.Errorf("%s: cgroup.procs: %w", at.dir, err)
	}
	if !has(at.dir, "cgroup.subtree_control", "memory", "pids") {
		if !at.own {
			return "", fmt.Errorf("%s passes no memory and pids controllers on", at.dir)
		}
		if err := vacate(at.dir); err != nil {
			return "", err
		}
	}
	p := filepath.Join(at.dir, name)
	if err := os.Mkdir(p, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := passOn(p); err != nil {
		return "", errors.Join(err, unix.Rmdir(p))
	}
	return p, nil
}

// vacate moves this process into a leaf so that dir may have children with
// controllers. It refuses if others live there: they are not ours to move.
func vacate(dir string) error {
	for _, pid := range readPids(filepath.Join(dir, "cgroup.procs")) {
		if pid != os.Getpid() {
			return fmt.Errorf("%s holds other processes; start with: systemd-run --user --scope -p Delegate=yes", dir)
		}
	}
	self := filepath.Join(dir, selfLeaf)
	if err := os.Mkdir(self, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := writeFile(self, "cgroup.procs", "0"); err != nil {
		return err
	}
	return passOn(dir)
}

// passOn gives a group's children the controllers that limit, and where there are some those that divide the processors and count what goes to storage.
func passOn(dir string) error {
	for _, c := range []string{"+cpu", "+io"} {
		_ = writeFile(dir, "cgroup.subtree_control", c)
	}
	return writeFile(dir, "cgroup.subtree_control", "+memory +pids")
}

func has(dir, file string, want ...string) bool {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return false
	}
	got := strings.Fields(string(b))
	for _, w := range want {
		if !slices.Contains(got, w) {
			return false
		}
	}
	return true
}

func (g *groups2) wall() string { return WallCgroup2 }
func (g *groups2) close()       { _ = unix.Rmdir(g.parent) }

func (g *groups2) create(name string, l Limits) (group, error) {
	dir := filepath.Join(g.parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c := &group2{dir: dir}
	if err := c.limit(l); err != nil {
		return nil, errors.Join(err, removeGroup(dir))
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, removeGroup(dir))
	}
	c.handle = f
	return c, nil
}

type group2 struct {
	dir    string
	handle *os.File
}

func (c *group2) limit(l Limits) error {
	if err := writeFile(c.dir, "memory.max", strconv.FormatUint(l.MemoryBytes+ownMemory, 10)); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	if err := writeFile(c.dir, "memory.swap.max", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("swap limit: %w", err)
	}
	if err := writeFile(c.dir, "memory.oom.group", "1"); err != nil {
		return fmt.Errorf("memory group kill: %w", err)
	}
	if err := writeFile(c.dir, "pids.max", strconv.Itoa(l.Processes+ownProcesses)); err != nil {
		return fmt.Errorf("process limit: %w", err)
	}
	if l.CPUs > 0 {
		err := writeFile(c.dir, "cpu.max", fmt.Sprintf("%d 100000", int(l.CPUs*100000)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cpu limit: %w", err)
		}
	}
	return nil
}

func (c *group2) enter() error { return nil }
func (c *group2) leave() error { return nil }
func (c *group2) fd() int      { return int(c.handle.Fd()) }

func (c *group2) oomKills() int {
	return int(readKey(filepath.Join(c.dir, "memory.events"), "oom_kill"))
}

func (c *group2) usage() Usage {
	return Usage{
		CPU:             time.Duration(readKey(filepath.Join(c.dir, "cpu.stat"), "usage_usec")) * time.Microsecond,
		MemoryBytes:     readUint(filepath.Join(c.dir, "memory.current")),
		PeakMemoryBytes: readUint(filepath.Join(c.dir, "memory.peak")),
		IO:              ioStat(filepath.Join(c.dir, "io.stat")),
		Stalled:         pressure(c.dir),
	}
}

func (c *group2) members() []int {
	if pids := readPids(filepath.Join(c.dir, "cgroup.procs")); len(pids) > 0 {
		return pids
	}
	if readKey(filepath.Join(c.dir, "cgroup.events"), "populated") == 0 {
		return nil
	}
	return readPids(filepath.Join(c.dir, "cgroup.threads")) // of a threaded group, or of processes whose first thread is gone
}

func (c *group2) kill() {
	if writeFile(c.dir, "cgroup.kill", "1") == nil {
		return
	}
	for _, pid := range c.members() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

func (c *group2) remove() error {
	if c.handle != nil {
		c.handle.Close()
	}
	return removeGroup(c.dir)
}
