// Package check finds what is wrong with a paper's text and mends by code what can be mended without understanding it.
package check

import "nullius.dev/services/writer/internal/tex"

// Severity says what a finding costs the paper.
type Severity uint8

// The severities.
const (
	Blocking Severity = iota + 1 // defective while it stays
	Warning                      // asked once, then listed
	Advice                       // listed
)

func (s Severity) String() string { return [...]string{"", "B", "W", "A"}[s] }

// Finding is one thing that a check found. Ids are those of the writer's check table.
type Finding struct {
	ID        string
	Severity  Severity
	Section   tex.Role
	Paragraph int // from 1; 0: none
	Line      int // of template.tex; 0: unknown
	Text      string
	MendedBy  string // code, model; empty: it stays
}

// List collects the findings of one body.
type List struct {
	Section  tex.Role
	Findings []Finding
}

// mended notes that code mended something.
func (l *List) mended(id, text string) {
	for _, f := range l.Findings { // once per kind and text is enough
		if f.ID == id && f.Text == text {
			return
		}
	}
	if len(l.Findings) < 60 {
		l.Findings = append(l.Findings, Finding{ID: id, Severity: Blocking, Section: l.Section, Text: text, MendedBy: "code"})
	}
}
