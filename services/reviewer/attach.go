package reviewer

import (
	"os"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
)

// Shared is what a process builds once for the reviewer.
type Shared struct {
	Models  Chatter
	Blobs   store.Blobs
	Sandbox sandbox.Runner // nil: no PDFs
}

// Attach puts the reviewer on a host.
func Attach(h *app.Host, net *rpc.Network, cfg Config, s Shared) error {
	d := Deps{Log: h.Log(), Tracer: h.Tracer(), Models: s.Models, Blobs: s.Blobs, Sandbox: s.Sandbox}
	if cfg.Forms != "" {
		d.Forms = os.DirFS(cfg.Forms)
	}
	svc, err := New(cfg, d)
	if err != nil {
		return err
	}
	return rpc.Serve(h, net, cfg.Listen, func(r grpc.ServiceRegistrar) { Register(r, svc) })
}
