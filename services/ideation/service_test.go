package ideation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/llmtest"
	"nullius.dev/kit/store"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"

	"nullius.dev/services/ideation"
)

// world is the service over the real gRPC stack, with a scripted model and a played OpenAlex.
type world struct {
	conn     *grpc.ClientConn
	model    *llmtest.Script
	blobs    store.Blobs
	snapshot string
	requests atomic.Int64
}

func start(t *testing.T, replies map[string][]string, openAlex http.HandlerFunc) *world {
	t.Helper()
	w := &world{model: llmtest.New(t, replies), blobs: kittest.Blobs(t)}
	cfg := ideation.DefaultConfig()
	cfg.Listen = "inproc:ideation"
	if openAlex == nil {
		cfg.Offline = true
	} else {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/arxiv") { // what a test is about is OpenAlex
				rw.WriteHeader(http.StatusBadRequest)
				return
			}
			w.requests.Add(1)
			openAlex(rw, r)
		}))
		t.Cleanup(srv.Close)
		cfg.OpenAlex.BaseURL, cfg.OpenAlex.Interval = srv.URL, time.Millisecond
		cfg.ArXiv.BaseURL, cfg.ArXiv.Interval = srv.URL+"/arxiv", time.Millisecond
	}
	d, err := store.Edit(t.Context(), w.blobs, "", map[string][]byte{"experiment.py": []byte("print('noise')\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.snapshot = string(d)
	n := kittest.Network(t)
	if err := ideation.Attach(kittest.Host(t), n, cfg, ideation.Shared{Models: w.model, Blobs: w.blobs}); err != nil {
		t.Fatal(err)
	}
	if w.conn, err = n.Dial("inproc:ideation"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.conn.Close() })
	return w
}

// last reads a stream to its end and gives its only result.
func last[M any, R any](t *testing.T, s grpc.ServerStreamingClient[M], err error, result func(*M) *R) (*R, error) {
	t.Helper()
	if err != nil {
		return nil, err
	}
	var out *R
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if r := result(m); r != nil {
			if out != nil {
				t.Error("a second result")
			}
			out = r
		}
	}
}

func (w *world) generate(t *testing.T, edit func(*ideationv1.GenerateIdeaRequest)) (*ideationv1.GenerateIdeaResult, error) {
	t.Helper()
	r := &ideationv1.GenerateIdeaRequest{
		Step: "s1/_/ideation/idea-1", Snapshot: w.snapshot, Model: "openai/gpt-4o", System: "You are careful.", TaskDescription: "Ridge regression on noise.",
		Archive: []*recordv1.Idea{{Name: "seed_one", Title: "Ridge penalties per width", Experiment: "Try a grid of penalties for every width."}},
		Limits:  &ideationv1.Limits{Runs: 3, TimePerRun: "2 minutes", Hardware: "2 CPU cores", Modules: []string{"numpy"}},
	}
	if edit != nil {
		edit(r)
	}
	s, err := ideationv1.NewIdeationServiceClient(w.conn).GenerateIdea(t.Context(), r)
	return last(t, s, err, (*ideationv1.GenerateIdeaResponse).GetResult)
}

const ours = "I thought.\n```json\n" + `{"Name": "Early-Stop!", "Title": "Early stopping against ridge", "Hypothesis": "They agree.", "Experiment": "Stop gradient descent at several steps.",
 "PrimaryMetric": {"name": "log_error", "dataset": "noise_0.3", "direction": "minimize"}, "PlannedRuns": [{"name": "a", "change": "stop at 10", "expected": "less"}],
 "Risks": "None worth the name.", "Interestingness": 7, "Feasibility": 9, "Novelty": 4}` + "\n```"

const foreign = `THOUGHT: this may work.
NEW IDEA JSON:
` + "```json\n" + `{"Name": "noise_injection", "Title": "Noise injection as a penalty", "Experiment": "Add noise to the inputs and compare.", "Interestingness": "8", "Feasibility": "7/10", "Novelty": 5.4,}` + "\n```"

const copied = `{"Name": "seed_one", "Title": "Ridge penalties per width", "Experiment": "Try a grid of penalties for every width."}`

