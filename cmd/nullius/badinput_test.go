package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// spoil changes a good template's folder.
type spoil func(t *testing.T, dir string)

func put(name, text string) spoil {
	return func(t *testing.T, dir string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func without(name string) spoil {
	return func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// swap replaces a text that must be there.
func swap(name, from, to string) spoil {
	return func(t *testing.T, dir string) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(data, []byte(from)) {
			t.Fatalf("%s lacks %q (%v)", name, from, err)
		}
		put(name, strings.Replace(string(data), from, to, 1))(t, dir)
	}
}

func link(name, to string) spoil {
	return func(t *testing.T, dir string) {
		_ = os.Remove(filepath.Join(dir, name)) // it may not be there
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

const baselineNaN = `{"noisy": {"means": {"test_error": NaN}}}`

// brokenTemplates are refused by the server with file, line and rule; of each the message must hold the text.
var brokenTemplates = map[string]struct {
	spoil spoil
	want  string
}{
	"no experiment":           {without("experiment.py"), "experiment.py file.missing"},
	"no plot":                 {without("plot.py"), "plot.py file.missing"},
	"no prompt":               {without("prompt.json"), "prompt.json file.missing"},
	"no ideas":                {without("seed_ideas.json"), "seed_ideas.json file.missing"},
	"empty experiment":        {put("experiment.py", ""), "experiment.py:1 file.empty"},
	"empty prompt":            {put("prompt.json", ""), "prompt.json:1 file.empty"},
	"empty ideas":             {put("seed_ideas.json", "\n"), "seed_ideas.json:1 file.empty"},
	"cut JSON":                {put("prompt.json", `{"system": "x", "task_description": "y"`), "prompt.json:1:40 json.syntax"},
	"prompt is a list":        {put("prompt.json", `["system"]`), "prompt.json:1:1 prompt.type"},
	"prompt lacks a key":      {put("prompt.json", `{"system": "x"}`), "prompt.json:1:1 prompt.task_description"},
	"prompt of a number":      {put("prompt.json", `{"system": 7, "task_description": "y"}`), "prompt.json:1:12 prompt.system"},
	"ideas are no list":       {put("seed_ideas.json", `{"Name": "x"}`), "seed_ideas.json:1:1 seed-idea.list"},
	"idea is a text":          {put("seed_ideas.json", `["x"]`), "seed_ideas.json:1:2 seed-idea.type"},
	"idea's name":             {put("seed_ideas.json", `[{"Name": "My Idea", "Title": "t", "Experiment": "e"}]`), `try "my_idea"`},
	"UTF-16 ideas":            {put("seed_ideas.json", "\xff\xfe[\x00]\x00"), "seed_ideas.json:1"},
	"UTF-8 mark before JSON":  {put("prompt.json", "\xef\xbb\xbf{}"), "prompt.json:1"},
	"Latin-1 Python":          {swap("experiment.py", "import", "# \xe4\nimport"), "file.encoding"},
	"NUL in Python":           {swap("experiment.py", "import", "# \x00\nimport"), "file.encoding"},
	"Python syntax":           {swap("experiment.py", "import", "def (:\nimport"), "python.syntax"},
	"no --out_dir":            {put("experiment.py", "print(1)\n"), "experiment.py:1 experiment.out-dir"},
	"required argument":       {swap("experiment.py", "parser.add_argument(", "parser.add_argument('--rate', required=True)\n    parser.add_argument("), "experiment.required-argument"},
	"unknown key":             {swap("template.yaml", "pool: cpu", "pol: cpu"), "template.yaml:6:1 template.unknown-key"},
	"wrong type":              {swap("template.yaml", "time_limit: 5m", "time_limit: [5]"), "template.yaml:7:13 template.time_limit"},
	"not YAML":                {put("template.yaml", "title: [\n"), "template.yaml"},
	"refused variable":        {swap("template.yaml", "pool: cpu", "pool: cpu\nenv: {LD_PRELOAD: x}"), "template.env.refused"},
	"glob that leaves":        {swap("template.yaml", "pool: cpu", "pool: cpu\nprotected: [../x]"), "template.protected"},
	"primary without a way":   {swap("template.yaml", "primary: {dataset: noisy, metric: test_error, direction: minimize}\nmetrics:\n  test_error: {direction: minimize,", "primary: {dataset: noisy, metric: test_error}\nmetrics:\n  test_error: {"), "template.primary.direction"},
	"NaN baseline":            {put("run_0/final_info.json", baselineNaN), "run_0/final_info.json:1:36 primary.not-finite"},
	"baseline without means":  {put("run_0/final_info.json", `{"noisy": {}}`), "run_0.means"},
	"baseline is no JSON":     {put("run_0/final_info.json", "see notes"), "json.syntax"},
	"link outward":            {link("data.txt", "/etc/passwd"), "data.txt"},
	"experiment is a link":    {link("experiment.py", "/etc/passwd"), "experiment.py"},
	"twins in case":           {put("Plot.py", "x = 1\n"), "plot.py"},
	"control character":       {put("a\x01b", ""), `a\x01b`},
	"oversized text":          {put("plot.py", strings.Repeat("# x\n", 1<<20)), "plot.py"},
	"data of another hash":    {swap("template.yaml", "pool: cpu", "pool: cpu\ndata: [{path: plot.py, sha256: "+strings.Repeat("0", 64)+"}]"), "data.hash"},
	"unwritable requirements": {swap("template.yaml", `python: {min: "3.9"}`, "python: {requirements: none.txt}"), "template.python.requirements"},
}

// serving starts the all-in-one in this process and gives its address.
func serving(t *testing.T) string {
	t.Helper()
	s, err := startSuite(t.Context(), suiteConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Log: telemetry.NewLogger(os.Stderr, "error")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.host.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s.gateway.Address()
}

// TestRun_badTemplates: what breaks the contract is refused with place and rule before anything is begun or paid.
func TestRun_badTemplates(t *testing.T) {
	t.Parallel()
	checked := []string{"no plot", "not YAML", "Python syntax", "link outward"} // by the command too, which opens a sandbox each time
	address, f := serving(t), newModel(t)
	for name, tt := range brokenTemplates {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mine")
			if err := template.Init(dir); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, dir)
			code, out, errOut := nullius(t, "run", dir, "--address", address, "--model", f.name, "--results", filepath.Join(t.TempDir(), "results"))
			if code != exitError || out != "" || !strings.Contains(errOut, "TEMPLATE_INVALID") || !strings.Contains(errOut, tt.want) || !strings.Contains(errOut, "\nnext: nullius ") {
				t.Errorf("exit code %d, want %q\n%s%s", code, tt.want, out, errOut)
			}
			if !soaking() && !slices.Contains(checked, name) {
				return
			}
			if code, out, _ := nullius(t, "template", "check", dir); code != exitError || !strings.HasPrefix(out, "error: ") {
				t.Errorf("template check: exit code %d\n%s", code, out)
			}
		})
	}
	untouched(t, address, f)
}

// TestRun_badSettings: what cannot be is refused with the next command before anything is begun or paid.
func TestRun_badSettings(t *testing.T) {
	for _, v := range []string{"OPENAI_API_KEY", "OPENAI_API_KEY_FILE"} {
		t.Setenv(v, "")
	}
	address, f := serving(t), newModel(t)
	dir := filepath.Join(t.TempDir(), "mine")
	if err := template.Init(dir); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(t.TempDir(), "module")
	if err := template.Init(module); err != nil {
		t.Fatal(err)
	}
	swap("experiment.py", "import", "import no_such_module\nimport")(t, module)
	ideas := filepath.Join(t.TempDir(), "ideas.json")
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such folder":       {[]string{"/nowhere/at/all", "--model", f.name}, exitError, "TEMPLATE_UNKNOWN"},
		"a file":               {[]string{filepath.Join(dir, "plot.py"), "--model", f.name}, exitError, "TEMPLATE_UNKNOWN"},
		"no model":             {[]string{dir}, exitUsage, "--model is needed"},
		"missing module":       {[]string{module, "--model", f.name}, exitPreflight, "no_such_module"},
		"unknown provider":     {[]string{dir, "--model", "nosuch/model"}, exitError, "MODEL_UNKNOWN"},
		"unknown coder model":  {[]string{dir, "--model", f.name, "--coder-model", "nosuch/model"}, exitError, "MODEL_UNKNOWN"},
		"no key":               {[]string{dir, "--model", "openai/gpt-4o"}, exitAuth, "OPENAI_API_KEY"},
		"budget unpriced":      {[]string{dir, "--model", f.name, "--budget", "5"}, exitPreflight, "MODEL_UNPRICED"},
		"no recording":         {[]string{dir, "--model", "recording/" + dir}, exitError, "RECORDING_MISSING"},
		"unknown recording":    {[]string{dir, "--model", "recording/" + strings.Repeat("0", 64)}, exitError, "RECORDING_MISSING"},
		"unknown stage":        {[]string{dir, "--model", f.name, "--until", "the-end"}, exitError, "settings.until"},
		"unknown engine":       {[]string{dir, "--model", f.name, "--engine", "gogle"}, exitError, "settings.engine"},
		"unknown size":         {[]string{dir, "--model", f.name, "--size", "full"}, exitError, "settings.size"},
		"negative ideas":       {[]string{dir, "--model", f.name, "--ideas", "-1"}, exitError, "settings.ideas"},
		"negative budget":      {[]string{dir, "--model", f.name, "--budget", "-1"}, exitUsage, "--budget"},
		"budget of nothing":    {[]string{dir, "--model", f.name, "--budget", "NaN"}, exitUsage, "--budget"},
		"budget of everything": {[]string{dir, "--model", f.name, "--budget", "1e300"}, exitUsage, "--budget"},
		"bad reviewer":         {[]string{dir, "--model", f.name, "--reviewer", "not an address"}, exitError, "settings.reviewer"},
		"nobody reviews":       {[]string{dir, "--model", f.name, "--reviewer", "dns:///" + freePort(t)}, exitPreflight, "settings.reviewer: does not answer"},
		"no reviewer":          {[]string{dir, "--model", f.name, "--reviewer", "dns:///" + address}, exitPreflight, "settings.reviewer: does not say which papers it reads"},
		"no ideas file":        {[]string{dir, "--model", f.name, "--ideas-file", ideas}, exitError, "ideas.json"},
		"unknown flag":         {[]string{dir, "--modell", f.name}, exitUsage, "unknown flag"},
		"no argument":          {nil, exitUsage, "arg(s)"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := nullius(t, append([]string{"run", "--address", address, "--results", filepath.Join(t.TempDir(), "results")}, tt.args...)...)
			if code != tt.code || out != "" || !strings.Contains(errOut, tt.want) || !strings.Contains(errOut, "next: ") {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, tt.code, tt.want, out, errOut)
			}
		})
	}
	untouched(t, address, f)
}

