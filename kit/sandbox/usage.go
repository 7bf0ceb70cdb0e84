package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pss sums the proportional set sizes of a process and its descendants. A sum
// of resident sizes would count shared pages once per process.
func pss(pid int) uint64 {
	total := readPss(pid)
	for _, child := range children(pid) {
		total += pss(child)
	}
	return total
}

func children(pid int) []int {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var all []int
	for _, t := range tasks {
		all = append(all, readPids(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))...)
	}
	return all
}

func readPss(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return n * kib
		}
	}
	return 0
}

// tmpfsUse sums what lies in a sandbox's own file systems in memory.
func tmpfsUse(pid int, mounts ...string) uint64 {
	var sum uint64
	for _, m := range mounts {
		var fs unix.Statfs_t
		if unix.Statfs(fmt.Sprintf("/proc/%d/root/%s", pid, m), &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
			sum += (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
		}
	}
	return sum
}

// diskUse is what lies under some folders.
type diskUse struct{ bytes, inodes uint64 }

// measure stops early once past the limit: a program can make files faster
// than they are counted.
func measure(dirs []string, stop diskUse) diskUse {
	var u diskUse
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // it vanished while we looked
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				u.bytes += uint64(st.Blocks) * 512
			}
			u.inodes++
			if u.bytes > stop.bytes || u.inodes > stop.inodes {
				return fs.SkipAll
			}
			return nil
		})
	}
	return u
}
