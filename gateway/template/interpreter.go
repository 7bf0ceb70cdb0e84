package template

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// Interpreter answers what only Python can answer: whether a source parses. That
// happens in the sandbox, on a private copy, without the template's folder.
type Interpreter struct {
	runner sandbox.Runner
	python *sandbox.Python // nil: the system's
	// Timeout bounds all starts of Python for one template together; zero is 2 minutes: parsing takes a second, but a busy machine may take a
	// minute to give it.
	Timeout time.Duration
}

// NewInterpreter asks through a sandbox; python nil is the system's.
func NewInterpreter(r sandbox.Runner, python *sandbox.Python) *Interpreter {
	return &Interpreter{runner: r, python: python}
}

// sourceDir is where the files to parse lie inside, by number.
const sourceDir = "/nullius/check"

// parseSources answers a line for each file as soon as it is parsed, so that what came before a crash counts. It reads bytes, so that the coding line
// counts as it does for Python, and compiles without running, since a return outside a function parses.
const parseSources = `import json, sys, warnings
warnings.simplefilter("ignore")
for i in range(int(sys.argv[2]), int(sys.argv[3])):
    line, message = 0, ""
    try:
        compile(open("%s/%d.py" % (sys.argv[1], i), "rb").read(), "", "exec", dont_inherit=True)
    except SyntaxError as e:
        line, message = e.lineno or 1, e.msg or "invalid syntax"
    except (ValueError, MemoryError, RecursionError) as e:
        line, message = 1, str(e) or type(e).__name__
    print(json.dumps({"File": i, "Line": line, "Message": message[:200]}), flush=True)`

// maxCrashes is how many sources of one template may bring the parser down before the rest goes unchecked.
const maxCrashes = 10

