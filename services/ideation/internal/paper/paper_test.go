package paper_test

import (
	"testing"

	"nullius.dev/services/ideation/internal/paper"
)

func TestParseAuthor(t *testing.T) {
	for in, want := range map[string]paper.Author{
		"Ada M. Example":            {Given: "Ada M.", Family: "Example"},
		"Example, Ada M.":           {Given: "Ada M.", Family: "Example"},
		"Hoerl A.E.":                {Given: "A. E.", Family: "Hoerl"},
		"GILLESPIE, DT":             {Given: "D. T.", Family: "GILLESPIE"},
		"P. Van den Driessche":      {Given: "P.", Family: "Van den Driessche"},
		"Ludwig van Beethoven":      {Given: "Ludwig", Family: "van Beethoven"},
		"Neumann, John von":         {Given: "John", Family: "von Neumann"},
		"King, Jr., Martin Luther":  {Given: "Martin Luther", Family: "King", Suffix: "Jr."},
		"Sammy Davis Jr.":           {Given: "Sammy", Family: "Davis", Suffix: "Jr."},
		"Student":                   {Literal: "Student"},
		"{The ATLAS Collaboration}": {Literal: "The ATLAS Collaboration"},
		"Llama Team, AI at Example": {Literal: "Llama Team, AI at Example"},
		"李明":                        {Literal: "李明"},
		`Janez Dem{\v{s}}ar`:        {Given: "Janez", Family: "Demšar"},
		`Olivier Capp\'e`:           {Given: "Olivier", Family: "Cappé"},
		"":                          {},
		", ;":                       {},
	} {
		if got := paper.ParseAuthor(in); got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	for in, want := range map[string]string{
		"https://doi.org/10.1000/ABC.1": "10.1000/abc.1", "doi:10.1000/x.": "10.1000/x", "10.1000/a(b)c": "10.1000/a(b)c", "(10.1000/q)": "10.1000/q", "none": "",
	} {
		if got := paper.CleanDOI(in); got != want {
			t.Errorf("DOI %q: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"arXiv:1912.02292v2": "1912.02292", "https://arxiv.org/pdf/2101.00001.pdf": "2101.00001", "hep-ex/0307015": "hep-ex/0307015", "2199.00001": "", "12.3": "",
		"https://arxiv.org/abs/hep-ex/0307015v1": "hep-ex/0307015",
	} {
		if got := paper.CleanArXiv(in); got != want {
			t.Errorf("arXiv %q: got %q, want %q", in, got, want)
		}
	}
}

func TestFuse_OnePaperOfTwoEnginesIsOne(t *testing.T) {
	a := paper.Paper{Title: "A Made-up Title", Year: 2021, Kind: paper.Conference, DOI: "10.5555/x", ArXiv: "2101.00001", Authors: []paper.Author{paper.ParseAuthor("Ada Example")},
		Origins: []paper.Origin{{Engine: paper.OpenAlex, Record: "W1"}}}.Clean()
	b := paper.Paper{Title: "A made-up title", Year: 2020, Kind: paper.Preprint, ArXiv: "2101.00001", Abstract: "We study.", Authors: []paper.Author{paper.ParseAuthor("Example, A.")},
		Origins: []paper.Origin{{Engine: paper.Local}}}.Clean()
	out := paper.Fuse([][]paper.Paper{{b}, {a}}, 10)
	if len(out) != 1 || out[0].DOI != "10.5555/x" || out[0].Abstract != "We study." || out[0].Key != "example2021made" || len(out[0].Conflicts) != 1 {
		t.Errorf("got %+v", out)
	}
}
