package index_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// TestBundled_EveryIdentifierWasSeen in public text beside its paper's title: what is from memory alone is not shipped.
func TestBundled_EveryIdentifierWasSeen(t *testing.T) {
	f, err := os.Open("data/papers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	n := 0
	for line := 1; sc.Scan(); line++ {
		var p struct {
			Title, DOI, ArXiv string
			Checked           []string
		}
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		for name, id := range map[string]string{"doi": p.DOI, "arxiv": p.ArXiv} {
			if id == "" {
				continue
			}
			n++
			if !slices.Contains(p.Checked, name) {
				t.Errorf("line %d: %s %s of %q", line, name, id, p.Title)
			}
		}
	}
	if err := sc.Err(); err != nil || n < 200 {
		t.Fatalf("%d identifiers, %v", n, err)
	}
}
