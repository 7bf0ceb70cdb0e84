package template_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
)

// good is a small template with every part; the broken ones are edits of it.
func good() map[string]string {
	return map[string]string{
		"experiment.py": `"""A small experiment."""
import argparse
import json
import os
import random

import evaluate

parser = argparse.ArgumentParser()
parser.add_argument("--out_dir", default="run_0")
parser.add_argument("--rate", type=float, default=0.1, help="a (harmless) option")
args = parser.parse_args()
seeds = range(3)
`,
		"evaluate.py": "# the test split lives here\n",
		"plot.py":     "import matplotlib.pyplot as plt\nplt.savefig(\"test_error.png\")\n",
		"prompt.json": `{
  "system": "You are careful.",
  "task_description": "Find out."
}
`,
		"seed_ideas.json": `[
  {
    "Name": "one_idea",
    "Title": "One idea",
    "Experiment": "Try it.",
    "Interestingness": 5,
    "Feasibility": 6,
    "Novelty": 7
  }
]
`,
		"template.yaml": `title: A small template
sizes:
  smoke: {seconds: 1, memory: 64MiB}
  lite: {seconds: 2}
pool: cpu
time_limit: 10m
python: {min: "3.9", modules: [matplotlib]}
primary: {dataset: d, metric: test_error, direction: minimize}
metrics: {test_error: minimize, gap: none}
editable: [experiment.py, plot.py]
protected: [evaluate.py]
env: {MY_FLAG: "1"}
`,
		"latex/template.tex": "\\documentclass{article}\n\\begin{document}\n\\title{TITLE HERE}\\section{Results}\n\\end{document}\n",
		"run_0/final_info.json": `{
  "d": {"means": {"test_error": 0.5, "gap": 0.1}, "stderrs": {"test_error": 0.01, "gap": 0.2}}
}
`,
	}
}

func tree(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return m
}

// parse stands for the sandboxed parser: it refuses one line.
func parse(sources map[string][]byte) map[string]template.Syntax {
	out := map[string]template.Syntax{}
	for name, src := range sources {
		for i, line := range strings.Split(string(src), "\n") {
			if strings.HasPrefix(line, "def broken(") {
				out[name] = template.Syntax{Line: i + 1, Message: "'(' was never closed"}
			}
		}
	}
	return out
}

func load(fsys fs.FS) (*template.Template, []template.Finding) {
	return template.Load(fsys, template.Options{Name: "small", ParsePython: parse})
}

func TestLoad_reads_everything_a_template_says(t *testing.T) {
	got, findings := load(tree(good()))
	if len(findings) > 0 {
		t.Fatalf("findings on a good template: %v", findings)
	}
	checks := map[string]bool{
		"title":       got.Title == "A small template" && got.Name == "small" && !got.Foreign,
		"sizes":       got.Sizes["smoke"].MemoryBytes == 64<<20 && got.SmokeSeconds() == 1 && got.DefaultSize() == "lite",
		"pool, limit": got.Pool == "cpu" && got.PoolFor("lite") == "cpu" && got.TimeLimit == 10*time.Minute,
		"python":      got.Python.Declared && slices.Equal(got.Python.Modules, []string{"matplotlib"}) && got.Python.Min == "3.9",
		"primary":     got.Primary != nil && *got.Primary == template.Primary{Dataset: "d", Metric: "test_error", Direction: template.Minimize},
		"directions":  got.DirectionOf("gap") == template.NoDirection && got.DirectionOf("test_error") == template.Minimize,
		"globs":       slices.Equal(got.Protected, []string{"evaluate.py"}) && slices.Equal(got.Editable, []string{"experiment.py", "plot.py"}),
		"environment": got.Environment("smoke")["MY_FLAG"] == "1" && got.Environment("smoke")["NULLIUS_SIZE"] == "smoke" && got.Environment("")["OMP_NUM_THREADS"] == "1",
		"ideas":       len(got.Ideas) == 1 && got.Ideas[0].Name == "one_idea" && got.Ideas[0].Novelty == 7,
		"prompt":      got.Prompt.System == "You are careful." && got.Prompt.Task == "Find out.",
		"parts":       got.HasBaseline && got.HasLatex && !got.EmptyPlot && len(got.Writable) == 0 && got.Files == 8,
	}
	for what, ok := range checks {
		if !ok {
			t.Errorf("%s: wrong in %+v", what, got)
		}
	}
}

