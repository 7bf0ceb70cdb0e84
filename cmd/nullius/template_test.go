package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/gateway/template"
)

// starter makes a template of the standard library in a folder.
func starter(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mine")
	if err := template.Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTemplateCheck_run: what init makes passes and draws; a script that fails is told with its line, and only --run finds it.
func TestTemplateCheck_run(t *testing.T) {
	t.Parallel()
	dir := starter(t)
	if code, out, errOut := nullius(t, "template", "check", dir, "--run"); code != exitDone || !strings.Contains(out, "plot.py drew test_error.png") || strings.Contains(out, "warning") {
		t.Errorf("the starter: exit code %d\n%s%s", code, out, errOut)
	}
	put("plot.py", "# savefig()\nraise ValueError('no paper')\n")(t, dir)
	if code, out, _ := nullius(t, "template", "check", dir); code != exitDone {
		t.Errorf("without --run: exit code %d\n%s", code, out)
	}
	if code, out, _ := nullius(t, "template", "check", dir, "--run"); code != exitError || !strings.Contains(out, "error: plot.py:2 run.failed: found exit code 1: \"ValueError: no paper\"") {
		t.Errorf("a plot that fails: exit code %d\n%s", code, out)
	}
}

// TestTemplateCheck_asJSON: a program finds file, line, rule and what was expected without taking text apart.
func TestTemplateCheck_asJSON(t *testing.T) {
	t.Parallel()
	dir := starter(t)
	put("seed_ideas.json", "[\n {\"Name\": \"My Idea\", \"Title\": \"t\", \"Experiment\": \"e\"}]")(t, dir)
	put("plot.py", "print('a.png')\r\n")(t, dir)
	code, out, errOut := nullius(t, "template", "check", dir, "-o", "json", "--run")
	var got []struct {
		State   string
		Finding template.Finding
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitError || len(got) != 2 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errOut)
	}
	f := got[0].Finding
	if got[0].State != "error" || f.Path != "seed_ideas.json" || f.Line != 2 || f.Column != 11 || f.Rule != "seed-idea.name" || f.Fix != `"my_idea"` || got[1].State != "warning" || got[1].Finding.Rule != "file.crlf" {
		t.Errorf("%+v", got)
	}
}

func TestTemplateInit_from(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "copy")
	if code, out, errOut := nullius(t, "template", "init", dir, "--from", "bandit_lite"); code != exitDone {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	if _, err := os.Stat(filepath.Join(dir, "recording")); err == nil {
		t.Error("the recording of the bundled template was copied")
	}
	if code, out, _ := nullius(t, "template", "check", dir, "--run"); code != exitDone || strings.Contains(out, "warning") {
		t.Errorf("the copy: exit code %d\n%s", code, out)
	}
	if code, _, errOut := nullius(t, "template", "init", dir, "--from", "no_such_template"); code != exitError || !strings.Contains(errOut, "TEMPLATE_UNKNOWN") {
		t.Errorf("from nothing: exit code %d\n%s", code, errOut)
	}
}

