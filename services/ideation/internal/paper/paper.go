// Package paper holds what a paper's record is: its facts, how two records are found to be of the same paper, how they are
// merged, and the identifiers and keys that follow from them. Everything here is a function of its arguments.
package paper

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/text"
)

// Bounds of a record; what is longer is cut.
const (
	MaxTitle    = 500
	MaxAbstract = 5000
	MaxAuthors  = 200
	maxVenue    = 300
	maxURL      = 1000
)

// Kinds of papers.
const (
	Conference = "conference"
	Journal    = "journal"
	Preprint   = "preprint"
	Book       = "book"
	Chapter    = "chapter"
	Report     = "report"
	Other      = "other"
)

// Engines that know papers, the best informed one first where records disagree.
const (
	SemanticScholar = "semanticscholar"
	OpenAlex        = "openalex"
	ArXiv           = "arxiv"
	Local           = "local"
)

// Paper is a paper's record. Its JSON is what the ledger and recordings keep, so fields are only ever added.
type Paper struct {
	ID          string     `json:"id"`
	Key         string     `json:"key,omitempty"`
	Title       string     `json:"title"`
	OtherTitles []string   `json:"other_titles,omitempty"` // of earlier versions, or as other engines have it
	Authors     []Author   `json:"authors,omitempty"`
	AuthorsCut  bool       `json:"authors_cut,omitempty"` // there are more
	Venue       string     `json:"venue,omitempty"`
	Kind        string     `json:"kind,omitempty"`
	Year        int        `json:"year,omitempty"`
	Volume      string     `json:"volume,omitempty"`
	Number      string     `json:"number,omitempty"`
	Pages       string     `json:"pages,omitempty"`
	Abstract    string     `json:"abstract,omitempty"`
	Citations   *int64     `json:"citations,omitempty"` // nil: unknown
	DOI         string     `json:"doi,omitempty"`
	ArXiv       string     `json:"arxiv,omitempty"` // without version
	URL         string     `json:"url,omitempty"`
	PDF         string     `json:"pdf,omitempty"`
	Retracted   bool       `json:"retracted,omitempty"`
	Origins     []Origin   `json:"origins,omitempty"`
	Conflicts   []Conflict `json:"conflicts,omitempty"`
}

// Origin says which engine told a field; an empty field stands for the whole record.
type Origin struct {
	Field  string `json:"field,omitempty"`
	Engine string `json:"engine"`
	Record string `json:"record,omitempty"`
}

// Conflict is what another engine says of a field.
type Conflict struct {
	Field  string `json:"field"`
	Engine string `json:"engine"`
	Value  string `json:"value"`
}

// Clean bounds a record and puts its texts and identifiers into their form, then derives ID and key.
func (p Paper) Clean() Paper {
	p.Title = text.ClipRunes(text.Plain(p.Title), MaxTitle)
	p.Venue = text.ClipRunes(text.Plain(p.Venue), maxVenue)
	p.Abstract = text.ClipRunes(text.Plain(p.Abstract), MaxAbstract)
	p.DOI, p.ArXiv = CleanDOI(p.DOI), CleanArXiv(p.ArXiv)
	if p.ArXiv == "" {
		p.ArXiv = arXivOfDOI(p.DOI)
	}
	if arXivOfDOI(p.DOI) != "" { // arXiv's own DOI tells nothing more and would hide the publisher's
		p.DOI = ""
	}
	p.URL, p.PDF = cleanURL(p.URL), cleanURL(p.PDF)
	p.Volume, p.Number, p.Pages = short(p.Volume), short(p.Number), short(p.Pages)
	if p.Year < 1000 || p.Year > 2999 {
		p.Year = 0
	}
	if len(p.Authors) > MaxAuthors {
		p.Authors, p.AuthorsCut = p.Authors[:MaxAuthors:MaxAuthors], true
	}
	switch p.Kind {
	case Conference, Journal, Preprint, Book, Chapter, Report:
	default:
		p.Kind = Other
	}
	p.ID, p.Key = p.identify(), Key(p)
	return p
}

func short(s string) string { return text.ClipRunes(text.Plain(s), 60) }

// identify is the best identifier that the record has.
func (p Paper) identify() string {
	switch {
	case p.DOI != "":
		return "doi:" + p.DOI
	case p.ArXiv != "":
		return "arxiv:" + p.ArXiv
	}
	for _, o := range p.Origins {
		if o.Field == "" && o.Record != "" && (o.Engine == SemanticScholar || o.Engine == OpenAlex) {
			prefix := "openalex:"
			if o.Engine == SemanticScholar {
				prefix = "s2:"
			}
			return prefix + o.Record
		}
	}
	year := ""
	if p.Year > 0 {
		year = strconv.Itoa(p.Year)
	}
	first := ""
	if len(p.Authors) > 0 {
		first = text.Norm(p.Authors[0].Sort())
	}
	sum := sha256.Sum256([]byte(text.Norm(p.Title) + "\n" + first + "\n" + year))
	return "title:" + hex.EncodeToString(sum[:8])
}

// Titles are all titles the paper is known by.
func (p Paper) Titles() []string { return append([]string{p.Title}, p.OtherTitles...) }

// FirstYear is the earlier of the paper's year and that of its arXiv number; 0 if neither is known.
func (p Paper) FirstYear() int {
	y := arXivYear(p.ArXiv)
	if y == 0 || p.Year != 0 && p.Year < y {
		return p.Year
	}
	return y
}

// YearText is the year as people read it.
func (p Paper) YearText() string {
	if p.Year == 0 {
		return "no year"
	}
	return strconv.Itoa(p.Year)
}

// AuthorText names at most n authors.
func (p Paper) AuthorText(n int) string {
	if len(p.Authors) == 0 {
		return "unknown authors"
	}
	names := make([]string, 0, n)
	for i, a := range p.Authors {
		if i == n {
			break
		}
		names = append(names, a.String())
	}
	s := strings.Join(names, ", ")
	if len(p.Authors) > n || p.AuthorsCut {
		s += " and others"
	}
	return s
}

// String is the paper in one line.
func (p Paper) String() string {
	return fmt.Sprintf("%s (%s, %s)", p.Title, p.AuthorText(2), p.YearText())
}
