package query_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/query"
)

func TestContent(t *testing.T) {
	for in, want := range map[string][]string{
		"the double descent of ridge":               {"double", "descent", "ridge"},
		`"a" OR NOT title:x* NEAR(b, c) | !d ^e`:    {"not", "title", "x", "near", "b", "c", "d", "e"},
		"C++ and c# code":                           {"C++", "c#", "code"},
		`$\beta$-VAE, {\"o}zil`:                     {"β", "VAE", "özil"},
		"'; DROP TABLE paper; --":                   {"DROP", "TABLE", "paper"},
		"\x00\u202e\ufeff":                          nil,
		"of the":                                    {"of", "the"},
		strings.Repeat("w ", 50) + "x y z":          {"w", "x", "y", "z"},
		"self-exciting processes for earthquakes 3": {"self", "exciting", "processes", "earthquakes", "3"},
	} {
		if d := cmp.Diff(want, query.Content(in)); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
}

func TestLadder(t *testing.T) {
	rare := map[string]int{"alpha": 9, "beta": 1, "gamma": 5, "delta": 2, "epsilon": 7, "zeta": 3, "eta": 8}
	var got []string
	for _, r := range query.Ladder("alpha beta gamma delta epsilon zeta eta", query.Shape{AnyWord: true}, func(w string) int { return rare[w] }) {
		got = append(got, r.Text())
	}
	want := []string{"alpha beta gamma delta epsilon zeta eta", "beta gamma delta epsilon zeta eta", "beta gamma delta zeta", "beta or gamma or delta or epsilon or zeta or eta"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestSearch_HostileTexts: nothing that is typed reaches the full-text language as an operator.
func TestSearch_HostileTexts(t *testing.T) {
	x, err := index.OpenBundled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	pieces := []string{`"`, `'`, `*`, `^`, `(`, `)`, `{`, `}`, `:`, `-`, `+`, `|`, `!`, `?`, `\`, `NEAR(`, `AND`, `OR NOT`, `title:`, "\x00", "\n", "�", "é", "🙂", `%`, `;--`}
	for _, a := range pieces {
		for _, b := range pieces {
			s := a + "double" + b + "descent" + a
			for _, r := range query.Ladder(s, query.Shape{AnyWord: true}, func(w string) int { return x.Rarity(t.Context(), w) }) {
				if _, err := x.Search(t.Context(), r, 0, 0, 10); err != nil {
					t.Fatalf("%q: %v", s, err)
				}
			}
		}
	}
}
