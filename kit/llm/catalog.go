package llm

import (
	"context"
	"errors"
	"sort"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/fault"
)

// Provider is what the door knows of a provider.
type Provider struct {
	Name    string
	Title   string
	API     string // its wire: openai, anthropic, bedrock, vertex
	BaseURL string
	Key     Key
}

// Providers lists the providers of the table with where their credentials come from, sorted by name.
func (d *Door) Providers() []Provider {
	var out []Provider
	for name := range d.table.Providers {
		m := d.provider(name)
		if m.missing != "" { // the address with the variable that it wants
			m.BaseURL = m.local.BaseURL
		}
		out = append(out, Provider{Name: name, Title: m.Title, API: m.local.API, BaseURL: m.BaseURL, Key: d.KeyOf(m)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// provider is a model of a provider that is asked for no model.
func (d *Door) provider(name string) Model {
	p := d.table.Providers[name]
	m := Model{Name: name, Provider: name, Title: p.Title, KeyVar: p.Key, local: p}
	if m.Title == "" {
		m.Title = name
	}
	m.address(d.env)
	return m
}

// Models lists the models that the table names, sorted; there are more than these.
func (d *Door) Models() []Model {
	seen := map[string]bool{}
	var out []Model
	for _, l := range d.table.Models {
		if strings.Contains(l.Match, "*") || seen[l.Match] {
			continue
		}
		seen[l.Match] = true
		if m, err := d.table.resolve(l.Match, d.env); err == nil {
			out = append(out, m)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Aliases gives the names that stand for others.
func (d *Door) Aliases() map[string]string {
	out := make(map[string]string, len(d.table.Aliases))
	for k, v := range d.table.Aliases {
		out[k] = v
	}
	return out
}

// Prices gives a model's prices in pico-dollars a token as of a time; ok is false without a price.
func (m Model) Prices(at time.Time) (p Prices, ok bool) {
	if m.Free {
		return Prices{}, true
	}
	now, ok := m.price(at)
	return Prices{now.input, now.cacheRead, now.cacheWrite, now.output}, ok
}

// Prices are in pico-dollars a token, which is millionths of a dollar for a million tokens.
type Prices struct{ Input, CacheRead, CacheWrite, Output int64 }

// Checked is what a provider said to its credential.
type Checked struct {
	Provider
	Seen Seen
	Err  error // nil: the credential was taken, or the provider cannot be asked for nothing
}

// CheckKeys asks every provider for which there is a credential, or the name of a file with one, whether it takes it, all at once. Nothing is paid for.
func (d *Door) CheckKeys(ctx context.Context) []Checked {
	var out []Checked
	for _, p := range d.Providers() {
		if (p.Key.From != "" || p.Key.Broken) && d.table.Providers[p.Name].Key != "" {
			out = append(out, Checked{Provider: p})
		}
	}
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() { out[i].Seen, out[i].Err = d.checkKey(ctx, out[i].Name) })
	}
	all.Wait()
	return out
}

func (d *Door) checkKey(ctx context.Context, provider string) (Seen, error) {
	m := d.provider(provider)
	cred, err := d.keys.credential(m)
	if err != nil {
		return SeenNothing, err
	}
	seen, err := d.list(ctx, m, cred)
	if errors.Is(err, fault.NotFound) { // the list came, and no model was asked for
		return SeenKey, nil
	}
	return seen, err
}
