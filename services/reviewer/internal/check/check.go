// Package check holds what code can say about a paper without asking a model. Checks
// stand beside a review and never change a score.
package check

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"nullius.dev/services/reviewer/internal/document"
)

// Finding is one result of a check.
type Finding struct{ Check, Result, Text, Place string }

const most = 50

// Numbers reads the writer's verification: numbers without origin, references that
// read differently. It says whether a number has no origin.
func Numbers(verification string) (out []Finding, unexplained bool) {
	if verification == "" {
		return nil, false
	}
	var v struct {
		Unexplained []struct{ Section, Text, Sentence string }
		Comparisons []struct {
			A, B, Words string
			OK          *bool
		}
	}
	if err := json.Unmarshal([]byte(verification), &v); err != nil {
		return []Finding{{"numbers", "unknown", "verification.json cannot be read", ""}}, false
	}
	for _, n := range v.Unexplained[:min(len(v.Unexplained), most)] {
		out = append(out, Finding{"numbers", "unknown", fmt.Sprintf("%s has no origin: %s", n.Text, n.Sentence), n.Section})
	}
	for _, c := range v.Comparisons[:min(len(v.Comparisons), most)] {
		if c.OK != nil && !*c.OK {
			out = append(out, Finding{"numbers", "differs", fmt.Sprintf("%q is not what %s and %s say", c.Words, c.A, c.B), ""})
		}
	}
	return out, len(v.Unexplained) > 0
}

var (
	placeholder = regexp.MustCompile(`(?i)\b(TODO|FIXME|lorem ipsum|insert (text|figure|table|here)|placeholder)\b|\[\?+\]|\?\?`)
	wanted      = []struct{ name, pattern string }{{"abstract", "abstract"}, {"introduction", "introduction|background"}, {"results", "result|experiment|evaluation"}, {"conclusion", "conclu|discussion"}, {"references", "reference|bibliography"}}
)

// Structure looks for missing sections, broken references, left-over placeholders
// and figures that are shown twice.
func Structure(d *document.Document) []Finding {
	var out []Finding
	add := func(result, text, place string) {
		if len(out) < most {
			out = append(out, Finding{"structure", result, text, place})
		}
	}
	headings := strings.ToLower(strings.Join(d.Headings(), "\n"))
	for _, w := range wanted {
		if !regexp.MustCompile(w.pattern).MatchString(headings) {
			add("missing", "no section that looks like "+w.name, "")
		}
	}
	for _, at := range placeholder.FindAllStringIndex(d.Text, most) {
		section, _ := d.Place(at[0])
		add("differs", "placeholder: "+d.Text[at[0]:at[1]], section)
	}
	defined := map[string]bool{}
	for _, l := range d.Labels {
		defined[l] = true
	}
	for _, r := range d.Refs {
		if !defined[r] && d.Source == "latex" {
			add("missing", "reference to an undefined label: "+r, "")
			defined[r] = true
		}
	}
	shown := map[string]int{}
	for _, f := range d.Figures {
		if shown[f]++; shown[f] == 2 {
			add("differs", "figure shown twice: "+f, "")
		}
	}
	return out
}
