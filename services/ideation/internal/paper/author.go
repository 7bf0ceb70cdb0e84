package paper

import (
	"strings"
	"unicode"

	"nullius.dev/services/ideation/internal/text"
)

// Author is a person's name in parts, or a literal name without parts.
type Author struct {
	Given   string `json:"given,omitempty"`
	Family  string `json:"family,omitempty"` // with lower-case particles
	Suffix  string `json:"suffix,omitempty"`
	Literal string `json:"literal,omitempty"`
}

// String is the name in reading order.
func (a Author) String() string {
	if a.Literal != "" {
		return a.Literal
	}
	return strings.Join(strings.Fields(a.Given+" "+a.Family+" "+a.Suffix), " ")
}

// Sort is the name that papers are sorted and compared by.
func (a Author) Sort() string {
	if a.Literal != "" {
		return a.Literal
	}
	return a.Family
}

// Others reports whether a name stands for the rest of a list.
func Others(name string) bool {
	switch strings.ToLower(strings.Trim(strings.TrimSpace(name), ".,{}")) {
	case "others", "and others", "et al", "et. al", "...", "…":
		return true
	}
	return false
}

var suffixes = map[string]string{"jr": "Jr.", "sr": "Sr.", "ii": "II", "iii": "III", "iv": "IV"}

func suffixOf(w string) (string, bool) {
	s, ok := suffixes[strings.ToLower(strings.Trim(w, ".,"))]
	return s, ok
}

// ParseAuthor reads a name in either order: "Ada M. Example", "Example, Ada M.", "Example, Jr., Ada", "Example A.M.".
func ParseAuthor(name string) Author {
	braced := strings.HasPrefix(strings.TrimSpace(name), "{{") || strings.HasPrefix(strings.TrimSpace(name), "{") && strings.HasSuffix(strings.TrimSpace(name), "}")
	name = text.ClipRunes(text.Plain(name), 200)
	name = strings.Trim(name, " ,;")
	if name == "" {
		return Author{}
	}
	if braced && !strings.Contains(name, ",") || corporate(name) {
		return Author{Literal: name}
	}
	if strings.Contains(name, ",") {
		return byComma(name)
	}
	ws := strings.Fields(name)
	if len(ws) == 1 || ideographic(name) {
		return Author{Literal: name}
	}
	var a Author
	if s, ok := suffixOf(ws[len(ws)-1]); ok && len(ws) > 2 {
		a.Suffix, ws = s, ws[:len(ws)-1]
	}
	if last := ws[len(ws)-1]; initials(last) && !initials(ws[0]) && (strings.Contains(last, ".") || len(ws) == 2) { // "Hoerl A.E."
		a.Family, a.Given = strings.Join(ws[:len(ws)-1], " "), spread(last)
		return a
	}
	i := len(ws) - 1
	for i > 1 && (particle(ws[i-1]) || capitalParticle(ws[i-1])) {
		i--
	}
	for j := 1; j < i; j++ { // "Pieter van den Berg Smit": the family begins at the first particle
		if particle(ws[j]) {
			i = j
		}
	}
	a.Given, a.Family = strings.Join(ws[:i], " "), strings.Join(ws[i:], " ")
	return a
}

func byComma(name string) Author {
	parts := strings.Split(name, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	a := Author{Family: parts[0]}
	rest := parts[1:]
	if len(rest) > 1 {
		if s, ok := suffixOf(rest[0]); ok {
			a.Suffix, rest = s, rest[1:]
		} else if s, ok := suffixOf(rest[len(rest)-1]); ok {
			a.Suffix, rest = s, rest[:len(rest)-1]
		}
	}
	a.Given = strings.Join(strings.Fields(strings.Join(rest, " ")), " ")
	if initials(a.Given) {
		a.Given = spread(a.Given)
	}
	if ws := strings.Fields(a.Family); len(ws) > 1 {
		if s, ok := suffixOf(ws[len(ws)-1]); ok {
			a.Suffix, a.Family = s, strings.Join(ws[:len(ws)-1], " ")
		}
	}
	if ws := strings.Fields(a.Given); len(ws) > 0 {
		i := len(ws)
		for i > 0 && particle(ws[i-1]) { // "Neumann, John von"
			i--
		}
		if i < len(ws) && i > 0 {
			a.Family, a.Given = strings.Join(append(append([]string{}, ws[i:]...), a.Family), " "), strings.Join(ws[:i], " ")
		}
	}
	if a.Given == "" || a.Family == "" {
		return Author{Literal: strings.TrimSpace(a.Family + a.Given)}
	}
	return a
}

// corporate reports whether a name is an organisation's.
func corporate(name string) bool {
	for _, w := range strings.Fields(strings.ToLower(name)) {
		switch strings.Trim(w, ".,()") {
		case "collaboration", "team", "group", "consortium", "committee", "organization", "organisation", "institute", "university", "inc":
			return true
		}
	}
	return false
}

func particle(w string) bool {
	switch w {
	case "van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "du", "la", "le", "ten", "ter", "af", "zu", "zur", "bin", "ibn", "al", "el", "st.", "y", "'t":
		return true
	}
	return false
}

func capitalParticle(w string) bool {
	switch w {
	case "Van", "Von", "De", "Del", "Der", "Den":
		return true
	}
	return false
}

// initials reports whether w is letters of given names only: "A.E.", "DT", "J.-P.".
func initials(w string) bool {
	n := 0
	for _, r := range w {
		switch {
		case unicode.IsUpper(r):
			n++
		case r == '.' || r == '-' || r == ' ':
		default:
			return false
		}
	}
	return n > 0 && (n <= 2 || n <= 4 && strings.Contains(w, "."))
}

// spread writes initials with full stops: "DT" as "D. T.".
func spread(w string) string {
	var parts []string
	hyphen := false
	for _, r := range w {
		switch {
		case unicode.IsUpper(r) && hyphen && len(parts) > 0:
			parts[len(parts)-1] += "-" + string(r) + "."
			hyphen = false
		case unicode.IsUpper(r):
			parts = append(parts, string(r)+".")
		case r == '-':
			hyphen = true
		}
	}
	return strings.Join(parts, " ")
}

func ideographic(s string) bool {
	for _, r := range s {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) {
			return true
		}
	}
	return false
}
