package telemetry

import (
	"context"
	"encoding/json"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Span is an ended span as it travels and lies in trace.jsonl. Times are Unix nanoseconds.
type Span struct {
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	ParentID   string         `json:"parent_id,omitempty"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Component  string         `json:"component"`
	Start      int64          `json:"start_ns"`
	End        int64          `json:"end_ns"`
	Status     string         `json:"status,omitempty"` // "error" or empty
	Message    string         `json:"message,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Links      []Link         `json:"links,omitempty"`
	Events     []Event        `json:"events,omitempty"`
}

// Link points to a span of another trace.
type Link struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

// Event is something that happened within a span.
type Event struct {
	Name       string         `json:"name"`
	Time       int64          `json:"time_ns"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// streamer is a span processor that sends each ended span on.
type streamer struct {
	component string
	publish   Publish
}

func (s *streamer) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (s *streamer) Shutdown(context.Context) error                  { return nil }
func (s *streamer) ForceFlush(context.Context) error                { return nil }

func (s *streamer) OnEnd(r sdktrace.ReadOnlySpan) {
	if s.publish == nil {
		return
	}
	sp := Span{
		TraceID: r.SpanContext().TraceID().String(), SpanID: r.SpanContext().SpanID().String(), Name: r.Name(), Kind: r.SpanKind().String(),
		Component: s.component, Start: r.StartTime().UnixNano(), End: r.EndTime().UnixNano(), Attributes: attributes(r.Attributes()),
	}
	if r.Parent().HasSpanID() {
		sp.ParentID = r.Parent().SpanID().String()
	}
	if r.Status().Code == codes.Error {
		sp.Status, sp.Message = "error", r.Status().Description
	}
	for _, l := range r.Links() {
		sp.Links = append(sp.Links, Link{l.SpanContext.TraceID().String(), l.SpanContext.SpanID().String()})
	}
	for _, e := range r.Events() {
		sp.Events = append(sp.Events, Event{e.Name, e.Time.UnixNano(), attributes(e.Attributes)})
	}
	if b, err := json.Marshal(sp); err == nil {
		s.publish(sp.TraceID, b)
	}
}

func attributes(kv []attribute.KeyValue) map[string]any {
	if len(kv) == 0 {
		return nil
	}
	out := make(map[string]any, len(kv))
	for _, a := range kv {
		v := a.Value.AsInterface()
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			v = a.Value.String() // JSON has no such number
		}
		out[string(a.Key)] = v
	}
	return out
}
