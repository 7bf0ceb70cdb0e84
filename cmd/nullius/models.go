package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
)

// modelsCommand works on this machine's table and keys, without a server.
func (c *cli) modelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "models [WORD]", Short: "List providers, models, abilities, prices and which keys are there", Args: cobra.MaximumNArgs(1),
		Long: "Lists what the table of models knows. More models than these can be called: any that a provider serves, and any\n" +
			"openai-compatible/NAME@URL. NULLIUS_MODELS_FILE adds providers, models and prices.",
		Example: "  nullius models\n  nullius models claude\n  nullius models test openai/gpt-4o",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDoor(cmd.Context(), func(d *llm.Door) error { return c.models(d, strings.Join(args, "")) })
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "test NAME", Short: "Make one small paid call and say what it cost", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withDoor(cmd.Context(), func(d *llm.Door) error { return c.testModel(cmd.Context(), d, args[0]) })
		},
	})
	return cmd
}

// withDoor opens a door that keeps its ledger in memory.
func (c *cli) withDoor(ctx context.Context, f func(*llm.Door) error) error {
	d, err := llm.Open(ctx, llm.Config{}, llm.On{Log: newLogger(c.logLevel)})
	if err != nil {
		return err
	}
	defer func() { _ = d.Close(context.WithoutCancel(ctx)) }() // nothing is in flight
	return f(d)
}

// providerView is a provider as JSON shows it.
type providerView struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	API     string `json:"api"`
	BaseURL string `json:"base_url"`
	Key     string `json:"key,omitempty"`     // where it was found, never what it is
	Missing string `json:"missing,omitempty"` // what is needed
}

// modelView is a model as JSON shows it. Prices are dollars per million tokens.
type modelView struct {
	Name      string   `json:"name"`
	Provider  string   `json:"provider"`
	Context   int64    `json:"context_tokens"`
	MaxOutput int64    `json:"max_output_tokens"`
	Can       []string `json:"can"`
	Free      bool     `json:"free,omitempty"`
	Input     string   `json:"input,omitempty"`
	CacheRead string   `json:"cache_read,omitempty"`
	CacheIn   string   `json:"cache_write,omitempty"`
	Output    string   `json:"output,omitempty"`
	AsOf      string   `json:"price_as_of,omitempty"`
	Source    string   `json:"price_source,omitempty"`
	Retired   string   `json:"retired,omitempty"`
	Successor string   `json:"successor,omitempty"`
	Origin    string   `json:"origin"`
}

func viewOf(m llm.Model) modelView {
	v := modelView{Name: m.Name, Provider: m.Provider, Context: m.Context, MaxOutput: m.MaxOutput, Can: []string{}, Free: m.Free, Retired: m.Retired,
		Successor: m.Successor, Origin: m.Origin}
	for k, on := range m.Supports {
		if on {
			v.Can = append(v.Can, k)
		}
	}
	slices.Sort(v.Can)
	if p, ok := m.Prices(time.Now()); ok && !m.Free {
		v.Input, v.CacheRead, v.CacheIn, v.Output = perMillion(p.Input), perMillion(p.CacheRead), perMillion(p.CacheWrite), perMillion(p.Output)
		v.AsOf, v.Source = m.PriceAsOf(time.Now())
	}
	return v
}

// perMillion writes pico-dollars a token as dollars for a million tokens.
func perMillion(pico int64) string {
	s := fmt.Sprintf("%d.%06d", pico/1_000_000, pico%1_000_000)
	s = strings.TrimRight(s, "0")
	if cents := len(s) - 1 - strings.IndexByte(s, '.'); cents < 2 {
		s += strings.Repeat("0", 2-cents)
	}
	return s
}

