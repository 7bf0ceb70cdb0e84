package llm

import (
	"bytes"
	_ "embed" // the shipped tables
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"path"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/fault"
)

//go:embed models.yaml
var shipped []byte

//go:embed prices.yaml
var shippedPrices []byte

// table is models.yaml.
type table struct {
	Version   int                     `yaml:"version"`
	Aliases   map[string]string       `yaml:"aliases"`
	Providers map[string]providerLine `yaml:"providers"`
	Models    []modelLine             `yaml:"models"`

	known *sync.Map // models by name, as far as they were looked up; nil: none is kept
}

type providerLine struct {
	API         string `yaml:"api"` // the wire: openai, anthropic, bedrock, vertex
	Title       string `yaml:"title"`
	BaseURL     string `yaml:"base_url"`     // $VARIABLE at its beginning and {region} are filled in
	BaseURLEnv  string `yaml:"base_url_env"` // variable that goes before base_url
	Key         string `yaml:"key"`          // environment variable
	Header      string `yaml:"header"`       // that takes the key; empty: Authorization
	Start       string `yaml:"start"`        // command that starts a local server
	MaxParallel int    `yaml:"max_parallel"`
	RPM         int    `yaml:"rpm"`
	TPM         int    `yaml:"tpm"`
}

// The wires of providers.
const (
	apiOpenAI    = "openai"
	apiAnthropic = "anthropic"
	apiBedrock   = "bedrock"
	apiVertex    = "vertex"
)

type modelLine struct {
	Match     string            `yaml:"match"`
	Context   int64             `yaml:"context"`
	MaxOutput int64             `yaml:"max_output"`
	Supports  abilities         `yaml:"supports"`
	CacheMin  int64             `yaml:"cache_min"` // tokens before a mark from which the provider caches
	Extra     map[string]bool   `yaml:"extra"`
	Rename    map[string]string `yaml:"rename"`
	Reasoning *int64            `yaml:"reasoning"`
	FirstByte time.Duration     `yaml:"first_byte"`
	Free      *bool             `yaml:"free"`
	Retired   string            `yaml:"retired"`
	Successor string            `yaml:"successor"`
	Price     []priceLine       `yaml:"price"`

	origin string
}

type priceLine struct {
	AsOf         string         `yaml:"as_of"`
	Source       string         `yaml:"source"`
	Input        string         `yaml:"input"`
	Output       string         `yaml:"output"`
	CacheRead    string         `yaml:"cache_read"`
	CacheWrite   string         `yaml:"cache_write"`
	CacheWrite5m string         `yaml:"cache_write_5m"`
	CacheWrite1h string         `yaml:"cache_write_1h"`
	From         string         `yaml:"from"`
	Until        string         `yaml:"until"`
	Above        *thresholdLine `yaml:"above"`
}

type thresholdLine struct {
	Tokens     int64  `yaml:"tokens"`
	Input      string `yaml:"input"`
	Output     string `yaml:"output"`
	CacheRead  string `yaml:"cache_read"`
	CacheWrite string `yaml:"cache_write"`
}

// abilityNames may stand under "supports".
var abilityNames = map[string]bool{
	"temperature": true, "system": true, "schema": true, "json": true, "images": true, "seed": true, "stop": true,
	"prefill": true, "effort": true, "cache": true,
}

// abilities are switches, but for cache: "marks" where requests mark what is cached; "prefix" caching needs no mark.
type abilities map[string]bool

// UnmarshalYAML reads the words of cache as well as switches.
func (a *abilities) UnmarshalYAML(n *yaml.Node) error {
	var raw map[string]any
	if err := n.Decode(&raw); err != nil {
		return err
	}
	*a = abilities{}
	for k, v := range raw {
		switch on, isBool := v.(bool); {
		case isBool:
			(*a)[k] = on
		case k == "cache" && (v == "marks" || v == "prefix"):
			(*a)[k] = v == "marks"
		default:
			return fmt.Errorf("line %d: supports.%s is %v, want true or false", n.Line, k, v)
		}
	}
	return nil
}

