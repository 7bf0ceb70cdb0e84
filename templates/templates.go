// Package templates embeds the experiment templates that come with Nullius.
package templates

import (
	"embed"
	"io/fs"
)

// all: keeps files whose names start with an underscore or a dot.
//
//go:embed all:2d_diffusion all:MACE all:bandit_lite all:double_descent all:earthquake-prediction all:grokking all:mobilenetV3 all:nanoGPT all:nanoGPT_lite all:probes all:seir all:sketch_rnn all:tensorf
var files embed.FS

// FS holds one folder per template, named as in Names. It is read-only.
func FS() fs.FS { return files }

// Names lists the bundled templates in alphabetical order.
func Names() []string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil // an embedded root can always be read
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
