package gateway

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
)

// Shared is what a process builds once and its services share.
type Shared struct {
	Bus     *bus.Conn
	Blobs   store.Blobs
	Budgets Budgets
	Ledger  Ledger
	// What follows may be nil: see Deps.
	CheckModel     func(ctx context.Context, name string, priced bool) error
	CheckPython    func(sources map[string][]byte) map[string]template.Syntax
	MissingModules func(modules []string) ([]string, error)
	PythonVersion  func(modules []string) string
	CanCompile     func() bool
	Sandbox        sandbox.Runner
}

// driverGrace is how long running steps get to end in order when the process stops.
const driverGrace = 20 * time.Second

// Attach builds the gateway on a host: projection first, then the driver, then the port.
func Attach(ctx context.Context, h *app.Host, n *rpc.Network, cfg Config, s Shared) (*Service, error) {
	svc, err := New(ctx, cfg, Deps{
		Log: h.Log(), Tracer: h.Tracer(), Bus: s.Bus, Blobs: s.Blobs, Net: n, Budgets: s.Budgets, Ledger: s.Ledger,
		CheckModel: s.CheckModel, CheckPython: s.CheckPython, MissingModules: s.MissingModules, PythonVersion: s.PythonVersion, CanCompile: s.CanCompile, Sandbox: s.Sandbox,
	})
	if err != nil {
		return nil, err
	}
	h.OnStop("gateway clients", time.Second, func(context.Context) error { return svc.workers.close() })
	h.Go("gateway life", time.Second, func(ctx context.Context) error { return svc.life.beat(ctx, h.Log()) })
	h.Go("gateway journal", time.Second, svc.journal.Run)
	h.Go("gateway traces", time.Second, svc.traces.run)
	if err := svc.journal.Sync(ctx); err != nil {
		return nil, err
	}
	h.Go("gateway driver", driverGrace, func(ctx context.Context) error { return svc.driver.run(ctx, cfg.SoleOwner) })
	return svc, svc.listen(h, n)
}

// register adds the gateway's services to a server: its own, and what the port forwards.
func (s *Service) register(r grpc.ServiceRegistrar) {
	gatewayv1.RegisterStudyServiceServer(r, server{s: s})
	executorv1.RegisterExecutorServiceServer(r, forwardNodes{to: s.workers.executor})
	literaturev1.RegisterLiteratureServiceServer(r, forwardLiterature{to: s.workers.literature})
}
