package llm

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/store"
)

// Door is the way to models. It is made once a process.
type Door struct {
	cfg    Config
	times  Times
	log    *slog.Logger
	env    func(string) string
	table  table
	keys   *keyring
	ledger *ledger.Ledger
	book   *budget.Book
	shelf  *recording.Shelf
	base   http.RoundTripper
	pauses Pauses
	stop   func()
	tel    telemetry

	mu       sync.Mutex
	closed   bool
	lanes    map[string]*lane
	circuits map[string]*circuit
	learned  map[string]adaptation
	density  map[string]*density
}

// density is a model's mean of tokens per byte.
type density struct{ tokens, bytes, replies int64 }

// New makes a door. It does no I/O but reading the operator's models file.
func New(cfg Config, d Deps) (*Door, error) {
	d = d.withDefaults()
	if cfg.ModelsFile == "" {
		cfg.ModelsFile = d.Env("NULLIUS_MODELS_FILE")
	}
	if len(cfg.CompatibleHosts) == 0 {
		cfg.CompatibleHosts = strings.FieldsFunc(d.Env("NULLIUS_COMPATIBLE_HOSTS"), func(r rune) bool { return r == ',' || r == ' ' })
	}
	t, err := loadTable(cfg.ModelsFile)
	if err != nil {
		return nil, err
	}
	door := &Door{
		cfg: cfg, times: cfg.Times.withDefaults(), log: d.Log, env: d.Env, table: t,
		ledger: ledger.New(d.Ledger, d.Blobs, ledger.Config{SoleOwner: cfg.SoleOwner, Process: cfg.Process}),
		book:   budget.New(d.Budgets), base: d.Transport, pauses: d.Pauses,
		lanes: map[string]*lane{}, circuits: map[string]*circuit{}, learned: map[string]adaptation{}, density: map[string]*density{},
	}
	door.shelf = recording.NewShelf(door.ledger.Blobs())
	if door.base == nil {
		door.base = newTransport(door.times)
	}
	door.keys = newKeyring(cfg, d.Env, door.base)
	if door.tel, err = newTelemetry(d); err != nil {
		return nil, err
	}
	if d.Pauses != nil {
		if door.stop, err = d.Pauses.Listen(door.paused); err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the pauses of providers cannot be heard")
		}
	}
	return door, nil
}

// Ledger is the door's ledger, for answers of literature engines and for reading.
func (d *Door) Ledger() *ledger.Ledger { return d.ledger }

// Budgets are the door's accounts.
func (d *Door) Budgets() *budget.Book { return d.book }

// Recordings opens recordings by their model name, recording/<64 hex>.
func (d *Door) Recordings() *recording.Shelf { return d.shelf }

// Model resolves a name and tells what is known of it, without I/O.
func (d *Door) Model(name string) (Model, error) { return d.table.resolve(name, d.env) }

// KeyState says whether a model's provider needs a key and whether this process has one, without telling it.
func (d *Door) KeyState(m Model) error {
	_, err := d.keys.credential(m)
	return err
}

// Names lists the aliases and providers of the table, for help texts.
func (d *Door) Names() (aliases, providers []string) {
	for k := range d.table.Aliases {
		aliases = append(aliases, k)
	}
	for k := range d.table.Providers {
		providers = append(providers, k)
	}
	sort.Strings(aliases)
	sort.Strings(providers)
	return aliases, append(providers, compatible)
}

// Close waits for the calls in flight until its context ends, 10 s at most, then cuts them.
func (d *Door) Close(ctx context.Context) error {
	d.mu.Lock()
	already := d.closed
	d.closed = true
	d.mu.Unlock()
	if already {
		return nil
	}
	if d.stop != nil {
		d.stop()
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := errors.Join(d.ledger.Wait(ctx), d.book.Wait(ctx))
	if t, ok := d.base.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	return err
}

// Chat answers a request from the ledger, a recording or a provider.
func (d *Door) Chat(ctx context.Context, r Request) (Reply, error) {
	began := time.Now()
	m, digest, cred, err := d.prepare(r)
	ctx, span := d.tel.start(ctx, m, r)
	var rep Reply
	if err == nil {
		rep, err = d.chat(ctx, m, digest, cred, r)
	}
	d.tel.end(ctx, span, m, rep, err, time.Since(began))
	if err == nil && d.log.Enabled(ctx, slog.LevelDebug) {
		d.log.DebugContext(ctx, "model call", "study_id", r.Origin.Study(), "idea_id", r.Origin.Idea(), "step", r.Origin.Step,
			"call", r.Origin.Call, "model", m.Name, "source", string(rep.Source), "finish", string(rep.Finish),
			"input", rep.Usage.Input, "output", rep.Usage.Output, "cost", Dollars(rep.Cost), "took", time.Since(began))
	}
	return rep, err
}

func (d *Door) prepare(r Request) (Model, store.Digest, credential, error) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return Model{}, "", credential{}, fault.New(fault.Unavailable, "PROVIDER_UNAVAILABLE", "this process is stopping").WithRetry(5 * time.Second)
	}
	if err := r.check(); err != nil {
		return Model{}, "", credential{}, err
	}
	m, err := d.table.resolve(r.Model, d.env)
	if err != nil {
		return Model{}, "", credential{}, err
	}
	digest, err := Digest(r)
	if err != nil {
		return m, "", credential{}, err
	}
	if m.Recording {
		return m, digest, credential{}, nil
	}
	cred, err := d.keys.credential(m)
	return m, digest, cred, err
}

