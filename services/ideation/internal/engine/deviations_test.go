package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/semanticscholar"
	"nullius.dev/services/ideation/litfault"
)

func wide(s string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

func narrow(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
	}
	return b.String()
}

// TestSearch_ReadsAnswersThatDiffer: encodings that are not what they should be, and fields of another kind, lose no paper.
func TestSearch_ReadsAnswersThatDiffer(t *testing.T) {
	s2Page := `{"total":1,"offset":0,"data":[{"paperId":"ab","title":"Étude of a made-up thing","year":2021,"authors":[{"name":"René Example"}],"abstract":"We study."}]}`
	oaPage := `{"meta":{"count":1},"results":[{"id":"https://openalex.org/W1","display_name":"Étude of a made-up thing","publication_year":2021,"authorships":[{"author":{"display_name":"René Example"}}],"abstract_inverted_index":{"We":[0],"study.":[1]}}]}`
	feed := `<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2101.00001v2</id><title>Étude of a made-up thing</title><published>2021-01-01T00:00:00Z</published><summary>We study.</summary><author><name>René Example</name></author></entry></feed>`
	latin := `<?xml version="1.0" encoding="ISO-8859-1"?>` + feed
	s2With := func(fields string) string {
		return `{"total":1,"data":[{"paperId":"ab","title":"Étude of a made-up thing","abstract":"We study.","authors":[{"name":"René Example"}],` + fields + `}]}`
	}
	oaWith := func(fields string) string {
		return `{"meta":{"count":1},"results":[{"display_name":"Étude of a made-up thing",` + fields + `}]}`
	}
	for name, tt := range map[string]struct {
		engine, body string
		less         string // of what is known otherwise: year, authors, abstract
	}{
		"S2: a byte order mark":         {s2, "\xef\xbb\xbf" + s2Page, ""},
		"S2: UTF-16":                    {s2, wide(s2Page), ""},
		"S2: Latin-1":                   {s2, narrow(s2Page), ""},
		"S2: numbers as text":           {s2, s2With(`"year":"2021","citationCount":"3"`), "year"},
		"S2: a kind for its list":       {s2, s2With(`"year":2021.0,"publicationTypes":"JournalArticle","journal":"Nature"`), ""},
		"S2: authors that are none":     {s2, strings.Replace(s2With(`"year":2021`), `[{"name":"René Example"}]`, `[{"name":7},null,{"name":"René Example"}]`, 1), ""},
		"OpenAlex: a byte order mark":   {oa, "\xef\xbb\xbf" + oaPage, ""},
		"OpenAlex: Latin-1":             {oa, narrow(oaPage), ""},
		"OpenAlex: numbers with points": {oa, oaWith(`"publication_year":2021.0,"cited_by_count":3.0,"authorships":[{"author":{"display_name":"René Example"}}],"abstract_inverted_index":{"We":[0],"study.":[1]}`), ""},
		"OpenAlex: nulls everywhere":    {oa, oaWith(`"id":null,"doi":null,"publication_year":null,"authorships":null,"type":null,"primary_location":null,"locations":null,"best_oa_location":null,"biblio":null,"abstract_inverted_index":null,"cited_by_count":null,"is_retracted":null`), "year authors abstract"},
		"OpenAlex: an abstract as text": {oa, oaWith(`"publication_year":2021,"authorships":[{"author":{"display_name":"René Example"}}],"abstract_inverted_index":"{\"We\":[0]}"`), "abstract"},
		"OpenAlex: odd positions":       {oa, oaWith(`"publication_year":2021,"authorships":[{"author":null,"raw_author_name":"René Example"}],"abstract_inverted_index":{"We":[0,-1,1e99],"study.":[1],"x":"y","z":null}`), ""},
		"arXiv: a byte order mark":      {ax, "\xef\xbb\xbf" + `<?xml version="1.0" encoding="UTF-8"?>` + feed, ""},
		"arXiv: Latin-1, as it says":    {ax, narrow(latin), ""},
		"arXiv: Latin-1, unsaid":        {ax, narrow(feed), ""},
		"arXiv: UTF-8, said as Latin-1": {ax, latin, ""},
		"arXiv: entities of HTML":       {ax, strings.NewReplacer("É", "&Eacute;", "é", "&eacute;").Replace(feed), ""},
		"arXiv: hardly anything":        {ax, `<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>Étude of a made-up thing</title></entry></feed>`, "year authors abstract"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tt.engine, "", status(200, tt.body)).find(t)
			if a.Failure != nil || len(a.Papers) != 1 {
				t.Fatalf("%+v", a)
			}
			p := a.Papers[0]
			has := func(what string) bool { return !strings.Contains(tt.less, what) }
			if p.Title != "Étude of a made-up thing" || (p.Year == 2021) != has("year") || (len(p.Authors) == 1 && p.Authors[0].Given == "René") != has("authors") || (p.Abstract == "We study.") != has("abstract") {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// TestSearch_FollowsAnEngineToItself alone, and not for ever.
func TestSearch_FollowsAnEngineToItself(t *testing.T) {
	here := litfault.Step{Status: 301, Header: map[string]string{"Location": "?page=1"}}
	page := status(200, `{"meta":{"count":1},"results":[{"display_name":"A title"}]}`)
	p := play(t, oa, canary, here, page)
	if a := p.find(t); len(a.Papers) != 1 || len(p.server.Seen(oa)) != 2 || p.server.Seen(oa)[1].Header.Get("Authorization") != "Bearer "+canary {
		t.Errorf("%+v after %d requests", a, len(p.server.Seen(oa)))
	}
	p = play(t, oa, canary, here)
	if a := p.find(t); a.Failure == nil || a.Failure.Cause != "BAD_ANSWER" || len(p.server.Seen(oa)) != 12 {
		t.Errorf("a circle: %+v after %d requests", a, len(p.server.Seen(oa)))
	}
}

// TestSearch_KeysStayHidden where an engine echoes them in what is kept and shown.
func TestSearch_KeysStayHidden(t *testing.T) {
	for _, body := range []string{
		`{"total":1,"data":[{"paperId":"CANARY-key","title":"You sent CANARY-key","abstract":"CANARY-key","venue":"CANARY-key","authors":[{"name":"CANARY-key"}],"url":"http://x.test/CANARY-key"}]}`,
		`{"message":"no CANARY-key"}`,
	} {
		a := play(t, s2, canary, status(200, body)).find(t)
		all, err := json.Marshal(a)
		if err != nil || strings.Contains(string(all), canary) {
			t.Errorf("%s, %v", all, err)
		}
	}
}

// TestSearch_WhatIsWrongWithTheKey: a key that is missing is told from one that is refused, and what is left from what is forbidden.
func TestSearch_WhatIsWrongWithTheKey(t *testing.T) {
	left := litfault.Step{Status: 403, Header: map[string]string{"X-RateLimit-Remaining-USD": "0", "X-RateLimit-Reset": "600"}, Body: `{"error":"Forbidden"}`}
	for name, tt := range map[string]struct {
		engine, key         string
		step                litfault.Step
		cause, detail, next string
	}{
		"S2 wants one":               {s2, "", status(401, `{"message":"Unauthorized"}`), "KEY_MISSING", "Semantic Scholar wants a key (401), and S2_API_KEY is not set.", "export S2_API_KEY=…"},
		"S2 refuses it":              {s2, canary, status(401, `{"message":"Unauthorized"}`), "KEY_REFUSED", "Semantic Scholar refused S2_API_KEY (401); unused keys die after about 60 days.", "nullius doctor"},
		"OpenAlex has nothing left":  {oa, "", left, "QUOTA", "OpenAlex's free $0.10 for today is spent; back in 10 min.", "OPENALEX_API_KEY (free)"},
		"OpenAlex forbids something": {oa, canary, status(403, `{"error":"Forbidden"}`), "KEY_REFUSED", "OpenAlex refused OPENALEX_API_KEY (403).", "nullius doctor"},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, tt.engine, tt.key, tt.step)
			a := p.find(t)
			if f := a.Failure; f == nil || f.Cause != tt.cause || f.Detail != tt.detail || f.Next != tt.next || len(p.server.Seen(tt.engine)) != 1 {
				t.Errorf("%+v", a.Failure)
			}
		})
	}
}