// Parse reports the first syntax error of each source. One start of Python parses all of them; if a source brings the parser down, a further start goes on
// after it, so that only that one goes unchecked.
func (i *Interpreter) Parse(ctx context.Context, sources map[string][]byte) map[string]Syntax {
	timeout := i.Timeout
	if timeout <= 0 {
		timeout = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := make(map[string]Syntax, len(sources))
	names := mapKeys(sources)
	dir, inside, err := sourceFiles(names, sources)
	if dir != "" {
		defer func() { _ = os.RemoveAll(dir) }() // copies of what the caller has
	}
	next := 0
	for crashes := 0; err == nil && next < len(names); crashes++ {
		var answers []Syntax
		answers, err = i.parse(ctx, inside, next, len(names))
		for j, a := range answers {
			out[names[next+j]] = a
		}
		next += len(answers)
		if err != nil && ctx.Err() == nil && crashes < maxCrashes && next < len(names) {
			out[names[next]], err = Syntax{Err: err}, nil
			next++
		}
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("python did not end within %s; the machine is busy", timeout)
	}
	for _, name := range names[next:] {
		out[name] = Syntax{Err: err}
	}
	return out
}

// sourceFiles writes the sources, by number, where the sandbox's user can read them; the folder above stays private.
func sourceFiles(names []string, sources map[string][]byte) (dir, inside string, err error) {
	if dir, err = os.MkdirTemp("", "nullius-check-"); err != nil {
		return "", "", err
	}
	inside = filepath.Join(dir, "sources")
	if err := os.Mkdir(inside, 0o755); err != nil {
		return dir, "", err
	}
	for j, name := range names {
		if err := os.WriteFile(filepath.Join(inside, strconv.Itoa(j)+".py"), sources[name], 0o644); err != nil {
			return dir, "", err
		}
	}
	return dir, inside, nil
}

// start runs Python code with arguments.
func (i *Interpreter) start(ctx context.Context, binds []sandbox.Bind, code string, args ...string) (sandbox.Result, *tail, *tail, error) {
	program := "/usr/bin/python3"
	if i.python != nil {
		program = i.python.Path
	}
	out, errs := &tail{}, &tail{}
	result, err := i.runner.Run(ctx, sandbox.Spec{
		Argv: append([]string{program, "-I", "-c", code}, args...),
		Env:  []string{"PATH=" + i.python.SearchPath(), "HOME=/tmp", "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"},
		Dir:  "/tmp", Binds: binds, Python: i.python, Stdout: out, Stderr: errs, Grace: time.Second,
		Limits: sandbox.Limits{Wall: 10 * time.Minute, Processes: 64, TmpBytes: 64 << 20},
	})
	return result, out, errs, err
}

// findModules looks where modules lie and imports none of them.
const findModules = `import importlib.util, json, sys
missing = []
for name in sys.argv[1:]:
    try:
        found = importlib.util.find_spec(name.partition(".")[0])
    except Exception:
        found = None
    if found is None:
        missing.append(name)
print(json.dumps(missing))`

// Absent tells which modules are not installed. It takes a fraction of the time of an import, and does not notice a module that is there and broken.
func (i *Interpreter) Absent(ctx context.Context, modules []string) ([]string, error) {
	for _, m := range modules {
		if !modulePattern.MatchString(m) {
			return nil, fault.New(fault.Invalid, sandbox.ReasonSpecInvalid, "%q is not the name of a Python module", m)
		}
	}
	result, out, errs, err := i.start(ctx, nil, findModules, modules...)
	if err != nil {
		return nil, err
	}
	var absent []string
	if err := json.Unmarshal(out.kept, &absent); err != nil {
		return nil, fmt.Errorf("python %s with code %d: %s", result.End, result.ExitCode, quote(string(errs.kept)))
	}
	return absent, nil
}

// parse gives the answers for the files from one number to another, up to where Python stopped.
func (i *Interpreter) parse(ctx context.Context, inside string, from, to int) ([]Syntax, error) {
	binds := []sandbox.Bind{{Source: inside, Target: sourceDir}}
	result, out, errs, err := i.start(ctx, binds, parseSources, sourceDir, strconv.Itoa(from), strconv.Itoa(to))
	if err != nil {
		return nil, err
	}
	var answers []Syntax
	for line := range bytes.Lines(out.kept) {
		var a struct {
			File, Line int
			Message    string
		}
		if json.Unmarshal(line, &a) != nil || a.File != from+len(answers) {
			break
		}
		answers = append(answers, Syntax{Line: a.Line, Message: a.Message})
	}
	if from+len(answers) < to {
		return answers, fmt.Errorf("python %s with code %d: %s", result.End, result.ExitCode, quote(string(errs.kept)))
	}
	return answers, nil
}

// tail keeps the end of an output, so that a chatty module costs no memory.
type tail struct{ kept []byte }

// maxTail holds an answer for each of the files that a template may have.
const maxTail = 4 << 20

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > maxTail {
		p = p[len(p)-maxTail:]
	}
	if over := len(t.kept) + len(p) - maxTail; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

// Finder searches the machine for an interpreter that imports modules, as kit/sandbox does.
type Finder interface {
	FindPython(ctx context.Context, configured string, modules []string) (*sandbox.Python, error)
}

// PythonVersion answers Options.PythonVersion by the same search; what was found is remembered there, so it takes no time after MissingModules.
func PythonVersion(ctx context.Context, f Finder) func([]string) string {
	return func(modules []string) string {
		p, err := f.FindPython(ctx, "", modules)
		if err != nil || p == nil {
			return ""
		}
		return p.Version
	}
}

// MissingModules answers Options.MissingModules by the same search that the executor makes before a run: a module counts as missing when no
// interpreter has all of them.
func MissingModules(ctx context.Context, f Finder) func([]string) ([]string, error) {
	return func(modules []string) ([]string, error) {
		_, err := f.FindPython(ctx, "", modules)
		if e, ok := fault.As(err); ok && e.Reason == sandbox.ReasonNoPython && e.Meta["missing"] != "" {
			return strings.Split(e.Meta["missing"], ","), nil
		}
		return nil, err
	}
}
