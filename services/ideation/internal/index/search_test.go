package index_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// TestSearch_ManyPapers: of more papers than are looked at closely, those with most of the words are found, rare words and titles first, of the wanted years.
func TestSearch_ManyPapers(t *testing.T) {
	x, err := index.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var papers []paper.Paper
	for i := range 700 {
		papers = append(papers, paper.Paper{Title: fmt.Sprintf("Paper number%d", i), Year: 1990 + i%30, Abstract: "A network of mice."})
	}
	for i := range 500 {
		papers = append(papers, paper.Paper{Title: fmt.Sprintf("Essay number%d", i), Year: 1990 + i%30, Abstract: "Learning to sail."})
	}
	papers = append(papers,
		paper.Paper{Title: "Late", Year: 2024, Abstract: "A network was learning."},
		paper.Paper{Title: "Networks learn", Year: 1960, Abstract: "Nothing else."},
		paper.Paper{Title: "One quokka", Year: 2001, Abstract: "It sleeps."},
		paper.Paper{Title: "By name", Year: 2002, Abstract: "Words.", Authors: []paper.Author{paper.ParseAuthor("Ada Quokkaman")}})
	added, err := x.Add(t.Context(), "test", papers)
	if err != nil || added.New != len(papers) {
		t.Fatalf("%+v, %v", added, err)
	}
	for _, tt := range []struct {
		name     string
		rung     query.Rung
		from, to int
		want     []string // the first, in any order
		count    int
	}{
		{"both words before one", query.Rung{Words: []string{"network", "learning"}, Any: true}, 0, 0, []string{"Networks learn", "Late"}, 10},
		{"a rare word in a title before frequent ones", query.Rung{Words: []string{"quokka", "learning", "mice"}, Any: true}, 0, 0, []string{"One quokka"}, 10},
		{"names count", query.Rung{Words: []string{"quokkaman", "learning", "mice"}, Any: true}, 0, 0, []string{"By name"}, 10},
		{"years bound alternatives", query.Rung{Words: []string{"network", "learning"}, Any: true}, 2020, 0, []string{"Late"}, 1},
		{"years that hardly any has are found behind the rest", query.Rung{Words: []string{"mice", "learning"}, Any: true}, 1900, 1970, []string{"Networks learn"}, 1},
		{"all words", query.Rung{Words: []string{"learning", "network"}}, 0, 0, []string{"Networks learn", "Late"}, 2},
		{"all of one word that many have", query.Rung{Words: []string{"mice"}}, 2019, 2019, nil, 10},
		{"no paper has both", query.Rung{Words: []string{"mice", "sail"}}, 0, 0, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := x.Search(t.Context(), tt.rung, tt.from, tt.to, 10)
			if err != nil || len(got) != tt.count {
				t.Fatalf("%d papers, want %d; %v", len(got), tt.count, err)
			}
			first := map[string]bool{}
			for i, p := range got {
				if i < len(tt.want) {
					first[p.Title] = true
				}
				if tt.from > 0 && p.Year < tt.from || tt.to > 0 && p.Year > tt.to {
					t.Errorf("a paper of %d", p.Year)
				}
			}
			for _, w := range tt.want {
				if !first[w] {
					t.Errorf("first are %v, want %q among them", first, w)
				}
			}
		})
	}
}

// TestSearch_SeesWhatOthersAdd: what is remembered of the list is forgotten when another process adds papers.
func TestSearch_SeesWhatOthersAdd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "papers.sqlite")
	var lists [2]*index.Index
	for i := range lists {
		x, err := index.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		lists[i] = x
	}
	r := query.Rung{Words: []string{"quokka", "sleep"}}
	for i := range 3 {
		got, err := lists[0].Search(t.Context(), r, 0, 0, 10)
		if err != nil || len(got) != i || lists[0].Rarity(t.Context(), "quokka") != i {
			t.Fatalf("%d papers, and the word is in %d, want %d; %v", len(got), lists[0].Rarity(t.Context(), "quokka"), i, err)
		}
		if _, err := lists[1].Add(t.Context(), "test", []paper.Paper{{Title: fmt.Sprintf("A quokka sleeps %d times", i), Year: 2000}}); err != nil {
			t.Fatal(err)
		}
	}
}
