package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/telemetry"
)

// quiet makes sure that no variable of the machine decides a test.
func quiet(t *testing.T) {
	t.Helper()
	for _, k := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_TRACES_SAMPLER"} {
		t.Setenv(k, "")
	}
}

func TestEndedSpansReachTheStream(t *testing.T) {
	quiet(t)
	c := kittest.NATS(t)
	stream, err := telemetry.OpenStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := telemetry.OpenStream(t.Context(), c); err != nil || again.CachedInfo().Config.Storage != jetstream.MemoryStorage {
		t.Fatalf("bound again: %v", err)
	}
	p, err := telemetry.New(t.Context(), telemetry.ToBus(c))
	if err != nil {
		t.Fatal(err)
	}
	tp, _ := p.Component("coder")
	other := trace.SpanContextFromContext(t.Context())
	ctx, parent := tp.Tracer("test").Start(t.Context(), "parent")
	_, child := tp.Tracer("test").Start(ctx, "child", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithLinks(trace.LinkFromContext(ctx), trace.Link{SpanContext: other}))
	child.SetAttributes(attribute.String("step", "plan"), attribute.Int("tokens", 7), attribute.Float64("loss", math.NaN()))
	child.AddEvent("retry", trace.WithAttributes(attribute.Int("try", 2)))
	child.SetStatus(codes.Error, "it broke")
	child.End()
	parent.End()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	tid := parent.SpanContext().TraceID().String()
	got := map[string]telemetry.Span{}
	kittest.Eventually(t, 5*time.Second, func() error {
		for seq := uint64(1); seq <= 2; seq++ {
			m, err := stream.GetMsg(t.Context(), seq)
			if err != nil {
				return err
			}
			var s telemetry.Span
			if err := json.Unmarshal(m.Data, &s); err != nil {
				return err
			}
			if m.Subject != "nullius.spans."+tid {
				return errors.New("subject " + m.Subject)
			}
			got[s.Name] = s
		}
		return nil
	})
	s := got["child"]
	if s.TraceID != tid || s.ParentID != parent.SpanContext().SpanID().String() || s.Component != "coder" || s.Kind != "client" || s.Status != "error" ||
		s.Message != "it broke" || s.End < s.Start || s.Attributes["step"] != "plan" || s.Attributes["loss"] != "NaN" || len(s.Events) != 1 || s.Events[0].Name != "retry" || len(s.Links) == 0 {
		t.Errorf("child %+v", s)
	}
	if got["parent"].ParentID != "" {
		t.Errorf("parent %+v", got["parent"])
	}
}

func TestComponentsKeepTheirIdentity(t *testing.T) {
	quiet(t)
	var said []string
	p, err := telemetry.New(t.Context(), func(_ string, data []byte) { said = append(said, string(data)) })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"coder", "writer"} {
		tp, _ := p.Component(name)
		if again, _ := p.Component(name); again != tp {
			t.Error("a second provider for " + name)
		}
		_, s := tp.Tracer("t").Start(t.Context(), "x")
		s.End()
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if len(said) != 2 || !strings.Contains(said[0], `"component":"coder"`) || !strings.Contains(said[1], `"component":"writer"`) {
		t.Errorf("spans %v", said)
	}
}

func TestNothingDialsOutUnlessAsked(t *testing.T) {
	quiet(t)
	if got := telemetry.Target(); got != "" {
		t.Errorf("target %q", got)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	if got := telemetry.Target(); got != "http://127.0.0.1:1" {
		t.Errorf("target %q", got)
	}
}

func TestABackEndThatIsDownDoesNotHoldTheProcess(t *testing.T) {
	quiet(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	telemetry.RouteErrors(slog.New(slog.DiscardHandler))
	p, err := telemetry.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tp, _ := p.Component("coder")
	_, s := tp.Tracer("t").Start(t.Context(), "x")
	s.End()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = p.Shutdown(ctx) // returns; that it could not deliver is no news
}

func TestALogLineCarriesItsTrace(t *testing.T) {
	quiet(t)
	p, err := telemetry.New(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tp, _ := p.Component("coder")
	ctx, span := tp.Tracer("t").Start(t.Context(), "x")
	defer span.End()
	var b strings.Builder
	log := telemetry.NewLogger(&b, "warn").With("component", "coder")
	log.InfoContext(ctx, "too low")
	log.WarnContext(ctx, "told", "step", "plan")
	var line map[string]any
	if err := json.Unmarshal([]byte(b.String()), &line); err != nil {
		t.Fatalf("%q: %v", b.String(), err)
	}
	if line["trace_id"] != span.SpanContext().TraceID().String() || line["span_id"] != span.SpanContext().SpanID().String() || line["component"] != "coder" || line["msg"] != "told" {
		t.Errorf("line %v", line)
	}
}
