package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descendants lists a process and all below it.
func descendants(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue
		}
		for _, t := range tasks {
			all = append(all, readPids(fmt.Sprintf("/proc/%d/task/%s/children", all[i], t.Name()))...)
		}
	}
	return all
}

// pss sums proportional set sizes, memory that is a process's own apart from
// what lies in memory file systems and shared mappings. A sum of resident
// sizes would count shared pages once per process.
func pss(pids []int) (own, shared uint64) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", shown(pid)))
		if err != nil || len(b) == 0 {
			own += resident(pid)
			continue
		}
		var whole, shmem uint64
		for line := range strings.Lines(string(b)) {
			name, v, _ := strings.Cut(line, ":")
			if name != "Pss" && name != "Pss_Shmem" && name != "SwapPss" {
				continue
			}
			n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			switch name {
			case "Pss":
				whole = n * kib
			case "Pss_Shmem":
				shmem = n * kib
			default:
				own += n * kib // what was moved to the host's swap is used as well
			}
		}
		own, shared = own+whole-min(shmem, whole), shared+shmem
	}
	return own, shared
}

// shown is the thread of a process under which /proc tells about it: the first one, which shows nothing once it has ended before the others.
func shown(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if at := bytes.LastIndexByte(b, ')'); err != nil || at < 0 || at+2 >= len(b) || b[at+2] != 'Z' {
		return pid
	}
	if tids := living(pid); len(tids) > 0 {
		return tids[0]
	}
	return pid
}

// resident is what everybody may know of a process: one that forbids its owner to look is counted with all that it shares.
func resident(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", shown(pid)))
	f := strings.Fields(string(b))
	if err != nil || len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(f[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// available is the memory that the host can still give away.
func available() uint64 { return readKey("/proc/meminfo", "MemAvailable:") * kib }

// inodeMemory is about what the kernel keeps of a file in memory, besides its content.
const inodeMemory = kib

// tmpfsUse sums what lies in a sandbox's own file systems in memory, and names
// their devices.
func tmpfsUse(pid int, mounts ...string) (uint64, map[uint64]bool) {
	var sum uint64
	devices := map[uint64]bool{}
	for _, m := range mounts {
		at := fmt.Sprintf("/proc/%d/root/%s", pid, m)
		var fs unix.Statfs_t
		var st unix.Stat_t
		if unix.Statfs(at, &fs) != nil || fs.Type != unix.TMPFS_MAGIC || unix.Stat(at, &st) != nil {
			continue
		}
		sum += (fs.Blocks-fs.Bfree)*uint64(fs.Bsize) + (fs.Files-fs.Ffree)*inodeMemory
		devices[uint64(st.Dev)] = true
	}
	return sum, devices
}

// unlinkedTime bounds one search: a program may hold many descriptors.
const unlinkedTime = 100 * time.Millisecond

// inode names a file of the host.
type inode struct{ device, number uint64 }

// unlinked gives the sizes of files that processes hold or map and that have
// no name any more, so that no walk over folders finds them. It includes what
// memfd_create makes.
func unlinked(pids []int) map[inode]uint64 {
	found := map[inode]uint64{}
	until := time.Now().Add(unlinkedTime)
	for _, pid := range pids {
		pid = shown(pid)
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && nameless(to) {
				note(found, filepath.Join(dir, e.Name()))
			}
		}
		maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		for line := range strings.Lines(string(maps)) {
			if nameless(strings.TrimSpace(line)) {
				noteMapped(found, pid, line)
			}
		}
		if time.Now().After(until) {
			break
		}
	}
	return found
}

// posted tells whether descriptors wait in a socket of these processes to be received (proc(5), /proc/PID/fdinfo).
func posted(pids []int) bool {
	until := time.Now().Add(unlinkedTime)
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d", shown(pid))
		entries, _ := os.ReadDir(dir + "/fd")
		for _, e := range entries {
			if to, err := os.Readlink(dir + "/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") && readKey(dir+"/fdinfo/"+e.Name(), "scm_fds:") > 0 {
				return true
			}
		}
		if time.Now().After(until) {
			break
		}
	}
	return false
}

func nameless(link string) bool { return strings.HasSuffix(link, " (deleted)") }

func note(found map[inode]uint64, path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	if st.Nlink == 0 {
		found[inode{uint64(st.Dev), st.Ino}] = uint64(st.Blocks) * 512
	}
	return true
}

// noteMapped looks a mapping's file up. Who may not is told the length of the
// mapping, which is an upper bound.
func noteMapped(found map[inode]uint64, pid int, line string) {
	f := strings.Fields(line)
	if len(f) < 6 || f[4] == "0" || note(found, fmt.Sprintf("/proc/%d/map_files/%s", pid, f[0])) {
		return
	}
	var from, to uint64
	var major, minor uint32
	n, err1 := strconv.ParseUint(f[4], 10, 64)
	_, err2 := fmt.Sscanf(f[0], "%x-%x", &from, &to)
	_, err3 := fmt.Sscanf(f[3], "%x:%x", &major, &minor)
	id := inode{unix.Mkdev(major, minor), n}
	if errors.Join(err1, err2, err3) == nil && found[id] == 0 {
		found[id] = to - from
	}
}

// diskUse is what lies under some folders.
type diskUse struct{ bytes, inodes uint64 }

func (u diskUse) over(bytes, inodes uint64) bool { return u.bytes > bytes || u.inodes > inodes }

// measure stops early once past the limit: a program can make files faster
// than they are counted. What it hides, by a path longer than the kernel takes
// or a folder that cannot be listed, counts as more than any limit.
func measure(dirs []string, stop diskUse) diskUse {
	var u diskUse
	linked := map[inode]bool{} // files with several names
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.EACCES) {
				u.inodes = ^uint64(0)
				return fs.SkipAll
			}
			if err != nil {
				return nil // it vanished while we looked
			}
			info, err := d.Info()
			if errors.Is(err, unix.ENAMETOOLONG) {
				u.inodes = ^uint64(0)
				return fs.SkipAll
			}
			if err != nil {
				return nil
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				id := inode{uint64(st.Dev), st.Ino}
				several := st.Nlink > 1 && !d.IsDir()
				if !several || !linked[id] {
					u.bytes += uint64(st.Blocks) * 512
				}
				if several {
					linked[id] = true
				}
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

// free is what others may still write on the file system of dir.
func free(dir string) uint64 {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return ^uint64(0)
	}
	return fs.Bavail * uint64(fs.Bsize)
}
