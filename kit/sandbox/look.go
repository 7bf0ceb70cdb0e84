package sandbox

import "golang.org/x/sys/unix"

// surveyPlace adds the run's own folders, which exist since the launch.
func (w *watch) surveyPlace() {
	if w.l.place == nil {
		return
	}
	w.tmp = w.l.place.tmp()
	var st unix.Stat_t
	if unix.Stat(w.tmp, &st) == nil {
		w.devices[uint64(st.Dev)] = true
	}
}

// lookAtMemory ends a run that is over its limit.
func (w *watch) lookAtMemory() {
	if w.l.group.oomKills() > 0 {
		w.abort(OutOfMemory)
		return
	}
	if w.s.groups.wall() != WallWatchdog || w.pid == 0 {
		return
	}
	w.memory = w.sumMemory()
	w.result.PeakMemoryBytes = max(w.result.PeakMemoryBytes, w.memory)
	// The kernel holds memory for a program that no process shows, such as what is on its way through a socket.
	if w.memory > w.spec.Limits.MemoryBytes+ownMemory || available() < w.leave {
		w.abort(OutOfMemory)
	}
}

// sumMemory is what the run's processes hold, where no cgroup counts it.
func (w *watch) sumMemory() uint64 {
	pids := descendants(w.pid)
	own, shared := pss(pids)
	files, counted := uint64(0), map[uint64]bool{}
	if w.l.place == nil {
		files, counted = tmpfsUse(w.pid, "tmp", "dev/shm")
	} else {
		files = w.segmentBytes(pids)
	}
	for id, size := range unlinked(pids) {
		if !w.devices[id.device] && !counted[id.device] {
			files += size
		}
	}
	return own + max(shared, files)
}

// account tells what the run has used so far to whoever wants to know.
func (w *watch) account() {
	if !w.running || w.ended {
		return
	}
	u := w.l.group.usage()
	if w.s.groups.wall() == WallWatchdog {
		u.CPU, u.MemoryBytes = processorTime(descendants(w.pid)), w.memory
	}
	w.result.PeakMemoryBytes = max(w.result.PeakMemoryBytes, u.PeakMemoryBytes, u.MemoryBytes) // kernels before 5.19 keep no peak
	u.PeakMemoryBytes = w.result.PeakMemoryBytes
	if w.spec.OnUsage != nil {
		w.spec.OnUsage(u)
	}
}
