// Package app is the life of a process: one stack of goroutines and closers, built up in order and taken down in reverse.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Host is a process's stack, or a component's view of it. Several services share a process; each has a component of its own with its own logger, tracer
// and meter.
type Host struct {
	*stack
	log    *slog.Logger
	tracer trace.TracerProvider
	meter  metric.MeterProvider
	spans  func(component string) (trace.TracerProvider, metric.MeterProvider)
}

type stack struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	items  []item
	ready  atomic.Bool
}

type item struct {
	name  string
	grace time.Duration
	stop  func(ctx context.Context) error
}

// NewHost makes an empty stack. Its context outlives the caller's: the stack is taken down by Wait, in order.
func NewHost(ctx context.Context, log *slog.Logger) *Host {
	c, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	h := &Host{stack: &stack{ctx: c, cancel: cancel}, log: log, tracer: noop.NewTracerProvider(), meter: metricnoop.NewMeterProvider()}
	h.ready.Store(true)
	return h
}

// SetTelemetry says where components get their providers from.
func (h *Host) SetTelemetry(providers func(component string) (trace.TracerProvider, metric.MeterProvider)) {
	h.spans = providers
}

// Component gives a view of the same stack for one service.
func (h *Host) Component(name string) *Host {
	c := *h
	c.log = h.log.With("component", name)
	if h.spans != nil {
		c.tracer, c.meter = h.spans(name)
	}
	return &c
}

// Log is the component's logger.
func (h *Host) Log() *slog.Logger { return h.log }

// Tracer is the component's tracer provider.
func (h *Host) Tracer() trace.TracerProvider { return h.tracer }

// Meter is the component's meter provider.
func (h *Host) Meter() metric.MeterProvider { return h.meter }

// Context ends when the stack begins to come down; what must go on a little takes it by Go.
func (h *Host) Context() context.Context { return h.ctx }

// Ready tells whether the process takes work; it turns false before anything stops.
func (h *Host) Ready() bool { return h.ready.Load() }

// Go starts a goroutine and pushes "cancel it and wait". When run returns by itself with an error, the whole stack comes down.
func (h *Host) Go(name string, grace time.Duration, run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.ctx))
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if err != nil && ctx.Err() == nil {
			h.cancel(fmt.Errorf("%s: %w", name, err))
			err = nil // told as the cause
		}
		done <- err
	}()
	h.OnStop(name, grace, func(context.Context) error {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
}

// OnStop pushes a closer, which gets grace to finish.
func (h *Host) OnStop(name string, grace time.Duration, stop func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items = append(h.items, item{name, grace, stop})
}

// Wait blocks until ctx ends or a goroutine fails, then takes the stack down from the top. It returns what went wrong, nil for an orderly stop.
func (h *Host) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-h.ctx.Done():
	}
	return h.Stop()
}

// Stop takes the stack down from the top, each item within its grace.
func (h *Host) Stop() error {
	h.ready.Store(false)
	cause := context.Cause(h.ctx)
	if errors.Is(cause, context.Canceled) { // stopped already, in order
		cause = nil
	}
	h.cancel(nil)
	h.mu.Lock()
	items := h.items
	h.items = nil
	h.mu.Unlock()
	errs := []error{cause}
	for _, it := range slices.Backward(items) {
		if err := h.takeDown(it); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", it.name, err))
		}
	}
	return errors.Join(errs...)
}

// takeDown runs a closer and leaves it behind when its grace is over, so that one that hangs does not keep the rest from stopping.
func (h *Host) takeDown(it item) error {
	grace := max(it.grace, time.Second)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), grace)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- it.stop(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // it noticed the end itself
		return err
	case <-time.After(grace / 10):
		return fmt.Errorf("not done within %v", grace)
	}
}
