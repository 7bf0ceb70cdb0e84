package semanticscholar

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

const maxResults = 500

// record is a paper. Names match in any case, so that the lines of Semantic Scholar's data sets, which are all lower case,
// are read too.
type record struct {
	PaperID  *string      `json:"paperId"`
	CorpusID *json.Number `json:"corpusId"`
	External *struct {
		DOI   *string `json:"DOI"`
		ArXiv *string `json:"ArXiv"`
	} `json:"externalIds"`
	URL      *string `json:"url"`
	Title    *string `json:"title"`
	Abstract *string `json:"abstract"`
	Venue    *string `json:"venue"`
	Where    *struct {
		Name *string `json:"name"`
		Type *string `json:"type"`
	} `json:"publicationVenue"`
	Year    *float64 `json:"year"`
	Types   []string `json:"publicationTypes"`
	Journal *struct {
		Name   *string `json:"name"`
		Volume *string `json:"volume"`
		Pages  *string `json:"pages"`
	} `json:"journal"`
	Authors []struct {
		Name *string `json:"name"`
	} `json:"authors"`
	Citations *float64 `json:"citationCount"`
	Open      *struct {
		URL *string `json:"url"`
	} `json:"openAccessPdf"`
}

// decode reads an answer: a page of a search, a match, one record, or the records of a batch.
func decode(body []byte, r engine.Request) ([]paper.Paper, int64, *engine.Verdict) {
	bad := func() ([]paper.Paper, int64, *engine.Verdict) {
		v := engine.BadAnswer(title, "its answer is not the JSON that was expected")
		return nil, 0, &v
	}
	switch body = bytes.TrimSpace(body); {
	case len(body) == 0:
		return bad()
	case len(r.IDs) > 1:
		return batch(body, len(r.IDs), bad)
	case len(r.IDs) == 1:
		p, ok := Record(body)
		if !ok {
			return bad()
		}
		return []paper.Paper{p}, 1, nil
	}
	var page struct {
		Total *int64             `json:"total"`
		Data  *[]json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &page) != nil {
		return bad()
	}
	if page.Data == nil {
		if page.Total != nil && *page.Total == 0 { // a search that found nothing may leave data out
			return nil, 0, nil
		}
		return bad()
	}
	var out []paper.Paper
	for i, raw := range *page.Data {
		if i == maxResults {
			break
		}
		if p, ok := Record(raw); ok {
			out = append(out, p)
		}
	}
	if len(out) == 0 && (len(*page.Data) > 0 || page.Total != nil && *page.Total > 0) { // silence is no proof that nothing is known
		return bad()
	}
	total := int64(len(out))
	if page.Total != nil {
		total = max(total, *page.Total)
	}
	return out, total, nil
}

func batch(body []byte, n int, bad func() ([]paper.Paper, int64, *engine.Verdict)) ([]paper.Paper, int64, *engine.Verdict) {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) != nil || len(list) != n {
		return bad()
	}
	out := make([]paper.Paper, n)
	total := int64(0)
	for i, raw := range list {
		if p, ok := Record(raw); ok {
			out[i] = p
			total++
		}
	}
	return out, total, nil
}

// Record reads one paper, as it stands in answers and in data sets.
func Record(raw []byte) (paper.Paper, bool) {
	var r record
	if !engine.Record(raw, &r) {
		return paper.Paper{}, false
	}
	p := paper.Paper{Title: str(r.Title), Abstract: str(r.Abstract), URL: str(r.URL)}
	if text.Norm(p.Title) == "" {
		return p, false
	}
	if r.External != nil {
		p.DOI, p.ArXiv = str(r.External.DOI), str(r.External.ArXiv)
	}
	if r.Year != nil && *r.Year > 0 && *r.Year < 3000 {
		p.Year = int(*r.Year)
	}
	if r.Citations != nil && *r.Citations >= 0 && *r.Citations < 1e12 {
		n := int64(*r.Citations)
		p.Citations = &n
	}
	if r.Open != nil {
		p.PDF = str(r.Open.URL)
	}
	for _, a := range r.Authors {
		if au := paper.ParseAuthor(str(a.Name)); au != (paper.Author{}) {
			p.Authors = append(p.Authors, au)
		}
	}
	r.place(&p)
	p.Origins = []paper.Origin{{Engine: paper.SemanticScholar, Record: r.identifier()}}
	return p.Clean(), true
}

func (r record) identifier() string {
	if id := str(r.PaperID); id != "" {
		return text.ClipRunes(text.OneLine(id), 60)
	}
	if r.CorpusID != nil {
		if n, err := strconv.ParseInt(r.CorpusID.String(), 10, 64); err == nil {
			return Corpus(n)
		}
	}
	return ""
}

// Corpus is a record's name by its number in Semantic Scholar's data sets.
func Corpus(n int64) string { return "CorpusId:" + strconv.FormatInt(n, 10) }

// place fills in where the paper appeared. arXiv is no venue.
func (r record) place(p *paper.Paper) {
	var names []string
	if r.Journal != nil {
		names = append(names, str(r.Journal.Name))
		if !preprints(str(r.Journal.Name)) {
			p.Volume, p.Pages = str(r.Journal.Volume), strings.ReplaceAll(str(r.Journal.Pages), " ", "")
		}
	}
	kind := ""
	if r.Where != nil {
		names = append(names, str(r.Where.Name))
		kind = str(r.Where.Type)
	}
	names = append(names, str(r.Venue))
	preprint := false
	for _, n := range names {
		if preprints(n) {
			preprint = true
			continue
		}
		if p.Venue == "" {
			p.Venue = n
		}
	}
	p.Kind = r.kind(kind, p.Venue, preprint)
}

func preprints(venue string) bool {
	v := strings.ToLower(strings.TrimSpace(venue))
	return v == "arxiv" || v == "arxiv.org" || v == "biorxiv" || v == "medrxiv" || strings.HasPrefix(v, "arxiv preprint")
}

func (r record) kind(where, venue string, preprint bool) string {
	if venue == "" {
		if preprint || r.External != nil && str(r.External.ArXiv) != "" {
			return paper.Preprint
		}
	}
	switch where {
	case "conference":
		return paper.Conference
	case "journal":
		return paper.Journal
	}
	for _, t := range r.Types {
		switch t {
		case "Conference":
			return paper.Conference
		case "BookSection":
			return paper.Chapter
		case "Book":
			return paper.Book
		case "JournalArticle", "Review", "LettersAndComments":
			if venue != "" {
				return paper.Journal
			}
		}
	}
	return paper.Other
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
