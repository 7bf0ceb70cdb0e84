package template

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Holds tells whether a measured value is what was expected. A value that is not
// finite never is.
func (e Expected) Holds(v float64) bool {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return false
	case e.Min != nil && v < *e.Min, e.Max != nil && v > *e.Max:
		return false
	case e.Value == nil:
		return true
	}
	within := 0.0
	if e.Rel != nil {
		within = *e.Rel * math.Abs(*e.Value)
	}
	if e.Abs != nil {
		within = max(within, *e.Abs)
	}
	return math.Abs(v-*e.Value) <= within
}

// String renders the expectation as a user would say it.
func (e Expected) String() string {
	switch {
	case e.Value != nil && e.Abs != nil:
		return fmt.Sprintf("%g ± %g", *e.Value, *e.Abs)
	case e.Value != nil && e.Rel != nil:
		return fmt.Sprintf("%g ± %g %%", *e.Value, 100**e.Rel)
	case e.Min != nil && e.Max != nil:
		return fmt.Sprintf("%g to %g", *e.Min, *e.Max)
	case e.Min != nil:
		return fmt.Sprintf("at least %g", *e.Min)
	case e.Max != nil:
		return fmt.Sprintf("at most %g", *e.Max)
	}
	return "anything"
}

// CheckExpected compares a baseline's numbers, by dataset/metric, with what
// template.yaml expects at a size.
func (t *Template) CheckExpected(size string, measured map[string]float64) []Finding {
	r := &report{}
	for _, id := range mapKeys(t.Expected[size]) {
		e := t.Expected[size][id]
		f := Finding{Rule: "baseline.tolerance", Path: "run_0/final_info.json", Expected: id + " " + e.String()}
		value, ok := measured[id]
		switch {
		case !ok:
			f.Rule, f.Found = "baseline.missing", "no "+id
		case !e.Holds(value):
			f.Found = fmt.Sprintf("%s %g", id, value)
		default:
			continue
		}
		r.add(f)
	}
	return r.findings
}

// Now gives what template.yaml should expect after a measurement: a tolerance that is there is kept, a range too if the value lies in it; what is new gets one
// percent.
func (e Expected) Now(value float64) Expected {
	switch {
	case e.Value == nil && (e.Min != nil || e.Max != nil) && e.Holds(value):
		return e
	case e.Value != nil && (e.Rel != nil || e.Abs != nil):
		return Expected{Value: &value, Rel: e.Rel, Abs: e.Abs}
	case value == 0:
		within := 1e-6
		return Expected{Value: &value, Abs: &within}
	}
	within := 0.01
	return Expected{Value: &value, Rel: &within}
}

// SetExpected returns template.yaml with another expected block; everything else, comments too, stays as it is.
func SetExpected(settings []byte, expected map[string]map[string]Expected) []byte {
	var block strings.Builder
	block.WriteString("expected:\n")
	for _, size := range mapKeys(expected) {
		fmt.Fprintf(&block, "  %s:\n", size)
		for _, id := range mapKeys(expected[size]) {
			fmt.Fprintf(&block, "    %s: {%s}\n", strconv.Quote(id), expected[size][id].fields())
		}
	}
	var out strings.Builder
	inside, written := false, false
	for line := range strings.Lines(string(settings)) {
		switch {
		case strings.HasPrefix(line, "expected:"):
			out.WriteString(block.String())
			inside, written = true, true
		case inside && (strings.HasPrefix(line, " ") || strings.TrimSpace(line) == ""):
		default:
			inside = false
			out.WriteString(line)
		}
	}
	if !written {
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteString("\n")
		}
		out.WriteString(block.String())
	}
	return []byte(out.String())
}

// fields renders an expectation as the keys of template.yaml.
func (e Expected) fields() string {
	var fields []string
	for _, f := range []struct {
		key   string
		value *float64
	}{{"value", e.Value}, {"rel", e.Rel}, {"abs", e.Abs}, {"min", e.Min}, {"max", e.Max}} {
		if f.value != nil {
			fields = append(fields, f.key+": "+strconv.FormatFloat(*f.value, 'g', -1, 64))
		}
	}
	return strings.Join(fields, ", ")
}
