// Package pyenv makes Python environments from requirements: once for each
// content, in a sandbox that sees no study's files, from wheels only, so that no
// package's code runs while it is installed. What is made is mounted read-only
// at the one path where it was built.
package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// builder is part of every key; a change of how environments are made raises it.
const builder = "1"

// Target is where an environment lies inside a sandbox.
const Target = "/nullius/environment"

const (
	wallLimit = 30 * time.Minute
	logKept   = 64 << 10
)

// Config says how packages come to a node.
type Config struct {
	// Mode is build, prebuilt or system. build installs what a template requires;
	// prebuilt uses one interpreter that an operator has prepared; system uses
	// the interpreter as it is.
	Mode     string `yaml:"mode"`
	Prebuilt string `yaml:"prebuilt"` // interpreter of mode prebuilt
	Network  bool   `yaml:"network"`  // false: from the cache and the wheels folder only
	Wheels   string `yaml:"wheels"`   // folder of wheels, looked into first
	Index    string `yaml:"index"`    // address of a package index; empty: the installer's own
	Proxy    string `yaml:"proxy"`    // for the index
	// Certificates is a file of certificates that the index' is checked with; empty: the host's.
	Certificates string        `yaml:"certificates"`
	MaxBytes     uint64        `yaml:"max_bytes"`     // of all environments; the longest unused go first
	KeepFailures time.Duration `yaml:"keep_failures"` // before a failed build is tried again
}

// DefaultConfig builds, with the network.
func DefaultConfig() Config {
	return Config{Mode: "build", Network: true, MaxBytes: 40 << 30, KeepFailures: 10 * time.Minute}
}

// Validate checks the configuration.
func (c Config) Validate() error {
	switch {
	case c.Mode != "build" && c.Mode != "prebuilt" && c.Mode != "system":
		return fmt.Errorf("mode: %q is not build, prebuilt or system", c.Mode)
	case c.Mode == "prebuilt" && !filepath.IsAbs(c.Prebuilt):
		return fmt.Errorf("prebuilt: %q is not the absolute path of an interpreter", c.Prebuilt)
	case c.Wheels != "" && !filepath.IsAbs(c.Wheels):
		return fmt.Errorf("wheels: %q is not an absolute path", c.Wheels)
	case c.KeepFailures < 0:
		return errors.New("keep_failures: must not be negative")
	}
	return nil
}

// Environment is ready to be mounted.
type Environment struct {
	Digest   string // of its key
	Packages string // name==version in each line
	Python   *sandbox.Python
	Bind     sandbox.Bind
	done     func()
}

// Done says that a run with the environment is over.
func (e *Environment) Done() {
	if e != nil {
		e.done()
	}
}

// Wish is what a job asks for.
type Wish struct {
	Requirements []byte
	Base         *sandbox.Python // interpreter to build on
	System       bool            // its packages are visible
	Modules      []string        // that must import
}

// Store keeps the environments of a node in a folder.
type Store struct {
	dir string
	cfg Config
	box sandbox.Runner

	mu    sync.Mutex
	locks map[string]*sync.Mutex
	used  map[string]int
}

// Open opens a store, and clears what a killed build left.
func Open(dir string, cfg Config, box sandbox.Runner) (*Store, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.new"))
	if err != nil {
		return nil, err
	}
	for _, d := range left {
		if err := sandbox.RemoveTree(d); err != nil {
			return nil, err
		}
	}
	return &Store{dir: dir, cfg: cfg, box: box, locks: map[string]*sync.Mutex{}, used: map[string]int{}}, nil
}

func failed(format string, a ...any) error {
	return fault.New(fault.Precondition, sandbox.ReasonNoPython, format, a...)
}

