package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nullius.dev/kit/kittest/garbage"
)

// TestEveryServiceRefusesGarbage throws requests at each process of the suite, which are none that a caller should send; each must answer, and serve on.
func TestEveryServiceRefusesGarbage(t *testing.T) {
	services := map[string][]string{
		"ideation": {"nullius.ideation.v1.IdeationService", "nullius.literature.v1.LiteratureService"}, "coder": {"nullius.coder.v1.CoderService"},
		"executor": {"nullius.executor.v1.ExecutorService"}, "writer": {"nullius.writer.v1.WriterService"}, "reviewer": {"nullius.reviewer.v1.ReviewerService"},
		"gateway": {"nullius.gateway.v1.StudyService"},
	}
	seed, n := uint64(time.Now().UnixNano()), 25
	if soaking() {
		n = 600
	}
	t.Logf("seed %d", seed)
	s := (&world{bin: binaries(t)}).startSix(t, nil)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		t.Run(name, func(t *testing.T) {
			cl, err := dial(s.at[name])
			if err != nil {
				t.Fatal(err)
			}
			defer cl.conn.Close()
			for _, service := range services[name] {
				garbage.Throw(t, cl.conn, service, rand.New(rand.NewPCG(seed, 0)), n, "WatchStudy", "Watch", "SearchPapers", "ResolvePaper") // engines may not answer
			}
			s.procs[name].listens(s.at[name])
		})
	}
	s.stop()
}
