// Package prompts holds what the writer says to models. Each prompt is a file; each has a typed function and a golden.
package prompts

import (
	"embed"
	"strings"
	"text/template"
)

// Version names this state of the prompts on spans.
const Version = "1"

//go:embed *.tmpl
var files embed.FS

func parse() *template.Template {
	return template.Must(template.New("").Option("missingkey=error").ParseFS(files, "*.tmpl"))
}

// Set renders prompts.
type Set struct{ t *template.Template }

// New parses the prompts.
func New() Set { return Set{parse()} }

func (s Set) render(name string, data any) string {
	var b strings.Builder
	if err := s.t.ExecuteTemplate(&b, name, data); err != nil {
		return "prompt " + name + ": " + err.Error() // the goldens make sure that this is never seen
	}
	return strings.TrimSpace(b.String())
}

// Rules is what holds for every call.
func (s Set) Rules() string { return s.render("rules.tmpl", nil) }

// Record is what the paper is written from.
type Record struct {
	Fence, Idea, Template, Task    string
	Runs                           []string
	Measurements, Counts, Settings string
	Figures                        []string
}

// Record renders the record.
func (s Set) Record(r Record) string { return s.render("record.tmpl", r) }

// Code is the code's change and the notes.
type Code struct{ Fence, Diff, Baseline, Notes string }

// Code renders it.
func (s Set) Code(c Code) string { return s.render("code.tmpl", c) }

// Outline asks for the outline.
func (s Set) Outline(needs int, papers string) string {
	return s.render("outline.tmpl", struct {
		Needs  int
		Papers string
	}{needs, papers})
}

// Need is a search with its hits.
type Need struct {
	Number     int
	Query, Why string
	Hits       []string
}

// Citations asks to pick papers.
func (s Set) Citations(needs []Need) string {
	return s.render("citations.tmpl", struct{ Needs []Need }{needs})
}

// Checklist is what a section must answer.
func (s Set) Checklist(section string) string { return s.render(section, nil) }

// Draft asks for a section.
func (s Set) Draft(section, length, floats string) string {
	return s.render("draft.tmpl", struct{ Section, Checklist, Length, Floats string }{section, s.Checklist(section), length, floats})
}

// Closing asks for conclusion, abstract and title.
func (s Set) Closing() string { return s.render("closing.tmpl", nil) }

// Refine asks for changed paragraphs of a section.
func (s Set) Refine(section string, findings []string, numbered string) string {
	return s.render("refine.tmpl", struct {
		Section, Checklist, Numbered, Example string
		Findings                              []string
	}{section, s.Checklist(section), numbered, section, findings})
}

// Paper asks for changed paragraphs of the whole paper.
func (s Set) Paper(findings []string, numbered string) string {
	return s.render("paper.tmpl", struct {
		Findings []string
		Numbered string
	}{findings, numbered})
}

// Mend asks for mended paragraphs.
func (s Set) Mend(findings []string, numbered string) string {
	return s.render("mend.tmpl", struct {
		Findings []string
		Numbered string
	}{findings, numbered})
}

// Map asks for the plan of a revision.
func (s Set) Map(fence, review, numbered string) string {
	return s.render("map.tmpl", struct{ Fence, Review, Numbered string }{fence, review, numbered})
}

// Revise asks for changed paragraphs that answer comments.
func (s Set) Revise(section string, comments []string, numbered string) string {
	return s.render("revise.tmpl", struct {
		Section, Numbered, Example string
		Comments                   []string
	}{section, numbered, section, comments})
}

// Again asks once more after an unusable reply.
func (s Set) Again(why string) string { return s.render("again.tmpl", struct{ Why string }{why}) }

// Continue asks for the rest of a reply that was cut.
func (s Set) Continue() string { return s.render("continue.tmpl", nil) }

// RefineClosing asks for changed paragraphs of conclusion, abstract and title.
func (s Set) RefineClosing(findings []string, numbered string) string {
	return s.render("refine.tmpl", struct {
		Section, Checklist, Numbered, Example string
		Findings                              []string
	}{"conclusion, with abstract and title", s.Checklist("conclusion"), numbered, "conclusion", findings})
}
