package template

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Limits of what a prompt can hold without crowding out everything else.
const (
	maxPromptText = 32 << 10
	maxIdeaText   = 16 << 10
	maxIdeas      = 200
)

// textLimits bound prompt.json and seed_ideas.json.
var textLimits = jsonLimits{depth: 16, values: 10_000}

// document parses a required JSON file; what the root must be is the caller's part.
func (c *checker) document(name, what string) (*jsonNode, []byte, bool) {
	data, ok := c.required(name, what, false)
	if !ok {
		return nil, nil, false
	}
	root, err := parseJSON(data, textLimits)
	if err != nil {
		c.jsonSyntax(name, data, err)
		return nil, nil, false
	}
	return root, data, true
}

func (c *checker) jsonSyntax(name string, data []byte, err *jsonError) {
	line, column := position(data, err.offset)
	c.add(Finding{Rule: "json.syntax", Path: name, Line: line, Column: column, Found: err.found, Expected: err.expected})
}

// at fills in a node's place.
func at(f Finding, data []byte, offset int) Finding {
	f.Line, f.Column = position(data, offset)
	return f
}

// prompt reads prompt.json.
func (c *checker) prompt() {
	const name = "prompt.json"
	root, data, ok := c.document(name, `an object with "system" and "task_description"`)
	if !ok {
		return
	}
	if root.kind != kindObject {
		c.add(at(Finding{Rule: "prompt.type", Path: name, Found: string(root.kind), Expected: "an object"}, data, root.offset))
		return
	}
	known := []string{"system", "task_description"}
	for _, m := range root.members {
		if !slices.Contains(known, m.name) {
			c.strict(at(Finding{Rule: "prompt.unknown-key", Path: name, Found: "the unknown key " + quote(m.name),
				Expected: strings.Join(known, " and "), Fix: nearest(m.name, known)}, data, m.offset))
		}
	}
	for key, into := range map[string]*string{"system": &c.t.Prompt.System, "task_description": &c.t.Prompt.Task} {
		*into = c.member(name, data, root, key, "prompt."+key, maxPromptText)
	}
}

// member reads a required text of an object.
func (c *checker) member(name string, data []byte, object *jsonNode, key, rule string, most int) string {
	n := object.get(key)
	f := Finding{Rule: rule, Path: name, Expected: fmt.Sprintf("a text under %q", key)}
	switch {
	case n == nil:
		f.Found = fmt.Sprintf("no key %q", key)
		if object.offset >= 0 {
			f = at(f, data, object.offset)
		}
	case n.kind != kindString:
		f.Found = string(n.kind)
		f = at(f, data, n.offset)
	case strings.TrimSpace(n.text) == "":
		f.Found = "an empty text"
		f = at(f, data, n.offset)
	case len(n.text) > most:
		f.Found, f.Expected = fmt.Sprintf("%d bytes", len(n.text)), fmt.Sprintf("at most %d", most)
		f = at(f, data, n.offset)
	default:
		return n.text
	}
	c.add(f)
	return ""
}

var ideaName = regexp.MustCompile(`^[a-z0-9_]{1,100}$`)

// ideaKeys are AI-Scientist's, then ours.
var ideaKeys = []string{
	"Name", "Title", "Experiment", "Interestingness", "Feasibility", "Novelty", "novel", "Score",
	"Hypothesis", "PrimaryMetric", "PlannedRuns", "Risks",
}

// ideas reads seed_ideas.json; an empty list is fine.
func (c *checker) ideas() {
	const name = "seed_ideas.json"
	root, data, ok := c.document(name, "a list of ideas, which may be empty: []")
	if !ok {
		return
	}
	if root.kind != kindList {
		c.add(at(Finding{Rule: "seed-idea.list", Path: name, Found: string(root.kind), Expected: "a list of ideas", Fix: "[ … ] around it"}, data, root.offset))
		return
	}
	if len(root.items) > maxIdeas {
		c.add(at(Finding{Rule: "seed-idea.count", Path: name, Found: fmt.Sprintf("%d ideas", len(root.items)), Expected: fmt.Sprintf("at most %d", maxIdeas)}, data, root.items[maxIdeas].offset))
		return
	}
	seen := map[string]bool{}
	for _, item := range root.items {
		if item.kind != kindObject {
			c.add(at(Finding{Rule: "seed-idea.type", Path: name, Found: string(item.kind), Expected: "an object with Name, Title and Experiment"}, data, item.offset))
			continue
		}
		idea := c.idea(name, data, item)
		if idea.Name != "" && seen[idea.Name] {
			c.strict(at(Finding{Rule: "seed-idea.name", Path: name, Found: quote(idea.Name) + " twice", Expected: "a name of its own"}, data, item.get("Name").offset))
		}
		seen[idea.Name] = true
		c.t.Ideas = append(c.t.Ideas, idea)
	}
}

func (c *checker) idea(name string, data []byte, item *jsonNode) SeedIdea {
	for _, m := range item.members {
		if !slices.Contains(ideaKeys, m.name) {
			c.strict(at(Finding{Rule: "seed-idea.unknown-key", Path: name, Found: "the unknown key " + quote(m.name),
				Expected: "one of " + strings.Join(ideaKeys, ", "), Fix: nearest(m.name, ideaKeys)}, data, m.offset))
		}
	}
	idea := SeedIdea{
		Name:       c.member(name, data, item, "Name", "seed-idea.name", maxIdeaText),
		Title:      c.member(name, data, item, "Title", "seed-idea.title", maxIdeaText),
		Experiment: c.member(name, data, item, "Experiment", "seed-idea.experiment", maxIdeaText),
	}
	if idea.Name != "" && !ideaName.MatchString(idea.Name) {
		c.strict(at(Finding{Rule: "seed-idea.name", Path: name, Found: quote(idea.Name), Expected: "lower case, digits, underscores",
			Fix: quote(slug(idea.Name))}, data, item.get("Name").offset))
		idea.Name = slug(idea.Name)
	}
	for key, into := range map[string]*float64{"Interestingness": &idea.Interestingness, "Feasibility": &idea.Feasibility, "Novelty": &idea.Novelty} {
		if n := item.get(key); n != nil {
			if n.kind != kindNumber || math.IsInf(n.number, 0) || n.number < 1 || n.number > 10 {
				found := string(n.kind)
				if n.kind == kindNumber {
					found = fmt.Sprint(n.number)
				}
				c.strict(at(Finding{Rule: "seed-idea.rating", Path: name, Found: key + " " + found, Expected: "a number from 1 to 10"}, data, n.offset))
				continue
			}
			*into = n.number
		}
	}
	for key, into := range map[string]*string{"Hypothesis": &idea.Hypothesis, "PrimaryMetric": &idea.PrimaryMetric, "Risks": &idea.Risks} {
		if n := item.get(key); n != nil && n.kind == kindString {
			*into = n.text
		}
	}
	if n := item.get("PlannedRuns"); n != nil {
		idea.Planned = string(data[n.offset:min(len(data), n.end)])
	}
	return idea
}
