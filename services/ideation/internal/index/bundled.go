package index

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"nullius.dev/services/ideation/internal/paper"
)

//go:embed data/papers.jsonl
var bundled []byte

// record is a line of the bundled list: facts, and where there is an abstract, one to three sentences of our own.
type record struct {
	Title       string   `json:"title"`
	OtherTitles []string `json:"other_titles"`
	Authors     []string `json:"authors"`
	AuthorsCut  bool     `json:"authors_cut"`
	Year        int      `json:"year"`
	Venue       string   `json:"venue"`
	Kind        string   `json:"kind"`
	DOI         string   `json:"doi"`
	ArXiv       string   `json:"arxiv"`
	Abstract    string   `json:"abstract"`
	Topics      []string `json:"topics"`
	Checked     []string `json:"checked"` // identifiers that were seen in public text
	Unsure      []string `json:"unsure"`  // fields that may be wrong
	Licence     string   `json:"licence"`
	Key         string   `json:"key"`
}

// Bundled is the list of papers that comes with the program.
func Bundled() ([]paper.Paper, error) {
	var out []paper.Paper
	sc := bufio.NewScanner(bytes.NewReader(bundled))
	sc.Buffer(nil, 1<<20)
	for line := 1; sc.Scan(); line++ {
		p, err := Line(sc.Bytes())
		if err != nil {
			return nil, fmt.Errorf("bundled papers, line %d: %w", line, err)
		}
		out = append(out, p)
	}
	return out, sc.Err()
}

// Line reads a line of the list; own lists may have the same form.
func Line(raw []byte) (paper.Paper, error) {
	var r record
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return paper.Paper{}, err
	}
	p := paper.Paper{
		Title: r.Title, OtherTitles: r.OtherTitles, AuthorsCut: r.AuthorsCut, Year: r.Year, Venue: r.Venue, Kind: r.Kind,
		DOI: r.DOI, ArXiv: r.ArXiv, Abstract: r.Abstract, Origins: []paper.Origin{{Engine: paper.Local, Record: r.Key}},
	}
	for _, a := range r.Authors {
		p.Authors = append(p.Authors, paper.ParseAuthor(a))
	}
	return p.Clean(), nil
}

// OpenBundled opens the bundled list, in memory.
func OpenBundled(ctx context.Context) (*Index, error) {
	papers, err := Bundled()
	if err != nil {
		return nil, err
	}
	x, err := Open(ctx, "")
	if err != nil {
		return nil, err
	}
	if _, err := x.Add(ctx, "bundled", papers); err != nil {
		_ = x.Close() // the first error says more
		return nil, err
	}
	return x, nil
}
