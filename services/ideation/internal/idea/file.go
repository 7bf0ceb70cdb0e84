package idea

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Filed is an idea as it stands in an ideas.json, which tells more of it than the idea itself.
type Filed struct {
	Idea
	Novel json.RawMessage // true or false; nil: not said
}

// maxFiled is how many ideas a file may hold.
const maxFiled = 1000

// ReadFile reads an ideas.json: a list of ideas, or one.
func ReadFile(data []byte) ([]Filed, error) {
	data = bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xef\xbb\xbf"))
	var list []json.RawMessage
	switch {
	case len(data) == 0:
		return nil, errors.New("the file of ideas is empty; a list of ideas, or one, was expected")
	case data[0] == '{':
		list = []json.RawMessage{data}
	default:
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("the file of ideas is no JSON list: %w", err)
		}
	}
	if len(list) == 0 || len(list) > maxFiled {
		return nil, fmt.Errorf("the file holds %d ideas, 1 to %d were expected", len(list), maxFiled)
	}
	out := make([]Filed, 0, len(list))
	for n, raw := range list {
		i, err := Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("idea %d: %w", n+1, err)
		}
		f, err := Fields(raw)
		if err != nil {
			return nil, fmt.Errorf("idea %d: %w", n+1, err)
		}
		filed := Filed{Idea: i}
		switch strings.ToLower(f.Line(20, "novel")) {
		case "true", "yes":
			filed.Novel = json.RawMessage("true")
		case "false", "no":
			filed.Novel = json.RawMessage("false")
		}
		if s, ok := f.number("score"); ok {
			filed.Score = &s
		}
		out = append(out, filed)
	}
	return out, nil
}

// number is a field that is a number, or a text that says one.
func (o Object) number(names ...string) (float64, bool) {
	var f float64
	dec := json.NewDecoder(strings.NewReader(o.Line(40, names...)))
	if dec.Decode(&f) != nil {
		return 0, false
	}
	return f, true
}

// WriteFile writes an ideas.json. Fields of the file an idea was read from that we do not know come last, as they were.
func WriteFile(list []Filed) []byte {
	objects := make([]*ordered, 0, len(list))
	for _, f := range list {
		objects = append(objects, f.fields())
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if e.Encode(objects) != nil {
		return []byte("[]\n") // strings, numbers and what was JSON before always encode
	}
	return b.Bytes()
}

// fields are the idea's own in their order, then those of its source.
func (f Filed) fields() *ordered {
	o := &ordered{}
	o.set("Name", f.Name)
	o.set("Title", f.Title)
	o.set("Experiment", f.Experiment)
	for _, s := range []struct {
		name string
		v    int
	}{{"Interestingness", f.Interestingness}, {"Feasibility", f.Feasibility}, {"Novelty", f.Idea.Novelty}} {
		if s.v > 0 {
			o.set(s.name, s.v)
		}
	}
	if f.Novel != nil {
		o.set("novel", f.Novel)
	}
	if f.Score != nil {
		o.set("Score", *f.Score)
	}
	if f.Hypothesis != "" {
		o.set("Hypothesis", f.Hypothesis)
	}
	if f.PrimaryMetric != nil {
		o.set("PrimaryMetric", f.PrimaryMetric)
	}
	if len(f.PlannedRuns) > 0 {
		o.set("PlannedRuns", f.PlannedRuns)
	}
	if f.Risks != "" {
		o.set("Risks", f.Risks)
	}
	o.rest(f.Source)
	return o
}

// ordered is a JSON object whose fields keep their order.
type ordered struct {
	names  []string
	values []json.RawMessage
}

func (o *ordered) set(name string, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) == nil {
		o.names, o.values = append(o.names, name), append(o.values, bytes.TrimSpace(b.Bytes()))
	}
}

// rest adds the fields of an object that none of ours has taken the place of.
func (o *ordered) rest(source string) {
	d := json.NewDecoder(strings.NewReader(source))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return
	}
	taken := map[string]bool{}
	for _, n := range append(o.names, "novel", "Score") {
		taken[letters(n)] = true
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return
		}
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return
		}
		if !taken[letters(name)] {
			taken[letters(name)] = true
			o.names, o.values = append(o.names, name), append(o.values, v)
		}
	}
}

// MarshalJSON writes the object.
func (o *ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, n := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(n)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(o.values[i])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
