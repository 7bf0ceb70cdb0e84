// Package telemetry gives each component of a process its own tracer and meter provider. Spans always go to the suite's own stream, which the trace page
// and `nullius trace` read; they go to an OTLP back end as well when OTEL_EXPORTER_OTLP_ENDPOINT (or its traces or metrics form) is set, else nothing dials out.
package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Publish sends one ended span, as JSON, to whoever keeps traces. It must not block for long; a lost span is no error.
type Publish func(traceID string, data []byte)

// Providers makes and closes a process's providers.
type Providers struct {
	publish Publish
	spans   sdktrace.SpanExporter // OTLP; nil: none
	metrics sdkmetric.Exporter    // OTLP; nil: none
	mu      sync.Mutex
	closers []func(context.Context) error
	byName  map[string]*pair
}

type pair struct {
	tp trace.TracerProvider
	mp metric.MeterProvider
}

// New reads the standard OTEL_ variables; it dials nothing yet.
func New(ctx context.Context, publish Publish) (*Providers, error) {
	p := &Providers{publish: publish, byName: map[string]*pair{}}
	var err error
	if configured("TRACES") {
		if p.spans, err = otlptracegrpc.New(ctx); err != nil {
			return nil, err
		}
	}
	if configured("METRICS") {
		if p.metrics, err = otlpmetricgrpc.New(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func configured(signal string) bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// RouteErrors sends what OpenTelemetry's exporters complain of to log, since they would write to standard error, over a live terminal view. It sets the
// library's one global and is called by mains only.
func RouteErrors(log *slog.Logger) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry export", "error", err) }))
}

// Target says where traces go beside the suite's own stream; empty: nowhere.
func Target() string {
	for _, k := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if v := os.Getenv(k); v != "" {
			return v
		}
	}
	return ""
}

// Component gives a component's providers, the same ones each time.
func (p *Providers) Component(name string) (trace.TracerProvider, metric.MeterProvider) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.byName[name]; c != nil {
		return c.tp, c.mp
	}
	res := resource.NewSchemaless(attribute.String("service.name", "nullius-"+name))
	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSpanProcessor(&streamer{component: name, publish: p.publish})}
	if p.spans != nil {
		opts = append(opts, sdktrace.WithBatcher(p.spans, sdktrace.WithExportTimeout(3*time.Second)))
	}
	tp := sdktrace.NewTracerProvider(opts...)
	p.closers = append(p.closers, tp.Shutdown)
	c := &pair{tp: tp, mp: noop.NewMeterProvider()}
	if p.metrics != nil {
		mp := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(p.metrics)))
		p.closers = append(p.closers, mp.Shutdown)
		c.mp = mp
	}
	p.byName[name] = c
	return c.tp, c.mp
}

// Shutdown flushes what is pending, within 3 s.
func (p *Providers) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.closers {
		errs = append(errs, c(ctx))
	}
	return errors.Join(errs...)
}