// TestTemplateBaseline_keepsAndWrites: measured once, read afterwards, and written as what is expected; changed code is measured again.
func TestTemplateBaseline_keepsAndWrites(t *testing.T) {
	t.Parallel()
	dir := starter(t)
	swap("template.yaml", "pool: cpu", "pool: cpu\nexpected: # by hand\n  smoke: {noisy/test_error: {value: 7, abs: 0.5}}\n  lite: {noisy/test_error: {min: 0}}\n")(t, dir)
	code, out, errOut := nullius(t, "template", "baseline", dir, "--size", "smoke")
	if code != exitError || !strings.Contains(out, "7 ± 0.5: not so") || !strings.Contains(errOut, "baseline.tolerance") || !strings.Contains(out, " MiB\n") {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = nullius(t, "template", "baseline", dir, "--size", "smoke", "--write-expected")
	if code != exitDone || !strings.Contains(out, "--fresh measures again") || strings.Contains(errOut, "serving on") {
		t.Fatalf("measured again, or not written: exit code %d\n%s%s", code, out, errOut)
	}
	text, err := os.ReadFile(filepath.Join(dir, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# All of this is optional", "    \"noisy/test_error\": {min: 0}\n", ", abs: 0.5}\n", "\"clear/test_error\": {value: "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("template.yaml lacks %q:\n%s", want, text)
		}
	}
	put("notes.md", "changed\n")(t, dir)
	if code, out, errOut := nullius(t, "template", "baseline", dir, "--size", "smoke"); code != exitDone || !strings.Contains(errOut, "serving on") {
		t.Errorf("another digest: exit code %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := nullius(t, "template", "baseline", "bandit_lite", "--write-expected"); code != exitUsage {
		t.Errorf("a bundled template was to be written: exit code %d\n%s", code, errOut)
	}
}

// TestTemplatePrepare: data that a script makes lets a study start; data that cannot be fetched is named with its hash and place.
func TestTemplatePrepare(t *testing.T) {
	t.Parallel()
	dir := starter(t)
	put("prepare.py", "import os\nos.makedirs('data', exist_ok=True)\nopen('data/model.txt', 'w').write('42')\n")(t, dir)
	swap("template.yaml", "pool: cpu", "pool: cpu\nprepare: prepare.py\ndata: [{path: data/model.txt, generated: true}]")(t, dir)
	if code, out, _ := nullius(t, "template", "check", dir); code != exitDone || !strings.Contains(out, "data.missing") || !strings.Contains(out, "nullius template prepare") {
		t.Errorf("before: exit code %d\n%s", code, out)
	}
	if code, out, errOut := nullius(t, "template", "prepare", dir); code != exitDone || !strings.Contains(out, "data: data/model.txt") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if code, out, _ := nullius(t, "template", "check", dir); code != exitDone || strings.Contains(out, "warning") {
		t.Errorf("after: exit code %d\n%s", code, out)
	}
	hash := strings.Repeat("ab", 32)
	swap("template.yaml", "generated: true}]", "generated: true}, {path: data/far.bin, sha256: "+hash+", url: \"https://127.0.0.1:1/far.bin\"}]")(t, dir)
	if code, _, errOut := nullius(t, "template", "prepare", dir); code != exitError || !strings.Contains(errOut, "TEMPLATE_DATA") || !strings.Contains(errOut, filepath.Join(dir, "data/far.bin")) || !strings.Contains(errOut, hash) {
		t.Errorf("offline: exit code %d\n%s", code, errOut)
	}
}

// TestTemplate_byNameOnAServer: a template that only the server has is checked, copied, prepared and measured by its name.
func TestTemplate_byNameOnAServer(t *testing.T) {
	dir := starter(t)
	put("prepare.py", "import os\nos.makedirs('data', exist_ok=True)\nopen('data/model.txt', 'w').write('42')\n")(t, dir)
	swap("template.yaml", "pool: cpu", "pool: cpu\nprepare: prepare.py\ndata: [{path: data/model.txt, generated: true}]")(t, dir)
	address := serving(t)
	at := func(args ...string) (int, string, string) {
		return nullius(t, append([]string{"--address", address, "template"}, args...)...)
	}
	if code, out, errOut := at("add", dir); code != exitDone || !strings.Contains(out, "templates/mine") {
		t.Fatalf("add: exit code %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := at("check", "mine"); code != exitDone || !strings.Contains(out, "data.missing") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := at("prepare", "templates/mine"); code != exitDone || !strings.Contains(out, "data: data/model.txt") {
		t.Errorf("prepare: exit code %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := at("check", "mine", "--run"); code != exitDone || strings.Contains(out, "warning") || !strings.Contains(out, "plot.py drew") {
		t.Errorf("after prepare: exit code %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := at("baseline", "mine", "--size", "smoke"); code != exitDone || !strings.Contains(out, "test_error") {
		t.Errorf("baseline: exit code %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := at("baseline", "mine", "--size", "smoke", "--write-expected"); code != exitUsage {
		t.Errorf("a server's template was to be written: exit code %d\n%s", code, errOut)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if code, out, errOut := at("init", copied, "--from", "mine"); code != exitDone {
		t.Errorf("init --from: exit code %d\n%s%s", code, out, errOut)
	}
	if text, err := os.ReadFile(filepath.Join(copied, "data", "model.txt")); err != nil || string(text) != "42" {
		t.Errorf("what prepare made was not uploaded: %q %v", text, err)
	}
	for _, name := range []string{"no_such", "no such", "../mine"} {
		if code, out, _ := at("check", name); code != exitError || !strings.Contains(out, "known to the server at "+address) || !strings.Contains(out, "nullius list templates") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
}

// TestTemplateFolder_holdsPreparedData: what was prepared of a bundled template is there at the next command.
func TestTemplateFolder_holdsPreparedData(t *testing.T) {
	digest, ok := bundledDigest("seir")
	if !ok {
		t.Fatal("seir is not bundled")
	}
	from := t.TempDir()
	put("made.txt", "42")(t, from)
	if err := keepPrepared(from, digest, []string{"made.txt"}); err != nil {
		t.Fatal(err)
	}
	dir, _, remove, err := templateFolder("seir")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "made.txt")); err != nil || string(text) != "42" {
		t.Errorf("%q %v", text, err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(cacheFolder("data", digest)); err != nil {
		t.Error(err)
	}
}

// TestTemplatePrepare_install: what is missing is installed once the lists of packages are there; without --install the command is named.
func TestTemplatePrepare_install(t *testing.T) {
	tools, state := t.TempDir(), t.TempDir()
	for name, script := range map[string]string{
		"dpkg-query": `[ -e "$STATE/have" ] && printf installed`,
		"sudo":       `exec "$@"`,
		"apt-get": `echo "$@" >> "$STATE/said"
case "$1" in
update) touch "$STATE/lists" ;;
install) [ -e "$STATE/lists" ] && [ "$STATE" != "$REFUSED" ] && touch "$STATE/have" ;;
esac`,
	} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	t.Setenv("STATE", state)
	dir := starter(t)
	swap("template.yaml", "pool: cpu", "pool: cpu\ndebian: [python3-something]")(t, dir)
	if code, out, errOut := nullius(t, "template", "prepare", dir); code != exitDone || !strings.Contains(out, "missing python3-something") || !strings.Contains(out, "install -y --no-install-recommends python3-something") {
		t.Errorf("without --install: exit code %d\n%s%s", code, out, errOut)
	}
	t.Setenv("REFUSED", state)
	if code, _, errOut := nullius(t, "template", "prepare", dir, "--install"); code != exitError || !strings.Contains(errOut, "TOOL_MISSING") {
		t.Errorf("packages that are not to be had: exit code %d\n%s", code, errOut)
	}
	t.Setenv("REFUSED", "")
	for range 2 {
		if code, out, errOut := nullius(t, "template", "prepare", dir, "--install"); code != exitDone || !strings.Contains(out, "is prepared") {
			t.Errorf("exit code %d\n%s%s", code, out, errOut)
		}
	}
	said, err := os.ReadFile(filepath.Join(state, "said"))
	const install = "install -y --no-install-recommends python3-something\n"
	if want := install + "update\n" + install + install; err != nil || string(said) != want {
		t.Errorf("apt-get was asked for\n%swant\n%s%v", said, want, err)
	}
}

func TestBLASCheck_tellsTheReferenceLibrary(t *testing.T) {
	for target, want := range map[string]string{"/usr/lib/x86_64-linux-gnu/blas/libblas.so.3": "warning", "/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3": "ok", "": "none"} {
		dir := t.TempDir()
		if target != "" {
			if err := os.Symlink(target, filepath.Join(dir, "libblas.so.3-x86_64-linux-gnu")); err != nil {
				t.Fatal(err)
			}
		}
		k, ok := blasCheck(dir)
		if state := k.State; ok && state != want || ok != (want != "none") || want == "warning" && !strings.Contains(k.Remedy, "libopenblas0-pthread") {
			t.Errorf("%s: %+v %t", target, k, ok)
		}
	}
}
