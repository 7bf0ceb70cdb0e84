package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/templates"
)

func (c *cli) templateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "template", Short: "Check and make templates"}
	cmd.AddCommand(c.templateCheckCommand(), c.templateInitCommand(), c.templateAddCommand(), c.baselineCommand(), c.prepareCommand())
	return cmd
}

func (c *cli) templateCheckCommand() *cobra.Command {
	var run bool
	cmd := &cobra.Command{
		Use: "check DIR|NAME", Short: "Check a template against the contract", Args: cobra.ExactArgs(1),
		Long: "Reads everything and runs nothing: all problems at once, each with file, line and what to try. --run also runs the template's smallest\nsize in the sandbox, reads its results and draws its figures.",
		RunE: func(cmd *cobra.Command, args []string) error {
			checks := c.readTemplate(cmd.Context(), args[0], false)
			asText := c.output == "table"
			if asText {
				c.printChecks(checks)
			}
			if run && !anyError(checks) {
				tried, err := c.tryTemplate(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if asText {
					c.printChecks(tried)
				}
				checks = append(checks, tried...)
			}
			if !asText {
				if err := json.NewEncoder(c.out).Encode(checks); err != nil {
					return err
				}
			}
			if anyError(checks) {
				return exit(exitError)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&run, "run", false, "also run the smallest size, read its results and draw its figures")
	return cmd
}

// told is a check of a template: what its text says is there in parts as well, for programs.
type told struct {
	check
	Finding *template.Finding `json:"finding,omitempty"`
}

func anyError(checks []told) bool {
	return slices.ContainsFunc(checks, func(k told) bool { return k.State == "error" })
}

func (c *cli) printChecks(checks []told) {
	for _, k := range checks {
		fmt.Fprintf(c.out, "%s: %s\n", k.State, k.Text)
		if k.Remedy != "" {
			fmt.Fprintf(c.out, "  next: %s\n", k.Remedy)
		}
	}
}

// tryTemplate runs a sound template's scripts.
func (c *cli) tryTemplate(ctx context.Context, arg string) ([]told, error) {
	src, err := c.findSource(ctx, arg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.remove() }()
	dir, name := src.dir, src.name
	t, findings := template.Load(os.DirFS(dir), template.Options{Name: name})
	if t == nil {
		return nil, src.refusal(template.Errors(findings))
	}
	if len(t.Sizes) == 0 {
		fmt.Fprintf(c.err, "%s has no sizes: this is a run of full length, for at most %s\n", name, t.TimeLimit)
	}
	if t.Python.Requirements != "" {
		return c.tryWithPackages(ctx, src, t)
	}
	box, err := openSandbox(ctx, newLogger("error"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = box.Close() }()
	trial, findings, err := template.Lab{Runner: box, Finder: box}.Try(ctx, dir, t)
	if err != nil {
		return nil, err
	}
	out := findingChecks(name, findings, false)
	if len(template.Errors(findings)) == 0 {
		drew := "figures are left to the study"
		if len(trial.Figures) > 0 {
			drew = "plot.py drew " + strings.Join(trial.Figures, ", ")
		}
		out = append(out, ranCheck(name, trial.Size, trial.Wall, trial.Memory, drew))
	}
	return out, nil
}

// tryWithPackages measures the smallest size through the executor, which installs the packages of a requirements file as before a study's first run.
func (c *cli) tryWithPackages(ctx context.Context, src source, t *template.Template) ([]told, error) {
	size := ""
	if _, ok := t.Sizes["smoke"]; ok {
		size = "smoke"
	}
	b, err := c.measureHere(ctx, src, size)
	if err != nil {
		return nil, err
	}
	return []told{ranCheck(t.Name, size, b.run.GetWall().AsDuration(), b.memory, "with the packages of "+t.Python.Requirements+"; figures are left to the study")}, nil
}

// ranCheck tells what a run took; memory in bytes.
func ranCheck(name, size string, wall time.Duration, memory uint64, more string) told {
	if size == "" {
		size = "its only size"
	}
	return told{check: check{Name: "template " + name, State: "ok", Text: fmt.Sprintf("ran (%s) in %.1f s with %d MiB; %s", size, wall.Seconds(), (memory+1<<20-1)>>20, more)}}
}

func (c *cli) templateInitCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "init DIR", Short: "Make a small template that passes the check and runs", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				if err := template.Init(args[0]); err != nil {
					return err
				}
			} else {
				dir, _, remove, err := c.findTemplate(cmd.Context(), from)
				if err != nil {
					return err
				}
				defer func() { _ = remove() }()
				if err := template.InitFrom(args[0], withoutRecording{os.DirFS(dir)}); err != nil {
					return err
				}
			}
			fmt.Fprintf(c.out, "%s: made. next: nullius template check %s --run\n", args[0], shellWord(args[0]))
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "folder or name of the template to copy (default a small one of Python's standard library)")
	return cmd
}

// withoutRecording hides a recording that lies in a template: it answers for that template alone.
type withoutRecording struct{ fs.FS }

func (f withoutRecording) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(f.FS, name)
	if name == "." {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return notTemplate(e.Name()) })
	}
	return entries, err
}

