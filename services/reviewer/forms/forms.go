// Package forms holds the questions that a review answers: one file a venue and
// year, in our own words.
//
// A form is data. Prompts, the schema that a model must satisfy, the arithmetic
// and the decision are all derived from it, so that a new venue needs no code.
package forms

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"sort"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var shipped embed.FS

// Default is the form used when none is asked for.
const Default = "neurips-2022"

// Type is what an item holds.
type Type string

// The types of items.
const (
	Text    Type = "text"
	List    Type = "list"
	Boolean Type = "boolean"
	Score   Type = "score"
	Choice  Type = "choice"
)

// Item is one line of a form.
type Item struct {
	Name    string         `yaml:"name"`
	Type    Type           `yaml:"type"`
	Meaning string         `yaml:"meaning"`
	Minimum int            `yaml:"minimum"`
	Maximum int            `yaml:"maximum"`
	Steps   []int          `yaml:"steps"`  // empty: every integer from Minimum to Maximum
	Values  map[int]string `yaml:"values"` // meaning of each value
	Choices []string       `yaml:"choices"`
}

// Allowed lists the values that a score may take, in ascending order.
func (i Item) Allowed() []int {
	if len(i.Steps) > 0 {
		return i.Steps
	}
	all := make([]int, 0, i.Maximum-i.Minimum+1)
	for v := i.Minimum; v <= i.Maximum; v++ {
		all = append(all, v)
	}
	return all
}

// Allows says whether a model may give this value.
func (i Item) Allows(v int) bool { return slices.Contains(i.Allowed(), v) }

// Form is a set of items with a rule for the decision.
type Form struct {
	ID        string  `yaml:"id"`
	Version   int     `yaml:"version"`
	Venue     string  `yaml:"venue"`
	Source    string  `yaml:"source"`
	Checked   string  `yaml:"checked"` // day on which Source was read; empty: not yet
	Overall   string  `yaml:"overall"`
	Decision  string  `yaml:"decision"`
	Threshold float64 `yaml:"threshold"` // Overall at or above it is an Accept
	Items     []Item  `yaml:"items"`

	raw []byte
}

// Raw returns the file's bytes, from which the form's digest is computed.
func (f *Form) Raw() []byte { return f.raw }

// Item finds an item by name.
func (f *Form) Item(name string) (Item, bool) {
	for _, it := range f.Items {
		if it.Name == name {
			return it, true
		}
	}
	return Item{}, false
}

// Of lists the items of the given types in the form's order.
func (f *Form) Of(types ...Type) []Item {
	var out []Item
	for _, it := range f.Items {
		if slices.Contains(types, it.Type) {
			out = append(out, it)
		}
	}
	return out
}

// Set is a collection of forms by id.
type Set struct{ byID map[string]*Form }

// Load reads the shipped forms and, when extra is not nil, the *.yaml files in it.
// A file of extra may replace a shipped form by using its id.
func Load(extra fs.FS) (*Set, error) {
	s := &Set{byID: map[string]*Form{}}
	for _, dir := range []fs.FS{shipped, extra} {
		if dir == nil {
			continue
		}
		if err := s.read(dir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) read(dir fs.FS) error {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return fmt.Errorf("list forms: %w", err)
	}
	for _, name := range names {
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return fmt.Errorf("read form %s: %w", name, err)
		}
		f, err := Parse(raw)
		if err != nil {
			return fmt.Errorf("form %s: %w", name, err)
		}
		if f.ID+".yaml" != name {
			return fmt.Errorf("form %s: its id is %q, so the file must be called %s.yaml", name, f.ID, f.ID)
		}
		s.byID[f.ID] = f
	}
	return nil
}

// Get finds a form; an empty id means the default one.
func (s *Set) Get(id string) (*Form, bool) {
	if id == "" {
		id = Default
	}
	f, ok := s.byID[id]
	return f, ok
}

// All lists the forms by id.
func (s *Set) All() []*Form {
	out := make([]*Form, 0, len(s.byID))
	for _, f := range s.byID {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// Parse reads one form strictly: unknown keys and impossible items are errors.
func Parse(raw []byte) (*Form, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	f := &Form{}
	if err := dec.Decode(f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		return nil, err
	}
	if err := f.validate(); err != nil {
		return nil, err
	}
	f.raw = bytes.Clone(raw)
	return f, nil
}

var idPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (f *Form) validate() error {
	if !idPattern.MatchString(f.ID) {
		return fmt.Errorf("id %q: use lower-case words and digits joined by hyphens", f.ID)
	}
	if len(f.Items) == 0 || len(f.Items) > 40 {
		return fmt.Errorf("%d items: a form has 1 to 40", len(f.Items))
	}
	seen := map[string]bool{}
	for _, it := range f.Items {
		if it.Name == "" || seen[it.Name] {
			return fmt.Errorf("item %q: names must be given and different", it.Name)
		}
		seen[it.Name] = true
		if err := it.validate(); err != nil {
			return fmt.Errorf("item %s: %w", it.Name, err)
		}
	}
	overall, ok := f.Item(f.Overall)
	if !ok || overall.Type != Score {
		return fmt.Errorf("overall %q: must name an item of type score", f.Overall)
	}
	if f.Threshold < float64(overall.Minimum) || f.Threshold > float64(overall.Maximum) {
		return fmt.Errorf("threshold %v: outside of %s's range", f.Threshold, f.Overall)
	}
	if d, ok := f.Item(f.Decision); f.Decision != "" && (!ok || d.Type != Choice) {
		return fmt.Errorf("decision %q: must name an item of type choice", f.Decision)
	}
	return nil
}

func (i Item) validate() error {
	if i.Meaning == "" {
		return errors.New("has no meaning: say what is asked")
	}
	switch i.Type {
	case Text, List, Boolean:
		return nil
	case Choice:
		if len(i.Choices) < 2 {
			return errors.New("a choice needs at least two choices")
		}
		return nil
	case Score:
		return i.validateScore()
	default:
		return fmt.Errorf("type %q: use text, list, boolean, score or choice", i.Type)
	}
}

func (i Item) validateScore() error {
	if i.Minimum >= i.Maximum || i.Maximum-i.Minimum > 100 {
		return fmt.Errorf("range %d to %d: minimum must be below maximum, at most 100 apart", i.Minimum, i.Maximum)
	}
	for n, v := range i.Steps {
		if v < i.Minimum || v > i.Maximum || n > 0 && v <= i.Steps[n-1] {
			return fmt.Errorf("steps %v: must ascend within the range", i.Steps)
		}
	}
	for v := range i.Values {
		if !i.Allows(v) {
			return fmt.Errorf("values: %d is described but cannot be given", v)
		}
	}
	return nil
}
