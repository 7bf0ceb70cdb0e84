package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/bus"
)

// StreamName is the stream of ended spans, and StreamSubjects what it takes; a span lies under its trace's id.
const (
	StreamName     = "SPANS"
	StreamSubjects = "nullius.spans.>"
)

// SpanSubject is the subject of the spans of a trace.
func SpanSubject(traceID string) string { return "nullius.spans." + traceID }

// maxPending bounds the spans that wait in the client's buffer; what goes beyond it is dropped.
const maxPending = 4 << 20

// OpenStream binds the stream of spans, making it when it is missing: in memory, the oldest dropped first, kept for a day.
func OpenStream(ctx context.Context, c *bus.Conn) (jetstream.Stream, error) {
	st, err := c.JS.Stream(ctx, StreamName)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return st, bus.Fault(err, "open stream "+StreamName)
	}
	return c.Stream(ctx, jetstream.StreamConfig{
		Name: StreamName, Subjects: []string{StreamSubjects}, Storage: jetstream.MemoryStorage, Discard: jetstream.DiscardOld,
		MaxBytes: 64 << 20, MaxAge: 24 * time.Hour,
	})
}

// ToBus publishes spans to the stream without waiting for acknowledgements.
func ToBus(c *bus.Conn) Publish {
	return func(traceID string, data []byte) {
		if n, err := c.NC.Buffered(); err != nil || n > maxPending {
			return
		}
		_ = c.NC.Publish(SpanSubject(traceID), data) // a lost span is no error
	}
}
