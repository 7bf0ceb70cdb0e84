package coder

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	"nullius.dev/services/coder/prompts"
)

// Limits bound one instruction.
type Limits struct {
	Calls         int `yaml:"calls"`          // in all
	FormatRetries int `yaml:"format_retries"` // edits that could not be applied
	SyntaxRetries int `yaml:"syntax_retries"` // results that do not parse
	EmptyRetries  int `yaml:"empty_retries"`  // replies without effect
	ReplyTokens   int `yaml:"reply_tokens"`   // of one reply with edits
}

// Chatter is the method of the model door that is needed. One that also has the door's Model may be asked to go on with a reply that was cut off.
type Chatter interface {
	Chat(ctx context.Context, r llm.Request) (llm.Reply, error)
}

// Deps are what a Service needs from its process.
type Deps struct {
	Log     *slog.Logger
	Tracer  trace.TracerProvider // nil: no spans
	Meter   metric.MeterProvider // nil: no metrics
	Models  Chatter
	Blobs   store.Blobs
	Sandbox sandbox.Runner
}

// Service makes edits. It keeps nothing between calls.
type Service struct {
	cfg     Config
	log     *slog.Logger
	tracer  trace.Tracer
	metrics *metrics
	models  Chatter
	blobs   store.Blobs
	prompts *prompts.Set
	gate    *gate
}

// New validates and does no I/O.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if d.Models == nil || d.Blobs == nil || d.Sandbox == nil {
		return nil, fault.New(fault.Internal, "DEPENDENCY_MISSING", "the coder needs models, blobs and a sandbox")
	}
	set, err := prompts.Load()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(d.Meter)
	if err != nil {
		return nil, err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider()
	}
	work := cfg.WorkDir
	if work == "" {
		work = os.TempDir()
	}
	return &Service{
		cfg: cfg, log: d.Log, tracer: d.Tracer.Tracer(scope), metrics: m,
		models: d.Models, blobs: d.Blobs, prompts: set,
		gate: &gate{runner: d.Sandbox, dir: work, slots: make(chan struct{}, cfg.Checks), configured: cfg.Python},
	}, nil
}

// invalid is the fault of a request that breaks the contract.
func invalid(field, format string, a ...any) error {
	text := fmt.Sprintf(format, a...)
	return fault.New(fault.Invalid, "FIELD_INVALID", "%s: %s", field, text).WithField(field, text)
}

// Validate checks what all requests carry.
func (f Frame) Validate() error {
	if _, err := llm.OriginOf(f.Step, "edit"); err != nil {
		return invalid("frame.step", "%q is not <study>/<idea>/<step>", f.Step)
	}
	if !f.Snapshot.Valid() {
		return invalid("frame.snapshot", "%q is no digest", string(f.Snapshot))
	}
	if f.Model == "" {
		return invalid("frame.model", "a model must be named")
	}
	return nil
}

// planModel is the model that plans.
func (f Frame) planModel() string {
	if f.PlanModel != "" {
		return f.PlanModel
	}
	return f.Model
}
