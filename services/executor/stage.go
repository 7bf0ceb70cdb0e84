package executor

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/pyenv"
)

// stage puts the job's files on disk and says what the sandbox shows of them.
func (a *attempt) stage(ctx context.Context) ([]sandbox.Bind, error) {
	if err := a.isolated(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(a.n.state.path("work"), "attempt-")
	if err != nil {
		return nil, fmt.Errorf("make the attempt's folder: %w", err)
	}
	a.dir = dir
	if a.n.s.d.Sandbox.Probe().Level == sandbox.LevelLandlock {
		if err := os.Chmod(dir, 0o711); err != nil { // nothing is mounted elsewhere for the job's user
			return nil, fmt.Errorf("open the attempt's folder: %w", err)
		}
	}
	blobs := a.n.s.d.Blobs
	if err := store.Materialize(ctx, blobs, store.Digest(a.job.GetSnapshot()), a.tree()); err != nil {
		return nil, err
	}
	if err := a.freshOutDir(); err != nil {
		return nil, err
	}
	root := path.Join("/nullius", a.job.GetMount())
	whole := contains(a.job.GetWritable(), ".")
	binds := []sandbox.Bind{{Source: a.tree(), Target: root, Writable: whole}}
	for _, w := range a.job.GetWritable() {
		if whole {
			break
		}
		if err := os.MkdirAll(filepath.Join(a.tree(), w), 0o755); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, ReasonPath, "job.writable: %s cannot be a folder", w)
		}
		binds = append(binds, sandbox.Bind{Source: filepath.Join(a.tree(), w), Target: path.Join(root, w), Writable: true})
	}
	for _, d := range a.job.GetData() {
		at := a.below(path.Join("data", d.GetPath()))
		if err := store.Materialize(ctx, blobs, store.Digest(d.GetDigest()), at); err != nil {
			return nil, err
		}
		binds = append(binds, sandbox.Bind{Source: at, Target: path.Join("/nullius/data", d.GetPath())})
	}
	return binds, nil
}

// freshOutDir empties the run's own folder: what an earlier run left there
// must not pass for this one's results.
func (a *attempt) freshOutDir() error {
	out := a.job.GetOutDir()
	if out == "" {
		return nil
	}
	at := filepath.Join(a.tree(), out)
	if err := os.RemoveAll(at); err != nil {
		return fmt.Errorf("empty %s: %w", out, err)
	}
	if contains(a.job.GetWritable(), ".") {
		return nil // AI-Scientist's scripts make it themselves
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fault.Wrap(err, fault.Invalid, ReasonPath, "job.out_dir: %s cannot be a folder", out)
	}
	return nil
}

// limits are what the job asks for, under the node's ceiling.
func (n *node) limits(job *executorv1.Job) sandbox.Limits {
	c, want := n.s.cfg.Limits, job.GetLimits()
	memory := c.MemoryBytes
	if memory == 0 {
		memory = n.memory
	}
	l := sandbox.Limits{
		Wall: lower(want.GetWall().AsDuration(), c.Wall), MemoryBytes: lower(want.GetMemoryBytes(), memory),
		DiskBytes: lower(want.GetDiskBytes(), c.DiskBytes), FileBytes: lower(want.GetFileBytes(), c.FileBytes),
		Processes: lower(int(want.GetProcesses()), c.Processes), OpenFiles: lower(int(want.GetOpenFiles()), c.OpenFiles),
		Inodes: lower(want.GetInodes(), c.Inodes), CPUs: n.cpus(job),
	}
	l.TmpBytes, l.ShmBytes = min(1<<30, l.MemoryBytes), min(1<<30, l.MemoryBytes)
	return l
}

func lower[T ~int | ~int64 | ~uint64](want, ceiling T) T {
	if want > 0 && (ceiling <= 0 || want < ceiling) {
		return want
	}
	return ceiling
}

// findPython chooses the interpreter for a job that runs Python, and so makes
// sure before the run that the declared modules import.
func (a *attempt) findPython(ctx context.Context) error {
	env := a.job.GetEnvironment()
	first := a.job.GetArgv()[0]
	if first != "python" && first != "python3" && len(env.GetModules()) == 0 {
		return nil
	}
	configured := env.GetInterpreter()
	if configured != "" && !filepath.IsAbs(configured) {
		return fault.New(fault.Precondition, sandbox.ReasonNoPython, "the interpreter %q is not an absolute path", configured)
	}
	if mode := a.n.s.cfg.Environments.Mode; configured == "" && mode == "prebuilt" {
		configured = a.n.s.cfg.Environments.Prebuilt
	} else if env.GetRequirements() != "" && mode == "build" {
		return a.buildPython(ctx, configured)
	}
	if configured == "" {
		configured = a.n.s.cfg.Python
	}
	var err error
	a.python, err = a.n.s.d.Sandbox.FindPython(ctx, configured, env.GetModules())
	return err
}

// buildPython makes the environment of the job's requirements, or finds it.
func (a *attempt) buildPython(ctx context.Context, configured string) error {
	env := a.job.GetEnvironment()
	if configured == "" {
		configured = a.n.s.cfg.Python
	}
	base, err := a.n.s.d.Sandbox.FindPython(ctx, configured, nil)
	if err != nil {
		return err
	}
	text, err := store.GetBytes(ctx, a.n.s.d.Blobs, store.Digest(env.GetRequirements()), 1<<20)
	if err != nil {
		return err
	}
	a.environment, err = a.n.envs.Get(ctx, pyenv.Wish{
		Requirements: text, Base: base, System: env.GetSystemPackages(), Modules: env.GetModules(),
	})
	if err != nil {
		return err
	}
	a.python = a.environment.Python
	return nil
}
