package importer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/services/ideation/internal/importer"
	"nullius.dev/services/ideation/internal/paper"
)

// kept keeps what is read.
type kept struct {
	papers    []paper.Paper
	abstracts map[string]string
	fail      error
}

func (k *kept) Papers(_ context.Context, ps []paper.Paper) error {
	k.papers = append(k.papers, ps...)
	return k.fail
}

func (k *kept) Abstracts(_ context.Context, of map[string]string) error {
	if k.abstracts == nil {
		k.abstracts = map[string]string{}
	}
	for r, a := range of {
		k.abstracts[r] = a
	}
	return k.fail
}

const (
	cslItem = `{"id":"ex1","type":"article-journal","title":"A <i>Made-up</i> Title","container-title":"Journal of Things","author":[{"family":"Berg","given":"Jan","non-dropping-particle":"van der"},{"literal":"The ABC Collaboration"},{"family":"Example","given":"Ada","suffix":"Jr."}],"issued":{"date-parts":[["2020",3]]},"DOI":"https://doi.org/10.5555/X1","page":"1-9","volume":12}`
	arXiv   = `{"id":"0704.0001","authors":"A. Example","title":"A\n  snapshot title","doi":null,"journal-ref":null,"categories":"hep-ph","abstract":"  We see.","versions":[{"version":"v1","created":"Mon, 2 Apr 2007 19:18:42 GMT"}],"update_date":"2008-11-26","authors_parsed":[["Example","Ada",""],["Balázs","C.","Jr."]]}`
	s2Line  = `{"corpusid":17,"externalids":{"ArXiv":"1901.00002","DOI":null,"CorpusId":"17"},"url":"https://x","title":"A data set title","authors":[{"authorId":"1","name":"Ada Example"}],"venue":"Conf","publicationvenueid":null,"year":2019,"referencecount":1,"citationcount":4,"publicationtypes":["Conference"],"journal":null}`
	s2Text  = `{"corpusid":17,"openaccessinfo":{},"abstract":"We say."}`
	oaWork  = `{"id":"https://openalex.org/W1","doi":null,"display_name":"A work","publication_year":2018,"authorships":[{"author":{"display_name":"Ada Example"}}],"abstract_inverted_index":{"We":[0],"work":[1]}}`
	ours    = `{"title":"Our own line","authors":["Ada Example"],"year":2001,"venue":"V","kind":"journal","key":"example2001own"}`
	bib     = "@article{a1, title={A {BibTeX} title}, author={Example, Ada}, year=2001, journal={J}}\n@misc{b2, author={X}}\n"
)

func TestRead_Forms(t *testing.T) {
	gz := &bytes.Buffer{}
	z := gzip.NewWriter(gz)
	_, _ = z.Write([]byte(s2Line + "\n" + s2Text + "\n"))
	_ = z.Close()
	tests := []struct {
		name    string
		in      string
		forms   map[string]int
		titles  []string
		dropped int
	}{
		{"BibTeX", bib, map[string]int{"BibTeX": 1}, []string{"A BibTeX title"}, 1},
		{"CSL-JSON", "\xef\xbb\xbf [" + cslItem + ",\n" + cslItem + "]", map[string]int{"CSL-JSON": 2}, []string{"A Made-up Title", "A Made-up Title"}, 0},
		{"one item over several lines", strings.ReplaceAll(cslItem, ",", ",\n"), map[string]int{"CSL-JSON": 1}, []string{"A Made-up Title"}, 0},
		{"JSON lines of every form", strings.Join([]string{arXiv, "", s2Line, s2Text, oaWork, ours, "{broken", `{"what":1}`, cslItem}, "\n"),
			map[string]int{"arXiv snapshot": 1, "Semantic Scholar": 1, "abstracts": 1, "OpenAlex": 1, "paper lines": 1, "CSL-JSON": 1},
			[]string{"A snapshot title", "A data set title", "A work", "Our own line", "A Made-up Title"}, 2},
		{"a page of an answer", `{"meta":{"count":1},"results":[` + oaWork + `]}`, map[string]int{"OpenAlex": 1}, []string{"A work"}, 0},
		{"gzip", gz.String(), map[string]int{"Semantic Scholar": 1, "abstracts": 1}, []string{"A data set title"}, 0},
		{"a list that breaks off", "[" + cslItem + ",{", map[string]int{"CSL-JSON": 1}, []string{"A Made-up Title"}, 1},
		{"nothing", "  \n", map[string]int{}, nil, 0},
		{"prose", "Dear all, here are my papers.", map[string]int{}, nil, 1},
		{"a number", "[17]", map[string]int{}, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &kept{}
			rep, err := importer.Read(t.Context(), strings.NewReader(tt.in), k)
			if err != nil {
				t.Fatal(err)
			}
			var titles []string
			for _, p := range k.papers {
				titles = append(titles, p.Title)
			}
			if d := cmp.Diff(tt.titles, titles); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.forms, rep.Forms); d != "" || rep.Dropped != tt.dropped {
				t.Errorf("%d dropped, want %d; %v %s", rep.Dropped, tt.dropped, rep.Issues, d)
			}
			if tt.name == "gzip" && k.abstracts["CorpusId:17"] != "We say." {
				t.Errorf("abstracts %v", k.abstracts)
			}
		})
	}
}

