package llm

import (
	"context"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	mnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tnoop "go.opentelemetry.io/otel/trace/noop"

	"nullius.dev/kit/fault"
)

const scope = "nullius.dev/kit/llm"

// telemetry has the door's spans and metrics. No text of prompts or replies goes into either.
type telemetry struct {
	tracer trace.Tracer
	calls  metric.Int64Counter
	tokens metric.Int64Counter
	cost   metric.Float64Counter
	took   metric.Float64Histogram
	waits  metric.Float64Counter
	opens  metric.Int64Counter
}

func newTelemetry(d Deps) (telemetry, error) {
	if d.Tracer == nil {
		d.Tracer = tnoop.NewTracerProvider()
	}
	if d.Meter == nil {
		d.Meter = mnoop.NewMeterProvider()
	}
	m := d.Meter.Meter(scope)
	t := telemetry{tracer: d.Tracer.Tracer(scope)}
	var errs [6]error
	t.calls, errs[0] = m.Int64Counter("nullius_llm_calls_total")
	t.tokens, errs[1] = m.Int64Counter("nullius_llm_tokens_total")
	t.cost, errs[2] = m.Float64Counter("nullius_llm_cost_usd_total")
	t.took, errs[3] = m.Float64Histogram("nullius_llm_call_seconds")
	t.waits, errs[4] = m.Float64Counter("nullius_llm_wait_seconds")
	t.opens, errs[5] = m.Int64Counter("nullius_llm_circuit_open")
	for _, err := range errs {
		if err != nil {
			return telemetry{}, err
		}
	}
	return t, nil
}

func (t telemetry) start(ctx context.Context, m Model, r Request) (context.Context, trace.Span) {
	name := m.Name
	if name == "" {
		name = "unknown"
	}
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.provider.name", m.Provider),
		attribute.String("gen_ai.request.model", name), attribute.Int("gen_ai.request.max_tokens", r.MaxTokens),
		attribute.String("nullius.step", r.Origin.Step), attribute.String("nullius.call", r.Origin.Call),
		attribute.String("nullius.prompt", clip(r.Prompt, 120)),
	}
	if r.Temperature != nil {
		attrs = append(attrs, attribute.Float64("gen_ai.request.temperature", *r.Temperature))
	}
	if r.Seed != nil {
		attrs = append(attrs, attribute.Int64("gen_ai.request.seed", *r.Seed))
	}
	if u, err := url.Parse(m.BaseURL); err == nil && u.Host != "" {
		attrs = append(attrs, attribute.String("server.address", u.Hostname()))
	}
	return t.tracer.Start(ctx, "chat "+name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
}

func (t telemetry) end(ctx context.Context, s trace.Span, m Model, r Reply, err error, took time.Duration) {
	label := "other" // names that users make up are no labels
	if m.listed {
		label = m.Name
	}
	if m.Recording {
		label = "recording"
	}
	outcome := string(r.Finish)
	if err != nil {
		outcome = "error"
		s.SetAttributes(attribute.String("error.type", fault.ReasonOf(err)))
		s.SetStatus(codes.Error, fault.ReasonOf(err))
	} else {
		u := r.Usage
		s.SetAttributes(
			attribute.String("gen_ai.response.model", r.Served), attribute.StringSlice("gen_ai.response.finish_reasons", []string{outcome}),
			attribute.Int64("gen_ai.usage.input_tokens", u.Input+u.CacheRead+u.CacheWrite),
			attribute.Int64("gen_ai.usage.output_tokens", u.Output),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", u.CacheRead),
			attribute.Int64("gen_ai.usage.cache_creation.input_tokens", u.CacheWrite),
			attribute.Int64("gen_ai.usage.reasoning.output_tokens", u.Reasoning),
			attribute.String("nullius.source", string(r.Source)), attribute.String("nullius.cost_usd", decimal(r.Cost)), attribute.Int("nullius.tries", r.tries),
		)
		if r.id != "" {
			s.SetAttributes(attribute.String("gen_ai.response.id", r.id))
		}
		if r.firstByte > 0 {
			s.SetAttributes(attribute.Float64("gen_ai.response.time_to_first_chunk", r.firstByte.Seconds()))
		}
	}
	s.End()
	by := metric.WithAttributes(attribute.String("provider", m.Provider), attribute.String("model", label),
		attribute.String("source", string(r.Source)), attribute.String("outcome", outcome))
	t.calls.Add(ctx, 1, by)
	t.took.Record(ctx, took.Seconds(), by)
	if err != nil || r.Source != FromProvider {
		return
	}
	for _, k := range []struct {
		kind string
		n    int64
	}{{"input", r.Usage.Input}, {"cache_read", r.Usage.CacheRead}, {"cache_write", r.Usage.CacheWrite}, {"output", r.Usage.Output}} {
		if k.n > 0 {
			t.tokens.Add(ctx, k.n, metric.WithAttributes(attribute.String("type", k.kind)))
		}
	}
	t.cost.Add(ctx, float64(r.Cost)/1e12)
}

// try notes a failed try on the call's span.
func (t telemetry) try(ctx context.Context, m Model, p problem) {
	trace.SpanFromContext(ctx).AddEvent("try failed", trace.WithAttributes(
		attribute.String("provider", m.Provider), attribute.String("cause", p.cause), attribute.Int("status", p.status)))
}

// answered notes the try that was answered.
func (t telemetry) answered(ctx context.Context, m Model) {
	trace.SpanFromContext(ctx).AddEvent("try answered", trace.WithAttributes(attribute.String("provider", m.Provider)))
}

// waited counts what a call waited for: BUDGET, TURN, or the cause of a failed try.
func (t telemetry) waited(ctx context.Context, why string, d time.Duration) {
	if d < time.Millisecond {
		return // it went on at once
	}
	t.waits.Add(ctx, d.Seconds(), metric.WithAttributes(attribute.String("why", why)))
}

func (t telemetry) opened(ctx context.Context, m Model) {
	t.opens.Add(ctx, 1, metric.WithAttributes(attribute.String("provider", m.Provider)))
}
