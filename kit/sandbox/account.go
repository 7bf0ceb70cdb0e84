package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a run has used so far.
type Usage struct {
	CPU             time.Duration
	MemoryBytes     uint64 // now, as the limit counts it
	PeakMemoryBytes uint64
	IO              *IO     // nil: nobody counts it while the program runs
	Stalled         *Stalls // nil: the kernel does not tell
}

// IO is what was read from storage and written to it, which file systems in memory and the host's cache are not.
type IO struct{ ReadBytes, WrittenBytes uint64 }

// Stalls are times in which some task of a run waited for a resource.
type Stalls struct{ CPU, Memory, IO time.Duration }

// block is the unit in which getrusage(2) counts what goes to storage and comes from there.
const block = 512

// most joins two accounts of one run, each of which may have missed something: a cgroup does not see what is written after the run's end, and who
// waits for a program does not hear of what that program did not wait for.
func (a *IO) most(b *IO) *IO {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	return &IO{max(a.ReadBytes, b.ReadBytes), max(a.WrittenBytes, b.WrittenBytes)}
}

// ioStat sums a cgroup's io.stat over the devices that lie on no other: the kernel counts the others as well. nil: it is not counted.
func ioStat(file string) *IO {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	sum := &IO{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 || stacked(f[0]) {
			continue
		}
		for _, pair := range f[1:] {
			name, v, _ := strings.Cut(pair, "=")
			n, err := strconv.ParseUint(v, 10, 64)
			switch {
			case err != nil:
			case name == "rbytes":
				sum.ReadBytes += n
			case name == "wbytes":
				sum.WrittenBytes += n
			}
		}
	}
	return sum
}

// stacked tells whether a block device, as MAJOR:MINOR, is made of others.
func stacked(device string) bool {
	below, err := os.ReadDir(filepath.Join("/sys/dev/block", device, "slaves"))
	return err == nil && len(below) > 0
}

// pressure reads a cgroup's stalls (Documentation/accounting/psi.rst). nil: this kernel, or this cgroup, does not count them.
func pressure(dir string) *Stalls {
	s := &Stalls{}
	for file, total := range map[string]*time.Duration{"cpu": &s.CPU, "memory": &s.Memory, "io": &s.IO} {
		b, err := os.ReadFile(filepath.Join(dir, file+".pressure"))
		if err != nil {
			return nil
		}
		some, _, _ := strings.Cut(string(b), "\n")
		_, v, found := strings.Cut(some, " total=")
		n, err := strconv.ParseInt(v, 10, 64)
		if !strings.HasPrefix(some, "some ") || !found || err != nil {
			return nil
		}
		*total = time.Duration(n) * time.Microsecond
	}
	return s
}

// tick is the unit of times in /proc, on every architecture that Go runs on (USER_HZ, proc(5)).
const tick = time.Second / 100

// processorTime sums what processes have used, with what those used that they waited for.
func processorTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		f, err := statFields(pid)
		if err != nil {
			continue
		}
		for _, v := range f[11:15] { // utime to cstime
			n, _ := strconv.ParseInt(v, 10, 64)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// statFields are those of /proc/PID/stat from the third on, which is the state.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 {
		return nil, fmt.Errorf("unreadable /proc/%d/stat", pid)
	}
	return f, nil
}
