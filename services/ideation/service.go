package ideation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"

	"nullius.dev/services/ideation/internal/arxiv"
	"nullius.dev/services/ideation/internal/idea"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/openalex"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/semanticscholar"
)

// Config is what an operator sets.
type Config struct {
	Listen          string         `yaml:"listen"`
	DataDir         string         `yaml:"-"`       // the literature cache and the user's list lie in it; empty: in memory, none
	Engine          string         `yaml:"engine"`  // of requests that name none
	Offline         bool           `yaml:"offline"` // never dial an engine
	Index           string         `yaml:"index"`   // a list of papers beside the bundled one (SQLite); empty: ideation/papers.sqlite in the data folder
	Contact         string         `yaml:"contact"` // mail address told to engines; empty: none
	SemanticScholar EngineConfig   `yaml:"semanticscholar"`
	OpenAlex        OpenAlexConfig `yaml:"openalex"`
	ArXiv           EngineConfig   `yaml:"arxiv"`
}

// EngineConfig is how an engine is reached. Keys come from S2_API_KEY and OPENALEX_API_KEY, or the files that their twins
// with _FILE name.
type EngineConfig struct {
	BaseURL  string        `yaml:"base_url"`
	Interval time.Duration `yaml:"interval"`  // between requests, over all processes; 0: the engine's own
	TryLimit time.Duration `yaml:"try_limit"` // of one try; 0: 30 s
}

// OpenAlexConfig adds what to do when the free allowance of a day is spent.
type OpenAlexConfig struct {
	EngineConfig `yaml:",inline"`
	SpendPrepaid bool `yaml:"spend_prepaid"` // go on with prepaid money
}

// DefaultConfig is a service on this machine that asks Semantic Scholar if there is a key, OpenAlex, arXiv, then local lists.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:7001", Engine: literature.Auto, SemanticScholar: EngineConfig{BaseURL: semanticscholar.DefaultBase},
		OpenAlex: OpenAlexConfig{EngineConfig: EngineConfig{BaseURL: openalex.DefaultBase}}, ArXiv: EngineConfig{BaseURL: arxiv.DefaultBase},
	}
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	names := []string{literature.Auto, paper.SemanticScholar, paper.OpenAlex, paper.ArXiv, paper.Local}
	if c.Engine != "" && !slices.Contains(names, c.Engine) {
		all := strings.Join(names, ", ")
		return fault.New(fault.Invalid, "FIELD_INVALID", "engine %q is not one of %s", c.Engine, all).WithField("engine", "wants one of "+all).WithNext("nullius config view --show-origin")
	}
	for name, e := range map[string]EngineConfig{"semanticscholar": c.SemanticScholar, "openalex": c.OpenAlex.EngineConfig, "arxiv": c.ArXiv} {
		u, err := url.Parse(e.BaseURL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fault.New(fault.Invalid, "FIELD_INVALID", "%s.base_url %q is no http address", name, e.BaseURL).WithField(name+".base_url", "wants http(s)://host")
		}
		if e.Interval < 0 || e.TryLimit < 0 || e.Interval > time.Hour || e.TryLimit > 10*time.Minute {
			return fault.New(fault.Invalid, "FIELD_INVALID", "%s.interval or try_limit is out of bounds", name).
				WithField(name, "wants an interval up to 1h and a try_limit up to 10m")
		}
	}
	if strings.ContainsAny(c.Contact, "\r\n()") || len(c.Contact) > 200 {
		return fault.New(fault.Invalid, "FIELD_INVALID", "contact is no mail address").WithField("contact", "wants a mail address")
	}
	return nil
}

// Chatter asks models.
type Chatter interface {
	Chat(ctx context.Context, r llm.Request) (llm.Reply, error)
}

// Searcher finds papers; *literature.Broker is one.
type Searcher interface {
	Search(ctx context.Context, q literature.Query, pin literature.Pin, tell literature.Tell) (literature.SearchResult, error)
	Resolve(ctx context.Context, r literature.Resolve, pin literature.Pin, tell literature.Tell) (literature.ResolveResult, error)
	CheckEngine(name string) error
}

// Deps is what the service stands on.
type Deps struct {
	Log        *slog.Logger
	Tracer     trace.TracerProvider
	Models     Chatter
	Blobs      store.Blobs
	Literature Searcher
}

// Service makes and judges ideas.
type Service struct {
	cfg    Config
	d      Deps
	tracer trace.Tracer
}

// New makes a service; it starts nothing.
func New(cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if d.Models == nil || d.Blobs == nil || d.Literature == nil {
		return nil, errors.New("ideation: models, blobs and literature are needed")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider()
	}
	return &Service{cfg: cfg, d: d, tracer: d.Tracer.Tracer("nullius.dev/services/ideation")}, nil
}

// Outcomes of a draft.
const (
	OutcomeIdea      = "IDEA"
	OutcomeDuplicate = "DUPLICATE"
	OutputInvalid    = "LLM_OUTPUT_INVALID"
	OutputRefused    = "LLM_REFUSED"
	ContextTooLong   = "CONTEXT_TOO_LONG"
)

// Usage sums what was paid for.
type Usage struct {
	llm.Usage
	Calls     int
	Cost      int64 // pico-dollars
	WouldCost int64
	Unpriced  bool
}

