package openalex

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

type papersOf = []paper.Paper

const (
	maxPosition = 10_000 // of a word in an abstract
	maxResults  = 200
	fullList    = 100 // authors that OpenAlex tells at most
)

type location struct {
	LandingPageURL *string `json:"landing_page_url"`
	PDFURL         *string `json:"pdf_url"`
	Source         *struct {
		DisplayName *string `json:"display_name"`
		Type        *string `json:"type"`
	} `json:"source"`
}

type work struct {
	ID          *string `json:"id"`
	DOI         *string `json:"doi"`
	DisplayName *string `json:"display_name"`
	Authorships []struct {
		Author *struct {
			DisplayName *string `json:"display_name"`
		} `json:"author"`
		RawName *string `json:"raw_author_name"`
	} `json:"authorships"`
	Year     *float64   `json:"publication_year"`
	Type     *string    `json:"type"`
	Primary  *location  `json:"primary_location"`
	Others   []location `json:"locations"`
	BestOpen *location  `json:"best_oa_location"`
	Biblio   *struct {
		Volume    *string `json:"volume"`
		Issue     *string `json:"issue"`
		FirstPage *string `json:"first_page"`
		LastPage  *string `json:"last_page"`
	} `json:"biblio"`
	Inverted  json.RawMessage `json:"abstract_inverted_index"`
	Cited     *float64        `json:"cited_by_count"`
	Retracted *bool           `json:"is_retracted"`
}

// decode reads an answer.
func decode(body []byte, r engine.Request) ([]paper.Paper, int64, *engine.Verdict) {
	papers, total, err := Decode(body, r.Single)
	if err != nil {
		v := engine.BadAnswer(title, "its answer is not the JSON that was expected")
		return nil, 0, &v
	}
	return papers, total, nil
}

// Work reads one work, as it stands in answers and in snapshots.
func Work(raw []byte) (paper.Paper, bool) {
	var w work
	if !engine.Record(raw, &w) {
		return paper.Paper{}, false
	}
	return w.paper()
}

// reset is when a spent allowance is given anew; an hour if nothing tells.
func reset(h http.Header, body []byte, now time.Time) time.Duration {
	d := engine.Seconds(h.Get("X-RateLimit-Reset"))
	if d == 0 {
		d = engine.RetryAfter(h, now)
	}
	var e struct {
		RetryAfter float64 `json:"retryAfter"`
	}
	if d == 0 && json.Unmarshal(body, &e) == nil && e.RetryAfter > 0 && e.RetryAfter < 1e6 {
		d = time.Duration(e.RetryAfter * float64(time.Second))
	}
	if d == 0 {
		d = time.Hour
	}
	return d
}

// account is what an answer says is left of the allowance.
func account(h http.Header) (*float64, time.Duration) {
	left, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(h.Get("X-RateLimit-Remaining-USD")), "$"), 64)
	if err != nil || left < 0 {
		return nil, 0
	}
	return &left, engine.Seconds(h.Get("X-RateLimit-Reset"))
}

