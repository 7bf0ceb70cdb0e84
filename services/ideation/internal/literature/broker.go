package literature

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/ledger"

	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// Auto asks one engine after the other.
const Auto = "auto"

// RecordingPrefix begins the name of an engine that answers from a recording.
const RecordingPrefix = "recording/"

// Ledger pins answers; *ledger.Ledger is one.
type Ledger interface {
	Do(ctx context.Context, o ledger.Origin, kind, digest string, call func(context.Context) ([]byte, error)) ([]byte, error)
}

// Replay answers from a recording.
type Replay func(ctx context.Context, recording string, o ledger.Origin, digest string) ([]byte, error)

// Broker decides who is asked, and keeps what was said.
type Broker struct {
	Engines []Engine // in the order of auto
	Local   LocalEngine
	Ledger  Ledger
	Replay  Replay
	Cache   *Cache // nil: none
	Now     func() time.Time
	Default string // engine of a request that names none
	Offline bool   // nothing that dials is asked

	mu       sync.Mutex
	circuits map[string]*circuit
}

// Names lists the engines that can be named in a request.
func (b *Broker) Names() []string {
	names := []string{Auto}
	for _, e := range b.Engines {
		names = append(names, e.Name())
	}
	return append(names, RecordingPrefix+"<digest>")
}

// CheckEngine refuses a name that no engine has.
func (b *Broker) CheckEngine(name string) error {
	if name == "" || name == Auto || strings.HasPrefix(name, RecordingPrefix) {
		return nil
	}
	for _, e := range b.Engines {
		if e.Name() == name {
			return nil
		}
	}
	why := "is no literature engine"
	if name == paper.SemanticScholar || name == paper.ArXiv {
		why = "cannot be asked yet"
	}
	return fault.New(fault.Invalid, "FIELD_INVALID", "engine %q %s; there are %s", clip(name), why, strings.Join(b.Names(), ", ")).
		WithField("engine", "wants one of "+strings.Join(b.Names(), ", ")).WithNext("--engine auto")
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// engines lists whom to ask, and those that are passed over with the reason.
func (b *Broker) engines(name string) (ask []Engine, skipped []Asked) {
	if name == "" {
		name = b.Default
	}
	for _, e := range b.Engines {
		if name != Auto && name != "" && e.Name() != name {
			continue
		}
		if b.Offline && e.Online() {
			skipped = append(skipped, Asked{Engine: e.Name(), Result: Skipped, Cause: Offline, Detail: e.Title() + " was not asked: this installation is offline."})
			continue
		}
		ask = append(ask, e)
	}
	return ask, skipped
}

// Pin says under which name of the ledger an answer is kept; nil: not pinned.
type Pin *ledger.Origin

// pinned returns the recorded answer to a request, or asks and records what came, a failure too: a model that was told of a
// failure must be told of it again when its step is repeated.
func pinned[T any](ctx context.Context, b *Broker, pin Pin, engine, digest string, ask func(context.Context) (T, error)) (T, error) {
	var out T
	replay := strings.TrimPrefix(engine, RecordingPrefix)
	isReplay := replay != engine
	if pin == nil {
		if isReplay {
			return out, fault.New(fault.Invalid, "FIELD_INVALID", "engine %s answers only what has a step and a call", clip(engine)).
				WithField("engine", "a recording needs step and call")
		}
		return ask(ctx)
	}
	call := func(ctx context.Context) ([]byte, error) {
		if isReplay {
			return b.Replay(ctx, replay, *pin, digest)
		}
		v, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil { // an answer that was broken off by the caller is nobody's answer
			return nil, ctx.Err()
		}
		return json.Marshal(v)
	}
	raw, err := b.Ledger.Do(ctx, *pin, "literature", digest, call)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fault.Wrap(err, fault.Invalid, "RECORDING_INVALID", "the kept answer of %s is not a literature result", pinName(pin)).WithNext("make recordings")
	}
	return out, nil
}

func pinName(p Pin) string { o := ledger.Origin(*p); return o.String() }

// Search finds papers.
func (b *Broker) Search(ctx context.Context, q Query, pin Pin, tell Tell) (SearchResult, error) {
	if err := b.CheckEngine(q.Engine); err != nil {
		return SearchResult{}, err
	}
	digest := q.digest()
	r, err := pinned(ctx, b, pin, q.Engine, digest, func(ctx context.Context) (SearchResult, error) { return b.search(ctx, q, digest, tell), nil })
	for i := range r.Papers { // of a recording, written by hand perhaps
		r.Papers[i] = r.Papers[i].Clean()
	}
	paper.UniqueKeys(r.Papers)
	return r, err
}

func (b *Broker) search(ctx context.Context, q Query, digest string, tell Tell) SearchResult {
	ask, asked := b.engines(q.Engine)
	out := SearchResult{Outcome: Unavailable, Asked: asked}
	var lists [][]paper.Paper
	for i, e := range ask {
		if i > 0 {
			tell(Progress{Phase: "asking the next engine", Detail: e.Title()})
		}
		found := b.searchOne(ctx, e, q, digest, tell)
		out.Asked = append(out.Asked, found.Asked...)
		if found.Outcome != Unavailable && out.Outcome == Unavailable {
			out.Outcome = Nothing
		}
		if len(found.Papers) > 0 {
			out.Outcome, out.QueryUsed, out.Rung = FoundPapers, found.QueryUsed, found.Rung
			lists = append(lists, found.Papers)
			break
		}
		if out.QueryUsed == "" {
			out.QueryUsed, out.Rung = found.QueryUsed, found.Rung
		}
	}
	out.Papers = paper.Fuse(lists, q.Limit)
	return out
}

