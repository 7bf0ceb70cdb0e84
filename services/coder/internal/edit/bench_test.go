package edit_test

import (
	"fmt"
	"strings"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

// BenchmarkPlan is the table of the design: 50 blocks of 8 lines in a file of 2,000.
func BenchmarkPlan(b *testing.B) {
	var file []string
	for i := range 2000 {
		file = append(file, fmt.Sprintf("    value_%d = compute(%d, scale=%d)", i, i*7, i%13))
	}
	tree := edit.Tree{Files: map[string][]byte{"a.py": []byte(strings.Join(file, "\n") + "\n")}}
	policy := edit.Policy{Allowed: []string{"a.py"}}
	for name, change := range map[string]func(line int, s string) string{
		"exact":           func(_ int, s string) string { return s },
		"trailing spaces": func(_ int, s string) string { return s + "  " },
		"one typo": func(k int, s string) string {
			if k == 0 {
				return strings.Replace(s, "compute", "compuet", 1)
			}
			return s
		},
	} {
		var reply strings.Builder
		for k := range 50 {
			part := file[k*40 : k*40+8]
			reply.WriteString("a.py\n<<<<<<< SEARCH\n")
			for i, l := range part {
				reply.WriteString(change(i, l) + "\n")
			}
			reply.WriteString("=======\n" + strings.Join(part[:7], "\n") + "\n    done()\n>>>>>>> REPLACE\n")
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, rep := edit.Plan(tree, reply.String(), policy)
				if rep.Status == edit.Malformed {
					b.Fatal(rep.Problem)
				}
			}
		})
	}
}
