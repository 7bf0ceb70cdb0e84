package templates_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nullius.dev/templates"
)

// result is the part of final_info.json that the tests compare.
type result map[string]struct {
	Means   map[string]float64 `json:"means"`
	Stderrs map[string]float64 `json:"stderrs"`
}

func TestNames_list_the_embedded_templates(t *testing.T) {
	if got, want := templates.Names(), []string{
		"2d_diffusion", "MACE", "bandit_lite", "double_descent", "earthquake-prediction", "grokking", "mobilenetV3",
		"nanoGPT", "nanoGPT_lite", "probes", "seir", "sketch_rnn", "tensorf",
	}; !slices.Equal(got, want) {
		t.Fatalf("names %v, want %v", got, want)
	}
	for _, name := range templates.Names() {
		for _, file := range []string{
			"experiment.py", "plot.py", "evaluate.py", "prompt.json", "seed_ideas.json",
			"template.yaml", "latex/template.tex", "README.md",
		} {
			if _, err := fs.Stat(templates.FS(), name+"/"+file); err != nil {
				t.Errorf("embedded file: %v", err)
			}
		}
	}
}

func TestBaselines_give_the_published_numbers(t *testing.T) {
	type number struct {
		dataset, metric string
		mean, stderr    float64
		within          float64
	}
	tests := []struct {
		template string
		figures  []string
		numbers  []number
	}{
		{"double_descent", []string{"test_error.png", "threshold.png", "wide_narrow.png"}, []number{
			{"noise_0.3", "log10_mse_threshold", 2.21, 0.58, 0.005},
			{"noise_0.3", "mse_widest", 0.339, 0.019, 0.0005},
			{"noise_0.3", "mse_narrow", 0.509, 0.019, 0.0005},
			{"noise_1.0", "mse_widest", 1.171, 0.073, 0.0005},
			{"noise_1.0", "mse_narrow", 0.839, 0.043, 0.0005},
		}},
		{"bandit_lite", []string{"regret.png"}, []number{
			{"random", "regret", 179.8, 0.5, 0.05},
			{"epsilon_greedy", "regret", 62.6, 20.5, 0.05},
			{"ucb1", "regret", 159.9, 2.5, 0.05},
			{"thompson", "regret", 90.7, 4.4, 0.05},
		}},
		// The share ever infected solves A = 1 - exp(-R0 A): 0.797, 0.926, 0.980.
		{"seir", []string{"epidemic_curves.png", "peaks.png"}, []number{
			{"r0_2.0", "total_infected", 0.7979, 0.0022, 0.0005},
			{"r0_2.8", "total_infected", 0.9252, 0.0009, 0.0005},
			{"r0_4.0", "total_infected", 0.9798, 0.0004, 0.0005},
			{"r0_2.8", "infected_peak", 0.1646, 0.0009, 0.0005},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.template, func(t *testing.T) {
			dir := unpack(t, tt.template)
			python(t, dir, "", "experiment.py", "--out_dir=run_0")
			info := read(t, filepath.Join(dir, "run_0", "final_info.json"))
			for _, n := range tt.numbers {
				got := info[n.dataset]
				if math.Abs(got.Means[n.metric]-n.mean) > n.within || math.Abs(got.Stderrs[n.metric]-n.stderr) > n.within {
					t.Errorf("%s/%s is %g ± %g, want %g ± %g", n.dataset, n.metric,
						got.Means[n.metric], got.Stderrs[n.metric], n.mean, n.stderr)
				}
			}
			python(t, dir, "", "plot.py")
			drawn(t, dir, tt.figures)
		})
	}
}

func TestSmokeSize_runs_too(t *testing.T) {
	figures := map[string][]string{
		"probes":                {"layers.png", "strength.png"},
		"sketch_rnn":            {"drawings.png", "losses.png", "quality.png"},
		"nanoGPT_lite":          {"losses.png", "test_loss.png"},
		"2d_diffusion":          {"samples.png", "losses.png", "quality.png"},
		"nanoGPT":               {"losses.png", "test_loss.png"},
		"mobilenetV3":           {"curves.png", "accuracy.png"},
		"tensorf":               {"rendered.png", "curves.png", "quality.png"},
		"MACE":                  {"parity.png", "errors.png", "drift.png"},
		"bandit_lite":           {"regret.png"},
		"double_descent":        {"test_error.png", "threshold.png", "wide_narrow.png"},
		"earthquake-prediction": {"precision_recall.png", "calibration.png", "maps.png"},
		"grokking":              {"accuracy.png", "delay.png"},
		"seir":                  {"epidemic_curves.png", "peaks.png"},
	}
	for _, name := range templates.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := unpack(t, name)
			for _, out := range []string{"run_0", "run_1"} {
				python(t, dir, "smoke", "experiment.py", "--out_dir="+out)
			}
			first, second := read(t, filepath.Join(dir, "run_0", "final_info.json")), read(t, filepath.Join(dir, "run_1", "final_info.json"))
			if len(first) == 0 || !reflect.DeepEqual(first, second) {
				t.Errorf("the same run twice gives %v and %v", first, second)
			}
			python(t, dir, "", "plot.py")
			drawn(t, dir, figures[name])
			crowd(t, dir)
			python(t, dir, "", "-W", "error::UserWarning", "plot.py") // warned of where panels and labels have no room
			drawn(t, dir, figures[name])
		})
	}
}

