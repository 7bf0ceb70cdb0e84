package litfault

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"unicode"
)

// Paper is what an engine knows of a paper.
type Paper struct {
	Title    string
	Authors  []string
	Year     int
	Venue    string
	Kind     string // conference, journal or preprint
	DOI      string
	ArXiv    string
	Abstract string
	Cited    int
}

// answer serves the list in the engine's own shape.
func (s *Server) answer(w http.ResponseWriter, engine, path string, r *http.Request) {
	q := r.URL.Query()
	switch engine {
	case SemanticScholar:
		s.answerS2(w, path, r)
	case OpenAlex:
		s.answerOpenAlex(w, path, r)
	default:
		var found []Paper
		if ids := q.Get("id_list"); ids != "" {
			for _, id := range strings.Split(ids, ",") {
				found = append(found, s.where(func(p Paper) bool { return p.ArXiv == strings.TrimSpace(id) })...)
			}
		} else {
			found = s.find(engine, q.Get("search_query"), 100, func(p Paper) bool { return p.ArXiv != "" })
		}
		w.Header().Set("Content-Type", "application/atom+xml; charset=UTF-8")
		fmt.Fprint(w, Atom(found))
	}
}

func (s *Server) answerS2(w http.ResponseWriter, path string, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case path == "/paper/search":
		found := s.find(SemanticScholar, q.Get("query"), atoi(q.Get("limit"), 10), nil)
		if len(found) == 0 {
			fmt.Fprint(w, `{"total": 0, "offset": 0}`)
			return
		}
		send(w, map[string]any{"total": len(found), "offset": 0, "data": all(found, S2)})
	case path == "/paper/search/match":
		found := s.find(SemanticScholar, q.Get("query"), 1, nil)
		if len(found) == 0 {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":"Title match not found"}`)
			return
		}
		send(w, map[string]any{"data": all(found, S2)})
	case path == "/paper/batch":
		var body struct{ IDs []string }
		if json.Unmarshal([]byte(r.Header.Get("X-Played-Body")), &body) != nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"Malformed request"}`)
			return
		}
		out := make([]any, len(body.IDs))
		for i, id := range body.IDs {
			if p := s.where(s2ID(id)); len(p) > 0 {
				out[i] = S2(p[0])
			}
		}
		send(w, out)
	default:
		id := strings.TrimPrefix(path, "/paper/")
		p := s.where(s2ID(id))
		if len(p) == 0 {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"error":"Paper with id %s not found"}`, id)
			return
		}
		send(w, S2(p[0]))
	}
}

func s2ID(id string) func(Paper) bool {
	kind, v, _ := strings.Cut(id, ":")
	return func(p Paper) bool {
		return kind == "DOI" && p.DOI != "" && strings.EqualFold(p.DOI, v) || kind == "ARXIV" && p.ArXiv != "" && p.ArXiv == v
	}
}

func (s *Server) answerOpenAlex(w http.ResponseWriter, path string, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Content-Type", "application/json")
	if doi, ok := strings.CutPrefix(path, "/works/doi:"); ok {
		p := s.where(func(p Paper) bool {
			return p.DOI != "" && strings.EqualFold(p.DOI, doi) || p.ArXiv != "" && strings.EqualFold(doi, "10.48550/arxiv."+p.ArXiv)
		})
		if len(p) == 0 {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "<!doctype html>\n<title>404 Not Found</title>")
			return
		}
		send(w, Work(p[0]))
		return
	}
	words := q.Get("search") + q.Get("search.semantic")
	for _, f := range strings.Split(q.Get("filter"), ",") {
		if t, ok := strings.CutPrefix(f, "title.search:"); ok {
			words += " " + t
		}
	}
	found := s.find(OpenAlex, words, atoi(q.Get("per_page"), 25), nil)
	send(w, map[string]any{"meta": map[string]any{"count": len(found), "per_page": 25, "cost_usd": 0.001}, "results": all(found, Work)})
}

func atoi(s string, otherwise int) int {
	n := 0
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n <= 0 {
		return otherwise
	}
	return n
}

func send(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // a client that went away is none of ours
}

func all(ps []Paper, shape func(Paper) any) []any {
	out := make([]any, len(ps))
	for i, p := range ps {
		out[i] = shape(p)
	}
	return out
}

func (s *Server) where(is func(Paper) bool) (out []Paper) {
	for _, p := range s.papers {
		if is(p) {
			out = append(out, p)
		}
	}
	return out
}

