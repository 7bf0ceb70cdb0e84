package sandbox

import "golang.org/x/sys/unix"

// keepFree is left on the disk, whoever fills it.
const keepFree = 256 * mib

// keepMemory is left to the host where only looking limits memory.
const keepMemory = 256 * mib

// survey notes what there is before the program runs.
func (w *watch) survey() {
	w.devices, w.floor, w.free = map[uint64]bool{}, keepFree, map[string]uint64{}
	for _, b := range w.spec.Binds {
		if !b.Writable {
			continue
		}
		w.dirs = append(w.dirs, b.Source)
		var st unix.Stat_t
		if unix.Stat(b.Source, &st) == nil {
			w.devices[uint64(st.Dev)] = true
		}
		w.free[b.Source] = free(b.Source)
		w.floor = min(w.floor, w.free[b.Source]/2)
	}
	w.leave = min(keepMemory, available()/2)
	w.initial = measure(w.dirs, diskUse{bytes: ^uint64(0), inodes: ^uint64(0)})
}

// diskIsFull changes nothing, so it may run beside the loop.
func (w *watch) diskIsFull(pid int) bool {
	for _, dir := range w.dirs {
		if free(dir) < w.floor {
			return true
		}
	}
	return w.overDisk(pid)
}

func (w *watch) overDisk(pid int) bool {
	if w.tmp != "" && measure([]string{w.tmp}, diskUse{w.spec.Limits.TmpBytes, w.spec.Limits.Inodes}).over(w.spec.Limits.TmpBytes, w.spec.Limits.Inodes) {
		return true
	}
	if len(w.dirs) == 0 {
		return false
	}
	limit := diskUse{
		bytes:  add(w.initial.bytes, w.spec.Limits.DiskBytes),
		inodes: add(w.initial.inodes, w.spec.Limits.Inodes),
	}
	now := measure(w.dirs, limit)
	pids := w.l.group.members()
	if len(pids) == 0 && pid != 0 {
		pids = descendants(pid)
	}
	for id, size := range unlinked(pids) {
		if w.devices[id.device] {
			now.bytes, now.inodes = add(now.bytes, size), add(now.inodes, 1)
		}
	}
	return now.over(limit.bytes, limit.inodes) || w.overByPost(pids, now)
}

// postLooks in a row are more than a file takes from one process to the next.
const postLooks = 5

// overByPost tells whether files may take more than the limit that neither lie anywhere nor are held by anybody, but are on their way through a socket.
// What /proc tells is that there are some; how much they take, only the file system's free space.
func (w *watch) overByPost(pids []int, now diskUse) bool {
	lost := uint64(0)
	for dir, before := range w.free {
		lost = max(lost, before-min(before, free(dir)))
	}
	found := now.bytes - min(now.bytes, w.initial.bytes)
	if lost-min(lost, found) <= w.spec.Limits.DiskBytes || !posted(pids) {
		w.onWay = 0
		return false
	}
	w.onWay++
	return w.onWay >= postLooks
}

func add(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}
