package arxiv

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

const (
	maxEntries = 200
	maxDepth   = 30
)

// feed is what is read of an answer.
type feed struct {
	total   int64
	entries []entry
}

type entry struct {
	ID        string `xml:"http://www.w3.org/2005/Atom id"`
	Title     string `xml:"http://www.w3.org/2005/Atom title"`
	Published string `xml:"http://www.w3.org/2005/Atom published"`
	Summary   string `xml:"http://www.w3.org/2005/Atom summary"`
	Authors   []struct {
		Name string `xml:"http://www.w3.org/2005/Atom name"`
	} `xml:"http://www.w3.org/2005/Atom author"`
	DOI   string `xml:"http://arxiv.org/schemas/atom doi"`
	Links []struct {
		Title string `xml:"title,attr"`
		Href  string `xml:"href,attr"`
	} `xml:"http://www.w3.org/2005/Atom link"`
}

func (e entry) isError() bool {
	return strings.Contains(e.ID, "/api/errors") || e.ID == "" && strings.EqualFold(strings.TrimSpace(e.Title), "error")
}

// rateExceeded is what arXiv says instead of a feed, with status 200 or 429.
func rateExceeded(body []byte) bool {
	return len(body) < 400 && bytes.Contains(bytes.ToLower(body), []byte("rate exceeded"))
}

// special knows the limit's words and the feed of an error, which comes with status 400 too.
func special(code int, h http.Header, body []byte, now time.Time, _ bool) *engine.Verdict {
	switch {
	case code == http.StatusOK && rateExceeded(body), code == http.StatusForbidden && rateExceeded(body):
		return &engine.Verdict{Failure: &literature.Failure{Cause: literature.RateLimit, Detail: "arXiv limits this address (rate exceeded)."}, Again: true, Wait: engine.RetryAfter(h, now)}
	case code == http.StatusBadRequest:
		if f, err := parse(body); err == nil && len(f.entries) == 1 {
			return rejected(f.entries[0])
		}
	}
	return nil
}

func rejected(e entry) *engine.Verdict {
	return &engine.Verdict{Failure: &literature.Failure{
		Cause: literature.Rejected, Detail: fmt.Sprintf("arXiv rejected the request (%s).", text.ClipRunes(text.OneLine(e.Summary), 200)),
	}}
}

// decode reads a feed.
func decode(body []byte, r engine.Request) ([]paper.Paper, int64, *engine.Verdict) {
	f, err := parse(body)
	if err != nil {
		v := engine.BadAnswer(title, "its answer is no Atom feed")
		return nil, 0, &v
	}
	if len(f.entries) == 1 && f.entries[0].isError() {
		return nil, 0, rejected(f.entries[0])
	}
	var out []paper.Paper
	for _, e := range f.entries {
		if p, ok := e.paper(); ok {
			out = append(out, p)
		}
	}
	switch {
	case len(r.IDs) > 1:
		return aligned(out, r.IDs), int64(len(out)), nil
	case len(out) == 0 && len(f.entries) > 0:
		v := engine.BadAnswer(title, "no entry of its feed can be read")
		return nil, 0, &v
	case len(out) == 0 && f.total > 0 && len(r.IDs) == 0: // asked by number, an unknown one may be counted
		v := engine.BadAnswer(title, "its feed counts papers and holds none")
		return nil, 0, &v
	case len(out) == 0:
		return nil, 0, nil
	}
	return out, max(f.total, int64(len(out))), nil
}

// aligned has a paper for each number, an empty one for those that did not come.
func aligned(papers []paper.Paper, ids []string) []paper.Paper {
	out := make([]paper.Paper, len(ids))
	for i, id := range ids {
		for _, p := range papers {
			if p.ArXiv == id {
				out[i] = p
			}
		}
	}
	return out
}

// parse reads a feed without recursion of our own; a document type is refused, so there are no entities to grow.
func parse(body []byte) (feed, error) {
	var f feed
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader, d.Entity = charset, xml.HTMLEntity
	depth, root := 0, false
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !root || depth != 0 {
				return f, errors.New("no feed")
			}
			return f, nil
		}
		if err != nil {
			return f, err
		}
		switch t := tok.(type) {
		case xml.Directive:
			return f, errors.New("a document type")
		case xml.StartElement:
			switch {
			case !root && t.Name.Local != "feed":
				return f, errors.New("no feed")
			case !root:
				root = true
				depth++
			case depth == 1 && t.Name.Local == "entry" && len(f.entries) < maxEntries:
				var e entry
				if err := d.DecodeElement(&e, &t); err != nil {
					return f, err
				}
				f.entries = append(f.entries, e)
			case depth == 1 && t.Name.Local == "totalResults":
				var n string
				if err := d.DecodeElement(&n, &t); err != nil {
					return f, err
				}
				f.total, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64) // 0 if it is no number
			default:
				if depth++; depth > maxDepth {
					return f, errors.New("too deep")
				}
			}
		case xml.EndElement:
			depth--
		}
	}
}

// charset lets the names of encodings pass of which an answer was made UTF-8 before.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "iso-8859-1", "latin1", "windows-1252", "us-ascii":
		return in, nil
	}
	return nil, fmt.Errorf("the encoding %.40q is unknown", name)
}

func (e entry) paper() (paper.Paper, bool) {
	p := paper.Paper{Title: e.Title, Abstract: e.Summary, DOI: e.DOI, Kind: paper.Preprint, ArXiv: number(e.ID), URL: e.ID}
	if text.Norm(p.Title) == "" || e.isError() {
		return p, false
	}
	if len(e.Published) >= 4 {
		p.Year, _ = strconv.Atoi(e.Published[:4]) // 0 if it is no number
	}
	for _, a := range e.Authors {
		if au := paper.ParseAuthor(a.Name); au != (paper.Author{}) {
			p.Authors = append(p.Authors, au)
		}
	}
	for _, l := range e.Links {
		if l.Title == "pdf" {
			p.PDF = l.Href
		}
	}
	p.Origins = []paper.Origin{{Engine: paper.ArXiv, Record: text.ClipRunes(p.ArXiv, 40)}}
	return p.Clean(), true
}

// number is the number of an address such as http://arxiv.org/abs/hep-ex/0307015v2.
func number(address string) string {
	if i := strings.Index(address, "/abs/"); i >= 0 {
		return paper.CleanArXiv(address[i+len("/abs/"):])
	}
	return paper.CleanArXiv(address)
}
