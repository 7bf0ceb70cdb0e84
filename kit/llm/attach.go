package llm

import (
	"time"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/store"
)

// closing is how long a door gets to write down what calls in flight come to.
const closing = 12 * time.Second

// Attach opens a component's door on its host, which closes it when it stops. It binds or makes the buckets LEDGER and BUDGETS, and blocks until that is done.
func Attach(h *app.Host, cfg Config, component string, b *bus.Conn, blobs store.Blobs) (*Door, error) {
	cfg.Component = component
	d, err := Open(h.Context(), cfg, On{Bus: b, Blobs: blobs, Log: h.Log(), Tracer: h.Tracer(), Meter: h.Meter()})
	if err != nil {
		return nil, err
	}
	h.OnStop("models of "+component, closing, d.Close)
	return d, nil
}
