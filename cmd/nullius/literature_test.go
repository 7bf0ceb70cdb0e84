package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/services/ideation"
	"nullius.dev/services/ideation/litfault"
)

// engines plays all engines for the commands of a test.
func engines(t *testing.T, papers ...litfault.Paper) *litfault.Server {
	t.Helper()
	s := litfault.New(papers...)
	t.Cleanup(s.Close)
	for name, engine := range map[string]string{"SEMANTICSCHOLAR": litfault.SemanticScholar, "OPENALEX": litfault.OpenAlex, "ARXIV": litfault.ArXiv} {
		t.Setenv("NULLIUS_IDEATION_"+name+"_BASE_URL", s.Base(engine))
		t.Setenv("NULLIUS_IDEATION_"+name+"_INTERVAL", "1ms")
	}
	return s
}

// literature runs a command in a data folder, without a server.
func literature(t *testing.T, dataDir string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(t.Context(), append([]string{"literature", "--data-dir", dataDir, "--address", "127.0.0.1:1"}, args...), &o, &e)
	return code, o.String(), e.String()
}

func TestLiterature_SearchesResolvesAndImports(t *testing.T) {
	s := engines(t, litfault.Paper{Title: "A Made-up Title", Authors: []string{"Ada Example"}, Year: 2021, Venue: "Conf", Kind: "conference", DOI: "10.5555/x1", ArXiv: "2101.00001"})
	dir := t.TempDir()
	bib := filepath.Join(dir, "own.bib")
	if err := os.WriteFile(bib, []byte("@article{k1, title={A paper of my own shelf}, author={Shelf, Bo}, year=1999, journal={J}}\n@misc{k2, title={A Made-up Title}, author={Example, Ada}, year=2021}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		out  []string
		err  []string
	}{
		{"a search names who told", []string{"search", "made", "title"}, 0, []string{"example2021made", "by openalex"}, []string{"KEY_MISSING: Semantic Scholar was passed over"}},
		{"as BibTeX", []string{"search", "made", "title", "--engine", "semanticscholar", "--bibtex"}, 0, []string{"@inproceedings{example2021made,"}, nil},
		{"as JSON", []string{"search", "made", "title", "--engine", "arxiv", "-o", "json"}, 0, []string{`"outcome":  "FOUND"`}, nil},
		{"a paper that exists", []string{"resolve", "A made-up title", "--author", "Example, Ada", "--year", "2021", "--exit-status"}, 0, []string{"FOUND"}, nil},
		{"a paper that does not", []string{"resolve", "Quantum bees in the forest", "--year", "2003", "--exit-status"}, exitUnwanted, []string{"NOT_FOUND", `OpenAlex and arXiv know no "Quantum bees in the forest"`}, nil},
		{"the local list proves nothing", []string{"resolve", "Quantum bees in the forest", "--engine", "local"}, exitError, []string{"ENGINE_UNAVAILABLE"}, []string{"proves nothing", "next: nullius literature import FILE"}},
		{"a file of entries", []string{"resolve", "--bibtex", bib}, 0, []string{"k1: NOT_FOUND", "k2: FOUND"}, nil},
		{"an import", []string{"import", bib}, 0, []string{"2 BibTeX; 2 new, 0 known, 0 dropped"}, nil},
		{"a second import", []string{"import", bib, "-o", "json"}, 0, []string{`"new":0,"merged":2`}, nil},
		{"what was imported is found", []string{"search", "own", "shelf", "--engine", "local"}, 0, []string{"shelf1999paper"}, nil},
		{"nothing to import", []string{"import", os.DevNull}, exitError, nil, []string{"FIELD_INVALID", "holds no paper"}},
		{"no words", []string{"search", "?!"}, exitError, nil, []string{"FIELD_INVALID"}},
		{"no title", []string{"resolve"}, exitUsage, nil, []string{"a title, --doi, --arxiv or --bibtex FILE is needed"}},
		{"an engine nobody has", []string{"search", "x", "--engine", "google"}, exitError, nil, []string{"there are auto, semanticscholar, openalex, arxiv, local"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := literature(t, dir, tt.args...)
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s\n%s", code, tt.code, out, errOut)
			}
			for _, w := range tt.out {
				if !strings.Contains(strings.ReplaceAll(out, `": "`, `":  "`), w) {
					t.Errorf("stdout lacks %q:\n%s", w, out)
				}
			}
			for _, w := range tt.err {
				if !strings.Contains(errOut, w) {
					t.Errorf("stderr lacks %q:\n%s", w, errOut)
				}
			}
		})
	}
	s.Play(litfault.OpenAlex, litfault.Spent(3600))
	s.Play(litfault.ArXiv, litfault.Step{Status: 400, Body: litfault.Rejected})
	code, _, errOut := literature(t, t.TempDir(), "search", "quantum bees", "--engine", "openalex")
	if code != exitError || !strings.Contains(errOut, "OpenAlex's free $0.10 for today is spent; back in 1 h") || !strings.Contains(errOut, "OPENALEX_API_KEY (free)") {
		t.Errorf("exit %d\n%s", code, errOut)
	}
}

// TestReadIdeas_BothWays: what AI-Scientist wrote comes back as it was, with what we know added.
func TestReadIdeas_BothWays(t *testing.T) {
	const file = `[{"Name": "adaptive_lr", "Title": "Adaptive rates", "Experiment": "Vary the rate.", "Interestingness": 7, "Feasibility": 9, "Novelty": 4, "novel": true, "Score": 5.5, "Extra": {"kept": [1, 2]}},
 {"Name": "b", "Title": "B", "Experiment": "Do b.", "Hypothesis": "H", "PrimaryMetric": {"name": "loss", "direction": "minimize"}, "PlannedRuns": ["one", {"name": "two", "change": "x"}]}]`
	path := filepath.Join(t.TempDir(), "ideas.json")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ideas, err := readIdeas(path)
	if err != nil {
		t.Fatal(err)
	}
	if ideas[0].GetScore() != 5.5 || ideas[1].GetPrimaryMetric().GetName() != "loss" || len(ideas[1].GetPlannedRuns()) != 2 {
		t.Errorf("read as %v", ideas)
	}
	var want, got []map[string]any
	if err := json.Unmarshal([]byte(file), &want); err != nil {
		t.Fatal(err)
	}
	want[1]["PlannedRuns"] = []any{map[string]any{"change": "one"}, map[string]any{"name": "two", "change": "x"}}
	want[1]["novel"] = false
	if err := json.Unmarshal(ideation.WriteIdeas(ideas, map[int]bool{0: true, 1: false}), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := os.WriteFile(path, []byte(`[{"Name": "x"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readIdeas(path); err == nil || !strings.Contains(err.Error(), "idea 1") {
		t.Errorf("got %v", err)
	}
}
