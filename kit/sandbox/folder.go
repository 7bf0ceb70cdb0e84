package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/filelock"
)

// folderPrefix begins the names of this package's temporary folders.
const folderPrefix = "nullius-sandbox-"

// folder is a temporary folder. It belongs to whoever holds the lock on it, which ends with the process.
type folder struct {
	path string
	lock *os.File
}

// newFolder makes one that runs can enter, though not list.
func newFolder(others bool) (*folder, error) {
	base, err := folderBase(others)
	if err != nil {
		return nil, err
	}
	for range 10 {
		dir, err := os.MkdirTemp(base, folderPrefix)
		if err != nil {
			return nil, err
		}
		lock, err := os.Open(dir)
		if err == nil {
			err = filelock.Hold(lock)
		}
		if err == nil {
			f := &folder{dir, lock}
			if err := os.Chmod(dir, 0o711); err != nil {
				return nil, errors.Join(err, f.remove())
			}
			return f, nil
		}
		_ = lock.Close()
		if !errors.Is(err, fs.ErrNotExist) { // else another process's sweep was faster
			return nil, errors.Join(err, os.Remove(dir))
		}
	}
	return nil, fmt.Errorf("no folder in %s can be locked", base)
}

func (f *folder) remove() error { return errors.Join(RemoveTree(f.path), f.lock.Close()) }

// folderBases are where such folders may lie: where this process keeps its own, or, for other users who cannot get there, where everybody does.
func folderBases(others bool) []string {
	bases := []string{os.TempDir()}
	if others {
		bases = append(bases, "/tmp", "/var/tmp")
	}
	return slices.Compact(bases)
}

func folderBase(others bool) (string, error) {
	var errs []error
	for _, base := range folderBases(others) {
		if !others {
			return base, nil
		}
		err := reachable(filepath.Join(base, "x"))
		if err == nil {
			return base, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// foldersHeld counts those here that a living process has, this one included.
func foldersHeld() int {
	n := 0
	for _, path := range foldersIn(os.TempDir()) {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		err = filelock.Hold(f)
		_ = f.Close()
		if err != nil {
			n++
		}
	}
	return n
}

// foldersIn lists what may be such folders; none where base cannot be read.
func foldersIn(base string) []string {
	var found []string
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), folderPrefix) {
			found = append(found, filepath.Join(base, e.Name()))
		}
	}
	return found
}

// sweepFolders removes what killed processes left, with what still runs there.
func sweepFolders(u *users) {
	for _, base := range folderBases(u != nil) {
		for _, path := range foldersIn(base) {
			sweepFolder(path, u)
		}
	}
}

// sweepFolder leaves a folder alone that another user made, that somebody holds, or whose run's user id is in use again: the next sweep comes.
func sweepFolder(path string, u *users) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || int(st.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() || filelock.Hold(f) != nil {
		return
	}
	var tmp unix.Stat_t
	if u != nil && unix.Lstat(filepath.Join(path, "tmp"), &tmp) == nil && u.has(int(tmp.Uid)) {
		who, err := u.take(int(tmp.Uid))
		if err != nil {
			return
		}
		defer who.release()
		if who.evict() != nil {
			return
		}
		sweepUser(who)
	}
	if evictMarked(path) != nil {
		return
	}
	_ = RemoveTree(path)
}
