package ideation

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
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

	"nullius.dev/services/ideation/internal/arxiv"
	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/limit"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/openalex"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/semanticscholar"
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
	broker, stop, err := newBroker(h.Context(), h.Log(), cfg, s)
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

func newBroker(ctx context.Context, log *slog.Logger, cfg Config, s Shared) (*literature.Broker, func() error, error) {
	bundled, err := index.OpenBundled(ctx)
	if err != nil {
		return nil, nil, err
	}
	closers := closers{bundled.Close}
	local := literature.LocalEngine{Bundled: bundled}
	if path := IndexPath(cfg); path != "" {
		local.Own = index.NewFile(path)
		closers = append(closers, local.Own.Close)
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
	rates, err := ratesOf(ctx, s.Bus, cache)
	if err != nil {
		return nil, nil, closers.after(err)
	}
	far, err := far(cfg, rates)
	if err != nil {
		return nil, nil, closers.after(err)
	}
	if os.Getenv("OPENALEX_MAIL_ADDRESS") != "" {
		log.WarnContext(ctx, "OPENALEX_MAIL_ADDRESS is set, but OpenAlex no longer reads it", "next", openalex.KeyVar)
	}
	if s.Ledger == nil {
		s.Ledger = ledger.New(nil, s.Blobs, ledger.Config{})
	}
	shelf := recording.NewShelf(s.Blobs)
	return &literature.Broker{
		Engines: append(far, local), Local: local, Ledger: s.Ledger, Cache: cache, Now: time.Now, Log: log, Default: cfg.Engine, Offline: cfg.Offline,
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

// IndexPath is the user's list of papers: what is configured, or a file in the data folder; empty: there is none.
func IndexPath(cfg Config) string {
	switch {
	case cfg.Index != "":
		return cfg.Index
	case cfg.DataDir != "":
		return filepath.Join(cfg.DataDir, "ideation", "papers.sqlite")
	}
	return ""
}

// rates is where the rates of engines are agreed on: the bus for all processes, without one a file for those of this machine,
// without a data folder nothing but this process.
func ratesOf(ctx context.Context, conn *bus.Conn, cache *literature.Cache) (limit.Store, error) {
	if conn == nil {
		return cache.Rates(ctx)
	}
	kv, err := conn.KV(ctx, limit.Bucket())
	if err != nil {
		return nil, err
	}
	return limit.KV(kv), nil
}

// far lists the engines that are dialled, in the order of auto.
func far(cfg Config, rates limit.Store) ([]literature.Engine, error) {
	owner := rand.Text()
	options := func(c EngineConfig, name, keyVar string, rule func(keyed bool) limit.Rule) engine.Options {
		key := func() string { return "" }
		if keyVar != "" {
			key = func() string { return secret(keyVar) }
		}
		gate := limit.New(rates, owner, func() string { return name + "." + hash(key()) }, func() limit.Rule {
			r := rule(key() != "")
			if c.Interval > 0 {
				r.Interval = c.Interval
			}
			return r
		})
		return engine.Options{Base: c.BaseURL, Agent: agent(cfg.Contact), Key: key, Gate: gate, Transport: transport(name), TryLimit: c.TryLimit}
	}
	s2, err := semanticscholar.New(options(cfg.SemanticScholar, paper.SemanticScholar, semanticscholar.KeyVar, func(bool) limit.Rule {
		return limit.Rule{Interval: semanticscholar.Interval}
	}))
	if err != nil {
		return nil, err
	}
	oa, err := openalex.New(options(cfg.OpenAlex.EngineConfig, paper.OpenAlex, openalex.KeyVar, func(keyed bool) limit.Rule {
		return limit.Rule{Interval: openalex.Interval(keyed), Prepaid: cfg.OpenAlex.SpendPrepaid}
	}))
	if err != nil {
		return nil, err
	}
	ax, err := arxiv.New(options(cfg.ArXiv, paper.ArXiv, "", func(bool) limit.Rule {
		return limit.Rule{Interval: arxiv.Interval, Alone: true}
	}))
	if err != nil {
		return nil, err
	}
	return []literature.Engine{s2, oa, ax}, nil
}

// hash names a key without telling it.
func hash(key string) string {
	if key == "" {
		return "none"
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
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

func transport(name string) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.ResponseHeaderTimeout = 20 * time.Second
	t.TLSHandshakeTimeout = 5 * time.Second
	t.MaxConnsPerHost = 4
	if name == paper.ArXiv {
		t.MaxConnsPerHost = 1
	}
	return t
}
