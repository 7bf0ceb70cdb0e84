package ideation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"

	"nullius.dev/services/ideation"
	"nullius.dev/services/ideation/litfault"
)

// judge is a model that makes three searches, and then decides from what it was shown.
type judge struct {
	mu    sync.Mutex
	ideas map[string]judged // by title
	calls int
}

// judged is how the judge treats an idea.
type judged struct {
	queries []string
	listed  string // title of the paper that it repeats; empty: none
}

func (j *judge) Chat(_ context.Context, r llm.Request) (llm.Reply, error) {
	prompt := r.Messages[0].Parts[0].Text
	j.mu.Lock()
	j.calls++
	var idea judged
	found := false
	for title, i := range j.ideas {
		if strings.Contains(prompt, `"Title": "`+title+`"`) {
			idea, found = i, true
		}
	}
	j.mu.Unlock()
	if !found {
		return llm.Reply{}, errors.New("the judge does not know this idea")
	}
	round := 0
	if _, err := fmt.Sscanf(r.Origin.Call, "round-%d", &round); err != nil {
		return llm.Reply{}, err
	}
	text := novel
	switch n := shownAs(prompt, idea.listed); {
	case n > 0:
		text = fmt.Sprintf(`{"action":"decide","verdict":"not_novel","explanation":"It was done.","nearest":[{"paper":%d,"shares":"the question","differs":"nothing that matters"}]}`, n)
	case round <= len(idea.queries):
		text = search(idea.queries[round-1])
	}
	return llm.Reply{Text: text, Finish: llm.Stop, Model: r.Model, Source: llm.FromProvider}, nil
}

// shownAs is the number under which a title was shown; 0: it was not.
func shownAs(prompt, title string) int {
	if title == "" {
		return 0
	}
	for line := range strings.Lines(prompt) {
		n := 0
		if _, err := fmt.Sscanf(line, "[%d] ", &n); err == nil && strings.Contains(line, "] "+title) {
			return n
		}
	}
	return 0
}

// assessed is a verdict, and what was told on the way.
type assessed struct {
	res     *ideationv1.AssessNoveltyResult
	waiting int
}

func assessWith(t *testing.T, c ideationv1.IdeationServiceClient, study, title, engine string) (assessed, error) {
	t.Helper()
	var out assessed
	s, err := c.AssessNovelty(t.Context(), &ideationv1.AssessNoveltyRequest{
		Step: study + "/novelty/assess", Model: "openai/gpt-4o", Engine: engine, TaskDescription: "T.",
		Idea: &recordv1.Idea{Name: "x", Title: title, Experiment: "Try it."},
	})
	if err != nil {
		return out, err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if p := m.GetProgress(); p.GetUntil() != nil && strings.Contains(p.GetPhase(), "Semantic Scholar") {
			out.waiting++
		}
		if r := m.GetResult(); r != nil {
			out.res = r
		}
	}
}

// TestAssessNovelty_ParallelIdeasShareOneLimit: on a Semantic Scholar that refuses what comes too soon, no idea fails or is
// judged on no evidence, and that they wait shows. Two processes share the limit over the bus.
func TestAssessNovelty_ParallelIdeasShareOneLimit(t *testing.T) {
	// Limit and pace are a twentieth of the real ones, but how late a busy machine under the race detector sends does not shrink with them: hence the margin.
	const ideas, limit, margin = 16, 50 * time.Millisecond, 100 * time.Millisecond
	t.Setenv("S2_API_KEY", "k")
	s := litfault.New(shelf...)
	t.Cleanup(s.Close)
	s.Limit(litfault.SemanticScholar, limit)
	conn := kittest.NATS(t)
	j := &judge{ideas: map[string]judged{}}
	for i := range ideas {
		j.ideas[fmt.Sprintf("Idea number %d", i)] = judged{queries: []string{fmt.Sprintf("early stopping %d", i), fmt.Sprintf("stopping trees %d", i), fmt.Sprintf("early members %d", i)}}
	}
	s.Search(litfault.SemanticScholar, func(string, int) []litfault.Paper { return shelf }) // three papers, so that one rung is enough
	var clients []ideationv1.IdeationServiceClient
	for p := range 2 {
		cfg := ideation.DefaultConfig()
		cfg.Listen = fmt.Sprintf("inproc:ideation-%d", p)
		cfg.SemanticScholar = ideation.EngineConfig{BaseURL: s.Base(litfault.SemanticScholar), Interval: limit + margin}
		n := kittest.Network(t)
		if err := ideation.Attach(kittest.Host(t), n, cfg, ideation.Shared{Bus: conn, Models: j, Blobs: kittest.Blobs(t)}); err != nil {
			t.Fatal(err)
		}
		c, err := n.Dial(cfg.Listen)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		clients = append(clients, ideationv1.NewIdeationServiceClient(c))
	}
	got := make([]assessed, ideas)
	var wg sync.WaitGroup
	for i := range ideas {
		wg.Go(func() {
			var err error
			if got[i], err = assessWith(t, clients[i%2], fmt.Sprintf("study-%d/idea-%d", i%3, i), fmt.Sprintf("Idea number %d", i), "semanticscholar"); err != nil {
				t.Errorf("idea %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	waiting := 0
	for i, a := range got {
		if a.res.GetVerdict() != ideationv1.AssessNoveltyResult_NOVEL {
			t.Errorf("idea %d: %v %s %s", i, a.res.GetVerdict(), a.res.GetReason(), a.res.GetExplanation())
		}
		waiting += a.waiting
	}
	if waiting == 0 {
		t.Error("nobody was told of the wait")
	}
	good, refused := 0, 0
	for _, r := range s.Seen(litfault.SemanticScholar) {
		if r.Status == 200 {
			good++
		} else {
			refused++
		}
	}
	if good != 3*ideas {
		t.Errorf("%d requests were answered, %d refused; %d were needed", good, refused, 3*ideas)
	}
}
