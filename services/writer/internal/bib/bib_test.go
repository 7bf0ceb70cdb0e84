package bib_test

import (
	"strings"
	"testing"

	"nullius.dev/services/writer/internal/bib"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, in, keys, dropped string }{
		{"an entry", "@article{a, title={T}, author={A}}", "a", ""},
		{"parentheses and capitals", "@ARTICLE(b, title = \"T\")", "b", ""},
		{"two entries and talk between them", "Sure:\n@misc{a, title={T}}\nand\n  @misc{b, title={U}}", "a b", ""},
		{"comments, strings and preambles go", "@comment{x}\n@string{s = {x}}\n@preamble{\"\\write18{id}\"}\n@misc{a, title={T}}", "a", ""},
		{"no key", "@misc{, title={T}}", "", "its key"},
		{"an odd key", "@misc{a b, title={T}}", "", "its key"},
		{"never closed", "@misc{a, title={T}", "", "never closes"},
		{"an entry that never closes does not swallow the next", "@misc{a, title={T}\n@misc{b, title={U}}", "b", "never closes"},
		{"a command that runs", "@misc{a, title={\\input{/etc/passwd}}}", "", "defines, reads or writes"},
		{"neither title nor author", "@misc{a, year={2020}}", "", "neither title nor author"},
		{"too long", "@misc{a, title={" + strings.Repeat("x", 70_000) + "}}", "", "64 KiB"},
		{"nothing", "words only", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			entries, dropped := bib.Parse(tc.in)
			var keys []string
			for _, e := range entries {
				keys = append(keys, e.Key)
			}
			if got := strings.Join(keys, " "); got != tc.keys {
				t.Errorf("keys %q, want %q", got, tc.keys)
			}
			if (len(dropped) > 0) != (tc.dropped != "") || len(dropped) > 0 && !strings.Contains(dropped[0].Why, tc.dropped) {
				t.Errorf("dropped %v, want %q", dropped, tc.dropped)
			}
		})
	}
}

func TestParse_escapes(t *testing.T) {
	entries, _ := bib.Parse("@article{a,\n  title = {Größe & {CIFAR} at 5% \\& more #1},\n  journal = \"A & B\",\n  year = 2020\n}")
	if len(entries) != 1 {
		t.Fatal("no entry")
	}
	for _, want := range []string{`Gr{\"{o}}\ss{}e \& {CIFAR} at 5\% \& more \#1`, `"A \& B"`} {
		if !strings.Contains(entries[0].Text, want) {
			t.Errorf("%q lacks %q", entries[0].Text, want)
		}
	}
	if y := bib.Field(entries[0].Text, "year"); y != "2020" {
		t.Errorf("year %q", y)
	}
}

func entry(t *testing.T, text string) bib.Entry {
	t.Helper()
	entries, dropped := bib.Parse(text)
	if len(entries) != 1 {
		t.Fatalf("%s: %v", text, dropped)
	}
	return entries[0]
}

func TestSet_Add(t *testing.T) {
	const first = "@article{doe2020, title={A Long Account of the Peak in Regression}, doi={10.1/x}}"
	for _, tc := range []struct{ name, second, key string }{
		{"the same title is the same paper", "@misc{other, title={A long account of the {P}eak in regression.}}", "doe2020"},
		{"the same DOI", "@misc{other, title={Something Else Altogether}, doi={10.1/X}}", "doe2020"},
		{"another paper under the key gets a suffix", "@misc{doe2020, title={Something Else Altogether}}", "doe2020b"},
		{"keys differ in more than case", "@misc{DOE2020, title={Something Else Altogether}}", "DOE2020b"},
		{"another paper", "@misc{roe, title={Something Else Altogether}}", "roe"},
		{"short titles must be equal", "@misc{roe, title={A Short One}}", "roe"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := bib.NewSet()
			s.Add(entry(t, first), true)
			if key := s.Add(entry(t, tc.second), false); key != tc.key {
				t.Errorf("key %q, want %q", key, tc.key)
			}
			if _, ok := s.Known(tc.key); !ok {
				t.Error("the key is unknown")
			}
			if !strings.Contains(s.File([]string{tc.key}), "{"+tc.key+",") {
				t.Errorf("file %q", s.File([]string{tc.key}))
			}
		})
	}
	s := bib.NewSet()
	s.Add(entry(t, first), true)
	s.Add(entry(t, "@misc{other, title={A long account of the peak in regression}}"), false)
	for _, k := range []string{"other", "Doe2020"} {
		if got, ok := s.Known(k); !ok || got != "doe2020" {
			t.Errorf("%s is %q", k, got)
		}
	}
	if _, ok := s.Known("nobody"); ok {
		t.Error("an unknown key is known")
	}
	if s.File(nil) != "" {
		t.Error("an entry that is not cited is written")
	}
}
