package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nullius.dev/gateway"
	"nullius.dev/gateway/template"
	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	"nullius.dev/kit/telemetry"
	"nullius.dev/services/coder"
	"nullius.dev/services/executor"
	"nullius.dev/services/ideation"
	"nullius.dev/services/reviewer"
	"nullius.dev/services/writer"
)

// suite is every service in this process.
type suite struct {
	host    *app.Host
	gateway *gateway.Service
	nats    *natsd.Server
	box     *sandbox.Sandbox
	weak    error           // why there is no sandbox
	probing sync.WaitGroup  // what stands above is there when it is done
	python  *sandbox.Python // for checks of templates; nil: there is none
	finding sync.WaitGroup  // the same for python
	dataDir string
}

// suiteConfig says where the all-in-one keeps its data and listens.
type suiteConfig struct {
	DataDir  string
	Listen   string
	Insecure bool
	Log      *slog.Logger
}

// startSuite builds the all-in-one: broker, shared parts, leaves, the gateway last. The executor and the doors to models read the variables that they read in
// processes of their own. The sandbox is probed meanwhile; what needs it is built after that. On an error what was built is taken down again.
func startSuite(ctx context.Context, cfg suiteConfig) (_ *suite, err error) {
	if cfg.DataDir == "" {
		cfg.DataDir = process.DefaultDataDir()
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil { // the sandbox is shown folders of it, by absolute paths
		return nil, err
	}
	s := &suite{host: app.NewHost(ctx, cfg.Log), dataDir: cfg.DataDir}
	if err := s.ownTemp(); err != nil {
		return nil, err
	}
	s.probing.Go(func() { s.openSandbox(ctx, cfg.Log.With("component", "sandbox")) })
	defer s.probing.Wait()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.host.Stop())
		}
	}()
	if s.nats, err = natsd.Start(natsd.Config{Dir: cfg.DataDir, Log: cfg.Log.With("component", "nats")}); err != nil {
		return nil, err
	}
	s.host.OnStop("broker", 10*time.Second, func(context.Context) error { return s.nats.Stop() })
	conn, err := s.nats.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s.host.OnStop("bus", time.Second, func(context.Context) error { conn.Close(); return nil })
	tel, err := telemetry.New(ctx, telemetry.ToBus(conn))
	if err != nil {
		return nil, err
	}
	if _, err = telemetry.OpenStream(ctx, conn); err != nil {
		return nil, err
	}
	s.host.OnStop("telemetry", 4*time.Second, tel.Shutdown)
	s.host.SetTelemetry(tel.Component)
	blobs, err := store.OpenDir(filepath.Join(cfg.DataDir, "blobs"))
	if err != nil {
		return nil, err
	}
	return s, s.attach(ctx, cfg, conn, blobs)
}

// openSandbox makes the sandbox, whose probe takes a while, and begins to look for an interpreter in it.
func (s *suite) openSandbox(ctx context.Context, log *slog.Logger) {
	if s.box, s.weak = openSandbox(ctx, log); s.box == nil {
		return
	}
	s.finding.Go(func() { s.python, _ = s.box.FindPython(ctx, "", nil) }) // doctor tells of an error; templates are then not parsed
	s.host.OnStop("search for Python", 10*time.Second, func(context.Context) error { s.finding.Wait(); return nil })
}

func (s *suite) attach(ctx context.Context, cfg suiteConfig, conn *bus.Conn, blobs store.Blobs) error {
	n := rpc.NewNetwork(rpc.Options{Tracer: s.host.Component("nullius").Tracer()})
	models := func(component string) (*llm.Door, error) {
		c, err := fromVariables(component, struct {
			Models llm.Config `yaml:"models"`
		}{})
		if err != nil {
			return nil, err
		}
		c.Models.SoleOwner, c.Models.Process = true, "all-in-one"
		return llm.Attach(s.host.Component(component), c.Models, component, conn, blobs)
	}
	var check *llm.Door
	for _, attach := range []func() error{
		func() (err error) { check, err = s.attachIdeation(n, conn, blobs, models); return err },
		func() error { s.probing.Wait(); return nil },
		func() error { return s.attachExecutor(n, conn, blobs) },
		func() error {
			d, err := models("coder")
			if err != nil {
				return err
			}
			c, err := fromVariables("coder", coder.DefaultConfig())
			if err != nil {
				return err
			}
			c.Listen = "inproc:coder"
			var box sandbox.Runner = refusing{s.weak}
			if s.box != nil {
				box = s.box
			}
			return coder.Attach(s.host.Component("coder"), n, c, coder.Shared{Models: d, Blobs: blobs, Sandbox: box})
		},
		func() error {
			d, err := models("writer")
			if err != nil {
				return err
			}
			c, err := fromVariables("writer", writer.DefaultConfig())
			if err != nil {
				return err
			}
			c.Listen, c.Peers.Literature = "inproc:writer", "inproc:ideation"
			h := s.host.Component("writer")
			return writer.Attach(h, n.For(h), c, writer.Shared{Models: d, Blobs: blobs, Sandbox: s.runner()})
		},
		func() error {
			d, err := models("reviewer")
			if err != nil {
				return err
			}
			c, err := fromVariables("reviewer", reviewer.DefaultConfig())
			if err != nil {
				return err
			}
			c.Listen = "inproc:reviewer"
			return reviewer.Attach(s.host.Component("reviewer"), n, c, reviewer.Shared{Models: d, Blobs: blobs, Sandbox: s.runner()})
		},
	} {
		if err := attach(); err != nil {
			return err
		}
	}
	return s.attachGateway(ctx, cfg, n, conn, blobs, check)
}

