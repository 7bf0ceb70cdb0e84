package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxInput bounds what is looked at; nothing that belongs into a title, a name or an abstract is longer.
const maxInput = 64 << 10

// Plain reads LaTeX and light mark-up as plain text: accents and symbols become letters, commands and braces go, white space
// becomes single spaces. The result is NFC and one line.
func Plain(s string) string {
	s = Clip(strings.ToValidUTF8(s, " "), maxInput)
	if strings.ContainsAny(s, "\\{}$~") {
		s = latex(s)
	}
	if strings.ContainsAny(s, "<&") {
		s = markup(s)
	}
	return OneLine(s)
}

// OneLine is s in NFC with controls and zero-width characters out and white space as single spaces.
func OneLine(s string) string {
	s = norm.NFC.String(strings.ToValidUTF8(s, " "))
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == utf8.RuneError:
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Clip cuts s to at most n bytes without cutting a character.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ClipRunes cuts s to at most n characters, with an ellipsis as the last one if something was cut.
func ClipRunes(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for j := range s {
		if i == n-1 {
			return strings.TrimRight(s[:j], " ") + "…"
		}
		i++
	}
	return s
}

// markup drops HTML-like tags and reads the commonest entities.
func markup(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '<' {
			if n := tag(s[i:]); n > 0 {
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return entities.Replace(b.String())
}

var entities = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&#39;", "'", "&nbsp;", " ")

// tag is the length of a tag at the start of s, 0 if there is none: "<" alone is a sign in many titles.
func tag(s string) int {
	j := 1
	if j < len(s) && s[j] == '/' {
		j++
	}
	if j >= len(s) || !isLetter(s[j]) {
		return 0
	}
	end := strings.IndexByte(s, '>')
	if end < 0 || end > 200 || strings.ContainsAny(s[1:end], "<\n") {
		return 0
	}
	name := strings.ToLower(strings.TrimRight(strings.FieldsFunc(s[j:end], func(r rune) bool { return r == ' ' || r == '/' })[0], "0123456789"))
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	switch name {
	case "i", "b", "u", "em", "strong", "sub", "sup", "span", "scp", "sc", "tt", "p", "br", "italic", "bold", "title", "jats",
		"math", "mml", "mi", "mo", "mn", "mrow", "msub", "msup", "mtext", "inline-formula", "tex-math", "h", "sec", "a", "font":
		return end + 1
	}
	return 0
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