func TestRead_Fields(t *testing.T) {
	k := &kept{}
	if _, err := importer.Read(t.Context(), strings.NewReader(cslItem+"\n"+arXiv+"\n"+s2Line), k); err != nil {
		t.Fatal(err)
	}
	c, a, s := k.papers[0], k.papers[1], k.papers[2]
	if c.DOI != "10.5555/x1" || c.Year != 2020 || c.Kind != paper.Journal || c.Volume != "12" || c.Authors[0].Family != "van der Berg" || c.Authors[1].Literal == "" || c.Authors[2].Suffix != "Jr." {
		t.Errorf("CSL-JSON: %+v", c)
	}
	if a.ArXiv != "0704.0001" || a.Year != 2007 || a.Authors[1].Suffix != "Jr." || a.Kind != paper.Preprint || a.Abstract != "We see." {
		t.Errorf("arXiv: %+v", a)
	}
	if s.ArXiv != "1901.00002" || s.Year != 2019 || *s.Citations != 4 || s.Origins[0].Record != "CorpusId:17" {
		t.Errorf("Semantic Scholar: %+v", s)
	}
}

func TestRead_BoundsAndErrors(t *testing.T) {
	full := errors.New("disk is full")
	if _, err := importer.Read(t.Context(), strings.NewReader(ours), &kept{fail: full}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := importer.Read(ctx, strings.NewReader(ours), &kept{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := importer.Read(t.Context(), strings.NewReader("\x1f\x8bxx"), &kept{}); err == nil {
		t.Error("broken gzip was taken")
	}
	k := &kept{}
	rep, err := importer.Read(t.Context(), strings.NewReader(ours+"\n"+`{"title":"`+strings.Repeat("a", 11<<20)+"\"}\n"+ours+"\n"), k)
	if err != nil || rep.Dropped != 1 || len(k.papers) != 2 {
		t.Errorf("a line of 11 MB: %d dropped, %d papers, %v", rep.Dropped, len(k.papers), err)
	}
	var many strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&many, "{\"title\":\"Paper %d\",\"authors\":[\"A. Example\"]}\n", i)
	}
	k = &kept{}
	if rep, err := importer.Read(t.Context(), strings.NewReader(many.String()), k); err != nil || rep.Forms["paper lines"] != 6000 || len(k.papers) != 6000 {
		t.Errorf("%v, %d papers, %v", rep.Forms, len(k.papers), err)
	}
}

// FuzzRead: whatever a file holds, what is taken is a paper within its bounds, and nothing is counted twice.
func FuzzRead(f *testing.F) {
	for _, s := range []string{cslItem, "[" + cslItem + "]", arXiv + "\n" + s2Line + "\n" + s2Text, oaWork, ours, bib, `{"results":[` + oaWork + `]}`, "\x1f\x8b\x08", `[{"type":"x","title":["a",1],"id":{}}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k := &kept{}
		rep, err := importer.Read(t.Context(), bytes.NewReader(data), k)
		n := 0
		for form, c := range rep.Forms {
			if form != "abstracts" {
				n += c
			}
		}
		if err == nil && n != len(k.papers) {
			t.Fatalf("%d papers are counted, %d came", n, len(k.papers))
		}
		for _, p := range k.papers {
			if p.Title == "" || p.ID == "" || p.Key == "" || len([]rune(p.Title)) > paper.MaxTitle || len(p.Authors) > paper.MaxAuthors {
				t.Fatalf("%+v", p)
			}
		}
	})
}
