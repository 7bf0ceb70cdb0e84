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
	if os.RemoveAll(dir) == nil {
		return nil
	}
	return shorten(dir)
}

// A chain is followed so deep at once, and as long as its path stays well under
// what the kernel takes.
const (
	maxStep = 64
	maxPath = 1500
)

// shorten lifts what lies too deep to the top, piece by piece, and removes each.
func shorten(dir string) error {
	lifted := 0
	for pieces := []string{dir}; len(pieces) > 0; {
		piece := pieces[0]
		pieces = pieces[1:]
		var deep []string
		_ = filepath.WalkDir(piece, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			rel, err := filepath.Rel(piece, p)
			if err == nil && (len(rel) > maxPath || strings.Count(rel, "/") >= maxStep) {
				deep = append(deep, p)
				return fs.SkipDir
			}
			return os.Chmod(p, 0o700)
		})
		for _, p := range deep {
			lifted++
			top := filepath.Join(dir, "nullius-lifted-"+strconv.Itoa(lifted))
			if err := errors.Join(os.Chmod(p, 0o700), os.Rename(p, top)); err != nil {
				return err
			}
			pieces = append(pieces, top)
		}
		if piece != dir {
			if err := os.RemoveAll(piece); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}
