package edit_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"nullius.dev/services/coder/internal/edit"
)

// TestPlan_MutatedReplies spoils the replies of all cases at random: no panic, no hang, nothing outside the allowed files, nothing of a failed reply.
// NULLIUS_SOAK=1 goes on for 10 minutes.
func TestPlan_MutatedReplies(t *testing.T) {
	length := 1500 * time.Millisecond
	if os.Getenv("NULLIUS_SOAK") != "" {
		length = 10 * time.Minute
	}
	var cases []editCase
	for _, f := range caseFiles() {
		for _, c := range loadCases(t, f) {
			if len(c.Reply) < 20_000 {
				cases = append(cases, c)
			}
		}
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	n := 0
	for end := time.Now().Add(length); time.Now().Before(end); n++ {
		c, other := cases[r.IntN(len(cases))], cases[r.IntN(len(cases))]
		tree, policy := c.tree(t)
		reply := mutate(r, c.Reply, other.Reply)
		type planned struct {
			changes edit.Changes
			rep     edit.Report
		}
		done := make(chan planned, 1)
		go func() {
			changes, rep := edit.Plan(tree, reply, policy)
			edit.Feedback(rep, tree, policy)
			done <- planned{changes, rep}
		}()
		var p planned
		select {
		case p = <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("seed %d, case %q: planning hangs on\n%q", seed, c.Name, reply)
		}
		if p.rep.Status != edit.Applied && len(p.changes) > 0 {
			t.Fatalf("seed %d, case %q: %s with changes on\n%q", seed, c.Name, p.rep.Status, reply)
		}
		for _, ch := range p.changes {
			if !policy.Allows(ch.Path) || tree.Links[ch.Path] || tree.Other[ch.Path] || ch.Deleted && !policy.AllowDelete {
				t.Fatalf("seed %d, case %q: %s was written by\n%q", seed, c.Name, ch.Path, reply)
			}
		}
	}
	t.Logf("%d replies", n)
}

// mutate spoils a reply by a few edits of lines and bytes; lines of another reply serve as material.
func mutate(r *rand.Rand, reply, other string) string {
	lines, foreign := strings.Split(reply, "\n"), strings.Split(other, "\n")
	marks := []string{"<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```", "```python", "...", "# ... rest ...", "*** Begin Patch", "*** End Patch", "a.py", "../a.py", "<think>", "@@", "\r", "\u00a0", ""}
	for range 1 + r.IntN(4) {
		i := r.IntN(len(lines))
		switch r.IntN(7) {
		case 0:
			lines = append(lines[:i:i], lines[i+1:]...)
		case 1:
			lines = append(lines[:i:i], append([]string{lines[i]}, lines[i:]...)...)
		case 2:
			lines = append(lines[:i:i], append([]string{marks[r.IntN(len(marks))]}, lines[i:]...)...)
		case 3:
			lines = append(lines[:i:i], append([]string{foreign[r.IntN(len(foreign))]}, lines[i:]...)...)
		case 4:
			j := r.IntN(len(lines))
			lines[i], lines[j] = lines[j], lines[i]
		case 5:
			lines[i] = strings.Repeat(" ", r.IntN(6)) + strings.TrimLeft(lines[i], " ")
		case 6:
			if b := []byte(lines[i]); len(b) > 0 {
				b[r.IntN(len(b))] = byte(r.IntN(256))
				lines[i] = string(b)
			}
		}
		if len(lines) == 0 {
			return fmt.Sprint(r.Int())
		}
	}
	return strings.Join(lines, "\n")
}