// Get gives the environment of a wish, building it when it is not there. What
// cannot be had is fault.Precondition PYTHON_UNSUITABLE, with the packages named.
// Builds of one key wait for one another.
func (s *Store) Get(ctx context.Context, w Wish) (*Environment, error) {
	r, err := parse(w.Requirements)
	if err != nil {
		return nil, failed("%v", err)
	}
	key := s.key(w)
	s.mu.Lock()
	lock := s.locks[key]
	if lock == nil {
		lock = &sync.Mutex{}
		s.locks[key] = lock
	}
	s.used[key]++
	s.mu.Unlock()
	release := sync.OnceFunc(func() {
		s.mu.Lock()
		s.used[key]--
		s.mu.Unlock()
	})
	lock.Lock()
	defer lock.Unlock()
	env, err := s.ready(key, w)
	if err == nil && env == nil {
		if err = s.remembered(key); err == nil {
			env, err = s.build(ctx, key, w, r)
		}
	}
	if err != nil {
		release()
		return nil, err
	}
	env.done = release
	return env, nil
}

// key is of all that decides what an environment holds.
func (s *Store) key(w Wish) string {
	h := sha256.New()
	fmt.Fprintf(h, "builder %s\nplatform %s/%s\ncuda %s\npython %s %s\nsystem %t\nmodules %s\n", builder, runtime.GOOS, runtime.GOARCH, cudaTag(),
		w.Base.Path, w.Base.Version, w.System, strings.Join(w.Modules, ","))
	h.Write(w.Requirements)
	return hex.EncodeToString(h.Sum(nil))
}

// cudaTag names the driver's CUDA, as far as the host tells it; builds for
// another one may differ in what their markers choose.
func cudaTag() string {
	b, err := os.ReadFile("/sys/module/nvidia/version")
	if err != nil {
		return "none"
	}
	return strings.TrimSpace(string(b))
}

// meta lies beside a finished environment.
type meta struct {
	Packages string `json:"packages"`
	Version  string `json:"version"`
}

func (s *Store) ready(key string, w Wish) (*Environment, error) {
	b, err := os.ReadFile(s.path(key + ".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var m meta
	if err != nil || json.Unmarshal(b, &m) != nil {
		return nil, fmt.Errorf("read environment %s: %w", key, err)
	}
	now := time.Now()
	_ = os.Chtimes(s.path(key+".json"), now, now) // its last use
	return s.environment(key, m, w), nil
}

func (s *Store) environment(key string, m meta, w Wish) *Environment {
	return &Environment{
		Digest: "sha256:" + key, Packages: m.Packages,
		Python: &sandbox.Python{Path: Target + "/bin/python", Version: m.Version, Prefixes: w.Base.Prefixes},
		Bind:   sandbox.Bind{Source: s.path(key), Target: Target},
	}
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// remembered is the failure of a build not long ago.
func (s *Store) remembered(key string) error {
	st, err := os.Stat(s.path(key + ".failed"))
	if err != nil || time.Since(st.ModTime()) > s.cfg.KeepFailures {
		return nil
	}
	b, err := os.ReadFile(s.path(key + ".failed"))
	if err != nil {
		return nil
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return failed("%s", first)
}

// remember keeps a failure and its log for a while.
func (s *Store) remember(key string, why error, log string) {
	if f, ok := fault.As(why); ok && f.Reason == sandbox.ReasonNoPython {
		_ = os.WriteFile(s.path(key+".failed"), []byte(strings.ReplaceAll(f.Message, "\n", " ")+"\n"+log), 0o600)
	}
}

// evict removes the longest unused environments while all together are over
// the bound.
func (s *Store) evict() {
	files, err := filepath.Glob(s.path("*.json"))
	if err != nil || s.cfg.MaxBytes == 0 {
		return
	}
	type one struct {
		key  string
		at   time.Time
		size uint64
	}
	var all []one
	total := uint64(0)
	for _, f := range files {
		key := strings.TrimSuffix(filepath.Base(f), ".json")
		if st, err := os.Stat(f); err == nil {
			o := one{key, st.ModTime(), size(s.path(key))}
			all, total = append(all, o), total+o.size
		}
	}
	sort.Slice(all, func(a, b int) bool { return all[a].at.Before(all[b].at) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range all {
		if total <= s.cfg.MaxBytes {
			return
		}
		if s.used[o.key] > 0 {
			continue
		}
		// The note goes first: what has none is no environment.
		if os.Remove(s.path(o.key+".json")) == nil && sandbox.RemoveTree(s.path(o.key)) == nil {
			total -= o.size
		}
	}
}

func size(dir string) uint64 {
	n := uint64(0)
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				n += uint64(st.Size())
			}
		}
		return nil
	})
	return n
}
