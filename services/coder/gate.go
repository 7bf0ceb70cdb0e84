package coder

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	"nullius.dev/services/coder/internal/edit"
)

//go:embed gate.py
var gateScript []byte

// gate looks at changed files before they are stored. It parses Python in the sandbox and runs nothing of it.
type gate struct {
	runner     sandbox.Runner
	dir        string
	slots      chan struct{}
	configured string   // interpreter; empty: the first that has the template's modules
	unsuited   sync.Map // lists of modules that no interpreter here has
}

// python gives the interpreter that runs use: what is sound Python differs from version to version. Nil: the system's.
func (g *gate) python(ctx context.Context, modules []string) *sandbox.Python {
	finder, ok := g.runner.(interface {
		FindPython(ctx context.Context, configured string, modules []string) (*sandbox.Python, error)
	})
	key := strings.Join(modules, " ")
	if _, lacks := g.unsuited.Load(key); !ok || lacks {
		return nil
	}
	p, err := finder.FindPython(ctx, g.configured, modules)
	if err != nil && ctx.Err() == nil {
		g.unsuited.Store(key, true) // this machine may be another than that of the runs
	}
	return p
}

// findings are new problems of changed files.
type findings struct {
	broken []brokenFile            // nothing is written with these
	doubts []string                // worth one question
	code   map[store.Digest]string // of texts of Python: equal for those that execute alike
}

type brokenFile struct {
	path, message, region string
	block                 int
}

// verdictOf is what gate.py says of one file.
type verdictOf struct {
	Line      int      `json:"line"`
	Error     string   `json:"error"`
	Undefined [][2]any `json:"undefined"`
	Required  []string `json:"required"`
	Gone      []string `json:"gone"` // of what every run relies on
	Code      string   `json:"code"` // of a text that is only to be read
}

// check looks at changed files, and digests the code of rivals.
func (g *gate) check(ctx context.Context, changes edit.Changes, modules []string, rivals []rival) (findings, error) {
	var f findings
	var python []edit.Change
	for _, c := range changes {
		if c.Deleted {
			continue
		}
		switch strings.ToLower(filepath.Ext(c.Path)) {
		case ".py":
			python = append(python, c)
		case ".json":
			if err := jsonProblem(c.Data); err != nil && (c.Created || jsonProblem(c.Old) == nil) {
				f.add(c, err.line, "JSON: "+err.message)
			}
		case ".yaml", ".yml":
			if err := yamlProblem(c.Data); err != nil && (c.Created || yamlProblem(c.Old) == nil) {
				f.add(c, 0, "YAML: "+headOf(oneLine(err.Error()), 200))
			}
		}
	}
	toRead := map[store.Digest][]byte{}
	for _, r := range rivals {
		for _, p := range r.pairs {
			toRead[store.DigestOf(p[0])], toRead[store.DigestOf(p[1])] = p[0], p[1]
		}
	}
	if len(python)+len(toRead) > 0 {
		verdicts, err := g.ask(ctx, python, modules, toRead)
		if err != nil {
			return f, err
		}
		for _, c := range python {
			f.python(c, verdicts[c.Path])
		}
		f.code = map[store.Digest]string{}
		for d := range toRead {
			f.code[d] = verdicts[string(d)].Code
		}
	}
	for _, c := range changes {
		if l := leftOut(c); l != "" {
			f.doubts = append(f.doubts, fmt.Sprintf("%s now says %q; if that stands for code, write the code", c.Path, l))
		}
	}
	return f, nil
}

// leftOut finds a line that is new and seems to stand for code.
func leftOut(c edit.Change) string {
	lines := strings.Split(text(c.Data), "\n")
	for i, block := range c.Origin {
		if block > 0 && i < len(lines) && edit.SeemsLeftOut(lines[i]) {
			return headOf(strings.TrimSpace(lines[i]), 120)
		}
	}
	return ""
}

// ask lets the interpreter look, in the sandbox.
func (g *gate) ask(ctx context.Context, files []edit.Change, modules []string, toRead map[store.Digest][]byte) (map[string]verdictOf, error) {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dir, err := g.request(files, toRead)
	if dir != "" {
		defer os.RemoveAll(dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "CHECK_FAILED", "the syntax check could not be prepared")
	}
	var stdout, stderr limited
	python := g.python(ctx, modules)
	res, err := g.runner.Run(ctx, sandbox.Spec{
		Argv:   []string{"python3", "-I", "-S", "-B", "/in/gate.py"},
		Env:    []string{"PATH=" + python.SearchPath(), "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0"},
		Dir:    "/in",
		Binds:  []sandbox.Bind{{Source: dir, Target: "/in"}},
		Python: python,
		Limits: sandbox.Limits{
			Wall: 5 * time.Second, MemoryBytes: 1 << 30, FileBytes: 1 << 20, DiskBytes: 1 << 20,
			Processes: 16, OpenFiles: 64, TmpBytes: 1 << 20, ShmBytes: 1 << 20, Inodes: 64,
		},
		Stdout: &stdout, Stderr: &stderr, Grace: time.Second,
	})
	if err != nil {
		return nil, err
	}
	out, answers := map[string]verdictOf{}, json.NewDecoder(&stdout)
	switch {
	case res.End == sandbox.Cancelled:
		return nil, context.Cause(ctx)
	case res.End != sandbox.Exited || res.ExitCode == -1:
		if answers.Decode(&out) == nil {
			return out, nil // whether they parse was known before
		}
		// A file that Python cannot even parse within these limits cannot be run either.
		for _, c := range files {
			out[c.Path] = verdictOf{Error: "the file cannot be parsed within 5 seconds and 1 GiB (" + res.End.String() + ")"}
		}
		return out, nil
	case res.ExitCode != 0:
		return nil, fault.New(fault.Internal, "CHECK_FAILED", "the syntax check ended with exit code %d: %s", res.ExitCode, headOf(oneLine(stderr.String()), 300))
	}
	for range 2 { // whether the files parse, then all of it
		if err := answers.Decode(&out); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "CHECK_FAILED", "the syntax check answered what cannot be read")
		}
	}
	return out, nil
}

