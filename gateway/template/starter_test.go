package template_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nullius.dev/gateway/template"
)

func TestStarter_runs_and_draws_with_the_standard_library_alone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	if err := template.Init(dir); err != nil {
		t.Fatal(err)
	}
	// -S: no site packages, so that a stray import of numpy shows.
	for _, args := range [][]string{{"-S", "experiment.py", "--out_dir=run_0"}, {"-S", "plot.py"}} {
		cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("python3 %v: %v (install: sudo apt-get install -y python3)\n%s", args, err, out)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "test_error.png")); err != nil || info.Size() < 5000 {
		t.Errorf("the figure is missing or empty: %v", err)
	}
	got, findings := template.Load(os.DirFS(dir), template.Options{Name: "mine"})
	if got == nil || len(findings) > 0 || !got.HasBaseline {
		t.Errorf("with its run_0 the starter has findings: %v", findings)
	}
}

func TestBundledTemplates_pass_without_a_finding(t *testing.T) {
	for _, name := range []string{"bandit_lite", "double_descent"} {
		got, findings := template.Load(os.DirFS(filepath.Join("..", "..", "templates", name)), template.Options{Name: name})
		if got == nil || len(findings) > 0 {
			t.Errorf("%s: %v", name, findings)
			continue
		}
		if got.Primary == nil || got.DefaultSize() != "lite" || got.SmokeSeconds() == 0 || !got.HasLatex || got.Foreign || len(got.Ideas) != 2 {
			t.Errorf("%s says too little: %+v", name, got)
		}
	}
}
