package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// groups1 uses the separate hierarchies of version 1. They know neither a
// group kill nor a birth in a cgroup: the starting thread goes in, forks and
// comes out, and a kill repeats until nothing is left.
type groups1 struct {
	own    map[string]string // controller: this process's folder
	parent map[string]string // controller: folder of all our runs
}

func newGroups1(name string) (groups, error) {
	g := &groups1{own: map[string]string{}, parent: map[string]string{}}
	for _, c := range []struct {
		name string
		must bool
	}{{"memory", true}, {"pids", true}, {"cpu", false}, {"cpuacct", false}} {
		dir, err := g.add(c.name, name)
		if err != nil && c.must {
			g.close()
			return nil, fmt.Errorf("cgroup v1 controller %s: %w", c.name, err)
		}
		if err == nil {
			sweepGroups(filepath.Dir(dir))
		}
	}
	return g, nil
}

func (g *groups1) add(controller, name string) (string, error) {
	path, ok := ownCgroup(controller)
	if !ok {
		return "", errors.New("not mounted")
	}
	own := filepath.Join(cgroupRoot, controller, path)
	if _, err := os.Stat(filepath.Join(own, "tasks")); err != nil {
		// In a container the path is the host's; its own root is what it sees.
		own = filepath.Join(cgroupRoot, controller)
		if _, err := os.Stat(filepath.Join(own, "tasks")); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(own, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if controller == "memory" {
		_ = writeFile(dir, "memory.use_hierarchy", "1")
	}
	g.own[controller], g.parent[controller] = own, dir
	return dir, nil
}

func (g *groups1) close() {
	for _, dir := range g.parent {
		_ = unix.Rmdir(dir)
	}
}

func (g *groups1) wall() string { return WallCgroup1 }

func (g *groups1) create(name string, l Limits) (group, error) {
	c := &group1{own: g.own, dir: map[string]string{}}
	for controller, parent := range g.parent {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, errors.Join(err, c.remove())
		}
		c.dir[controller] = dir
	}
	if err := c.limit(l); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

type group1 struct {
	own, dir map[string]string
}

func (c *group1) limit(l Limits) error {
	memory := strconv.FormatUint(l.MemoryBytes+ownMemory, 10)
	if err := writeFile(c.dir["memory"], "memory.limit_in_bytes", memory); err != nil {
		return fmt.Errorf("memory limit: %w", err)
	}
	// Memory and swap together; without the file no swap is accounted, and
	// swappiness 0 keeps the group out of it.
	if err := writeFile(c.dir["memory"], "memory.memsw.limit_in_bytes", memory); err != nil {
		if err := writeFile(c.dir["memory"], "memory.swappiness", "0"); err != nil {
			return fmt.Errorf("swap limit: %w", err)
		}
	}
	// Buffers of sockets, which the limit above does not hold; not every kernel has the file.
	_ = writeFile(c.dir["memory"], "memory.kmem.tcp.limit_in_bytes", strconv.FormatUint(min(l.MemoryBytes, 64*mib), 10))
	if err := writeFile(c.dir["pids"], "pids.max", strconv.Itoa(l.Processes+ownProcesses)); err != nil {
		return fmt.Errorf("process limit: %w", err)
	}
	if dir := c.dir["cpu"]; dir != "" && l.CPUs > 0 {
		_ = writeFile(dir, "cpu.cfs_period_us", "100000")
		if err := writeFile(dir, "cpu.cfs_quota_us", strconv.Itoa(int(l.CPUs*100000))); err != nil {
			return fmt.Errorf("cpu limit: %w", err)
		}
	}
	return nil
}

func (c *group1) enter() error { return c.move(c.dir) }
func (c *group1) leave() error { return c.move(c.own) }
func (c *group1) fd() int      { return -1 }

func (c *group1) move(to map[string]string) error {
	tid := strconv.Itoa(unix.Gettid())
	for controller := range c.dir {
		if err := writeFile(to[controller], "tasks", tid); err != nil {
			return fmt.Errorf("cgroup v1 %s: %w", controller, err)
		}
	}
	return nil
}

func (c *group1) oomKills() int {
	return int(readKey(filepath.Join(c.dir["memory"], "memory.oom_control"), "oom_kill"))
}

// usage leaves out what goes to storage: blkio of version 1 counts no write that went through the cache, and on recent kernels nothing at all unless
// a rule throttles it. Stalls are told in version 2 only.
func (c *group1) usage() Usage {
	return Usage{
		CPU:             time.Duration(readUint(filepath.Join(c.dir["cpuacct"], "cpuacct.usage"))),
		MemoryBytes:     readUint(filepath.Join(c.dir["memory"], "memory.usage_in_bytes")),
		PeakMemoryBytes: readUint(filepath.Join(c.dir["memory"], "memory.max_usage_in_bytes")),
	}
}

func (c *group1) members() []int {
	return readPids(filepath.Join(c.dir["pids"], "cgroup.procs"))
}

func (c *group1) kill() {
	for _, pid := range c.members() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

func (c *group1) remove() error {
	var errs []error
	for _, dir := range c.dir {
		errs = append(errs, removeGroup(dir))
	}
	return errors.Join(errs...)
}
