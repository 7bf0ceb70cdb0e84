package template_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nullius.dev/gateway/template"
)

// broken is one way to spoil the good template, and the finding it must give.
type broken struct {
	name  string
	file  string
	old   string // replaced by new; empty: new is the whole file
	new   string
	drop  bool // the file is removed
	place string
	rule  string
	fix   string // part of the fix, if it matters
}

var brokenTemplates = []broken{
	{name: "experiment missing", file: "experiment.py", drop: true, place: "experiment.py", rule: "file.missing", fix: "nullius template init"},
	{name: "plot missing", file: "plot.py", drop: true, place: "plot.py", rule: "file.missing"},
	{name: "prompt missing", file: "prompt.json", drop: true, place: "prompt.json", rule: "file.missing"},
	{name: "ideas missing", file: "seed_ideas.json", drop: true, place: "seed_ideas.json", rule: "file.missing"},
	{name: "experiment empty", file: "experiment.py", new: " \n", place: "experiment.py:1", rule: "file.empty"},
	{name: "prompt empty", file: "prompt.json", new: "", place: "prompt.json:1", rule: "file.empty"},
	{name: "settings empty", file: "template.yaml", new: "# nothing\n", place: "template.yaml:1", rule: "file.empty"},
	{name: "experiment not UTF-8", file: "experiment.py", old: "A small", new: "A sm\xe4ll", place: "experiment.py:1:8", rule: "file.encoding"},
	{name: "NUL in the plot", file: "plot.py", old: "plt\n", new: "plt\x00\n", place: "plot.py:1:32", rule: "file.encoding"},
	{name: "prompt is broken JSON", file: "prompt.json", old: "careful.\",", new: "careful.\"", place: "prompt.json:3:3", rule: "json.syntax"},
	{name: "prompt never ends", file: "prompt.json", old: "\n}\n", new: "\n", place: "prompt.json:4:1", rule: "json.syntax"},
	{name: "line break in a JSON string", file: "prompt.json", old: "Find out.", new: "Find\nout.", place: "prompt.json:3:28", rule: "json.syntax", fix: ""},
	{name: "JSON key twice", file: "prompt.json", old: "task_description", new: "system", place: "prompt.json:3:3", rule: "json.syntax"},
	{name: "prompt is a list", file: "prompt.json", new: "[]", place: "prompt.json:1:1", rule: "prompt.type"},
	{name: "prompt without task", file: "prompt.json", new: `{"system": "x"}`, place: "prompt.json:1:1", rule: "prompt.task_description"},
	{name: "prompt with a number", file: "prompt.json", old: `"Find out."`, new: `7`, place: "prompt.json:3:23", rule: "prompt.task_description"},
	{name: "prompt with an unknown key", file: "prompt.json", old: "\"system\"", new: "\"sytem\": \"x\", \"system\"", place: "prompt.json:2:3", rule: "prompt.unknown-key", fix: "system"},
	{name: "ideas are an object", file: "seed_ideas.json", new: "{}", place: "seed_ideas.json:1:1", rule: "seed-idea.list"},
	{name: "an idea is a text", file: "seed_ideas.json", new: `["x"]`, place: "seed_ideas.json:1:2", rule: "seed-idea.type"},
	{name: "an idea's name has spaces", file: "seed_ideas.json", old: "one_idea", new: "My Idea", place: "seed_ideas.json:3:13", rule: "seed-idea.name", fix: `"my_idea"`},
	{name: "an idea without experiment", file: "seed_ideas.json", old: "    \"Experiment\": \"Try it.\",\n", new: "", place: "seed_ideas.json:2:3", rule: "seed-idea.experiment"},
	{name: "a rating of eleven", file: "seed_ideas.json", old: "\"Novelty\": 7", new: "\"Novelty\": 11", place: "seed_ideas.json:8:16", rule: "seed-idea.rating"},
	{name: "a misspelt idea key", file: "seed_ideas.json", old: "Feasibility", new: "Feasability", place: "seed_ideas.json:7:5", rule: "seed-idea.unknown-key", fix: "Feasibility"},
	{name: "Python syntax", file: "experiment.py", old: "seeds = range(3)", new: "def broken(:\n    seeds", place: "experiment.py:13", rule: "python.syntax"},
	{name: "Python syntax in a module", file: "evaluate.py", new: "# test\ndef broken(:\n", place: "evaluate.py:2", rule: "python.syntax"},
	{name: "no --out_dir", file: "experiment.py", old: "--out_dir", new: "--folder", place: "experiment.py:1", rule: "experiment.out-dir"},
	{name: "--out-dir with a dash", file: "experiment.py", old: "--out_dir", new: "--out-dir", place: "experiment.py:10:21", rule: "experiment.out-dir", fix: "--out_dir"},
	{name: "--out_dir only in a comment", file: "experiment.py", old: "parser.add_argument(\"--out_dir\"", new: "# --out_dir\nparser.add_argument(\"--x\"", place: "experiment.py:1", rule: "experiment.out-dir"},
	{name: "another required argument", file: "experiment.py", old: "default=0.1", new: "required=True", place: "experiment.py:11:8", rule: "experiment.required-argument"},
	{name: "a positional argument", file: "experiment.py", old: "\"--rate\", type=float, default=0.1", new: "\"rate\", type=float", place: "experiment.py:11:8", rule: "experiment.required-argument"},
	{name: "YAML with a tab", file: "template.yaml", old: "  lite:", new: "\tlite:", place: "template.yaml:4", rule: "yaml.syntax", fix: "spaces"},
	{name: "two YAML documents", file: "template.yaml", old: "pool: cpu", new: "---\npool: cpu", place: "template.yaml:5", rule: "yaml.document"},
	{name: "settings are a list", file: "template.yaml", new: "- a\n", place: "template.yaml:1:1", rule: "template.template"},
	{name: "unknown key", file: "template.yaml", old: "time_limit", new: "timelimit", place: "template.yaml:6:1", rule: "template.unknown-key", fix: "time_limit"},
	{name: "unknown size", file: "template.yaml", old: "smoke:", new: "smok:", place: "template.yaml:3:3", rule: "template.unknown-key", fix: "smoke"},
	{name: "key twice", file: "template.yaml", old: "pool: cpu", new: "title: again", place: "template.yaml:5:1", rule: "template.duplicate-key"},
	{name: "an alias", file: "template.yaml", old: "title: A small template", new: "title: &a x\nprepare: *a", place: "template.yaml:2:10", rule: "template.template"},
	{name: "bad pool", file: "template.yaml", old: "pool: cpu", new: "pool: gpus", place: "template.yaml:5:7", rule: "template.pool", fix: "gpu"},
	{name: "bad duration", file: "template.yaml", old: "10m", new: "10 minutes", place: "template.yaml:6:13", rule: "template.time_limit"},
	{name: "duration without unit", file: "template.yaml", old: "10m", new: "600", place: "template.yaml:6:13", rule: "template.time_limit"},
	{name: "negative seconds", file: "template.yaml", old: "seconds: 2", new: "seconds: -2", place: "template.yaml:4:19", rule: "template.sizes.seconds"},
	{name: "bad memory", file: "template.yaml", old: "64MiB", new: "64 megs", place: "template.yaml:3:31", rule: "template.sizes.memory"},
	{name: "Python version as a number", file: "template.yaml", old: `"3.9"`, new: "3.10", place: "template.yaml:7:15", rule: "template.python.min", fix: `min: "3.10"`},
	{name: "modules as a text", file: "template.yaml", old: "[matplotlib]", new: "matplotlib", place: "template.yaml:7:31", rule: "template.python.modules"},
	{name: "requirements not there", file: "template.yaml", old: "modules: [matplotlib]", new: "requirements: reqs.txt", place: "template.yaml:7:36", rule: "template.python.requirements"},
	{name: "primary without direction", file: "template.yaml", old: ", direction: minimize}\nmetrics: {test_error: minimize, gap: none}", new: "}", place: "template.yaml:8:10", rule: "template.primary.direction"},
	{name: "primary with both directions", file: "template.yaml", old: "test_error: minimize", new: "test_error: maximize", place: "template.yaml:8:54", rule: "template.primary.direction"},
	{name: "primary not among the metrics", file: "template.yaml", old: "metric: test_error", new: "metric: test_eror", place: "template.yaml:8:31", rule: "template.primary.metric", fix: "test_error"},
	{name: "primary without dataset", file: "template.yaml", old: "dataset: d, ", new: "", place: "template.yaml:8:10", rule: "template.primary.dataset"},
	{name: "bad direction", file: "template.yaml", old: "gap: none", new: "gap: down", place: "template.yaml:9:38", rule: "template.metrics"},
	{name: "glob that leaves", file: "template.yaml", old: "[evaluate.py]", new: "[../evaluate.py]", place: "template.yaml:11:13", rule: "template.protected"},
	{name: "absolute glob", file: "template.yaml", old: "[evaluate.py]", new: "[/etc/passwd]", place: "template.yaml:11:13", rule: "template.protected"},
	{name: "glob with an open bracket", file: "template.yaml", old: "[evaluate.py]", new: `["[a"]`, place: "template.yaml:11:13", rule: "template.protected"},
	{name: "experiment not editable", file: "template.yaml", old: "[experiment.py, plot.py]", new: "[plot.py]", place: "template.yaml:10:11", rule: "template.editable"},
	{name: "experiment protected", file: "template.yaml", old: "[evaluate.py]", new: "[\"*.py\"]", place: "template.yaml:11:12", rule: "template.protected"},
	{name: "refused variable", file: "template.yaml", old: "MY_FLAG", new: "LD_PRELOAD", place: "template.yaml:12:19", rule: "template.env.refused"},
	{name: "variable with a list", file: "template.yaml", old: "\"1\"", new: "[1]", place: "template.yaml:12:16", rule: "template.env"},
	{name: "expectation without tolerance", file: "template.yaml", old: "env:", new: "expected: {lite: {d/gap: {value: 1}}}\nenv:", place: "template.yaml:12:26", rule: "template.expected"},
	{name: "data without a hash", file: "template.yaml", old: "env:", new: "data: [{path: data/a.bin}]\nenv:", place: "template.yaml:12:8", rule: "template.data.sha256"},
	{name: "data over plain http", file: "template.yaml", old: "env:", new: "data: [{path: x, generated: true, url: \"http://a/b\"}]\nenv:", place: "template.yaml:12:40", rule: "template.data.url"},
	{name: "data of wrong hash", file: "template.yaml", old: "env:", new: "data: [{path: plot.py, sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "plot.py", rule: "data.hash"},
	{name: "data of wrong size", file: "template.yaml", old: "env:", new: "data: [{path: plot.py, bytes: 3, sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "plot.py", rule: "data.size"},
	{name: "run_0 without results", file: "run_0/final_info.json", drop: true, place: "run_0/final_info.json", rule: "run_0.results"},
	{name: "run_0 is broken JSON", file: "run_0/final_info.json", old: "0.5,", new: "0,5,", place: "run_0/final_info.json:2:35", rule: "json.syntax"},
	{name: "run_0 not UTF-8", file: "run_0/final_info.json", old: "gap", new: "g\xe4p", place: "run_0/final_info.json:2:40", rule: "file.encoding"},
	{name: "run_0 nested too deep", file: "run_0/final_info.json", new: strings.Repeat(`{"a":`, 18) + "1" + strings.Repeat("}", 18), place: "run_0/final_info.json:1:86", rule: "json.syntax"},
	{name: "run_0 with too many numbers", file: "run_0/final_info.json", new: `{"d": {"means": {"test_error": 1, "gap": 1}, "x": [` + strings.Repeat("0,", 10_000) + `0]}}`, place: "run_0/final_info.json", rule: "run_0.results"},
	{name: "run_0 over 8 MiB", file: "run_0/final_info.json", new: strings.Repeat(" ", 8<<20+1), place: "run_0/final_info.json", rule: "run_0.results"},
	{name: "run_0 with a key twice", file: "run_0/final_info.json", old: "gap", new: "test_error", place: "run_0/final_info.json:2:38", rule: "json.syntax"},
	{name: "a primary metric that is a text", file: "run_0/final_info.json", old: "0.5,", new: `"low",`, place: "run_0/final_info.json:2:33", rule: "primary.not-finite"},
	{name: "data outside the root", file: "template.yaml", old: "env:", new: "data: [{path: ../a, sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "template.yaml:12:15", rule: "template.data.path"},
	{name: "data twice", file: "template.yaml", old: "env:", new: "prepare: evaluate.py\ndata: [{path: a, generated: true}, {path: a, generated: true}]\nenv:", place: "template.yaml:13:43", rule: "template.data.path"},
	{name: "generated data without a script", file: "template.yaml", old: "env:", new: "data: [{path: a, generated: true}]\nenv:", place: "template.yaml:12:8", rule: "template.data.generated"},
	{name: "prepare script outside the root", file: "template.yaml", old: "env:", new: "prepare: ../prepare.py\nenv:", place: "template.yaml:12:10", rule: "template.prepare"},
	{name: "requirements with an address", file: "requirements.txt", new: "numpy==1.26\nhttps://example.org/a.whl\n", place: "requirements.txt:2", rule: "requirements.line"},
	{name: "requirements with an option", file: "requirements.txt", new: "--index-url x\n", place: "requirements.txt:1", rule: "requirements.line"},
	{name: "requirements with a path", file: "requirements.txt", new: "./here\n", place: "requirements.txt:1", rule: "requirements.line"},
	{name: "run_0 without means", file: "run_0/final_info.json", old: "means", new: "mean", place: "run_0/final_info.json:2:3", rule: "run_0.means"},
	{name: "run_0 without the primary metric", file: "run_0/final_info.json", old: "\"test_error\": 0.5", new: "\"other\": 0.5", place: "run_0/final_info.json:2:18", rule: "primary.missing"},
	{name: "run_0 without the primary dataset", file: "run_0/final_info.json", old: "\"d\"", new: "\"e\"", place: "run_0/final_info.json:1:1", rule: "primary.missing"},
	{name: "NaN baseline", file: "run_0/final_info.json", old: "0.5,", new: "NaN,", place: "run_0/final_info.json:2:33", rule: "primary.not-finite"},
	{name: "a name with a control character", file: "a\x01b.txt", new: "x", place: `a\x01b.txt`, rule: "file.path"},
	{name: "a name with a backslash", file: `a\b.txt`, new: "x", place: `a\\b.txt`, rule: "file.path"},
	{name: "a byte order mark before JSON", file: "prompt.json", old: "{\n  \"system\"", new: "\ufeff{\n  \"system\"", place: "prompt.json:1:1", rule: "json.syntax"},
	{name: "a comment in JSON", file: "prompt.json", old: "{\n", new: "{ // who\n", place: "prompt.json:1:3", rule: "json.syntax"},
	{name: "a tag in YAML", file: "template.yaml", old: "pool: cpu", new: "pool: !!python/object:os.system cpu", place: "template.yaml:5:7", rule: "template.tag"},
	{name: "a merge key", file: "template.yaml", old: "lite: {seconds: 2}", new: "lite: {<<: {seconds: 2}}", place: "template.yaml:4:10", rule: "template.sizes"},
	{name: "a colon in a title", file: "template.yaml", old: "A small template", new: "Small: a template", place: "template.yaml:1", rule: "yaml.syntax", fix: "quotes"},
	{name: "sizes of nothing", file: "template.yaml", old: "  smoke: {seconds: 1, memory: 64MiB}\n  lite: {seconds: 2}\n", new: "", place: "template.yaml:2:7", rule: "template.sizes"},
	{name: "a range without numbers", file: "template.yaml", old: "env:", new: "expected: {lite: {d/gap: {min: 2, max: 1}}}\nenv:", place: "template.yaml:12:26", rule: "template.expected"},
	{name: "a tolerance below 0", file: "template.yaml", old: "env:", new: "expected: {lite: {d/gap: {value: 2, rel: -1}}}\nenv:", place: "template.yaml:12:26", rule: "template.expected"},
	{name: "an expectation of no size", file: "template.yaml", old: "env:", new: "expected: {full: {d/gap: {min: 2}}}\nenv:", place: "template.yaml:12:18", rule: "template.expected"},
	{name: "a relative import", file: "experiment.py", old: "import evaluate", new: "from .evaluate import score", place: "experiment.py:7:6", rule: "python.relative-import", fix: "from evaluate import score"},
	{name: "a notebook", file: "experiment.py", new: "{\"cells\": [{\"source\": [\"seed test\"]}], \"nbformat\": 4}\n", place: "experiment.py:1", rule: "experiment.out-dir", fix: "nbconvert"},
	{name: "requirements with extras", file: "requirements.txt", new: "torch[cuda]==2.1\n", place: "requirements.txt:1", rule: "requirements.line", fix: "torch==2.1"},
	{name: "run_0 without datasets", file: "run_0/final_info.json", new: `{"means": {"test_error": 0.5}, "stderrs": {"test_error": 0.1}}`, place: "run_0/final_info.json:1:2", rule: "run_0.means", fix: "my_data"},
	{name: "run_0 with numbers in quotes", file: "run_0/final_info.json", old: "0.5, \"gap\": 0.1", new: `"0.5"`, place: "run_0/final_info.json:2:18", rule: "run_0.means"},
	{name: "names that differ in case", file: "Plot.py", new: "x = 1\n", place: "plot.py", rule: "file.twin"},
}

func TestLoad_refuses_broken_templates_with_file_line_and_rule(t *testing.T) {
	for _, tt := range brokenTemplates {
		t.Run(tt.name, func(t *testing.T) {
			files := good()
			switch {
			case tt.drop:
				delete(files, tt.file)
				files[filepath.Join(filepath.Dir(tt.file), "keep.txt")] = "so that the folder stays\n"
			case tt.old != "":
				if !strings.Contains(files[tt.file], tt.old) {
					t.Fatalf("%q is not in the good %s", tt.old, tt.file)
				}
				files[tt.file] = strings.Replace(files[tt.file], tt.old, tt.new, 1)
			default:
				files[tt.file] = tt.new
			}
			if tt.file == "requirements.txt" {
				files["template.yaml"] = strings.Replace(files["template.yaml"], "modules:", "requirements: requirements.txt, modules:", 1)
			}
			got, findings := load(tree(files))
			if got != nil {
				t.Errorf("loaded, with %v", findings)
			}
			expect(t, template.Errors(findings), tt.place, tt.rule, tt.fix)
		})
	}
}

func TestLoad_warns_of_what_makes_numbers_hard_to_trust(t *testing.T) {
	tests := []broken{
		{name: "CRLF", file: "plot.py", old: "plt\n", new: "plt\r\n", place: "plot.py:1", rule: "file.crlf", fix: "sed"},
		{name: "one seed", file: "experiment.py", old: "range(3)", new: "range(1)", place: "experiment.py:13:1", rule: "experiment.one-seed"},
		{name: "no seed", file: "experiment.py", old: "seeds = range(3)", new: "", place: "experiment.py", rule: "experiment.one-seed"},
		{name: "no held-out metric", file: "evaluate.py", new: "# nothing\n", place: "experiment.py", rule: "experiment.held-out"},
		{name: "a time among the metrics", file: "run_0/final_info.json", old: "\"gap\"", new: "\"train_time\"", place: "run_0/final_info.json:2:38", rule: "metric.time"},
		{name: "unguarded cuda", file: "experiment.py", old: "seeds =", new: "model.cuda()\nseeds =", place: "experiment.py:13:6", rule: "python.cuda", fix: "is_available"},
		{name: "pickle", file: "experiment.py", old: "seeds =", new: "pickle.dump(x, f)\nseeds =", place: "experiment.py:13:1", rule: "python.pickle"},
		{name: "no figure", file: "plot.py", new: "import matplotlib\n", place: "plot.py:1", rule: "plot.no-figure"},
		{name: "empty plot", file: "plot.py", new: "", place: "plot.py:1", rule: "plot.empty"},
		{name: "missing style", file: "latex/template.tex", old: "article}", new: "article}\n\\usepackage{iclr2024_conference,times}", place: "latex/template.tex:2:1", rule: "latex.style"},
		{name: "undeclared import", file: "evaluate.py", new: "# test\nimport numpy\n", place: "evaluate.py:2:8", rule: "python.undeclared"},
		{name: "glob without a file", file: "template.yaml", old: "[evaluate.py]", new: "[evaluate.py, src/*.py]", place: "template.yaml:11:26", rule: "protected"},
		{name: "a device by name", file: "experiment.py", old: "seeds =", new: "device = 'cuda:0'\nseeds =", place: "experiment.py:13:10", rule: "python.cuda", fix: "is_available"},
		{name: "a path of one machine", file: "experiment.py", old: "seeds =", new: "open('/home/me/train.csv')\nseeds =", place: "experiment.py:13:6", rule: "python.absolute-path"},
		{name: "a path of a drive", file: "experiment.py", old: "seeds =", new: "open('C:\\\\data\\\\train.csv')\nseeds =", place: "experiment.py:13:6", rule: "python.absolute-path"},
		{name: "a download", file: "experiment.py", old: "seeds =", new: "d = CIFAR10('data', download=True)\nseeds =", place: "experiment.py:13:21", rule: "python.network"},
		{name: "a client of servers", file: "experiment.py", old: "import random", new: "import random\nimport openai", place: "experiment.py:6:8", rule: "python.network"},
		{name: "a window", file: "plot.py", old: "import matplotlib.pyplot", new: "import matplotlib\nmatplotlib.use('TkAgg')\nimport matplotlib.pyplot", place: "plot.py:2:16", rule: "plot.window", fix: "Agg"},
		{name: "a module that hides Python's own", file: "random.py", new: "x = 1\n", place: "random.py", rule: "python.shadow"},
		{name: "a secret", file: "template.yaml", old: "MY_FLAG", new: "OPENAI_API_KEY", place: "template.yaml:12:23", rule: "template.env.secret"},
		{name: "a number that is none", file: "run_0/final_info.json", old: "\"gap\": 0.1", new: "\"gap\": NaN", place: "run_0/final_info.json:2:45", rule: "metric.not-finite"},
		{name: "a standard error below 0", file: "run_0/final_info.json", old: "0.01", new: "-0.01", place: "run_0/final_info.json:2:77", rule: "metric.stderr"},
		{name: "no title", file: "latex/template.tex", old: "\\title{TITLE HERE}", new: "% \\title{TITLE HERE}\n", place: "latex/template.tex:1", rule: "latex.frame"},
		{name: "no document", file: "latex/template.tex", new: "Hello\n", place: "latex/template.tex:1", rule: "latex.document", fix: "default article"},
		{name: "a part that is not there", file: "latex/template.tex", old: "\\end{document}", new: "\\input{intro}\n\\end{document}", place: "latex/template.tex:4:1", rule: "latex.input"},
		{name: "data not there", file: "template.yaml", old: "env:", new: "data: [{path: data/a, sha256: " + strings.Repeat("0", 64) + "}]\nenv:", place: "data/a", rule: "data.missing", fix: "putting the file there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := good()
			files[tt.file] = strings.Replace(files[tt.file], tt.old, tt.new, 1)
			if tt.old == "" {
				files[tt.file] = tt.new
			}
			if tt.name == "no held-out metric" {
				files["experiment.py"] = strings.ReplaceAll(files["experiment.py"], "evaluate", "measure")
				files["measure.py"] = "\n"
			}
			got, findings := load(tree(files))
			if got == nil {
				t.Errorf("refused: %v", template.Errors(findings))
			}
			expect(t, findings, tt.place, tt.rule, tt.fix)
		})
	}
}

func TestLoad_refuses_links_and_special_files(t *testing.T) {
	for mode, rule := range map[fs.FileMode]string{fs.ModeSymlink: "file.link", fs.ModeNamedPipe: "file.special", fs.ModeDevice: "file.special"} {
		m := tree(good())
		m["experiment.py"] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: mode | 0o644}
		_, findings := load(m)
		expect(t, template.Errors(findings), "experiment.py", rule, "")
		if len(template.Errors(findings)) != 1 {
			t.Errorf("one cause, several errors: %v", findings)
		}
	}
}

func TestLoad_never_follows_a_link_out_of_the_folder(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte(`{"system": "canary", "task_description": "x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := template.Init(filepath.Join(dir, "t")); err != nil {
		t.Fatal(err)
	}
	prompt := filepath.Join(dir, "t", "prompt.json")
	if err := os.Remove(prompt); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, prompt); err != nil {
		t.Fatal(err)
	}
	got, findings := load(os.DirFS(filepath.Join(dir, "t")))
	if got != nil {
		t.Error("a template with a link was loaded")
	}
	expect(t, template.Errors(findings), "prompt.json", "file.link", "")
}

// expect looks for one finding by place and rule, and for a part of its fix.
func expect(t *testing.T, findings []template.Finding, place, rule, fix string) {
	t.Helper()
	found := slices.ContainsFunc(findings, func(f template.Finding) bool {
		return f.Rule == rule && f.Place() == place && strings.Contains(f.Fix, fix) && f.Found != ""
	})
	if !found {
		t.Errorf("no finding %s at %s (fix %q) in:", rule, place, fix)
		for _, f := range findings {
			t.Errorf("  %s %s", f.Severity, f)
		}
	}
}