func (g *gate) request(files []edit.Change, toRead map[store.Digest][]byte) (string, error) {
	type file struct {
		Path string  `json:"path"`
		Old  *string `json:"old"`
		New  string  `json:"new"`
	}
	var req struct {
		Files []file            `json:"files"`
		Read  map[string][]byte `json:"read"` // base64, by digest
	}
	req.Files, req.Read = []file{}, map[string][]byte{}
	for d, data := range toRead {
		req.Read[string(d)] = data
	}
	for _, c := range files {
		f := file{Path: c.Path, New: base64.StdEncoding.EncodeToString(c.Data)}
		if !c.Created {
			old := base64.StdEncoding.EncodeToString(c.Old)
			f.Old = &old
		}
		req.Files = append(req.Files, f)
	}
	data, err := json.Marshal(req)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(g.dir, "coder-check-")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(
		os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "request.json"), data, 0o644),
		os.WriteFile(filepath.Join(dir, "gate.py"), gateScript, 0o644),
	)
}

// limited keeps the first MiB of an output.
type limited struct{ bytes.Buffer }

// Write never fails: what is too much is dropped.
func (l *limited) Write(p []byte) (int, error) {
	if room := 1<<20 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (f *findings) python(c edit.Change, v verdictOf) {
	if v.Error != "" {
		f.add(c, v.Line, v.Error)
		return
	}
	for _, u := range v.Undefined {
		f.doubts = append(f.doubts, fmt.Sprintf("%s uses %v (line %v), which is defined nowhere in the file", c.Path, u[0], u[1]))
	}
	if c.Path != experimentFile {
		return
	}
	if len(v.Required) > 0 {
		f.doubts = append(f.doubts, fmt.Sprintf("%s now requires %s, but it is started without", c.Path, strings.Join(v.Required, ", ")))
	}
	for _, g := range v.Gone {
		f.doubts = append(f.doubts, c.Path+goneDoubts[g])
	}
}

// goneDoubts say what a run is without something that it relies on.
var goneDoubts = map[string]string{
	"out_dir":    " no longer knows --out_dir, with which it is started",
	"final_info": " no longer writes final_info.json, without which a run counts as failed",
	"seed":       " no longer sets a random seed, so that runs cannot be compared",
}

func (f *findings) add(c edit.Change, line int, message string) {
	b := brokenFile{path: c.Path, message: message}
	lines := strings.Split(text(c.Data), "\n")
	if line > 0 {
		b.message += fmt.Sprintf(" (line %d)", line)
		from, to := max(1, line-4), min(len(lines), line+4)
		if from <= to {
			b.region = fmt.Sprintf("Lines %d to %d would be:\n%s", from, to, edit.Fenced(headOf(strings.Join(lines[from-1:to], "\n"), 2000), language(c.Path)))
		}
		for i := min(line, len(c.Origin)); i >= 1 && i >= line-4; i-- {
			if c.Origin[i-1] > 0 {
				b.block = c.Origin[i-1]
				break
			}
		}
	}
	f.broken = append(f.broken, b)
}

func (f findings) all() []string {
	var out []string
	for _, b := range f.broken {
		out = append(out, b.path+": "+b.message)
	}
	return append(out, f.doubts...)
}

func (f findings) syntaxFeedback() string {
	var b strings.Builder
	b.WriteString("Nothing was written yet: your edits fit, but a file would not parse.\n")
	for _, k := range f.broken {
		fmt.Fprintf(&b, "\n%s: %s", k.path, k.message)
		if k.block > 0 {
			fmt.Fprintf(&b, ", written by your block %d", k.block)
		}
		b.WriteString("\n")
		if k.region != "" {
			b.WriteString(k.region + "\n")
		}
	}
	b.WriteString("\nYour blocks are kept. Send a block that mends this, with SEARCH as the file would be after your edits; or send the whole change again.\n")
	return b.String()
}

func (f findings) doubtFeedback() string {
	sort.Strings(f.doubts)
	var b strings.Builder
	b.WriteString("Your edits fit and are kept, but look at this before they are written:\n")
	for _, d := range f.doubts {
		b.WriteString("- " + d + "\n")
	}
	b.WriteString("\nSend blocks that mend it, with SEARCH as the file is after your edits. If it is meant so, answer KEEP and why, without edits.\n")
	return b.String()
}

// yamlProblem reads all documents of a file.
func yamlProblem(data []byte) error {
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var n yaml.Node
		switch err := d.Decode(&n); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

type jsonError struct {
	line    int
	message string
}

func jsonProblem(data []byte) *jsonError {
	var v any
	err := json.Unmarshal(data, &v)
	if err == nil {
		return nil
	}
	e := &jsonError{message: err.Error()}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		e.line = 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
	}
	return e
}
