package executor

import (
	"path/filepath"
	"runtime"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// isolated refuses a job that asks for a stronger wall than this node has.
func (a *attempt) isolated() error {
	want, level := a.job.GetMinIsolation(), a.n.s.d.Sandbox.Probe().Level
	if sandbox.AtLeast(level, want) {
		return nil
	}
	return fault.New(fault.Invalid, sandbox.ReasonSpecInvalid,
		"job.min_isolation: the job asks for the level %s, node %s offers %s", want, a.n.s.name, level).
		WithField("job.min_isolation", "stronger than the node's level").WithNext("nullius doctor")
}

// below is where a path under /nullius lies in the attempt's folder. Paths are
// laid out as the sandbox shows them, since at the landlock level there is no
// other place, and templates find their data by relative paths.
func (a *attempt) below(p string) string {
	return filepath.Join(a.dir, "nullius", filepath.FromSlash(p))
}

// tree is the job's own copy of its snapshot.
func (a *attempt) tree() string {
	return a.below(a.job.GetMount())
}

// cpus is the job's share of the host's processors: what keeps one job with
// many threads from slowing its neighbours.
func (n *node) cpus(job *executorv1.Job) float64 {
	kind, count := n.pools[job.GetPool()], 1
	if kind == "gpu" {
		count = max(1, int(job.GetGpu().GetCount()))
	}
	n.slots.mu.Lock()
	defer n.slots.mu.Unlock()
	total := 0
	for _, s := range n.slots.all {
		if s.kind == kind {
			total++
		}
	}
	return max(1, float64(runtime.NumCPU()*count)/float64(max(1, total)))
}
