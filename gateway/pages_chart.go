package gateway

import (
	"fmt"
	"math"
	"slices"
	"strings"

	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// Layout of a chart: labels on the left, one row a run, the axis below. Widths are in per cent, so that text keeps its size.
const (
	chartLeft  = 30.0
	chartRight = 97.0
	chartRow   = 31
	maxCharts  = 4
	maxPoints  = 40
	labelRunes = 16
)

// chartView is a dot plot of one metric against the baseline.
type chartView struct {
	ID, Caption, Axis            string
	Height, Bottom, TickY, AxisY int
	Band                         *chartBand
	Ticks                        []chartTick
	Points                       []chartPoint
}

type chartBand struct {
	X, W, Ref string // W empty: the error is unknown
}

type chartTick struct{ X, Text string }

type chartPoint struct {
	Label, Text, X, From, To string // From empty: no error bar
	Y, TextY                 int
	Best                     bool
}

// point is a measured value with its name; the first of a chart is the baseline.
type point struct {
	label, name string
	m           *recordv1.Measurement
}

// chartsOf draws the primary metric of the runs, a chart a data set.
func chartsOf(primary *recordv1.Metric, runs []*recordv1.Run) []chartView {
	if primary.GetName() == "" {
		return nil
	}
	var sets []string
	points := map[string][]point{}
	for _, r := range runs {
		if r.GetOutcome() != recordv1.Run_Outcome_SUCCEEDED {
			continue
		}
		for _, m := range r.GetMeasurements() {
			set := m.GetDataset()
			if m.GetMetric() != primary.GetName() || m.GetNotFinite() || (primary.GetDataset() != "" && set != primary.GetDataset()) {
				continue
			}
			if !slices.Contains(sets, set) {
				sets = append(sets, set)
			}
			points[set] = append(points[set], point{label: fmt.Sprintf("%d %s", r.GetNumber(), r.GetLabel()), name: fmt.Sprintf("run_%d", r.GetNumber()), m: m})
		}
	}
	var out []chartView
	for _, set := range sets {
		if len(out) == maxCharts {
			break
		}
		base := points[set][0]
		var baseline *recordv1.Measurement
		if base.name == "run_0" {
			baseline = base.m
		}
		if len(points[set]) < 2 {
			continue // one point compares nothing
		}
		if c, ok := chart(primary, set, baseline, points[set]); ok {
			c.ID = fmt.Sprintf("chart-%d", len(out)+1)
			c.Caption = fmt.Sprintf("Figure %d. ", len(out)+1) + c.Caption
			out = append(out, c)
		}
	}
	return out
}

// chart lays one out; false: there is nothing that could be drawn honestly.
func chart(metric *recordv1.Metric, set string, baseline *recordv1.Measurement, points []point) (chartView, bool) {
	if len(points) > maxPoints {
		points = points[:maxPoints]
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		e := p.m.GetStandardError()
		low, high = min(low, p.m.GetValue()-e), max(high, p.m.GetValue()+e)
	}
	if baseline != nil {
		low, high = min(low, baseline.GetValue()-baseline.GetStandardError()), max(high, baseline.GetValue()+baseline.GetStandardError())
	}
	pad := (high - low) * 0.06
	if pad == 0 {
		pad = max(math.Abs(high)*0.1, 1e-9)
	}
	low, high = low-pad, high+pad
	step := tickStep(high - low)
	if math.IsInf(high-low, 0) || math.IsNaN(high-low) || high <= low || step == 0 {
		return chartView{}, false
	}
	at := func(v float64) string {
		return fmt.Sprintf("%.2f%%", chartLeft+(chartRight-chartLeft)*(v-low)/(high-low))
	}
	bottom := chartRow*len(points) + 8
	c := chartView{Height: bottom + 44, Bottom: bottom, TickY: bottom + 16, AxisY: bottom + 36, Axis: metric.GetName()}
	digits := max(0, -int(math.Floor(math.Log10(step))))
	for i := math.Ceil(low / step); i*step <= high && len(c.Ticks) < 12; i++ {
		c.Ticks = append(c.Ticks, chartTick{at(i * step), minus(tickText(i*step, digits))})
	}
	if baseline != nil {
		c.Band = &chartBand{Ref: at(baseline.GetValue())}
		if e := baseline.GetStandardError(); baseline.StandardError != nil && e > 0 {
			c.Band.X, c.Band.W = at(baseline.GetValue()-e), fmt.Sprintf("%.2f%%", (chartRight-chartLeft)*2*e/(high-low))
		}
	}
	best := bestOf(metric.GetDirection(), points, baseline)
	unknown := 0
	for i, p := range points {
		y := 20 + i*chartRow
		v := chartPoint{Label: shorten(p.label, labelRunes), Text: p.label + ": " + plusMinus(p.m), X: at(p.m.GetValue()), Y: y, TextY: y + 4, Best: i == best}
		if p.m.StandardError == nil {
			unknown++
		} else {
			v.From, v.To = at(p.m.GetValue()-p.m.GetStandardError()), at(p.m.GetValue()+p.m.GetStandardError())
		}
		c.Points = append(c.Points, v)
	}
	c.Caption = chartCaption(metric, set, baseline, points, best, unknown)
	return c, true
}

func chartCaption(metric *recordv1.Metric, set string, baseline *recordv1.Measurement, points []point, best, unknown int) string {
	text := metric.GetName()
	if set != "" {
		text += " of " + set
	}
	switch metric.GetDirection() {
	case recordv1.Direction_MINIMIZE:
		text += ", lower is better"
	case recordv1.Direction_MAXIMIZE:
		text += ", higher is better"
	}
	switch {
	case unknown == len(points):
		text += "; standard errors are unknown, so there are no bars."
	case unknown > 0:
		text += "; bars are one standard error, where it is known."
	default:
		text += "; bars are one standard error, where none shows it is smaller than the dot."
	}
	if baseline != nil {
		text += " The dashed line is the baseline"
		if baseline.StandardError != nil {
			text += ", the band its standard error"
		}
		text += "."
	}
	if best >= 0 {
		text += fmt.Sprintf(" Best is %s with %s", points[best].name, plusMinus(points[best].m))
		if baseline != nil {
			text += ", the baseline has " + plusMinus(baseline)
		}
		text += "."
	}
	return text
}

// bestOf is the index of the best point beside the baseline; -1: none, or no direction to judge by.
func bestOf(d recordv1.Direction_Value, points []point, baseline *recordv1.Measurement) int {
	best := -1
	if d != recordv1.Direction_MINIMIZE && d != recordv1.Direction_MAXIMIZE {
		return best
	}
	for i, p := range points {
		if p.m != baseline && (best < 0 || (d == recordv1.Direction_MINIMIZE) == (p.m.GetValue() < points[best].m.GetValue()) && p.m.GetValue() != points[best].m.GetValue()) {
			best = i
		}
	}
	return best
}

// tickStep is 1, 2 or 5 times a power of ten, so that there are three to seven ticks.
func tickStep(span float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(span/6)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= span/6 {
			return f * power
		}
	}
	return 10 * power
}

func tickText(v float64, digits int) string {
	if digits > 6 || math.Abs(v) >= 1e7 {
		return fmt.Sprintf("%.3g", v)
	}
	if v == 0 {
		v = 0 // no minus before a zero
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// plusMinus writes a value with its standard error, both to the error's second digit.
func plusMinus(m *recordv1.Measurement) string {
	v, e := m.GetValue(), m.GetStandardError()
	switch {
	case m.GetNotFinite():
		return "not finite"
	case m.StandardError == nil || math.IsNaN(e) || math.IsInf(e, 0):
		return minus(fmt.Sprintf("%.4g", v))
	case e <= 0:
		return minus(fmt.Sprintf("%.4g ± 0", v))
	}
	digits := 1 - int(math.Floor(math.Log10(e)))
	if digits < 0 || digits > 6 || math.Abs(v) >= 1e7 {
		return minus(fmt.Sprintf("%.4g ± %.2g", v, e))
	}
	return minus(fmt.Sprintf("%.*f ± %.*f", digits, v, digits, e))
}

func minus(s string) string { return strings.ReplaceAll(s, "-", "−") }

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most-1])) + "…"
	}
	return s
}
