// Package filelock tells the temporary files of the living from those of the dead: who makes one holds a lock on it, which ends with the process.
package filelock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Hold locks an open file or folder for as long as it is open. It fails with fs.ErrNotExist when a sweep was faster and has removed it.
func Hold(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fs.ErrNotExist, err) // only a sweep looks at it
	}
	held, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(f.Name())
	if err == nil && !os.SameFile(held, now) {
		return fs.ErrNotExist
	}
	return err
}

// Sweep removes what lies in a folder and nobody holds. What cannot be removed is left to the next sweep.
func Sweep(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be read is not swept
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if Hold(f) == nil {
			_ = os.RemoveAll(f.Name())
		}
		_ = f.Close()
	}
}
