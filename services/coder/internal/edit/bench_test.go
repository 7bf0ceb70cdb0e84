package edit_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

// changed rewrites line k of a block's SEARCH.
type changed func(k int, s string) string

func asIs(_ int, s string) string     { return s }
func trailing(_ int, s string) string { return s + "  " }

// typo is one wrong character in the first line: nothing is applied, each block is answered with the nearest region.
func typo(k int, s string) string {
	if k == 0 {
		return strings.Replace(s, "compute", "compuet", 1)
	}
	return s
}

// benchFile has lines that are all different, like a program's.
func benchFile(lines int) []string {
	out := make([]string, lines)
	for i := range out {
		out[i] = fmt.Sprintf("    value_%d = compute(%d, scale=%d)", i, i*7, i%13)
	}
	return out
}

// benchReply has 50 blocks spread over the file; each changes its last line.
func benchReply(file []string, blockLines int, change changed) string {
	var b strings.Builder
	step := len(file) / 50
	for k := range 50 {
		part := file[k*step : k*step+blockLines]
		b.WriteString("a.py\n<<<<<<< SEARCH\n")
		for i, l := range part {
			b.WriteString(change(i, l) + "\n")
		}
		b.WriteString("=======\n" + strings.Join(part[:blockLines-1], "\n") + "\n    done()\n>>>>>>> REPLACE\n")
	}
	return b.String()
}

// processCPU is the CPU time that this process has used, in ms: on a shared machine the clock says little.
func processCPU() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	ms := func(t syscall.Timeval) float64 { return float64(t.Sec)*1e3 + float64(t.Usec)/1e3 }
	return ms(r.Utime) + ms(r.Stime)
}

// BenchmarkPlan is the table of speeds that the engine is held against: what it reports as cpu-ms/op is compared by bench/edit.
func BenchmarkPlan(b *testing.B) {
	policy := edit.Policy{Allowed: []string{"a.py"}}
	for _, c := range []struct {
		name        string
		file, block int
		change      changed
		fails       bool
	}{
		{"exact", 2000, 8, asIs, false},
		{"trailing_spaces", 2000, 8, trailing, false},
		{"one_typo_a_block", 2000, 8, typo, true},
		{"long_exact", 20000, 40, asIs, false},
		{"long_failing", 20000, 40, typo, true},
	} {
		file := benchFile(c.file)
		tree := edit.Tree{Files: map[string][]byte{"a.py": []byte(strings.Join(file, "\n") + "\n")}}
		reply := benchReply(file, c.block, c.change)
		b.Run(c.name, func(b *testing.B) {
			before := processCPU()
			for b.Loop() {
				_, rep := edit.Plan(tree, reply, policy)
				if rep.Status.Failed() {
					edit.Feedback(rep, tree, policy)
				}
				if rep.Status.Failed() != c.fails {
					b.Fatalf("%s: %s", rep.Status, rep.Problem)
				}
			}
			b.ReportMetric((processCPU()-before)/float64(b.N), "cpu-ms/op")
		})
	}
	// Parsing alone: a reply of 1 MB whose 190 blocks name a file that may not be edited.
	var big strings.Builder
	for big.Len() < 1000<<10 {
		big.WriteString("b.py\n<<<<<<< SEARCH\n" + strings.Repeat("    some_value = some_function(argument, keyword=17)\n", 60) + "=======\n" + strings.Repeat("    y = 1\n", 230) + ">>>>>>> REPLACE\n")
	}
	b.Run("parse_1_MB", func(b *testing.B) {
		before := processCPU()
		for b.Loop() {
			if _, rep := edit.Plan(edit.Tree{}, big.String(), policy); rep.Status != edit.ForbiddenPath {
				b.Fatalf("%s: %s", rep.Status, rep.Problem)
			}
		}
		b.ReportMetric((processCPU()-before)/float64(b.N), "cpu-ms/op")
	})
}