func TestGenerateIdea(t *testing.T) {
	tests := []struct {
		name    string
		replies map[string][]string
		rounds  int32 // asked for
		outcome ideationv1.GenerateIdeaResult_Outcome
		idea    string
		made    int32
	}{
		{"a draft, an improvement, done", map[string][]string{"draft": {ours},
			"reflect-1": {`{"criticism": "vague", "done": false, "idea": {"Name": "early_stop", "Title": "When early stopping equals ridge", "Experiment": "Match the norms."}}`},
			"reflect-2": {`{"criticism": "", "done": true}`}}, 0, ideationv1.GenerateIdeaResult_IDEA, "When early stopping equals ridge", 3},
		{"a model that says I am done in prose", map[string][]string{"draft": {foreign}, "reflect-1": {"I am done. Nothing to add."}}, 3, ideationv1.GenerateIdeaResult_IDEA, "Noise injection as a penalty", 2},
		{"foreign fields, scores as text, a trailing comma", map[string][]string{"draft": {foreign}}, 1, ideationv1.GenerateIdeaResult_IDEA, "Noise injection as a penalty", 1},
		{"prose, then an object", map[string][]string{"draft": {"Let me think about it."}, "draft/retry-1": {ours}}, 1, ideationv1.GenerateIdeaResult_IDEA, "Early stopping against ridge", 1},
		{"nothing, twice", map[string][]string{"draft": {""}, "draft/retry-1": {"{}"}}, 1, ideationv1.GenerateIdeaResult_LLM_OUTPUT_INVALID, "", 0},
		{"a refusal", map[string][]string{"draft": {"!refused I cannot help with that."}}, 1, ideationv1.GenerateIdeaResult_LLM_REFUSED, "", 0},
		{"a refusal in prose, twice", map[string][]string{"draft": {"I’m sorry, but I can't help with that."}, "draft/retry-1": {"I cannot assist with this request."}}, 1, ideationv1.GenerateIdeaResult_LLM_REFUSED, "", 0},
		{"a refusal in prose, then an idea", map[string][]string{"draft": {"I'm sorry, I cannot do that."}, "draft/retry-1": {ours}}, 1, ideationv1.GenerateIdeaResult_IDEA, "Early stopping against ridge", 1},
		{"prose that is no refusal, twice", map[string][]string{"draft": {"Interesting task."}, "draft/retry-1": {"I cannot decide between two ideas, so here are thoughts. " + strings.Repeat("More of them. ", 120)}}, 1, ideationv1.GenerateIdeaResult_LLM_OUTPUT_INVALID, "", 0},
		{"too long a prompt", map[string][]string{"draft": {"!too_long"}}, 1, ideationv1.GenerateIdeaResult_CONTEXT_TOO_LONG, "", 0},
		{"a duplicate is sent back once", map[string][]string{"draft": {copied}, "draft/duplicate": {ours}}, 1, ideationv1.GenerateIdeaResult_IDEA, "Early stopping against ridge", 1},
		{"a duplicate twice is dropped", map[string][]string{"draft": {copied}, "draft/duplicate": {copied}}, 1, ideationv1.GenerateIdeaResult_DUPLICATE, "Ridge penalties per width", 1},
		{"a reflection that cannot be used leaves the draft", map[string][]string{"draft": {ours}, "reflect-1": {"hm"}, "reflect-1/retry-1": {"[1, 2]"}}, 3, ideationv1.GenerateIdeaResult_IDEA, "Early stopping against ridge", 1},
		{"a reflection that becomes a duplicate leaves the draft", map[string][]string{"draft": {ours}, "reflect-1": {copied}}, 2, ideationv1.GenerateIdeaResult_IDEA, "Early stopping against ridge", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, tt.replies, nil)
			res, err := w.generate(t, func(r *ideationv1.GenerateIdeaRequest) { r.Reflections = tt.rounds })
			if err != nil {
				t.Fatal(err)
			}
			w.model.Unused()
			if res.GetOutcome() != tt.outcome || res.GetIdea().GetTitle() != tt.idea || res.GetRounds() != tt.made {
				t.Errorf("got %v %q after %d rounds (%s), want %v %q after %d", res.GetOutcome(), res.GetIdea().GetTitle(), res.GetRounds(), res.GetReason(), tt.outcome, tt.idea, tt.made)
			}
			if res.GetUsage().GetCalls() != int32(len(w.model.Requests())) {
				t.Errorf("%d calls are counted, %d were made", res.GetUsage().GetCalls(), len(w.model.Requests()))
			}
		})
	}
}

