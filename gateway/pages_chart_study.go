package gateway

import (
	"context"
	"fmt"

	"nullius.dev/gateway/internal/journal"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// primaryOf is the metric that an idea's runs are compared by; nil: unknown.
func (s *Service) primaryOf(k journal.Key) (out *recordv1.Metric) {
	s.journal.View(k, func(m *journal.Machine) {
		if m.Idea != nil && m.Damaged == nil {
			out = m.Idea.Walk().Primary()
		}
	})
	return out
}

// studyChart draws the best run of each idea against the baseline.
func (p *pageSet) studyChart(ctx context.Context, k journal.Key, s *gatewayv1.Study) []chartView {
	metric := s.GetFacts().GetPrimary()
	baseline := measurementOf(s.GetBaseline(), metric, nil)
	if metric.GetDataset() == "" || baseline == nil {
		return nil // bests of several data sets cannot share an axis
	}
	points := []point{{label: "baseline", name: "run_0", m: baseline}}
	for _, sum := range s.GetIdeas() {
		_, id := splitIdea(sum.GetName())
		if sum.Best == nil {
			continue
		}
		i, err := p.s.GetIdea(ctx, journal.Key{Study: k.Study, Idea: id})
		if err != nil {
			continue
		}
		for _, r := range i.GetRuns() {
			if m := measurementOf(r, metric, sum.Best); m != nil && r.GetNumber() == sum.GetBestRun() {
				points = append(points, point{label: id, name: fmt.Sprintf("%s's run_%d", id, r.GetNumber()), m: m})
			}
		}
	}
	if len(points) < 2 {
		return nil
	}
	c, ok := chart(metric, metric.GetDataset(), baseline, points)
	if !ok {
		return nil
	}
	c.ID, c.Caption = "chart-1", "Figure 1. Best run of each idea: "+c.Caption
	return []chartView{c}
}

// measurementOf finds a run's value of a metric; value, when set, must be it.
func measurementOf(r *recordv1.Run, metric *recordv1.Metric, value *float64) *recordv1.Measurement {
	for _, m := range r.GetMeasurements() {
		if m.GetMetric() == metric.GetName() && m.GetDataset() == metric.GetDataset() && !m.GetNotFinite() && (value == nil || m.GetValue() == *value) {
			return m
		}
	}
	return nil
}
