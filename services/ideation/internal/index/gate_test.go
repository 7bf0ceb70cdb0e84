package index_test

import (
	"encoding/json"
	"os"
	"testing"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
)

// pair is a hand-made reference with what is to be said of it, the bundled list being all there is.
type pair struct {
	Set     string   `json:"set"`
	Title   string   `json:"title"`
	Authors []string `json:"authors"`
	Cut     bool     `json:"authors_cut"`
	Year    int      `json:"year"`
	Want    string   `json:"want"`
	Paper   string   `json:"paper"`
}

func (p pair) reference() match.Reference {
	ref := match.Reference{Title: p.Title, Year: p.Year, Cut: p.Cut}
	for _, a := range p.Authors {
		if paper.Others(a) {
			ref.Cut = true
			continue
		}
		ref.Authors = append(ref.Authors, paper.ParseAuthor(a))
	}
	return ref
}

// TestGate is the bar for deciding whether a cited paper exists: of what is claimed to exist, weak claims left out, 99 % do;
// of what exists, 92 % is found.
func TestGate(t *testing.T) {
	x, err := index.OpenBundled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	raw, err := os.ReadFile("testdata/reference_pairs.json")
	if err != nil {
		t.Fatal(err)
	}
	var pairs []pair
	if err := json.Unmarshal(raw, &pairs); err != nil {
		t.Fatal(err)
	}
	var claimed, right, exist, exact int
	for _, r := range pairs {
		candidates, err := x.ByTitle(t.Context(), r.Title, 20)
		if err != nil {
			t.Fatal(err)
		}
		d := match.Decide(r.reference(), candidates)
		if r.Paper != "" {
			exist++
		}
		if d.Outcome != match.None && !d.Weak {
			claimed++
			if d.Paper.Key == r.Paper {
				right++
			} else {
				t.Logf("set %s: %q is claimed to be %q", r.Set, r.Title, d.Paper.Title)
			}
		}
		want := map[string]match.Outcome{"FOUND": match.Found, "FOUND_WITH_OTHER_METADATA": match.Other}[r.Want]
		if want == d.Outcome {
			exact++
		}
	}
	precision, recall := float64(right)/float64(claimed), float64(right)/float64(exist)
	t.Logf("%d references: precision %.3f, recall %.3f, %d with the very outcome", len(pairs), precision, recall, exact)
	if precision < 0.99 || recall < 0.92 {
		t.Errorf("precision %.3f (want 0.99), recall %.3f (want 0.92)", precision, recall)
	}
}

func TestBundled_KeysAreStableAndUnique(t *testing.T) {
	papers, err := index.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	if len(papers) < 172 {
		t.Errorf("%d papers, want at least 172", len(papers))
	}
	seen := map[string]string{}
	for _, p := range papers {
		if other, twice := seen[p.Key]; twice {
			t.Errorf("%s is the key of %q and %q", p.Key, p.Title, other)
		}
		seen[p.Key] = p.Title
		if p.Key != p.Origins[0].Record {
			t.Errorf("%q has key %s, the list says %s", p.Title, p.Key, p.Origins[0].Record)
		}
	}
}