func (d *Door) chat(ctx context.Context, m Model, digest store.Digest, cred credential, r Request) (Reply, error) {
	c := &call{d: d, m: m, r: r, cred: cred, digest: digest}
	work := c.ask
	if m.Recording {
		work = c.replay
	}
	first := ledger.Record{Model: m.Name, Digest: string(digest), Prompt: r.Prompt, Notes: notesOf(m, r)}
	e, hit, err := d.ledger.Run(ctx, ledger.Key(r.Origin, m.Name, string(digest)), first, work)
	var long *tooLongError
	if errors.As(err, &long) {
		return Reply{Finish: TooLong, Model: m.Name, Source: FromProvider, Notes: []string{long.Error()}}, nil
	}
	if err != nil {
		return Reply{}, err
	}
	text := c.reply
	if hit || m.Recording {
		data, err := d.ledger.Reply(ctx, e)
		if err != nil {
			return Reply{}, err
		}
		text = string(data)
	}
	rep := replyOf(e, text)
	if hit {
		rep.Source = FromLedger
	} else {
		rep.firstByte = c.firstByte
	}
	if r.Progress != nil && rep.Source != FromProvider {
		r.Progress(Progress{Kind: FirstByte})
	}
	return rep, nil
}

// replyOf reads a DONE entry as a reply. A hit gives the cost and usage of the call that was made, so that a step that runs
// again reports the same.
func replyOf(e ledger.Entry, text string) Reply {
	rep := Reply{
		Text: text, Finish: Finish(e.Finish), Usage: e.Usage, Cost: e.Cost, WouldCost: e.WouldCost, Unpriced: e.Unpriced,
		PossiblyPaid: e.Lost > 0, Model: e.Model, Served: e.Served, Source: FromProvider, Notes: e.Notes,
		id: e.RequestID, tries: e.Tries,
	}
	if e.FromRecord {
		rep.Source = FromRecording
	}
	return rep
}

// tooLongError says that a request cannot fit; nothing was sent.
type tooLongError struct{ estimate, window int64 }

func (e *tooLongError) Error() string {
	return "about " + thousands(e.estimate) + " tokens" + windowNote + thousands(e.window)
}

// windowNote joins a prompt's size and the model's window in a note; sentences are made of it.
const windowNote = "; the model takes "

func thousands(n int64) string {
	s := []byte{}
	digits := []byte(decimalInt(n))
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			s = append(s, ',')
		}
		s = append(s, c)
	}
	return string(s)
}

func (d *Door) laneOf(account string, p providerLine) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.lanes[account]
	if !ok {
		l = newLane(d.cfg.MaxParallel, p)
		d.lanes[account] = l
	}
	return l
}

func (d *Door) circuitOf(m Model) *circuit {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := m.Provider + " " + m.BaseURL
	c, ok := d.circuits[id]
	if !ok {
		c = &circuit{times: d.times}
		d.circuits[id] = c
	}
	return c
}

// paused hears from another process that a key is limited.
func (d *Door) paused(account string, wait time.Duration) {
	d.mu.Lock()
	l := d.lanes[account]
	d.mu.Unlock()
	if l != nil {
		l.pause(min(wait, d.times.LongWait))
	}
}

func (d *Door) adaptation(model string) adaptation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.learned[model].clone()
}

func (a adaptation) clone() adaptation {
	drop := make(map[string]bool, len(a.drop))
	for k := range a.drop {
		drop[k] = true
	}
	return adaptation{drop: drop, rename: a.rename, most: a.most, window: a.window}
}

// learn notes that an endpoint does not take a parameter, or so much of one; it reports whether that changes what is sent.
func (d *Door) learn(ctx context.Context, m Model, p problem) bool {
	param := p.param
	d.mu.Lock()
	a := d.learned[m.Name].clone()
	line, fresh := "", false
	switch param {
	case "context":
		fresh = a.window != p.window
		a.window = p.window
		line = "context: " + decimalInt(p.window)
	case "max_output":
		fresh = a.most == 0 || p.most < a.most
		a.most = p.most
		line = "max_output: " + decimalInt(p.most)
	case "max_tokens", "max_completion_tokens":
		fresh, a.rename = !a.rename, true
		line = "rename: {max_tokens: max_completion_tokens}"
	case "response_format", "json_schema":
		param = "response_format"
		if m.Supports["schema"] && !a.drop["json_schema"] {
			fresh, a.drop["json_schema"] = true, true
		} else {
			fresh, a.drop["response_format"] = !a.drop["response_format"], true
		}
		line = "supports: {schema: false}"
	default:
		fresh, a.drop[param] = !a.drop[param], true
		line = "supports: {" + strings.TrimPrefix(param, "reasoning_") + ": false}"
	}
	if fresh {
		d.learned[m.Name] = a
	}
	d.mu.Unlock()
	if fresh {
		d.log.WarnContext(ctx, "endpoint refuses a parameter", "model", m.Name, "parameter", param,
			"models_yaml", "- {match: \""+m.Name+"\", "+line+"}")
	}
	return fresh
}

// count learns how many tokens a model makes of a byte.
func (d *Door) count(model string, bytes, tokens int64) {
	if bytes <= 0 || tokens <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.density[model]
	if !ok {
		n = &density{}
		d.density[model] = n
	}
	n.tokens, n.bytes, n.replies = n.tokens+tokens, n.bytes+bytes, n.replies+1
}

// inputWorst is how many tokens a request's input may have at most: a tenth more than the model's mean.
func (d *Door) inputWorst(model string, bytes, images int64) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.density[model]
	if n == nil || n.replies < 5 {
		return bytes*11/30 + images + 16
	}
	return int64(float64(bytes)*1.1*float64(n.tokens)/float64(n.bytes)) + images + 16
}
