// Package process is the main of a service that runs alone: flags, configuration, telemetry, broker, blobs, debug port, signals and exit code.
package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	"nullius.dev/kit/telemetry"
)

// Common is the configuration that every service has.
type Common struct {
	NATS            string `yaml:"nats"`             // address of the broker
	NATSCredentials string `yaml:"nats_credentials"` // file with the broker's JWT and seed for this service (nsc's .creds); empty: none
	DataDir         string `yaml:"data_dir"`         // blobs lie in its folder "blobs"; shared by the services of one machine
	Debug           string `yaml:"debug"`            // HOST:PORT of /healthz, /readyz and /debug/pprof; empty: none
	LogLevel        string `yaml:"log_level"`        // debug, info, warn, error
	Insecure        bool   `yaml:"insecure"`         // listen beyond loopback without TLS and authentication; warned of at each start
}

// Validate checks what every service shares; a service calls it from its own Validate.
func (c Common) Validate() error {
	switch strings.ToLower(c.LogLevel) {
	case "", "debug", "info", "warn", "error":
	default:
		return fault.New(fault.Invalid, "FIELD_INVALID", "log_level %q is none of debug, info, warn, error", c.LogLevel)
	}
	if c.DataDir == "" {
		return fault.New(fault.Invalid, "FIELD_INVALID", "data_dir is empty")
	}
	return nil
}

// DefaultCommon is a broker on this machine and the user's data folder.
func DefaultCommon() Common {
	return Common{NATS: "nats://127.0.0.1:4222", DataDir: DefaultDataDir(), LogLevel: "info"}
}

// DefaultDataDir is $XDG_DATA_HOME/nullius, or ~/.local/share/nullius.
func DefaultDataDir() string {
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "nullius")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "nullius-data"
	}
	return filepath.Join(home, ".local", "share", "nullius")
}

// Process is what the services of a process share.
type Process struct {
	Bus     *bus.Conn
	Blobs   store.Blobs
	Net     *rpc.Network
	DataDir string
}

// Main runs a service alone and exits the process: 0 after an orderly stop, 2 for a wrong flag or configuration, 1 else.
func Main[C any](name string, defaults C, common func(*C) *Common, attach func(h *app.Host, p Process, cfg C) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, name, defaults, common, attach); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		if next := fault.NextOf(err); next != "" {
			fmt.Fprintln(os.Stderr, "next: "+next)
		}
		if errors.Is(err, fault.Invalid) || errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

func run[C any](ctx context.Context, name string, cfg C, common func(*C) *Common, attach func(*app.Host, Process, C) error) error {
	defaults := cfg
	done, err := flags(name, &cfg, os.Args[1:], os.Stdout)
	if err != nil || done {
		return err
	}
	c := common(&cfg)
	if err := c.Validate(); err != nil {
		return err
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil { // the sandbox is shown folders of it, by absolute paths
		return err
	}
	h := app.NewHost(ctx, telemetry.NewLogger(os.Stderr, c.LogLevel))
	h.Log().InfoContext(ctx, "starting", "service", name, "version", app.Version(), "config", config.Diff(defaults, cfg))
	if err := assemble(ctx, h, name, c, func(p Process) error { return attach(h.Component(name), p, cfg) }); err != nil {
		return errors.Join(err, h.Stop())
	}
	return h.Wait(ctx)
}

// flags reads the command line and configuration; done means that there is nothing more to do.
func flags(name string, cfg any, args []string, out io.Writer) (done bool, err error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	file := fs.String("config", os.Getenv("NULLIUS_CONFIG"), "configuration file (YAML)")
	check := fs.Bool("check-config", false, "check the configuration and exit")
	show := fs.Bool("print-config", false, "print the configuration and exit")
	version := fs.Bool("version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return true, nil
		}
		return false, errors.Join(errUsage, err)
	}
	if *version {
		_, err := fmt.Fprintln(out, name, app.Version())
		return true, err
	}
	if err := config.Load(name, cfg, *file, os.Environ()); err != nil {
		return false, err
	}
	if *show {
		return true, yaml.NewEncoder(out).Encode(cfg)
	}
	if *check {
		_, err := fmt.Fprintln(out, "configuration is good")
		return true, err
	}
	return false, nil
}

func assemble(ctx context.Context, h *app.Host, name string, c *Common, attach func(Process) error) error {
	remove, err := OwnTemp(c.DataDir)
	if err != nil {
		return err
	}
	h.OnStop("temporary files", time.Second, func(context.Context) error { remove(); return nil })
	conn, err := bus.Connect(ctx, c.NATS, bus.Options{Name: name, Credentials: c.NATSCredentials, Log: h.Log()})
	if err != nil {
		return err
	}
	h.OnStop("bus", time.Second, func(context.Context) error { conn.Close(); return nil })
	telemetry.RouteErrors(h.Log())
	if _, err := telemetry.OpenStream(ctx, conn); err != nil {
		return err
	}
	tel, err := telemetry.New(ctx, telemetry.ToBus(conn))
	if err != nil {
		return err
	}
	h.OnStop("telemetry", 4*time.Second, tel.Shutdown)
	h.SetTelemetry(tel.Component)
	blobs, err := store.OpenDir(filepath.Join(c.DataDir, "blobs"))
	if err != nil {
		return err
	}
	if err := debug(h, c, func() bool { return h.Ready() && conn.NC.IsConnected() }); err != nil {
		return err
	}
	tracer, meter := tel.Component(name)
	network := rpc.NewNetwork(rpc.Options{Tracer: tracer, Meter: meter, Exposed: c.Insecure})
	return attach(Process{Bus: conn, Blobs: blobs, Net: network, DataDir: c.DataDir})
}

// debug serves health and profiles on a port of its own.
func debug(h *app.Host, c *Common, ready func() bool) error {
	if c.Debug == "" {
		return nil
	}
	l, err := rpc.NewNetwork(rpc.Options{Exposed: c.Insecure}).Listen(c.Debug)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: DebugHandler(ready), ReadHeaderTimeout: 5 * time.Second}
	h.Go("debug port", time.Second, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer stop()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

// DebugHandler serves /healthz, /readyz and /debug/pprof.
func DebugHandler(ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "stopping, or without a broker", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
