package openalex_test

import (
	"testing"

	"nullius.dev/services/ideation/internal/openalex"
)

const good = `{"meta":{"count":7},"results":[{"id":"https://openalex.org/W1","doi":"https://doi.org/10.5555/X1","display_name":"A <i>Made-up</i> Title",
 "publication_year":2021,"type":"article","authorships":[{"author":{"display_name":"Ada Example"}},{"author":null}],"abstract_inverted_index":{"We":[0],"study":[1,1000000000]},
 "cited_by_count":3,"primary_location":{"source":{"display_name":"Conf","type":"conference"}},"locations":[{"landing_page_url":"https://arxiv.org/abs/2101.00001v2"}],"is_retracted":null}]}`

func TestDecode(t *testing.T) {
	papers, total, err := openalex.Decode([]byte(good), false)
	if err != nil || len(papers) != 1 || total != 7 {
		t.Fatalf("got %v, %d, %v", papers, total, err)
	}
	p := papers[0]
	if p.ID != "doi:10.5555/x1" || p.Title != "A Made-up Title" || p.ArXiv != "2101.00001" || p.Abstract != "We study" || p.Kind != "conference" || p.Venue != "Conf" || p.Key != "example2021made" {
		t.Errorf("got %+v", p)
	}
}

// TestDecode_OddAnswers: a paper is not lost for an odd abstract, nor is an answer that counts works and holds none taken for one that knows none.
func TestDecode_OddAnswers(t *testing.T) {
	work := func(inverted string) string {
		return `{"meta":{"count":1},"results":[null,{"id":"W1","display_name":"A Title","abstract_inverted_index":` + inverted + `}]}`
	}
	for name, tt := range map[string]struct {
		body     string
		papers   int
		abstract string
		bad      bool
	}{
		"an index with odd positions": {work(`{"We":[0,-5],"study":[1.0],"far":[999999999],"odd":"x","none":null}`), 1, "We study", false},
		"a list for an index":         {work(`[]`), 1, "", false},
		"a text for an index":         {work(`"We study"`), 1, "", false},
		"no results, none counted":    {`{"meta":{"count":0},"results":null}`, 0, "", false},
		"no results, none told":       {`{"meta":{"count":0},"results":[]}`, 0, "", false},
		"results without a count":     {`{"results":[]}`, 0, "", false},
		"seven counted, none there":   {`{"meta":{"count":7},"results":[]}`, 0, "", true},
		"seven counted, null":         {`{"meta":{"count":7},"results":null}`, 0, "", true},
		"neither count nor results":   {`{}`, 0, "", true},
	} {
		papers, _, err := openalex.Decode([]byte(tt.body), false)
		if len(papers) != tt.papers || (err != nil) != tt.bad || len(papers) > 0 && papers[0].Abstract != tt.abstract {
			t.Errorf("%s: %+v, %v", name, papers, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"results":[null,{"display_name":"x","authorships":[null],"biblio":{}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, single := range []bool{false, true} {
			papers, _, err := openalex.Decode(body, single)
			for _, p := range papers {
				if err != nil || p.ID == "" || p.Title == "" || len(p.Abstract) > 4*5000 {
					t.Fatalf("%+v, %v", p, err)
				}
			}
		}
	})
}