// searchOne climbs the ladder at one engine.
func (b *Broker) searchOne(ctx context.Context, e Engine, q Query, digest string, tell Tell) SearchResult {
	out := SearchResult{Outcome: Unavailable}
	if hit, ok := b.fromCache(ctx, e, "search", digest, q.MaxAge); ok {
		if json.Unmarshal(hit.body, &out) == nil {
			out.Asked = hit.mark(out.Asked)
			return out
		}
	}
	if doi, arXiv := paper.FindIDs(q.Text); doi != "" || arXiv != "" {
		a := b.ask(ctx, e, tell, func(t Tell) Answer { return e.ByID(ctx, doi, arXiv, t) })
		out.Asked = append(out.Asked, b.told(e, a, 0))
		if len(a.Papers) > 0 {
			out.Outcome, out.Papers, out.QueryUsed = FoundPapers, a.Papers, strings.TrimSpace(doi+" "+arXiv)
			return out
		}
	}
	for _, rung := range query.Ladder(q.Text, e.AnyWord(), func(w string) int { return b.Local.Rarity(ctx, w) }) {
		if rung.Number > 0 {
			tell(Progress{Phase: "relaxing the query", Detail: rung.Text()})
		}
		a := b.ask(ctx, e, tell, func(t Tell) Answer { return e.Search(ctx, rung, q.From, q.To, q.Limit, t) })
		out.Asked = append(out.Asked, b.told(e, a, rung.Number))
		if a.Failure != nil {
			break
		}
		if out.Outcome == Unavailable {
			out.Outcome = Nothing
		}
		before := len(out.Papers)
		out.Papers = distinct(append(out.Papers, a.Papers...))
		if len(out.Papers) > before || out.QueryUsed == "" {
			out.QueryUsed, out.Rung = rung.Text(), rung.Number
		}
		if len(out.Papers) >= query.Enough {
			break
		}
	}
	if len(out.Papers) > 0 {
		out.Outcome = FoundPapers
		out.Papers = out.Papers[:min(len(out.Papers), q.Limit)]
	}
	if !hasFailure(out.Asked) && len(out.Asked) > 0 {
		b.toCache(ctx, e, "search", digest, len(out.Papers) == 0, out)
	}
	return out
}

func hasFailure(asked []Asked) bool {
	return slices.ContainsFunc(asked, func(a Asked) bool { return a.Result == Failed })
}

func distinct(papers []paper.Paper) []paper.Paper {
	var out []paper.Paper
	for _, p := range papers {
		if !slices.ContainsFunc(out, func(o paper.Paper) bool { return paper.Same(o, p) }) {
			out = append(out, p)
		}
	}
	return out
}

// told is an answer as it is reported.
func (b *Broker) told(e Engine, a Answer, rung int) Asked {
	out := Asked{Engine: e.Name(), Request: a.Request, Rung: rung, Total: a.Total, CostUSD: a.CostUSD, AsOf: b.Now().UTC().Truncate(time.Second)}
	switch {
	case a.Failure != nil:
		out.Result, out.Cause, out.Detail, out.RetryAfter = Failed, a.Failure.Cause, a.Failure.Detail, a.Failure.RetryAfter
	case len(a.Papers) == 0:
		out.Result = Empty
		if !e.Online() {
			out.Cause, out.Detail = Coverage, "Not in the local index, which proves nothing."
		}
	default:
		out.Result = Answered
	}
	return out
}

// ask sends one request unless the engine's circuit is open.
func (b *Broker) ask(ctx context.Context, e Engine, tell Tell, send func(Tell) Answer) Answer {
	if !e.Online() {
		return send(tell)
	}
	c := b.circuit(e.Name())
	if until, open := c.open(b.Now()); open {
		return Answer{Failure: &Failure{
			Cause: Outage, RetryAfter: until.Sub(b.Now()),
			Detail: fmt.Sprintf("%s failed several times and is left alone until %s.", e.Title(), until.UTC().Format("15:04:05 MST")),
		}}
	}
	tell(Progress{Phase: "asking " + e.Title()})
	a := send(tell)
	c.saw(b.Now(), a.Failure, ctx.Err() != nil)
	return a
}

func (b *Broker) circuit(name string) *circuit {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.circuits == nil {
		b.circuits = map[string]*circuit{}
	}
	c := b.circuits[name]
	if c == nil {
		c = &circuit{}
		b.circuits[name] = c
	}
	return c
}

// noMatch is the reference part of candidates that did not match, for people.
func noMatch(ds ...match.Decision) []match.Candidate {
	var out []match.Candidate
	for _, d := range ds {
		for _, c := range d.Nearest {
			if !slices.ContainsFunc(out, func(o match.Candidate) bool { return paper.Same(o.Paper, c.Paper) }) {
				out = append(out, c)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y match.Candidate) int {
		switch {
		case x.Score > y.Score:
			return -1
		case x.Score < y.Score:
			return 1
		}
		return strings.Compare(x.Paper.ID, y.Paper.ID)
	})
	return out[:min(3, len(out))]
}