// untouched checks that nothing began and nothing was paid.
func untouched(t *testing.T, address string, f *model) {
	t.Helper()
	cl, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.conn.Close()
	list, err := cl.ListStudies(t.Context(), &gatewayv1.ListStudiesRequest{})
	if err != nil || len(list.GetStudies()) > 0 {
		t.Errorf("studies began: %v %v", list.GetStudies(), err)
	}
	if n := f.Calls(); n > 0 {
		t.Errorf("%d calls were paid for", n)
	}
}

// TestRun_experimentThatWritesNothing: the baseline fails before the first paid call, and the message says why.
func TestRun_experimentThatWritesNothing(t *testing.T) {
	t.Parallel()
	address := serving(t)
	for name, tt := range map[string]struct{ script, want string }{
		"writes nothing":  {"import argparse\np = argparse.ArgumentParser()\np.add_argument('--out_dir')\np.parse_args()\n", "final_info.json"},
		"crashes":         {"import argparse\np = argparse.ArgumentParser()\np.add_argument('--out_dir')\nraise ValueError('no luck')\n", "no luck"},
		"writes a list":   {writes(`[]`), "final_info.json"},
		"writes no means": {writes(`{"noisy": {"mean": 1}}`), "means"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newModel(t)
			dir := filepath.Join(t.TempDir(), "mine")
			if err := template.Init(dir); err != nil {
				t.Fatal(err)
			}
			put("experiment.py", tt.script)(t, dir)
			code, out, errOut := nullius(t, "run", dir, "--address", address, "--model", f.name, "--results", filepath.Join(t.TempDir(), "results"))
			if code != exitUnwanted || !strings.Contains(out, "BASELINE_FAILED") && !strings.Contains(out, "baseline failed") || !strings.Contains(out, tt.want) || !strings.Contains(out, "next: ") {
				t.Errorf("exit code %d, want %q\n%s%s", code, tt.want, out, errOut)
			}
			if f.Calls() > 0 {
				t.Error("a call was paid for")
			}
			resp, err := http.Get("http://" + address + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			home, err := io.ReadAll(resp.Body)
			if study := strings.Fields(strings.SplitAfter(errOut, "study ")[1])[0]; err != nil || !strings.Contains(string(home), `data-k="f-`+strings.TrimSuffix(study, ":")+`"`) {
				t.Errorf("the first page does not list %s among what failed (%v)", study, err)
			}
		})
	}
}

