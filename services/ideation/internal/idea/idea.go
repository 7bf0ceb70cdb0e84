// Package idea reads ideas as models and files write them, and finds those that say the same.
package idea

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/text"
)

// Bounds of an idea's texts.
const (
	maxName  = 60
	maxTitle = 300
	maxPlan  = 8000
	maxRuns  = 20
)

// Directions of a metric.
const (
	Minimize = "minimize"
	Maximize = "maximize"
	None     = "none"
)

// Run is one planned run.
type Run struct {
	Name     string `json:"name,omitempty"`
	Change   string `json:"change,omitempty"`
	Expected string `json:"expected,omitempty"`
}

// Metric is what decides whether a run is better.
type Metric struct {
	Name      string `json:"name"`
	Dataset   string `json:"dataset,omitempty"`
	Direction string `json:"direction,omitempty"`
}

// Idea is a hypothesis with a plan. The first fields are those of AI-Scientist's ideas.json.
type Idea struct {
	Name            string  `json:"Name"`
	Title           string  `json:"Title"`
	Hypothesis      string  `json:"Hypothesis,omitempty"`
	Experiment      string  `json:"Experiment"`
	PrimaryMetric   *Metric `json:"PrimaryMetric,omitempty"`
	PlannedRuns     []Run   `json:"PlannedRuns,omitempty"`
	Risks           string  `json:"Risks,omitempty"`
	Interestingness int     `json:"Interestingness,omitempty"`
	Feasibility     int     `json:"Feasibility,omitempty"`
	Novelty         int     `json:"Novelty,omitempty"`

	Source string   `json:"-"` // the object as it was read
	Score  *float64 `json:"-"` // of its review
}

// JSON is the idea as a model is shown it.
func (i Idea) JSON() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(i); err != nil {
		return "{}" // strings and numbers always encode
	}
	return strings.TrimSpace(b.String())
}

// Parse reads an idea from an object: names of fields in any case and spelling, numbers as numbers or words.
func Parse(raw json.RawMessage) (Idea, error) {
	f, err := Fields(raw)
	if err != nil {
		return Idea{}, err
	}
	out := Idea{
		Title:      f.Line(maxTitle, "title", "ideatitle", "papertitle"),
		Hypothesis: f.Text(maxPlan, "hypothesis", "shorthypothesis", "claim"),
		Experiment: f.Text(maxPlan, "experiment", "experiments", "plan", "method", "implementation", "experimentplan", "description"),
		Risks:      f.Text(maxPlan, "risks", "risk", "risksandlimitations", "limitations"),
		Source:     strings.ToValidUTF8(string(raw), "\uFFFD"),
	}
	out.Interestingness, out.Feasibility, out.Novelty = f.score("interestingness", "interest"), f.score("feasibility"), f.score("novelty", "originality")
	out.Name = Name(f.Line(200, "name", "id", "shortname", "ideaname"))
	out.PrimaryMetric = metric(f)
	out.PlannedRuns = runs(f)
	if out.Experiment == "" && len(out.PlannedRuns) > 0 {
		var parts []string
		for _, r := range out.PlannedRuns {
			parts = append(parts, strings.TrimSpace(r.Name+": "+r.Change))
		}
		out.Experiment = strings.Join(parts, "\n")
	}
	if out.Title == "" {
		out.Title = text.ClipRunes(firstSentence(out.Hypothesis), maxTitle)
	}
	if out.Name == "" {
		out.Name = Name(strings.Join(first(text.Content(out.Title), 4), "_"))
	}
	switch {
	case out.Title == "":
		return out, fmt.Errorf("the idea has no Title")
	case out.Experiment == "":
		return out, fmt.Errorf("the idea has no Experiment, which says what to do")
	case out.Name == "":
		return out, fmt.Errorf("the idea has no Name of lower-case letters, digits and underscores")
	}
	return out, nil
}

func firstSentence(s string) string {
	if i := strings.IndexAny(s, ".\n"); i > 0 {
		return s[:i]
	}
	return s
}

func first(ws []string, n int) []string { return ws[:min(n, len(ws))] }

