package process

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"nullius.dev/kit/fault"
)

// OwnTemp makes a folder in <dir>/tmp the process's TMPDIR, and removes those of processes that were killed: a folder belongs to whoever holds the
// lock on it, which ends with the process. It changes the environment, so it is for the start of a process. Call remove before the process ends.
func OwnTemp(dir string) (remove func(), err error) {
	all := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(all, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "the folder %s cannot be made", all)
	}
	sweepTemp(all)
	for range 10 {
		own, err := os.MkdirTemp(all, "")
		if err != nil {
			return nil, fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "no folder can be made in %s", all)
		}
		lock, err := lockFolder(own)
		if err != nil {
			continue // another process's sweep was faster than the lock
		}
		before, set := os.LookupEnv("TMPDIR")
		remove = func() {
			if set {
				_ = os.Setenv("TMPDIR", before)
			} else {
				_ = os.Unsetenv("TMPDIR")
			}
			_ = errors.Join(os.RemoveAll(own), lock.Close()) // what stays is swept at the next start
		}
		return remove, os.Setenv("TMPDIR", own)
	}
	return nil, fault.New(fault.Precondition, "STORAGE_UNUSABLE", "no folder in %s can be locked", all)
}

// sweepTemp removes the folders whose owners are dead. What cannot be removed is left to the next start.
func sweepTemp(all string) {
	entries, _ := os.ReadDir(all)
	for _, e := range entries {
		path := filepath.Join(all, e.Name())
		if lock, err := lockFolder(path); err == nil {
			_ = errors.Join(os.RemoveAll(path), lock.Close())
		}
	}
}

// lockFolder locks a folder that is still there.
func lockFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	held, err := f.Stat()
	now, serr := os.Stat(path)
	if err := errors.Join(err, serr); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !os.SameFile(held, now) {
		return nil, errors.Join(os.ErrNotExist, f.Close())
	}
	return f, nil
}
