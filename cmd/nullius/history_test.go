package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// TestFiles_gitIsALabNotebook: an idea becomes a repository with a commit a step, twice the same; diff tells how each edit was read.
func TestFiles_gitIsALabNotebook(t *testing.T) {
	t.Parallel()
	bin, h, address, m := binaries(t), newHome(t), freePort(t), newModel(t)
	h.serve(t, bin, address)
	name := startStudy(t, address, m, func(s *gatewayv1.StudySettings) { s.Until = "experiments" })
	finish(t, address, name, 2*time.Minute)
	idea := strings.TrimPrefix(name, "studies/") + "/idea-1"
	run := func(args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := execute(t.Context(), append(args, "--address", address), &out, &errOut); code != exitDone {
			t.Fatalf("nullius %v: exit %d\n%s\n%s", args, code, &out, &errOut)
		}
		return out.String()
	}
	git := func(dir string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v (apt-get install git): %v\n%s", args, err, out)
		}
		return string(out)
	}
	one, two := filepath.Join(h.root, "one"), filepath.Join(h.root, "two")
	run("files", idea, "--git", one)
	stray := filepath.Join(t.TempDir(), "index")
	hook := exec.CommandContext(t.Context(), filepath.Join(bin, "nullius"), "files", idea, "--git", two, "--address", address)
	hook.Env = append(os.Environ(), "GIT_INDEX_FILE="+stray, "GIT_OBJECT_DIRECTORY="+t.TempDir()) // as in a hook of another repository
	if out, err := hook.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(stray); err == nil {
		t.Error("the index of another repository was written")
	}
	if a, b := git(one, "rev-parse", "HEAD~1"), git(two, "rev-parse", "HEAD~1"); a != b {
		t.Errorf("the commits differ: %s and %s", a, b)
	}
	log := git(one, "log", "--format=%an: %s", "--reverse")
	for _, want := range []string{"baseline: SUCCEEDED", "Nullius coder: experiments/run-1/implement: CHANGED", "Nullius executor: experiments/run-1/execute-1: ", "results: "} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if s := git(one, "status", "--porcelain"); s != "" {
		t.Errorf("the work tree differs:\n%s", s)
	}
	if _, err := os.Stat(filepath.Join(one, "experiment.py")); err != nil {
		t.Error(err)
	}
	var out, errOut bytes.Buffer
	if code := execute(t.Context(), []string{"files", idea, "--git", one, "--address", address}, &out, &errOut); code == exitDone || !strings.Contains(errOut.String(), "nothing is overwritten") {
		t.Errorf("an existing folder: exit %d, %s", code, &errOut)
	}
	diff := run("diff", idea, "run-1/implement")
	for _, want := range []string{"# experiments/run-1/implement: CHANGED", "#   reply 1: ", "experiment.py: applied at line ", "diff --git a/experiment.py b/experiment.py"} {
		if !strings.Contains(diff, want) {
			t.Errorf("diff lacks %q:\n%s", want, diff)
		}
	}
	check := exec.CommandContext(t.Context(), "git", "-C", one, "apply", "--check", "--reverse", "-")
	check.Stdin = strings.NewReader(run("diff", idea, "run-1/implement"))
	git(one, "checkout", "-q", strings.Fields(git(one, "log", "--format=%H", "--grep=run-1/implement", "-1"))[0])
	if said, err := check.CombinedOutput(); err != nil {
		t.Errorf("git apply: %v\n%s\n%s", err, said, diff)
	}
}
