package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/bench/foreign"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/telemetry"
)

// testHome is a folder of this process, where commands keep what they keep between starts.
var testHome string

func TestMain(m *testing.M) {
	sandbox.Main()
	var err error
	if testHome, err = os.MkdirTemp("", "nullius-test-*"); err == nil {
		err = os.Setenv("XDG_DATA_HOME", testHome)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(testHome) // what stays is in the temporary folder
	os.Exit(code)
}

// nullius runs the command line in this process.
func nullius(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = execute(t.Context(), args, &out, &errOut)
	return code, out.String(), errOut.String()
}

// TestRun_foreignModel: a model with other words, broken JSON, an edit that fits nowhere and a crashing experiment still ends in a paper and a review.
func TestRun_foreignModel(t *testing.T) {
	t.Parallel()
	f := newModel(t)
	dir := t.TempDir()
	results := filepath.Join(dir, "results")
	code, out, errOut := nullius(t, "run", "bandit_lite", "--data-dir", filepath.Join(dir, "data"), "--address", "127.0.0.1:0", "--model", f.name, "--engine", "local",
		"--size", "smoke", "--results", results, "--improvement")
	t.Logf("%d prompts\n%s%s", f.Calls(), out, errOut)
	if code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	folders, err := filepath.Glob(filepath.Join(results, "bandit_lite", "*_bonus_weight"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("result folders: %v %v", folders, err)
	}
	for _, name := range []string{
		"experiment.py", "evaluate.py", "plot.py", "prompt.json", "run_0/final_info.json", "run_1/final_info.json", "run_2/final_info.json", "run_3/final_info.json", "run_1.py", "run_2.py", "run_3.py",
		"notes.txt", "regret.png", "latex/template.tex", "bonus_weight.pdf", "bonus_weight_improved.pdf", "review.txt", "review_improved.txt", "review.json", "review_improved.json", "log.txt",
		"bonus_weight_coder.txt", "response.md", "verification.json", "verification_improved.json", "trace.jsonl", "provenance.json", "report.md", "events.jsonl", "cost.json", "failed",
	} {
		if _, err := os.Stat(filepath.Join(folders[0], name)); err != nil {
			t.Errorf("the result folder lacks %s", name)
		}
	}
	checkTrace(t, filepath.Join(folders[0], "trace.jsonl"))
	if n := f.Repeats("review", "mend"); n > 0 {
		t.Errorf("%d prompts were paid for twice", n)
	}
	if n := f.Unknown(); n > 0 {
		t.Errorf("%d prompts had no answer", n)
	}
	if strings.Contains(errOut, "127.0.0.1:0/") {
		t.Error("the address that is told is not the one that is served")
	}
}

// TestRun_uselessModel: a model that never does what it is asked ends in an honest failure, whenever it begins to.
func TestRun_uselessModel(t *testing.T) {
	t.Parallel()
	useless := map[string]string{
		"prose":   "What a lovely experiment! I would begin by thinking about it, and then about what others thought.",
		"empty":   "",
		"refusal": "I'm sorry, but I can't help with that.",
		"garbage": "{\"a\": [1, 2, {{{ \x00 \u202e }}} ```python\n<<<<<<< SEARCH\n=======\n",
	}
	for name, text := range useless {
		for _, from := range []string{"the start", "the coder"} {
			t.Run(name+" from "+from, func(t *testing.T) {
				t.Parallel()
				f := newModel(t)
				f.Answer = func(all, last string) (string, string) {
					kind, good := foreign.Play(all, last)
					if from == "the coder" && (strings.HasPrefix(kind, "idea") || strings.HasPrefix(kind, "novelty") || kind == "plan") {
						return kind, good
					}
					return "useless", text
				}
				dir := t.TempDir()
				code, out, errOut := nullius(t, "run", "bandit_lite", "--data-dir", filepath.Join(dir, "data"), "--address", "127.0.0.1:0", "--model", f.name, "--engine", "local",
					"--size", "smoke", "--results", filepath.Join(dir, "results"))
				if code != exitUnwanted || !strings.Contains(out, "FAILED") {
					t.Errorf("exit code %d, want %d, and FAILED\n%s%s", code, exitUnwanted, out, errOut)
				}
				if n := f.Calls(); n > 60 {
					t.Errorf("%d calls were made in vain", n)
				}
				t.Logf("%d calls\n%s", f.Calls(), out)
			})
		}
	}
}

// checkTrace checks that one trace holds the gateway, every service, the job behind the queue and the model calls, each under a span that is there.
func checkTrace(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spans := map[string]telemetry.Span{}
	for _, line := range lines(string(data)) {
		var s telemetry.Span
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		spans[s.SpanID] = s
	}
	traces, servers, chats, jobs := map[string]bool{}, map[string]bool{}, map[string]bool{}, 0
	for _, s := range spans {
		traces[s.TraceID] = true
		if _, ok := spans[s.ParentID]; s.ParentID != "" && !ok {
			t.Errorf("the parent of %s %s is missing", s.Component, s.Name)
		}
		switch {
		case s.Kind == "server":
			servers[s.Component] = true
		case s.Kind == "client" && strings.HasPrefix(s.Name, "chat "):
			chats[s.Component] = true
		case s.Name == "executor.job":
			jobs++
		}
	}
	if len(traces) != 1 {
		t.Errorf("%d traces, want one", len(traces))
	}
	for _, c := range []string{"ideation", "coder", "executor", "writer", "reviewer"} {
		if !servers[c] {
			t.Errorf("no span of a call that %s served", c)
		}
		if c != "executor" && !chats[c] {
			t.Errorf("no span of a model call by %s", c)
		}
	}
	if jobs < 5 { // four tries of three runs, and the plot
		t.Errorf("%d spans of jobs, want 5", jobs)
	}
}
