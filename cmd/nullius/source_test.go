package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/bench/foreign"
)

// ownBandit makes a changed copy of bandit_lite, of its name.
func ownBandit(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bandit_lite")
	if code, out, errOut := nullius(t, "template", "init", dir, "--from", "bandit_lite", "--address", "127.0.0.1:1"); code != exitDone {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	swap("experiment.py", "BASE, GAP = 0.5, 0.1", "BASE, GAP = 0.5, 0.3")(t, dir)
	return dir
}

// TestTemplate_ofABundledName: what somebody added to a server is taken for its name, and said so; bundled/NAME takes the bundled one and leaves the other alone.
func TestTemplate_ofABundledName(t *testing.T) {
	t.Parallel()
	address, own := serving(t), ownBandit(t)
	at := func(args ...string) (out, errOut string) {
		t.Helper()
		code, out, errOut := nullius(t, append([]string{"--address", address, "template"}, args...)...)
		if code != exitDone {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errOut)
		}
		return out, errOut
	}
	isOwn := func(name string, want, told bool) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy")
		_, errOut := at("init", copied, "--from", name)
		code, err := os.ReadFile(filepath.Join(copied, "experiment.py"))
		if err != nil || strings.Contains(string(code), "BASE, GAP = 0.5, 0.3") != want {
			t.Errorf("%s is somebody's own: %t (%v)", name, !want, err)
		}
		if strings.Contains(errOut, "note: bandit_lite is the template that was added") != told {
			t.Errorf("%s: told %q", name, errOut)
		}
	}
	if out, _ := at("baseline", "bandit_lite", "--size", "smoke", "--fresh"); !strings.Contains(out, "ucb1") { // its copy is on the server now
		t.Errorf("baseline: %s", out)
	}
	isOwn("bandit_lite", false, false)
	at("add", own)
	isOwn("bandit_lite", true, true)
	isOwn("templates/bandit_lite", true, true)
	isOwn("bundled/bandit_lite", false, false)
	first, _ := at("baseline", "bandit_lite", "--size", "smoke", "--fresh")
	if second, _ := at("baseline", "bundled/bandit_lite", "--size", "smoke", "--fresh"); !strings.Contains(first, "ucb1") || first == second {
		t.Errorf("the same was measured twice: %s%s", first, second)
	}
	if _, errOut := at("check", "bandit_lite", "--run"); strings.Count(errOut, "note:") != 1 {
		t.Errorf("told more than once, or not at all: %q", errOut)
	}
	isOwn("bandit_lite", true, true)
}

// TestRun_ofABundledName: a server in this process has what was added to its data folder, too; a name that is a folder here means that.
func TestRun_ofABundledName(t *testing.T) {
	own, data, results := ownBandit(t), t.TempDir(), t.TempDir()
	run := func(template string) string { // to its end for want of an idea
		t.Helper()
		_, out, errOut := nullius(t, "run", template, "--data-dir", data, "--address", "127.0.0.1:0", "--results", results, "--size", "smoke", "--skip", "ideation",
			"--model", "recording/"+strings.Repeat("0", 64))
		if !strings.Contains(out, "no idea came out") {
			t.Errorf("%s: %s%s", template, out, errOut)
		}
		return errOut
	}
	const note = "note: bandit_lite is the template that was added to the server on "
	if told := run("bandit_lite"); strings.Contains(told, "note:") {
		t.Errorf("nothing was added: %s", told)
	}
	run(own)
	if told := run("bandit_lite"); !strings.Contains(told, note) {
		t.Errorf("one was added: %s", told)
	}
	if told := run("bundled/bandit_lite"); strings.Contains(told, note) || !strings.Contains(told, "bandit_lite-bundled") {
		t.Errorf("the bundled one was asked for: %s", told)
	}
	t.Chdir(filepath.Dir(own))
	if code, out, errOut := nullius(t, "template", "check", "bandit_lite", "--address", "127.0.0.1:1"); code != exitDone ||
		!strings.Contains(errOut, "note: bandit_lite is the folder here; bundled/bandit_lite names the bundled template") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if _, _, errOut := nullius(t, "template", "check", "./bandit_lite", "--address", "127.0.0.1:1"); strings.Contains(errOut, "note:") {
		t.Errorf("a path is no name: %s", errOut)
	}
}

