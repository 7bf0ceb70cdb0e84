package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/openalex"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/semanticscholar"
	"nullius.dev/services/ideation/internal/text"
)

// abstractOnly is a line of Semantic Scholar's data set of abstracts.
type abstractOnly struct{ record, text string }

func (*abstractOnly) Error() string { return "an abstract alone" }

// container is an object that holds papers, such as a page of an engine's answer.
type container struct{ items []json.RawMessage }

func (*container) Error() string { return "a list of papers" }

var errForm = errors.New("an object of no known form: it has neither the fields of CSL-JSON nor those of an engine's record")

// parse reads an object by the fields that it has.
func parse(raw json.RawMessage) (form string, p paper.Paper, err error) {
	var f map[string]json.RawMessage
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		return "", p, errors.New("this is no JSON object")
	}
	has := func(names ...string) bool {
		for _, n := range names {
			if _, ok := f[n]; !ok {
				return false
			}
		}
		return true
	}
	ok := false
	switch {
	case has("display_name"):
		form = "OpenAlex"
		p, ok = openalex.Work(raw)
	case has("authors_parsed") || has("id", "title", "abstract", "categories"):
		form = "arXiv snapshot"
		p, ok = snapshot(raw)
	case has("corpusid", "abstract") && !has("title"):
		return "", p, abstractOf(raw)
	case has("paperId") || has("corpusid") || has("externalIds"):
		form = "Semantic Scholar"
		p, ok = semanticscholar.Record(raw)
	case has("type", "title") && (has("author") || has("issued") || has("id")):
		form = "CSL-JSON"
		p, ok = csl(raw)
	case has("title", "authors"):
		form = "paper lines"
		var err error
		if p, err = index.Line(raw); err != nil {
			return form, p, fmt.Errorf("a line of papers: %w", err)
		}
		ok = text.Norm(p.Title) != ""
	default:
		for _, n := range []string{"results", "data", "items"} {
			var items []json.RawMessage
			if has(n) && json.Unmarshal(f[n], &items) == nil && len(items) > 0 {
				return "", p, &container{items}
			}
		}
		return "", p, errForm
	}
	if !ok {
		return form, p, fmt.Errorf("a record of %s without a title that can be read", form)
	}
	return form, p, nil
}

func abstractOf(raw json.RawMessage) error {
	var a struct {
		CorpusID int64  `json:"corpusid"`
		Abstract string `json:"abstract"`
	}
	if json.Unmarshal(raw, &a) != nil || a.CorpusID <= 0 || strings.TrimSpace(a.Abstract) == "" {
		return errors.New("an abstract without number or text")
	}
	return &abstractOnly{semanticscholar.Corpus(a.CorpusID), a.Abstract}
}

// snapshot reads a line of arXiv's snapshot of metadata.
func snapshot(raw json.RawMessage) (paper.Paper, bool) {
	var r struct {
		ID       string     `json:"id"`
		Title    string     `json:"title"`
		Parsed   [][]string `json:"authors_parsed"`
		Authors  string     `json:"authors"`
		Abstract string     `json:"abstract"`
		Journal  *string    `json:"journal-ref"`
		DOI      *string    `json:"doi"`
		Versions []struct {
			Created string `json:"created"`
		} `json:"versions"`
		Updated string `json:"update_date"`
	}
	if json.Unmarshal(raw, &r) != nil || text.Norm(r.Title) == "" {
		return paper.Paper{}, false
	}
	p := paper.Paper{Title: r.Title, Abstract: r.Abstract, Kind: paper.Preprint, ArXiv: r.ID}
	if r.DOI != nil {
		p.DOI = *r.DOI
	}
	for _, a := range r.Parsed {
		for len(a) < 3 {
			a = append(a, "")
		}
		name := a[0]
		if a[1] != "" {
			name = strings.Trim(a[0]+", "+a[2], ", ") + ", " + a[1]
		}
		if au := paper.ParseAuthor(name); au != (paper.Author{}) {
			p.Authors = append(p.Authors, au)
		}
	}
	if len(p.Authors) == 0 {
		for _, n := range strings.Split(strings.ReplaceAll(r.Authors, " and ", ","), ",") {
			if au := paper.ParseAuthor(n); au != (paper.Author{}) {
				p.Authors = append(p.Authors, au)
			}
		}
	}
	when := r.Updated
	if len(r.Versions) > 0 {
		when = r.Versions[0].Created // "Mon, 2 Apr 2007 19:18:42 GMT"
	}
	p.Year = year(when)
	p.Origins = []paper.Origin{{Engine: paper.ArXiv, Record: text.ClipRunes(r.ID, 40)}}
	return p.Clean(), true
}

// year is the first number of four digits that can be one.
func year(s string) int {
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(w); err == nil && len(w) == 4 && n >= 1500 && n < 2200 {
			return n
		}
	}
	return 0
}
