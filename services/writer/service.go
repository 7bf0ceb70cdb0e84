package writer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"runtime"
	"time"

	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/compile"
	"nullius.dev/services/writer/prompts"
)

// Reasons of the writer's faults.
const (
	ReasonFieldInvalid    = "FIELD_INVALID"
	ReasonTemplateInvalid = "TEMPLATE_INVALID"
)

// Config of the writer.
type Config struct {
	Listen       string        `yaml:"listen"`
	Peers        Peers         `yaml:"peers"`
	WriteLimit   time.Duration `yaml:"write_limit"`
	ReviseLimit  time.Duration `yaml:"revise_limit"`
	CompileLimit time.Duration `yaml:"compile_limit"`
	TeXTime      time.Duration `yaml:"tex_time"`  // of one compilation, all passes
	TeXJobs      int           `yaml:"tex_jobs"`  // programs of TeX at a time, of all papers; 0: one for each core
	Parallel     int           `yaml:"parallel"`  // model calls of one paper at a time
	MaxReply     int           `yaml:"max_reply"` // tokens of one reply
}

// Peers are addresses of other services.
type Peers struct {
	Literature string `yaml:"literature"` // empty: no searches, only papers at hand are cited
}

// DefaultConfig is the configuration of one machine.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:7004", Peers: Peers{Literature: "dns:///127.0.0.1:7001"}, WriteLimit: 45 * time.Minute,
		ReviseLimit: 30 * time.Minute, CompileLimit: 2 * time.Minute, TeXTime: 60 * time.Second, Parallel: 8, MaxReply: 8000}
}

// Validate checks a configuration.
func (c Config) Validate() error {
	switch {
	case c.Listen == "":
		return errors.New("listen: an address is needed, such as 127.0.0.1:7004")
	case c.WriteLimit <= 0 || c.ReviseLimit <= 0 || c.CompileLimit <= 0 || c.TeXTime <= 0:
		return errors.New("write_limit, revise_limit, compile_limit, tex_time: durations above zero are needed")
	case c.TeXJobs < 0 || c.TeXJobs > 1024:
		return errors.New("tex_jobs: from 0 to 1024")
	case c.Parallel < 1 || c.Parallel > 64:
		return errors.New("parallel: from 1 to 64")
	case c.MaxReply < 500:
		return errors.New("max_reply: at least 500 tokens")
	}
	return nil
}

// Chatter is the one method of the model door that is used.
type Chatter interface {
	Chat(ctx context.Context, r llm.Request) (llm.Reply, error)
}

// Deps is what the writer works with. Literature and Sandbox may be nil: then nothing is searched, or nothing compiled.
type Deps struct {
	Log        *slog.Logger
	Tracer     trace.TracerProvider
	Models     Chatter
	Blobs      store.Blobs
	Sandbox    sandbox.Runner
	Literature Literature
	Temp       string // for staging; empty: the system's
}

// Service writes papers.
type Service struct {
	cfg      Config
	d        Deps
	prompts  prompts.Set
	compiler compile.Compiler
}

// New makes a service. It starts nothing.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if d.Models == nil || d.Blobs == nil || d.Log == nil {
		return nil, errors.New("writer: Models, Blobs and Log are needed")
	}
	c := compile.Compiler{Sandbox: d.Sandbox, Temp: d.Temp, Wall: cfg.TeXTime, Slots: make(chan struct{}, cmp.Or(cfg.TeXJobs, runtime.NumCPU()))}
	return &Service{cfg: cfg, d: d, prompts: prompts.New(), compiler: c}, nil
}

var ideaName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

func (r *Request) check(modelNeeded bool) error {
	if _, err := llm.OriginOf(r.Step, "x"); err != nil {
		return fault.New(fault.Invalid, ReasonFieldInvalid, "step must have the form study/idea/step").WithField("step", "as in study-1/idea-1/writing/draft")
	}
	if !r.Snapshot.Valid() {
		return fault.New(fault.Invalid, ReasonFieldInvalid, "snapshot is no digest").WithField("snapshot", "as in sha256:<64 hex>")
	}
	if modelNeeded && r.Settings.Model == "" {
		return fault.New(fault.Invalid, ReasonFieldInvalid, "no model is named").WithField("settings.model", "must not be empty")
	}
	if !ideaName.MatchString(r.Record.Idea.Name) {
		if modelNeeded {
			return fault.New(fault.Invalid, ReasonFieldInvalid, "the idea's name cannot name a file").WithField("record.idea.name", "letters, digits, _ . -")
		}
		r.Record.Idea.Name = "paper"
	}
	s := &r.Settings
	if s.CiteRounds <= 0 {
		s.CiteRounds = 20
	}
	s.CiteRounds = min(s.CiteRounds, 50)
	if s.MendRounds <= 0 {
		s.MendRounds = 5
	}
	s.MendRounds = min(s.MendRounds, 10)
	if s.PageLimit <= 0 {
		s.PageLimit = 8
	}
	if s.Critic == "" {
		s.Critic = s.Model
	}
	return nil
}

// WritePaper writes and compiles the first version.
func (s *Service) WritePaper(ctx context.Context, in Request, p Progress) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteLimit)
	defer cancel()
	w, err := s.begin(ctx, in, p, false)
	if err != nil {
		return Result{}, err
	}
	if !w.measured() {
		return w.nothing(NoSuccessfulRun, "only the baseline was measured, so there is nothing to write about"), nil
	}
	return w.write(ctx)
}

// RevisePaper changes the paper after a review.
func (s *Service) RevisePaper(ctx context.Context, in Request, p Progress) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReviseLimit)
	defer cancel()
	w, err := s.begin(ctx, in, p, true)
	if err != nil {
		return Result{}, err
	}
	return w.revise(ctx)
}

// CompilePaper checks and compiles what is there.
func (s *Service) CompilePaper(ctx context.Context, in Request, p Progress) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CompileLimit)
	defer cancel()
	return s.compileOnly(ctx, in, p)
}
