package edit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

type editCase struct {
	Name      string            `json:"name"`
	Category  string            `json:"category"`
	Files     map[string]string `json:"files"`
	FilesB64  map[string]string `json:"files_b64"`
	Allowed   []string          `json:"allowed_paths"`
	Protected []string          `json:"protected_paths"`
	Symlinks  map[string]string `json:"symlinks"`
	Delete    bool              `json:"allow_delete"`
	Reply     string            `json:"reply"`
	Want      map[string]string `json:"want"`
	WantB64   map[string]string `json:"want_b64"`
	Status    string            `json:"want_status"`
	Error     string            `json:"want_error"`
	Rung      string            `json:"rung"`
	Note      string            `json:"note"`
}

// caseFiles are the shipped cases and those that were written against the rules afterwards, to find what the first do not show.
func caseFiles() []string {
	if f := os.Getenv("NULLIUS_EDITCASES"); f != "" {
		return []string{f}
	}
	return []string{"testdata/editcases.json", "testdata/morecases.json"}
}

func loadCases(t testing.TB, file string) []editCase {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []editCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s holds no case", file)
	}
	return cases
}

func merged(t *testing.T, text, b64 map[string]string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for p, s := range text {
		out[p] = []byte(s)
	}
	for p, s := range b64 {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		out[p] = b
	}
	return out
}

func (c editCase) tree(t *testing.T) (edit.Tree, edit.Policy) {
	t.Helper()
	p := edit.Policy{Allowed: c.Allowed, Protected: c.Protected, AllowDelete: c.Delete}
	tree := edit.Tree{Files: map[string][]byte{}, Other: map[string]bool{}, Links: map[string]bool{}}
	for f, b := range merged(t, c.Files, c.FilesB64) {
		if p.Allows(f) {
			tree.Files[f] = b
		} else {
			tree.Other[f] = true
		}
	}
	for l := range c.Symlinks {
		tree.Links[l] = true
	}
	return tree, p
}

func (c editCase) check(t *testing.T) {
	t.Helper()
	tree, policy := c.tree(t)
	before := merged(t, c.Files, c.FilesB64)
	changes, rep := edit.Plan(tree, c.Reply, policy)
	if c.Error != "" {
		if string(rep.Status) != c.Error {
			t.Errorf("status %s, want error %s\n%+v", rep.Status, c.Error, rep)
		}
		if len(changes) > 0 {
			t.Errorf("a failed reply has changes: %v", changes)
		}
		return
	}
	want := c.Status
	if want == "" {
		want = "applied"
	}
	if string(rep.Status) != want {
		t.Fatalf("status %s, want %s\n%+v", rep.Status, want, rep)
	}
	if c.Rung != "" && !slices.Contains(rep.Rungs(), c.Rung) {
		t.Errorf("rungs %v, want %s", rep.Rungs(), c.Rung)
	}
	for _, ch := range changes {
		if ch.Deleted {
			delete(before, ch.Path)
		} else {
			before[ch.Path] = ch.Data
		}
	}
	after := merged(t, c.Want, c.WantB64)
	if !maps.EqualFunc(before, after, bytes.Equal) {
		for _, p := range slices.Sorted(maps.Keys(after)) {
			if !bytes.Equal(before[p], after[p]) {
				t.Errorf("%s is\n%q\nwant\n%q", p, before[p], after[p])
			}
		}
		for p := range before {
			if _, ok := after[p]; !ok {
				t.Errorf("%s must not exist", p)
			}
		}
	}
}

func TestPlan_EditCases(t *testing.T) {
	for _, file := range caseFiles() {
		for _, c := range loadCases(t, file) {
			t.Run(c.Category+"/"+c.Name, c.check)
		}
	}
}
