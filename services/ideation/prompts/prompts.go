// Package prompts holds what the models are told, one typed function for each prompt.
package prompts

import (
	"embed"
	"strings"
	"text/template"
)

// Version names the state of the prompts on spans.
const Version = "ideation-1"

//go:embed *.tmpl
var files embed.FS

// Draft is what a first draft is made from.
type Draft struct {
	Task      string
	Code      string
	Archive   []Archived
	Hidden    int // archived ideas that are not shown
	Runs      int
	Time      string
	Hardware  string
	Modules   string
	OpenEnded bool
}

// Archived is an idea that exists.
type Archived struct {
	Name, Title, Plan, Score string
}

// Reflect is a round of criticism.
type Reflect struct {
	Round, Rounds int
	Last          bool
	Problem       string
}

// Duplicate sends an idea back.
type Duplicate struct {
	Name, Title, Why string
}

// Novelty is a round of the judge.
type Novelty struct {
	Idea, Task    string
	Round, Rounds int
	Last          bool
	Queries       []Query
	Repeated      string
	Papers        []Paper // of the last search
	Earlier       []Paper
}

// Query is a search that was made.
type Query struct {
	Round                int
	Text, Used, Happened string
}

// Paper is a paper as the judge sees it.
type Paper struct {
	Number                                     int
	Title, Authors, Venue, Year, Cited, Digest string
	Retracted                                  bool
}

// Render fills a prompt in; it fails only if the prompt and its type disagree, which a test excludes.
func render(name string, data any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	return strings.ToValidUTF8(b.String(), ""), nil
}

// IdeaSystem are the rules of one who makes ideas.
func IdeaSystem() (string, error) { return render("idea_system.tmpl", nil) }

// DraftIdea asks for a first draft.
func DraftIdea(d Draft) (string, error) { return render("draft.tmpl", d) }

// ReflectIdea asks for criticism and a better idea.
func ReflectIdea(r Reflect) (string, error) { return render("reflect.tmpl", r) }

// DuplicateIdea asks for another idea.
func DuplicateIdea(d Duplicate) (string, error) { return render("duplicate.tmpl", d) }

// NoveltySystem are the rules of the judge.
func NoveltySystem() (string, error) { return render("novelty_system.tmpl", nil) }

// NoveltyRound asks for a query or a verdict.
func NoveltyRound(n Novelty) (string, error) { return render("novelty.tmpl", n) }

// Again asks once more after a reply that could not be used.
func Again(problem string) (string, error) { return render("again.tmpl", problem) }