// crowd makes six runs of two, with labels longer than any figure is wide; the figures drawn before go.
func crowd(t *testing.T, dir string) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, figure := range old {
		if err := os.Remove(figure); err != nil {
			t.Fatal(err)
		}
	}
	labels := map[string]string{"run_0": "Baseline", "run_1": "short"}
	for _, run := range []string{"run_2", "run_3", "run_4", "run_5"} {
		if err := os.CopyFS(filepath.Join(dir, run), os.DirFS(filepath.Join(dir, "run_1"))); err != nil {
			t.Fatal(err)
		}
		labels[run] = run + " with a warm-up of fifty steps, no decay on biases and norms, and an_unbroken_word_of_a_hundred_letters" + strings.Repeat("_more", 15)
	}
	text, err := json.Marshal(labels)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// drawn fails unless the figures are there, and there are some.
func drawn(t *testing.T, dir string, figures []string) {
	t.Helper()
	if len(figures) == 0 {
		t.Error("no figure is named")
	}
	for _, figure := range figures {
		if info, err := os.Stat(filepath.Join(dir, figure)); err != nil || info.Size() < 5_000 {
			t.Errorf("figure %s is missing or empty: %v", figure, err)
		}
	}
}

func TestNanoGPT_and_its_lite_form_share_their_code(t *testing.T) {
	for _, file := range []string{"experiment.py", "evaluate.py", "plot.py"} {
		whole, err := fs.ReadFile(templates.FS(), "nanoGPT/"+file)
		if err != nil {
			t.Fatal(err)
		}
		lite, err := fs.ReadFile(templates.FS(), "nanoGPT_lite/"+file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(whole, lite) {
			t.Errorf("%s differs; only settings.py may", file)
		}
	}
}

func unpack(t *testing.T, name string) string {
	t.Helper()
	source, err := fs.Sub(templates.FS(), name)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, source); err != nil {
		t.Fatal(err)
	}
	return dir
}

// python runs a script with the system's interpreter, which sees the
// distribution's packages; the first python3 on PATH may see none.
func python(t *testing.T, dir, size string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MPLBACKEND=Agg",
		"PYTHONDONTWRITEBYTECODE=1")
	if size != "" {
		cmd.Env = append(cmd.Env, "NULLIUS_SIZE="+size)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("python3 %v: %v\n%s\nit needs: apt-get install python3-numpy python3-sklearn python3-torch python3-matplotlib libopenblas0-pthread",
			args, err, out)
	}
}

func read(t *testing.T, path string) result {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var info result
	if err := json.Unmarshal(data, &info); err != nil {
		t.Fatal(err)
	}
	return info
}