// writes is an experiment that writes a text as its result.
func writes(result string) string {
	return "import argparse, os\np = argparse.ArgumentParser()\np.add_argument('--out_dir')\nd = p.parse_args().out_dir\nos.makedirs(d, exist_ok=True)\n" +
		"open(os.path.join(d, 'final_info.json'), 'w').write('''" + result + "''')\n"
}

// TestTemplateBaseline_comparesWithWhatIsExpected: a number outside its tolerance fails, and says by how much.
func TestTemplateBaseline_comparesWithWhatIsExpected(t *testing.T) {
	t.Parallel()
	for want, code := range map[string]int{"min: 0, max: 1": exitDone, "value: 7, abs: 0.1": exitError} {
		dir := filepath.Join(t.TempDir(), "mine")
		if err := template.Init(dir); err != nil {
			t.Fatal(err)
		}
		swap("template.yaml", "pool: cpu", "pool: cpu\nexpected: {smoke: {noisy/test_error: {"+want+"}}}")(t, dir)
		got, out, errOut := nullius(t, "template", "baseline", dir, "--size", "smoke")
		if got != code || !strings.Contains(out, "test_error") || (code == exitError) != strings.Contains(errOut, "baseline.tolerance") {
			t.Errorf("%s: exit code %d, want %d\n%s%s", want, got, code, out, errOut)
		}
	}
}

