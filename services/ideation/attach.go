package ideation

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/openalex"
)

// Shared is what the process builds once.
type Shared struct {
	Bus    *bus.Conn // nil: engines' rates hold within this process only
	Models Chatter
	Ledger literature.Ledger // pins answers; nil: in memory
	Blobs  store.Blobs
}

// Attach puts both services on a host.
func Attach(h *app.Host, net *rpc.Network, cfg Config, s Shared) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	broker, stop, err := newBroker(h.Context(), cfg, s)
	if err != nil {
		return err
	}
	h.OnStop("literature", time.Second, func(context.Context) error { return stop() })
	svc, err := New(cfg, Deps{Log: h.Log(), Tracer: h.Tracer(), Models: s.Models, Blobs: s.Blobs, Literature: broker})
	if err != nil {
		return err
	}
	return rpc.Serve(h, net, cfg.Listen, func(r grpc.ServiceRegistrar) { Register(r, svc) })
}

func newBroker(ctx context.Context, cfg Config, s Shared) (*literature.Broker, func() error, error) {
	bundled, err := index.OpenBundled(ctx)
	if err != nil {
		return nil, nil, err
	}
	closers := closers{bundled.Close}
	local := literature.LocalEngine{Lists: []*index.Index{bundled}}
	if cfg.Index != "" {
		own, err := index.Open(ctx, cfg.Index)
		if err != nil {
			return nil, nil, closers.after(err)
		}
		closers = append(closers, own.Close)
		local.Lists = []*index.Index{own, bundled}
	}
	dir := ""
	if cfg.DataDir != "" {
		dir = filepath.Join(cfg.DataDir, "ideation")
	}
	cache, err := literature.OpenCache(ctx, dir)
	if err != nil {
		return nil, nil, closers.after(err)
	}
	closers = append(closers, cache.Close)
	clock := openalex.System{}
	far, err := openalex.New(openalex.Options{
		Base: cfg.OpenAlex.BaseURL, Agent: agent(cfg.Contact), Key: func() string { return secret("OPENALEX_API_KEY") },
		Clock: clock, Pace: openalex.NewPacer(clock, func() time.Duration { return interval(secret("OPENALEX_API_KEY") != "") }),
		Transport: transport(),
	})
	if err != nil {
		return nil, nil, closers.after(err)
	}
	if s.Ledger == nil {
		s.Ledger = ledger.New(nil, s.Blobs, ledger.Config{})
	}
	shelf := recording.NewShelf(s.Blobs)
	return &literature.Broker{
		Engines: []literature.Engine{far, local}, Local: local, Ledger: s.Ledger, Cache: cache, Now: time.Now, Default: cfg.Engine, Offline: cfg.Offline,
		Replay: func(ctx context.Context, name string, o ledger.Origin, _ string) ([]byte, error) {
			r, err := shelf.Open(ctx, literature.RecordingPrefix+name)
			if err != nil {
				return nil, err
			}
			a, err := r.Lookup(ctx, o, ledger.Literature)
			return a.Text, err
		},
	}, closers.close, nil
}

// interval is ours, well within OpenAlex's.
func interval(keyed bool) time.Duration {
	if keyed {
		return 200 * time.Millisecond
	}
	return 500 * time.Millisecond
}

func agent(contact string) string {
	s := "Nullius/" + app.Version() + " (+https://nullius.dev"
	if contact != "" {
		s += "; mailto:" + contact
	}
	return s + ")"
}

// secret reads a key from the environment or from the file that its twin names, anew each time, so that it can be mended.
func secret(name string) string {
	if v := os.Getenv(name); v != "" {
		return strings.TrimSpace(v)
	}
	if file := os.Getenv(name + "_FILE"); file != "" {
		if b, err := os.ReadFile(file); err == nil && len(b) < 4096 {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}

func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 20 * time.Second
	t.TLSHandshakeTimeout = 5 * time.Second
	t.MaxConnsPerHost = 4
	return t
}