// Name makes a name of lower-case letters, digits and underscores.
func Name(s string) string {
	w := strings.FieldsFunc(text.Norm(s), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
	return strings.Trim(text.Clip(strings.Join(w, "_"), maxName), "_")
}

func metric(f Object) *Metric {
	v, ok := f.get("primarymetric", "metric", "primary", "mainmetric")
	if !ok {
		return nil
	}
	m := Metric{}
	if sub, ok := v.(map[string]any); ok {
		g := fold(sub)
		m = Metric{Name: g.Line(200, "name", "metric"), Dataset: g.Line(200, "dataset", "data"), Direction: direction(g.Line(60, "direction", "goal", "better"))}
	} else {
		m.Name = text.ClipRunes(text.OneLine(asText(v)), 200)
	}
	if m.Direction == "" {
		m.Direction = direction(f.Line(60, "direction", "primarymetricdirection", "metricdirection"))
	}
	if m.Name == "" {
		return nil
	}
	return &m
}

func direction(s string) string {
	s = strings.ToLower(s)
	switch {
	case strings.Contains(s, "min"), strings.Contains(s, "low"), strings.Contains(s, "small"), strings.Contains(s, "down"), strings.Contains(s, "decreas"):
		return Minimize
	case strings.Contains(s, "max"), strings.Contains(s, "high"), strings.Contains(s, "larg"), strings.Contains(s, "up"), strings.Contains(s, "increas"):
		return Maximize
	case strings.Contains(s, "none"):
		return None
	}
	return ""
}

func runs(f Object) []Run {
	v, ok := f.get("plannedruns", "runs", "planruns", "runplan")
	if !ok {
		return nil
	}
	if m, ok := v.(map[string]any); ok { // {"run_1": "..."}
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		var list []any
		for _, k := range keys {
			list = append(list, map[string]any{"name": k, "change": asText(m[k])})
		}
		v = list
	}
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	var out []Run
	for _, e := range list[:min(len(list), maxRuns)] {
		r := Run{}
		if m, ok := e.(map[string]any); ok {
			g := fold(m)
			r = Run{Name: g.Line(200, "name", "run", "label"), Change: g.Text(2000, "change", "changes", "what", "description", "plan"),
				Expected: g.Text(2000, "expected", "expectation", "prediction", "expectedoutcome")}
		} else {
			r.Change = clip(asText(e), 2000)
		}
		if r.Name != "" || r.Change != "" {
			out = append(out, r)
		}
	}
	return out
}

// Object is a JSON object whose field names are compared by their letters only.
type Object map[string]any

// Fields reads an object.
func Fields(raw json.RawMessage) (Object, error) {
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil || m == nil {
		return nil, fmt.Errorf("the reply holds no JSON object")
	}
	return fold(m), nil
}

func fold(m map[string]any) Object {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := make(Object, len(m))
	for _, k := range keys {
		n := letters(k)
		if _, twice := out[n]; !twice {
			out[n] = m[k]
		}
	}
	return out
}

// letters is a field's name as names are compared.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

func (o Object) get(names ...string) (any, bool) {
	for _, n := range names {
		if v, ok := o[n]; ok && v != nil {
			return v, true
		}
	}
	return nil, false
}

// Raw is a field that is an object, as JSON.
func (o Object) Raw(names ...string) (json.RawMessage, bool) {
	v, ok := o.get(names...)
	if _, is := v.(map[string]any); !ok || !is {
		return nil, false
	}
	b, err := json.Marshal(v)
	return b, err == nil
}

// List is a field that is a list, or a single value taken as one.
func (o Object) List(names ...string) []any {
	v, ok := o.get(names...)
	if !ok {
		return nil
	}
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// Sub is a value of a list as an object; ok is false for other values, whose text is given.
func Sub(v any) (o Object, asString string, ok bool) {
	if m, is := v.(map[string]any); is {
		return fold(m), "", true
	}
	return nil, asText(v), false
}

// Line is the first of some fields as one line.
func (o Object) Line(n int, names ...string) string {
	return text.ClipRunes(text.OneLine(o.Text(8*n, names...)), n)
}

// Text is the first of some fields as text.
func (o Object) Text(n int, names ...string) string {
	v, ok := o.get(names...)
	if !ok {
		return ""
	}
	return clip(asText(v), n)
}

// Bool is a field as a yes or no.
func (o Object) Bool(names ...string) bool {
	switch strings.ToLower(strings.TrimSpace(o.Line(20, names...))) {
	case "true", "yes", "done", "1":
		return true
	}
	return false
}

func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return text.ClipRunes(strings.TrimSpace(s), n)
}

func asText(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case json.Number:
		return x.String()
	case bool:
		return strconv.FormatBool(x)
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, asText(e))
		}
		return strings.Join(parts, "\n")
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		var parts []string
		for _, k := range keys {
			parts = append(parts, k+": "+asText(x[k]))
		}
		return strings.Join(parts, "\n")
	}
	return ""
}

// score reads 1 to 10 from "7", 7, 7.5 or "7/10"; 0: not given.
func (o Object) score(names ...string) int {
	s := o.Line(20, names...)
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	if err != nil || f <= 0 {
		return 0
	}
	return int(math.Round(min(max(f, 1), 10)))
}

// Near is the archived idea that says the same as i, if there is one, with what is the same.
func Near(i Idea, archive []Idea) (Idea, string, bool) {
	plan := text.Content(i.Title + " " + i.Experiment)
	title := strings.Join(text.Content(i.Title), "")
	for _, a := range archive {
		switch {
		case a.Name == i.Name:
			return a, "it has the same Name", true
		case text.Likeness(title, strings.Join(text.Content(a.Title), "")) >= 0.93:
			return a, "it has nearly the same Title", true
		case text.Dice(plan, text.Content(a.Title+" "+a.Experiment)) >= 0.80:
			return a, "its plan says the same in nearly the same words", true
		}
	}
	return Idea{}, "", false
}