func (u *Usage) add(r llm.Reply) {
	u.Usage = u.Usage.Add(r.Usage)
	u.Calls++
	u.Cost += r.Cost
	u.WouldCost += r.WouldCost
	u.Unpriced = u.Unpriced || r.Unpriced
}

// Warning is something that a person should know.
type Warning struct{ Code, Text string }

// Limits is what an experiment may use.
type Limits struct {
	Runs     int
	Time     string
	Hardware string
	Modules  []string
}

// Generate asks for an idea.
type Generate struct {
	Step        string
	Snapshot    store.Digest
	Model       string
	Reflections int
	Archive     []idea.Idea
	OpenEnded   bool
	System      string
	Task        string
	Limits      Limits
}

// Generated is what came of it.
type Generated struct {
	Outcome  string
	Idea     *idea.Idea
	Reason   string
	Reply    string
	Rounds   int
	Usage    Usage
	Warnings []Warning
}

// Told receives progress and drafts; it must not block.
type Told struct {
	Progress literature.Tell
	Draft    func(idea.Idea)
}

const maxCode = 120 << 10

// code is the experiment that ideas are made for.
func (s *Service) code(ctx context.Context, snapshot store.Digest) (string, error) {
	b, err := store.ReadFile(ctx, s.d.Blobs, snapshot, "experiment.py", maxCode)
	if errors.Is(err, fault.NotFound) && fault.ReasonOf(err) == "FILE_UNKNOWN" {
		return "", fault.Wrap(err, fault.Invalid, "TEMPLATE_INVALID", "the template has no experiment.py").WithNext("nullius templates check")
	}
	if err != nil {
		return "", err
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}

// door asks a model within one step, and sums what it costs.
type door struct {
	s     *Service
	step  string
	model string
	usage Usage
	tell  literature.Tell
}

// unusable is a reply that no object can be read from.
type unusable struct{ reason, sentence, text string }

func (u *unusable) Error() string { return u.sentence }

// ask sends messages under a call's name; what read cannot use is asked for once more under name/retry-1.
func (d *door) ask(ctx context.Context, call string, system []llm.Part, messages []llm.Message, again func(string) (string, error), read func(answer) error) error {
	problem := ""
	for try := 0; try < 2; try++ {
		name := call
		if try > 0 {
			name += "/retry-1"
		}
		o, err := llm.OriginOf(d.step, name)
		if err != nil {
			return err
		}
		d.tell(literature.Progress{Phase: "calling the model", Detail: name})
		rep, err := d.s.d.Models.Chat(ctx, llm.Request{
			Model: d.model, Origin: o, System: system, Messages: messages, MaxTokens: 4096, Temperature: llm.Ptr(0.75), Prompt: promptVersion,
			Progress: func(p llm.Progress) {
				if p.Kind == llm.Waiting {
					d.tell(literature.Progress{Phase: "waiting for the model", Detail: p.Why, Until: p.Until})
				}
			},
		})
		if err != nil {
			return err
		}
		d.usage.add(rep)
		if rep.Finish == llm.Refused || rep.Finish == llm.Filtered || rep.Finish == llm.TooLong {
			reason, sentence, _ := rep.Outcome(o)
			return &unusable{reason, sentence, rep.Text}
		}
		bad := read(d.open(ctx, rep))
		if bad == nil {
			return nil
		}
		problem = bad.Error()
		if refuses(rep.Text) {
			problem = "it is a refusal, but the task is to plan and judge harmless experiments"
		}
		switch {
		case try == 1 && refuses(rep.Text): // a refusal in prose is one too
			rep.Finish = llm.Refused
			reason, sentence, _ := rep.Outcome(o)
			return &unusable{reason, sentence, rep.Text}
		case try == 1:
			return &unusable{OutputInvalid, fmt.Sprintf("%s of %s cannot be used: %s.", call, o.Step, problem), rep.Text}
		}
		prompt, err := again(problem)
		if err != nil {
			return err
		}
		said := rep.Text
		if strings.TrimSpace(said) == "" {
			said = "(empty)"
		}
		messages = append(messages[:len(messages):len(messages)], llm.Say(llm.Assistant, strings.ToValidUTF8(said, "")), llm.Say(llm.User, prompt))
	}
	return nil
}

var refusal = regexp.MustCompile(`(?i)^\s*(i'?m (very |so )?sorry|i am (very |so )?sorry|sorry,|i cannot|i can ?not|i can't|i won't|i'?m unable|i am unable|i'?m not able|i am not able|as an ai|unfortunately,? i)`)

// refuses reports whether a reply without an object says no.
func refuses(reply string) bool {
	return len(reply) < 1500 && refusal.MatchString(strings.ReplaceAll(reply, "’", "'"))
}

// answer is a reply with the object in it, or with why there is none.
type answer struct {
	text    string
	object  json.RawMessage
	problem error
}

// canned gives a reply that has come, so that the door's reading of objects can be used on it.
type canned struct{ llm.Reply }

func (c canned) Chat(context.Context, llm.Request) (llm.Reply, error) { return c.Reply, nil }

func (d *door) open(ctx context.Context, rep llm.Reply) answer {
	out := answer{text: rep.Text}
	raw, _, err := llm.Object(ctx, canned{rep}, llm.Request{}, 0)
	var bad *llm.Unusable
	switch {
	case errors.As(err, &bad):
		out.problem = errors.New("it broke " + bad.Rule)
	case err != nil:
		out.problem = err
	}
	out.object = raw
	return out
}
