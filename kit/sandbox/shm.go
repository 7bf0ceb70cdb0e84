package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const shmDir = "/dev/shm"

// segments are files of /dev/shm by their paths.
type segments map[string]segment

type segment struct {
	inode   uint64
	uid     int
	changed unix.Timespec
}

func listSegments() segments {
	all := segments{}
	entries, _ := os.ReadDir(shmDir)
	for _, e := range entries {
		path := filepath.Join(shmDir, e.Name())
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil {
			all[path] = segment{st.Ino, int(st.Uid), st.Mtim}
		}
	}
	return all
}

// segmentsOf lists the segments of a run: those of its own user or, where it
// shares the caller's, those that came or changed after the run began.
func segmentsOf(u *user, before segments) []string {
	uid := os.Geteuid()
	if u != nil {
		uid = u.uid
	}
	var mine []string
	for path, s := range listSegments() {
		if s.uid == uid && (u != nil || before[path] != s) {
			mine = append(mine, path)
		}
	}
	return mine
}

// sweepUser removes the segments of a user of its own.
func sweepUser(u *user) {
	for _, path := range segmentsOf(u, nil) {
		_ = os.RemoveAll(path)
	}
}

// sharedShm keeps the runs of a shared user from removing each other's segments, which do not tell who made them and need not be open to be in use.
type sharedShm struct {
	mu      sync.Mutex
	runs    map[*watch]segments // what each found when it began
	first   segments            // what was there before any of them
	crowded bool                // some of them ran beside each other
}

func (m *sharedShm) enter(w *watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.shm = listSegments()
	if len(m.runs) == 0 {
		m.runs, m.first = map[*watch]segments{}, w.shm
	}
	m.runs[w] = w.shm
	m.crowded = len(m.runs) > 1
}

// leave removes what came since the first began and belongs to no run that goes on: all of those found it. It leaves everything where another process of
// the user has a run, and what a living process holds, which may be another program's.
func (m *sharedShm) leave(w *watch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.runs, w)
	left := segmentsOf(nil, m.first)
	if len(left) == 0 || foldersHeld() > len(m.runs) {
		return
	}
	now, held := listSegments(), heldInodes(shmDir+"/")
	for _, path := range left {
		theirs := held[now[path].inode]
		for _, found := range m.runs {
			theirs = theirs || found[path] != now[path]
		}
		if !theirs {
			_ = os.RemoveAll(path)
		}
	}
}

// alone tells that no run was beside another since there was none.
func (m *sharedShm) alone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.crowded
}

// segmentBytes is the size of a run's segments. Among runs of a shared user a segment does not tell whose it is, so none is charged with more than it wrote.
func (w *watch) segmentBytes(pids []int) uint64 {
	size := measure(segmentsOf(w.user, w.shm), diskUse{bytes: ^uint64(0), inodes: ^uint64(0)}).bytes
	if w.user != nil || w.s.shm.alone() {
		return size
	}
	return min(size, written(pids[1:])) // without the helper, which hides
}

// written sums the bytes that processes and the children they waited for passed to write(2) and its kin (proc(5), /proc/PID/io). Who hides that is taken
// to have written without end.
func written(pids []int) uint64 {
	var sum uint64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if errors.Is(err, os.ErrPermission) {
			return ^uint64(0)
		}
		_, rest, _ := strings.Cut(string(b), "wchar: ")
		line, _, _ := strings.Cut(rest, "\n")
		n, _ := strconv.ParseUint(line, 10, 64)
		sum += n
	}
	return sum
}

// heldInodes lists files below prefix that processes of this user hold or map.
// It goes by number: a semaphore's file is mapped under a name that it loses.
func heldInodes(prefix string) map[uint64]bool {
	held := map[uint64]bool{}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		entries, _ := os.ReadDir(proc + "/fd")
		for _, e := range entries {
			at := proc + "/fd/" + e.Name()
			var st unix.Stat_t
			if to, err := os.Readlink(at); err == nil && strings.HasPrefix(to, prefix) && unix.Stat(at, &st) == nil {
				held[st.Ino] = true
			}
		}
		maps, _ := os.ReadFile(proc + "/maps")
		for line := range strings.Lines(string(maps)) {
			if f := strings.Fields(line); len(f) > 5 && strings.HasPrefix(f[5], prefix) {
				n, _ := strconv.ParseUint(f[4], 10, 64)
				held[n] = true
			}
		}
	}
	return held
}
