// Package bib reads and keeps BibTeX entries: those of a template byte for byte unless broken, those of the literature service as they came.
package bib

import (
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"nullius.dev/services/writer/internal/tex"
)

// Entry is one BibTeX entry.
type Entry struct {
	Key   string
	Type  string
	Text  string
	Title string
	DOI   string
	ArXiv string
}

// Dropped is an entry that could not be kept.
type Dropped struct {
	Key, Why string
}

const maxEntry = 64 << 10

var (
	entryStart = regexp.MustCompile(`(?m)^[ \t]*@([A-Za-z]+)[ \t]*[{(]`)
	keyPattern = regexp.MustCompile(`^[A-Za-z0-9_.:+/'-]{1,120}$`)
	unsafe     = regexp.MustCompile(`\\(?:write|openout|openin|read|input|include|immediate|csname|def|edef|gdef|let|catcode|special|newcommand|pdf[a-z]+|directlua|usepackage|end|begin)(?:[^a-zA-Z]|$)|\^\^`)
)

// Parse reads a BibTeX file. Comments, @string and @preamble are left out; broken entries are dropped with their reason.
func Parse(s string) ([]Entry, []Dropped) {
	var out []Entry
	var dropped []Dropped
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "")
	starts := entryStart.FindAllStringSubmatchIndex(s, -1)
	for i, m := range starts {
		kind := strings.ToLower(s[m[2]:m[3]])
		if kind == "comment" || kind == "preamble" || kind == "string" {
			continue
		}
		limit := len(s)
		if i+1 < len(starts) {
			limit = starts[i+1][0]
		}
		e, why := readEntry(s[m[0]:limit], kind)
		if why != "" {
			dropped = append(dropped, Dropped{e.Key, why})
			continue
		}
		out = append(out, e)
	}
	return out, dropped
}

func readEntry(s, kind string) (Entry, string) {
	s = strings.TrimLeft(s, " \t")
	open := strings.IndexAny(s, "{(")
	key, _, ok := strings.Cut(s[open+1:], ",")
	e := Entry{Type: kind, Key: strings.TrimSpace(key)}
	if len(e.Key) > 200 {
		e.Key = e.Key[:200]
	}
	if !ok || !keyPattern.MatchString(e.Key) {
		return e, "its key is missing or holds characters that keys cannot hold"
	}
	end := closing(s, open)
	if end < 0 {
		return e, "it never closes"
	}
	if end > maxEntry {
		return e, "it is longer than 64 KiB"
	}
	e.Text = s[:end+1]
	if unsafe.MatchString(e.Text) {
		return e, "it holds a command that defines, reads or writes"
	}
	e.Title, e.DOI, e.ArXiv = Field(e.Text, "title"), Field(e.Text, "doi"), Field(e.Text, "eprint")
	if e.Title == "" && Field(e.Text, "author") == "" {
		return e, "it has neither title nor author"
	}
	e.Text, _ = tex.Unicode(e.Text, false)
	e.Text = bareSpecials(e.Text)
	return e, ""
}

// bareSpecials escapes the ampersands, per cents and hashes that BibTeX would hand to TeX as they are.
func bareSpecials(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c == '&' || c == '%' || c == '#') && (i == 0 || s[i-1] != '\\') {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

func closing(s string, open int) int {
	depth := 0
	for i := open; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 && s[open] == '{' {
				return i
			}
			if depth < 0 {
				return -1
			}
		case ')':
			if s[open] == '(' && depth == 0 {
				return i
			}
		}
	}
	return -1
}