var extraNames = map[string]bool{"stream_options": true, "prompt_cache_key": true, "usage": true}

func readTable(data []byte, origin string) (table, error) {
	var t table
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&t); errors.Is(err, io.EOF) {
		return table{}, tableFault(origin, "it is empty; it begins with version: 1")
	} else if err != nil {
		return table{}, tableFault(origin, "%s", plainYAML(err))
	}
	if t.Version != 1 {
		return table{}, tableFault(origin, "version is %d, this program reads 1", t.Version)
	}
	for name, p := range t.Providers {
		if err := p.check(name); err != nil {
			return table{}, tableFault(origin, "providers.%s: %v", name, err)
		}
	}
	for i := range t.Models {
		m := &t.Models[i]
		m.origin = origin
		if err := m.check(); err != nil {
			return table{}, tableFault(origin, "models[%d] (%s): %v", i, m.Match, err)
		}
	}
	return t, nil
}

var yamlField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plainYAML is what is wrong with a file, without the names of our types.
func plainYAML(err error) string {
	var types *yaml.TypeError
	if !errors.As(err, &types) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	return yamlField.ReplaceAllString(strings.Join(types.Errors, "; "), "$1 is unknown")
}

// checkOwn refuses what an operator's file leaves without an address, now rather than at the first call.
func (t table) checkOwn(own table, origin string) error {
	for name := range own.Providers {
		p := t.Providers[name]
		u, err := url.Parse(p.BaseURL)
		switch {
		case p.BaseURL == "":
			return tableFault(origin, "providers.%s: base_url is missing", name)
		case strings.HasPrefix(p.BaseURL, "$"): // filled in when it is used
		case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
			return tableFault(origin, "providers.%s: base_url is no http or https URL", name)
		case u.User != nil:
			return tableFault(origin, "providers.%s: base_url has a user in it; key names the variable with the key", name)
		}
	}
	for alias, to := range own.Aliases {
		if _, err := t.resolve(to, func(string) string { return "" }); err != nil {
			return tableFault(origin, "aliases.%s: %s", alias, err)
		}
	}
	return nil
}

func tableFault(origin, format string, a ...any) error {
	return fault.New(fault.Invalid, "FIELD_INVALID", "%s: %s", origin, fmt.Sprintf(format, a...)).WithNext("nullius doctor")
}

var providerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

func (p providerLine) check(name string) error {
	if !providerName.MatchString(name) || name == "recording" || name == compatible {
		return fmt.Errorf("not a name for a provider")
	}
	switch p.API {
	case "", apiOpenAI, apiAnthropic, apiBedrock, apiVertex:
	default:
		return fmt.Errorf("api %q is unknown, want openai, anthropic, bedrock or vertex", p.API)
	}
	return nil
}

func (m modelLine) check() error {
	if m.Match == "" {
		return fmt.Errorf("match is missing")
	}
	for k := range m.Supports {
		if !abilityNames[k] {
			return fmt.Errorf("supports.%s is unknown", k)
		}
	}
	for k := range m.Extra {
		if !extraNames[k] {
			return fmt.Errorf("extra.%s is unknown", k)
		}
	}
	for _, p := range m.Price {
		if _, err := p.parse(); err != nil {
			return err
		}
	}
	return nil
}

// merge lays o over t.
func (t table) merge(o table) table {
	out := table{Version: 1, Aliases: map[string]string{}, Providers: map[string]providerLine{}}
	for _, s := range []table{t, o} {
		for k, v := range s.Aliases {
			out.Aliases[k] = v
		}
		for k, v := range s.Providers {
			out.Providers[k] = out.Providers[k].over(v)
		}
		out.Models = append(out.Models, s.Models...)
	}
	for name, p := range out.Providers {
		if p.API == "" {
			p.API = apiOpenAI
			out.Providers[name] = p
		}
	}
	return out
}

