package tree

import (
	"fmt"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// metric is the measure that an idea's runs are compared by: its own when the baseline has it, else the template's, else the first that was measured.
func metric(i *gatewayv1.Idea, f *gatewayv1.TemplateFacts) *recordv1.Metric {
	var base []*recordv1.Measurement
	for _, r := range i.GetRuns() {
		if r.GetNumber() == 0 {
			base = r.GetMeasurements()
		}
	}
	if own := i.GetRecord().GetPrimaryMetric(); find(base, own) != nil {
		return named(own, f)
	}
	if f.GetPrimary().GetName() != "" {
		return named(f.GetPrimary(), f)
	}
	for _, m := range base {
		if !m.GetNotFinite() {
			return named(&recordv1.Metric{Dataset: m.GetDataset(), Name: m.GetMetric()}, f)
		}
	}
	return nil
}

// named fills in label and direction from the template's list of metrics.
func named(m *recordv1.Metric, f *gatewayv1.TemplateFacts) *recordv1.Metric {
	out := &recordv1.Metric{Dataset: m.GetDataset(), Name: m.GetName(), Direction: m.GetDirection(), Label: m.GetLabel()}
	for _, t := range f.GetMetrics() {
		if t.GetName() != m.GetName() || (t.GetDataset() != "" && t.GetDataset() != m.GetDataset()) {
			continue
		}
		if out.GetDirection() == recordv1.Direction_UNSPECIFIED {
			out.Direction = t.GetDirection()
		}
		if out.GetLabel() == "" {
			out.Label = t.GetLabel()
		}
	}
	if out.GetLabel() == "" {
		out.Label = out.GetName()
	}
	return out
}

func find(list []*recordv1.Measurement, m *recordv1.Metric) *recordv1.Measurement {
	for _, x := range list {
		if m.GetName() != "" && x.GetMetric() == m.GetName() && (m.GetDataset() == "" || m.GetDataset() == x.GetDataset()) && !x.GetNotFinite() {
			return x
		}
	}
	return nil
}

// measured says how an idea's last good run compares with the baseline, and its best run when that is another one; longest form first. Empty: nothing was measured.
func measured(i *gatewayv1.Idea, f *gatewayv1.TemplateFacts) (forms []string, verdict style) {
	m := metric(i, f)
	if m == nil {
		return nil, normal
	}
	var base, last *recordv1.Measurement
	run := int32(0)
	for _, r := range i.GetRuns() {
		x := find(r.GetMeasurements(), m)
		switch {
		case x == nil:
		case r.GetNumber() == 0:
			base = x
		case r.GetOutcome() == recordv1.Run_Outcome_SUCCEEDED:
			last, run = x, r.GetNumber()
		}
	}
	name, full := plain(m.GetName()), plain(m.GetLabel())
	if x := first(last, base); x.GetDataset() != "" {
		name, full = plain(x.GetDataset())+"/"+name, plain(x.GetDataset())+" "+full
	}
	switch {
	case last == nil && base == nil:
		return nil, normal
	case last == nil:
		return []string{fmt.Sprintf("baseline: %s %s", full, number(base.GetValue())), fmt.Sprintf("baseline %s %s", name, number(base.GetValue()))}, dim
	case base == nil:
		return []string{fmt.Sprintf("run %d: %s %s, no baseline", run, full, number(last.GetValue()))}, normal
	}
	delta, percent, word, verdict := compare(last.GetValue(), base.GetValue(), m.GetDirection())
	judged := ""
	if word != "" {
		judged = ": " + word
	}
	long := fmt.Sprintf("run %d: %s %s, baseline %s (%s%s)%s", run, full, number(last.GetValue()), number(base.GetValue()), delta, comma(percent), judged)
	if want := direction(m.GetDirection()); want != "" {
		forms = append(forms, long+", "+want+" is better"+best(i, run))
	}
	return append(forms, long+best(i, run), long,
		fmt.Sprintf("run %d: %s %s, baseline %s%s%s", run, name, number(last.GetValue()), number(base.GetValue()), comma(percent), judged),
		fmt.Sprintf("run %d: %s %s%s%s", run, name, number(last.GetValue()), comma(percent), judged),
		fmt.Sprintf("run %d: %s %s%s%s", run, plain(m.GetName()), number(last.GetValue()), comma(percent), judged),
		fmt.Sprintf("run %d: %s%s%s", run, number(last.GetValue()), comma(percent), judged)), verdict
}

func comma(s string) string {
	if s == "" {
		return ""
	}
	return ", " + s
}

func first(a, b *recordv1.Measurement) *recordv1.Measurement {
	if a != nil {
		return a
	}
	return b
}

// best names the idea's best run when it is not the last one.
func best(i *gatewayv1.Idea, last int32) string {
	if s := i.GetSummary(); s.Best != nil && s.GetBestRun() != last && s.GetBestRun() > 0 {
		return fmt.Sprintf("; best run %d: %s", s.GetBestRun(), number(s.GetBest()))
	}
	return ""
}

func direction(d recordv1.Direction_Value) string {
	switch d {
	case recordv1.Direction_MINIMIZE:
		return "lower"
	case recordv1.Direction_MAXIMIZE:
		return "higher"
	}
	return ""
}

// compare gives the difference, the same in per cent of the baseline (empty where that says nothing: at a baseline of 0 or of the other sign) and, where the metric has a direction, better, worse or the same.
func compare(v, base float64, d recordv1.Direction_Value) (delta, percent, word string, verdict style) {
	delta = number(v - base)
	if v >= base {
		delta = "+" + delta
	}
	if base*v > 0 || (base != 0 && v == 0) {
		percent = fmt.Sprintf("%+.1f%%", 100*(v-base)/max(base, -base))
	}
	switch {
	case direction(d) == "":
		return delta, percent, "", normal
	case v == base:
		return delta, percent, "the same", normal
	case (v < base) == (d == recordv1.Direction_MINIMIZE):
		return delta, percent, "better", normal
	}
	return delta, percent, "worse", warn
}
