package template_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

func lab(t *testing.T) template.Lab {
	t.Helper()
	s, err := sandbox.New(t.Context(), sandbox.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("sandbox: %v (install: sudo apt-get install -y bubblewrap python3)", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return template.Lab{Runner: s, Finder: s}
}

// starter makes a template and edits it: files by name, "" removes one, and "+x" adds x to it.
func starter(t *testing.T, edits map[string]string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "mine")
	if err := template.Init(dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range edits {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if more, ok := strings.CutPrefix(text, "+"); ok {
			old, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			text = string(old) + more
		}
		err := os.WriteFile(p, []byte(text), 0o644)
		if text == "" {
			err = os.Remove(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loadDir(t *testing.T, dir string) *template.Template {
	t.Helper()
	got, findings := template.Load(os.DirFS(dir), template.Options{Name: "mine"})
	if got == nil {
		t.Fatal(findings)
	}
	return got
}

const argparse = "import argparse, json, os  # seeds, test\np = argparse.ArgumentParser()\np.add_argument('--out_dir')\nd = p.parse_args().out_dir\n"

func TestLab_tries_the_smallest_size(t *testing.T) {
	l := lab(t)
	dir := starter(t, nil)
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	trial, findings, err := l.Try(t.Context(), dir, loadDir(t, dir))
	if err != nil || len(findings) > 0 || trial.Size != "smoke" || trial.Wall <= 0 || trial.Memory == 0 || !slices.Equal(trial.Figures, []string{"test_error.png"}) {
		t.Errorf("%+v %v %v", trial, findings, err)
	}
	if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
		t.Errorf("the template itself was written to: %v %v", after, err)
	}
}

func TestLab_names_what_fails_when_it_runs(t *testing.T) {
	l := lab(t)
	writes := func(text string) string {
		return argparse + "open(os.path.join(d, 'final_info.json'), 'w').write('''" + text + "''')\n"
	}
	for name, tt := range map[string]struct {
		edits             map[string]string
		place, rule, says string
	}{
		"a crash":               {map[string]string{"experiment.py": argparse + "import tools\ntools.f()\n", "tools.py": "def f():\n    raise ValueError('no luck')\n"}, "tools.py:2", "run.failed", "no luck"},
		"no results":            {map[string]string{"experiment.py": argparse}, "experiment.py", "run.results", "final_info.json"},
		"results of no shape":   {map[string]string{"experiment.py": writes("[]")}, "run_0/final_info.json:1:1", "run_0.results", "a list"},
		"a broken result":       {map[string]string{"experiment.py": writes(`{"noisy": {"means": {"test_error": 0,5}}}`)}, "run_0/final_info.json:1:38", "json.syntax", ""},
		"a primary of NaN":      {map[string]string{"experiment.py": writes(`{"noisy": {"means": {"test_error": NaN}}}`)}, "run_0/final_info.json:1:36", "primary.not-finite", "NaN"},
		"writes beside out_dir": {map[string]string{"experiment.py": argparse + "open('beside.txt', 'w')\n"}, "experiment.py:5", "run.failed", "try writing under --out_dir"},
		"a silent end":          {map[string]string{"experiment.py": argparse + "raise SystemExit(3)\n"}, "experiment.py", "run.failed", "exit code 3, expected"},
		"a look at a server":    {map[string]string{"experiment.py": argparse + "import urllib.request\nurllib.request.urlopen('https://example.org')\n"}, "experiment.py:6", "run.failed", "a run has no network"},
		"over its time":         {map[string]string{"experiment.py": argparse + "while True: pass\n", "template.yaml": "title: x\ntime_limit: 2s\n"}, "experiment.py", "run.time", "2s"},
		"a plot that crashes":   {map[string]string{"plot.py": "raise RuntimeError('no paper')  # savefig()\n"}, "plot.py:1", "run.failed", "no paper"},
		"a plot without figure": {map[string]string{"plot.py": "print('figure.png')\n"}, "plot.py", "plot.no-figure", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := starter(t, tt.edits)
			_, findings, err := l.Try(t.Context(), dir, loadDir(t, dir))
			errs := template.Errors(findings)
			if err != nil || len(errs) != 1 || errs[0].Place() != tt.place || errs[0].Rule != tt.rule || !strings.Contains(errs[0].Text(), tt.says) {
				t.Errorf("%v %v", findings, err)
			}
		})
	}
}

func TestLab_lets_foreign_templates_write_beside_their_results(t *testing.T) {
	dir := starter(t, map[string]string{"template.yaml": "", "evaluate.py": "x = 1\n", "plot.py": "\n",
		"experiment.py": argparse + "open('beside.txt', 'w')\njson.dump({'a': {'means': 1, 'stds': 2}}, open(os.path.join(d, 'final_info.json'), 'w'))\n"})
	trial, findings, err := lab(t).Try(t.Context(), dir, loadDir(t, dir))
	if err != nil || len(template.Errors(findings)) > 0 || trial.Size != "" {
		t.Errorf("%+v %v %v", trial, findings, err)
	}
}

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

func TestLab_prepares_data(t *testing.T) {
	l := lab(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a.bin" {
			fmt.Fprint(w, "payload")
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	// The script reads what was downloaded, and has no network of its own.
	const script = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', %s), 1)\n    raise SystemExit('the network is there')\nexcept OSError:\n    pass\n" +
		"open('data/b.txt', 'w').write(open('data/a.bin').read().upper())\nopen('stray.txt', 'w')\n"
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	edits := func(path, hash string) map[string]string {
		return map[string]string{"prepare.py": fmt.Sprintf(script, port), "template.yaml": "+prepare: prepare.py\ndata:\n  - {path: data/a.bin, sha256: " + hash + ", bytes: 7, url: \"" + server.URL + path +
			"\"}\n  - {path: data/b.txt, generated: true}\n"}
	}
	dir := starter(t, edits("/a.bin", sum("payload")))
	made, err := l.Prepare(t.Context(), dir, loadDir(t, dir), "", server.Client())
	if err != nil || !slices.Equal(made, []string{"data/a.bin", "data/b.txt"}) {
		t.Fatalf("made %v: %v", made, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "data", "b.txt")); err != nil || string(text) != "PAYLOAD" {
		t.Errorf("what the script made: %q %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "stray.txt")); err == nil {
		t.Error("a file that nothing declares was taken")
	}
	again := loadDir(t, dir)
	if !slices.Contains(again.Protected, "data/a.bin") {
		t.Errorf("data may be edited: %v", again.Protected)
	}
	if made, err := l.Prepare(t.Context(), dir, again, "", http.DefaultClient); err != nil || len(made) > 0 {
		t.Errorf("what is there was made again: %v %v", made, err)
	}

	for name, tt := range map[string]struct{ path, hash, says string }{
		"another hash": {"/a.bin", sum("other"), "its SHA-256 is " + sum("payload")},
		"not there":    {"/b.bin", sum("payload"), "HTTP 404"},
	} {
		dir := starter(t, edits(tt.path, tt.hash))
		_, err := l.Prepare(t.Context(), dir, loadDir(t, dir), "", server.Client())
		e, ok := fault.As(err)
		if !ok || e.Reason != template.ReasonData || len(e.Violations) != 1 || e.Violations[0].Field != filepath.Join(dir, "data/a.bin") ||
			!strings.Contains(e.Violations[0].Description, tt.says) || !strings.Contains(e.Violations[0].Description, tt.hash) {
			t.Errorf("%s: %+v", name, err)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "data")); err == nil && len(left) > 0 {
			t.Errorf("%s: something was left: %v", name, left)
		}
	}
	server.Close()
	dir = starter(t, edits("/a.bin", sum("payload")))
	if _, err := l.Prepare(t.Context(), dir, loadDir(t, dir), "", server.Client()); fault.ReasonOf(err) != template.ReasonData {
		t.Errorf("offline: %v", err)
	}
	dir = starter(t, map[string]string{"prepare.py": "print('nothing')\n", "template.yaml": "+prepare: prepare.py\ndata: [{path: b.txt, generated: true}]\n"})
	if _, err := l.Prepare(t.Context(), dir, loadDir(t, dir), "", http.DefaultClient); fault.ReasonOf(err) != template.ReasonInvalid || !strings.Contains(err.Error(), "b.txt data.generated: found no such file") {
		t.Errorf("a script that makes nothing: %v", err)
	}
	dir = starter(t, map[string]string{"prepare.py": "import os\nos.symlink('/etc/passwd', 'b.txt')\n", "template.yaml": "+prepare: prepare.py\ndata: [{path: b.txt, generated: true}]\n"})
	if _, err := l.Prepare(t.Context(), dir, loadDir(t, dir), "", http.DefaultClient); fault.ReasonOf(err) != template.ReasonInvalid || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a script that makes a link: %v", err)
	}
}
