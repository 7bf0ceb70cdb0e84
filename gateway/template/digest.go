package template

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Digest names what a template's baseline depends on: all files with their names, save earlier runs and recordings. Two equal folders have one digest.
func Digest(fsys fs.FS) (string, error) {
	all := sha256.New()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && (Ignored(name) || name == "recording" || strings.HasPrefix(name, "run_") && d.IsDir()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // read only
		one := sha256.New()
		if _, err := io.Copy(one, f); err != nil {
			return err
		}
		fmt.Fprintf(all, "%x %q\n", one.Sum(nil), name)
		return nil
	})
	return hex.EncodeToString(all.Sum(nil)), err
}
