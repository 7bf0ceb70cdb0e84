package engine_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/services/ideation/internal/arxiv"
	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/limit"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/openalex"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/semanticscholar"
	"nullius.dev/services/ideation/litfault"
)

// clock is time that passes only by sleeping.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept += d
	return ctx.Err()
}

// free lets everybody through, and keeps what it was told.
type free struct {
	mu  sync.Mutex
	got []limit.Result
}

func (f *free) Wait(ctx context.Context, _ limit.Ask, _ func(limit.Place)) (limit.Done, error) {
	return func(_ context.Context, r limit.Result) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.got = append(f.got, r)
	}, ctx.Err()
}

const canary = "CANARY-key"

// played is an engine that is asked over a played server.
type played struct {
	literature.Engine
	server *litfault.Server
	clock  *clock
	gate   *free
}

func play(t *testing.T, name, key string, steps ...litfault.Step) *played {
	t.Helper()
	s := litfault.New(known...)
	t.Cleanup(s.Close)
	s.Play(name, steps...)
	p := &played{server: s, clock: &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}, gate: &free{}}
	o := engine.Options{Base: s.Base(name), Agent: "Nullius/test", Key: func() string { return key }, Gate: p.gate, Clock: p.clock}
	if slices.ContainsFunc(steps, func(s litfault.Step) bool { return s.Body == litfault.Hang }) {
		o.TryLimit = 300 * time.Millisecond // else a slow machine must not look like a slow engine
	}
	var err error
	switch name {
	case litfault.SemanticScholar:
		p.Engine, err = semanticscholar.New(o)
	case litfault.OpenAlex:
		p.Engine, err = openalex.New(o)
	default:
		p.Engine, err = arxiv.New(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var known = []litfault.Paper{
	{Title: "A Made-up Title", Authors: []string{"Ada Example", "Bo van der Sample"}, Year: 2021, Venue: "Conf", Kind: "conference", DOI: "10.5555/x1", ArXiv: "2101.00001", Abstract: "We study a made-up thing.", Cited: 3},
	{Title: "Another Made-up Title", Authors: []string{"Cy Example"}, Year: 2019, Venue: "Journal of Things", Kind: "journal", DOI: "10.5555/x2", ArXiv: "1901.00002"},
}

func call() literature.Call { return literature.Call{Tell: func(literature.Progress) {}} }

func (p *played) find(t *testing.T) literature.Answer {
	t.Helper()
	return p.Search(t.Context(), literature.Search{Rung: query.Rung{Words: []string{"made", "up"}}, From: 2019, To: 2024, Limit: 10}, call())
}

// fault is a row of the specification's tables of what is seen and what it means.
type fault struct {
	name   string
	engine string
	key    string
	steps  []litfault.Step
	papers int
	cause  string
	detail string // begins with; empty: any
	next   string
	asked  int
	slept  time.Duration
}

const (
	s2 = litfault.SemanticScholar
	oa = litfault.OpenAlex
	ax = litfault.ArXiv
)

func status(code int, body string) litfault.Step { return litfault.Step{Status: code, Body: body} }

func after(code int, wait, body string) litfault.Step {
	return litfault.Step{Status: code, Header: map[string]string{"Retry-After": wait}, Body: body}
}

var good = litfault.Step{Body: litfault.Papers}

// waits is the sentence of an engine that asks for an hour.
func waits(name string) string {
	return map[string]string{s2: "Semantic Scholar limits callers without a key", oa: "OpenAlex limits callers without a key", ax: "arXiv limits this address"}[name] + " (429) and asks to wait 1 h."
}

// common holds for every engine.
func common(name string) []fault {
	title := map[string]string{s2: "Semantic Scholar", oa: "OpenAlex", ax: "arXiv"}[name]
	none := map[string]string{s2: `{"total":0,"offset":0,"data":[]}`, oa: `{"meta":{"count":0},"results":[]}`, ax: litfault.Atom(nil)}[name]
	three := func(f fault) fault {
		f.asked, f.slept = 3, 7*time.Second
		return f
	}
	out := []fault{
		{name: "an answer", steps: []litfault.Step{good}, papers: 2, asked: 1},
		{name: "none", steps: []litfault.Step{status(200, none)}, asked: 1},
		three(fault{name: "empty", steps: []litfault.Step{status(200, "")}, cause: "BAD_ANSWER", detail: title + " did not answer usefully: ", next: "nullius status"}),
		{name: "an HTML page, then an answer", steps: []litfault.Step{status(200, "<!DOCTYPE html><html><body>Error</body></html>"), good}, papers: 2, asked: 2, slept: 2 * time.Second},
		three(fault{name: "null", steps: []litfault.Step{status(200, "null")}, cause: "BAD_ANSWER"}),
		three(fault{name: "a bomb", steps: []litfault.Step{{Body: litfault.Bomb}}, cause: "BAD_ANSWER", detail: title + " did not answer usefully: its answer is longer than 10 MB"}),
		three(fault{name: "a reset", steps: []litfault.Step{{Body: litfault.Reset}}, cause: "OUTAGE", detail: "The connection to " + title + " broke"}),
		{name: "cut, then an answer", steps: []litfault.Step{{Body: litfault.Cut}, good}, papers: 2, asked: 2, slept: 2 * time.Second},
		{name: "a hang, then an answer", steps: []litfault.Step{{Body: litfault.Hang}, good}, papers: 2, asked: 2, slept: 2 * time.Second},
		three(fault{name: "hangs", steps: []litfault.Step{{Body: litfault.Hang}}, cause: "TIMEOUT", detail: title + " did not answer within 300ms (3 tries)."}),
		three(fault{name: "404 on a list", steps: []litfault.Step{status(404, "{}")}, cause: "OUTAGE", detail: title + " did not answer (404, 3 tries)."}),
		{name: "500, then an answer", steps: []litfault.Step{status(500, "oops"), good}, papers: 2, asked: 2, slept: 2 * time.Second},
		three(fault{name: "504 three times", steps: []litfault.Step{status(504, `{"message":"Endpoint request timed out"}`)}, cause: "OUTAGE", detail: title + " did not answer (504, 3 tries).", next: "nullius status"}),
		three(fault{name: "429 without a wait", steps: []litfault.Step{status(429, "{}")}, cause: "RATE_LIMIT"}),
		{name: "429 with seconds", steps: []litfault.Step{after(429, "9", "{}"), good}, papers: 2, asked: 2, slept: 9 * time.Second},
		{name: "429 with zero", steps: []litfault.Step{after(429, "0", "{}"), good}, papers: 2, asked: 2, slept: time.Second},
		{name: "429 with a date", steps: []litfault.Step{{Status: 429, Header: map[string]string{"Retry-After": "Sat, 01 Aug 2026 12:00:05 GMT", "Date": "Sat, 01 Aug 2026 12:00:00 GMT"}, Body: "{}"}, good}, papers: 2, asked: 2, slept: 5 * time.Second},
		{name: "429 with a date by a clock an hour behind", steps: []litfault.Step{{Status: 429, Header: map[string]string{"Retry-After": "Sat, 01 Aug 2026 11:00:05 GMT", "Date": "Sat, 01 Aug 2026 11:00:00 GMT"}, Body: "{}"}, good}, papers: 2, asked: 2, slept: 5 * time.Second},
		{name: "429 with a date by a clock an hour ahead", steps: []litfault.Step{{Status: 429, Header: map[string]string{"Retry-After": "Sat, 01 Aug 2026 13:00:05 GMT", "Date": "Sat, 01 Aug 2026 13:00:00 GMT"}, Body: "{}"}, good}, papers: 2, asked: 2, slept: 5 * time.Second},
		{name: "429 with words", steps: []litfault.Step{after(429, "soon", "{}"), good}, papers: 2, asked: 2, slept: 2 * time.Second},
		{name: "429 for an hour", steps: []litfault.Step{after(429, "3600", "{}")}, cause: "RATE_LIMIT", detail: waits(name), asked: 1},
		three(fault{name: "503 sheds load", steps: []litfault.Step{status(503, "")}, cause: "RATE_LIMIT", detail: title + " sheds load (503, 3 tries)."}),
		{name: "503 with a wait", steps: []litfault.Step{after(503, "4", "busy"), good}, papers: 2, asked: 2, slept: 4 * time.Second},
		{name: "403 without a key is tried once more", steps: []litfault.Step{status(403, `{"message":"Forbidden"}`)}, cause: "OUTAGE", detail: title + " refuses this address (403, 2 tries).", asked: 2, slept: 2 * time.Second},
		{name: "400", steps: []litfault.Step{status(400, `{"error":"bad"}`)}, cause: "REJECTED", detail: title + " rejected the request (400", next: "nullius doctor", asked: 1},
		three(fault{name: "a redirect is not followed", steps: []litfault.Step{{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/"}, Body: "x"}}, cause: "BAD_ANSWER"}),
	}
	for i := range out {
		out[i].engine = name
	}
	return out
}

// own is what one engine says in its own way.
var own = []fault{
	{name: "S2: a search that found nothing leaves data out", engine: s2, steps: []litfault.Step{status(200, `{"total":0,"offset":0}`)}, asked: 1},
	{name: "S2: data is missing", engine: s2, steps: []litfault.Step{status(200, `{"total":5,"offset":0}`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "S2: counts papers and holds none", engine: s2, steps: []litfault.Step{status(200, `{"total":55,"offset":0,"next":10,"data":[]}`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "S2: data is null where none are counted", engine: s2, steps: []litfault.Step{status(200, `{"total":0,"data":null}`)}, asked: 1},
	{name: "S2: a key's limit for good", engine: s2, key: canary, steps: []litfault.Step{litfault.Limited(s2)}, cause: "RATE_LIMIT", detail: "Semantic Scholar limits this key (429, 3 tries).", next: "--engine openalex", asked: 3, slept: 7 * time.Second},
	{name: "OpenAlex: counts works and holds none", engine: oa, steps: []litfault.Step{status(200, `{"meta":{"count":7},"results":[]}`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "OpenAlex: a key is told to spend no other", engine: oa, key: canary, steps: []litfault.Step{litfault.Spent(120)}, cause: "QUOTA", next: "--engine auto", asked: 1},
	{name: "S2: null fields", engine: s2, steps: []litfault.Step{status(200, `{"total":2,"offset":0,"data":[{"paperId":"ab","externalIds":null,"title":"T x","year":null,"abstract":null,"authors":[{"name":null},{}],"citationCount":null,"journal":null,"publicationVenue":null,"openAccessPdf":null},{"paperId":"cd","title":null},null]}`)}, papers: 1, asked: 1},
	{name: "S2: its limit", engine: s2, steps: []litfault.Step{litfault.Limited(s2)}, cause: "RATE_LIMIT", detail: "Semantic Scholar limits callers without a key (429, 3 tries).", next: "--engine openalex, or S2_API_KEY", asked: 3, slept: 7 * time.Second},
	{name: "S2: its limit of a key", engine: s2, key: canary, steps: []litfault.Step{litfault.Limited(s2), good}, papers: 2, asked: 2, slept: 2 * time.Second},
	{name: "S2: a bad key", engine: s2, key: canary, steps: []litfault.Step{status(403, `{"message":"Forbidden"}`)}, cause: "KEY_REFUSED", detail: "Semantic Scholar refused S2_API_KEY (403); unused keys die after about 60 days.", next: "nullius doctor", asked: 1},
	{name: "S2: slow", engine: s2, steps: []litfault.Step{{Body: litfault.Papers, After: 50 * time.Millisecond}}, papers: 2, asked: 1},
	{name: "OpenAlex: JSON of another kind", engine: oa, steps: []litfault.Step{status(200, `{"ok":true}`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "OpenAlex: works that cannot be read", engine: oa, steps: []litfault.Step{status(200, `{"results":[{"display_name":7}]}`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "OpenAlex: the allowance is spent", engine: oa, steps: []litfault.Step{litfault.Spent(12000)}, cause: "QUOTA", detail: "OpenAlex's free $0.10 for today is spent; back in 3 h 20 min.", next: "OPENALEX_API_KEY (free)", asked: 1},
	{name: "OpenAlex: a key's allowance is spent", engine: oa, key: canary, steps: []litfault.Step{litfault.Spent(120)}, cause: "QUOTA", detail: "OpenAlex's allowance of this key for today is spent; back in 2 min.", asked: 1},
	{name: "OpenAlex: spent, told as 403", engine: oa, steps: []litfault.Step{{Status: 403, Body: litfault.Spent(60).Body, Header: litfault.Spent(60).Header}}, cause: "QUOTA", asked: 1},
	{name: "OpenAlex: a plan is wanted", engine: oa, steps: []litfault.Step{status(429, `{"error":"x","message":"Plan upgrade required"}`)}, cause: "REJECTED", asked: 1},
	{name: "OpenAlex: 401", engine: oa, key: canary, steps: []litfault.Step{status(401, `{"error":"Invalid API key `+canary+`"}`)}, cause: "KEY_REFUSED", detail: "OpenAlex refused OPENALEX_API_KEY (401).", asked: 1},
	{name: "OpenAlex: a rejection that echoes the key", engine: oa, key: canary, steps: []litfault.Step{status(400, `{"error":"bad key `+canary+`"}`)}, cause: "REJECTED", detail: "OpenAlex rejected the request (400: bad key ***).", asked: 1},
	{name: "arXiv: an error entry", engine: ax, steps: []litfault.Step{status(200, litfault.Rejected)}, cause: "REJECTED", detail: "arXiv rejected the request (incorrect id format for 1234.12345).", asked: 1},
	{name: "arXiv: an error entry with 400", engine: ax, steps: []litfault.Step{status(400, litfault.Rejected)}, cause: "REJECTED", detail: "arXiv rejected the request (incorrect id format", asked: 1},
	{name: "arXiv: rate exceeded, with status 200", engine: ax, steps: []litfault.Step{status(200, "Rate exceeded."), good}, papers: 2, asked: 2, slept: 2 * time.Second},
	{name: "arXiv: its limit", engine: ax, steps: []litfault.Step{litfault.Limited(ax)}, cause: "RATE_LIMIT", next: "--engine openalex", asked: 3, slept: 7 * time.Second},
	{name: "arXiv: counts papers and holds none", engine: ax, steps: []litfault.Step{status(200, strings.Replace(litfault.Atom(nil), ">0<", ">12<", 1))}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "arXiv: entities that grow", engine: ax, steps: []litfault.Step{status(200, `<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><feed xmlns="http://www.w3.org/2005/Atom"><entry><title>&b;</title></entry></feed>`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "arXiv: deeper than any feed", engine: ax, steps: []litfault.Step{status(200, `<feed xmlns="http://www.w3.org/2005/Atom">`+strings.Repeat("<x>", 100_000))}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "arXiv: a feed that breaks off", engine: ax, steps: []litfault.Step{status(200, litfault.Atom(known)[:600])}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
	{name: "arXiv: another charset", engine: ax, steps: []litfault.Step{status(200, `<?xml version="1.0" encoding="UTF-16"?><feed></feed>`)}, cause: "BAD_ANSWER", asked: 3, slept: 7 * time.Second},
}

func TestSearch_WhatIsSeenAndWhatItMeans(t *testing.T) {
	for _, tt := range slices.Concat(common(s2), common(oa), common(ax), own) {
		t.Run(tt.engine+": "+tt.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, tt.engine, tt.key, tt.steps...)
			a := p.find(t)
			cause, detail, next := "", "", ""
			if a.Failure != nil {
				cause, detail, next = a.Failure.Cause, a.Failure.Detail, a.Failure.Next
			}
			seen := p.server.Seen(tt.engine)
			if len(a.Papers) != tt.papers || cause != tt.cause || len(seen) != tt.asked || p.clock.slept != tt.slept {
				t.Errorf("got %d papers, cause %q (%s), %d requests, %s of waiting; want %d, %q, %d, %s", len(a.Papers), cause, detail, len(seen), p.clock.slept, tt.papers, tt.cause, tt.asked, tt.slept)
			}
			if !strings.HasPrefix(detail, tt.detail) || tt.next != "" && next != tt.next {
				t.Errorf("said %q, next %q; want %q, %q", detail, next, tt.detail, tt.next)
			}
			if a.Failure != nil && (detail == "" || next == "") {
				t.Errorf("a failure without sentence or next step: %+v", a.Failure)
			}
			if strings.Contains(detail+next+a.Request, canary) {
				t.Errorf("the key is told: %q %q", detail, a.Request)
			}
			for _, r := range seen {
				for _, v := range r.Query {
					if strings.Contains(strings.Join(v, " "), canary) {
						t.Error("the key is in the address")
					}
				}
				if got := r.Header.Get(map[string]string{s2: "X-Api-Key", oa: "Authorization"}[tt.engine]); tt.key != "" && !strings.HasSuffix(got, tt.key) {
					t.Errorf("the key went as %q", got)
				}
				if r.Header.Get("User-Agent") != "Nullius/test" {
					t.Errorf("agent %q", r.Header.Get("User-Agent"))
				}
			}
		})
	}
}

// TestSearch_TheGateIsTold: what every process must know goes to the shared state.
func TestSearch_TheGateIsTold(t *testing.T) {
	last := func(p *played) limit.Result { return p.gate.got[len(p.gate.got)-1] }
	p := play(t, s2, "", litfault.Limited(s2))
	p.find(t)
	if r := last(p); r.Outcome != limit.Limited || p.gate.got[0].Outcome != limit.Neutral || p.gate.got[0].Pause != 2*time.Second {
		t.Errorf("a limit: %+v", p.gate.got)
	}
	p = play(t, oa, "", litfault.Spent(600))
	p.find(t)
	if r := last(p); !r.Spent || r.Reset != 10*time.Minute {
		t.Errorf("a spent allowance: %+v", r)
	}
	p = play(t, oa, "", litfault.Step{Header: map[string]string{"X-RateLimit-Remaining-USD": "0.0005", "X-RateLimit-Reset": "60"}, Body: litfault.Papers})
	p.find(t)
	if r := last(p); r.Remaining == nil || *r.Remaining != 0.0005 || r.Reset != time.Minute || r.Outcome != limit.Good {
		t.Errorf("what is left: %+v", r)
	}
	p = play(t, ax, "", status(500, ""))
	p.find(t)
	if r := last(p); r.Outcome != limit.Broken {
		t.Errorf("an outage: %+v", r)
	}
	p = play(t, s2, "k", status(403, ""))
	p.find(t)
	p.find(t)
	if n := len(p.server.Seen(s2)); n != 1 {
		t.Errorf("a refused key was sent %d times", n)
	}
}

func TestMapping(t *testing.T) {
	for _, name := range []string{s2, oa, ax} {
		a := play(t, name, "").find(t)
		if a.Failure != nil || len(a.Papers) != 2 {
			t.Fatalf("%s: %+v", name, a)
		}
		p := a.Papers[0]
		if p.Title != "A Made-up Title" || p.DOI != "10.5555/x1" || p.ArXiv != "2101.00001" || p.Year != 2021 || p.Abstract != "We study a made-up thing." ||
			len(p.Authors) != 2 || p.Authors[1].Family != "van der Sample" || p.ID != "doi:10.5555/x1" || p.Key != "example2021made" {
			t.Errorf("%s: %+v", name, p)
		}
		if name != ax && (p.Venue != "Conf" || p.Kind != "conference" || *p.Citations != 3) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestByIDAndByTitle(t *testing.T) {
	unknown := literature.ID{DOI: "10.1/x?y#z", ArXiv: "9901.99999"}
	for _, name := range []string{s2, oa, ax} {
		p := play(t, name, "")
		if a := p.ByID(t.Context(), literature.ID{ArXiv: "1901.00002"}, call()); a.Failure != nil || len(a.Papers) != 1 || a.Papers[0].Year != 2019 {
			t.Errorf("%s by number: %+v", name, a)
		}
		if a := p.ByID(t.Context(), literature.ID{DOI: "10.5555/x2"}, call()); a.Unable != (name == ax) || name != ax && len(a.Papers) != 1 {
			t.Errorf("%s by DOI: %+v", name, a)
		}
		if a := p.ByID(t.Context(), unknown, call()); a.Failure != nil || len(a.Papers) != 0 {
			t.Errorf("%s, unknown: %+v", name, a)
		}
		if a := p.ByTitle(t.Context(), "Another: made-up {Title}", call()); a.Failure != nil || len(a.Papers) != 1 {
			t.Errorf("%s by title: %+v", name, a)
		}
		if a := p.ByTitle(t.Context(), "Quantum bees", call()); a.Failure != nil || len(a.Papers) != 0 {
			t.Errorf("%s by an unknown title: %+v", name, a)
		}
	}
	// Asked by number, arXiv may count a paper that it does not know.
	p := play(t, ax, "", status(200, strings.Replace(litfault.Atom(nil), ">0<", ">1<", 1)))
	if a := p.ByID(t.Context(), literature.ID{ArXiv: "1901.00009"}, call()); a.Failure != nil || len(a.Papers) != 0 {
		t.Errorf("counted but not there: %+v", a)
	}
}
