package process

import (
	"errors"
	"os"
	"path/filepath"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/filelock"
)

// OwnTemp makes a folder in <dir>/tmp the process's TMPDIR, and removes those of processes that were killed: a folder belongs to whoever holds the
// lock on it, which ends with the process. It changes the environment, so it is for the start of a process. Call remove before the process ends.
func OwnTemp(dir string) (remove func(), err error) {
	all := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(all, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "the folder %s cannot be made", all)
	}
	filelock.Sweep(all)
	for range 10 {
		own, err := os.MkdirTemp(all, "")
		if err != nil {
			return nil, fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "no folder can be made in %s", all)
		}
		lock, err := os.Open(own)
		if err == nil {
			err = filelock.Hold(lock)
		}
		if err != nil {
			_ = lock.Close()
			continue // another process's sweep was faster
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
