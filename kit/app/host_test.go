package app_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"nullius.dev/kit/app"
)

// diary notes what happened, in order.
type diary struct {
	mu   sync.Mutex
	said []string
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, s)
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.said)
}

func newHost(t *testing.T) *app.Host {
	t.Helper()
	return app.NewHost(t.Context(), slog.New(slog.DiscardHandler))
}

func TestHost_TheStackComesDownFromTheTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, d := newHost(t), &diary{}
		run := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(100 * time.Millisecond) // work to finish; what lies below must wait for it
				d.note(name)
				return ctx.Err()
			}
		}
		h.OnStop("broker", time.Second, func(context.Context) error { d.note("broker"); return nil })
		h.Component("coder").Go("coder", time.Second, run("coder"))
		h.OnStop("connection", time.Second, func(context.Context) error { d.note("connection"); return nil })
		h.Component("gateway").Go("gateway", time.Second, run("gateway"))

		ctx, signal := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); signal() }()
		if err := h.Wait(ctx); err != nil {
			t.Errorf("an orderly stop gave %v", err)
		}
		if want := []string{"gateway", "connection", "coder", "broker"}; !slices.Equal(d.all(), want) {
			t.Errorf("order %v, want %v", d.all(), want)
		}
	})
}

func TestHost_AFailingGoroutineTakesAllDownAndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, d := newHost(t), &diary{}
		h.OnStop("broker", time.Second, func(context.Context) error { d.note("broker"); return nil })
		h.Go("listener", time.Second, func(context.Context) error { return errors.New("port gone") })
		err := h.Wait(t.Context())
		if err == nil || strings.Count(err.Error(), "port gone") != 1 || !strings.HasPrefix(err.Error(), "listener: ") {
			t.Errorf("got %v", err)
		}
		if !slices.Equal(d.all(), []string{"broker"}) {
			t.Errorf("stopped %v", d.all())
		}
	})
}

func TestHost_ErrorsOfStoppingAreJoined(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"one", "two"} {
		h.OnStop(name, time.Second, func(context.Context) error { return errors.New(name + " broke") })
	}
	err := h.Stop()
	if err == nil || err.Error() != "stop two: two broke\nstop one: one broke" {
		t.Errorf("got %v", err)
	}
	if err := h.Stop(); err != nil {
		t.Errorf("the second stop gave %v", err)
	}
}

func TestHost_AHangingPartIsLeftBehindAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, d := newHost(t), &diary{}
		free := make(chan struct{})
		h.OnStop("broker", time.Second, func(context.Context) error { d.note("broker"); return nil })
		h.Go("stuck", 5*time.Second, func(context.Context) error { <-free; return nil })
		begin := time.Now()
		err := h.Stop()
		if err == nil || !strings.Contains(err.Error(), "stop stuck: not done within 5s") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
		if !slices.Equal(d.all(), []string{"broker"}) {
			t.Errorf("stopped %v", d.all())
		}
		close(free)
	})
}

func TestHost_ReadinessFallsBeforeAnythingStops(t *testing.T) {
	h := newHost(t)
	if !h.Ready() {
		t.Error("not ready at first")
	}
	h.OnStop("look", time.Second, func(context.Context) error {
		if h.Ready() {
			return errors.New("still ready")
		}
		return nil
	})
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
}

func TestHost_AComponentHasItsOwnLoggerAndProviders(t *testing.T) {
	var b strings.Builder
	h := app.NewHost(t.Context(), slog.New(slog.NewTextHandler(&b, nil)))
	var asked []string
	h.SetTelemetry(func(c string) (trace.TracerProvider, metric.MeterProvider) {
		asked = append(asked, c)
		return noop.NewTracerProvider(), metricnoop.NewMeterProvider()
	})
	h.Component("coder").Log().Info("hello")
	if !strings.Contains(b.String(), "component=coder") || !slices.Equal(asked, []string{"coder"}) {
		t.Errorf("log %q, providers of %v", b.String(), asked)
	}
}
