package bibtex_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/services/ideation/internal/bibtex"
	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/paper"
)

func TestWrite_ReadsBackToTheSamePaper(t *testing.T) {
	papers, err := index.Bundled()
	if err != nil {
		t.Fatal(err)
	}
	papers = append(papers,
		paper.Paper{Title: `50 % of α & β_1: a "test" #1 {of} things~here^2`, Kind: paper.Journal, Year: 2020, Venue: "J. of A&B",
			Authors: []paper.Author{{Given: "Øyvind", Family: "van der Berg", Suffix: "Jr."}, {Literal: "The ABC Collaboration"}, {Given: "Łukasz", Family: "Çelik-Müller"}}}.Clean(),
		paper.Paper{Title: "Kein Ende", Kind: paper.Report, AuthorsCut: true, Authors: []paper.Author{paper.ParseAuthor("Jānis Bērziņš")}, URL: "https://example.org/a_b%20c?d=1&e=2"}.Clean())
	for _, p := range papers {
		written := bibtex.Write(p)
		for _, r := range written {
			if r > 126 {
				t.Fatalf("%s: %q is not ASCII", p.Key, r)
			}
		}
		res := bibtex.Parse([]byte(written))
		if len(res.Entries) != 1 || len(res.Issues) > 0 {
			t.Fatalf("%s: %d entries, %v\n%s", p.Key, len(res.Entries), res.Issues, written)
		}
		back := res.Entries[0].Paper()
		if again := bibtex.Write(back); again != written {
			t.Errorf("%s is written differently after it was read:\n%s", p.Key, cmp.Diff(written, again))
		}
		if back.ID != p.ID && p.Venue != "" && !strings.HasPrefix(p.ID, "title:") {
			t.Errorf("%s: identifier %s, was %s", p.Key, back.ID, p.ID)
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name   string
		in     string
		keys   []string
		fields map[string]string // of the last entry
		issues int
	}{
		{"braces, quotes, digits and joined strings", "@string{jmlr = \"J. Mach.\"}\n@Article{a1, title = {A {B} C}, journal = jmlr # \" Learn.\", year = 2020, month = jan}",
			[]string{"a1"}, map[string]string{"title": "A {B} C", "journal": "J. Mach. Learn.", "year": "2020", "month": "jan"}, 0},
		{"parentheses", "@book(k, title = \"T (1)\")", []string{"k"}, map[string]string{"title": "T (1)"}, 0},
		{"comments and preambles are passed over", "@comment{ @article{x, title={y}} }\n@preamble{\"\\newcommand{\\x}{y}\"}\n@misc{z, title={t}}", []string{"z"}, nil, 0},
		{"an entry that is never closed is dropped, the next one stands", "@article{bad, title = {open\n@article{good, title={t}}", []string{"good"}, nil, 1},
		{"a missing comma is mended", "@misc{a, title={t} year=2001}", []string{"a"}, map[string]string{"year": "2001"}, 0},
		{"of a doubled field the first one counts", "@misc{a, title={t}, title={u}}", []string{"a"}, map[string]string{"title": "t"}, 1},
		{"an unknown bare word is text", "@misc{a, journal=nature, title={t}}", []string{"a"}, map[string]string{"journal": "nature"}, 1},
		{"Windows line ends and a byte order mark", "\xef\xbb\xbf@misc{a,\r\n title={t}\r\n}\r\n", []string{"a"}, map[string]string{"title": "t"}, 0},
		{"Latin-1", "@misc{a, title={M\xfcller}}", []string{"a"}, map[string]string{"title": "Müller"}, 0},
		{"an at sign in free text", "mail me @ home, a@b.c\n@misc{a, title={t}}", []string{"a"}, nil, 0},
		{"nothing", "", nil, nil, 0},
		{"braces without end", "@misc{a, title={" + strings.Repeat("{", 100000), nil, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := bibtex.Parse([]byte(tt.in))
			var keys []string
			for _, e := range res.Entries {
				keys = append(keys, e.Key)
			}
			if d := cmp.Diff(tt.keys, keys); d != "" {
				t.Fatal(d)
			}
			for name, want := range tt.fields {
				if got := res.Entries[len(res.Entries)-1].Fields[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if len(res.Issues) != tt.issues {
				t.Errorf("issues %v, want %d", res.Issues, tt.issues)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("@article{a, author={A. B and C, D}, title={{T} \\'e}, year=2020}"))
	f.Add([]byte("@string{x=\"y\"}@misc(a,title=x#{z}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range bibtex.Parse(data).Entries {
			p := e.Paper()
			p.Key = "k"
			once := bibtex.Write(p)
			res := bibtex.Parse([]byte(once))
			if len(res.Entries) != 1 {
				t.Fatalf("%d entries in %q", len(res.Entries), once)
			}
			back := res.Entries[0].Paper()
			if twice := bibtex.Write(back); len(res.Issues) > 0 {
				t.Fatalf("%v in %q, %q", res.Issues, once, twice)
			}
		}
	})
}