// find is the search: papers in whose title or abstract every word occurs, or one where alternatives are asked for.
func (s *Server) find(engine, query string, limit int, also func(Paper) bool) []Paper {
	s.mu.Lock()
	own := s.search[engine]
	s.mu.Unlock()
	if own != nil {
		return own(query, limit)
	}
	query, _, _ = strings.Cut(query, " AND submittedDate:")
	anyWord := engine == ArXiv && strings.Contains(query, " OR ")
	var want []string
	for _, w := range words(query) {
		switch w {
		case "all", "ti", "and", "or":
			if engine == ArXiv {
				continue
			}
		}
		want = append(want, w)
	}
	found := s.where(func(p Paper) bool {
		if also != nil && !also(p) || len(want) == 0 {
			return false
		}
		text := " " + strings.Join(words(p.Title+" "+p.Abstract), " ") + " "
		for _, w := range want {
			if strings.Contains(text, " "+w) == anyWord {
				return anyWord
			}
		}
		return !anyWord
	})
	return found[:min(len(found), limit)]
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// number stands for the one that an engine gives a paper.
func number(p Paper) uint32 {
	h := fnv.New32a()
	fmt.Fprint(h, p.Title, p.Year)
	return h.Sum32()
}

// S2 is a paper as Semantic Scholar tells it.
func S2(p Paper) any {
	authors := make([]any, len(p.Authors))
	for i, a := range p.Authors {
		authors[i] = map[string]any{"authorId": fmt.Sprint(1000 + i), "name": a}
	}
	ids := map[string]any{"CorpusId": 17}
	if p.DOI != "" {
		ids["DOI"] = strings.ToUpper(p.DOI)
	}
	if p.ArXiv != "" {
		ids["ArXiv"] = p.ArXiv
	}
	m := map[string]any{
		"paperId": fmt.Sprintf("%040x", number(p)), "externalIds": ids, "title": p.Title, "year": p.Year, "abstract": nil, "venue": p.Venue,
		"publicationVenue": nil, "publicationTypes": nil, "journal": nil, "authors": authors, "citationCount": p.Cited, "openAccessPdf": nil,
		"url": "https://www.semanticscholar.org/paper/x",
	}
	if p.Abstract != "" {
		m["abstract"] = p.Abstract
	}
	if p.Venue != "" && p.Kind != "preprint" {
		m["publicationVenue"] = map[string]any{"name": p.Venue, "type": p.Kind}
	}
	return m
}

// Work is a paper as OpenAlex tells it.
func Work(p Paper) any {
	authors := make([]any, len(p.Authors))
	for i, a := range p.Authors {
		authors[i] = map[string]any{"author": map[string]any{"display_name": a}, "raw_author_name": a}
	}
	inverted := map[string][]int{}
	for i, w := range strings.Fields(p.Abstract) {
		inverted[w] = append(inverted[w], i)
	}
	m := map[string]any{
		"id": fmt.Sprintf("https://openalex.org/W%d", number(p)), "doi": nil, "display_name": p.Title, "publication_year": p.Year,
		"authorships": authors, "abstract_inverted_index": inverted, "cited_by_count": p.Cited, "is_retracted": false, "type": "article",
		"primary_location": map[string]any{"landing_page_url": nil, "source": map[string]any{"display_name": p.Venue, "type": p.Kind}},
		"locations":        []any{},
	}
	if p.DOI != "" {
		m["doi"] = "https://doi.org/" + p.DOI
	}
	if p.ArXiv != "" {
		m["locations"] = []any{map[string]any{"landing_page_url": "http://arxiv.org/abs/" + p.ArXiv}}
	}
	return m
}

// Atom is papers as arXiv tells them.
func Atom(ps []Paper) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">
<title>arXiv Query</title><id>http://arxiv.org/api/x</id><opensearch:totalResults>%d</opensearch:totalResults>`, len(ps))
	for _, p := range ps {
		fmt.Fprintf(&b, `<entry><id>http://arxiv.org/abs/%sv2</id><title>%s</title><published>%d-01-02T00:00:00Z</published><summary>  %s
</summary>`, p.ArXiv, xmlText(strings.Replace(p.Title, " ", "\n  ", 1)), p.Year, xmlText(p.Abstract))
		for _, a := range p.Authors {
			fmt.Fprintf(&b, `<author><name>%s</name></author>`, xmlText(a))
		}
		if p.DOI != "" {
			fmt.Fprintf(&b, `<arxiv:doi>%s</arxiv:doi>`, xmlText(p.DOI))
		}
		fmt.Fprintf(&b, `<link title="pdf" href="http://arxiv.org/pdf/%sv2" rel="related" type="application/pdf"/></entry>`, p.ArXiv)
	}
	b.WriteString("</feed>")
	return b.String()
}

func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes all
	return b.String()
}
