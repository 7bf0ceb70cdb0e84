package coder

import (
	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
)

// Shared is what a process builds once and this service uses.
type Shared struct {
	Models  Chatter
	Blobs   store.Blobs
	Sandbox sandbox.Runner // checks Python's syntax; required
}

// Attach builds the service on a host and serves it.
func Attach(h *app.Host, net *rpc.Network, cfg Config, s Shared) error {
	svc, err := New(cfg, Deps{Log: h.Log(), Tracer: h.Tracer(), Meter: h.Meter(), Models: s.Models, Blobs: s.Blobs, Sandbox: s.Sandbox})
	if err != nil {
		return err
	}
	return rpc.Serve(h, net, cfg.Listen, func(r grpc.ServiceRegistrar) { Register(r, svc) })
}
