package template

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Severity tells whether a finding refuses the template.
type Severity uint8

// Severities.
const (
	Error   Severity = iota // the template is refused
	Warning                 // it loads, and somebody should look
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Finding is one thing that is wrong, or odd, in a template.
type Finding struct {
	Rule     string   `json:"rule"` // such as "seed-idea.name"
	Severity Severity `json:"-"`
	// BlocksStart marks a warning that refuses a study on this machine, such as
	// a module that cannot be imported here.
	BlocksStart bool   `json:"blocks_start,omitempty"`
	Path        string `json:"path"`             // in the template; empty for the folder itself
	Line        int    `json:"line,omitempty"`   // from 1; 0 when the finding is about a whole file
	Column      int    `json:"column,omitempty"` // from 1, in characters
	Found       string `json:"found"`
	Expected    string `json:"expected"`
	Fix         string `json:"fix,omitempty"` // what to write or type; may be empty
}

// Place returns path, line and column as far as they are known.
func (f Finding) Place() string {
	place := f.Path
	if place == "" {
		place = "."
	}
	if f.Line > 0 {
		place += ":" + strconv.Itoa(f.Line)
		if f.Column > 0 {
			place += ":" + strconv.Itoa(f.Column)
		}
	}
	return place
}

// Text returns the finding without its place and rule.
func (f Finding) Text() string {
	text := "found " + f.Found
	if f.Expected != "" {
		text += ", expected " + f.Expected
	}
	if f.Fix != "" {
		text += "; try " + f.Fix
	}
	return text
}

// String returns the finding as one line: place, rule, text.
func (f Finding) String() string { return f.Place() + " " + f.Rule + ": " + f.Text() }

// Errors returns the findings that refuse the template.
func Errors(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Severity != Error })
}

// Blocking returns the findings that refuse a study's start: errors, and the
// warnings that matter on this machine.
func Blocking(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool {
		return f.Severity != Error && !f.BlocksStart
	})
}

// maxFindings bounds what one check reports: a folder of ten thousand links has
// one thing wrong with it, not ten thousand.
const maxFindings = 200

// report collects findings.
type report struct {
	findings []Finding
	foreign  bool // no template.yaml: what only bends the format is a warning
}

func (r *report) add(f Finding) {
	if len(r.findings) < maxFindings {
		r.findings = append(r.findings, f)
	}
}

func (r *report) warn(f Finding) {
	f.Severity = Warning
	r.add(f)
}

// strict adds an error, or a warning when the template is foreign.
func (r *report) strict(f Finding) {
	if r.foreign {
		f.Severity = Warning
	}
	r.add(f)
}

// sorted puts errors first, then orders by place.
func (r *report) sorted() []Finding {
	slices.SortStableFunc(r.findings, func(a, b Finding) int {
		if a.Severity != b.Severity {
			return int(a.Severity) - int(b.Severity)
		}
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return r.findings
}

// quote renders foreign text for a finding: escaped, and cut after 60 characters.
func quote(s string) string { return quoteUpTo(s, 60) }

func quoteUpTo(s string, most int) string {
	if utf8.RuneCountInString(s) > most {
		runes := 0
		for i := range s {
			if runes == most {
				s = s[:i] + "…"
				break
			}
			runes++
		}
	}
	return fmt.Sprintf("%q", s)
}

// position turns a byte offset into line and column, both from 1.
func position(data []byte, offset int) (line, column int) {
	offset = min(offset, len(data))
	line, start := 1, 0
	for i, b := range data[:offset] {
		if b == '\n' {
			line, start = line+1, i+1
		}
	}
	return line, utf8.RuneCount(data[start:offset]) + 1
}

// nearest returns the known word that is closest to a misspelt one, or "".
func nearest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes; words longer than 64 are cut.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
