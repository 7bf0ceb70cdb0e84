package llm

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/store"
)

// On is what a process has to open a door on. All but Bus may be nil; without a bus the door keeps everything in memory.
type On struct {
	Bus    *bus.Conn
	Blobs  store.Blobs
	Log    *slog.Logger
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// Open makes a door on a bus: it binds or makes the buckets LEDGER and BUDGETS.
func Open(ctx context.Context, cfg Config, on On) (*Door, error) {
	d := Deps{Log: on.Log, Tracer: on.Tracer, Meter: on.Meter, Blobs: on.Blobs}
	if on.Bus != nil {
		var err error
		if d.Ledger, err = on.Bus.KV(ctx, ledger.Bucket()); err != nil {
			return nil, err
		}
		if d.Budgets, err = on.Bus.KV(ctx, budget.Bucket()); err != nil {
			return nil, err
		}
		d.Pauses = busPauses{nc: on.Bus.NC}
	}
	return New(cfg, d)
}

// busPauses tells pauses on a subject without memory.
type busPauses struct{ nc *nats.Conn }

const pauseSubject = "nullius.llm.pauses"

type pauseMessage struct {
	Account string `json:"account"` // provider, host and a hash of the key
	Millis  int64  `json:"ms"`
}

// Announce tells other processes of a pause; one that is lost costs a refused call.
func (p busPauses) Announce(account string, d time.Duration) {
	data, err := json.Marshal(pauseMessage{account, d.Milliseconds()})
	if err == nil {
		_ = p.nc.Publish(pauseSubject, data)
	}
}

// Listen hears of the pauses of others.
func (p busPauses) Listen(f func(string, time.Duration)) (func(), error) {
	sub, err := p.nc.Subscribe(pauseSubject, func(m *nats.Msg) {
		var msg pauseMessage
		if json.Unmarshal(m.Data, &msg) == nil && msg.Millis > 0 && msg.Millis < 1e9 {
			f(msg.Account, time.Duration(msg.Millis)*time.Millisecond)
		}
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