func TestGenerateIdea_FieldsAndBadRequests(t *testing.T) {
	w := start(t, map[string][]string{"draft": {ours}}, nil)
	res, err := w.generate(t, func(r *ideationv1.GenerateIdeaRequest) { r.Reflections = 1 })
	if err != nil {
		t.Fatal(err)
	}
	i := res.GetIdea()
	if i.GetName() != "early_stop" || i.GetPrimaryMetric().GetDirection() != recordv1.Direction_MINIMIZE || len(i.GetPlannedRuns()) != 1 || !json.Valid([]byte(i.GetSourceJson())) {
		t.Errorf("the idea came out as %v", i)
	}
	prompt := llmtest.PromptText(w.model.Requests()[0])
	for _, want := range []string{"You are careful.", "Ridge regression on noise.", "print('noise')", "seed_one", "2 minutes", "numpy", "at most 3 runs"} {
		if !strings.Contains(prompt, want) {
			t.Errorf("the prompt lacks %q", want)
		}
	}
	for name, edit := range map[string]func(*ideationv1.GenerateIdeaRequest){
		"no model": func(r *ideationv1.GenerateIdeaRequest) { r.Model = "" },
		"step":     func(r *ideationv1.GenerateIdeaRequest) { r.Step = "x" },
		"snapshot": func(r *ideationv1.GenerateIdeaRequest) { r.Snapshot = "sha256:1" },
		"rounds":   func(r *ideationv1.GenerateIdeaRequest) { r.Reflections = 1000 },
	} {
		if _, err := w.generate(t, edit); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want an invalid request", name, err)
		}
	}
}

func (w *world) assess(t *testing.T, engine string) *ideationv1.AssessNoveltyResult {
	t.Helper()
	s, err := ideationv1.NewIdeationServiceClient(w.conn).AssessNovelty(t.Context(), &ideationv1.AssessNoveltyRequest{
		Step: "s1/idea-1/novelty/assess", Model: "openai/gpt-4o", Engine: engine, MaxRounds: 5, TaskDescription: "Ridge regression on noise.",
		Idea: &recordv1.Idea{Name: "early_stop", Title: "Early stopping against ridge", Experiment: "Stop gradient descent."},
	})
	res, err := last(t, s, err, (*ideationv1.AssessNoveltyResponse).GetResult)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func search(q string) string { return fmt.Sprintf(`{"action": "search", "query": %q}`, q) }

const novel = `{"action": "decide", "verdict": "novel", "explanation": "Nothing near.", "nearest": []}`

// works plays OpenAlex: one work for each request, named after the query.
func works(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query().Get("search") + r.URL.Query().Get("filter")
	fmt.Fprintf(w, `{"meta":{"count":3},"results":[`)
	for i := range 3 {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, `{"id":"https://openalex.org/W%d%d","display_name":%q,"publication_year":2021,"authorships":[{"author":{"display_name":"Ada Example"}}],"abstract_inverted_index":{"We":[0],"study":[1]},"cited_by_count":3}`,
			len(q), i, fmt.Sprintf("A paper on %s, part %d", q, i))
	}
	fmt.Fprint(w, `]}`)
}