// fromVariables reads a component's variables, NULLIUS_<COMPONENT>_<FIELD>, over its defaults. A configuration file is of one service, so none is read.
func fromVariables[C any](component string, c C) (C, error) {
	err := config.Load(component, &c, "", os.Environ())
	return c, err
}

// refusing stands in for the sandbox where there is none, so that the parts that need it say why.
type refusing struct{ why error }

func (r refusing) Run(context.Context, sandbox.Spec) (sandbox.Result, error) {
	return sandbox.Result{}, r.why
}

// runner gives the sandbox as an interface that is nil when there is none.
func (s *suite) runner() sandbox.Runner {
	if s.box == nil {
		return nil
	}
	return s.box
}

func (s *suite) attachExecutor(n *rpc.Network, conn *bus.Conn, blobs store.Blobs) error {
	c, err := fromVariables("executor", executor.DefaultConfig())
	if err != nil {
		return err
	}
	c.Listen, c.SoleOwner, c.State, c.DrainTimeout = "inproc:executor", true, filepath.Join(s.dataDir, "executor"), time.Second
	sh := executor.Shared{Bus: conn, Blobs: blobs, Refusal: s.weak}
	if s.box != nil {
		sh.Sandbox = s.box
	}
	return executor.Attach(s.host.Component("executor"), n, c, sh)
}

func (s *suite) attachIdeation(n *rpc.Network, conn *bus.Conn, blobs store.Blobs, models func(string) (*llm.Door, error)) (*llm.Door, error) {
	d, err := models("ideation")
	if err != nil {
		return nil, err
	}
	c, err := fromVariables("ideation", ideation.DefaultConfig())
	if err != nil {
		return nil, err
	}
	c.Listen, c.DataDir = "inproc:ideation", s.dataDir
	return d, ideation.Attach(s.host.Component("ideation"), n, c, ideation.Shared{Bus: conn, Models: d, Ledger: d.Ledger(), Blobs: blobs})
}

func (s *suite) attachGateway(ctx context.Context, cfg suiteConfig, n *rpc.Network, conn *bus.Conn, blobs store.Blobs, door *llm.Door) error {
	c, err := fromVariables("gateway", gateway.DefaultConfig())
	if err != nil {
		return err
	}
	c.DataDir, c.SoleOwner, c.Insecure = s.dataDir, true, cfg.Insecure
	if cfg.Listen != "" {
		c.Listen = cfg.Listen
	}
	c.Peers = gateway.Peers{Ideation: "inproc:ideation", Coder: "inproc:coder", Executor: "inproc:executor", Writer: "inproc:writer", Reviewer: "inproc:reviewer"}
	budgets, err := conn.KV(ctx, budget.Bucket())
	if err != nil {
		return err
	}
	entries, err := conn.KV(ctx, ledger.Bucket())
	if err != nil {
		return err
	}
	h := s.host.Component("gateway")
	s.gateway, err = gateway.Attach(ctx, h, n.For(h), c, gateway.Shared{
		Bus: conn, Blobs: blobs, Budgets: budget.New(budgets), Ledger: ledger.New(entries, blobs, ledger.Config{}),
		CheckModel: checkModelOrRecording(door, blobs), CheckPython: s.checkPython(), MissingModules: s.missingModules(), PythonVersion: s.pythonVersion(), CanCompile: func() bool { return writer.CanCompile(s.runner()) }, Sandbox: s.runner(),
	})
	return err
}

// checkPython finds syntax errors through the sandbox; nil without one.
func (s *suite) checkPython() func(map[string][]byte) map[string]template.Syntax {
	if s.box == nil {
		return nil
	}
	return func(sources map[string][]byte) map[string]template.Syntax {
		s.finding.Wait()
		if s.python == nil {
			return nil
		}
		return template.NewInterpreter(s.box, s.python).Parse(s.host.Context(), sources)
	}
}

// missingModules asks this machine for Python's modules; nil without a sandbox, where nothing runs anyway.
func (s *suite) missingModules() func([]string) ([]string, error) {
	if s.box == nil {
		return nil
	}
	return template.MissingModules(s.host.Context(), s.box)
}

// pythonVersion tells the version of the interpreter that has a template's modules; nil without a sandbox.
func (s *suite) pythonVersion() func([]string) string {
	if s.box == nil {
		return nil
	}
	return template.PythonVersion(s.host.Context(), s.box)
}

// checkModelOrRecording says before a study starts whether what is to answer is there.
func checkModelOrRecording(d *llm.Door, blobs store.Blobs) func(context.Context, string, bool) error {
	model := checkModel(d)
	return func(ctx context.Context, name string, priced bool) error {
		if digest, ok := strings.CutPrefix(name, "recording/"); ok {
			return checkRecording(ctx, blobs, digest)
		}
		return model(ctx, name, priced)
	}
}

// checkModel says before a study starts whether a model can be called.
func checkModel(d *llm.Door) func(context.Context, string, bool) error {
	return func(_ context.Context, name string, priced bool) error {
		m, err := d.Model(name)
		if err != nil {
			return err
		}
		if err := d.KeyState(m); err != nil {
			return err
		}
		if priced && !m.Priced() {
			return fault.New(fault.Precondition, "MODEL_UNPRICED", "%s has no price, so no budget can hold.", name).WithNext("--allow-unpriced")
		}
		return nil
	}
}

// checkRecording says whether a recording was uploaded.
func checkRecording(ctx context.Context, blobs store.Blobs, digest string) error {
	_, err := recording.Open(ctx, blobs, store.Digest("sha256:"+digest))
	if errors.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "RECORDING_MISSING", "there is no recording %s here", digest).WithNext("nullius run TEMPLATE --model recording/FOLDER")
	}
	return err
}

func newLogger(level string) *slog.Logger { return telemetry.NewLogger(os.Stderr, level) }
