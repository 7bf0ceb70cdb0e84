package template_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/sandbox"
)

// moreBroken are further ways to spoil the good template, each with what was expected there.
var moreBroken = []struct {
	broken
	expected string // part of what was expected
}{
	// Files.
	{broken{name: "a folder where the experiment should be", file: "experiment.py/main.py", new: "x = 1\n", place: "experiment.py", rule: "file.missing"}, "the experiment"},
	{broken{name: "a prompt of more than 2 MiB", file: "prompt.json", new: strings.Repeat(" ", 2<<20+1), place: "prompt.json", rule: "file.size"}, "at most 2097152"},
	{broken{name: "an article in Latin-1", file: "latex/template.tex", old: "TITLE HERE", new: "caf\xe9", place: "latex/template.tex:3:11", rule: "file.encoding"}, "UTF-8"},
	{broken{name: "settings in Latin-1", file: "template.yaml", old: "A small", new: "A sm\xe4ll", place: "template.yaml:1:12", rule: "file.encoding"}, "UTF-8"},
	{broken{name: "ideas in UTF-16", file: "seed_ideas.json", new: "\xff\xfe[\x00]\x00", place: "seed_ideas.json:1:1", rule: "file.encoding"}, "UTF-8"},
	{broken{name: "NUL in a module", file: "evaluate.py", old: "lives", new: "li\x00ves", place: "evaluate.py:1:20", rule: "file.encoding"}, "UTF-8"},
	{broken{name: "a name of 300 bytes", file: "data/" + strings.Repeat("n", 300), new: "x", place: "data/" + strings.Repeat("n", 55) + "…", rule: "file.path"}, "at most 255"},
	{broken{name: "a name that is not UTF-8", file: "data/caf\xe9.csv", new: "x", place: `data/caf\xe9.csv`, rule: "file.path"}, "UTF-8"},
	{broken{name: "a name that reads backwards", file: "data/a\u202egpj.py", new: "x", place: `data/a\u202egpj.py`, rule: "file.path"}, "printable"},

	// JSON.
	{broken{name: "a comma too many", file: "seed_ideas.json", old: "\"Novelty\": 7", new: "\"Novelty\": 7,", place: "seed_ideas.json:9:3", rule: "json.syntax"}, "a key in double quotes"},
	{broken{name: "single quotes", file: "seed_ideas.json", old: "\"Name\"", new: "'Name'", place: "seed_ideas.json:3:5", rule: "json.syntax"}, "double quotes"},
	{broken{name: "a rating of NaN", file: "seed_ideas.json", old: "\"Novelty\": 7", new: "\"Novelty\": NaN", place: "seed_ideas.json:8:16", rule: "json.syntax"}, "a number that JSON knows"},
	{broken{name: "a text that never ends", file: "seed_ideas.json", old: "\"Try it.\"", new: "\"Try it.", place: "seed_ideas.json:5:28", rule: "json.syntax"}, `\n`},
	{broken{name: "a tab in a text", file: "prompt.json", old: "Find out", new: "Find\tout", place: "prompt.json:3:28", rule: "json.syntax"}, "escape"},
	{broken{name: "an unknown escape", file: "prompt.json", old: "Find out", new: `Find \d out`, place: "prompt.json:3:23", rule: "json.syntax"}, "escapes such as"},
	{broken{name: "text after the end", file: "prompt.json", old: "\n}\n", new: "\n}\nThat is all.\n", place: "prompt.json:5:1", rule: "json.syntax"}, "the end of the file"},
	{broken{name: "ideas nested without end", file: "seed_ideas.json", new: strings.Repeat("[", 100), place: "seed_ideas.json:1:18", rule: "json.syntax"}, "flatter"},
	{broken{name: "Python's True", file: "seed_ideas.json", old: "\"Novelty\": 7", new: "\"novel\": True", place: "seed_ideas.json:8:14", rule: "json.syntax"}, "a JSON value"},

	// Prompt and ideas.
	{broken{name: "a prompt of blanks", file: "prompt.json", old: "You are careful.", new: "   ", place: "prompt.json:2:13", rule: "prompt.system"}, `a text under "system"`},
	{broken{name: "a prompt that is a text", file: "prompt.json", new: `"Find out."`, place: "prompt.json:1:1", rule: "prompt.type"}, "an object"},
	{broken{name: "a task of 40 KiB", file: "prompt.json", old: "Find out.", new: strings.Repeat("Find out. ", 4096), place: "prompt.json:3:23", rule: "prompt.task_description"}, "at most 32768"},
	{broken{name: "ideas of null", file: "seed_ideas.json", new: "null", place: "seed_ideas.json:1:1", rule: "seed-idea.list"}, "a list of ideas"},
	{broken{name: "a number as a name", file: "seed_ideas.json", old: `"one_idea"`, new: "1", place: "seed_ideas.json:3:13", rule: "seed-idea.name"}, "a text"},
	{broken{name: "an empty name", file: "seed_ideas.json", old: `"one_idea"`, new: `""`, place: "seed_ideas.json:3:13", rule: "seed-idea.name"}, "a text"},
	{broken{name: "an idea without title", file: "seed_ideas.json", old: "    \"Title\": \"One idea\",\n", new: "", place: "seed_ideas.json:2:3", rule: "seed-idea.title"}, `"Title"`},
	{broken{name: "a name twice", file: "seed_ideas.json", old: "\n]\n", new: ",\n{\"Name\": \"one_idea\", \"Title\": \"t\", \"Experiment\": \"e\"}]\n", place: "seed_ideas.json:10:10", rule: "seed-idea.name"}, "a name of its own"},
	{broken{name: "a rating in quotes", file: "seed_ideas.json", old: "\"Novelty\": 7", new: "\"Novelty\": \"7\"", place: "seed_ideas.json:8:16", rule: "seed-idea.rating"}, "from 1 to 10"},
	{broken{name: "a rating of zero", file: "seed_ideas.json", old: "\"Novelty\": 7", new: "\"Novelty\": 0", place: "seed_ideas.json:8:16", rule: "seed-idea.rating"}, "from 1 to 10"},
	{broken{name: "201 ideas", file: "seed_ideas.json", new: "[\n" + strings.Repeat("{},\n", 200) + "{}]", place: "seed_ideas.json:202:1", rule: "seed-idea.count"}, "at most 200"},

	// Arguments.
	{broken{name: "a positional argument with a default alone", file: "experiment.py", old: "\"--rate\", type=float", new: "\"rate\", type=float", place: "experiment.py:11:8", rule: "experiment.required-argument", fix: "an option"}, "--out_dir"},
	{broken{name: "one positional argument or more", file: "experiment.py", old: "\"--rate\", type=float, default=0.1", new: "\"rates\", type=float, nargs='+'", place: "experiment.py:11:8", rule: "experiment.required-argument"}, "--out_dir"},
	{broken{name: "two positional arguments", file: "experiment.py", old: "\"--rate\", type=float, default=0.1", new: "\"rates\", nargs=2", place: "experiment.py:11:8", rule: "experiment.required-argument"}, "--out_dir"},
	{broken{name: "a command that must be named", file: "experiment.py", old: "args = parser", new: "commands = parser.add_subparsers(dest='command', required=True)\nargs = parser", place: "experiment.py:12:19", rule: "experiment.required-argument"}, "--out_dir"},
	{broken{name: "one argument of two", file: "experiment.py", old: "args = parser", new: "one = parser.add_mutually_exclusive_group(required=True)\nargs = parser", place: "experiment.py:12:14", rule: "experiment.required-argument"}, "--out_dir"},

	// Settings.
	{broken{name: "a bracket that stays open", file: "template.yaml", old: "[evaluate.py]", new: "[evaluate.py", place: "template.yaml:11", rule: "yaml.syntax"}, "a comma or ]"},
	{broken{name: "a key out of place", file: "template.yaml", old: "  lite: {seconds: 2}", new: "   lite: {seconds: 2}", place: "template.yaml:4", rule: "yaml.syntax"}, "the indent"},
	{broken{name: "a list among keys", file: "template.yaml", old: "pool: cpu", new: "- cpu", place: "template.yaml:5", rule: "yaml.syntax"}, ""},
	{broken{name: "an alias of nothing", file: "template.yaml", old: "pool: cpu", new: "pool: *cpu", place: "template.yaml:5", rule: "yaml.syntax"}, ""},
	{broken{name: "a title of nothing", file: "template.yaml", old: "title: A small template", new: "title:", place: "template.yaml:1:7", rule: "template.title"}, "a short title"},
	{broken{name: "a title that is a list", file: "template.yaml", old: "title: A small template", new: "title: [a, b]", place: "template.yaml:1:8", rule: "template.title"}, "a short title"},
	{broken{name: "sizes as a list", file: "template.yaml", old: "  smoke: {seconds: 1, memory: 64MiB}\n  lite: {seconds: 2}\n", new: "  - smoke\n  - lite\n", place: "template.yaml:3:3", rule: "template.sizes"}, "a mapping"},
	{broken{name: "a size that is a number", file: "template.yaml", old: "lite: {seconds: 2}", new: "lite: 2", place: "template.yaml:4:9", rule: "template.sizes"}, "a mapping"},
	{broken{name: "an unknown key of a size", file: "template.yaml", old: "{seconds: 2}", new: "{secs: 2}", place: "template.yaml:4:10", rule: "template.unknown-key"}, "seconds, memory, pool"},
	{broken{name: "seconds without end", file: "template.yaml", old: "{seconds: 2}", new: "{seconds: .inf}", place: "template.yaml:4:19", rule: "template.sizes.seconds"}, "seconds over 0"},
	{broken{name: "no memory at all", file: "template.yaml", old: "64MiB", new: "0", place: "template.yaml:3:31", rule: "template.sizes.memory"}, "256MiB"},
	{broken{name: "a size on an unknown pool", file: "template.yaml", old: "{seconds: 2}", new: "{seconds: 2, pool: tpu}", place: "template.yaml:4:28", rule: "template.sizes.pool"}, "cpu or gpu"},
	{broken{name: "a limit of nine days", file: "template.yaml", old: "10m", new: "216h", place: "template.yaml:6:13", rule: "template.time_limit"}, "up to 168h"},
	{broken{name: "a limit of nothing", file: "template.yaml", old: "10m", new: "0s", place: "template.yaml:6:13", rule: "template.time_limit"}, "over 0"},
	{broken{name: "Python as a version alone", file: "template.yaml", old: `{min: "3.9", modules: [matplotlib]}`, new: `"3.9"`, place: "template.yaml:7:9", rule: "template.python"}, "a mapping"},
	{broken{name: "a version in words", file: "template.yaml", old: `"3.9"`, new: `"three"`, place: "template.yaml:7:15", rule: "template.python.min"}, `"3.9"`},
	{broken{name: "a package where a module belongs", file: "template.yaml", old: "[matplotlib]", new: "[scikit-learn]", place: "template.yaml:7:32", rule: "template.python.modules"}, "a module to import"},
	{broken{name: "a folder as requirements", file: "template.yaml", old: "modules: [matplotlib]", new: "requirements: latex", place: "template.yaml:7:36", rule: "template.python.requirements"}, "a file of the template"},
	{broken{name: "Debian packages in one text", file: "template.yaml", old: "env:", new: "debian: python3-numpy python3-scipy\nenv:", place: "template.yaml:12:9", rule: "template.debian"}, "a list"},
	{broken{name: "a Debian package with a blank", file: "template.yaml", old: "env:", new: "debian: [python3 numpy]\nenv:", place: "template.yaml:12:10", rule: "template.debian"}, "Debian package"},
	{broken{name: "a primary metric as a text", file: "template.yaml", old: "primary: {dataset: d, metric: test_error, direction: minimize}", new: "primary: test_error", place: "template.yaml:8:10", rule: "template.primary"}, "a mapping"},
	{broken{name: "a primary metric of no direction", file: "template.yaml", old: "direction: minimize", new: "direction: none", place: "template.yaml:8:54", rule: "template.primary.direction"}, "minimize or maximize"},
	{broken{name: "metrics as a list", file: "template.yaml", old: "{test_error: minimize, gap: none}", new: "[test_error, gap]", place: "template.yaml:9:10", rule: "template.metrics"}, "a mapping"},
	{broken{name: "an unknown key of a metric", file: "template.yaml", old: "gap: none", new: "gap: {directon: none}", place: "template.yaml:9:39", rule: "template.unknown-key", fix: "direction"}, "direction, label, unit"},
	{broken{name: "paired seeds of yes", file: "template.yaml", old: "env:", new: "paired_seeds: yes\nenv:", place: "template.yaml:12:15", rule: "template.paired_seeds"}, "true or false"},
	{broken{name: "an expectation without dataset", file: "template.yaml", old: "env:", new: "expected: {lite: {gap: {min: 1}}}\nenv:", place: "template.yaml:12:24", rule: "template.expected"}, "dataset/metric"},
	{broken{name: "an expectation in words", file: "template.yaml", old: "env:", new: "expected: {lite: {d/gap: {value: low, rel: 0.1}}}\nenv:", place: "template.yaml:12:34", rule: "template.expected"}, "a finite number"},
	{broken{name: "nothing that may be edited", file: "template.yaml", old: "[experiment.py, plot.py]", new: "[]", place: "template.yaml:10:11", rule: "template.editable"}, "experiment.py among"},
	{broken{name: "a glob with a backslash", file: "template.yaml", old: "[evaluate.py]", new: `['src\*.py']`, place: "template.yaml:11:13", rule: "template.protected"}, "inside the template"},
	{broken{name: "variables as a list", file: "template.yaml", old: `{MY_FLAG: "1"}`, new: `["MY_FLAG=1"]`, place: "template.yaml:12:6", rule: "template.env"}, "a mapping"},
	{broken{name: "a variable's name with a blank", file: "template.yaml", old: "MY_FLAG", new: "MY FLAG", place: "template.yaml:12:16", rule: "template.env"}, "a variable's name"},
	{broken{name: "a variable of the executor", file: "template.yaml", old: "MY_FLAG", new: "NULLIUS_SIZE", place: "template.yaml:12:21", rule: "template.env.refused"}, "leaves to templates"},
	{broken{name: "settings deeper than any", file: "template.yaml", old: "title: A small template", new: "title: " + strings.Repeat("[", 30) + strings.Repeat("]", 30), place: "template.yaml:1:1", rule: "template.template"}, "a mapping"},

	// Data.
	{broken{name: "data as a mapping", file: "template.yaml", old: "env:", new: "data: {path: a}\nenv:", place: "template.yaml:12:7", rule: "template.data"}, "a list"},
	{broken{name: "data by its path alone", file: "template.yaml", old: "env:", new: "data: [plot.py]\nenv:", place: "template.yaml:12:8", rule: "template.data"}, "a mapping"},
	{broken{name: "data without a path", file: "template.yaml", old: "env:", new: "data: [{bytes: 3}]\nenv:", place: "template.yaml:12:8", rule: "template.data.path"}, "the file's path"},
	{broken{name: "data by a glob", file: "template.yaml", old: "env:", new: "data: [{path: '*.bin', sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "template.yaml:12:15", rule: "template.data.path"}, "a plain path"},
	{broken{name: "a short hash", file: "template.yaml", old: "env:", new: "data: [{path: a, sha256: abc}]\nenv:", place: "template.yaml:12:26", rule: "template.data.sha256"}, "64 lower-case"},
	{broken{name: "a password in an address", file: "template.yaml", old: "env:", new: "data: [{path: a, url: \"https://me:pw@a/b\", sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "template.yaml:12:23", rule: "template.data.url"}, "without a password"},
	{broken{name: "data of an unknown size", file: "template.yaml", old: "env:", new: "data: [{path: a, sizes: [big], sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "template.yaml:12:26", rule: "template.data.sizes"}, "smoke or lite or full"},

	// Results.
	{broken{name: "results of nothing", file: "run_0/final_info.json", new: "", place: "run_0/final_info.json:1:1", rule: "json.syntax"}, "a JSON value"},
	{broken{name: "results without a dataset", file: "run_0/final_info.json", new: "{}", place: "run_0/final_info.json:1:1", rule: "run_0.results"}, "dataset to means"},
	{broken{name: "results as a list", file: "run_0/final_info.json", new: "[1]", place: "run_0/final_info.json:1:1", rule: "run_0.results"}, "dataset to means"},
	{broken{name: "means of nothing", file: "run_0/final_info.json", old: `{"test_error": 0.5, "gap": 0.1}`, new: "null", place: "run_0/final_info.json:2:3", rule: "run_0.means"}, `"means": {metric: number}`},
	{broken{name: "a primary metric of null", file: "run_0/final_info.json", old: "0.5,", new: "null,", place: "run_0/final_info.json:2:33", rule: "primary.not-finite"}, "a finite number"},
	{broken{name: "a primary metric without bound", file: "run_0/final_info.json", old: "0.5,", new: "-Infinity,", place: "run_0/final_info.json:2:33", rule: "primary.not-finite"}, "a finite number"},
	{broken{name: "a decimal comma", file: "run_0/final_info.json", old: "0.1}", new: "0,1}", place: "run_0/final_info.json:2:47", rule: "json.syntax"}, "a key in double quotes"},

	// Requirements.
	{broken{name: "a package of this folder", file: "requirements.txt", new: "numpy\n-e .\n", place: "requirements.txt:2", rule: "requirements.line", fix: "numpy==1.26.4"}, "a package's name"},
	{broken{name: "a package from a repository", file: "requirements.txt", new: "git+https://example.org/a.git\n", place: "requirements.txt:1", rule: "requirements.line"}, "a package's name"},
	{broken{name: "a package by its address", file: "requirements.txt", new: "# one\na @ https://example.org/a.whl\n", place: "requirements.txt:2", rule: "requirements.line"}, "a package's name"},
	{broken{name: "no requirement", file: "requirements.txt", new: "# none yet\n", place: "requirements.txt:1", rule: "requirements.line"}, "a package's name"},
}

// TestLoad_tells_one_cause_once: what follows from a mistake is no further error.
func TestLoad_tells_one_cause_once(t *testing.T) {
	for name, tt := range map[string]struct {
		file, old, new string
		errors         []string // their places and rules
	}{
		"a protected module that is gone": {"evaluate.py", "", "", []string{"evaluate.py file.missing"}},
		"no script where one is named":    {"template.yaml", "env:", "prepare: make.py\ndata: [{path: a, generated: true}]\nenv:", []string{"template.yaml:12:10 template.prepare"}},
		"an editable text":                {"template.yaml", "[experiment.py, plot.py]", "experiment.py", []string{"template.yaml:10:11 template.editable"}},
	} {
		files := good()
		if tt.old == "" {
			delete(files, tt.file)
		} else {
			files[tt.file] = strings.Replace(files[tt.file], tt.old, tt.new, 1)
		}
		_, findings := load(tree(files))
		var got []string
		for _, f := range template.Errors(findings) {
			got = append(got, f.Place()+" "+f.Rule)
		}
		if !slices.Equal(got, tt.errors) {
			t.Errorf("%s: %v", name, findings)
		}
	}
}

func TestLoad_says_what_was_expected_of_broken_templates(t *testing.T) {
	for _, tt := range moreBroken {
		t.Run(tt.name, func(t *testing.T) {
			files := good()
			switch {
			case tt.old == "":
				files[tt.file] = tt.new
				if tt.file == "experiment.py/main.py" {
					delete(files, "experiment.py")
				}
			case !strings.Contains(files[tt.file], tt.old):
				t.Fatalf("%q is not in the good %s", tt.old, tt.file)
			default:
				files[tt.file] = strings.Replace(files[tt.file], tt.old, tt.new, 1)
			}
			if tt.file == "requirements.txt" {
				files["template.yaml"] = strings.Replace(files["template.yaml"], "modules:", "requirements: requirements.txt, modules:", 1)
			}
			got, findings := load(tree(files))
			if got != nil {
				t.Errorf("loaded, with %v", findings)
			}
			expect(t, template.Errors(findings), tt.place, tt.rule, tt.fix)
			for _, f := range template.Errors(findings) {
				if f.Rule == tt.rule && f.Place() == tt.place && !strings.Contains(f.Expected, tt.expected) {
					t.Errorf("expected %q, want %q", f.Expected, tt.expected)
				}
			}
		})
	}
}

// TestInterpreter_finds_what_Python_refuses_to_compile: the parser alone takes some of them.
func TestInterpreter_finds_what_Python_refuses_to_compile(t *testing.T) {
	s, err := sandbox.New(t.Context(), sandbox.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("sandbox: %v (install: sudo apt-get install -y bubblewrap python3)", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	wrong := map[string]int{ // a source, and the line of its error
		"x = (1\ny = 2\n":                      1,
		"def f():\nreturn 1\n":                 2,
		"if True:\n    x = 1\n  y = 2\n":       3,
		"print 'done'\n":                       1,
		"x = 1\nreturn x\n":                    2,
		"for i in x:\n    pass\nbreak\n":       3,
		"def f(a, a):\n    pass\n":             1,
		"\n\nx = 'never ends\n":                3,
		"import os\nfrom os import\n":          2,
		"x = 1\n\tif x:\n\t\tpass\n":           2,
		"async = 1\n":                          1,
		"def f():\n    x = 1\n\ty = 2\n":       3,
		"from __future__ import braces\n":      1,
		"nonlocal x\n":                         1,
		"x = 0777\n":                           1,
		"f(a=1, 2)\n":                          1,
		"match = {\n'a': 1\n'b': 2}\n":         2,
		"class A\n    pass\n":                  1,
		"x = \"\"\"open\n\n":                   1,
		"# -*- coding: klingon -*-\nx = 1\n":   1,
		"lambda: (yield)\nawait x\n":           2,
		"try:\n    x = 1\ny = 2\n":             3,
		"else:\n    pass\n":                    1,
		"1 = x\n":                              1,
		"x = {1: 2, **}\n":                     1,
		"def f(x=1, y):\n    pass\n":           1,
		"from a import *, b\n":                 1,
		"while True print(1)\n":                1,
		"@\ndef f(): pass\n":                   1,
		"del f()\n":                            1,
		"def f():\n    global x\n    x: int\n": 3,
	}
	sources := map[string][]byte{}
	for source := range wrong {
		sources[source] = []byte(source)
	}
	said := template.NewInterpreter(s, nil).Parse(t.Context(), sources)
	for source, line := range wrong {
		if got := said[source]; got.Err != nil || got.Message == "" || got.Line != line {
			t.Errorf("%q: %+v, want line %d", source, got, line)
		}
	}
}

// TestLoad_leaves_out_runs_of_earlier_studies: they would be drawn as if they had been measured now.
func TestLoad_leaves_out_runs_of_earlier_studies(t *testing.T) {
	files := good()
	files["run_1/final_info.json"] = "{"
	files["run_12/model.pt"] = "x"
	files["data/run_1/a.csv"] = "1"
	files["run_1.py"] = "def broken(:\n"
	got, findings := load(tree(files))
	if got == nil || len(findings) != 1 || findings[0].Rule != "run.left-over" || findings[0].Place() != "run_1" || got.Files != len(files)-2 {
		t.Errorf("%+v %v", got, findings)
	}
}

// TestLoad_takes_odd_files_of_others: what Python and the writer can read, and what no study reads, refuses no folder of another's format.
func TestLoad_takes_odd_files_of_others(t *testing.T) {
	files := good()
	delete(files, "template.yaml")
	files["old.py"] = "# -*- coding: latin-1 -*-\nname = 'caf\xe9'\nimport scipy\n"
	files["requirements.txt"] = "\xff\xfen\x00u\x00m\x00p\x00y\x00"
	files["Old.py"] = "import scipy\n"
	files["plot.py"] = "import matplotlib\nif False:\n    import wandb\nif __name__ == '__main__':\n    import pandas\n    matplotlib.savefig('a.png')\n"
	files["run_0/final_info.json"] = `{"a": {"means": {"train_time": 1, "b": 2}}, "c": {"means": {"train_time": 1, "b": 2}}}`
	got, findings := load(tree(files))
	if got == nil {
		t.Fatalf("refused: %v", template.Errors(findings))
	}
	if want := "matplotlib pandas scipy"; strings.Join(got.Python.Modules, " ") != want || got.Python.Requirements != "" {
		t.Errorf("modules %v, want %s; requirements %q", got.Python.Modules, want, got.Python.Requirements)
	}
	count := map[string]int{}
	for _, f := range findings {
		count[f.Rule]++
	}
	if count["file.encoding"] != 2 || count["file.twin"] != 1 || count["metric.time"] != 1 {
		t.Errorf("findings: %v", findings)
	}
	m := tree(files)
	m["template.yaml"] = &fstest.MapFile{Data: []byte("elsewhere"), Mode: 0o777 | 1<<27} // fs.ModeSymlink
	if got, findings := load(m); got != nil {
		t.Errorf("settings that are a link were passed over: %v", findings)
	}
}