func TestAssessNovelty(t *testing.T) {
	three := map[string][]string{"round-1": {search("early stopping ridge")}, "round-2": {search("gradient descent norm")}, "round-3": {search("implicit regularization")}, "round-4": {novel}}
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	tests := []struct {
		name     string
		replies  map[string][]string
		openAlex http.HandlerFunc
		engine   string
		verdict  string
		reason   string
		nearest  int
	}{
		{"three answered searches make novel", three, works, "openalex", "NOVEL", "", 0},
		{"offline, novel stays undecided", three, nil, "auto", "UNDECIDED", "ONLY_LOCAL", 0},
		{"offline, a shown paper makes not novel", map[string][]string{"round-1": {search("early stopping gradient descent")},
			"round-2": {`{"action":"decide","verdict":"not_novel","explanation":"Known.","nearest":[{"paper":1,"shares":"both","differs":"none"},{"paper":99,"shares":"x"}]}`}}, nil, "", "NOT_NOVEL", "", 1},
		{"not novel without a shown paper is nothing", map[string][]string{"round-1": {`{"action":"decide","verdict":"not_novel","nearest":[{"paper":"Made-up Paper"}]}`}}, nil, "local", "UNDECIDED", "NO_VERDICT", 0},
		{"too few searches", map[string][]string{"round-1": {search("early stopping")}, "round-2": {novel}}, works, "openalex", "UNDECIDED", "TOO_FEW", 0},
		{"an engine that fails is no evidence", map[string][]string{"round-1": {search("early stopping")}, "round-2": {novel}}, down, "openalex", "UNDECIDED", "NO_ANSWER", 0},
		{"the same query twice in a row ends it", map[string][]string{"round-1": {search("early stopping")}, "round-2": {search("Early  Stopping")}, "round-3": {search("early stopping")}}, nil, "local", "UNDECIDED", "NO_VERDICT", 0},
		{"prose of another system's form", map[string][]string{"round-1": {search("bandits")}, "round-2": {"I looked. Decision made: not novel."}}, nil, "local", "UNDECIDED", "NO_VERDICT", 0},
		{"nothing usable", map[string][]string{"round-1": {"hm"}, "round-1/retry-1": {"hm"}}, nil, "local", "UNDECIDED", "LLM_OUTPUT_INVALID", 0},
		{"a refusal", map[string][]string{"round-1": {"!refused no"}}, nil, "local", "UNDECIDED", "LLM_REFUSED", 0},
		{"a refusal in prose, twice", map[string][]string{"round-1": {"I'm sorry, but I am unable to help."}, "round-1/retry-1": {"As an AI, I cannot judge that."}}, nil, "local", "UNDECIDED", "LLM_REFUSED", 0},
		{"the last round must decide", map[string][]string{"round-1": {search("a1 lasso")}, "round-2": {search("b2 ridge")}, "round-3": {search("c3 trees")}, "round-4": {search("d4 forest")}, "round-5": {search("e5")}, "round-5/retry-1": {search("f6")}}, nil, "local", "UNDECIDED", "LLM_OUTPUT_INVALID", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, tt.replies, tt.openAlex)
			res := w.assess(t, tt.engine)
			w.model.Unused()
			if res.GetVerdict().String() != tt.verdict || res.GetReason() != tt.reason || len(res.GetNearest()) != tt.nearest {
				t.Errorf("got %v %s %q with %d nearest, want %s %s with %d", res.GetVerdict(), res.GetReason(), res.GetExplanation(), len(res.GetNearest()), tt.verdict, tt.reason, tt.nearest)
			}
		})
	}
}

func TestAssessNovelty_ARepeatedStepAsksNothingAnew(t *testing.T) {
	w := start(t, map[string][]string{"round-1": {search("early stopping ridge")}, "round-2": {novel}}, works)
	w.assess(t, "openalex")
	model, engine := len(w.model.Requests()), w.requests.Load()
	w.assess(t, "openalex")
	if w.requests.Load() != engine {
		t.Errorf("the engine was asked %d times more", w.requests.Load()-engine)
	}
	for i, r := range w.model.Requests()[model:] {
		if llmtest.PromptText(r) != llmtest.PromptText(w.model.Requests()[i]) {
			t.Errorf("call %d differs", i)
		}
	}
}

