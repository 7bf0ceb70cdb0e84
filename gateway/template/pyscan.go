package template

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// pySource is a Python file read as far as the checks need: where its strings
// and comments are, and what it imports. It is no parser: on broken source it
// gives less, never an error.
type pySource struct {
	name    string
	data    []byte
	masked  []byte // data with strings and comments blanked and continued lines joined, same offsets
	strings []pyString
	imports []pyImport
	// relative has the offsets of imports such as "from .helpers import x" that no except clause catches.
	relative []int
}

type pyString struct {
	offset int
	text   string
}

type pyImport struct {
	offset   int
	module   string // its first part
	optional bool   // the source goes on without it
}

// scanPython reads a source in one pass.
func scanPython(name string, data []byte) *pySource {
	s := &pySource{name: name, data: data, masked: bytes.Clone(data)}
	if bytes.HasPrefix(data, byteOrderMark) {
		blank(s.masked[:len(byteOrderMark)])
	}
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
	for i := range len(data) - 1 { // a line that goes on is one line
		if s.masked[i] == '\\' && s.masked[i+1] == '\n' {
			s.masked[i], s.masked[i+1] = ' ', ' '
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
	importLine   = regexp.MustCompile(`(?m)^[ \t]*import[ \t]+([^\n;]+)`)
	fromLine     = regexp.MustCompile(`(?m)^[ \t]*from[ \t]+([A-Za-z_][A-Za-z0-9_.]*)[ \t]+import\b`)
	relativeLine = regexp.MustCompile(`(?m)^[ \t]*from[ \t]+(\.[A-Za-z0-9_.]*)[ \t]+import\b`)
)

func (s *pySource) findImports() {
	blocks := newPyBlocks(s.masked)
	for _, m := range importLine.FindAllSubmatchIndex(s.masked, -1) {
		optional := blocks.optional(m[2])
		for _, part := range strings.Split(string(s.masked[m[2]:m[3]]), ",") {
			fields := strings.Fields(part)
			if len(fields) > 0 && modulePattern.MatchString(fields[0]) {
				s.imports = append(s.imports, pyImport{m[2], topModule(fields[0]), optional})
			}
		}
	}
	for _, m := range fromLine.FindAllSubmatchIndex(s.masked, -1) {
		optional := blocks.optional(m[2])
		s.imports = append(s.imports, pyImport{m[2], topModule(string(s.masked[m[2]:m[3]])), optional})
	}
	for _, m := range relativeLine.FindAllSubmatchIndex(s.masked, -1) {
		if !blocks.optional(m[2]) {
			s.relative = append(s.relative, m[2])
		}
	}
}

var (
	tryLine      = regexp.MustCompile(`^try[ \t]*:`)
	exceptLine   = regexp.MustCompile(`^except\b`)
	catchesLine  = regexp.MustCompile(`^except[ \t]*(:|.*\b(ImportError|ModuleNotFoundError|Exception|BaseException)\b)`)
	ifLine       = regexp.MustCompile(`^(if|elif)\b`)
	mainLine     = regexp.MustCompile(`\b__name__\b`)
	givesUp      = regexp.MustCompile(`\b(raise|exit|SystemExit)\b`)
	blockEndLine = regexp.MustCompile(`^(else|finally)\b`)
)

// pyBlocks finds what encloses a line of masked Python. A hostile source may have a hundred thousand imports, so the search is bounded: beyond it an import
// counts as needed.
type pyBlocks struct {
	lines  []string
	starts []int // the lines' offsets
	asked  int
}

func newPyBlocks(masked []byte) *pyBlocks {
	b := &pyBlocks{lines: strings.Split(string(masked), "\n")}
	at := 0
	for _, line := range b.lines {
		b.starts = append(b.starts, at)
		at += len(line) + 1
	}
	return b
}

const (
	maxAsked    = 1000 // imports of one source
	maxDistance = 1000 // lines before and after one
)

// optional tells whether what stands at an offset is in a try block whose except clause goes on without the module, in such a clause itself, or under a
// condition: where only type checkers read, or behind a switch that may be off.
func (b *pyBlocks) optional(offset int) bool {
	if b.asked++; b.asked > maxAsked {
		return false
	}
	number, exact := slices.BinarySearch(b.starts, offset)
	if !exact {
		number-- // the line that begins before it
	}
	inner := indentOf(b.lines[number])
	for i := number - 1; i >= max(0, number-maxDistance) && inner > 0; i-- {
		text := strings.TrimSpace(b.lines[i])
		if text == "" || indentOf(b.lines[i]) >= inner {
			continue
		}
		inner = indentOf(b.lines[i])
		if ifLine.MatchString(text) && !mainLine.MatchString(text) || catchesLine.MatchString(text) || tryLine.MatchString(text) && b.goesOn(i+1, inner) {
			return true
		}
	}
	return false
}

// goesOn looks from a line on through the rest of a try statement of an indent for a clause that catches a missing module and does not give up.
func (b *pyBlocks) goesOn(from, indent int) bool {
	catching, stopped := false, false
	for _, line := range b.lines[from:min(len(b.lines), from+maxDistance)] {
		text := strings.TrimSpace(line)
		switch {
		case text == "":
		case indentOf(line) > indent:
			stopped = stopped || catching && givesUp.MatchString(text)
		case catching:
			return !stopped
		case indentOf(line) == indent && catchesLine.MatchString(text):
			catching, stopped = true, givesUp.MatchString(text)
		case indentOf(line) < indent || !exceptLine.MatchString(text) && !blockEndLine.MatchString(text):
			return false
		}
	}
	return catching && !stopped
}

// indentOf counts a line's leading blanks; a tab goes to the next multiple of eight, as in Python.
func indentOf(line string) int {
	n := 0
	for _, r := range line {
		switch r {
		case ' ':
			n++
		case '\t':
			n = n/8*8 + 8
		default:
			return n
		}
	}
	return n
}