// TestTemplateInit_inOddPlaces: whatever the folder's name, what is made there passes, is measured, and the next command can be typed as it is told.
func TestTemplateInit_inOddPlaces(t *testing.T) {
	t.Chdir(t.TempDir())
	for folder, word := range map[string]string{
		"my topic": "'my topic'", "-dash": "./-dash", "\u0442\u0435\u043c\u0430": "'\u0442\u0435\u043c\u0430'", "it's $HOME": `'it'\''s $HOME'`, "deep/er/": "deep/er/",
		strings.Repeat("long_", 30): strings.Repeat("long_", 30), "run_1": "run_1",
	} {
		code, out, errOut := nullius(t, "template", "init", "--", folder)
		next := "next: nullius template check " + word + " --run\n"
		if code != exitDone || !strings.HasSuffix(out, next) {
			t.Errorf("exit code %d\n%s%s", code, out, errOut)
			continue
		}
		if code, out, errOut := nullius(t, "template", "check", "--run", "--", folder); code != exitDone || strings.Contains(out, "warning") || !strings.Contains(out, "plot.py drew") {
			t.Errorf("%s: exit code %d\n%s%s", folder, code, out, errOut)
		}
		without("prompt.json")(t, folder)
		if code, _, errOut := nullius(t, "template", "baseline", "--", folder); code != exitError || !strings.Contains(errOut, "nullius template check "+word+"\n") {
			t.Errorf("%s: exit code %d\n%s", folder, code, errOut)
		}
	}
	put("file", "x")(t, ".")
	for folder, why := range map[string]string{"file": "not a directory", "file/x": "not a directory", ".": "not empty"} {
		if code, _, errOut := nullius(t, "template", "init", folder); code != exitError || !strings.Contains(errOut, why) || !strings.Contains(errOut, "name another folder") {
			t.Errorf("%s: exit code %d\n%s", folder, code, errOut)
		}
	}
	link("data", "/etc")(t, "my topic")
	if code, _, errOut := nullius(t, "template", "init", "copy", "--from", "my topic"); code != exitError || !strings.Contains(errOut, "data is a link") {
		t.Errorf("a link was copied: exit code %d\n%s", code, errOut)
	}
}

// TestRun_templateThatInitMade: from the empty folder to a paper, as docs/templates.md tells it.
func TestRun_templateThatInitMade(t *testing.T) {
	if !soaking() {
		t.Skip("a whole study; NULLIUS_SOAK=1 runs it, and TestTemplateInit_inOddPlaces checks and runs such templates")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "how many neighbours")
	if code, out, errOut := nullius(t, "template", "init", dir); code != exitDone {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	study := foreign.Setting{Name: "more_neighbours", Title: "Do more neighbours lower the error?", Dataset: "noisy", Metric: "test_error",
		Lines:  []string{"NEIGHBOURS = 1  #", "NEIGHBOURS = 9  #", "NEIGHBOURS = 25  #"},
		Figure: "test_error.png", Query: "nearest neighbours noise", TypedNumber: "88.1", About: "the neighbours that vote"}
	folder, prompts, _ := foreignRun(t, study.Mind(), dir, "--size", "smoke")
	needFiles(t, folder, "run_0/final_info.json", "run_1/final_info.json", "run_2/final_info.json", study.Figure, study.Name+".pdf", "review.txt")
	checkTyped(t, folder, study.Name+".pdf", study.TypedNumber, "run_8/"+study.Dataset, prompts)
}
