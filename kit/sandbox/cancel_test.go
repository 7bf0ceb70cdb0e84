package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"
)

// TestRun_isCancelledAtAnyMoment of its beginning, where no cgroup ends who is left: bubblewrap's child, which may not have asked yet to die with it.
func TestRun_isCancelledAtAnyMoment(t *testing.T) {
	for _, level := range []string{LevelStrict, LevelLandlock} {
		t.Run(level, func(t *testing.T) {
			s, err := New(t.Context(), Config{Isolation: Isolation{Level: level, Min: LevelLandlock}}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			s.groups.close()
			s.groups = noGroups{}
			for i := range 80 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*300*time.Microsecond)
				begin := time.Now()
				r, err := s.Run(ctx, Spec{Argv: []string{"sleep", "25"}, Grace: time.Second})
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) || err == nil && r.End != Cancelled {
					t.Errorf("after %d: %+v, %v", i, r, err)
				}
				if took := time.Since(begin); took > 20*time.Second {
					t.Fatalf("cancelled after %v, it ran for %v", time.Duration(i)*300*time.Microsecond, took)
				}
			}
		})
	}
}
