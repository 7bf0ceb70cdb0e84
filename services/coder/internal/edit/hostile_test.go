package edit_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"nullius.dev/services/coder/internal/edit"
)

// Replies and files at the limits, made so that each step has as much to do as it can have, end in seconds and within memory.
func TestPlan_HostileSizesEnd(t *testing.T) {
	numbered := func(format string, from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", from+i)
		}
		return b.String()
	}
	block := func(search, replace string) string {
		return "<<<<<<< SEARCH\n" + search + "=======\n" + replace + ">>>>>>> REPLACE\n"
	}
	x := strings.Repeat("x\n", 1_000_000)
	var chain strings.Builder // blocks that are applied, then one of lines that they took
	for i := range 90 {
		chain.WriteString(block(numbered("%d", 1000*i, 1000), fmt.Sprintf("b%d\n", i)))
	}
	chain.WriteString(block(numbered("q%d", 0, 1000)+numbered("%d", 89_000, 900), "y\n"))
	cases := []struct {
		name, file, reply string
		want              edit.Class
	}{
		{"a block that fits a million places", x, block(strings.Repeat("x\n", 1000), "y\n"), edit.Ambiguous},
		{"ten of them", x, strings.Repeat(block(strings.Repeat("x\n", 2000), "y\n"), 10), edit.Ambiguous},
		{"one that names its line", x, "<<<<<<< SEARCH line=500000\n" + strings.Repeat("x\n", 1000) + "=======\ny\n>>>>>>> REPLACE\n", edit.Applied},
		{"a million places but for blank lines", strings.Repeat("x\n\n", 600_000), block("x\nx\n\n\nx\n", "y\n"), edit.Ambiguous},
		{"a million places but for the indent", strings.Repeat("  x\n", 500_000), block(strings.Repeat("x\n", 1000), "y\n"), edit.Ambiguous},
		{"20 failing blocks of a long file", numbered("line %d", 0, 150_000), func() string {
			var b strings.Builder
			for i := range 20 {
				b.WriteString(block(numbered("l%d", 1000*i, 200), "y\n"))
			}
			return b.String()
		}(), edit.NoMatch},
		{"dividers alone", strings.Repeat("=======\n", 250_000), strings.Repeat(block(strings.Repeat("=======\n", 1900), ""), 60), edit.Malformed},
		{"comments with dots that the file has", numbered("# ... rest %d", 0, 100_000), block("nowhere\n", numbered("# ... rest %d", 98_000, 1999)+"# ... rest 5\n"), edit.NoMatch},
		{"lines that earlier blocks took", numbered("%d", 0, 90_000), chain.String(), edit.NoMatch},
		{"one block 200 times under two names", x, "b/x.py and a.py:\n" + strings.Repeat(block("zzzzzzzzzz\n", "y\n"), 200), edit.NoMatch},
		{"fences alone", "x\n", "Behold:\n" + strings.Repeat("```\n", 250_000), edit.NoEdits},
		{"heads alone", "x\n", strings.Repeat("<<<<<<< SEARCH\n", 60_000), edit.Malformed},
		{"a listing of other lines", numbered("old %d", 0, 100_000), "a.py\n```\n" + numbered("new %d", 0, 90_000) + "```\n", edit.Applied},
		{"one line of a megabyte", strings.Repeat("ab", 1<<20), block(strings.Repeat("ab", 1<<18)+"\n", "y\n"), edit.Ambiguous},
	}
	policy := edit.Policy{Allowed: []string{"a.py", "b/*.py"}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if len(c.reply) > edit.MaxReply || len(c.file) > edit.MaxFile {
				t.Fatalf("a reply of %d bytes, a file of %d", len(c.reply), len(c.file))
			}
			tree := edit.Tree{Files: map[string][]byte{"a.py": []byte(c.file), "b/x.py": []byte("x\n")}}
			reply := c.reply
			if strings.HasPrefix(reply, "<") {
				reply = "a.py\n" + reply
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			changes, rep := edit.Plan(tree, reply, policy)
			feedback := edit.Feedback(rep, tree, policy)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			t.Logf("%v, %d MiB allocated", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
			if rep.Status != c.want {
				t.Errorf("%s, want %s: %s", rep.Status, c.want, feedback)
			}
			if rep.Status != edit.Applied && len(changes) > 0 || rep.Status.Failed() && len(feedback) > 10_500 {
				t.Errorf("%s with %d changes and %d bytes of feedback", rep.Status, len(changes), len(feedback))
			}
			if took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}
