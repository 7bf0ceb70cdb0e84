package edit

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// line is one line of a file. A line ends at LF only; a CR before it belongs to the line end.
type line struct {
	text string
	eol  string // "\n", "\r\n", or "" at the end of a file
	no   int    // number in the file as it was, from 1; 0 for new lines
	by   int    // last block whose match covered the line; 0: untouched
	new  bool   // written by a block, not by the file
}

// doc is a file being edited.
type doc struct {
	path    string
	existed bool
	deleted bool
	changed bool
	bom     bool
	endNL   bool // the file is to end with a line end
	crlf    bool // the dominant line end
	lines   []line
	old     []byte
	gone    map[string]int // lines that blocks of this reply replaced, right-trimmed, and the first block that did
	norm    [normCount][]string
	filled  *sparse
	have    map[string]bool // its lines, right-trimmed
	want    int             // line that the block at work names; 0: none
}

// sparse is the lines of a file that are not blank, right-trimmed, and where they stand.
type sparse struct {
	lines []string
	at    []int
}

const bom = "\ufeff"

// splitLines cuts at LF. The last line has no line end if the text has none there.
func splitLines(s string) []line {
	var out []line
	for no := 1; len(s) > 0; no++ {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			out = append(out, line{text: s, no: no})
			break
		}
		text, eol := s[:i], "\n"
		if strings.HasSuffix(text, "\r") {
			text, eol = text[:len(text)-1], "\r\n"
		}
		out = append(out, line{text: text, eol: eol, no: no})
		s = s[i+1:]
	}
	return out
}

func newDoc(path string, data []byte, existed bool) *doc {
	d := &doc{path: path, existed: existed, old: data, endNL: true, gone: map[string]int{}}
	if !existed {
		return d
	}
	s := string(data)
	if strings.HasPrefix(s, bom) {
		d.bom, s = true, s[len(bom):]
	}
	d.lines = splitLines(s)
	crlf, lf := 0, 0
	for _, l := range d.lines {
		switch l.eol {
		case "\r\n":
			crlf++
		case "\n":
			lf++
		}
	}
	d.crlf = crlf > lf
	d.endNL = s == "" || strings.HasSuffix(s, "\n")
	return d
}

// binary says why the engine refuses the bytes, or nothing.
func binary(data []byte) string {
	if len(data) >= 2 && (data[0] == 0xff && data[1] == 0xfe || data[0] == 0xfe && data[1] == 0xff) {
		return "it is UTF-16, which cannot be edited here"
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return "it holds NUL bytes, so it is not a text file"
	}
	return ""
}

func (d *doc) eol() string {
	if d.crlf {
		return "\r\n"
	}
	return "\n"
}

func (d *doc) blank() bool {
	for _, l := range d.lines {
		if strings.TrimSpace(l.text) != "" {
			return false
		}
	}
	return true
}

// render gives the bytes and, per line, the block that wrote it.
func (d *doc) render() ([]byte, []int) {
	if len(d.lines) == 0 {
		return []byte{}, nil
	}
	var b strings.Builder
	if d.bom {
		b.WriteString(bom)
	}
	origin := make([]int, len(d.lines))
	for i, l := range d.lines {
		b.WriteString(l.text)
		if l.new {
			origin[i] = l.by
		}
		if i == len(d.lines)-1 && !d.endNL {
			break
		}
		if l.eol == "" {
			l.eol = d.eol()
		}
		b.WriteString(l.eol)
	}
	return []byte(b.String()), origin
}

// splice replaces the lines [from, to).
func (d *doc) splice(from, to int, with []line) {
	d.lines = slices.Replace(d.lines, from, to, with...)
	d.filled, d.have = nil, nil
	for n, v := range d.norm {
		if v == nil {
			continue
		}
		fresh := make([]string, len(with))
		for i, l := range with {
			fresh[i] = norm(n).line(l.text)
		}
		d.norm[n] = slices.Replace(v, from, to, fresh...)
	}
}

type norm int

const (
	normExact norm = iota
	normRight
	normTrim
	normTypo
	normCount
)

// view gives the file's lines under a normalisation; computed once per state of the file.
func (d *doc) view(n norm) []string {
	if d.norm[n] == nil {
		v := make([]string, len(d.lines))
		for i, l := range d.lines {
			v[i] = n.line(l.text)
		}
		d.norm[n] = v
	}
	return d.norm[n]
}

// sparse gives the lines that are not blank; computed once per state of the file.
func (d *doc) sparse() *sparse {
	if d.filled == nil {
		d.filled = &sparse{}
		for i, l := range d.view(normRight) {
			if l != "" {
				d.filled.lines, d.filled.at = append(d.filled.lines, l), append(d.filled.at, i)
			}
		}
	}
	return d.filled
}

// holds says whether a right-trimmed line is in the file.
func (d *doc) holds(s string) bool {
	if d.have == nil {
		d.have = make(map[string]bool, len(d.lines))
		for _, l := range d.view(normRight) {
			d.have[l] = true
		}
	}
	return d.have[s]
}

func (n norm) line(s string) string {
	switch n {
	case normRight:
		return rtrim(s)
	case normTrim:
		return strings.Trim(s, " \t\r")
	case normTypo:
		return rtrim(plainTypography(s))
	}
	return s
}

func (n norm) all(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = n.line(l)
	}
	return out
}

func rtrim(s string) string { return strings.TrimRight(s, " \t\r") }

func isBlank(s string) bool { return strings.Trim(s, " \t\r") == "" }

func allBlank(lines []string) bool {
	for _, l := range lines {
		if !isBlank(l) {
			return false
		}
	}
	return true
}

func indentOf(s string) string { return s[:len(s)-len(strings.TrimLeft(s, " \t"))] }

// plainTypography makes curly quotes, dashes, the ellipsis and Unicode spaces plain and drops zero-width marks.
func plainTypography(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		raw := s[i : i+size]
		i += size
		switch r {
		case '\u2018', '\u2019', '\u201a', '\u201b', '\u2032':
			b.WriteByte('\'')
		case '\u201c', '\u201d', '\u201e', '\u201f', '\u2033':
			b.WriteByte('"')
		case '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2015', '\u2212':
			b.WriteByte('-')
		case '\u2026':
			b.WriteString("...")
		case '\u00a0', '\u1680', '\u2000', '\u2001', '\u2002', '\u2003', '\u2004', '\u2005', '\u2006', '\u2007',
			'\u2008', '\u2009', '\u200a', '\u202f', '\u205f', '\u3000':
			b.WriteByte(' ')
		case '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u00ad':
		default:
			b.WriteString(raw) // bytes that are no UTF-8 stay what they are
		}
	}
	return b.String()
}

// plainIndent makes Unicode spaces in a line's indent plain.
func plainIndent(s string) string {
	for i, r := range s {
		if r == ' ' || r == '\t' {
			continue
		}
		p := plainTypography(string(r))
		if p != " " && p != "" {
			return plainTypography(s[:i]) + s[i:]
		}
	}
	return s
}