// failing dials nobody.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// TestSearch_ThatReachesNobody says why, without the address.
func TestSearch_ThatReachesNobody(t *testing.T) {
	for detail, err := range map[string]error{
		"Semantic Scholar's name cannot be looked up; is there a network? (3 tries).": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "api.test"}},
		"Semantic Scholar's certificate is not trusted (3 tries).":                    errors.New("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
		"Nothing listens at Semantic Scholar's address (3 tries).":                    &net.OpError{Op: "dial", Err: errors.New("connect: connection refused")},
		"The connection to Semantic Scholar broke (3 tries).":                         errors.New("http2: server sent GOAWAY and closed the connection"),
	} {
		c := &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
		e, err := semanticscholar.New(engine.Options{Base: "https://api.test", Agent: "x", Gate: &free{}, Clock: c, Transport: failing{err}})
		if err != nil {
			t.Fatal(err)
		}
		a := e.Search(t.Context(), literature.Search{Rung: query.Rung{Words: []string{"x"}}, Limit: 1}, call())
		if a.Failure == nil || a.Failure.Detail != detail || a.Failure.Next == "" || strings.Contains(fmt.Sprintf("%+v", a.Failure), "api.test") {
			t.Errorf("%+v, want %s", a.Failure, detail)
		}
	}
}
