package journal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"nullius.dev/gateway/internal/pipeline"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// folded folds a file of events, one a line after its subject.
func folded(t *testing.T, file []byte) *Store {
	t.Helper()
	s := &Store{log: slog.New(slog.DiscardHandler), machines: map[Key]*Machine{}, waiters: map[chan struct{}]uint64{}, subs: map[chan struct{}]Key{}}
	for i, line := range bytes.Split(bytes.TrimSpace(file), []byte("\n")) {
		subj, data, ok := bytes.Cut(line, []byte("\t"))
		if !ok {
			t.Fatalf("line %d has no subject", i+1)
		}
		s.fold(t.Context(), string(subj), uint64(i+1), data)
	}
	return s
}

// TestJournalsOfEarlierVersionsFold: what any version wrote is read for ever. A new version adds a file (NULLIUS_JOURNALS=write in cmd/nullius); none is ever changed.
func TestJournalsOfEarlierVersionsFold(t *testing.T) {
	for name, want := range map[string]struct {
		events int
		steps  int // of the idea
	}{
		"2026-11.journal": {73, 20}, // a process that died in a step until the idea went into quarantine, a person who approved, a paper and its revision
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			s, events := folded(t, file), 0
			for _, k := range s.order {
				m := s.machines[k]
				events += len(m.Events)
				if m.Damaged != nil {
					t.Fatalf("%s: %v", k, m.Damaged)
				}
				if _, ok := m.Decide().(pipeline.Stop); !ok || m.Core().State() != gatewayv1.IdeaState_SUCCEEDED {
					t.Errorf("%s is %s and does %#v", k, m.Core().State(), m.Decide())
				}
				if m.Idea == nil {
					continue
				}
				w := m.Idea.Walk()
				if len(m.Idea.Steps) != want.steps || w.Paper.GetSnapshot() == "" || w.Improved.GetSnapshot() == "" || w.Second == nil || len(w.Runs) < 3 {
					t.Errorf("%s has %d steps, %d runs, paper %q, improved %q", k, len(m.Idea.Steps), len(w.Runs), w.Paper.GetSnapshot(), w.Improved.GetSnapshot())
				}
			}
			if events != want.events || len(s.order) != 2 {
				t.Errorf("%d events of %d machines, want %d of 2", events, len(s.order), want.events)
			}
		})
	}
}

// TestADamagedJournalIsFound: whatever is changed, left out or put elsewhere breaks the chain, for that machine alone.
func TestADamagedJournalIsFound(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "2026-11.journal"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(file), []byte("\n"))
	idea, study := -1, []byte("nullius.journal.bandit_lite-1._\t")
	for i := range lines {
		if !bytes.HasPrefix(lines[i], study) && i < len(lines)-10 {
			idea = i
		}
	}
	join := func(change func([][]byte) [][]byte) []byte {
		c := make([][]byte, len(lines))
		for i := range lines {
			c[i] = bytes.Clone(lines[i])
		}
		return bytes.Join(change(c), []byte("\n"))
	}
	for name, text := range map[string][]byte{
		"a letter of the past": join(func(l [][]byte) [][]byte {
			l[idea] = bytes.Replace(l[idea], []byte("gateway"), []byte("someone"), 1)
			return l
		}),
		"an event left out": join(func(l [][]byte) [][]byte { return append(l[:idea], l[idea+1:]...) }),
		"an event twice":    join(func(l [][]byte) [][]byte { return append(l[:idea+1], l[idea:]...) }),
		"no JSON":           join(func(l [][]byte) [][]byte { l[idea] = append(bytes.Clone(l[idea]), '}'); return l }),
	} {
		t.Run(name, func(t *testing.T) {
			for k, m := range folded(t, text).machines {
				if (m.Damaged != nil) == k.IsStudy() {
					t.Errorf("%s: damaged: %v", k, m.Damaged)
				}
			}
		})
	}
}
