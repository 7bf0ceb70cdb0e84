package sandbox

import (
	"log/slog"
	"testing"
)

// tight leaves a run less memory than its helper needs.
type tight struct{ groups }

func (g tight) create(name string, l Limits) (group, error) {
	all := 128 * kib
	l.MemoryBytes = all - ownMemory // wraps, and comes back where ownMemory is added
	return g.groups.create(name, l)
}

// TestRun_withoutMemoryToBegin: who is killed before the program runs was out of memory, which is no fault of the node.
func TestRun_withoutMemoryToBegin(t *testing.T) {
	s, err := New(t.Context(), Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.groups.wall() == WallWatchdog {
		t.Skip("not run: no cgroup limits memory here")
	}
	s.groups = tight{s.groups}
	r, err := s.Run(t.Context(), Spec{Argv: []string{"true"}})
	if err != nil || r.End != OutOfMemory || r.Signal != 9 || r.ExitCode != -1 {
		t.Errorf("%+v, %v", r, err)
	}
}