func TestLoad_takes_the_templates_of_others_with_defaults(t *testing.T) {
	files := good()
	for _, ours := range []string{"template.yaml", "latex/template.tex", "evaluate.py"} {
		delete(files, ours)
	}
	files["plot.py"] = "\n"
	files["experiment.py"] = strings.ReplaceAll(files["experiment.py"], "import evaluate\n", "import numpy as np, scipy.stats\nfrom torch import nn  # import nothing\n")
	files["prompt.json"] = `{"system": "s", "task_description": "t", "extra": 1}`
	files["seed_ideas.json"] = strings.ReplaceAll(files["seed_ideas.json"], "one_idea", "My Idea")
	files["run_0/final_info.json"] = `{"d": {"means": 0.5, "stds": 0.1}, "e": {"means": {"x_mean": NaN}, "solution": [[1, 2], "a"]}}`
	got, findings := load(tree(files))
	if got == nil {
		t.Fatalf("refused: %v", findings)
	}
	if !got.Foreign || got.Sizes != nil || got.DefaultSize() != "" || got.Primary != nil || got.TimeLimit != 2*time.Hour ||
		!slices.Equal(got.Writable, []string{"."}) || !got.EmptyPlot || got.HasLatex || !got.HasBaseline || got.Ideas[0].Name != "my_idea" {
		t.Errorf("defaults are wrong: %+v", got)
	}
	if want := []string{"numpy", "scipy", "torch"}; !slices.Equal(got.Python.Modules, want) {
		t.Errorf("modules found by reading imports: %v, want %v", got.Python.Modules, want)
	}
	if _, ok := got.Environment("lite")["NULLIUS_SIZE"]; !ok {
		t.Error("an explicit size is passed on")
	}
	for _, rule := range []string{"prompt.unknown-key", "seed-idea.name", "plot.empty", "latex.missing"} {
		if !slices.ContainsFunc(findings, func(f template.Finding) bool { return f.Rule == rule && f.Severity == template.Warning }) {
			t.Errorf("no warning %s in %v", rule, findings)
		}
	}
}

func TestLoad_is_lenient_with_the_templates_of_others(t *testing.T) {
	tests := map[string]map[string]string{
		"a paper in Latin-1":             {"latex/template.tex": "\\documentclass{article} caf\xe9"},
		"a module that Python 2 wrote":   {"old/module.py": "def broken(:\n"},
		"arguments made from a function": {"experiment.py": "import fire\ndef main(out_dir='run_0'): pass  # seed, test\nfire.Fire(main)\n"},
		"arguments read by hand":         {"experiment.py": "import sys\nout = [a for a in sys.argv if a.startswith('--out_dir=')]\n"},
		"no ideas yet":                   {"seed_ideas.json": "[]\n"},
		"an optional positional":         {"experiment.py": "p.add_argument('extra', nargs='?', help='a=b')\np.add_argument('--out_dir')\n"},
	}
	for name, edits := range tests {
		t.Run(name, func(t *testing.T) {
			files := good()
			delete(files, "template.yaml")
			maps.Copy(files, edits)
			if got, findings := load(tree(files)); got == nil {
				t.Errorf("refused: %v", template.Errors(findings))
			}
		})
	}
}

func TestExpected_compares_a_baseline_with_what_was_published(t *testing.T) {
	files := good()
	files["template.yaml"] += "expected: {lite: {d/test_error: {value: 0.5, rel: 0.01}, d/gap: {min: 0}}}\n"
	got, findings := load(tree(files))
	if got == nil {
		t.Fatal(findings)
	}
	tests := []struct {
		name     string
		measured map[string]float64
		rules    int
	}{
		{"within", map[string]float64{"d/test_error": 0.504, "d/gap": 0}, 0},
		{"outside", map[string]float64{"d/test_error": 0.506, "d/gap": -0.1}, 2},
		{"not measured", map[string]float64{"d/test_error": 0.5}, 1},
		{"not finite", map[string]float64{"d/test_error": math.NaN(), "d/gap": 1}, 1},
	}
	for _, tt := range tests {
		if out := got.CheckExpected("lite", tt.measured); len(out) != tt.rules {
			t.Errorf("%s: %v", tt.name, out)
		}
	}
	if out := got.CheckExpected("full", nil); out != nil {
		t.Errorf("a size without expectations: %v", out)
	}
}

