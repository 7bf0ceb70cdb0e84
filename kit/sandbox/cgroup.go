package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Added to a run's limits for bubblewrap and the helper, which are counted too.
const (
	ownProcesses = 16
	ownMemory    = 24 * mib
)

// groups creates one cgroup per run. The three kinds are cgroup version 2,
// cgroup version 1 and none.
type groups interface {
	wall() string
	create(name string, l Limits) (group, error)
	close() // removes the folder of all runs
}

// group is the cgroup of one run.
type group interface {
	// enter makes the calling thread's next child a member; leave undoes it.
	enter() error
	leave() error
	fd() int // for clone into the cgroup; -1 where enter does it
	oomKills() int
	usage() Usage
	members() []int
	kill()
	remove() error
}

const cgroupRoot = "/sys/fs/cgroup"

// findGroups returns the strongest kind this process may use; the reasons tell
// why stronger ones were passed over.
func findGroups(name string) (groups, []string) {
	var why []string
	for _, try := range []func(string) (groups, error){newGroups2, newGroups1} {
		g, err := try(name)
		if err == nil {
			return g, why
		}
		why = append(why, err.Error())
	}
	return noGroups{}, why
}

// groupName is unique on the host and tells whether its maker still lives; a
// process may have several sandboxes.
func groupName() (string, error) {
	start, err := startTime(os.Getpid())
	if err != nil {
		return "", err
	}
	space, err := pidNamespace()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("nullius-%s-%d-%s-%s", space, os.Getpid(), start, strconv.FormatInt(time.Now().UnixNano(), 36)), nil
}

// pidNamespace names the namespace in which process ids of this process hold:
// containers may share a cgroup tree and see each other's groups, not each other's processes.
func pidNamespace() (string, error) {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", err
	}
	return strings.Trim(strings.TrimPrefix(link, "pid:"), "[]"), nil
}

// startTime is field 22 of /proc/PID/stat: with the id it names a process.
func startTime(pid int) (string, error) {
	f, err := statFields(pid)
	if err != nil {
		return "", err
	}
	return f[19], nil
}

// sweepGroups kills and removes what dead processes of this pid namespace left under dir.
func sweepGroups(dir string) {
	space, err := pidNamespace()
	if err != nil {
		return
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		part := strings.Split(e.Name(), "-")
		if len(part) != 5 || part[0] != "nullius" || part[1] != space {
			continue
		}
		pid, err := strconv.Atoi(part[2])
		if err != nil {
			continue
		}
		if now, err := startTime(pid); err == nil && now == part[3] {
			continue
		}
		removeTree(filepath.Join(dir, e.Name()))
	}
}

// removeTree kills what lives in a cgroup and its children and removes them.
func removeTree(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(filepath.Join(dir, e.Name()))
		}
	}
	for range 50 {
		for _, pid := range readPids(filepath.Join(dir, "cgroup.procs")) {
			if pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if err := unix.Rmdir(dir); err == nil || errors.Is(err, unix.ENOENT) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// removeGroup waits for the kernel to notice that the last member is gone.
func removeGroup(dir string) error {
	for until := time.Now().Add(emptyLimit); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(until) {
			return fmt.Errorf("cgroup %s: %w", dir, err)
		}
	}
}

func readPids(file string) []int {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var pids []int
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func readUint(file string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// readKey reads one value of a file of "key value …" lines.
func readKey(file, key string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}

func writeFile(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// ownCgroup returns this process's path in a hierarchy: a controller of
// version 1, or "" for version 2.
func ownCgroup(controller string) (string, bool) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		for c := range strings.SplitSeq(part[1], ",") {
			if c == controller {
				return part[2], true
			}
		}
	}
	return "", false
}
