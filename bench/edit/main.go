// Command edit holds the coder's edit engine against its aims: it runs the engine's benchmarks and prints their CPU time beside the goals of the
// specification and the figures of aider's search/replace engine that those come from. Run it at the root of the checkout. It exits with 1 when an
// aim is missed.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"text/tabwriter"
)

// aims in milliseconds of CPU time, one core.
var aims = []struct {
	bench, text, peer string
	goal              float64
}{
	{"exact", "50 blocks of 8 lines in 2,000, exact", "34 ms", 2.3},
	{"trailing_spaces", "trailing spaces in SEARCH", "770 ms, all refused", 5},
	{"one_typo_a_block", "one typo a block, answered with nearest regions", "1,068 ms, all refused", 21},
	{"long_exact", "50 blocks of 40 lines in 20,000, exact", "", 100},
	{"long_failing", "the same, failing", "852 ms for one block of 8 lines", 500},
	{"parse_1_MB", "parse a reply of 1 MB", "1.0 ms for 28 kB", 10},
}

var lineRE = regexp.MustCompile(`(?m)^BenchmarkPlan/(\w+?)(?:-\d+)?\s.*?([\d.]+) cpu-ms/op`)

// coderFolder is the coder's module, from the repository's root or from bench.
func coderFolder() string {
	if _, err := os.Stat("services/coder"); err == nil {
		return "services/coder"
	}
	return "../services/coder"
}

func main() {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkPlan$", "./internal/edit")
	cmd.Dir = coderFolder()
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "edit: %v\n%s", err, out)
		os.Exit(2)
	}
	got := map[string]float64{}
	for _, m := range lineRE.FindAllSubmatch(out, -1) {
		if got[string(m[1])], err = strconv.ParseFloat(string(bytes.TrimSpace(m[2])), 64); err != nil {
			fmt.Fprintln(os.Stderr, "edit:", err)
			os.Exit(2)
		}
	}
	missed := false
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "case\taider\taim\tCPU\t")
	for _, a := range aims {
		ms, ok := got[a.bench]
		note := ""
		if !ok || ms > a.goal {
			note, missed = "missed", true
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f ms\t%.1f ms\t%s\n", a.text, a.peer, a.goal, ms, note)
	}
	if err := w.Flush(); err != nil || missed {
		os.Exit(1)
	}
}
