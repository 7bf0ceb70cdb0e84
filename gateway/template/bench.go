package template

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// mountRoot is where templates lie inside, as in a study's baseline.
const mountRoot = "/nullius/templates"

// bench is a private copy of a template on which scripts run.
type bench struct {
	lab    Lab
	t      *Template
	python *sandbox.Python
	dir    string // holds the copy; only we can enter it
	tree   string
}

// script is one run of a Python file of the template.
type script struct {
	argv     []string
	size     string
	wall     time.Duration
	writable []string
}

// open copies a template. The interpreter is the first that imports its modules, else PYTHON_UNSUITABLE says what each lacks; packages of a requirements
// file are the executor's to install, so those templates are tried with what is here.
func (l Lab) open(ctx context.Context, dir string, t *Template) (*bench, error) {
	python, err := l.Finder.FindPython(ctx, "", t.Python.Modules)
	if err != nil {
		return nil, err
	}
	b := &bench{lab: l, t: t, python: python}
	if b.dir, err = os.MkdirTemp("", "nullius-template-"); err != nil {
		return nil, fault.Wrap(err, fault.Precondition, ReasonWrite, "a copy of the template cannot be made")
	}
	b.tree = filepath.Join(b.dir, "tree")
	if err := copyTree(b.tree, os.DirFS(dir)); err != nil {
		b.remove()
		return nil, fault.Wrap(err, fault.Precondition, ReasonWrite, "a copy of the template cannot be made")
	}
	return b, nil
}

func (b *bench) remove() { _ = os.RemoveAll(b.dir) } // a copy; what stays is in the temporary folder

// copyTree copies regular files and folders that are part of a template.
func copyTree(to string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		at := filepath.Join(to, filepath.FromSlash(name))
		switch {
		case err != nil:
			return err
		case name != "." && Ignored(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(at, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		return copyFile(at, from, name)
	})
}

// fresh removes the runs and makes an empty folder for a new one.
func (b *bench) fresh(out string) error {
	old, err := filepath.Glob(filepath.Join(b.tree, "run_*"))
	for _, p := range old {
		if info, serr := os.Stat(p); serr == nil && info.IsDir() && err == nil {
			err = os.RemoveAll(p)
		}
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(b.tree, out), 0o755)
	}
	if err != nil {
		return fault.Wrap(err, fault.Precondition, ReasonWrite, "a copy of the template cannot be made")
	}
	return nil
}

// run gives the result and the end of what the script said.
func (b *bench) run(ctx context.Context, s script) (sandbox.Result, string, error) {
	root := path.Join(mountRoot, b.t.Name)
	whole := len(s.writable) == 1 && s.writable[0] == "."
	binds := []sandbox.Bind{{Source: b.tree, Target: root, Writable: whole}}
	for _, w := range s.writable {
		if !whole {
			binds = append(binds, sandbox.Bind{Source: filepath.Join(b.tree, w), Target: path.Join(root, w), Writable: true})
		}
	}
	env := b.t.Environment(s.size)
	env["PATH"], env["HOME"], env["TMPDIR"], env["PYTHONUNBUFFERED"] = b.python.SearchPath(), "/tmp", "/tmp", "1"
	var pairs []string
	for _, name := range mapKeys(env) {
		pairs = append(pairs, name+"="+env[name])
	}
	said := &tail{}
	res, err := b.lab.Runner.Run(ctx, sandbox.Spec{
		Argv: append([]string{"python"}, s.argv...), Env: pairs, Dir: root, Binds: binds, Python: b.python, Stdout: &tail{}, Stderr: said, Grace: time.Second,
		Limits: sandbox.Limits{Wall: s.wall},
	})
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return res, string(said.kept), err
}
