package paper

import (
	"sort"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/text"
)

// Same reports whether two records are of one paper.
func Same(a, b Paper) bool {
	switch {
	case a.ID != "" && a.ID == b.ID, a.DOI != "" && a.DOI == b.DOI, a.ArXiv != "" && a.ArXiv == b.ArXiv:
		return true
	case a.DOI != "" && b.DOI != "", a.ArXiv != "" && b.ArXiv != "": // two publishers' papers, two preprints
		return false
	}
	if text.Norm(a.Title) != text.Norm(b.Title) || len(a.Authors) == 0 || len(b.Authors) == 0 {
		return false
	}
	if text.Norm(a.Authors[0].Sort()) != text.Norm(b.Authors[0].Sort()) {
		return false
	}
	return a.Year == 0 || b.Year == 0 || abs(a.Year-b.Year) <= 1
}

func abs(n int) int { return max(n, -n) }

func (p Paper) engine() string {
	for _, o := range p.Origins {
		if o.Field == "" {
			return o.Engine
		}
	}
	return ""
}

func rank(p Paper) int {
	r := 0
	if p.Kind == Preprint || p.Kind == Other {
		r += 10
	}
	switch p.engine() {
	case SemanticScholar:
	case OpenAlex:
		r++
	case ArXiv:
		r += 2
	default:
		r += 3
	}
	return r
}

// Merge joins records of one paper: a published record stands before a preprint's; the longest abstract and the most
// citations are kept; what differs is kept as a conflict.
func Merge(records ...Paper) Paper {
	rs := append([]Paper{}, records...)
	sort.SliceStable(rs, func(i, j int) bool { return rank(rs[i]) < rank(rs[j]) })
	m := rs[0]
	m.Origins = append([]Origin{}, m.Origins...)
	m.Conflicts = append([]Conflict{}, m.Conflicts...)
	m.OtherTitles = append([]string{}, m.OtherTitles...)
	for _, r := range rs[1:] {
		m = join(m, r)
	}
	if len(m.OtherTitles) == 0 {
		m.OtherTitles = nil
	}
	if len(m.Conflicts) == 0 {
		m.Conflicts = nil
	}
	return m.Clean()
}

func join(m, r Paper) Paper {
	by := r.engine()
	fill := func(field string, to *string, from string) {
		if *to == "" && from != "" {
			*to = from
			m.Origins = append(m.Origins, Origin{Field: field, Engine: by, Record: recordOf(r)})
		}
	}
	fill("venue", &m.Venue, r.Venue)
	fill("doi", &m.DOI, r.DOI)
	fill("arxiv_id", &m.ArXiv, r.ArXiv)
	fill("url", &m.URL, r.URL)
	fill("pdf_url", &m.PDF, r.PDF)
	fill("volume", &m.Volume, r.Volume)
	fill("number", &m.Number, r.Number)
	fill("pages", &m.Pages, r.Pages)
	if len(r.Abstract) > len(m.Abstract) {
		m.Abstract = ""
		fill("abstract", &m.Abstract, r.Abstract)
	}
	if r.Citations != nil && (m.Citations == nil || *r.Citations > *m.Citations) {
		m.Citations = r.Citations
	}
	if m.Kind == Other || m.Kind == "" {
		m.Kind = r.Kind
	}
	switch {
	case m.Year == 0:
		m.Year = r.Year
	case r.Year != 0 && r.Year != m.Year:
		m.Conflicts = append(m.Conflicts, Conflict{Field: "year", Engine: by, Value: strconv.Itoa(r.Year)})
	}
	m = joinNames(m, r, by)
	m.Retracted = m.Retracted || r.Retracted
	m.Origins = append(m.Origins, r.Origins...)
	return m
}

func joinNames(m, r Paper, by string) Paper {
	for _, t := range r.Titles() {
		known := false
		for _, k := range m.Titles() {
			known = known || text.Norm(k) == text.Norm(t)
		}
		if known || t == "" {
			continue
		}
		m.OtherTitles = append(m.OtherTitles, t)
		if text.Likeness(text.Norm(m.Title), text.Norm(t)) < 0.97 {
			m.Conflicts = append(m.Conflicts, Conflict{Field: "title", Engine: by, Value: t})
		}
	}
	if len(m.Authors) == 0 {
		m.Authors, m.AuthorsCut = r.Authors, r.AuthorsCut
		return m
	}
	if names(m) != names(r) && len(r.Authors) > 0 && !m.AuthorsCut && !r.AuthorsCut {
		m.Conflicts = append(m.Conflicts, Conflict{Field: "authors", Engine: by, Value: r.AuthorText(20)})
	}
	return m
}

func names(p Paper) string {
	fs := make([]string, len(p.Authors))
	for i, a := range p.Authors {
		fs[i] = text.Norm(a.Sort())
	}
	return strings.Join(fs, "|")
}

func recordOf(p Paper) string {
	for _, o := range p.Origins {
		if o.Field == "" {
			return o.Record
		}
	}
	return ""
}

// Fuse ranks the papers that several engines returned by their reciprocal ranks; ties by citations, year, identifier.
func Fuse(lists [][]Paper, limit int) []Paper {
	type entry struct {
		records []Paper
		score   float64
	}
	var all []*entry
	for _, list := range lists {
		for i, p := range list {
			var at *entry
			for _, e := range all {
				for _, r := range e.records {
					if Same(r, p) {
						at = e
					}
				}
			}
			if at == nil {
				at = &entry{}
				all = append(all, at)
			}
			at.records = append(at.records, p)
			at.score += 1 / float64(60+i+1)
		}
	}
	type ranked struct {
		paper Paper
		score float64
	}
	out := make([]ranked, len(all))
	for i, e := range all {
		out[i] = ranked{Merge(e.records...), e.score}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.score != b.score {
			return a.score > b.score
		}
		if x, y := citations(a.paper), citations(b.paper); x != y {
			return x > y
		}
		if a.paper.Year != b.paper.Year {
			return a.paper.Year > b.paper.Year
		}
		return a.paper.ID < b.paper.ID
	})
	papers := make([]Paper, 0, min(limit, len(out)))
	for i := range out {
		if i == limit {
			break
		}
		papers = append(papers, out[i].paper)
	}
	UniqueKeys(papers)
	return papers
}

func citations(p Paper) int64 {
	if p.Citations == nil {
		return -1
	}
	return *p.Citations
}