// Field reads one field of an entry, without its delimiters.
func Field(entry, name string) string {
	p := regexp.MustCompile(`(?is)[,\s]` + regexp.QuoteMeta(name) + `\s*=\s*`)
	m := p.FindStringIndex(entry)
	if m == nil {
		return ""
	}
	rest := entry[m[1]:]
	switch {
	case strings.HasPrefix(rest, "{"):
		if inside, _, ok := tex.Group(rest, 0); ok {
			return flat(inside)
		}
	case strings.HasPrefix(rest, `"`):
		if j := strings.IndexByte(rest[1:], '"'); j >= 0 {
			return flat(rest[1 : 1+j])
		}
	default:
		if j := strings.IndexAny(rest, ",}\n"); j >= 0 {
			return flat(rest[:j])
		}
	}
	return ""
}

func flat(s string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("{", "", "}", "", `\&`, "&").Replace(s)), " ")
}

// Set is the closed set of what the paper may cite.
type Set struct {
	entries []Entry
	alias   map[string]string // another key of the same paper
	Own     map[string]bool   // keys that came with the template
}

// NewSet makes an empty set.
func NewSet() *Set { return &Set{alias: map[string]string{}, Own: map[string]bool{}} }

// Add takes an entry, unless the paper is there already: same DOI, arXiv id or title. It returns the key to cite it by.
func (s *Set) Add(e Entry, own bool) string {
	for _, o := range s.entries {
		if same(o, e) {
			if o.Key != e.Key {
				s.alias[e.Key] = o.Key
			}
			return o.Key
		}
	}
	key := e.Key
	for k := 'b'; s.taken(key) && k <= 'z'; k++ {
		key = e.Key + string(k)
	}
	if key != e.Key {
		e.Text = strings.Replace(e.Text, e.Key, key, 1)
		e.Key = key
	}
	s.entries = append(s.entries, e)
	s.Own[key] = own
	return key
}

func (s *Set) taken(key string) bool {
	return slices.ContainsFunc(s.entries, func(e Entry) bool { return strings.EqualFold(e.Key, key) })
}

// Remove takes an entry out.
func (s *Set) Remove(key string) {
	s.entries = slices.DeleteFunc(s.entries, func(e Entry) bool { return e.Key == key })
}

// Known returns the key under which the set has a paper.
func (s *Set) Known(key string) (string, bool) {
	for _, e := range s.entries {
		if e.Key == key {
			return key, true
		}
	}
	if k, ok := s.alias[key]; ok {
		return k, true
	}
	for _, e := range s.entries {
		if strings.EqualFold(e.Key, key) {
			return e.Key, true
		}
	}
	return "", false
}

// Get returns an entry.
func (s *Set) Get(key string) (Entry, bool) {
	for _, e := range s.entries {
		if e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Keys lists all keys.
func (s *Set) Keys() []string {
	var out []string
	for _, e := range s.entries {
		out = append(out, e.Key)
	}
	return out
}

// File writes the entries that are cited, in the order of the set.
func (s *Set) File(cited []string) string {
	var b strings.Builder
	for _, e := range s.entries {
		if slices.Contains(cited, e.Key) {
			b.WriteString(strings.TrimSpace(e.Text) + "\n\n")
		}
	}
	return b.String()
}

func same(a, b Entry) bool {
	if a.DOI != "" && strings.EqualFold(a.DOI, b.DOI) || a.ArXiv != "" && a.ArXiv == b.ArXiv {
		return true
	}
	x, y := fold(a.Title), fold(b.Title)
	if x == "" || y == "" {
		return false
	}
	return x == y || len(x) > 12 && len(x) < 400 && len(y) < 400 && similarity(x, y) >= 0.95
}

func fold(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 32
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		}
		return -1
	}, norm.NFKD.String(s))
}

func similarity(a, b string) float64 {
	n := max(len(a), len(b))
	if d := len(a) - len(b); d*20 > n || -d*20 > n {
		return 0
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return 1 - float64(row[len(b)])/float64(n)
}

// Replace puts another text under a key that stays.
func (s *Set) Replace(key string, e Entry) bool {
	for i := range s.entries {
		if s.entries[i].Key == key {
			e.Text = strings.Replace(e.Text, e.Key, key, 1)
			e.Key = key
			s.entries[i] = e
			return true
		}
	}
	return false
}