// Decode reads an answer: a page, or one record. A work that cannot be read is left out; an answer without the frame of one
// is an error.
func Decode(body []byte, single bool) (papersOf, int64, error) {
	if single {
		p, ok := Work(body)
		if !ok {
			return nil, 0, errors.New("a record without title")
		}
		return papersOf{p}, 1, nil
	}
	var page struct {
		Meta *struct {
			Count int64 `json:"count"`
		} `json:"meta"`
		Results *[]json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, 0, err
	}
	counted := int64(0)
	if page.Meta != nil {
		counted = page.Meta.Count
	}
	switch {
	case page.Results == nil && (page.Meta == nil || counted > 0):
		return nil, 0, errors.New("no results field")
	case page.Results == nil:
		return nil, 0, nil
	case len(*page.Results) == 0 && counted > 0: // silence is no proof that nothing is known
		return nil, 0, errors.New("works are counted and none is there")
	}
	var out papersOf
	for i, raw := range *page.Results {
		if i == maxResults {
			break
		}
		if p, ok := Work(raw); ok {
			out = append(out, p)
		}
	}
	if len(out) == 0 && len(*page.Results) > 0 {
		return nil, 0, errors.New("no work can be read")
	}
	return out, max(int64(len(out)), counted), nil
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (w work) paper() (paper.Paper, bool) {
	p := paper.Paper{Title: str(w.DisplayName), DOI: str(w.DOI), Abstract: abstract(w.Inverted)}
	if text.Norm(p.Title) == "" {
		return p, false
	}
	if w.Year != nil && *w.Year > 0 && *w.Year < 3000 {
		p.Year = int(*w.Year)
	}
	if w.Cited != nil && *w.Cited >= 0 && *w.Cited < 1e12 {
		n := int64(*w.Cited)
		p.Citations = &n
	}
	p.Retracted = w.Retracted != nil && *w.Retracted
	for _, a := range w.Authorships {
		name := str(a.RawName)
		if a.Author != nil && str(a.Author.DisplayName) != "" {
			name = str(a.Author.DisplayName)
		}
		if au := paper.ParseAuthor(name); au != (paper.Author{}) {
			p.Authors = append(p.Authors, au)
		}
	}
	p.AuthorsCut = len(w.Authorships) >= fullList
	w.place(&p)
	record := str(w.ID)
	if i := strings.LastIndexByte(record, '/'); i >= 0 {
		record = record[i+1:]
	}
	p.Origins = []paper.Origin{{Engine: paper.OpenAlex, Record: text.ClipRunes(text.OneLine(record), 40)}}
	return p.Clean(), true
}

// place fills in where the work appeared. A repository is no venue.
func (w work) place(p *paper.Paper) {
	sourceType := ""
	if w.Primary != nil {
		p.URL = str(w.Primary.LandingPageURL)
		if s := w.Primary.Source; s != nil {
			sourceType = str(s.Type)
			if sourceType != "repository" {
				p.Venue = str(s.DisplayName)
			}
		}
	}
	p.Kind = kind(str(w.Type), sourceType)
	if w.BestOpen != nil {
		p.PDF = str(w.BestOpen.PDFURL)
	}
	for _, l := range append([]location{{LandingPageURL: w.DOI}}, w.Others...) {
		if u := str(l.LandingPageURL); p.ArXiv == "" && strings.Contains(strings.ToLower(u), "arxiv") {
			p.ArXiv = paper.CleanArXiv(u)
		}
	}
	if b := w.Biblio; b != nil {
		p.Volume, p.Number, p.Pages = str(b.Volume), str(b.Issue), str(b.FirstPage)
		if last := str(b.LastPage); last != "" && last != p.Pages && p.Pages != "" {
			p.Pages += "-" + last
		}
	}
}

func kind(workType, sourceType string) string {
	switch workType {
	case "book", "monograph":
		return paper.Book
	case "book-chapter":
		if sourceType == "conference" {
			return paper.Conference
		}
		return paper.Chapter
	case "report":
		return paper.Report
	case "preprint":
		return paper.Preprint
	}
	switch sourceType {
	case "journal":
		return paper.Journal
	case "conference":
		return paper.Conference
	case "repository":
		return paper.Preprint
	}
	return paper.Other
}

// abstract puts the words of an inverted index back in order. What is odd in it is left out: a paper is not lost for its abstract.
func abstract(raw json.RawMessage) string {
	var inverted map[string]json.RawMessage
	if json.Unmarshal(raw, &inverted) != nil {
		return ""
	}
	at := map[int]string{}
	last := -1
	for w, places := range inverted {
		var list []float64
		if json.Unmarshal(places, &list) != nil {
			continue
		}
		for _, f := range list {
			i := int(f)
			if f < 0 || f >= maxPosition {
				continue
			}
			last = max(last, i)
			if old, taken := at[i]; !taken || w < old {
				at[i] = w
			}
		}
	}
	words := make([]string, last+1)
	for i, w := range at {
		words[i] = w
	}
	return text.Clip(strings.Join(strings.Fields(strings.Join(words, " ")), " "), 4*paper.MaxAbstract)
}
