package arxiv

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/litfault"
)

// FuzzFeed: whatever comes, there are papers within their bounds or a verdict, and a batch has a place for each number.
func FuzzFeed(f *testing.F) {
	f.Add([]byte(litfault.Atom([]litfault.Paper{{Title: "T", ArXiv: "2101.00001", Year: 2021, Authors: []string{"Ada Example"}}})))
	f.Add([]byte(litfault.Rejected))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><feed xmlns="http://www.w3.org/2005/Atom"><entry><title>&b;</title></entry></feed>`))
	f.Add([]byte(`<feed xmlns="http://www.w3.org/2005/Atom"><entry/><entry><id>http://arxiv.org/abs/hep-ex/0307015v2</id><title>x</title></entry></feed>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, ids := range [][]string{nil, {"2101.00001"}, {"2101.00001", "1901.00002"}} {
			papers, _, v := decode(body, engine.Request{IDs: ids})
			if v != nil && (len(papers) > 0 || v.Failure == nil) {
				t.Fatalf("papers and a failure: %v, %+v", papers, v)
			}
			if v == nil && len(ids) > 1 && len(papers) != len(ids) {
				t.Fatalf("%d places for %d numbers", len(papers), len(ids))
			}
			for _, p := range papers {
				if len(ids) < 2 && (p.Title == "" || p.ID == "") {
					t.Fatalf("%+v", p)
				}
			}
		}
	})
}

var term = regexp.MustCompile(`^all:"[^"\\]*"$`)

// FuzzTerms: whatever is typed, each word reaches arXiv quoted and no operator does.
func FuzzTerms(f *testing.F) {
	for _, s := range []string{`"a" OR b`, `ti:x ANDNOT y`, `submittedDate:[1 TO 2]`, "c++ (x) \\\" é", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range query.Ladder(s, query.Shape{AnyWord: true}, func(string) int { return 0 }) {
			q := Terms("all", r.Words, r.Any)
			join := " AND "
			if r.Any {
				join = " OR "
			}
			parts := strings.Split(q, join)
			if len(parts) != len(r.Words) {
				t.Fatalf("%q has %d terms for %d words", q, len(parts), len(r.Words))
			}
			for _, p := range parts {
				if !term.MatchString(p) {
					t.Fatalf("%q is no quoted term", p)
				}
			}
			if back, err := url.ParseQuery(url.Values{"search_query": {q}}.Encode()); err != nil || back.Get("search_query") != strings.ToValidUTF8(q, back.Get("search_query")) && !strings.Contains(q, "\uFFFD") {
				t.Fatalf("%q does not survive the address: %v", q, err)
			}
		}
	})
}
