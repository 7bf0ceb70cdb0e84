package executor

import (
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/gpu"
)

// Shared is what the process builds once.
type Shared struct {
	Bus   *bus.Conn
	Blobs store.Blobs
	// Sandbox runs the jobs. Where there is none, Refusal says why; the service
	// then answers, but its node takes no job.
	Sandbox Box
	Refusal error
	// Hurry, when closed, ends a drain early.
	Hurry <-chan struct{}
	// GPUs replaces NVML in tests; nil: NVML.
	GPUs gpu.Backend
}

// Attach puts the service and this machine's node on a host.
func Attach(h *app.Host, net *rpc.Network, cfg Config, s Shared) error {
	svc, err := New(cfg, Deps{
		Log: h.Log(), Tracer: h.Tracer(), Meter: h.Meter(), Hurry: s.Hurry, Bus: s.Bus, Blobs: s.Blobs, Sandbox: s.Sandbox, Refusal: s.Refusal, GPUs: s.GPUs,
	})
	if err != nil {
		return err
	}
	if err := svc.Open(h.Context()); err != nil {
		return err
	}
	h.Go("executor node", cfg.DrainTimeout+cfg.Grace+30*time.Second, svc.Run)
	return rpc.Serve(h, net, cfg.Listen, func(r grpc.ServiceRegistrar) {
		executorv1.RegisterExecutorServiceServer(r, server{s: svc})
	})
}