// TestServe_refusesWhatCannotBe: a second server on a folder or port, and folders and addresses that are none, each end with the next command.
func TestServe_refusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	lock, err := natsd.Lock(used)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(t.TempDir(), "file")
	put(filepath.Base(file), "")(t, filepath.Dir(file))
	for name, tt := range map[string]struct {
		dir, listen, want string
		code              int
	}{
		"a folder in use":    {used, "127.0.0.1:0", "DATA_DIR_LOCKED", exitError},
		"a port in use":      {t.TempDir(), l.Addr().String(), "ADDRESS_IN_USE", exitError},
		"a file as folder":   {file, "127.0.0.1:0", "STORAGE_UNUSABLE: the data folder " + file + " cannot be made: not a directory", exitError},
		"no address":         {t.TempDir(), "nonsense", "FIELD_INVALID", exitError},
		"open to the world":  {t.TempDir(), "0.0.0.0:0", "PREFLIGHT_FAILED", exitPreflight},
		"nobody's interface": {t.TempDir(), "192.0.2.1:0", "PREFLIGHT_FAILED", exitPreflight},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errOut := nullius(t, "serve", "--data-dir", tt.dir, "--listen", tt.listen)
			if code != tt.code || !strings.Contains(errOut, tt.want) || !strings.Contains(errOut, "next: ") {
				t.Errorf("exit code %d, want %d and %q\n%s", code, tt.code, tt.want, errOut)
			}
		})
	}
}