func (c *cli) models(d *llm.Door, word string) error {
	var all struct {
		Providers []providerView    `json:"providers"`
		Models    []modelView       `json:"models"`
		Aliases   map[string]string `json:"aliases"`
	}
	for _, p := range d.Providers() {
		if has(p.Name, word) || has(p.Title, word) {
			all.Providers = append(all.Providers, providerView{p.Name, p.Title, p.API, p.BaseURL, p.Key.From, p.Key.Missing})
		}
	}
	for _, m := range d.Models() {
		if has(m.Name, word) {
			all.Models = append(all.Models, viewOf(m))
		}
	}
	all.Aliases = d.Aliases()
	maps.DeleteFunc(all.Aliases, func(k, _ string) bool { return !has(k, word) })
	if _, whole := all.Aliases[word]; len(all.Models) == 0 && len(all.Providers) == 0 && (whole || len(all.Aliases) == 0) {
		m, err := d.Model(word)
		if err != nil {
			return err
		}
		all.Models = append(all.Models, viewOf(m))
	}
	if c.output != "table" {
		enc := json.NewEncoder(c.out)
		if c.output == "json" {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(all)
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	if len(all.Providers) > 0 {
		fmt.Fprintln(w, "PROVIDER\tKEY\tADDRESS")
		for _, p := range all.Providers {
			key := p.Key
			if key == "" {
				key = "missing: " + p.Missing
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, key, p.BaseURL)
		}
		fmt.Fprintln(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if len(all.Models) > 0 {
		fmt.Fprintln(w, "MODEL\tCONTEXT\tOUTPUT\tIN $/M\tCACHED\tOUT $/M\tAS OF\tCAN\tFROM")
	}
	for _, m := range all.Models {
		price := []string{m.Input, m.CacheRead, m.Output, m.AsOf}
		switch {
		case m.Free:
			price = []string{"free", "", "", ""}
		case m.Input == "":
			price = []string{"unpriced", "", "", ""}
		}
		can := strings.Join(m.Can, " ")
		if m.Retired != "" {
			can = strings.TrimSpace("retired " + m.Retired + " " + m.Successor)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", m.Name, m.Context, m.MaxOutput, strings.Join(price, "\t"), can, m.Origin)
	}
	if err := w.Flush(); err != nil || len(all.Aliases) == 0 {
		return err
	}
	if len(all.Models) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "OTHER NAME\tSTANDS FOR")
	for _, k := range slices.Sorted(maps.Keys(all.Aliases)) {
		fmt.Fprintf(w, "%s\t%s\n", k, all.Aliases[k])
	}
	return w.Flush()
}

// has says whether a name has a word in it, in whatever case.
func has(name, word string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(word))
}

// testModel asks for one word.
func (c *cli) testModel(ctx context.Context, d *llm.Door, name string) error {
	m, err := d.Model(name)
	if err != nil {
		return err
	}
	r := llm.Request{
		Model: name, Origin: llm.Origin{Scope: []string{"test", "_"}, Step: "test", Call: "question"},
		Messages: []llm.Message{llm.Say(llm.User, "Answer with the one word: ready")}, MaxTokens: 16,
		Progress: func(p llm.Progress) {
			if p.Kind == llm.Waiting {
				fmt.Fprintln(c.err, p.Why)
			}
		},
	}
	began := time.Now()
	rep, err := d.Chat(ctx, r)
	if err != nil {
		return ofTest(err)
	}
	took := time.Since(began).Round(time.Millisecond)
	if reason, sentence, _ := rep.Outcome(r.Origin); reason != "" {
		return fault.New(fault.Precondition, reason, "%s", strings.TrimSuffix(sentence, ".")).WithNext("nullius models")
	}
	cost := llm.Dollars(rep.Cost)
	switch day, _ := m.PriceAsOf(time.Now()); {
	case m.Free || m.Recording:
		cost += " (free)"
	case rep.Unpriced:
		cost = "unknown (unpriced)"
	case day != "":
		cost += " (price of " + day + ")"
	}
	if c.output != "table" {
		return json.NewEncoder(c.out).Encode(map[string]any{
			"model": rep.Model, "served": rep.Served, "text": rep.Text, "finish": rep.Finish, "usage": rep.Usage, "cost_pico_dollars": rep.Cost,
			"unpriced": rep.Unpriced, "took_ms": took.Milliseconds(), "notes": rep.Notes,
		})
	}
	u := rep.Usage
	fmt.Fprintf(c.out, "%s answered %q in %s, served as %s\n", rep.Model, clean(rep.Text), took, orDash(rep.Served))
	fmt.Fprintf(c.out, "tokens: %d in, %d from a cache, %d out (%d of them reasoning)%s\ncost: %s\n", u.Input+u.CacheWrite, u.CacheRead, u.Output, u.Reasoning,
		map[bool]string{true: ", estimated"}[u.Estimated], cost)
	if rep.Finish == llm.Length {
		fmt.Fprintln(c.out, "note: the reply was cut at its limit of tokens")
	}
	for _, n := range rep.Notes {
		fmt.Fprintln(c.out, "note:", n)
	}
	return nil
}

// ofTest makes a failure of the small call speak of it: there is no idea that goes on, no study that has a cost, and this is the test.
func ofTest(err error) error {
	said, ok := fault.As(err)
	if !ok {
		return err
	}
	f := *said
	f.Message = ofNoIdea(f.Message)
	for _, of := range []string{"nullius status", "nullius cost", "nullius models test"} {
		if strings.HasPrefix(f.Next, of) {
			f.Next = "nullius doctor"
		}
	}
	return &f
}

// ofNoIdea leaves out of a sentence what only an idea could do.
func ofNoIdea(s string) string {
	for _, of := range []string{"; the idea goes on by itself", "; after a top-up the idea goes on"} {
		s = strings.Replace(s, of, "", 1)
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return clean(s)
}

// stalePrice is the age from which doctor warns of a price.
const stalePrice = 180 * 24 * time.Hour

// keyChecks asks each provider for which there is a key whether it takes it. Nothing is paid for.
func (c *cli) keyChecks(ctx context.Context) []check {
	var out []check
	err := c.withDoor(ctx, func(d *llm.Door) error {
		ctx, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		for _, k := range d.CheckKeys(ctx) {
			out = append(out, keyCheck(k))
		}
		if len(out) == 0 {
			out = append(out, check{"keys", "warning", "no provider's key is set", "export OPENAI_API_KEY=… or another that nullius models lists; or use ollama/NAME or nullius demo"})
		}
		out = append(out, priceCheck(d.Models(), time.Now())...)
		return nil
	})
	if err != nil {
		out = append(out, check{"models", "error", err.Error(), fault.NextOf(err)})
	}
	return append(out, c.literatureChecks(ctx)...)
}

func keyCheck(k llm.Checked) check {
	out := check{Name: "key of " + k.Name, State: "ok", Text: k.Key.From + ", taken by " + k.Title}
	switch {
	case k.Err != nil:
		out.State, out.Text, out.Remedy = "error", k.Err.Error(), fault.NextOf(k.Err)
		switch fault.ReasonOf(k.Err) {
		case "PROVIDER_UNAVAILABLE":
			out.State = "warning"
			if strings.HasPrefix(out.Remedy, "nullius status") { // there is no study that it could tell of
				out.Remedy = "nullius models test " + k.Name + "/MODEL"
			}
			out.Text = ofNoIdea(out.Text)
		case "KEY_MISSING":
			out.Remedy = "mend " + k.Key.Missing
		case "KEY_REFUSED": // the name of a provider is none of a model, which could be tested
			out.Remedy = "put a valid key where this one was found: " + k.Key.From
		}
	case k.Seen == llm.SeenNothing:
		out.Text, out.Remedy = k.Key.From+"; "+k.Title+" cannot be asked without a paid call", "nullius models test "+k.Name+"/MODEL"
	}
	return out
}

// priceCheck warns of prices that nobody has looked at for long.
func priceCheck(models []llm.Model, now time.Time) []check {
	old, example := 0, ""
	for _, m := range models {
		day, _ := m.PriceAsOf(now)
		if at, err := time.Parse(time.DateOnly, day); err == nil && now.Sub(at) > stalePrice {
			old, example = old+1, m.Name+" of "+day
		}
	}
	if old == 0 {
		return nil
	}
	return []check{{"prices", "warning", fmt.Sprintf("%d prices are older than 180 days, such as that of %s", old, example), "look at the provider's page and put the price into NULLIUS_MODELS_FILE"}}
}
