package writer

import (
	"context"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/compile"
)

// Shared is what a process builds once for the writer.
type Shared struct {
	Models  Chatter
	Blobs   store.Blobs
	Sandbox sandbox.Runner // nil: no LaTeX
}

// CanCompile says whether papers become PDFs on this machine; without it they stay .tex, with finding L07.
func CanCompile(box sandbox.Runner) bool { return compile.Compiler{Sandbox: box}.Available() }

// Attach puts the writer on a host.
func Attach(h *app.Host, net *rpc.Network, cfg Config, s Shared) error {
	d := Deps{Log: h.Log(), Tracer: h.Tracer(), Models: s.Models, Blobs: s.Blobs, Sandbox: s.Sandbox}
	if cfg.Peers.Literature != "" {
		conn, err := net.Dial(cfg.Peers.Literature)
		if err != nil {
			return err
		}
		h.OnStop("literature connection", 0, func(context.Context) error { return conn.Close() })
		d.Literature = NewLiterature(conn)
	}
	svc, err := New(cfg, d)
	if err != nil {
		return err
	}
	return rpc.Serve(h, net, cfg.Listen, func(r grpc.ServiceRegistrar) { Register(r, svc) })
}
