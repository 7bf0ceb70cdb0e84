package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/bench/foreign"
)

var anyNumber = regexp.MustCompile(`\b\d+(\.\d+)?\b`)

// moods turn a good reply into another; the first stands for many.
var moods = []struct {
	name string
	of   func(good string) string
}{
	{"cut in half", func(s string) string { return s[:len(s)/2] }},
	{"empty", func(string) string { return "" }},
	{"blank", func(string) string { return " \n\n\t" }},
	{"another object", func(string) string { return `{"foo": [1, {"bar": null}], "foo": 2}` }},
	{"edits of protected files", func(string) string {
		return foreign.Edit("evaluate.py", "import json", "import os") + foreign.Edit("../../etc/passwd", "root", "toor") + foreign.Edit("run_0/final_info.json", "{", "[")
	}},
	{"giant", func(s string) string { return s + strings.Repeat("\nand so on, and so forth", 60_000) }},
	{"one giant line", func(string) string { return strings.Repeat("x", 1<<20) }},
	{"odd characters", func(s string) string {
		return "\ufeff" + strings.NewReplacer(`"`, "\u201c", "'", "\u2019", " ", "\u00a0", "-", "\u2013").Replace(s) + "\u202e\u0000\ufffd🚀"
	}},
	{"no numbers", func(s string) string { return anyNumber.ReplaceAllString(s, "NaN") }},
	{"fenced", func(s string) string { return "~~~\n" + s + "\n~~~" }},
	{"fenced twice", func(s string) string { return "````markdown\n```json\n" + s + "\n```\n````" }},
	{"thinking first", func(s string) string {
		return "<think>\nI could answer {\"runs\": []} or\n```\nALL_COMPLETED\n```\n</think>\n\n" + s
	}},
	{"thinking without end", func(s string) string { return "<think>\n" + s }},
	{"a tool call", func(string) string { return foreign.Ends("tool_calls", "") }},
	{"cut off", func(s string) string { return foreign.Ends("length", s[:len(s)*2/3]) }},
	{"nothing but reasoning", func(string) string { return foreign.Ends("length", "") }},
	{"filtered", func(string) string { return foreign.Ends("content_filter", "") }},
	{"a refusal", func(string) string { return "I'm sorry, but I can't assist with that request." }},
	{"talk", func(string) string { return "Great question! Let me know which option you prefer." }},
	{"said twice", func(s string) string { return s + "\n\n" + s }},
	{"CRLF", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
	{"the stop line", func(string) string { return "ALL_COMPLETED" }},
	{"NONE", func(string) string { return "NONE" }},
}

// TestRun_randomModel: a model that answers each call well or in any other way ends every study in a final state, without a bug's reason, a process or a folder left.
func TestRun_randomModel(t *testing.T) {
	seeds := []uint64{uint64(time.Now().UnixNano())}
	if s, err := strconv.ParseUint(os.Getenv("NULLIUS_SEED"), 10, 64); err == nil {
		seeds[0] = s
	}
	if os.Getenv("NULLIUS_SOAK") != "" {
		for range 9 {
			seeds = append(seeds, seeds[len(seeds)-1]+1)
		}
	}
	for i, seed := range seeds {
		good := []float64{0.8, 0.5, 0.9}[i%3]
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { randomStudy(t, seed, good) })
	}
}

func randomStudy(t *testing.T, seed uint64, good float64) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	drawn := map[string]int{}
	f := newModel(t)
	f.Answer = func(all, last string) (string, string) {
		mu.Lock()
		defer mu.Unlock()
		kind, text := foreign.Play(all, last)
		mood := "good"
		if random.Float64() >= good {
			m := moods[random.IntN(len(moods))]
			mood, text = m.name, m.of(text)
		}
		drawn[mood]++
		return kind, text
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	dir := t.TempDir()
	data, results := filepath.Join(dir, "data"), filepath.Join(dir, "results")
	var out, errOut bytes.Buffer
	code := execute(ctx, []string{"run", "bandit_lite", "--data-dir", data, "--address", "127.0.0.1:0", "--model", f.name, "--engine", "local", "--size", "smoke",
		"--ideas", "2", "--max-runs", "3", "--improvement", "--results", results}, &out, &errOut)
	t.Logf("NULLIUS_SEED=%d: exit code %d, %d calls, drawn %v\n%s%s", seed, code, f.Calls(), drawn, &errOut, &out)
	if ctx.Err() != nil {
		t.Fatal("the study did not end within its time")
	}
	if code != exitDone && code != exitUnwanted {
		t.Errorf("exit code %d", code)
	}
	if !regexp.MustCompile(`(?m)^bandit_lite-1  (SUCCEEDED|FAILED)`).MatchString(out.String()) {
		t.Error("the study has no final state")
	}
	for _, bad := range []string{"INTERNAL", "panic", "goroutine ", "QUARANTINE", "runtime error"} {
		if strings.Contains(out.String()+errOut.String(), bad) {
			t.Errorf("the output speaks of %s", bad)
		}
	}
	if left, err := filepath.Glob(filepath.Join(data, "executor", "work", "*")); err != nil || len(left) > 0 {
		t.Errorf("folders of jobs are left: %v %v", left, err)
	}
	if children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())); err == nil && len(bytes.TrimSpace(children)) > 0 {
		t.Errorf("processes are left: %s", children)
	}
	papers, err := filepath.Glob(filepath.Join(results, "*", "*", "*.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range papers {
		if head, err := os.ReadFile(p); err != nil || !bytes.HasPrefix(head, []byte("%PDF-")) {
			t.Errorf("%s is no PDF: %v", p, err)
		}
	}
}