func TestLoad_names_missing_modules_with_the_package(t *testing.T) {
	_, findings := template.Load(tree(good()), template.Options{Name: "small",
		MissingModules: func(modules []string) ([]string, error) { return modules, nil }})
	blocking := template.Blocking(findings)
	if len(blocking) != 1 || blocking[0].Rule != "python.module" || blocking[0].Place() != "plot.py:1:8" || !strings.Contains(blocking[0].Fix, "python3-matplotlib") {
		t.Fatalf("blocking findings: %v", blocking)
	}
}

func TestLoad_compares_the_interpreter_with_the_least_version(t *testing.T) {
	for version, blocked := range map[string]bool{"3.9.0": false, "3.11.2": false, "3.8.10": true, "2.7": true, "3": true, "4.0": false, "": false} {
		_, findings := template.Load(tree(good()), template.Options{Name: "small", PythonVersion: func([]string) string { return version },
			MissingModules: func([]string) ([]string, error) { return nil, nil }})
		if blocking := template.Blocking(findings); (len(blocking) > 0) != blocked || blocked && blocking[0].Rule != "python.version" {
			t.Errorf("Python %q for 3.9 or later: %v", version, blocking)
		}
	}
}

func TestLoad_gives_a_metric_the_direction_of_the_primary(t *testing.T) {
	files := good()
	files["template.yaml"] = strings.Replace(files["template.yaml"], "{test_error: minimize, gap: none}", "{test_error: {label: error}, gap: {unit: s}}", 1)
	got, findings := load(tree(files))
	if got == nil || got.DirectionOf("test_error") != template.Minimize || got.DirectionOf("gap") != template.NoDirection {
		t.Errorf("%+v %v", got, findings)
	}
}

// TestLoad_reads_a_hostile_source_of_imports would not end within the test's limit if each import were looked for from the source's start.
func TestLoad_reads_a_hostile_source_of_imports(t *testing.T) {
	files := good()
	files["many.py"] = strings.Repeat("  import a.b\n", 160_000)
	if got, findings := load(tree(files)); got == nil {
		t.Errorf("refused: %v", findings)
	}
}

func TestLoad_bounds_files_and_bytes(t *testing.T) {
	limits := template.Limits{Files: 8, FileBytes: 2000, TotalBytes: 3000}
	at := func(extra map[string]string) []string {
		files := good()
		maps.Copy(files, extra)
		_, findings := template.Load(tree(files), template.Options{Limits: limits})
		var rules []string
		for _, f := range template.Errors(findings) {
			rules = append(rules, f.Rule)
		}
		return rules
	}
	size := 0
	for _, content := range good() {
		size += len(content)
	}
	limits.TotalBytes = int64(size)
	if got := at(nil); len(got) > 0 {
		t.Errorf("at the bounds: %v", got)
	}
	if got := at(map[string]string{"z_more": "x"}); !slices.Contains(got, "files.count") || !slices.Contains(got, "files.total") {
		t.Errorf("one above: %v", got)
	}
	if got := at(map[string]string{"latex/big.txt": strings.Repeat("x", 2001)}); !slices.Contains(got, "file.size") {
		t.Errorf("a file one byte too large: %v", got)
	}
}

func TestInit_writes_a_template_that_passes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "mine")
	if err := template.Init(dir); err != nil {
		t.Fatal(err)
	}
	got, findings := template.Load(os.DirFS(dir), template.Options{Name: "mine"})
	if got == nil || len(findings) > 0 {
		t.Fatalf("the starter has findings: %v", findings)
	}
	err := template.Init(dir)
	if fault.KindOf(err) != fault.Exists || fault.NextOf(err) == "" {
		t.Fatalf("a second init: %v", err)
	}
}

func TestRefusal_lists_every_error_as_a_violation(t *testing.T) {
	files := good()
	delete(files, "prompt.json")
	delete(files, "plot.py")
	_, findings := load(tree(files))
	err := template.Refusal("small", template.Errors(findings))
	e, ok := fault.As(err)
	if !ok || e.Reason != template.ReasonInvalid || e.Kind != fault.Invalid || len(e.Violations) != 2 || e.Next == "" {
		t.Fatalf("refusal: %+v", err)
	}
	if template.Refusal("small", nil) != nil {
		t.Error("no findings, yet a refusal")
	}
}

