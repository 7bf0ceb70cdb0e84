package pyenv

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

	"nullius.dev/kit/sandbox"
)

// script makes the environment; its parameters come by the environment, never
// in its text. uv is quicker; pip comes with the interpreter.
const script = `set -e
site=""; [ "$SYSTEM" = yes ] && site=--system-site-packages
if [ -x /nullius/uv ]; then
  /nullius/uv venv --quiet $site --python "$BASE" --allow-existing "$AT"
  exec /nullius/uv pip install --python "$AT/bin/python" --no-cache --only-binary :all: $HASHES $SOURCES -r /nullius/requirements.txt
fi
"$BASE" -m venv $site "$AT"
exec "$AT/bin/python" -m pip install --disable-pip-version-check --no-input --no-cache-dir --only-binary :all: $HASHES $SOURCES -r /nullius/requirements.txt
`

// check imports the declared modules and lists what is installed.
const check = `import sys, json, importlib, importlib.metadata as md
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as e:
        missing.append(name)
names = {d.metadata["Name"].lower(): d.version for d in md.distributions() if d.metadata["Name"]}
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "missing": missing, "packages": sorted("%s==%s" % i for i in names.items())}))`

// build makes an environment under a temporary name.
func (s *Store) build(ctx context.Context, key string, w Wish, r requirements) (env *Environment, err error) {
	var log tail
	defer func() {
		if err != nil {
			s.remember(key, err, log.String())
		}
	}()
	if err := os.Remove(s.path(key + ".failed")); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if !s.cfg.Network && s.cfg.Wheels == "" {
		return nil, failed("%s cannot be installed: environments.network is false, and there is no folder of wheels", strings.Join(r.names, ", "))
	}
	dir := s.path(key + ".new")
	if err := sandbox.RemoveTree(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "env"), 0o711); err != nil {
		return nil, err
	}
	defer func() { _ = sandbox.RemoveTree(dir) }()
	if err := s.install(ctx, dir, w, r, &log); err != nil {
		return nil, err
	}
	m, err := s.inspect(ctx, filepath.Join(dir, "env"), w)
	if err != nil {
		return nil, err
	}
	if err := open(filepath.Join(dir, "env")); err != nil {
		return nil, fmt.Errorf("make the environment readable: %w", err)
	}
	if err := sandbox.RemoveTree(s.path(key)); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(dir, "env"), s.path(key)); err != nil {
		return nil, err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path(key+".json.new"), b, 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(s.path(key+".json.new"), s.path(key+".json")); err != nil {
		return nil, err
	}
	s.evict()
	return s.environment(key, m, w), nil
}

