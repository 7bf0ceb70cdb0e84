package tex_test

import (
	"strings"
	"testing"

	"nullius.dev/services/writer/internal/tex"
)

func TestParse_roles(t *testing.T) {
	d := tex.Parse(tex.DefaultArticle)
	if d.String() != tex.DefaultArticle {
		t.Error("parsing and rendering changes the default article")
	}
	for _, r := range append([]tex.Role{tex.Title, tex.Abstract}, tex.Sections()...) {
		if d.Part(r) == nil {
			t.Errorf("no part for %s", r)
		}
	}
	if notes := d.Complete(); len(notes) != 0 {
		t.Errorf("the default article is incomplete: %v", notes)
	}
}

func TestApply(t *testing.T) {
	body := "One.\n\nTwo.\n\nThree."
	for _, tc := range []struct{ name, reply, want string }{
		{"replace", "%%% results.2\n2.", "One.\n\n2.\n\nThree."},
		{"add", "talk\n%%% results.1+\nNew.", "One.\n\nNew.\n\nTwo.\n\nThree."},
		{"delete", "%%% results.3-\n", "One.\n\nTwo."},
		{"an unknown number is void", "%%% results.9\nX.", body},
		{"another section is not touched", "%%% method.1\nX.", body},
		{"no change", "NONE", body},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, _ := tex.Apply(tex.Results, body, tex.Changes(tc.reply)); got != tc.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(tex.DefaultArticle)
	f.Add("\\begin{document}\\section{Results}\\label{a}x\\appendix\\end{document}")
	f.Add("\\title{\\section{%}}\\begin{verbatim}\\begin{abstract}")
	f.Fuzz(func(t *testing.T, s string) {
		d := tex.Parse(s)
		if d.String() != s {
			t.Fatalf("%q became %q", s, d.String())
		}
		d.Complete()
		if !strings.Contains(d.String(), `\begin{abstract}`) {
			t.Error("no abstract")
		}
		tex.Words(s)
		tex.Join(tex.Paragraphs(s))
	})
}
