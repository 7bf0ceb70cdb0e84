package executor_test

import (
	"testing"

	"nullius.dev/kit/sandbox"
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
