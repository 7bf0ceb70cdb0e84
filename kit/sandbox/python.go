package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/fault"
)

// Python is an interpreter of the host as runs see it.
type Python struct {
	Path     string   // absolute
	Version  string   // such as 3.11.2
	Prefixes []string // folders outside /usr that it needs, shown read-only
}

// SearchPath is the PATH inside: the folder with python and python3 first.
func (p *Python) SearchPath() string {
	own := ""
	if p != nil && filepath.Dir(p.Path) != "/usr/bin" {
		own = filepath.Dir(p.Path) + ":"
	}
	return own + BinDir + ":/usr/local/bin:/usr/bin:/bin"
}

func (p *Python) binds() []Bind {
	if p == nil {
		return nil
	}
	var b []Bind
	for _, dir := range p.Prefixes {
		b = append(b, Bind{Source: dir, Target: dir})
	}
	return b
}

const locate = `import sys, json
print(json.dumps([sys.executable, sys.prefix, sys.base_prefix]))`

const importAll = `import sys, json, importlib
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as e:
        missing.append(name)
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "missing": missing}))`

var moduleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// pythons remembers which interpreter has which modules.
type pythons struct {
	mu    sync.Mutex
	known map[string]*knownPython
}

// knownPython is one answer. Its lock is held during the search: those who ask
// together need it once.
type knownPython struct {
	mu     sync.Mutex
	python *Python
}

func (p *pythons) of(key string) *knownPython {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.known[key]
	if k == nil {
		if p.known == nil {
			p.known = map[string]*knownPython{}
		}
		k = &knownPython{}
		p.known[key] = k
	}
	return k
}

// FindPython returns the first interpreter, of the configured one,
// /usr/bin/python3 and python3 on PATH, that imports all modules in the
// sandbox. If none does, PYTHON_UNSUITABLE names what is missing. What was found
// is remembered as long as the interpreter is there.
func (s *Sandbox) FindPython(ctx context.Context, configured string, modules []string) (*Python, error) {
	k := s.pythons.of(configured + "\x00" + strings.Join(modules, "\x00"))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.python != nil {
		if _, err := os.Stat(k.python.Path); err == nil {
			return k.python, nil
		}
	}
	var err error
	k.python, err = s.findPython(ctx, configured, modules)
	return k.python, err
}

func (s *Sandbox) findPython(ctx context.Context, configured string, modules []string) (*Python, error) {
	for _, m := range modules {
		if !moduleName.MatchString(m) {
			return nil, fault.New(fault.Invalid, ReasonSpecInvalid, "%q is not the name of a Python module", m).
				WithField("modules", "not a module name")
		}
	}
	candidates := []string{configured, "/usr/bin/python3"}
	if p, err := exec.LookPath("python3"); err == nil {
		candidates = append(candidates, p)
	}
	tried := map[string]bool{"": true}
	var notes, missing []string
	for _, path := range candidates {
		if tried[path] {
			continue
		}
		tried[path] = true
		p, err := s.locatePython(ctx, path)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", path, err))
			continue
		}
		lacks, err := s.importModules(ctx, p, modules)
		if err == nil && len(lacks) == 0 {
			return p, nil
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", p.Path, err))
			continue
		}
		if missing == nil {
			missing = lacks
		}
		notes = append(notes, fmt.Sprintf("%s lacks %s", p.Path, strings.Join(lacks, ", ")))
	}
	return nil, noPython(notes, missing)
}

func noPython(notes, missing []string) error {
	next := "sudo apt-get install -y python3"
	for _, m := range missing {
		next += " python3-" + strings.ToLower(strings.Split(m, ".")[0])
	}
	if len(notes) == 0 {
		notes = []string{"there is no python3"}
	}
	return fault.New(fault.Precondition, ReasonNoPython, "no Python interpreter fits: %s", strings.Join(notes, "; ")).
		WithMeta("missing", strings.Join(missing, ",")).WithNext(next)
}

// locatePython asks an interpreter where it lives. A version manager's shim
// answers with the interpreter behind it.
func (s *Sandbox) locatePython(ctx context.Context, path string) (*Python, error) {
	if path == "/usr/bin/python3" {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("is not installed")
		}
		return &Python{Path: path}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-I", "-c", locate).Output()
	if err != nil {
		return nil, fmt.Errorf("does not start: %w", err)
	}
	var at [3]string
	if err := json.Unmarshal(bytes.TrimSpace(out), &at); err != nil || !filepath.IsAbs(at[0]) {
		return nil, fmt.Errorf("does not say where it lives")
	}
	p := &Python{Path: at[0]}
	for _, dir := range []string{at[1], at[2]} {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		if real == "/usr" || strings.HasPrefix(real, "/usr/") || (len(p.Prefixes) > 0 && p.Prefixes[0] == real) {
			continue
		}
		p.Prefixes = append(p.Prefixes, real)
	}
	return p, nil
}

func (s *Sandbox) importModules(ctx context.Context, p *Python, modules []string) ([]string, error) {
	var out, errs bytes.Buffer
	spec := Spec{
		Argv:   append([]string{p.Path, "-c", importAll}, modules...),
		Env:    []string{"PATH=" + p.SearchPath(), "HOME=/tmp", "MPLBACKEND=Agg", "OPENBLAS_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1"},
		Dir:    "/tmp",
		Python: p,
		Limits: Limits{Wall: 2 * time.Minute},
		Stdout: &out, Stderr: &errs,
	}
	res, err := s.Run(ctx, spec)
	if err != nil {
		return nil, err
	}
	var got struct {
		Version string
		Missing []string
	}
	last := out.Bytes()
	if i := bytes.LastIndexByte(bytes.TrimSpace(last), '\n'); i >= 0 {
		last = last[i+1:]
	}
	if err := json.Unmarshal(bytes.TrimSpace(last), &got); err != nil {
		return nil, fmt.Errorf("cannot import %s (%s, exit code %d): %s",
			strings.Join(modules, ", "), res.End, res.ExitCode, clip(errs.String(), 300))
	}
	p.Version = got.Version
	return got.Missing, nil
}

func clip(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = "…" + strings.ToValidUTF8(s[len(s)-n:], "")
	}
	return s
}