func (s *Store) install(ctx context.Context, dir string, w Wish, r requirements, log *tail) error {
	file := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(file, []byte(r.text), 0o644); err != nil {
		return err
	}
	vars := map[string]string{
		"PATH": w.Base.SearchPath(), "HOME": "/tmp", "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8",
		"BASE": w.Base.Path, "AT": Target, "SYSTEM": "no", "PIP_CONFIG_FILE": os.DevNull, "UV_NO_CONFIG": "1",
	}
	if w.System {
		vars["SYSTEM"] = "yes"
	}
	if r.hashed {
		vars["HASHES"] = "--require-hashes"
	}
	binds := []sandbox.Bind{
		{Source: filepath.Join(dir, "env"), Target: Target, Writable: true}, {Source: file, Target: "/nullius/requirements.txt"},
	}
	sources := []string{}
	if s.cfg.Wheels != "" {
		binds = append(binds, sandbox.Bind{Source: s.cfg.Wheels, Target: "/nullius/wheels"})
		sources = append(sources, "--find-links", "/nullius/wheels")
	}
	if s.cfg.Network {
		s.reach(vars)
	} else {
		sources = append(sources, "--no-index")
	}
	vars["SOURCES"] = strings.Join(sources, " ")
	if uv, err := exec.LookPath("uv"); err == nil {
		if uv, err = filepath.EvalSymlinks(uv); err == nil {
			binds = append(binds, sandbox.Bind{Source: uv, Target: "/nullius/uv"})
		}
	}
	res, err := s.box.Run(ctx, sandbox.Spec{
		Argv: []string{"/bin/sh", "-c", script}, Env: list(vars), Dir: "/tmp", Binds: binds, Python: w.Base, Network: s.cfg.Network,
		Limits: sandbox.Limits{Wall: wallLimit, MemoryBytes: 4 << 30, DiskBytes: 20 << 30, Inodes: 500_000, TmpBytes: 4 << 30},
		Stdout: log, Stderr: log,
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if res.End != sandbox.Exited || res.ExitCode != 0 {
		return failed("%s cannot be installed: %s", strings.Join(r.names, ", "), said(log.String(), res))
	}
	return nil
}

// reach tells the installer how to get to the operator's index.
func (s *Store) reach(vars map[string]string) {
	if s.cfg.Index != "" {
		vars["PIP_INDEX_URL"], vars["UV_DEFAULT_INDEX"] = s.cfg.Index, s.cfg.Index
	}
	if s.cfg.Proxy != "" {
		vars["HTTPS_PROXY"], vars["HTTP_PROXY"] = s.cfg.Proxy, s.cfg.Proxy
	}
	if s.cfg.Certificates != "" {
		vars["PIP_CERT"], vars["SSL_CERT_FILE"] = s.cfg.Certificates, s.cfg.Certificates
	}
}

// address is what may hold the name and password of an index.
var address = regexp.MustCompile(`\b[a-z]+://\S+`)

// said is what the installer gave as reason, in one line, without addresses.
func said(log string, res sandbox.Result) string {
	var why []string
	for l := range strings.SplitSeq(log, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), "ERROR: "); ok {
			why = append(why, rest)
		}
	}
	if len(why) == 0 {
		lines := strings.Split(strings.TrimSpace(log), "\n")
		why = lines[max(0, len(lines)-3):]
	}
	text := address.ReplaceAllString(strings.ToValidUTF8(strings.Join(why, "; "), "?"), "<address>")
	if len(text) > 600 {
		text = strings.ToValidUTF8(text[:600], "") + "…"
	}
	if strings.TrimSpace(text) == "" {
		return fmt.Sprintf("the installer %s with exit code %d", res.End, res.ExitCode)
	}
	return text
}

// inspect imports what a template declares, without the network.
func (s *Store) inspect(ctx context.Context, at string, w Wish) (meta, error) {
	var out bytes.Buffer
	var errs tail
	py := &sandbox.Python{Path: Target + "/bin/python", Prefixes: w.Base.Prefixes}
	// Writable, so that it is this user's: who runs jobs may be another.
	binds := []sandbox.Bind{{Source: at, Target: Target, Writable: true}}
	res, err := s.box.Run(ctx, sandbox.Spec{
		Argv: append([]string{py.Path, "-c", check}, w.Modules...), Dir: "/tmp", Binds: binds, Python: py,
		Env:    []string{"PATH=" + py.SearchPath(), "HOME=/tmp", "MPLBACKEND=Agg", "OPENBLAS_NUM_THREADS=1"},
		Limits: sandbox.Limits{Wall: wallLimit, MemoryBytes: 4 << 30}, Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		return meta{}, err
	}
	var got struct {
		Version           string
		Missing, Packages []string
	}
	text := strings.TrimSpace(out.String())
	if err := json.Unmarshal([]byte(text[strings.LastIndexByte(text, '\n')+1:]), &got); err != nil {
		return meta{}, failed("the environment does not work: %s", said(errs.String(), res))
	}
	if len(got.Missing) > 0 {
		return meta{}, failed("the requirements do not hold what the template imports: %s", strings.Join(got.Missing, ", "))
	}
	return meta{Version: got.Version, Packages: strings.Join(got.Packages, "\n") + "\n"}, nil
}

// open makes a tree this process's and readable by every slot's user.
func open(dir string) error {
	return filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(p, os.Getuid(), os.Getgid()); err != nil {
			return err
		}
		st, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(p, 0o755)
		case st.Mode().IsRegular():
			return os.Chmod(p, 0o644|st.Mode()&0o100|st.Mode()&0o100>>3|st.Mode()&0o100>>6)
		}
		return nil
	})
}

func list(vars map[string]string) []string {
	var all []string
	for k, v := range vars {
		all = append(all, k+"="+v)
	}
	return all
}

// tail keeps the end of what both streams of a program write to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > logKept {
		t.b = append([]byte{}, t.b[len(t.b)-logKept:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
