package gateway

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
)

// Config of the gateway.
type Config struct {
	process.Common `yaml:",inline"`
	Listen         string `yaml:"listen"`        // the one port: gRPC, REST, pages; default 127.0.0.1:7700
	Peers          Peers  `yaml:"peers"`         // addresses of the services
	MaxIdeas       int    `yaml:"max_ideas"`     // machines that this replica drives at once; default 1000
	SoleOwner      bool   `yaml:"sole_owner"`    // this process holds the data folder's lock: it takes over at once what a dead one held
	JournalBytes   int64  `yaml:"journal_bytes"` // quota of the journal stream; default 1 GiB
	EventBytes     int64  `yaml:"event_bytes"`   // quota of the event stream, oldest go first; default 512 MiB
}

// Peers are the addresses of the services.
type Peers struct {
	Ideation string `yaml:"ideation"`
	Coder    string `yaml:"coder"`
	Executor string `yaml:"executor"`
	Writer   string `yaml:"writer"`
	Reviewer string `yaml:"reviewer"`
}

type peer struct{ name, address string }

func (p Peers) list() []peer {
	return []peer{{"ideation", p.Ideation}, {"coder", p.Coder}, {"executor", p.Executor}, {"writer", p.Writer}, {"reviewer", p.Reviewer}}
}

// DefaultConfig has the services on this machine at ports 7001 to 7005.
func DefaultConfig() Config {
	return Config{
		Common: process.DefaultCommon(), Listen: "127.0.0.1:7700", MaxIdeas: 1000, JournalBytes: 1 << 30, EventBytes: 512 << 20,
		Peers: Peers{
			Ideation: "dns:///127.0.0.1:7001", Coder: "dns:///127.0.0.1:7002", Executor: "dns:///127.0.0.1:7003",
			Writer: "dns:///127.0.0.1:7004", Reviewer: "dns:///127.0.0.1:7005",
		},
	}
}

// Validate checks a configuration.
func (c Config) Validate() error {
	for _, p := range c.Peers.list() {
		if p.address == "" {
			return fault.New(fault.Invalid, "FIELD_INVALID", "peers.%s has no address", p.name)
		}
	}
	if c.MaxIdeas < 1 {
		return fault.New(fault.Invalid, "FIELD_INVALID", "max_ideas is %d; at least 1 is needed", c.MaxIdeas)
	}
	return nil
}

// Budgets are the accounts that bound what studies and ideas spend.
type Budgets interface {
	SetLimit(ctx context.Context, account string, limit budget.Amount) error
	SetAllowUnpriced(ctx context.Context, account string, allow bool) error
	Read(ctx context.Context, account string) (budget.Account, error)
}

// Deps of the gateway.
type Deps struct {
	Log     *slog.Logger
	Tracer  trace.TracerProvider
	Bus     *bus.Conn
	Blobs   store.Blobs
	Net     *rpc.Network
	Budgets Budgets
	Ledger  Ledger
	// CheckModel says before a study starts whether a model's name resolves, has a key where one is needed, and a price. Nil: the services
	// that call models are in other processes and say it with the first step.
	CheckModel func(ctx context.Context, name string, priced bool) error
	// CheckPython says where Python sources, by name, break their grammar, without running them. Nil: not checked.
	CheckPython func(sources map[string][]byte) map[string]template.Syntax
	// MissingModules says which Python modules no interpreter of this machine imports. Nil: experiments run on other machines, and their baseline tells.
	MissingModules func(modules []string) ([]string, error)
	// PythonVersion tells the version of the interpreter that imports them. Nil: not checked.
	PythonVersion func(modules []string) string
	// CanCompile says whether papers become PDFs here. Nil: the writer is on another machine.
	CanCompile func() bool
	// Sandbox makes images of a paper's pages. Nil: pages show a link to the PDF only.
	Sandbox sandbox.Runner
}
