package paper

import (
	"strconv"
	"strings"
	"unicode"

	"nullius.dev/services/ideation/internal/text"
)

// Key is the stable BibTeX key: family in ASCII, earliest known year, first content word of three letters.
func Key(p Paper) string {
	name := ""
	if len(p.Authors) > 0 {
		name = ASCII(p.Authors[0].Sort())
	}
	if name == "" {
		name = "anon"
	}
	year := "nd"
	if y := p.FirstYear(); y > 0 {
		year = strconv.Itoa(y)
	}
	word := ""
	for _, w := range strings.Fields(text.Norm(p.Title)) {
		if a := lettersOf(w); len(a) >= 3 && !text.IsStop(w) {
			word = a
			break
		}
	}
	if word == "" {
		word = "untitled"
	}
	return text.Clip(name, 40) + year + text.Clip(word, 30)
}

// UniqueKeys gives colliding keys of a list the endings b, c and so on, in order of the papers' identifiers.
func UniqueKeys(papers []Paper) {
	seen := map[string]map[string]bool{}
	for i := range papers {
		ids := seen[papers[i].Key]
		if ids == nil {
			ids = map[string]bool{}
			seen[papers[i].Key] = ids
		}
		ids[papers[i].ID] = true
	}
	for i := range papers {
		before := 0
		for id := range seen[papers[i].Key] {
			if id < papers[i].ID {
				before++
			}
		}
		if before > 0 && before < 25 {
			papers[i].Key += string(rune('a' + before))
		}
	}
}

// ASCII are the letters of a name, folded, without marks; other scripts are spelled by their code points.
func ASCII(s string) string {
	var b strings.Builder
	for _, r := range text.Norm(s) {
		switch {
		case r >= 'a' && r <= 'z':
			b.WriteRune(r)
		case r > unicode.MaxASCII && unicode.IsLetter(r):
			b.WriteString("u" + strconv.FormatInt(int64(r), 16))
		}
	}
	return b.String()
}

func lettersOf(w string) string {
	var b strings.Builder
	for _, r := range w {
		if r >= 'a' && r <= 'z' {
			b.WriteRune(r)
		}
	}
	return b.String()
}
