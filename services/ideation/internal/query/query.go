// Package query turns what people and models type into what engines may be asked: words without operators, and a ladder of
// ever looser queries.
package query

import (
	"sort"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"nullius.dev/services/ideation/internal/text"
)

// Bounds of a query.
const (
	MaxLength = 1000
	maxWords  = 12
	// Enough papers end the climb down the ladder.
	Enough = 3
)

// Rung is one query of the ladder.
type Rung struct {
	Number int
	Words  []string
	Any    bool // any of the words is enough
	// Meaning asks for what means the same, whatever the words.
	Meaning bool
}

// Shape is which queries an engine takes beyond those of all words.
type Shape struct {
	AnyWord bool // of alternatives
	Meaning bool // by meaning
}

// Text is the query as it is shown.
func (r Rung) Text() string {
	if r.Any {
		return strings.Join(r.Words, " or ")
	}
	return strings.Join(r.Words, " ")
}

// Fold is the form of a query that its digest is taken over: NFKC, folded, without controls, single spaces.
func Fold(s string) string {
	return text.OneLine(strings.ToLower(norm.NFKC.String(text.OneLine(s))))
}

// Words are the runs of letters, marks and digits of s; no operator or quote is left. "c++" and "c#" are kept.
func Words(s string) []string {
	s = text.Plain(s)
	var out []string
	var b strings.Builder
	end := func() {
		if b.Len() == 0 {
			return
		}
		w := b.String()
		switch w {
		case "AND", "OR", "NOT", "ANDNOT", "NEAR":
			w = strings.ToLower(w)
		}
		out = append(out, text.Clip(w, 60))
		b.Reset()
	}
	for i, r := range s {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.M, r):
			b.WriteRune(r)
		case strings.EqualFold(b.String(), "c") && strings.HasPrefix(s[i:], "++"):
			b.WriteString("++")
			end()
		case strings.EqualFold(b.String(), "c") && r == '#':
			b.WriteByte('#')
			end()
		default:
			end()
		}
	}
	end()
	return out
}

// Content are the words of s that say something, in order, each once.
func Content(s string) []string {
	var out []string
	seen := map[string]bool{}
	words := Words(s)
	for _, w := range words {
		k := text.Norm(w)
		if k == "" || strings.ContainsAny(w, "+#") {
			k = strings.ToLower(w)
		}
		if seen[k] || text.IsStop(k) {
			continue
		}
		seen[k] = true
		out = append(out, w)
	}
	if len(out) == 0 {
		out = words
	}
	if len(out) > maxWords {
		out = out[:maxWords]
	}
	return out
}

// Ladder lists the queries to try until enough papers were found. Rarity counts in how many known papers a word occurs;
// rarer words come first, longer ones where the counts are equal.
func Ladder(s string, shape Shape, rarity func(word string) int) []Rung {
	words := Content(s)
	if len(words) == 0 {
		return nil
	}
	rungs := []Rung{{Number: 0, Words: words}}
	byRarity := append([]string{}, words...)
	count := map[string]int{}
	for _, w := range words {
		count[w] = rarity(w)
	}
	sort.SliceStable(byRarity, func(i, j int) bool {
		a, b := byRarity[i], byRarity[j]
		if count[a] != count[b] {
			return count[a] < count[b]
		}
		return len(a) > len(b)
	})
	for i, n := range []int{6, 4} {
		if len(words) > n {
			rungs = append(rungs, Rung{Number: i + 1, Words: inOrder(words, byRarity[:n])})
		}
	}
	if shape.AnyWord && len(words) > 1 {
		rungs = append(rungs, Rung{Number: 3, Words: inOrder(words, byRarity[:min(6, len(words))]), Any: true})
	}
	if shape.Meaning {
		rungs = append(rungs, Rung{Number: 4, Words: words, Meaning: true})
	}
	return rungs
}

// inOrder is the chosen words in the order of the query.
func inOrder(words, chosen []string) []string {
	in := map[string]bool{}
	for _, w := range chosen {
		in[w] = true
	}
	var out []string
	for _, w := range words {
		if in[w] {
			out = append(out, w)
		}
	}
	return out
}
