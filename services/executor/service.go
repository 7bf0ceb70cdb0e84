package executor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	"nullius.dev/services/executor/internal/gpu"
	"nullius.dev/services/executor/internal/pyenv"
)

// Reasons of the service's faults.
const (
	ReasonField     = "FIELD_INVALID"
	ReasonPath      = "PATH_INVALID"
	ReasonDiffers   = "JOB_SPEC_DIFFERS"
	ReasonUnknown   = "JOB_UNKNOWN"
	ReasonQueueFull = "QUOTA_EXCEEDED"
)

// Config of the executor.
type Config struct {
	Listen string   `yaml:"listen"`
	Node   string   `yaml:"node"`  // name shown to people; empty: the host's
	State  string   `yaml:"state"` // folder for running attempts; one process at a time
	Pools  []string `yaml:"pools"` // queues of CPU slots; the pool "gpu" is added when there are GPUs
	Slots  int      `yaml:"slots"` // CPU slots; 0: one per core
	// SoleOwner says that no other process runs jobs from this broker, so that
	// undelivered acknowledgements of a former process can be dropped at once.
	SoleOwner bool `yaml:"sole_owner"`
	// Poison is the number of attempts lost while the job's program ran after
	// which the job is dead; 0: 2, or 50 for a sole owner, who is restarted by
	// people more often than killed by a job.
	Poison       int           `yaml:"poison"`
	Python       string        `yaml:"python"` // interpreter to try first
	Heartbeat    time.Duration `yaml:"heartbeat"`
	NodeTTL      time.Duration `yaml:"node_ttl"`
	AckWait      time.Duration `yaml:"ack_wait"`
	BusyDelay    time.Duration `yaml:"busy_delay"` // before looking again at a job that another node runs
	Grace        time.Duration `yaml:"grace"`
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// OnBusLost is what becomes of running jobs when the broker has been away
	// for node_ttl: "run", they go on and wait for it, or "kill", they end as
	// INFRA. Empty: run.
	OnBusLost    string  `yaml:"on_bus_lost"`
	MinFreeBytes uint64  `yaml:"min_free_bytes"` // of disk, below which no job starts
	Limits       Ceiling `yaml:"limits"`
	GPU          GPU     `yaml:"gpu"`
	// Environments says how a template's Python packages come to this node.
	Environments pyenv.Config `yaml:"environments"`
	// KeepRecords is how long the record of an ended job is kept; its files and
	// measurements are elsewhere.
	KeepRecords time.Duration `yaml:"keep_records"`
	// MaxDeliver is how often a message is delivered before its job is dead. It
	// is a safety net: attempts are counted in the job's record.
	MaxDeliver int `yaml:"max_deliver"`
}

// Ceiling bounds what a job may ask for; it is also the default.
type Ceiling struct {
	Wall        time.Duration `yaml:"wall"`
	MemoryBytes uint64        `yaml:"memory_bytes"` // 0: the slot's share of the host
	DiskBytes   uint64        `yaml:"disk_bytes"`
	FileBytes   uint64        `yaml:"file_bytes"`
	Processes   int           `yaml:"processes"`
	OpenFiles   int           `yaml:"open_files"`
	Inodes      uint64        `yaml:"inodes"`
}

// DefaultConfig returns the defaults of executor.md.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:7003", Pools: []string{"cpu"},
		Heartbeat: 15 * time.Second, NodeTTL: 45 * time.Second, AckWait: 60 * time.Second, BusyDelay: 30 * time.Second,
		Grace: 30 * time.Second, DrainTimeout: 10 * time.Minute, MinFreeBytes: 512 << 20,
		GPU: defaultGPU(), Environments: pyenv.DefaultConfig(), KeepRecords: 30 * 24 * time.Hour, MaxDeliver: maxDeliver,
		Limits: Ceiling{Wall: 2 * time.Hour, DiskBytes: 10 << 30, FileBytes: 4 << 30, Processes: 512, OpenFiles: 1024, Inodes: 200_000},
	}
}