func (p providerLine) over(o providerLine) providerLine {
	set := func(dst *string, v string) {
		if v != "" {
			*dst = v
		}
	}
	set(&p.API, o.API)
	set(&p.Title, o.Title)
	if o.BaseURL != "" {
		p.BaseURL, p.BaseURLEnv = o.BaseURL, "" // the file's address is meant
	}
	set(&p.BaseURLEnv, o.BaseURLEnv)
	set(&p.Key, o.Key)
	set(&p.Header, o.Header)
	set(&p.Start, o.Start)
	for _, n := range []struct {
		dst *int
		v   int
	}{{&p.MaxParallel, o.MaxParallel}, {&p.RPM, o.RPM}, {&p.TPM, o.TPM}} {
		if n.v != 0 {
			*n.dst = n.v
		}
	}
	return p
}

// lookup folds the lines that match a resolved name. An unknown model takes temperature, system and stop, nothing else.
func (t table) lookup(name string) Model {
	if t.known == nil {
		return t.fold(name)
	}
	if m, ok := t.known.Load(name); ok {
		return m.(Model)
	}
	m := t.fold(name)
	if m.listed { // other names are users' and have no bound
		t.known.Store(name, m)
	}
	return m
}

// fold applies the lines that match.
func (t table) fold(name string) Model {
	m := Model{
		Name: name, Context: 32768, MaxOutput: 4096, Known: false,
		Supports: map[string]bool{"temperature": true, "system": true, "stop": true}, Extra: map[string]bool{},
		Rename: map[string]string{}, Origin: "defaults of an unknown model",
	}
	for _, l := range t.Models {
		if !matches(l.Match, name) {
			continue
		}
		m.Known, m.Origin = true, l.origin
		m.listed = m.listed || l.Match == name
		l.apply(&m)
	}
	return m
}

func (l modelLine) apply(m *Model) {
	if l.Context > 0 {
		m.Context = l.Context
	}
	if l.MaxOutput > 0 {
		m.MaxOutput = l.MaxOutput
	}
	for k, v := range l.Supports {
		m.Supports[k] = v
	}
	for k, v := range l.Extra {
		m.Extra[k] = v
	}
	for k, v := range l.Rename {
		m.Rename[k] = v
	}
	if l.CacheMin > 0 {
		m.CacheMin = l.CacheMin
	}
	if l.Reasoning != nil {
		m.Reasoning = *l.Reasoning
	}
	if l.FirstByte > 0 {
		m.FirstByte = l.FirstByte
	}
	if l.Free != nil {
		m.Free = *l.Free
	}
	if l.Retired != "" {
		m.Retired, m.Successor = l.Retired, l.Successor
	}
	if len(l.Price) > 0 {
		m.prices = nil
		for _, p := range l.Price {
			pr, _ := p.parse() // checked when the table was read
			m.prices = append(m.prices, pr)
		}
		sort.SliceStable(m.prices, func(i, j int) bool { return m.prices[i].from.Before(m.prices[j].from) })
	}
}

// matches reports whether name fits pattern, in which * spans slashes too.
func matches(pattern, name string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == name
	}
	const sep = "\x01" // path.Match stops at slashes, so they are hidden from it
	hide := func(s string) string { return strings.ReplaceAll(s, "/", sep) }
	esc := strings.NewReplacer("[", "\\[", "?", "\\?").Replace(pattern)
	ok, err := path.Match(hide(esc), hide(name))
	return err == nil && ok
}

// picoPerToken turns dollars per million tokens into pico-dollars per token. It is exact: six decimals fit.
func picoPerToken(s string) (int64, error) {
	r, ok := new(big.Rat).SetString(s)
	if !ok || strings.ContainsAny(s, "/eE_") || r.Sign() < 0 {
		return 0, fmt.Errorf("price %q is not a decimal number of dollars", s)
	}
	r.Mul(r, big.NewRat(1_000_000, 1))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, fmt.Errorf("price %q has more than six decimals", s)
	}
	return r.Num().Int64(), nil
}
