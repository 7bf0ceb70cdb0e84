package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"nullius.dev/bench/foreign"
)

// verdict is what tests read of verification.json.
type verdict struct {
	Outcome     string
	Pages       struct{ Total int }
	Unexplained []struct{ Text string }
	Findings    []struct{ ID, Text string }
}

// foreignRun runs a template with a foreign mind and gives the one result folder, the prompts and what was printed.
func foreignRun(t *testing.T, mind foreign.Mind, template string, args ...string) (folder string, prompts []string, printed string) {
	t.Helper()
	f := newModel(t)
	var mu sync.Mutex
	f.Answer = func(all, last string) (string, string) {
		mu.Lock()
		defer mu.Unlock()
		prompts = append(prompts, all)
		return mind.Play(all, last)
	}
	dir := t.TempDir()
	results := filepath.Join(dir, "results")
	code, out, errOut := nullius(t, append([]string{"run", template, "--data-dir", filepath.Join(dir, "data"), "--address", "127.0.0.1:0", "--model", f.name, "--engine", "local",
		"--results", results}, args...)...)
	t.Logf("%d calls\n%s%s", f.Calls(), errOut, out)
	if code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	if n := f.Unknown(); n > 0 {
		t.Errorf("%d prompts had no answer", n)
	}
	folders, err := filepath.Glob(filepath.Join(results, "*", "*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("result folders: %v %v", folders, err)
	}
	return folders[0], prompts, out + errOut
}

func needFiles(t *testing.T, folder string, names ...string) {
	t.Helper()
	for _, name := range names {
		if st, err := os.Stat(filepath.Join(folder, name)); err != nil || st.Size() == 0 {
			t.Errorf("the result folder lacks %s: %v", name, err)
		}
	}
}

// checkTyped checks that a number which was typed is listed and marked, and that a reference to nothing went back to the model and was left out.
func checkTyped(t *testing.T, folder, pdf, typed, reference string, prompts []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "verification.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v verdict
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if v.Outcome != "COMPILED" || v.Pages.Total < 3 {
		t.Errorf("the paper is %s with %d pages", v.Outcome, v.Pages.Total)
	}
	if !slices.ContainsFunc(v.Unexplained, func(u struct{ Text string }) bool { return u.Text == typed }) {
		t.Errorf("%s is not among the numbers without origin: %v", typed, v.Unexplained)
	}
	text, err := exec.CommandContext(t.Context(), "pdftotext", "-layout", filepath.Join(folder, pdf), "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(folder, "latex", "template.tex"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), typed+`\nulliusmark`) || !strings.Contains(string(text), "?") {
		t.Errorf("%s is not marked in the paper", typed)
	}
	if strings.Contains(string(source), reference) {
		t.Errorf("the reference %s stands in the paper", reference)
	}
	if !slices.ContainsFunc(prompts, func(p string) bool {
		_, task, ok := strings.Cut(p, "# Task: mend what the checks found")
		return ok && strings.Contains(task, reference) && strings.Contains(task, typed)
	}) {
		t.Errorf("%s and %s were not sent back to the model", reference, typed)
	}
}

// TestRun_foreignDoubleDescent: four runs in four forms of edits, a script of its own that crashes first, and a chat model's LaTeX end in a paper.
func TestRun_foreignDoubleDescent(t *testing.T) {
	t.Parallel()
	folder, prompts, out := foreignRun(t, foreign.DoubleDescent(), "double_descent", "--size", "smoke")
	needFiles(t, folder, "run_0/final_info.json", "run_1/final_info.json", "run_2/final_info.json", "run_3/final_info.json", "run_4/final_info.json", "run_4.py",
		"curves.png", "peak.png", "shrink_or_squash.pdf", "review.txt", "verification.json", "report.md")
	if _, err := os.Stat(filepath.Join(folder, "run_5")); err == nil {
		t.Error("a fifth run was made though the model had finished")
	}
	code, err := os.ReadFile(filepath.Join(folder, "run_4.py"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RIDGE = 0.1", "np.tanh(x @ layer)", "stream.uniform(", "np.linalg.svd"} {
		if !strings.Contains(string(code), want) {
			t.Errorf("the last run's code lacks %s", want)
		}
	}
	if !strings.Contains(out, "has no attribute 'linalgebra'") {
		t.Error("the crash of run 2 is not told")
	}
	checkTyped(t, folder, "shrink_or_squash.pdf", "0.4711", "run_7/noise_0.3", prompts)
}

// TestRun_foreignSeir: a folder in AI-Scientist's shape, without template.yaml and standard errors, ends in a paper; one that brings its run_0 begins with that.
func TestRun_foreignSeir(t *testing.T) {
	t.Parallel()
	folder, prompts, out := foreignRun(t, foreign.Seir(), filepath.Join("testdata", "seir"), "--improvement")
	files := []string{"run_0/final_info.json", "run_1/final_info.json", "run_2/final_info.json", "infectious.png", "contact_fatigue.pdf", "contact_fatigue_improved.pdf", "review.txt", "review_improved.txt", "verification.json"}
	needFiles(t, folder, files...)
	if strings.Contains(out, " ± 0") {
		t.Error("an unknown standard error was printed as zero")
	}
	checkTyped(t, folder, "contact_fatigue.pdf", "23.5", "run_5/SEIR", prompts)

	again := filepath.Join(t.TempDir(), "seir")
	if err := os.CopyFS(again, os.DirFS(filepath.Join("testdata", "seir"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(again, "run_0"), os.DirFS(filepath.Join(folder, "run_0"))); err != nil {
		t.Fatal(err)
	}
	folder, _, out = foreignRun(t, foreign.Seir(), again, "--until", "figures") // the paper comes from the same files
	needFiles(t, folder, "run_0/final_info.json", "run_1/final_info.json", "run_2/final_info.json", "infectious.png")
	if strings.Contains(out, "baseline/run") {
		t.Error("the baseline was run though the folder brings one")
	}
}

// TestRun_bundledTemplates: a plain model that changes one line a run comes to a paper on templates that ship without a recording.
func TestRun_bundledTemplates(t *testing.T) {
	t.Parallel()
	for template, study := range map[string]foreign.Setting{"grokking": foreign.Grokking(), "seir": foreign.Lockdown()} {
		t.Run(template, func(t *testing.T) {
			folder, prompts, _ := foreignRun(t, study.Mind(), template, "--size", "smoke")
			needFiles(t, folder, "run_0/final_info.json", "run_1/final_info.json", "run_2/final_info.json", study.Figure, study.Name+".pdf", "review.txt")
			checkTyped(t, folder, study.Name+".pdf", study.TypedNumber, "run_8/"+study.Dataset, prompts)
		})
	}
}
