package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// RemoveTree removes a folder in which a hostile program has written: folders
// that forbid even their owner to look, and chains deeper than any path or any
// number of descriptors. Nothing may run there any more. It follows no link.
func RemoveTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return shorten(dir)
}

// A chain is followed so deep at once, and as long as its path stays well under
// what the kernel takes.
const (
	maxStep = 64
	maxPath = 1500
)

// shorten lifts what lies too deep to the top, again and again.
func shorten(dir string) error {
	for lifted := 0; ; {
		if err := os.RemoveAll(dir); err == nil {
			return nil
		}
		var deep []string
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			_ = os.Chmod(p, 0o700)
			if rel, err := filepath.Rel(dir, p); err == nil && (len(rel) > maxPath || strings.Count(rel, "/") >= maxStep) {
				deep = append(deep, p)
				return fs.SkipDir
			}
			return nil
		})
		if len(deep) == 0 {
			return os.RemoveAll(dir)
		}
		for _, p := range deep {
			lifted++
			if err := os.Rename(p, filepath.Join(dir, "nullius-lifted-"+strconv.Itoa(lifted))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}
