// Package match says whether a reference, as somebody wrote it, is the paper of a record. The rules and their numbers were
// found on hand-made references; testdata-driven tests hold them.
package match

import (
	"regexp"
	"sort"
	"strings"

	"nullius.dev/services/ideation/internal/text"
)

// Caps of the title score.
const (
	mainPart    = 0.85 // one title is the other's part before the colon, or its beginning
	commentary  = 0.84 // a reply, an erratum, a paper "revisited"
	otherNumber = 0.69 // version two is not version three
)

// title is a title prepared for comparison.
type title struct {
	words   []string // content words
	letters string
	head    string // letters of the part before the colon, if there is a colon
	numbers string
	comment bool
}

func prepare(s string) title {
	t := title{words: text.Content(s)}
	t.letters = strings.Join(t.words, "")
	if i := strings.IndexAny(text.Plain(s), ":—?"); i > 0 {
		if plain := text.Plain(s); i < len(plain)-1 {
			t.head = strings.Join(text.Content(plain[:i]), "")
		}
	}
	t.numbers = numbers(text.Norm(s))
	t.comment = commentaryOn(text.Norm(s))
	return t
}

var (
	version = regexp.MustCompile(`^(?:v|[a-z]*v)?(\d+)$`)
	trail   = regexp.MustCompile(`^[a-z]+?(\d+)$`)
	roman   = map[string]string{"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7"}
)

// numbers are the numerals of a title in order: they tell versions and parts of a series apart.
func numbers(s string) string {
	var out []string
	for _, w := range strings.Fields(s) {
		if n, ok := roman[w]; ok {
			out = append(out, n)
		} else if m := version.FindStringSubmatch(w); m != nil {
			out = append(out, m[1])
		} else if m := trail.FindStringSubmatch(w); m != nil {
			out = append(out, m[1])
		}
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}

func commentaryOn(s string) bool {
	for _, w := range strings.Fields(s) {
		switch w {
		case "reply", "erratum", "corrigendum", "correction", "revisited", "revisiting", "comment", "rejoinder", "retraction":
			return true
		}
	}
	return false
}

// score says how alike two titles are, 0 to 1.
func score(a, b title) float64 {
	if a.letters == "" || b.letters == "" {
		return 0
	}
	s := max(text.Dice(a.words, b.words), text.Likeness(a.letters, b.letters))
	partial := main(a, b)
	if partial {
		s = max(s, mainPart)
	}
	if a.numbers != b.numbers && !(partial && (a.numbers == "" || b.numbers == "")) {
		s = min(s, otherNumber)
	}
	if a.comment != b.comment {
		s = min(s, commentary)
	}
	return s
}

// main reports whether one title is the main part of the other one.
func main(a, b title) bool {
	if a.head != "" && a.head == b.letters || b.head != "" && b.head == a.letters {
		return true
	}
	return begins(a, b) || begins(b, a)
}

// begins reports whether the whole of b, at least four content words, is the beginning of a.
func begins(a, b title) bool {
	if len(b.words) < 4 || len(b.words) >= len(a.words) {
		return false
	}
	for i, w := range b.words {
		if a.words[i] != w {
			return false
		}
	}
	return true
}
