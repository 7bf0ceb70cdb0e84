package index_test

import (
	"fmt"
	"testing"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// TestSearch_CommonWords: words that many papers have are not ranked over all of them; titles come first all the same.
func TestSearch_CommonWords(t *testing.T) {
	x, err := index.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var papers []paper.Paper
	for i := range 1100 {
		papers = append(papers, paper.Paper{Title: fmt.Sprintf("Paper number%d", i), Year: 1990 + i%30, Abstract: "A network learns from examples."})
	}
	papers = append(papers, paper.Paper{Title: "How networks learn", Year: 2001, Abstract: "An essay."}, paper.Paper{Title: "A rare quokka", Year: 2002, Abstract: "A network learns of quokkas."})
	added, err := x.Add(t.Context(), "test", papers)
	if err != nil || added.New != len(papers) {
		t.Fatalf("%+v, %v", added, err)
	}
	search := func(anyWord bool, from int, words ...string) []paper.Paper {
		t.Helper()
		found, err := x.Search(t.Context(), query.Rung{Words: words, Any: anyWord}, from, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := search(false, 0, "network", "learns"); len(got) != 10 || got[0].Title != "How networks learn" || got[0].Abstract != "An essay." {
		t.Errorf("got %d papers, first %v", len(got), got[0])
	}
	for _, p := range search(false, 2015, "network", "learns") {
		if p.Year < 2015 {
			t.Errorf("a paper of %d", p.Year)
		}
	}
	if got := search(true, 0, "network", "quokka"); len(got) != 1 || got[0].Title != "A rare quokka" {
		t.Errorf("alternatives: %v", got)
	}
}