// Values of Config.OnBusLost.
const (
	busLostRun  = "run"
	busLostKill = "kill"
)

var poolName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// Validate checks the configuration.
func (c Config) Validate() error {
	bad := func(field, format string, a ...any) error {
		msg := fmt.Sprintf(format, a...)
		return fault.New(fault.Invalid, ReasonField, "executor: %s: %s", field, msg).WithField(field, msg)
	}
	for _, p := range c.Pools {
		if !poolName.MatchString(p) {
			return bad("pools", "%q is not a pool name", p)
		}
	}
	switch {
	case c.Slots < 0 || c.Slots > 4096:
		return bad("slots", "%d is not between 0 and 4096", c.Slots)
	case c.Heartbeat <= 0 || c.NodeTTL < 2*c.Heartbeat:
		return bad("node_ttl", "must be at least twice the heartbeat")
	case c.AckWait < 2*c.Heartbeat:
		return bad("ack_wait", "must be at least twice the heartbeat")
	case c.KeepRecords < time.Hour:
		return bad("keep_records", "%s is under an hour", c.KeepRecords)
	case c.OnBusLost != "" && c.OnBusLost != busLostRun && c.OnBusLost != busLostKill:
		return bad("on_bus_lost", "%q is neither run nor kill", c.OnBusLost)
	case c.MaxDeliver < 1:
		return bad("max_deliver", "must be positive")
	case c.Limits.Wall <= 0 || c.Limits.Processes <= 0 || c.Limits.OpenFiles <= 0:
		return bad("limits", "wall, processes and open_files must be positive")
	}
	if err := c.Environments.Validate(); err != nil {
		return bad("environments", "%v", err)
	}
	return c.GPU.validate(bad)
}

// Box is what the executor needs of a sandbox.
type Box interface {
	sandbox.Runner
	FindPython(ctx context.Context, configured string, modules []string) (*sandbox.Python, error)
	Probe() sandbox.Probe
}

// Deps of the service.
type Deps struct {
	Log     *slog.Logger
	Tracer  trace.TracerProvider // nil: no spans
	Meter   metric.MeterProvider // nil: no metrics
	Bus     *bus.Conn
	Blobs   store.Blobs
	Sandbox Box   // nil: this node runs nothing, and Refusal says why
	Refusal error // why there is no sandbox
	// Hurry, when closed, ends a drain: what still runs is interrupted.
	Hurry <-chan struct{}
	GPUs  gpu.Backend // nil: NVML where it is built in, or the configured scenario
}

// Service answers for every job of its broker. Its node runs them.
type Service struct {
	cfg     Config
	d       Deps
	log     *slog.Logger
	jobs    *jobs
	name    string
	metrics *metrics
}

// New makes a service. Open prepares what it needs in the broker.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	name := cfg.Node
	if name == "" {
		h, err := os.Hostname()
		if err != nil || h == "" {
			h = "node"
		}
		name = h
	}
	if cfg.Poison <= 0 {
		cfg.Poison = 2
		if cfg.SoleOwner {
			cfg.Poison = cfg.maxLosses()
		}
	}
	if d.GPUs == nil {
		d.GPUs = gpu.System()
		if cfg.GPU.Scenario != "" {
			s, err := gpu.OpenScenario(cfg.GPU.Scenario)
			if err != nil {
				return nil, fault.Wrap(err, fault.Invalid, ReasonField, "executor: gpu.scenario: %v", err).WithField("gpu.scenario", err.Error())
			}
			d.GPUs = s
		}
	}
	m, err := newMetrics(d.Meter)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "INTERNAL", "the executor's metrics cannot be made")
	}
	return &Service{cfg: cfg, d: d, log: d.Log, name: strings.ToValidUTF8(name, "_"), metrics: m}, nil
}

// Open creates or binds the executor's streams and buckets.
func (s *Service) Open(ctx context.Context) error {
	j, err := openJobs(ctx, s.d.Bus, s.cfg)
	if err != nil {
		return err
	}
	s.jobs = j
	return nil
}
