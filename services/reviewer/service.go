package reviewer

import (
	"context"
	"io/fs"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer/forms"
)

// Reasons of the faults of this service.
const (
	ReasonInvalid    = "FIELD_INVALID"
	ReasonForm       = "FORM_UNKNOWN"
	ReasonUnreadable = "PDF_UNREADABLE"
	ReasonEncrypted  = "PDF_ENCRYPTED"
	ReasonEmpty      = "PAPER_EMPTY"
	ReasonTooLarge   = "PAYLOAD_TOO_LARGE"
)

// Limits of a paper, in bytes.
const (
	MaxPDF  = 24 << 20
	MaxText = 4 << 20
)

// Version names this server in the reviews that it makes.
const Version = "nullius-reviewer/1"

// Config configures the service.
type Config struct {
	Listen     string `yaml:"listen"`
	PaperBytes int    `yaml:"paper_bytes"` // of the text shown to a model; more is cut and said
	MaxTokens  int    `yaml:"max_tokens"`  // of an answer
	Forms      string `yaml:"forms"`       // folder with further forms, one *.yaml each; empty: none
}

// DefaultConfig is what the service runs with if nothing is said.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:7005", PaperBytes: 400_000, MaxTokens: 6000}
}

// Validate checks a configuration.
func (c Config) Validate() error {
	switch {
	case c.Listen == "":
		return fault.New(fault.Invalid, ReasonInvalid, "listen: an address is needed").WithField("listen", "empty")
	case c.PaperBytes < 10_000:
		return fault.New(fault.Invalid, ReasonInvalid, "paper_bytes: %d is too few to hold a paper", c.PaperBytes).WithField("paper_bytes", "at least 10000")
	case c.MaxTokens < 500:
		return fault.New(fault.Invalid, ReasonInvalid, "max_tokens: %d is too few for a review", c.MaxTokens).WithField("max_tokens", "at least 500")
	}
	return nil
}

// Chatter is what the service needs of the door to models.
type Chatter interface {
	Chat(ctx context.Context, r llm.Request) (llm.Reply, error)
}

// Deps is what the service works with.
type Deps struct {
	Log     *slog.Logger
	Tracer  trace.TracerProvider
	Models  Chatter
	Blobs   store.Blobs    // nil: no snapshots
	Sandbox sandbox.Runner // nil: no PDFs
	Forms   fs.FS          // further forms; nil: those that are shipped
}

// Service reviews papers. It is safe for concurrent use.
type Service struct {
	cfg   Config
	d     Deps
	forms *forms.Set
}

// New makes a service; it starts nothing.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	set, err := forms.Load(d.Forms)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, ReasonInvalid, "the forms cannot be used: %v", err).WithField("forms", "see services/reviewer/forms for examples")
	}
	return &Service{cfg: cfg, d: d, forms: set}, nil
}

// Progress is told what the service is doing; it must not block.
type Progress func(*recordv1.Progress)

// Review reviews one paper. A bad paper and unusable models are reviews; errors are
// for input that is no paper and for broken parts.
func (s *Service) Review(ctx context.Context, in *reviewerv1.ReviewPaperRequest, told Progress) (*reviewerv1.Review, error) {
	f, ok := s.forms.Get(in.GetForm())
	if !ok {
		return nil, fault.New(fault.Invalid, ReasonForm, "there is no form %q", in.GetForm()).WithField("form", "see ListForms")
	}
	if err := validate(in); err != nil {
		return nil, err
	}
	told(&recordv1.Progress{Phase: "reading the paper"})
	p, err := s.read(ctx, in)
	if err != nil {
		return nil, err
	}
	w, err := s.begin(in, f, p, told)
	if err != nil {
		return nil, err
	}
	return w.run(ctx)
}

func validate(in *reviewerv1.ReviewPaperRequest) error {
	invalid := func(field, why string) error {
		return fault.New(fault.Invalid, ReasonInvalid, "%s: %s", field, why).WithField(field, why)
	}
	switch {
	case in.GetPaper() == nil:
		return invalid("paper", "one of pdf, text and snapshot is needed")
	case len(in.GetModels()) == 0 || in.GetModels()[0] == "":
		return invalid("models", "at least one model is needed")
	case in.GetReviews() < 0 || in.GetReviews() > 25:
		return invalid("reviews", "0 (five) to 25")
	case in.GetReflections() < 0 || in.GetReflections() > 10:
		return invalid("reflections", "0 (five) to 10")
	}
	if in.GetStep() != "" {
		if _, err := llm.OriginOf(in.GetStep(), "x"); err != nil {
			return err
		}
	}
	return nil
}
