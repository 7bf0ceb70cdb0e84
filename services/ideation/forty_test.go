package ideation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/kittest"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"

	"nullius.dev/services/ideation"
	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/litfault"
)

// written is an idea of testdata/novelty.json: 20 say in other words what a bundled paper did, 20 are of other subjects.
type written struct {
	Listed, Title, Hypothesis, Experiment string
}

// queries are what a judge asks for who takes the words of an idea, part by part.
func (w written) queries() (out []string) {
	for _, part := range []string{w.Title, w.Hypothesis, w.Experiment} {
		words := query.Content(part)
		out = append(out, strings.Join(words[:min(len(words), 8)], " "))
	}
	return out
}

// bundledSearch plays an engine that knows the bundled papers and, as engines do, wants every word.
func bundledSearch(t *testing.T, x *index.Index) func(string, int) []litfault.Paper {
	return func(q string, limit int) (out []litfault.Paper) {
		words := query.Content(q)
		for _, any := range []bool{false, true} { // relevance search of Semantic Scholar ranks, it does not insist
			found, err := x.Search(context.WithoutCancel(t.Context()), query.Rung{Words: words, Any: any}, 0, 0, limit)
			if err != nil {
				t.Error(err)
			}
			for _, p := range found {
				l := litfault.Paper{Title: p.Title, Year: p.Year, DOI: p.DOI, ArXiv: p.ArXiv, Venue: p.Venue, Kind: p.Kind, Abstract: p.Abstract}
				for _, a := range p.Authors {
					l.Authors = append(l.Authors, a.String())
				}
				out = append(out, l)
			}
			if len(out) > 0 {
				break
			}
		}
		return out
	}
}

func forty(t *testing.T) []written {
	t.Helper()
	raw, err := os.ReadFile("testdata/novelty.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []written
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 40 {
		t.Fatalf("%d ideas", len(list))
	}
	return list
}

// TestAssessNovelty_FortyIdeas: a judge that answers from the papers shown to it is believed in 40 of 40, and is shown the
// paper that an idea repeats in at least 19 of 20.
func TestAssessNovelty_FortyIdeas(t *testing.T) {
	t.Setenv("S2_API_KEY", "k")
	x, err := index.OpenBundled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	list := forty(t)
	client, s := judged40(t, list, 30*time.Second)
	s.Search(litfault.SemanticScholar, bundledSearch(t, x))
	shown := 0
	for i, w := range list {
		a, err := assessWith(t, client, fmt.Sprintf("s/idea-%d", i), w.Title, "semanticscholar")
		if err != nil {
			t.Fatal(err)
		}
		saw := false
		for _, p := range a.res.GetPapers() {
			saw = saw || w.Listed != "" && p.GetTitle() == w.Listed
		}
		if saw {
			shown++
		}
		want := ideationv1.AssessNoveltyResult_NOVEL
		if saw {
			want = ideationv1.AssessNoveltyResult_NOT_NOVEL
		}
		if a.res.GetVerdict() != want {
			t.Errorf("%q: %v %s %q, the judge said %v", w.Title, a.res.GetVerdict(), a.res.GetReason(), a.res.GetExplanation(), want)
		}
		if saw && (len(a.res.GetNearest()) != 1 || a.res.GetNearest()[0].GetShares() == "") {
			t.Errorf("%q: nearest %v", w.Title, a.res.GetNearest())
		}
		if w.Listed != "" && !saw {
			t.Logf("%q was never shown %q", w.Title, w.Listed)
		}
	}
	if shown < 19 {
		t.Errorf("the repeated paper was shown in %d of 20", shown)
	}
}

// judged40 is the service with a judge who knows the ideas. An engine that has said nothing for try counts as hung.
func judged40(t *testing.T, list []written, try time.Duration) (ideationv1.IdeationServiceClient, *litfault.Server) {
	t.Helper()
	s := litfault.New()
	t.Cleanup(s.Close)
	j := &judge{ideas: map[string]judged{}}
	for _, w := range list {
		j.ideas[w.Title] = judged{queries: w.queries(), listed: w.Listed}
	}
	cfg := ideation.DefaultConfig()
	cfg.Listen = "inproc:ideation"
	for engine, e := range map[string]*ideation.EngineConfig{litfault.SemanticScholar: &cfg.SemanticScholar, litfault.OpenAlex: &cfg.OpenAlex.EngineConfig, litfault.ArXiv: &cfg.ArXiv} {
		e.BaseURL, e.Interval, e.TryLimit = s.Base(engine), time.Millisecond, try
	}
	n := kittest.Network(t)
	if err := ideation.Attach(kittest.Host(t), n, cfg, ideation.Shared{Models: j, Blobs: kittest.Blobs(t)}); err != nil {
		t.Fatal(err)
	}
	c, err := n.Dial(cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return ideationv1.NewIdeationServiceClient(c), s
}

// TestAssessNovelty_EveryFailureEndsUndecided with its reason, whichever way an engine fails.
func TestAssessNovelty_EveryFailureEndsUndecided(t *testing.T) {
	t.Setenv("S2_API_KEY", "k")
	s2, oa, ax := litfault.SemanticScholar, litfault.OpenAlex, litfault.ArXiv
	tests := []struct {
		name, engine, played string
		step                 litfault.Step
		said                 string
	}{
		{"a refused key", "semanticscholar", s2, litfault.Step{Status: 403, Body: `{"message":"Forbidden"}`}, "refused S2_API_KEY (403)"},
		{"a rejected request", "semanticscholar", s2, litfault.Step{Status: 400, Body: `{"error":"Unrecognized field"}`}, "rejected the request (400: Unrecognized field)"},
		{"a limit for an hour", "semanticscholar", s2, litfault.Step{Status: 429, Header: map[string]string{"Retry-After": "3600"}}, "limits this key (429) and asks to wait 1 h; Semantic Scholar asked to be left alone for "},
		{"a spent allowance", "openalex", oa, litfault.Spent(7200), "free $0.10 for today is spent; back in 2 h"},
		{"an error entry", "arxiv", ax, litfault.Step{Body: litfault.Rejected}, "arXiv rejected the request (incorrect id format"},
	}
	if os.Getenv("NULLIUS_SOAK") != "" { // each search waits 7 s between its tries
		tests = append(tests, []struct {
			name, engine, played string
			step                 litfault.Step
			said                 string
		}{
			{"an outage", "openalex", oa, litfault.Step{Status: 504}, "did not answer (504, 3 tries)"},
			{"an HTML page", "arxiv", ax, litfault.Step{Body: "<html>"}, "did not answer usefully"},
			{"a hang", "semanticscholar", s2, litfault.Step{Body: litfault.Hang}, "did not answer within 200ms"},
		}...)
	}
	list := forty(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, s := judged40(t, list[len(list)-1:], 200*time.Millisecond)
			s.Play(tt.played, tt.step)
			a, err := assessWith(t, client, "s/idea-1", list[len(list)-1].Title, tt.engine)
			if err != nil {
				t.Fatal(err)
			}
			if a.res.GetVerdict() != ideationv1.AssessNoveltyResult_UNDECIDED || a.res.GetReason() != "NO_ANSWER" || !strings.Contains(a.res.GetExplanation(), tt.said) || a.res.GetNext() != "nullius literature search WORDS" {
				t.Errorf("got %v %s %q, next %q; want UNDECIDED NO_ANSWER %q", a.res.GetVerdict(), a.res.GetReason(), a.res.GetExplanation(), a.res.GetNext(), tt.said)
			}
		})
	}
}