func (c *cli) templateAddCommand() *cobra.Command {
	return &cobra.Command{Use: "add DIR", Short: "Upload a template to the server", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		dir, name, remove, err := templateFolder(args[0])
		if err != nil {
			return err
		}
		defer func() { _ = remove() }()
		return c.with(cmd.Context(), func(cl *client) error {
			r, err := cl.upload(cmd.Context(), source{arg: args[0], dir: dir, name: name, bundled: !isFolder(args[0])})
			if err != nil {
				return err
			}
			for _, w := range r.GetWarnings() {
				fmt.Fprintln(c.err, "warning:", w.GetText())
			}
			return c.emit(r.GetTemplate(), func(w *tabwriter.Writer) { fmt.Fprintln(w, r.GetTemplate().GetName()) })
		})
	}}
}

// templateChecks reads a template on which a study is to start.
func (c *cli) templateChecks(ctx context.Context, arg string) []check {
	var out []check
	for _, k := range c.readTemplate(ctx, arg, true) {
		out = append(out, k.check)
	}
	return out
}

// readTemplate reads a template. What only keeps a study from starting here is an error where one is to start, else a warning.
func (c *cli) readTemplate(ctx context.Context, arg string, starting bool) []told {
	dir, name, remove, err := c.findTemplate(ctx, arg)
	if err != nil {
		return []told{{check: check{Name: "template", State: "error", Text: err.Error(), Remedy: fault.NextOf(err)}}}
	}
	defer func() { _ = remove() }()
	o := template.Options{Name: name}
	var quick *template.Interpreter
	box, err := openSandbox(ctx, newLogger("error"))
	if err == nil {
		defer func() { _ = box.Close() }()
		if python, err := box.FindPython(ctx, "", nil); err == nil {
			in := template.NewInterpreter(box, python)
			o.ParsePython = func(sources map[string][]byte) map[string]template.Syntax { return in.Parse(ctx, sources) }
			o.PythonVersion = template.PythonVersion(ctx, box)
			if !starting {
				quick = in
				o.PythonVersion = func([]string) string { return python.Version } // importing takes seconds
			}
		}
		o.MissingModules = missingModules(ctx, box, quick)
	}
	_, findings := template.Load(os.DirFS(dir), o)
	out := findingChecks(name, findings, starting)
	if err != nil {
		out = append(out, told{check: check{Name: "template " + name, State: "warning", Text: "Python was not asked about syntax and modules: " + err.Error(), Remedy: fault.NextOf(err)}})
	}
	if len(findings) == 0 {
		out = append(out, told{check: check{Name: "template " + name, State: "ok", Text: "keeps the contract"}})
	}
	return out
}

// missingModules looks for modules as a study's start does, by importing them. Where none is to start it is enough that an interpreter has them all installed:
// importing some takes seconds.
func missingModules(ctx context.Context, box *sandbox.Sandbox, quick *template.Interpreter) func([]string) ([]string, error) {
	if quick == nil {
		return template.MissingModules(ctx, box)
	}
	return func(modules []string) ([]string, error) {
		absent, err := quick.Absent(ctx, modules)
		if err != nil || len(absent) == 0 {
			return nil, err
		}
		if path, err := exec.LookPath("python3"); err == nil { // the other one that a study's start would try
			if python, err := box.FindPython(ctx, path, nil); err == nil {
				if more, err := template.NewInterpreter(box, python).Absent(ctx, modules); err == nil && len(more) == 0 {
					return nil, nil
				}
			}
		}
		return absent, nil
	}
}

func findingChecks(name string, findings []template.Finding, starting bool) []told {
	var out []told
	for _, f := range findings {
		k := told{check: check{Name: "template " + name, State: f.Severity.String(), Text: f.String()}, Finding: &f}
		if f.BlocksStart && f.Severity != template.Error {
			k.Text += " (a study does not start here without it)"
			if starting {
				k.State = "error"
			}
		}
		out = append(out, k)
	}
	return out
}

// cacheFolder is where what was made of templates is kept, by kind and digest. It lies beside the data folder's other parts.
func cacheFolder(kind, digest string) string {
	return filepath.Join(envOr("NULLIUS_DATA_DIR", process.DefaultDataDir()), "templates", kind, digest)
}

// bundled gives the files of a bundled template.
func bundled(name string) (fs.FS, bool) {
	if !slices.Contains(templates.Names(), name) {
		return nil, false
	}
	sub, err := fs.Sub(templates.FS(), name)
	return sub, err == nil
}

func isFolder(arg string) bool {
	st, err := os.Stat(arg)
	return err == nil && st.IsDir()
}

// bundledDigest gives the digest of a bundled template.
func bundledDigest(name string) (string, bool) {
	files, ok := bundled(name)
	if !ok {
		return "", false
	}
	digest, err := template.Digest(files)
	return digest, err == nil
}

// unpack writes a bundled template, with the data that was prepared for it earlier.
func unpack(dir string, files fs.FS) error {
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}
	digest, err := template.Digest(files)
	if err != nil {
		return err
	}
	prepared := cacheFolder("data", digest)
	if _, err := os.Stat(prepared); err != nil {
		return nil // nothing was prepared
	}
	return os.CopyFS(dir, os.DirFS(prepared))
}
