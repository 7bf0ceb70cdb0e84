package semanticscholar

import (
	"encoding/json"
	"strings"
	"testing"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/litfault"
)

// FuzzAnswer: whatever comes, there are papers within their bounds or a verdict, and a batch has a place for each identifier.
func FuzzAnswer(f *testing.F) {
	one, err := json.Marshal(litfault.S2(litfault.Paper{Title: "T", ArXiv: "2101.00001", DOI: "10.1/x", Year: 2021, Authors: []string{"Ada Example"}}))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(one), `{"total":1,"data":[` + string(one) + `]}`, `[null,` + string(one) + `]`, `{"total":0,"offset":0}`, `{"data":[null,{"title":7}]}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, ids := range [][]string{nil, {"DOI:10.1/x"}, {"DOI:10.1/x", "ARXIV:2101.00001"}} {
			papers, _, v := decode(body, engine.Request{IDs: ids})
			if v != nil && (len(papers) > 0 || v.Failure == nil) {
				t.Fatalf("papers and a failure: %v, %+v", papers, v)
			}
			if v == nil && len(ids) > 1 && len(papers) != len(ids) {
				t.Fatalf("%d places for %d identifiers", len(papers), len(ids))
			}
			for _, p := range papers {
				if len(ids) < 2 && (p.Title == "" || p.ID == "") {
					t.Fatalf("%+v", p)
				}
			}
		}
	})
}

func TestKinds(t *testing.T) {
	tests := []struct{ record, venue, kind string }{
		{`{"title":"t","venue":"arXiv.org","journal":{"name":"ArXiv","volume":"abs/2101.1"},"externalIds":{"ArXiv":"2101.00001"}}`, "", "preprint"},
		{`{"title":"t","venue":"ICLR","publicationVenue":{"name":"International Conference on Learning Representations","type":"conference"},"journal":{"name":"ArXiv"}}`, "International Conference on Learning Representations", "conference"},
		{`{"title":"t","venue":"Nature","journal":{"name":"Nature","volume":"1","pages":"2 - 3"},"publicationTypes":["JournalArticle"]}`, "Nature", "journal"},
		{`{"title":"t","publicationTypes":["Book"],"venue":""}`, "", "book"},
		{`{"title":"t","publicationTypes":["JournalArticle"],"externalIds":{"ArXiv":"2101.00001"}}`, "", "preprint"},
		{`{"title":"t"}`, "", "other"},
	}
	for _, tt := range tests {
		p, ok := Record([]byte(tt.record))
		if !ok || p.Venue != tt.venue || p.Kind != tt.kind {
			t.Errorf("%s: got %q, %q", tt.record, p.Venue, p.Kind)
		}
		if strings.Contains(p.Volume, "abs") {
			t.Errorf("volume %q", p.Volume)
		}
	}
}
