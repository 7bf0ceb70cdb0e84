package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// noGroups stands in where no cgroup can be made. Who belongs to a run is told by a mark that its processes inherit and cannot shed: the hard limit
// of time at real-time priority, which no run has, is a number of its own, and the filter refuses to set that limit. At the landlock level all have it.
type noGroups struct{}

func (noGroups) wall() string { return WallWatchdog }
func (noGroups) close()       {}

func (noGroups) create(string, Limits) (group, error) { return noGroup{newMark()}, nil }

func newMark() uint64 {
	const least = 1 << 50 // microseconds; far from what anybody sets
	return least + rand.Uint64N(1<<61)
}

type noGroup struct{ mark uint64 }

func (noGroup) enter() error     { return nil }
func (noGroup) leave() error     { return nil }
func (noGroup) fd() int          { return -1 }
func (noGroup) oomKills() int    { return 0 }
func (noGroup) usage() Usage     { return Usage{} }
func (noGroup) remove() error    { return nil }
func (g noGroup) members() []int { return marked(g.mark) }

func (g noGroup) kill() {
	for _, pid := range g.members() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// putOn marks the calling process and what it starts.
func putOn(mark uint64) error {
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: mark, Max: mark}); err != nil {
		return fmt.Errorf("mark of the run: %w", err)
	}
	return nil
}

// marked lists the living processes that carry a mark.
func marked(mark uint64) []int {
	return slices.DeleteFunc(everMarked(mark), func(pid int) bool { return len(living(pid)) == 0 })
}

// everMarked lists the processes that carry a mark, ended ones as well (proc(5), /proc/PID/limits: readable for everybody).
func everMarked(mark uint64) []int {
	var found []int
	text := []byte(" " + strconv.FormatUint(mark, 10) + " ")
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "limits")); err == nil && bytes.Contains(b, text) {
			found = append(found, pid)
		}
	}
	return found
}

// living lists the threads of a process that have not ended. The first one may have left the others behind: such a process looks like a zombie.
func living(pid int) []int {
	var found []int
	dir := fmt.Sprintf("/proc/%d/task", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "stat"))
		at := bytes.LastIndexByte(b, ')')
		if err != nil || at < 0 || at+2 >= len(b) || b[at+2] == 'Z' || b[at+2] == 'X' {
			continue
		}
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			found = append(found, tid)
		}
	}
	return found
}

// stopped tells whether a process was stopped by a signal.
func stopped(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndexByte(b, ')')
	return err == nil && at >= 0 && at+2 < len(b) && b[at+2] == 'T'
}

// evict kills again and again until nobody is left of those that a list gives.
func evict(whom string, list func() []int) error {
	for until := time.Now().Add(emptyLimit); ; time.Sleep(2 * time.Millisecond) {
		left := list()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("processes %v of %s do not end", left, whom)
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// A run at the landlock level notes its mark in its folder, for those who find it after a kill.
const markFile = "mark"

func (f *folder) note(mark uint64) error {
	return os.WriteFile(filepath.Join(f.path, markFile), strconv.AppendUint(nil, mark, 10), 0o600)
}

// evictMarked ends what carries the mark that was noted in a folder.
func evictMarked(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, markFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mark, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return nil // killed while it was written, so before anything ran
	}
	err = evict("a killed run", func() []int { return marked(mark) })
	waitFor(everMarked(mark))
	return err
}

// waitFor waits for those that have ended and are this process's own or its adopted children.
func waitFor(pids []int) {
	for _, pid := range pids {
		if pid <= 0 { // not known; and such ids are of groups
			continue
		}
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}
