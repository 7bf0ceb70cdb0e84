package bibtex

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read.
const (
	MaxFile   = 64 << 20
	maxDepth  = 50
	maxField  = 64 << 10
	maxIssues = 20
)

// Entry is one entry as it was written; values keep their LaTeX, less the outer braces or quotes.
type Entry struct {
	Type   string // lower case
	Key    string
	Fields map[string]string // names in lower case
	Line   int
}

// Issue is something that was dropped or mended.
type Issue struct {
	Line int
	Text string
}

// Result is what a file holds.
type Result struct {
	Entries []Entry
	Issues  []Issue // the first 20
	Dropped int     // entries that could not be read
}

type parser struct {
	in      string
	pos     int
	line    int // of pos
	strings map[string]string
	out     Result
	limit   int // end of the entry being read: the next line that starts one
}

// Parse reads a file. It never fails: what cannot be read is dropped and said.
func Parse(data []byte) Result {
	if len(data) > MaxFile {
		data = data[:MaxFile]
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	s := string(data)
	if !utf8.ValidString(s) {
		s = latin1(data)
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	p := &parser{in: s, line: 1, strings: map[string]string{}}
	for _, m := range strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec") {
		p.strings[m] = m
	}
	for p.next() {
	}
	return p.out
}

func latin1(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// next reads up to and with the next entry; false at the end.
func (p *parser) next() bool {
	i := strings.IndexByte(p.in[p.pos:], '@')
	if i < 0 {
		return false
	}
	p.advance(p.pos + i)
	line := p.line
	p.advance(p.pos + 1)
	p.limit = p.nextStart()
	kind := strings.ToLower(p.name())
	p.space()
	if kind == "" || p.pos >= p.limit || p.in[p.pos] != '{' && p.in[p.pos] != '(' {
		return true // an "@" in free text
	}
	closing := byte('}')
	if p.in[p.pos] == '(' {
		closing = ')'
	}
	p.advance(p.pos + 1)
	switch kind {
	case "comment", "preamble":
		p.skip(closing)
		return true
	case "string":
		p.define(closing, line)
		return true
	}
	p.entry(kind, closing, line)
	return true
}

// nextStart is where the next line begins that opens an entry, or the end.
func (p *parser) nextStart() int {
	for at := p.pos; ; {
		i := strings.Index(p.in[at:], "\n@")
		if i < 0 {
			return len(p.in)
		}
		at += i + 1
		j := at + 1
		for j < len(p.in) && isLetter(p.in[j]) {
			j++
		}
		if j > at+1 && j < len(p.in) && (p.in[j] == '{' || p.in[j] == '(') {
			return at
		}
		at++
	}
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func (p *parser) advance(to int) {
	p.line += strings.Count(p.in[p.pos:to], "\n")
	p.pos = to
}

func (p *parser) space() {
	i := p.pos
	for i < p.limit && strings.IndexByte(" \t\n\f\v", p.in[i]) >= 0 {
		i++
	}
	p.advance(i)
}

// name reads letters, digits and the signs that names of types, fields and strings may have.
func (p *parser) name() string {
	start := p.pos
	i := start
	for i < p.limit && (isLetter(p.in[i]) || p.in[i] >= '0' && p.in[i] <= '9' || strings.IndexByte("-_+.:/*'", p.in[i]) >= 0) {
		i++
	}
	p.advance(i)
	return p.in[start:i]
}

func (p *parser) issue(line int, format string, a ...any) {
	if len(p.out.Issues) < maxIssues {
		p.out.Issues = append(p.out.Issues, Issue{line, fmt.Sprintf(format, a...)})
	}
}

// skip goes to the end of a balanced group that is already open.
func (p *parser) skip(closing byte) {
	depth := 0
	for i := p.pos; i < p.limit; i++ {
		switch c := p.in[i]; {
		case c == closing && depth == 0:
			p.advance(i + 1)
			return
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	p.advance(p.limit)
}

func (p *parser) define(closing byte, line int) {
	p.space()
	name := strings.ToLower(p.name())
	p.space()
	if p.pos >= p.limit || p.in[p.pos] != '=' {
		p.issue(line, "a @string without value was dropped")
		p.skip(closing)
		return
	}
	p.advance(p.pos + 1)
	v, ok := p.value(closing, line)
	if ok {
		p.strings[name] = v
	}
	p.space()
	if p.pos < p.limit && p.in[p.pos] == closing {
		p.advance(p.pos + 1)
	}
}

func (p *parser) entry(kind string, closing byte, line int) {
	e := Entry{Type: kind, Fields: map[string]string{}, Line: line}
	p.space()
	start := p.pos
	i := start
	for i < p.limit && p.in[i] != ',' && p.in[i] != closing && p.in[i] != '\n' && p.in[i] != '=' {
		i++
	}
	if i < p.limit && p.in[i] == '=' { // the key is missing
		p.issue(line, "an entry has no key")
	} else {
		e.Key = strings.TrimSpace(p.in[start:i])
		p.advance(i)
	}
	for {
		p.space()
		for p.pos < p.limit && p.in[p.pos] == ',' {
			p.advance(p.pos + 1)
			p.space()
		}
		if p.pos >= p.limit {
			p.out.Dropped++
			p.issue(line, "entry %q is never closed, it was dropped", short(e.Key))
			return
		}
		if p.in[p.pos] == closing {
			p.advance(p.pos + 1)
			p.out.Entries = append(p.out.Entries, e)
			return
		}
		p.field(&e, closing)
	}
}

func (p *parser) field(e *Entry, closing byte) {
	at, before := p.line, p.pos
	name := strings.ToLower(p.name())
	p.space()
	if name == "" || p.pos >= p.limit || p.in[p.pos] != '=' {
		if p.pos == before {
			p.advance(p.pos + 1) // a sign that belongs nowhere
		}
		p.issue(at, "entry %q: %q is no field, it was passed over", short(e.Key), short(name))
		return
	}
	p.advance(p.pos + 1)
	v, ok := p.value(closing, at)
	if !ok {
		return
	}
	if _, twice := e.Fields[name]; twice {
		p.issue(at, "entry %q has field %s twice, the first one counts", short(e.Key), short(name))
		return
	}
	e.Fields[name] = v
}

// value reads pieces joined by "#".
func (p *parser) value(closing byte, line int) (string, bool) {
	var b strings.Builder
	for {
		p.space()
		if p.pos >= p.limit {
			return "", false
		}
		piece, ok := p.piece(line)
		if !ok {
			return "", false
		}
		if b.Len()+len(piece) > maxField {
			p.issue(line, "a field is longer than 64 KiB, it was cut")
			piece = ""
		}
		b.WriteString(piece)
		p.space()
		if p.pos >= p.limit || p.in[p.pos] != '#' {
			return b.String(), true
		}
		p.advance(p.pos + 1)
	}
}

func (p *parser) piece(line int) (string, bool) {
	switch c := p.in[p.pos]; c {
	case '{':
		return p.group('}')
	case '"':
		return p.group('"')
	}
	start := p.pos
	word := p.name()
	if word == "" {
		p.issue(line, "a field has no value")
		return "", false
	}
	if v, ok := p.strings[strings.ToLower(word)]; ok {
		return v, true
	}
	if !digits(word) {
		p.issue(line, "%q is no known string, it was taken as text", short(p.in[start:p.pos]))
	}
	return word, true
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// group reads a braced or quoted value; the cursor stands on its opening sign.
func (p *parser) group(closing byte) (string, bool) {
	depth := 0
	start := p.pos + 1
	for i := start; i < p.limit; i++ {
		switch c := p.in[i]; {
		case c == '\\' && i+1 < p.limit:
			i++
		case c == closing && depth == 0:
			v := p.in[start:i]
			p.advance(i + 1)
			if len(v) > maxField {
				p.issue(p.line, "a field is longer than 64 KiB, it was dropped")
				return "", true
			}
			return v, true
		case c == '{':
			if depth++; depth > maxDepth {
				p.advance(p.limit)
				return "", false
			}
		case c == '}':
			depth--
			if depth < 0 {
				p.advance(i)
				return "", false
			}
		}
	}
	p.advance(p.limit)
	return "", false
}

func short(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
