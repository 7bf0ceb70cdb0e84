package importer

import (
	"encoding/json"
	"strings"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// item is one of CSL-JSON; its form: https://citeproc-js.readthedocs.io/en/latest/csl-json/markup.html. Fields that programs
// write as text or as number are read as either.
type item struct {
	ID        scalar   `json:"id"`
	Type      string   `json:"type"`
	Title     scalar   `json:"title"`
	Container scalar   `json:"container-title"`
	Publisher scalar   `json:"publisher"`
	Event     scalar   `json:"event-title"`
	Author    []person `json:"author"`
	Issued    *date    `json:"issued"`
	Volume    scalar   `json:"volume"`
	Issue     scalar   `json:"issue"`
	Page      scalar   `json:"page"`
	DOI       scalar   `json:"DOI"`
	URL       scalar   `json:"URL"`
	Number    scalar   `json:"number"`
	Archive   scalar   `json:"archive"`
	Location  scalar   `json:"archive_location"`
	Note      scalar   `json:"note"`
	Abstract  scalar   `json:"abstract"`
}

type person struct {
	Family    scalar `json:"family"`
	Given     scalar `json:"given"`
	Suffix    scalar `json:"suffix"`
	Literal   scalar `json:"literal"`
	Particle  scalar `json:"non-dropping-particle"`
	Particle2 scalar `json:"dropping-particle"`
}

// scalar is a text, or a number or the first of a list (as Crossref's answers have it) taken as one.
type scalar string

// UnmarshalJSON reads any of them; what is none is empty, so that one odd field does not cost the item.
func (s *scalar) UnmarshalJSON(b []byte) error {
	var v any
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	if l, ok := v.([]any); ok && len(l) > 0 {
		v = l[0]
	}
	switch x := v.(type) {
	case string:
		*s = scalar(x)
	case json.Number:
		*s = scalar(x.String())
	}
	return nil
}

// date is a date in parts, or as text.
type date struct {
	Parts [][]scalar `json:"date-parts"`
	Raw   scalar     `json:"raw"`
	Text  scalar     `json:"literal"`
}

// UnmarshalJSON reads the object, or a text alone.
func (d *date) UnmarshalJSON(b []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(b)), "{") {
		type plain date
		return json.Unmarshal(b, (*plain)(d))
	}
	return d.Raw.UnmarshalJSON(b)
}

func (d *date) year() int {
	if d == nil {
		return 0
	}
	if len(d.Parts) > 0 && len(d.Parts[0]) > 0 {
		if y := year(string(d.Parts[0][0])); y > 0 {
			return y
		}
	}
	if y := year(string(d.Raw)); y > 0 {
		return y
	}
	return year(string(d.Text))
}

func csl(raw json.RawMessage) (paper.Paper, bool) {
	var i item
	if json.Unmarshal(raw, &i) != nil || text.Norm(string(i.Title)) == "" {
		return paper.Paper{}, false
	}
	p := paper.Paper{
		Title: string(i.Title), Venue: string(i.Container), Year: i.Issued.year(), Volume: string(i.Volume), Number: string(i.Issue), Pages: string(i.Page),
		DOI: string(i.DOI), URL: string(i.URL), Abstract: string(i.Abstract), Kind: cslKind(i.Type),
	}
	for _, s := range []scalar{i.Number, i.Location, i.URL, i.Note, i.DOI} {
		if p.ArXiv == "" && strings.Contains(strings.ToLower(string(s)+string(i.Archive)), "arxiv") {
			p.ArXiv = paper.CleanArXiv(string(s))
		}
	}
	switch {
	case p.Venue == "" && i.Event != "":
		p.Venue = string(i.Event)
	case p.Venue == "" && p.Kind != paper.Preprint:
		p.Venue = string(i.Publisher)
	}
	if strings.EqualFold(p.Venue, "arxiv") || p.Kind == paper.Other && p.ArXiv != "" {
		p.Kind, p.Venue = paper.Preprint, ""
	}
	for _, a := range i.Author {
		if au := a.author(); au != (paper.Author{}) {
			p.Authors = append(p.Authors, au)
		}
	}
	return named(p, string(i.ID)), true
}

func (a person) author() paper.Author {
	if a.Family == "" {
		name := string(a.Literal)
		if name == "" {
			name = string(a.Given)
		}
		if strings.TrimSpace(name) == "" {
			return paper.Author{}
		}
		return paper.ParseAuthor("{" + name + "}")
	}
	family := strings.TrimSpace(strings.Join(strings.Fields(string(a.Particle2)+" "+string(a.Particle)+" "+string(a.Family)), " "))
	name := family
	if a.Suffix != "" {
		name += ", " + string(a.Suffix)
	}
	if a.Given != "" {
		name += ", " + string(a.Given)
	}
	return paper.ParseAuthor(name)
}

func cslKind(t string) string {
	switch t {
	case "article-journal", "journal-article", "review", "article-magazine", "article-newspaper":
		return paper.Journal
	case "paper-conference", "proceedings-article":
		return paper.Conference
	case "book", "monograph", "edited-book", "proceedings":
		return paper.Book
	case "chapter", "book-chapter", "entry", "entry-encyclopedia":
		return paper.Chapter
	case "report", "thesis", "dissertation":
		return paper.Report
	case "article", "posted-content", "manuscript", "preprint":
		return paper.Preprint
	}
	return paper.Other
}
