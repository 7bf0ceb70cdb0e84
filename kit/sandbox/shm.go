package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const shmDir = "/dev/shm"

// shmNames lists what lies in /dev/shm.
func shmNames() map[string]bool {
	names := map[string]bool{}
	entries, _ := os.ReadDir(shmDir)
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}

// shmOf lists the segments of a run: those of its own user or, where it shares
// the caller's, those that came after the run began.
func shmOf(u *user, before map[string]bool) []string {
	var mine []string
	entries, _ := os.ReadDir(shmDir)
	for _, e := range entries {
		p := filepath.Join(shmDir, e.Name())
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil {
			continue
		}
		if u != nil && int(st.Uid) == u.uid || u == nil && int(st.Uid) == os.Geteuid() && !before[e.Name()] {
			mine = append(mine, p)
		}
	}
	return mine
}

// sharedShm keeps the runs of a shared user from removing each other's segments, which do not tell who made them and need not be open to be in use.
type sharedShm struct {
	mu     sync.Mutex
	runs   int
	before map[string]bool // the first of the runs
}

func (m *sharedShm) enter() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs++; m.runs == 1 {
		m.before = shmNames()
	}
}

// leave lets the last of the runs remove what came since the first began, if no other process of the user has a run either.
func (m *sharedShm) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs--; m.runs == 0 && !foldersHeld() {
		sweepShm(nil, m.before)
	}
}

// sweepShm removes a run's segments after its last process. Among those of a
// shared user, what a living process holds is another program's.
func sweepShm(u *user, before map[string]bool) {
	mine := shmOf(u, before)
	if len(mine) == 0 {
		return
	}
	held := map[uint64]bool{}
	if u == nil {
		held = heldInodes(shmDir + "/")
	}
	for _, p := range mine {
		var st unix.Stat_t
		if unix.Lstat(p, &st) == nil && !held[st.Ino] {
			_ = os.RemoveAll(p)
		}
	}
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