func TestSearchPapers(t *testing.T) {
	w := start(t, nil, nil)
	c := literaturev1.NewLiteratureServiceClient(w.conn)
	find := func(r *literaturev1.SearchPapersRequest) (*literaturev1.SearchResult, error) {
		s, err := c.SearchPapers(t.Context(), r)
		return last(t, s, err, (*literaturev1.SearchPapersResponse).GetResult)
	}
	res, err := find(&literaturev1.SearchPapersRequest{Query: "double descent", Step: "s1/idea-1/writing/draft", Call: "cite/need-01"})
	if err != nil || res.GetOutcome() != literaturev1.SearchResult_FOUND || !strings.Contains(res.GetPapers()[0].GetBibtex(), "@") {
		t.Fatalf("got %v, %v", res, err)
	}
	if res.GetAsked()[0].GetCause() != "OFFLINE" {
		t.Errorf("the skipped engine is not told: %v", res.GetAsked())
	}
	for name, r := range map[string]*literaturev1.SearchPapersRequest{
		"an empty query":           {},
		"a query without words":    {Query: "!?* |"},
		"a step without a call":    {Query: "x", Step: "s/i/t"},
		"an engine nobody has":     {Query: "x", Engine: "google"},
		"a recording without step": {Query: "x", Engine: "recording/" + strings.Repeat("0", 64)},
	} {
		if _, err := find(r); !errors.Is(err, fault.Invalid) || fault.ReasonOf(err) != "FIELD_INVALID" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := find(&literaturev1.SearchPapersRequest{Query: "x", Engine: "openalex", RequireAnswer: true}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("an answer was required: got %v", err)
	}
}

func TestSearchPapers_Recording(t *testing.T) {
	w := start(t, nil, nil)
	d, err := store.Edit(t.Context(), w.blobs, "", map[string][]byte{
		"index.jsonl": []byte("{\"recording\":1}\n{\"idea\":\"idea-1\",\"step\":\"novelty/assess\",\"call\":\"round-1/search\",\"kind\":\"literature\",\"usage\":{},\"file\":\"a.json\"}\n"),
		"a.json":      []byte(`{"outcome":"FOUND","papers":[{"title":"A Kept Paper","authors":[{"given":"Ada","family":"Example"}],"year":2020,"kind":"journal"}],"asked":[{"engine":"openalex","result":"ANSWERED"}],"query_used":"kept","rung":0}`),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(call string) (*literaturev1.SearchResult, error) {
		s, err := literaturev1.NewLiteratureServiceClient(w.conn).SearchPapers(t.Context(), &literaturev1.SearchPapersRequest{
			Query: "kept", Engine: "recording/" + d.Hex(), Step: "s1/idea-1/novelty/assess", Call: call})
		return last(t, s, err, (*literaturev1.SearchPapersResponse).GetResult)
	}
	res, err := ask("round-1/search")
	if err != nil || len(res.GetPapers()) != 1 || res.GetPapers()[0].GetKey() != "example2020kept" {
		t.Errorf("got %v, %v", res, err)
	}
	if _, err := ask("round-2/search"); fault.ReasonOf(err) != "RECORDING_MISSING" {
		t.Errorf("a missing entry: got %v", err)
	}
}

func TestResolvePaper(t *testing.T) {
	w := start(t, nil, nil)
	resolve := func(r *literaturev1.ResolvePaperRequest) *literaturev1.ResolveResult {
		s, err := literaturev1.NewLiteratureServiceClient(w.conn).ResolvePaper(t.Context(), r)
		res, err := last(t, s, err, (*literaturev1.ResolvePaperResponse).GetResult)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	tests := []struct {
		name string
		in   *literaturev1.ResolvePaperRequest
		want string
		key  string
	}{
		{"by title", &literaturev1.ResolvePaperRequest{Title: "Attention is all you need", Authors: []string{"Vaswani, A.", "others"}, Year: 2017}, "FOUND", "vaswani2017attention"},
		{"by entry", &literaturev1.ResolvePaperRequest{Bibtex: "@misc{x, title={Bagging predictors}, author={Breiman, Leo}, year={2001}}"}, "FOUND_WITH_OTHER_METADATA", "breiman1996bagging"},
		{"by arXiv number", &literaturev1.ResolvePaperRequest{ArxivId: "arXiv:1912.02292v2"}, "FOUND", "nakkiran2019deep"},
		{"a real number on an invented title", &literaturev1.ResolvePaperRequest{Title: "Quantum bees in the bandit forest", ArxivId: "1912.02292"}, "ENGINE_UNAVAILABLE", ""},
		{"the local list proves nothing", &literaturev1.ResolvePaperRequest{Title: "Consistency Models"}, "ENGINE_UNAVAILABLE", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := resolve(tt.in)
			if res.GetOutcome().String() != tt.want || res.GetPaper().GetKey() != tt.key {
				t.Errorf("got %v %s, want %s %s", res.GetOutcome(), res.GetPaper().GetKey(), tt.want, tt.key)
			}
		})
	}
}
