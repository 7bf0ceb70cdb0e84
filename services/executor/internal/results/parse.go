package results

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Caps of a results file.
const (
	MaxBytes   = 8 << 20
	MaxDepth   = 16
	MaxNumbers = 10_000
	MaxValues  = 100_000 // of any kind: an empty list takes two bytes of the file and many more of memory
)

// SyntaxError says where a results file cannot be read.
type SyntaxError struct {
	Line, Column int
	Problem      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("final_info.json, line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// value is one JSON value: exactly one of the fields is used.
type value struct {
	kind   byte // 'o' object, 'a' array, 'n' number, 's' string, 'b' true or false, '0' null
	number float64
	text   string
	fields []field // in the order of the file
	items  []value
}

type field struct {
	name  string
	value value
}

func (v value) field(name string) (value, bool) {
	for _, f := range v.fields {
		if f.name == name {
			return f.value, true
		}
	}
	return value{}, false
}

// parser reads what Python's json module writes: JSON with NaN and infinities.
type parser struct {
	in      string
	at      int
	numbers int
	values  int
}

func parse(data []byte) (value, error) {
	if len(data) > MaxBytes {
		return value{}, &SyntaxError{1, 1, fmt.Sprintf("the file has more than %d bytes", MaxBytes)}
	}
	p := &parser{in: string(data)}
	if !utf8.Valid(data) {
		for p.at < len(p.in) {
			r, n := utf8.DecodeRuneInString(p.in[p.at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			p.at += n
		}
		return value{}, p.fail("not UTF-8")
	}
	v, err := p.value(1)
	if err != nil {
		return value{}, err
	}
	p.space()
	if p.at < len(p.in) {
		return value{}, p.fail("text after the end")
	}
	return v, nil
}

func (p *parser) fail(format string, a ...any) error {
	before := p.in[:min(p.at, len(p.in))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &SyntaxError{line, column, fmt.Sprintf(format, a...)}
}

func (p *parser) space() {
	for p.at < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) take(s string) bool {
	if strings.HasPrefix(p.in[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

func (p *parser) value(depth int) (value, error) {
	if depth > MaxDepth {
		return value{}, p.fail("more than %d levels", MaxDepth)
	}
	if p.values++; p.values > MaxValues {
		return value{}, p.fail("more than %d values", MaxValues)
	}
	p.space()
	if p.at >= len(p.in) {
		return value{}, p.fail("ends too early")
	}
	switch c := p.in[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.text()
		return value{kind: 's', text: s}, err
	case p.take("true"), p.take("false"):
		return value{kind: 'b'}, nil
	case p.take("null"):
		return value{kind: '0'}, nil
	}
	return p.number()
}

func (p *parser) number() (value, error) {
	p.numbers++
	if p.numbers > MaxNumbers {
		return value{}, p.fail("more than %d numbers", MaxNumbers)
	}
	for _, special := range []struct {
		name string
		is   float64
	}{{"NaN", math.NaN()}, {"Infinity", math.Inf(1)}, {"-Infinity", math.Inf(-1)}} {
		if p.take(special.name) {
			return value{kind: 'n', number: special.is}, nil
		}
	}
	end := p.at
	for end < len(p.in) && strings.IndexByte("+-0123456789.eE", p.in[end]) >= 0 {
		end++
	}
	word := p.in[p.at:end]
	if !jsonNumber(word) {
		return value{}, p.fail("not a value")
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil && !math.IsInf(f, 0) {
		return value{}, p.fail("not a number")
	}
	p.at = end
	return value{kind: 'n', number: f}, nil
}

// jsonNumber refuses what ParseFloat takes beyond JSON, such as "+1" and ".5".
func jsonNumber(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	zero := strings.HasPrefix(s, "0")
	before := len(s)
	if !digits() || zero && before-len(s) > 1 {
		return false
	}
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		return digits() && s == ""
	}
	return s == ""
}

func (p *parser) array(depth int) (value, error) {
	p.at++
	v := value{kind: 'a'}
	for p.space(); !p.take("]"); p.space() {
		if len(v.items) > 0 && !p.take(",") {
			return value{}, p.fail("a comma or ] is missing")
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	return v, nil
}

func (p *parser) object(depth int) (value, error) {
	p.at++
	v := value{kind: 'o'}
	seen := map[string]bool{}
	for p.space(); !p.take("}"); p.space() {
		if len(v.fields) > 0 && !p.take(",") {
			return value{}, p.fail("a comma or } is missing")
		}
		p.space()
		if p.at >= len(p.in) || p.in[p.at] != '"' {
			return value{}, p.fail("a key is missing")
		}
		start := p.at
		name, err := p.text()
		if err != nil {
			return value{}, err
		}
		if seen[name] {
			p.at = start
			return value{}, p.fail("the key %.80q comes twice", name)
		}
		seen[name] = true
		if p.space(); !p.take(":") {
			return value{}, p.fail("a colon is missing")
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.fields = append(v.fields, field{name, item})
	}
	return v, nil
}

// text reads a string; what follows a backslash is checked by the standard
// library's reader of the same syntax.
func (p *parser) text() (string, error) {
	end := p.at + 1
	for end < len(p.in) && p.in[end] != '"' {
		if p.in[end] == '\\' {
			end++
		}
		if end < len(p.in) && p.in[end] < ' ' {
			p.at = end
			return "", p.fail("a control character in a text")
		}
		end++
	}
	if end >= len(p.in) {
		return "", p.fail("a text does not end")
	}
	s, err := unquote(p.in[p.at : end+1])
	if err != nil {
		return "", p.fail("a text with an unknown escape")
	}
	p.at = end + 1
	return s, nil
}