func TestLoad_takes_requirements_of_names_versions_markers_and_hashes(t *testing.T) {
	const hash = "--hash=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	files := good()
	files["requirements.txt"] = "# packages\nnumpy\nscipy >= 1.10, < 2  # why\ntorch==2.1.0+cpu ; python_version >= \"3.9\"\ntqdm==4.66.1 \\\n    " + hash + " \\\n    " + hash + "\n"
	files["template.yaml"] = strings.Replace(files["template.yaml"], "modules:", "requirements: requirements.txt, modules:", 1)
	asked := false
	got, findings := template.Load(tree(files), template.Options{Name: "small", MissingModules: func(m []string) ([]string, error) { asked = true; return m, nil }})
	if got == nil || got.Python.Requirements != "requirements.txt" || asked || len(template.Blocking(findings)) > 0 {
		t.Errorf("this machine was asked for what is installed later (%t), or: %v", asked, findings)
	}
	delete(files, "template.yaml") // a foreign one: read where it lies, and what cannot be built from is a warning
	if got, findings := load(tree(files)); got == nil || got.Python.Requirements != "requirements.txt" {
		t.Errorf("foreign: %v", findings)
	}
	files["requirements.txt"] = "-r other.txt\n"
	if got, findings := load(tree(files)); got == nil || got.Python.Requirements != "" || !slices.ContainsFunc(findings, func(f template.Finding) bool { return f.Rule == "requirements.line" && f.Line == 1 }) {
		t.Errorf("foreign with an include: %v", findings)
	}
}

func TestLoad_finds_the_primary_metric_in_nested_means(t *testing.T) {
	files := good()
	files["template.yaml"] = strings.ReplaceAll(files["template.yaml"], "test_error", "val.mae:f.x")
	files["run_0/final_info.json"] = `{"d": {"means": {"val": {"mae/f": {"x": 1.5, "unit": "meV"}}}}}`
	if got, findings := load(tree(files)); got == nil {
		t.Errorf("refused: %v", findings)
	}
}

func FuzzLoad(f *testing.F) {
	for name, content := range good() {
		f.Add(name, content)
	}
	f.Fuzz(func(_ *testing.T, name, content string) {
		if !fs.ValidPath(name) || name == "." {
			return
		}
		files := good()
		files[name] = content
		_, findings := load(tree(files))
		for _, finding := range findings {
			if s := finding.String(); strings.ContainsAny(s, "\n\x00") {
				panic(fmt.Sprintf("a finding of two lines: %q", s))
			}
		}
	})
}

func TestSetExpected_changes_nothing_else(t *testing.T) {
	value, rel := 0.5, 0.01
	expected := map[string]map[string]template.Expected{"lite": {"d/x": {Value: &value, Rel: &rel}}}
	const block = "expected:\n  lite:\n    \"d/x\": {value: 0.5, rel: 0.01}\n"
	for before, want := range map[string]string{
		"title: a  # b\n": "title: a  # b\n" + block,
		"title: a":        "title: a\n" + block,
		"title: a\nexpected: {lite: {d/x: {min: 0}}}\npool: cpu\n":                 "title: a\n" + block + "pool: cpu\n",
		"expected:\n  lite:\n\n    d/x: {min: 0}\n# pools\npool:   cpu\n":          block + "# pools\npool:   cpu\n",
		"expected:\n  lite: {d/x: {value: 1,\n    rel: 0.1}}\nenv: {A: \"1\"}\n\n": block + "env: {A: \"1\"}\n\n",
	} {
		if got := string(template.SetExpected([]byte(before), expected)); got != want {
			t.Errorf("%q became\n%s", before, got)
		}
	}
}

func TestDigest_covers_files_and_names_but_no_runs(t *testing.T) {
	digest := func(files map[string]string) string {
		d, err := template.Digest(tree(files))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := digest(good())
	for name, changes := range map[string]bool{"run_1/final_info.json": false, "__pycache__/a.pyc": false, "recording/index.jsonl": false, "run_x.py": true, "new.txt": true} {
		files := good()
		files[name] = "x"
		if got := digest(files); (got != first) != changes {
			t.Errorf("%s: changed %t", name, got != first)
		}
	}
}
