package template

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	// Timeout bounds one question; zero is 20 s.
	Timeout time.Duration
}

// NewInterpreter asks through a sandbox; python nil is the system's.
func NewInterpreter(r sandbox.Runner, python *sandbox.Python) *Interpreter {
	return &Interpreter{runner: r, python: python}
}

// sourceDir is where the files to parse lie inside, by number.
const sourceDir = "/nullius/check"

// parseSources reads bytes, so that the coding line counts as it does for Python.
const parseSources = `import ast, json, sys, warnings
warnings.simplefilter("ignore")
answers = []
for i in range(int(sys.argv[2])):
    line, message = 0, ""
    try:
        ast.parse(open("%s/%d.py" % (sys.argv[1], i), "rb").read())
    except SyntaxError as e:
        line, message = e.lineno or 1, e.msg or "invalid syntax"
    except (ValueError, MemoryError, RecursionError) as e:
        line, message = 1, str(e) or type(e).__name__
    answers.append({"Line": line, "Message": message[:1000]})
print(json.dumps(answers))`

// parseTogether is how many sources are parsed in one start of Python, so that its answers fit into what is kept of its output.
const parseTogether = 50

// Parse reports the first syntax error of each source. If some source brings the
// parser down, each is parsed alone, so that only that one goes unchecked.
func (i *Interpreter) Parse(ctx context.Context, sources map[string][]byte) map[string]Syntax {
	out := make(map[string]Syntax, len(sources))
	for names := range slices.Chunk(mapKeys(sources), parseTogether) {
		answers, err := i.parse(ctx, names, sources)
		for j, name := range names {
			switch {
			case err == nil:
				out[name] = answers[j]
			case len(names) == 1 || ctx.Err() != nil:
				out[name] = Syntax{Err: err}
			default:
				if alone, err := i.parse(ctx, []string{name}, sources); err != nil {
					out[name] = Syntax{Err: err}
				} else {
					out[name] = alone[0]
				}
			}
		}
	}
	return out
}

func (i *Interpreter) parse(ctx context.Context, names []string, sources map[string][]byte) ([]Syntax, error) {
	dir, err := os.MkdirTemp("", "nullius-check-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // copies of what the caller has
	// The sandbox's user must be able to read them; the folder above stays private.
	inside := filepath.Join(dir, "sources")
	if err := os.Mkdir(inside, 0o755); err != nil {
		return nil, err
	}
	for j, name := range names {
		if err := os.WriteFile(filepath.Join(inside, strconv.Itoa(j)+".py"), sources[name], 0o644); err != nil {
			return nil, err
		}
	}
	var answers []Syntax
	bind := []sandbox.Bind{{Source: inside, Target: sourceDir}}
	if err := i.ask(ctx, []string{"-I", "-S", "-c", parseSources, sourceDir, strconv.Itoa(len(names))}, bind, &answers); err != nil {
		return nil, err
	}
	if len(answers) != len(names) {
		return nil, fmt.Errorf("python answered for %d of %d files", len(answers), len(names))
	}
	return answers, nil
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

// Finder searches the machine for an interpreter that imports modules, as kit/sandbox does.
type Finder interface {
	FindPython(ctx context.Context, configured string, modules []string) (*sandbox.Python, error)
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
