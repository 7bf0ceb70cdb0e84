package template

import (
	"bytes"
	"regexp"
	"strings"
)

// pySource is a Python file read as far as the checks need: where its strings
// and comments are, and what it imports. It is no parser: on broken source it
// gives less, never an error.
type pySource struct {
	name    string
	data    []byte
	masked  []byte // data with strings and comments blanked, same offsets
	strings []pyString
	imports []pyImport
}

type pyString struct {
	offset int
	text   string
}

type pyImport struct {
	offset int
	module string // its first part
}

// scanPython reads a source in one pass.
func scanPython(name string, data []byte) *pySource {
	s := &pySource{name: name, data: data, masked: bytes.Clone(data)}
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case c == '#':
			end := lineEnd(data, i)
			blank(s.masked[i:end])
			i = end
		case c == '"' || c == '\'':
			inside, end := stringEnd(data, i)
			s.strings = append(s.strings, pyString{i, string(data[inside[0]:inside[1]])})
			blank(s.masked[i:end])
			i = end
		default:
			i++
		}
	}
	s.findImports()
	return s
}

func lineEnd(data []byte, from int) int {
	if n := bytes.IndexByte(data[from:], '\n'); n >= 0 {
		return from + n
	}
	return len(data)
}

// stringEnd returns the bounds of a string's content and the offset after it.
func stringEnd(data []byte, from int) (inside [2]int, end int) {
	quoteMark := data[from : from+1]
	triple := bytes.Repeat(quoteMark, 3)
	if bytes.HasPrefix(data[from:], triple) {
		quoteMark = triple
	}
	start := from + len(quoteMark)
	for i := start; i < len(data); i++ {
		switch {
		case data[i] == '\\':
			i++
		case bytes.HasPrefix(data[i:], quoteMark):
			return [2]int{start, i}, i + len(quoteMark)
		case data[i] == '\n' && len(quoteMark) == 1:
			return [2]int{start, i}, i // it never ends: Python's parser says so
		}
	}
	return [2]int{min(start, len(data)), len(data)}, len(data)
}

// blank keeps line breaks so that offsets and lines stay true.
func blank(b []byte) {
	for i := range b {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
}

var (
	importLine = regexp.MustCompile(`(?m)^[ \t]*import[ \t]+([^\n;]+)`)
	fromLine   = regexp.MustCompile(`(?m)^[ \t]*from[ \t]+([A-Za-z_][A-Za-z0-9_.]*)[ \t]+import\b`)
)

func (s *pySource) findImports() {
	for _, m := range importLine.FindAllSubmatchIndex(s.masked, -1) {
		for _, part := range strings.Split(string(s.masked[m[2]:m[3]]), ",") {
			fields := strings.Fields(part)
			if len(fields) > 0 && modulePattern.MatchString(fields[0]) {
				s.imports = append(s.imports, pyImport{m[2], topModule(fields[0])})
			}
		}
	}
	for _, m := range fromLine.FindAllSubmatchIndex(s.masked, -1) {
		s.imports = append(s.imports, pyImport{m[2], topModule(string(s.masked[m[2]:m[3]]))})
	}
}
