package ideation_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/kittest"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"

	"nullius.dev/services/ideation"
	"nullius.dev/services/ideation/litfault"
)

var shelf = []litfault.Paper{
	{Title: "Early stopping as implicit ridge", Authors: []string{"Ada Example", "Bo Sample"}, Year: 2019, Venue: "Conf", Kind: "conference", DOI: "10.5555/es1", ArXiv: "1901.00001", Abstract: "Stopping early shrinks directions."},
	{Title: "Early stopping in deep ensembles", Authors: []string{"Cy Example"}, Year: 2021, Venue: "Journal of Things", Kind: "journal", DOI: "10.5555/es2", Abstract: "Members stop early."},
	{Title: "Early stopping revisited for trees", Authors: []string{"Di Example"}, Year: 2022, ArXiv: "2201.00003", Kind: "preprint", Abstract: "Trees stop early."},
}

// reading is the LiteratureService over played engines.
type reading struct {
	t      *testing.T
	server *litfault.Server
	client literaturev1.LiteratureServiceClient
	conn   *grpc.ClientConn
}

func open(t *testing.T, edit func(*ideation.Config)) *reading {
	t.Helper()
	s := litfault.New(shelf...)
	t.Cleanup(s.Close)
	cfg := ideation.DefaultConfig()
	cfg.Listen = "inproc:literature"
	for engine, e := range map[string]*ideation.EngineConfig{litfault.SemanticScholar: &cfg.SemanticScholar, litfault.OpenAlex: &cfg.OpenAlex.EngineConfig, litfault.ArXiv: &cfg.ArXiv} {
		e.BaseURL, e.Interval = s.Base(engine), time.Millisecond
	}
	if edit != nil {
		edit(&cfg)
	}
	n := kittest.Network(t)
	if err := ideation.AttachLibrary(kittest.Host(t), n, cfg, kittest.Blobs(t)); err != nil {
		t.Fatal(err)
	}
	conn, err := n.Dial(cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &reading{t, s, literaturev1.NewLiteratureServiceClient(conn), conn}
}

func (r *reading) search(q *literaturev1.SearchPapersRequest) *literaturev1.SearchResult {
	r.t.Helper()
	s, err := r.client.SearchPapers(r.t.Context(), q)
	res, err := last(r.t, s, err, (*literaturev1.SearchPapersResponse).GetResult)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

func (r *reading) resolve(q *literaturev1.ResolvePaperRequest) *literaturev1.ResolveResult {
	r.t.Helper()
	s, err := r.client.ResolvePaper(r.t.Context(), q)
	res, err := last(r.t, s, err, (*literaturev1.ResolvePaperResponse).GetResult)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// story is what engines said, in short.
func story(asked []*literaturev1.Asked) string {
	var out []string
	for _, a := range asked {
		s := a.GetEngine() + " " + a.GetResult().String()
		if a.GetCause() != "" {
			s += " " + a.GetCause()
		}
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

var bad = litfault.Step{Status: 400, Body: `{"error":"no"}`} // the failure that is not tried again

func TestSearchPapers_AutoGoesOnUntilOneAnswers(t *testing.T) {
	tests := []struct {
		name  string
		key   string
		play  map[string][]litfault.Step
		query string
		want  string
		story string
	}{
		{"with a key, Semantic Scholar", "k", nil, "early stopping", "FOUND", "semanticscholar ANSWERED"},
		{"without a key, OpenAlex", "", nil, "early stopping", "FOUND", "semanticscholar SKIPPED KEY_MISSING, openalex ANSWERED"},
		{"after a failure, arXiv", "", map[string][]litfault.Step{litfault.OpenAlex: {bad}}, "early stopping", "FOUND", "semanticscholar SKIPPED KEY_MISSING, openalex FAILED REJECTED, arxiv ANSWERED"},
		{"after nothing, the next", "k", map[string][]litfault.Step{litfault.SemanticScholar: {{Body: `{"total":0,"offset":0}`}}}, "early stopping", "FOUND", "semanticscholar EMPTY, openalex ANSWERED"},
		{"all down, the local list", "", map[string][]litfault.Step{litfault.OpenAlex: {bad}, litfault.ArXiv: {{Status: 400}}}, "double descent", "FOUND", "semanticscholar SKIPPED KEY_MISSING, openalex FAILED REJECTED, arxiv FAILED REJECTED, local ANSWERED"},
		{"nobody knows it", "", nil, "zyzzyva quokka", "NOTHING", "semanticscholar SKIPPED KEY_MISSING, openalex EMPTY, arxiv EMPTY, local EMPTY COVERAGE"},
		{"a DOI is looked up", "k", nil, "https://doi.org/10.5555/ES1", "FOUND", "semanticscholar ANSWERED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("S2_API_KEY", tt.key)
			r := open(t, nil)
			for engine, steps := range tt.play {
				r.server.Play(engine, steps...)
			}
			res := r.search(&literaturev1.SearchPapersRequest{Query: tt.query})
			if res.GetOutcome().String() != tt.want || story(res.GetAsked()) != tt.story {
				t.Errorf("%v: %s\nwant %s: %s", res.GetOutcome(), story(res.GetAsked()), tt.want, tt.story)
			}
			if (res.GetSentence() == "") != (tt.want == "FOUND") {
				t.Errorf("sentence %q", res.GetSentence())
			}
		})
	}
}

func TestSearchPapers_SaysWhoWasAskedInstead(t *testing.T) {
	r := open(t, nil)
	r.server.Play(litfault.OpenAlex, bad)
	res := r.search(&literaturev1.SearchPapersRequest{Query: "early stopping"})
	if d := res.GetAsked()[1].GetDetail(); d != "OpenAlex rejected the request (400: no); arXiv was asked." {
		t.Errorf("said %q", d)
	}
}

func TestResolvePaper_WhatProvesThatAPaperDoesNotExist(t *testing.T) {
	year := int32(time.Now().Year())
	unknown := &literaturev1.ResolvePaperRequest{Title: "Quantum bees in the bandit forest", Authors: []string{"Example, Ada"}, Year: 2003}
	recent := &literaturev1.ResolvePaperRequest{Title: "Quantum bees in the bandit forest", Year: year}
	down := func(engines ...string) map[string][]litfault.Step {
		out := map[string][]litfault.Step{}
		for _, e := range engines {
			out[e] = []litfault.Step{bad}
		}
		return out
	}
	oa, ax := litfault.OpenAlex, litfault.ArXiv
	tests := []struct {
		name     string
		key      string
		engine   string
		play     map[string][]litfault.Step
		in       *literaturev1.ResolvePaperRequest
		want     string
		sentence string
	}{
		{"two engines say so", "", "", nil, unknown, "NOT_FOUND", `OpenAlex and arXiv know no "Quantum bees in the bandit forest" (`},
		{"three say so", "k", "", nil, unknown, "NOT_FOUND", "Semantic Scholar, OpenAlex and arXiv know no"},
		{"two of three, the other down", "k", "", down(oa), unknown, "NOT_FOUND", "Semantic Scholar and arXiv know no"},
		{"one of two", "", "", down(ax), unknown, "ENGINE_UNAVAILABLE", "No engine answered: "},
		{"none", "", "", down(oa, ax), unknown, "ENGINE_UNAVAILABLE", "No engine answered: Semantic Scholar was passed over"},
		{"a recent one needs arXiv", "k", "", down(ax), recent, "ENGINE_UNAVAILABLE", ""},
		{"an older one does not", "k", "", down(ax), unknown, "NOT_FOUND", "Semantic Scholar and OpenAlex know no"},
		{"the one engine that was chosen", "", "openalex", nil, unknown, "NOT_FOUND", "OpenAlex knows no"},
		{"the chosen one is down", "", "openalex", down(oa), unknown, "ENGINE_UNAVAILABLE", ""},
		{"the local list alone", "", "local", nil, unknown, "ENGINE_UNAVAILABLE", "Not among the local index's "},
		{"a real DOI on an invented title", "", "", nil, &literaturev1.ResolvePaperRequest{Title: "Quantum bees in the bandit forest", Doi: "10.5555/es1"}, "NOT_FOUND", "OpenAlex and arXiv know no"},
		{"a DOI alone that nobody knows", "k", "", nil, &literaturev1.ResolvePaperRequest{Doi: "10.5555/none"}, "NOT_FOUND", "Semantic Scholar and OpenAlex know no doi 10.5555/none"},
		{"found", "", "", nil, &literaturev1.ResolvePaperRequest{Title: "Early stopping as implicit ridge", Authors: []string{"Ada Example", "Bo Sample"}, Year: 2019}, "FOUND", ""},
		{"found at arXiv, OpenAlex down", "", "", down(oa), &literaturev1.ResolvePaperRequest{ArxivId: "2201.00003"}, "FOUND", ""},
		{"another author", "k", "", nil, &literaturev1.ResolvePaperRequest{Title: "Early stopping as implicit ridge", Authors: []string{"Zed Other"}, Year: 2019}, "FOUND_WITH_OTHER_METADATA", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("S2_API_KEY", tt.key)
			r := open(t, nil)
			for engine, steps := range tt.play {
				r.server.Play(engine, steps...)
			}
			tt.in.Engine = tt.engine
			res := r.resolve(tt.in)
			if res.GetOutcome().String() != tt.want || !strings.HasPrefix(res.GetSentence(), tt.sentence) {
				t.Errorf("got %v %q (%s), want %s %q", res.GetOutcome(), res.GetSentence(), story(res.GetAsked()), tt.want, tt.sentence)
			}
			if tt.want == "NOT_FOUND" && res.GetNext() == "" {
				t.Error("no next step")
			}
		})
	}
}

func TestOfflineDialsNobody(t *testing.T) {
	t.Setenv("S2_API_KEY", "k")
	r := open(t, func(c *ideation.Config) { c.Offline = true })
	for _, engine := range []string{"", "auto", "openalex", "arxiv", "semanticscholar", "local"} {
		r.search(&literaturev1.SearchPapersRequest{Query: "double descent", Engine: engine})
		r.resolve(&literaturev1.ResolvePaperRequest{Title: "Quantum bees", Engine: engine})
	}
	for _, e := range []string{litfault.SemanticScholar, litfault.OpenAlex, litfault.ArXiv} {
		if n := len(r.server.Seen(e)); n > 0 {
			t.Errorf("%s was asked %d times", e, n)
		}
	}
}

// TestOnePaperFromFourEngines has one identity and one key, whoever tells of it.
func TestOnePaperFromFourEngines(t *testing.T) {
	t.Setenv("S2_API_KEY", "k")
	r := open(t, nil)
	seen := map[string]bool{}
	for _, engine := range []string{"semanticscholar", "openalex", "arxiv"} {
		res := r.search(&literaturev1.SearchPapersRequest{Query: "early stopping implicit ridge", Engine: engine})
		if len(res.GetPapers()) == 0 {
			t.Fatalf("%s: %v", engine, res)
		}
		seen[res.GetPapers()[0].GetId()+" "+res.GetPapers()[0].GetKey()] = true
	}
	if len(seen) != 1 || !seen["doi:10.5555/es1 example2019early"] {
		t.Errorf("it has %d identities: %v", len(seen), seen)
	}
}

// TestCache: what was asked is not asked again, nor twice at once; what failed is.
func TestCache(t *testing.T) {
	r := open(t, nil)
	q := &literaturev1.SearchPapersRequest{Query: "early stopping", Engine: "openalex"}
	r.server.Play(litfault.OpenAlex, litfault.Step{Body: litfault.Papers, After: 100 * time.Millisecond})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { r.search(q) })
	}
	wg.Wait()
	if n := len(r.server.Seen(litfault.OpenAlex)); n != 1 {
		t.Errorf("asked %d times for the same", n)
	}
	res := r.search(q)
	if a := res.GetAsked()[0]; !a.GetCached() || a.GetAsOf() == nil {
		t.Errorf("an answer from the cache does not say so: %v", a)
	}
	r.server.Play(litfault.OpenAlex, bad, litfault.Step{Body: litfault.Papers})
	q.Query = "early stopping trees"
	if res := r.search(q); res.GetOutcome() != literaturev1.SearchResult_UNAVAILABLE {
		t.Errorf("got %v", res.GetOutcome())
	}
	if res := r.search(q); res.GetOutcome() != literaturev1.SearchResult_FOUND {
		t.Errorf("a failure was kept: %v", res.GetOutcome())
	}
}

// TestResolvePaper_WaitingLookupsBecomeOneRequest at engines that take many identifiers at once.
func TestResolvePaper_WaitingLookupsBecomeOneRequest(t *testing.T) {
	t.Setenv("S2_API_KEY", "k")
	for engine, ids := range map[string]func(int) *literaturev1.ResolvePaperRequest{
		"semanticscholar": func(i int) *literaturev1.ResolvePaperRequest {
			if i == 0 {
				return &literaturev1.ResolvePaperRequest{Doi: "10.5555/es2"}
			}
			return &literaturev1.ResolvePaperRequest{Doi: fmt.Sprintf("10.5555/unknown%d", i)}
		},
		"arxiv": func(i int) *literaturev1.ResolvePaperRequest {
			if i == 0 {
				return &literaturev1.ResolvePaperRequest{ArxivId: "2201.00003"}
			}
			return &literaturev1.ResolvePaperRequest{ArxivId: fmt.Sprintf("2202.1%04d", i)}
		},
	} {
		t.Run(engine, func(t *testing.T) {
			r := open(t, func(c *ideation.Config) {
				c.SemanticScholar.Interval, c.ArXiv.Interval = 500*time.Millisecond, 500*time.Millisecond
			})
			r.resolve(&literaturev1.ResolvePaperRequest{Title: "the first slot", Engine: engine}) // now all others must wait
			var wg sync.WaitGroup
			outcomes := make([]literaturev1.ResolveResult_Outcome, 20)
			for i := range outcomes {
				wg.Go(func() {
					q := ids(i)
					q.Engine = engine
					outcomes[i] = r.resolve(q).GetOutcome()
				})
			}
			wg.Wait()
			name := map[string]string{"semanticscholar": litfault.SemanticScholar, "arxiv": litfault.ArXiv}[engine]
			if n := len(r.server.Seen(name)); n > 6 {
				t.Errorf("%d requests for 20 lookups", n)
			}
			for i, o := range outcomes {
				want := literaturev1.ResolveResult_NOT_FOUND
				if i == 0 {
					want = literaturev1.ResolveResult_FOUND
				}
				if o != want {
					t.Errorf("lookup %d: %v, want %v", i, o, want)
				}
			}
		})
	}
}

// TestSearchPapers_ACancelledCallerSpoilsNothing: who waited with it asks anew.
func TestSearchPapers_ACancelledCallerSpoilsNothing(t *testing.T) {
	r := open(t, nil)
	r.server.Play(litfault.OpenAlex, litfault.Step{Body: litfault.Papers, After: 300 * time.Millisecond}, litfault.Step{Body: litfault.Papers})
	ctx, cancel := context.WithCancel(t.Context())
	q := &literaturev1.SearchPapersRequest{Query: "early stopping", Engine: "openalex"}
	s, err := r.client.SearchPapers(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil { // it has begun
		t.Fatal(err)
	}
	done := make(chan *literaturev1.SearchResult, 1)
	go func() { done <- r.search(q) }()
	kittest.Eventually(t, 5*time.Second, func() error {
		if len(r.server.Seen(litfault.OpenAlex)) == 0 {
			return fmt.Errorf("nobody asked yet")
		}
		return nil
	})
	cancel()
	if res := <-done; res.GetOutcome() != literaturev1.SearchResult_FOUND {
		t.Errorf("got %v: %s", res.GetOutcome(), story(res.GetAsked()))
	}
}
