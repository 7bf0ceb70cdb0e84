package coder

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"nullius.dev/kit/store"
)

const scope = "nullius.dev/services/coder"

// metrics sum what the reports of instructions say one by one. Models, studies and files are no labels: the door counts calls by model, and reports
// stay with their steps. Tokens per applied line are output_tokens by applied_lines. A step that is repeated after a crash counts again.
type metrics struct {
	instructions  metric.Int64Counter // by kind, outcome, and whether the first reply was applied
	retries       metric.Int64Counter // by why
	rungs         metric.Int64Counter // of blocks that were applied, or found done, by rung
	corrections   metric.Int64Counter // files found by what they hold or by a part of their name
	lines         metric.Int64Counter // added and removed
	tokens        metric.Int64Counter // of replies, also of those that could not be applied
	withoutChange atomic.Int64        // runs let go though no file of the program differs; must stay 0, and is told from the start
}

func newMetrics(p metric.MeterProvider) (*metrics, error) {
	if p == nil {
		p = noop.NewMeterProvider()
	}
	meter, m := p.Meter(scope), &metrics{}
	var errs []error
	counter := func(name string) metric.Int64Counter {
		c, err := meter.Int64Counter("nullius_coder_" + name + "_total")
		errs = append(errs, err)
		return c
	}
	m.instructions, m.retries, m.rungs = counter("instructions"), counter("retries"), counter("rungs")
	m.corrections, m.lines, m.tokens = counter("corrections"), counter("applied_lines"), counter("output_tokens")
	_, err := meter.Int64ObservableCounter("nullius_coder_runs_without_change_total", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(m.withoutChange.Load())
		return nil
	}))
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

// instruction adds one that has ended.
func (m *metrics) instruction(ctx context.Context, k kind, r Result, c counters) {
	m.instructions.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", string(k)), attribute.String("outcome", r.String()), attribute.Bool("first_reply", c.FirstReply)))
	for _, k := range []struct {
		why string
		n   int
	}{
		{"format", c.FormatRetries}, {"syntax", c.SyntaxRetries}, {"empty", c.EmptyRetries}, {"lazy", c.LazyRetries}, {"other_format", c.OtherFormat},
		{"question", c.Questions}, {"cut_off", c.CutOff},
	} {
		if k.n > 0 {
			m.retries.Add(ctx, int64(k.n), metric.WithAttributes(attribute.String("why", k.why)))
		}
	}
	for rung, n := range c.Rungs {
		m.rungs.Add(ctx, int64(n), metric.WithAttributes(attribute.String("rung", rung)))
	}
	for _, k := range []struct {
		by string
		n  int
	}{{"content", c.ByContent}, {"name", c.Corrections - c.ByContent}} {
		if k.n > 0 {
			m.corrections.Add(ctx, int64(k.n), metric.WithAttributes(attribute.String("by", k.by)))
		}
	}
	m.lines.Add(ctx, int64(c.Lines))
	m.tokens.Add(ctx, c.OutputTokens)
}

// sameProgram compares what a run executes of two snapshots: all files but the ones that no run reads.
func (s *Service) sameProgram(ctx context.Context, a, b store.Digest) (bool, error) {
	var files [2]map[string]store.Digest
	for i, d := range []store.Digest{a, b} {
		m, err := store.LoadManifest(ctx, s.blobs, d)
		if err != nil {
			return false, err
		}
		files[i] = map[string]store.Digest{}
		for _, f := range m {
			if !idleFile(f.Path) {
				files[i][f.Path] = f.Digest
			}
		}
	}
	return maps.Equal(files[0], files[1]), nil
}

// idleFile says whether a run does without a file.
func idleFile(p string) bool { return p == notesFile || p == plotFile || p == labelsFile }
