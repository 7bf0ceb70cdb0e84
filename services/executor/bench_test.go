package executor_test

import (
	"fmt"
	"testing"

	"nullius.dev/kit/sandbox"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// BenchmarkSandbox_True is the cost of a sandbox with this binary as helper.
func BenchmarkSandbox_True(b *testing.B) {
	s := box(b)
	for b.Loop() {
		if _, err := s.Run(b.Context(), sandbox.Spec{Argv: []string{"/usr/bin/true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExecutor_Job is the time from submit to result of a job that does
// nothing: queue, claim, staging, sandbox, collection, commit.
func BenchmarkExecutor_Job(b *testing.B) {
	w := open(b)
	n := 0
	for b.Loop() {
		j := w.job(fmt.Sprintf("bench-%d", n), good)
		n++
		j.Argv, j.Measure, j.Outputs = []string{"/usr/bin/true"}, false, []*executorv1.Output{{Glob: "run_1/**"}}
		if r := w.run(j); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
			b.Fatal(r)
		}
	}
}
