package template

import (
	"fmt"
	"math"
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
