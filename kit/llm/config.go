package llm

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/store"
)

// Config is what an operator can set; its zero value is sound.
type Config struct {
	Component       string   `yaml:"-"`                 // who calls, for sentences: "coder"
	ModelsFile      string   `yaml:"models_file"`       // adds to and overrides the shipped models.yaml; empty: NULLIUS_MODELS_FILE
	CompatibleHosts []string `yaml:"compatible_hosts"`  // hosts that may get OPENAI_COMPATIBLE_API_KEY; empty: NULLIUS_COMPATIBLE_HOSTS, by commas
	OnlyListedHosts bool     `yaml:"only_listed_hosts"` // refuse openai-compatible endpoints of other hosts
	MaxParallel     int      `yaml:"max_parallel"`      // calls at a time per provider and key; 0: 32
	SoleOwner       bool     `yaml:"-"`                 // this process holds the data folder's lock
	Process         string   `yaml:"-"`                 // stands in the ledger before a random name; the same for all doors of a process
	Times           Times    `yaml:"times"`
}

// Times are the door's limits; zero fields take the defaults.
type Times struct {
	Connect   time.Duration `yaml:"connect"`    // 10 s; the same again for TLS
	FirstByte time.Duration `yaml:"first_byte"` // 120 s; models.yaml has longer ones for reasoning models
	Gap       time.Duration `yaml:"gap"`        // without a byte: 60 s
	KeepAlive time.Duration `yaml:"keep_alive"` // with keep-alives only: 300 s
	Try       time.Duration `yaml:"try"`        // 600 s
	Call      time.Duration `yaml:"call"`       // all tries: 15 min
	Waits     time.Duration `yaml:"waits"`      // waits in sum: 180 s
	LongWait  time.Duration `yaml:"long_wait"`  // a provider that asks for more gets its error returned: 120 s
	Backoff   time.Duration `yaml:"backoff"`    // of the first wait, doubled each time up to 30 times it: 1 s
	Circuit   time.Duration `yaml:"circuit"`    // until an open circuit is tested, doubled up to 4 times it: 15 s
	Quiet     time.Duration `yaml:"quiet"`      // without success before a circuit opens: 30 s
	Tries     int           `yaml:"tries"`      // 5
}

func (t Times) withDefaults() Times {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Connect, 10*time.Second)
	def(&t.FirstByte, 120*time.Second)
	def(&t.Gap, 60*time.Second)
	def(&t.KeepAlive, 300*time.Second)
	def(&t.Try, 600*time.Second)
	def(&t.Call, 15*time.Minute)
	def(&t.Waits, 180*time.Second)
	def(&t.LongWait, 120*time.Second)
	def(&t.Backoff, time.Second)
	def(&t.Circuit, 15*time.Second)
	def(&t.Quiet, 30*time.Second)
	if t.Tries <= 0 {
		t.Tries = 5
	}
	return t
}

// Deps is what a door stands on. All may be nil.
type Deps struct {
	Log       *slog.Logger
	Tracer    trace.TracerProvider
	Meter     metric.MeterProvider
	Ledger    jetstream.KeyValue // bucket LEDGER; nil: in memory
	Budgets   jetstream.KeyValue // bucket BUDGETS; nil: in memory
	Blobs     store.Blobs        // requests, replies, recordings; nil: in memory
	Env       func(string) string
	Transport http.RoundTripper // nil: one of the door's own
	Pauses    Pauses            // tells other processes of a provider's limits; nil: only this one pauses
}

// Pauses carries a provider's wish to wait between processes that use the same key.
type Pauses interface {
	Announce(account string, d time.Duration)
	Listen(func(account string, d time.Duration)) (stop func(), err error)
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Env == nil {
		d.Env = os.Getenv
	}
	return d
}

func loadTable(file string) (table, error) {
	t, err := readTable(shipped, "models.yaml")
	if err != nil {
		return table{}, fmt.Errorf("the shipped table: %w", err)
	}
	prices, err := readTable(shippedPrices, "prices.yaml")
	if err != nil {
		return table{}, fmt.Errorf("the shipped prices: %w", err)
	}
	t = t.merge(prices)
	if file == "" {
		t.known = &sync.Map{}
		return t, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return table{}, tableFault(file, "cannot be read: %s", reasonOf(err))
	}
	own, err := readTable(data, file)
	if err != nil {
		return table{}, err
	}
	t = t.merge(own)
	if err := t.checkOwn(own, file); err != nil {
		return table{}, err
	}
	t.known = &sync.Map{}
	return t, nil
}
