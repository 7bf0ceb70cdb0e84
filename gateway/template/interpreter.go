package template

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nullius.dev/kit/sandbox"
)

// Interpreter answers what only Python can answer: whether a source parses and
// whether a module imports. Both happen in the sandbox, on a private copy,
// without the template's folder.
type Interpreter struct {
	runner sandbox.Runner
	python *sandbox.Python // nil: the system's
	// Timeout bounds one question; zero is 20 s.
	Timeout time.Duration
}

// NewInterpreter asks through a sandbox; python nil is the system's.
func NewInterpreter(r sandbox.Runner, python *sandbox.Python) *Interpreter {
	return &Interpreter{runner: r, python: python}
}

// source is where the file to parse lies inside.
const source = "/nullius/check/source.py"

// parseSource reads bytes, so that the coding line counts as it does for Python.
const parseSource = `import ast, json, sys, warnings
warnings.simplefilter("ignore")
line, message = 0, ""
try:
    ast.parse(open(sys.argv[1], "rb").read())
except SyntaxError as e:
    line, message = e.lineno or 1, e.msg or "invalid syntax"
except (ValueError, MemoryError, RecursionError) as e:
    line, message = 1, str(e) or type(e).__name__
print(json.dumps([line, message]))`

const findModules = `import importlib, json, sys
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        missing.append(name)
sys.stdout.flush()
print("\n" + json.dumps(missing))`

// Parse reports the first syntax error of a source; an empty message is none.
func (i *Interpreter) Parse(ctx context.Context, src []byte) (line int, message string, err error) {
	dir, err := os.MkdirTemp("", "nullius-check-")
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a copy of what the caller has
	file := filepath.Join(dir, "source.py")
	// The sandbox's user must be able to read it; the folder above stays private.
	if err := os.WriteFile(file, src, 0o644); err != nil {
		return 0, "", err
	}
	var answer [2]any
	bind := []sandbox.Bind{{Source: file, Target: source}}
	if err := i.ask(ctx, []string{"-I", "-S", "-c", parseSource, source}, bind, &answer); err != nil {
		return 0, "", err
	}
	number, okLine := answer[0].(float64)
	text, okText := answer[1].(string)
	if !okLine || !okText {
		return 0, "", fmt.Errorf("python answered %v", answer)
	}
	return int(number), text, nil
}

// Missing tells which modules cannot be imported.
func (i *Interpreter) Missing(ctx context.Context, modules []string) ([]string, error) {
	for _, m := range modules {
		if !modulePattern.MatchString(m) {
			return nil, fmt.Errorf("%q is not the name of a module", m)
		}
	}
	var missing []string
	if err := i.ask(ctx, append([]string{"-c", findModules}, modules...), nil, &missing); err != nil {
		return nil, err
	}
	// Only names that were asked for come back, whatever a module printed.
	return slices.DeleteFunc(missing, func(m string) bool { return !slices.Contains(modules, m) }), nil
}

// ask runs Python and reads JSON from its last line.
func (i *Interpreter) ask(ctx context.Context, args []string, binds []sandbox.Bind, answer any) error {
	timeout := i.Timeout
	if timeout <= 0 {
		timeout = 20 * time.Second
	}
	program := "/usr/bin/python3"
	if i.python != nil {
		program = i.python.Path
	}
	out, errs := &tail{}, &tail{}
	result, err := i.runner.Run(ctx, sandbox.Spec{
		Argv: append([]string{program}, args...),
		Env: []string{"PATH=" + i.python.SearchPath(), "HOME=/tmp", "LC_ALL=C.UTF-8", "MPLBACKEND=Agg",
			"OPENBLAS_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1"},
		Dir: "/tmp", Binds: binds, Python: i.python, Stdout: out, Stderr: errs, Grace: time.Second,
		Limits: sandbox.Limits{Wall: timeout, Processes: 64, TmpBytes: 64 << 20},
	})
	if err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSpace(out.kept), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], answer); err != nil {
		return fmt.Errorf("python %s with code %d: %s", result.End, result.ExitCode, quote(string(errs.kept)))
	}
	return nil
}

// tail keeps the end of an output, so that a chatty module costs no memory.
type tail struct{ kept []byte }

const maxTail = 64 << 10

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
