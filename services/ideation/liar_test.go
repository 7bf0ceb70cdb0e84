package ideation_test

import (
	"fmt"
	"strings"
	"testing"

	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	"nullius.dev/services/ideation/litfault"
)

// TestResolvePaper_AnotherRecordThanWasAskedFor is told as what it is: by an identifier alone there is no title that could.
func TestResolvePaper_AnotherRecordThanWasAskedFor(t *testing.T) {
	t.Setenv("S2_API_KEY", "key-of-the-test")
	r := open(t, nil)
	other := `{"paperId":"ab","externalIds":{"DOI":"10.5555/OTHER","ArXiv":"2001.00009"},"title":"Quite another paper","year":2020,"authors":[{"name":"Ada Example"}]}`
	r.server.Play(litfault.SemanticScholar, litfault.Step{Body: other})
	for _, q := range []*literaturev1.ResolvePaperRequest{{Doi: "10.5555/asked"}, {ArxivId: "1901.00002"}} {
		q.Engine = "semanticscholar"
		res := r.resolve(q)
		if res.GetOutcome() != literaturev1.ResolveResult_FOUND_WITH_OTHER_METADATA || len(res.GetDifferences()) == 0 || !strings.Contains(fmt.Sprint(res.GetDifferences()), q.GetDoi()+q.GetArxivId()) {
			t.Errorf("%v gave %v, %v", q, res.GetOutcome(), res.GetDifferences())
		}
	}
	same := strings.Replace(other, "10.5555/OTHER", "10.5555/ASKED-TOO", 1) // in another case, and arXiv's own DOI
	r.server.Play(litfault.SemanticScholar, litfault.Step{Body: same})
	for _, doi := range []string{"10.5555/asked-too", "10.48550/arXiv.2001.00009"} {
		if res := r.resolve(&literaturev1.ResolvePaperRequest{Doi: doi, Engine: "semanticscholar"}); res.GetOutcome() != literaturev1.ResolveResult_FOUND {
			t.Errorf("%s gave %v, %v", doi, res.GetOutcome(), res.GetDifferences())
		}
	}
}

// TestSearchPapers_PagesThatLie: more papers than were asked for, the same one again, and a count of any size.
func TestSearchPapers_PagesThatLie(t *testing.T) {
	t.Setenv("S2_API_KEY", "key-of-the-test")
	r := open(t, nil)
	var rows []string
	for i := range 700 {
		rows = append(rows, fmt.Sprintf(`{"paperId":"p%d","title":"Early stopping of kind %d","year":2020}`, i/2, i/2)) // each twice
	}
	for _, total := range []string{"3", "-1", "9000000000000000000", "null"} {
		r.server.Play(litfault.SemanticScholar, litfault.Step{Body: `{"total":` + total + `,"offset":7,"next":1,"data":[` + strings.Join(rows, ",") + `]}`})
		res := r.search(&literaturev1.SearchPapersRequest{Query: "early stopping " + total, Limit: 5, Engine: "semanticscholar"})
		seen := map[string]bool{}
		for _, p := range res.GetPapers() {
			seen[p.GetId()] = true
		}
		if res.GetOutcome() != literaturev1.SearchResult_FOUND || len(res.GetPapers()) != 5 || len(seen) != 5 || res.GetAsked()[0].GetTotal() < 0 {
			t.Errorf("total %s: %v with %d papers, %d of them different: %s", total, res.GetOutcome(), len(res.GetPapers()), len(seen), story(res.GetAsked()))
		}
	}
}
