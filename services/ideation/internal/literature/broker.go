package literature

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/ledger"

	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// Auto asks one engine after the other.
const Auto = "auto"

// callLimit bounds a whole call: queues, tries and the engines after each other.
const callLimit = 420 * time.Second

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
	Log     *slog.Logger // nil: nobody is told of requests that engines reject
	Default string       // engine of a request that names none
	Offline bool         // nothing that dials is asked

	flights flights
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
	return fault.New(fault.Invalid, "FIELD_INVALID", "engine %q is no literature engine; there are %s", clip(name), strings.Join(b.Names(), ", ")).
		WithField("engine", "wants one of "+strings.Join(b.Names(), ", ")).WithNext("--engine auto")
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// plan is whom to ask, in which order, and who is passed over with the reason.
type plan struct {
	ask     []Engine
	skipped []Asked
	call    Call
}

func (b *Broker) plan(name string, pin Pin, tell Tell) plan {
	if name == "" {
		name = b.Default
	}
	out := plan{call: Call{Tell: tell}}
	if pin != nil {
		o := ledger.Origin(*pin)
		out.call.Lane = o.Study()
	}
	online := 0
	for _, e := range b.Engines {
		if name != Auto && name != "" && e.Name() != name {
			continue
		}
		skip := Asked{Engine: e.Name(), Result: Skipped}
		switch {
		case b.Offline && e.Online():
			skip.Cause, skip.Detail = Offline, e.Title()+" was not asked: this installation is offline."
		case name == Auto && e.Missing() != "":
			skip.Cause, skip.Next = KeyMissing, "export "+e.Missing()+"=…"
			skip.Detail = fmt.Sprintf("%s was passed over: it answers callers without a key only now and then, and %s is not set.", e.Title(), e.Missing())
		default:
			out.ask = append(out.ask, e)
			if e.Online() {
				online++
			}
			continue
		}
		out.skipped = append(out.skipped, skip)
	}
	out.call.Patient = online == 1
	return out
}

// Whom says who is asked, in order, when a request names no engine, and who is passed over with the reason.
func (b *Broker) Whom() ([]Engine, []Asked) {
	p := b.plan("", nil, nil)
	return p.ask, p.skipped
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
	r, err := pinned(ctx, b, pin, q.Engine, digest, func(ctx context.Context) (SearchResult, error) { return b.search(ctx, q, digest, pin, tell), nil })
	for i := range r.Papers { // of a recording, written by hand perhaps
		r.Papers[i] = r.Papers[i].Clean()
	}
	paper.UniqueKeys(r.Papers)
	return r, err
}

func (b *Broker) search(ctx context.Context, q Query, digest string, pin Pin, tell Tell) SearchResult {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	p := b.plan(q.Engine, pin, tell)
	out := SearchResult{Outcome: Unavailable, Asked: p.skipped}
	var lists [][]paper.Paper
	for i, e := range p.ask {
		if i > 0 {
			out.Asked = handOver(out.Asked, e, tell)
		}
		found := b.searchOne(ctx, e, q, digest, p.call)
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
	out.Sentence, out.Next = ofSearch(out)
	return out
}

// searchOne asks one engine, or its cache; searches for the same that come meanwhile share the answer.
func (b *Broker) searchOne(ctx context.Context, e Engine, q Query, digest string, call Call) SearchResult {
	out := SearchResult{Outcome: Unavailable}
	if hit, ok := b.fromCache(ctx, e, "search", digest, q.MaxAge); ok {
		if json.Unmarshal(hit.body, &out) == nil {
			out.Asked = hit.mark(out.Asked)
			return out
		}
	}
	return shared(ctx, &b.flights, "search "+e.Name()+" "+digest, call.Tell, func() SearchResult {
		out := b.climb(ctx, e, q, call)
		if !hasFailure(out.Asked) && len(out.Asked) > 0 {
			b.toCache(ctx, e, "search", digest, len(out.Papers) == 0, out)
		}
		return out
	})
}

// climb goes down the ladder at one engine.
func (b *Broker) climb(ctx context.Context, e Engine, q Query, call Call) SearchResult {
	out := SearchResult{Outcome: Unavailable}
	if doi, arXiv := paper.FindIDs(q.Text); doi != "" || arXiv != "" {
		a := e.ByID(ctx, ID{doi, arXiv}, call)
		if !a.Unable {
			out.Asked = append(out.Asked, b.told(ctx, e, a, 0))
		}
		if len(a.Papers) > 0 {
			out.Outcome, out.Papers, out.QueryUsed = FoundPapers, a.Papers, strings.TrimSpace(doi+" "+arXiv)
			return out
		}
	}
	for _, rung := range query.Ladder(q.Text, e.Ladder(), func(w string) int { return b.Local.Rarity(ctx, w) }) {
		if rung.Number > 0 {
			call.Tell(Progress{Phase: "relaxing the query", Detail: rung.Text()})
		}
		a := e.Search(ctx, Search{Rung: rung, From: q.From, To: q.To, Limit: q.Limit}, call)
		out.Asked = append(out.Asked, b.told(ctx, e, a, rung.Number))
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
	return out
}

// handOver says that the next engine is asked, in the sentence of the one that failed too.
func handOver(asked []Asked, e Engine, tell Tell) []Asked {
	tell(Progress{Phase: "asking the next engine", Detail: e.Title()})
	if n := len(asked) - 1; n >= 0 && asked[n].Result == Failed && asked[n].Detail != "" {
		asked[n].Detail = strings.TrimSuffix(asked[n].Detail, ".") + "; " + e.Title() + " was asked."
	}
	return asked
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
func (b *Broker) told(ctx context.Context, e Engine, a Answer, rung int) Asked {
	out := Asked{Engine: e.Name(), Request: a.Request, Rung: rung, Total: a.Total, CostUSD: a.CostUSD, AsOf: b.Now().UTC().Truncate(time.Second)}
	switch {
	case a.Failure != nil:
		out.Result, out.Cause, out.Detail, out.RetryAfter, out.Next = Failed, a.Failure.Cause, a.Failure.Detail, a.Failure.RetryAfter, a.Failure.Next
		if a.Failure.Cause == Rejected && b.Log != nil { // our bug
			b.Log.ErrorContext(ctx, "literature engine rejected a request", "engine", e.Name(), "detail", a.Failure.Detail)
		}
	case len(a.Papers) == 0:
		out.Result = Empty
		if !e.Online() {
			out.Cause, out.Detail, out.Next = Coverage, b.coverage(ctx), importNext
		}
	default:
		out.Result = Answered
	}
	return out
}

// noMatch are the nearest of candidates that did not match, for people.
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
