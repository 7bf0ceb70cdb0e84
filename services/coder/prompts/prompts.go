// Package prompts holds what the coder says to models: embedded templates with one typed function each.
//
// Stable text comes first, so that providers can cache it: system, experiment and idea, runs, files, task.
package prompts

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
	"text/template"
)

// Version goes on the span of each call; raise it with any change of the texts.
const Version = "2"

//go:embed *.tmpl
var files embed.FS

// Set is the parsed templates.
type Set struct{ t *template.Template }

// Load parses the embedded templates.
func Load() (*Set, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"add": func(a, b int) int { return a + b },
	}).ParseFS(files, "*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("parse prompts: %w", err)
	}
	return &Set{t}, nil
}

func (s *Set) render(name string, data any) (string, error) {
	var b strings.Builder
	if err := s.t.ExecuteTemplate(&b, name+".tmpl", data); err != nil {
		return "", fmt.Errorf("prompt %s: %w", name, err)
	}
	return strings.TrimSpace(b.String()) + "\n", nil
}

// Planned is one run of a plan.
type Planned struct{ Name, Change, Expected string }

// Context is what holds for all calls of an idea.
type Context struct {
	Task, Command, Keys, TimeLimit, Hardware, Modules, Editable, Protected string
	Title, Name, Hypothesis, Experiment, Primary, Risks                    string
	Plan                                                                   []Planned
}

// Run is one row of the table of runs.
type Run struct {
	Number                          int
	Label, Change, Outcome, Verdict string
	Numbers                         []string
}

// Change is an earlier change of the code.
type Change struct{ Step, Diff string }

// File is one file as the model sees it. Text is fenced already.
type File struct{ Path, Role, Text string }

// ForRun is the task of a run.
type ForRun struct {
	Number, Max int
	Planned     *Planned
	Command     string
}

// ForRepair is the task of a repair.
type ForRepair struct {
	Number, TriesLeft   int
	Restored            bool
	SeenBefore          int // repairs since the same failure was there last; 0: it was not
	Goal, Failure, Diff string
	LastRepair, Advice  string // LastRepair: the diffs of these repairs
}

// ForFormat asks for edits in another form than the usual one; one field is set, and Instead with Whole after blocks that failed.
type ForFormat struct {
	Whole   string // this file whole
	Instead bool
	Small   bool   // small blocks
	Markers string // this file holds lines like markers
}

// ForPlots is the task of plot.py.
type ForPlots struct {
	Command, Failure, Results string
	Folders, Findings         []string
}

// ForPlan is the task of planning.
type ForPlan struct {
	Max      int
	Proposed []Planned
}

// ForNotes is the task of a note.
type ForNotes struct {
	Number                       int
	Label, Outcome, Change, Diff string
}

// System is the coder's standing instruction with the edit format.
func (s *Set) System() (string, error) { return s.render("system", nil) }

// Planner is the standing instruction for plans.
func (s *Set) Planner() (string, error) { return s.render("planner", nil) }

// Context tells experiment, idea and plan.
func (s *Set) Context(c Context) (string, error) { return s.render("context", c) }

// Runs tells the runs so far and the last changes.
func (s *Set) Runs(runs []Run, history []Change) (string, error) {
	return s.render("runs", struct {
		Runs    []Run
		History []Change
	}{runs, history})
}

// Files shows the files.
func (s *Set) Files(f []File) (string, error) { return s.render("files", f) }

// Run asks for a run's change.
func (s *Set) Run(r ForRun) (string, error) { return s.render("run", r) }

// Repair asks to mend a run.
func (s *Set) Repair(r ForRepair) (string, error) { return s.render("repair", r) }

// Format asks for another form of the edits.
func (s *Set) Format(f ForFormat) (string, error) { return s.render("format", f) }

// Plots asks for plot.py.
func (s *Set) Plots(p ForPlots) (string, error) { return s.render("plots", p) }

// Plan asks for the plan.
func (s *Set) Plan(p ForPlan) (string, error) { return s.render("plan", p) }

// Notes asks for the note on a run.
func (s *Set) Notes(n ForNotes) (string, error) { return s.render("notes", n) }

// Describe asks what the figures show.
func (s *Set) Describe(figures []string) (string, error) {
	return s.render("describe", struct{ Figures []string }{figures})
}

// Data puts foreign text between marks that it cannot contain by accident: they come from its digest.
func Data(text string) string {
	sum := sha256.Sum256([]byte(text))
	mark := hex.EncodeToString(sum[:8])
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return "<data " + mark + ">\n" + text + "</data " + mark + ">"
}
