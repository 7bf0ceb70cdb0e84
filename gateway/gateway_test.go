package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/gateway"
	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// world is a gateway on a real broker with workers that answer as scripted.
type world struct {
	t     *testing.T
	bus   *bus.Conn
	blobs store.Blobs
	host  *app.Host
	api   gatewayv1.StudyServiceClient
	tree  string
	w     *workers
	dir   string
	// what this machine has; see gateway.Deps
	missing func([]string) ([]string, error)
	latex   func() bool
	// journal's quota; 0: the default
	quota int64
}

// workers play all services. hook, when set, is asked before each step's answer.
type workers struct {
	ideationv1.UnimplementedIdeationServiceServer
	coderv1.UnimplementedCoderServiceServer
	executorv1.UnimplementedExecutorServiceServer
	writerv1.UnimplementedWriterServiceServer
	reviewerv1.UnimplementedReviewerServiceServer
	tree    string
	mu      sync.Mutex
	seen    []string // steps asked for
	hook    func(ctx context.Context, step string) error
	jobs    map[string]*executorv1.Job
	fail    func(job string) bool
	cancels []*executorv1.CancelRequest
	prints  string // what each job prints before it goes on
}

func (w *workers) enter(ctx context.Context, step string) error {
	w.mu.Lock()
	w.seen = append(w.seen, step)
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		return hook(ctx, step)
	}
	return nil
}

func (w *workers) count(step string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.seen {
		if s == step {
			n++
		}
	}
	return n
}

func (w *workers) GenerateIdea(r *ideationv1.GenerateIdeaRequest, s grpc.ServerStreamingServer[ideationv1.GenerateIdeaResponse]) error {
	if err := w.enter(s.Context(), r.GetStep()); err != nil {
		return err
	}
	n := len(r.GetArchive())
	return s.Send(&ideationv1.GenerateIdeaResponse{Event: &ideationv1.GenerateIdeaResponse_Result{Result: &ideationv1.GenerateIdeaResult{
		Outcome: ideationv1.GenerateIdeaResult_IDEA, Idea: &recordv1.Idea{Name: fmt.Sprintf("idea_%d", n), Title: fmt.Sprintf("Idea %d", n), Experiment: "vary"}}}})
}

// WriteIdeas and ReadIdeas play the service's: here an idea is its Name, and the same Name is the same idea.
func (w *workers) WriteIdeas(_ context.Context, r *ideationv1.WriteIdeasRequest) (*ideationv1.WriteIdeasResponse, error) {
	var names []string
	for _, i := range r.GetIdeas() {
		names = append(names, i.GetIdea().GetName())
	}
	return &ideationv1.WriteIdeasResponse{Json: strings.Join(names, " ")}, nil
}

func (w *workers) ReadIdeas(ctx context.Context, r *ideationv1.ReadIdeasRequest) (*ideationv1.ReadIdeasResponse, error) {
	if err := w.enter(ctx, "compare"); err != nil {
		return nil, err
	}
	out := &ideationv1.ReadIdeasResponse{}
	archive := r.GetArchive()
	for name := range strings.FieldsSeq(r.GetJson()) {
		read := &ideationv1.ReadIdea{Idea: &recordv1.Idea{Name: name}}
		for _, a := range archive {
			if a.GetName() == name {
				read.Near, read.Why = a.GetName(), "it has the same Name"
			}
		}
		archive = append(archive, read.Idea)
		out.Ideas = append(out.Ideas, read)
	}
	return out, nil
}

func (w *workers) AssessNovelty(r *ideationv1.AssessNoveltyRequest, s grpc.ServerStreamingServer[ideationv1.AssessNoveltyResponse]) error {
	if err := w.enter(s.Context(), r.GetStep()); err != nil {
		return err
	}
	verdict := ideationv1.AssessNoveltyResult_NOVEL
	if strings.Contains(r.GetIdea().GetTitle(), "known") {
		verdict = ideationv1.AssessNoveltyResult_NOT_NOVEL
	}
	result := &ideationv1.AssessNoveltyResult{Verdict: verdict}
	if strings.Contains(r.GetIdea().GetTitle(), "unsearchable") {
		result = &ideationv1.AssessNoveltyResult{Verdict: ideationv1.AssessNoveltyResult_UNDECIDED, Reason: "NO_ANSWER", Next: "nullius literature search WORDS"}
	}
	return s.Send(&ideationv1.AssessNoveltyResponse{Event: &ideationv1.AssessNoveltyResponse_Result{Result: result}})
}

func (w *workers) edited(outcome coderv1.Edited_Outcome) *coderv1.Edited {
	return &coderv1.Edited{Outcome: outcome, Snapshot: w.tree, LinesAdded: 1}
}

func (w *workers) ImplementRun(r *coderv1.ImplementRunRequest, s grpc.ServerStreamingServer[coderv1.ImplementRunResponse]) error {
	if err := w.enter(s.Context(), r.GetFrame().GetStep()); err != nil {
		return err
	}
	outcome := coderv1.Edited_CHANGED
	if r.GetNumber() == 3 {
		outcome = coderv1.Edited_FINISHED
	}
	return s.Send(&coderv1.ImplementRunResponse{Event: &coderv1.ImplementRunResponse_Result{Result: w.edited(outcome)}})
}

func (w *workers) RepairRun(r *coderv1.RepairRunRequest, s grpc.ServerStreamingServer[coderv1.RepairRunResponse]) error {
	if err := w.enter(s.Context(), r.GetFrame().GetStep()); err != nil {
		return err
	}
	return s.Send(&coderv1.RepairRunResponse{Event: &coderv1.RepairRunResponse_Result{Result: w.edited(coderv1.Edited_CHANGED)}})
}

func (w *workers) ImplementPlots(r *coderv1.ImplementPlotsRequest, s grpc.ServerStreamingServer[coderv1.ImplementPlotsResponse]) error {
	if err := w.enter(s.Context(), r.GetFrame().GetStep()); err != nil {
		return err
	}
	return s.Send(&coderv1.ImplementPlotsResponse{Event: &coderv1.ImplementPlotsResponse_Result{Result: w.edited(coderv1.Edited_CHANGED)}})
}

func (w *workers) DescribeResults(r *coderv1.DescribeResultsRequest, s grpc.ServerStreamingServer[coderv1.DescribeResultsResponse]) error {
	if err := w.enter(s.Context(), r.GetFrame().GetStep()); err != nil {
		return err
	}
	return s.Send(&coderv1.DescribeResultsResponse{Event: &coderv1.DescribeResultsResponse_Result{Result: w.edited(coderv1.Edited_CHANGED)}})
}

func (w *workers) Submit(_ context.Context, r *executorv1.SubmitRequest) (*executorv1.SubmitResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs[r.GetJob().GetJobId()] = r.GetJob()
	return &executorv1.SubmitResponse{}, nil
}

func (w *workers) Cancel(_ context.Context, r *executorv1.CancelRequest) (*executorv1.CancelResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels = append(w.cancels, r)
	return &executorv1.CancelResponse{}, nil
}

func (w *workers) Watch(r *executorv1.WatchRequest, s grpc.ServerStreamingServer[executorv1.WatchResponse]) error {
	if w.prints != "" {
		chunk := &executorv1.LogChunk{Attempt: 1, Stream: executorv1.LogChunk_STDOUT, Data: []byte(w.prints)}
		if err := s.Send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_Log{Log: chunk}}); err != nil {
			return err
		}
	}
	if err := w.enter(s.Context(), r.GetJobId()); err != nil {
		return err
	}
	w.mu.Lock()
	job := w.jobs[r.GetJobId()]
	failed := w.fail != nil && w.fail(r.GetJobId())
	w.mu.Unlock()
	res := &executorv1.JobResult{EndReason: executorv1.EndReason_SUCCEEDED, Snapshot: w.tree, Wall: durationpb.New(time.Second),
		Node: "rack-7", Level: "strict", Cpu: durationpb.New(1500 * time.Millisecond), PeakMemoryBytes: 64 << 20, Io: &executorv1.Io{ReadBytes: 512, WrittenBytes: 8 << 20},
		Stalled: &executorv1.Stalls{Cpu: durationpb.New(300 * time.Millisecond), Memory: durationpb.New(0), Io: durationpb.New(2 * time.Second)}}
	if failed {
		res.EndReason, res.ExitCode, res.Message = executorv1.EndReason_FAILED, 1, "exit 1"
	} else if job.GetMeasure() {
		res.Measurements = []*recordv1.Measurement{{Dataset: "d", Metric: "loss", Value: 0.5, N: 3}}
	} else {
		res.Outputs = []*executorv1.CollectedOutput{{Path: "fig.png", SizeBytes: 3}}
	}
	return s.Send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_Result{Result: &executorv1.JobRecord{State: executorv1.State_ENDED, Result: res}}})
}

func (w *workers) WritePaper(r *writerv1.WritePaperRequest, s grpc.ServerStreamingServer[writerv1.WritePaperResponse]) error {
	if err := w.enter(s.Context(), r.GetStep()); err != nil {
		return err
	}
	return s.Send(&writerv1.WritePaperResponse{Event: &writerv1.WritePaperResponse_Result{Result: &writerv1.Paper{Outcome: writerv1.Paper_COMPILED, Snapshot: w.tree, PagesTotal: 8}}})
}

func (w *workers) RevisePaper(r *writerv1.RevisePaperRequest, s grpc.ServerStreamingServer[writerv1.RevisePaperResponse]) error {
	if err := w.enter(s.Context(), r.GetStep()); err != nil {
		return err
	}
	if len(r.GetReview().GetComments()) == 0 {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the criticism is empty")
	}
	return s.Send(&writerv1.RevisePaperResponse{Event: &writerv1.RevisePaperResponse_Result{Result: &writerv1.Paper{Outcome: writerv1.Paper_COMPILED, Snapshot: w.tree, PagesTotal: 9}}})
}

func (w *workers) ListForms(context.Context, *reviewerv1.ListFormsRequest) (*reviewerv1.ListFormsResponse, error) {
	return &reviewerv1.ListFormsResponse{Accepts: []reviewerv1.Accepts_Input{reviewerv1.Accepts_SNAPSHOT}}, nil
}

func (w *workers) ReviewPaper(r *reviewerv1.ReviewPaperRequest, s grpc.ServerStreamingServer[reviewerv1.ReviewPaperResponse]) error {
	if err := w.enter(s.Context(), r.GetStep()); err != nil {
		return err
	}
	return s.Send(&reviewerv1.ReviewPaperResponse{Event: &reviewerv1.ReviewPaperResponse_Result{Result: &reviewerv1.Review{
		Outcome: reviewerv1.Review_REVIEWED, Decision: reviewerv1.Decision_REJECT, Scores: []*reviewerv1.Score{{Item: "Overall", Value: 5}}, Weaknesses: []string{"small"}}}})
}

const promptJSON = `{"system": "You are a researcher.", "task_description": "Lower the loss."}`

// newWorld starts broker, workers and gateway, and uploads a template.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newWorldOn(t, kittest.NATS(t))
	if _, err := w.upload("toy", toy()); err != nil {
		t.Fatalf("upload: %v", err)
	}
	return w
}

// newWorldOn starts workers and gateway on a broker.
func newWorldOn(t *testing.T, b *bus.Conn) *world {
	t.Helper()
	w := &world{t: t, bus: b, blobs: kittest.Blobs(t), dir: t.TempDir()}
	tree, err := store.Edit(t.Context(), w.blobs, "", map[string][]byte{"experiment.py": []byte("print(1)\n"), "notes.txt": []byte("n"), "fig.png": []byte("png"), "latex/template.tex": []byte("tex")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.tree = string(tree)
	w.w = &workers{tree: w.tree, jobs: map[string]*executorv1.Job{}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// toy is a template in AI-Scientist's format.
func toy() map[string]string {
	return map[string]string{
		"experiment.py": "import argparse, json\np = argparse.ArgumentParser()\np.add_argument('--out_dir')\n", "plot.py": "import json\n", "prompt.json": promptJSON, "seed_ideas.json": "[]",
	}
}

func (w *world) upload(name string, files map[string]string) (*gatewayv1.UploadTemplateResponse, error) {
	w.t.Helper()
	up, err := w.api.UploadTemplate(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	send := func(m *gatewayv1.UploadTemplateRequest) {
		if err := up.Send(m); err != nil && !errors.Is(err, io.EOF) {
			w.t.Fatal(err)
		}
	}
	send(&gatewayv1.UploadTemplateRequest{Part: &gatewayv1.UploadTemplateRequest_Header{Header: &gatewayv1.TemplateHeader{Name: name}}})
	for p, text := range files {
		send(&gatewayv1.UploadTemplateRequest{Part: &gatewayv1.UploadTemplateRequest_Chunk{Chunk: &gatewayv1.FileChunk{Path: p, Data: []byte(text)}}})
	}
	return up.CloseAndRecv()
}

// start builds a gateway, as a process that starts does.
func (w *world) start() {
	w.t.Helper()
	n := kittest.Network(w.t)
	w.host = app.NewHost(w.t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	err := rpc.Serve(w.host, n, "inproc:workers", func(r grpc.ServiceRegistrar) {
		ideationv1.RegisterIdeationServiceServer(r, w.w)
		coderv1.RegisterCoderServiceServer(r, w.w)
		executorv1.RegisterExecutorServiceServer(r, w.w)
		writerv1.RegisterWriterServiceServer(r, w.w)
		reviewerv1.RegisterReviewerServiceServer(r, w.w)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := gateway.DefaultConfig()
	cfg.Listen, cfg.DataDir, cfg.SoleOwner = "127.0.0.1:0", w.dir, true
	if w.quota > 0 {
		cfg.JournalBytes = w.quota
	}
	cfg.Peers = gateway.Peers{Ideation: "inproc:workers", Coder: "inproc:workers", Executor: "inproc:workers", Writer: "inproc:workers", Reviewer: "inproc:workers"}
	kv := func(name string) *budget.Book {
		b, err := w.bus.KV(w.t.Context(), budget.Bucket())
		if err != nil {
			w.t.Fatal(name, err)
		}
		return budget.New(b)
	}
	entries, err := w.bus.KV(w.t.Context(), ledger.Bucket())
	if err != nil {
		w.t.Fatal(err)
	}
	svc, err := gateway.Attach(w.t.Context(), w.host, n, cfg, gateway.Shared{Bus: w.bus, Blobs: w.blobs, Budgets: kv("BUDGETS"), Ledger: ledger.New(entries, w.blobs, ledger.Config{}),
		MissingModules: func(modules []string) ([]string, error) {
			if w.missing == nil {
				return nil, nil
			}
			return w.missing(modules)
		}, CanCompile: func() bool { return w.latex == nil || w.latex() }})
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := n.Dial("dns:///" + svc.Address())
	if err != nil {
		w.t.Fatal(err)
	}
	w.host.OnStop("client", time.Second, func(context.Context) error { return conn.Close() })
	w.api = gatewayv1.NewStudyServiceClient(conn)
}

func (w *world) stop() {
	if err := w.host.Stop(); err != nil {
		w.t.Errorf("stop: %v", err)
	}
}

func (w *world) study(s *gatewayv1.StudySettings, own ...*recordv1.Idea) string {
	w.t.Helper()
	s.Model = "scripted"
	r, err := w.api.StartStudy(w.t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: s, OwnIdeas: own})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.GetStudy().GetName()
}

func (w *world) until(name string, want gatewayv1.IdeaState_Value) *gatewayv1.Study {
	w.t.Helper()
	var st *gatewayv1.Study
	kittest.Eventually(w.t, 20*time.Second, func() error {
		r, err := w.api.GetStudy(w.t.Context(), &gatewayv1.GetStudyRequest{Name: name})
		if err != nil {
			return err
		}
		if st = r.GetStudy(); st.GetState() != want {
			return fmt.Errorf("study is %v (%s %s), want %v; ideas %v", st.GetState(), st.GetReason(), st.GetMessage(), want, st.GetIdeas())
		}
		return nil
	})
	return st
}

func (w *world) ideaUntil(name string, want gatewayv1.IdeaState_Value) *gatewayv1.Idea {
	w.t.Helper()
	var i *gatewayv1.Idea
	kittest.Eventually(w.t, 20*time.Second, func() error {
		r, err := w.api.GetIdea(w.t.Context(), &gatewayv1.GetIdeaRequest{Name: name})
		if err != nil {
			return err
		}
		if i = r.GetIdea(); i.GetSummary().GetState() != want {
			return fmt.Errorf("idea is %v (%s %s), want %v", i.GetSummary().GetState(), i.GetSummary().GetReason(), i.GetSummary().GetMessage(), want)
		}
		return nil
	})
	return i
}

func TestAStudyGoesThroughEveryStage(t *testing.T) {
	w := newWorld(t)
	w.w.fail = func(job string) bool { return strings.HasSuffix(job, "run-2/execute-1") }
	name := w.study(&gatewayv1.StudySettings{Ideas: 2, Improvement: true})
	st := w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	if len(st.GetIdeas()) != 2 {
		t.Fatalf("ideas: %v", st.GetIdeas())
	}
	i := w.ideaUntil(name+"/ideas/idea-1", gatewayv1.IdeaState_SUCCEEDED)
	if len(i.GetRuns()) != 3 || i.GetRuns()[2].GetTries() != 2 || i.GetSecondReview().GetOverall() != 5 || len(i.GetFigures()) != 1 {
		t.Errorf("runs %v, review %v, figures %v", i.GetRuns(), i.GetSecondReview(), i.GetFigures())
	}
	files, err := w.api.ListFiles(t.Context(), &gatewayv1.ListFilesRequest{Parent: i.GetName()})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range files.GetFiles() {
		have[f.GetPath()] = true
	}
	for _, want := range []string{"review.json", "review.txt", "review_improved.txt", "report.md", "events.jsonl", "cost.json", "log.txt", "trace.jsonl", "run_1.py",
		"failed/experiments_run-2_execute-1/outcome.txt", "notes.txt", "idea_0_coder.txt"} {
		if !have[want] {
			t.Errorf("no file %s among %v", want, have)
		}
	}
}

func TestANotNovelIdeaIsRejected(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{}, &recordv1.Idea{Name: "k", Title: "A known thing", Experiment: "x"})
	st := w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	if got := st.GetIdeas()[0]; got.GetState() != gatewayv1.IdeaState_REJECTED || got.GetReason() != "NOT_NOVEL" {
		t.Errorf("got %v", got)
	}
}

func TestAnOwnIdeaIsComparedWithTheStudy(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Until: "novelty"}, &recordv1.Idea{Name: "wider", Title: "Wider", Experiment: "x"})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	for _, tc := range []struct {
		idea string
		dead bool
		code string // of the warning; empty: none
		says string
	}{
		{idea: "deeper"},
		{idea: "wider", code: "near-duplicate", says: "idea-1 (wider): it has the same Name"},
		{idea: "deeper", code: "near-duplicate", says: "own-1 (deeper)"},
		{idea: "narrower", dead: true, code: "not-compared", says: "did not answer"},
	} {
		w.w.mu.Lock()
		w.w.hook = func(_ context.Context, step string) error {
			if tc.dead && step == "compare" {
				return fault.New(fault.Unavailable, "BUS_UNAVAILABLE", "away")
			}
			return nil
		}
		w.w.mu.Unlock()
		got, err := w.api.SubmitIdea(t.Context(), &gatewayv1.SubmitIdeaRequest{Parent: name, Idea: &recordv1.Idea{Name: tc.idea, Title: tc.idea, Experiment: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		ended := w.ideaUntil(got.GetIdea().GetName(), gatewayv1.IdeaState_SUCCEEDED)
		for when, found := range map[string][]*recordv1.Warning{"in the answer": got.GetIdea().GetWarnings(), "later": ended.GetWarnings()} {
			if tc.code == "" {
				if len(found) > 0 {
					t.Errorf("%s: %s %v", tc.idea, when, found)
				}
				continue
			}
			if len(found) != 1 || found[0].GetCode() != tc.code || !strings.Contains(found[0].GetText(), tc.says) {
				t.Errorf("%s: %s %v, want %s %q", tc.idea, when, found, tc.code, tc.says)
			}
		}
	}
}

// TestTheIdeasOfAFileAreCompared with each other and with the template's: it is told when the study starts, and stands at the idea.
func TestTheIdeasOfAFileAreCompared(t *testing.T) {
	w := newWorld(t)
	own := []*recordv1.Idea{{Name: "wider", Title: "Wider", Experiment: "x"}, {Name: "deeper", Title: "Deeper", Experiment: "x"}, {Name: "wider", Title: "Wider again", Experiment: "x"}}
	for _, dead := range []bool{false, true} {
		w.w.mu.Lock()
		w.w.hook = func(_ context.Context, step string) error {
			if dead && step == "compare" {
				return fault.New(fault.Unavailable, "BUS_UNAVAILABLE", "away")
			}
			return nil
		}
		w.w.mu.Unlock()
		r, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Until: "novelty", Model: "scripted"}, OwnIdeas: own})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, f := range r.GetStudy().GetWarnings() {
			told = append(told, f.GetText())
		}
		last := w.ideaUntil(r.GetStudy().GetName()+"/ideas/idea-3", gatewayv1.IdeaState_SUCCEEDED)
		if dead {
			if len(told) != 3 || !strings.Contains(told[0], "idea-1: the ideation service did not answer") || len(last.GetWarnings()) != 1 || last.GetWarnings()[0].GetCode() != "not-compared" {
				t.Errorf("nobody compared: told %q; idea-3 %v", told, last.GetWarnings())
			}
			continue
		}
		const says = "this idea seems to repeat idea-1 (wider): it has the same Name; it runs all the same"
		if len(told) != 1 || told[0] != "idea-3: "+says || len(last.GetWarnings()) != 1 || last.GetWarnings()[0].GetText() != says {
			t.Errorf("told %q; idea-3 %v", told, last.GetWarnings())
		}
		for _, id := range []string{"idea-1", "idea-2"} {
			if i := w.ideaUntil(r.GetStudy().GetName()+"/ideas/"+id, gatewayv1.IdeaState_SUCCEEDED); len(i.GetWarnings()) != 0 {
				t.Errorf("%s: %v", id, i.GetWarnings())
			}
		}
	}
}

func TestAnUndecidedNoveltySaysWhatToDo(t *testing.T) {
	w := newWorld(t)
	for undecided, state := range map[string]gatewayv1.IdeaState_Value{"go_on": gatewayv1.IdeaState_SUCCEEDED, "reject": gatewayv1.IdeaState_REJECTED} {
		name := w.study(&gatewayv1.StudySettings{Until: "novelty", Undecided: undecided}, &recordv1.Idea{Name: "u", Title: "An unsearchable thing", Experiment: "x"})
		i := w.ideaUntil(name+"/ideas/idea-1", state)
		const next = "nullius literature search WORDS"
		if i.GetNovelty().GetNext() != next || (undecided == "reject") != (i.GetSummary().GetNext() == next) {
			t.Errorf("%s: next %q, and of the idea %q", undecided, i.GetNovelty().GetNext(), i.GetSummary().GetNext())
		}
	}
}

func TestAGateWaitsForApproval(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Gates: []string{"experiments"}, Until: "experiments"})
	idea := name + "/ideas/idea-1"
	i := w.ideaUntil(idea, gatewayv1.IdeaState_WAITING)
	if i.GetSummary().GetWaitReason() != gatewayv1.WaitReason_APPROVAL || i.GetSummary().GetNext() == "" {
		t.Errorf("got %v", i.GetSummary())
	}
	if _, err := w.api.RetryIdea(t.Context(), &gatewayv1.RetryIdeaRequest{Name: idea}); fault.ReasonOf(err) != "ILLEGAL_TRANSITION" {
		t.Errorf("retry while waiting: %v", err)
	}
	if got := w.file(idea + "/files/log.txt"); strings.Contains(got, "experiments/") {
		t.Errorf("the log before approval: %s", got)
	}
	if _, err := w.api.ApproveIdea(t.Context(), &gatewayv1.ApproveIdeaRequest{Name: idea, Comment: "go"}); err != nil {
		t.Fatal(err)
	}
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	if got := w.file(idea + "/files/log.txt"); !strings.Contains(got, "experiments/run-1/implement      CHANGED  1 line added") {
		t.Errorf("a file that was read before shows nothing new: %s", got)
	}
}

// file reads one file.
func (w *world) file(name string) string {
	w.t.Helper()
	s, err := w.api.ReadFile(w.t.Context(), &gatewayv1.ReadFileRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			w.t.Fatal(err)
		}
		b.Write(r.GetData())
	}
}

func TestARestartGoesOnWithoutRepeatingWhatEnded(t *testing.T) {
	w := newWorld(t)
	reached := make(chan struct{}, 10)
	w.w.hook = func(ctx context.Context, step string) error {
		if !strings.HasSuffix(step, "writing/draft") {
			return nil
		}
		reached <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1})
	<-reached
	w.stop()
	w.w.mu.Lock()
	w.w.hook = nil
	w.w.mu.Unlock()
	w.start()
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	study := strings.TrimPrefix(name, "studies/")
	for _, step := range []string{"/_/baseline/run", "/_/ideation/idea-1", "/idea-1/novelty/assess", "/idea-1/experiments/run-1/execute-1"} {
		if n := w.w.count(study + step); n != 1 {
			t.Errorf("%s was asked for %d times", step, n)
		}
	}
}

func TestCancelAndRetryContinueAtTheStepThatWasCut(t *testing.T) {
	w := newWorld(t)
	reached := make(chan struct{}, 10)
	w.w.hook = func(ctx context.Context, step string) error {
		if !strings.HasSuffix(step, "experiments/run-2/implement") {
			return nil
		}
		reached <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "experiments"})
	idea := name + "/ideas/idea-1"
	<-reached
	if _, err := w.api.CancelIdea(t.Context(), &gatewayv1.CancelIdeaRequest{Name: idea, Comment: "enough"}); err != nil {
		t.Fatal(err)
	}
	w.ideaUntil(idea, gatewayv1.IdeaState_CANCELLED)
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	w.w.mu.Lock()
	w.w.hook = nil
	w.w.mu.Unlock()
	if _, err := w.api.RetryIdea(t.Context(), &gatewayv1.RetryIdeaRequest{Name: idea}); err != nil {
		t.Fatal(err)
	}
	w.ideaUntil(idea, gatewayv1.IdeaState_SUCCEEDED)
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	study := strings.TrimPrefix(name, "studies/")
	if w.w.count(study+"/idea-1/experiments/run-1/implement") != 1 || w.w.count(study+"/idea-1/experiments-2/run-2/implement") != 1 {
		t.Errorf("steps: %v", w.w.seen)
	}
}

func TestADeadWorkerIsTriedAgainAndARefusedKeyFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	var once sync.Once
	w.w.hook = func(_ context.Context, step string) (err error) {
		if strings.HasSuffix(step, "novelty/assess") {
			once.Do(func() { err = fault.New(fault.Unavailable, "BUS_UNAVAILABLE", "away") })
		}
		if strings.HasSuffix(step, "writing/draft") {
			err = fault.New(fault.Unauthenticated, "KEY_REFUSED", "OpenAI refused the key").WithNext("nullius doctor")
		}
		return err
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1})
	i := w.ideaUntil(name+"/ideas/idea-1", gatewayv1.IdeaState_FAILED)
	if i.GetSummary().GetReason() != "KEY_REFUSED" || i.GetSummary().GetNext() != "nullius doctor" {
		t.Errorf("got %v", i.GetSummary())
	}
	if n := w.w.count(strings.TrimPrefix(name, "studies/") + "/idea-1/novelty/assess"); n != 2 {
		t.Errorf("novelty was asked for %d times", n)
	}
}

func TestARepeatedRequestReturnsTheFirstAnswer(t *testing.T) {
	w := newWorld(t)
	req := &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "m"}, RequestId: "r-1"}
	a, err := w.api.StartStudy(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.api.StartStudy(t.Context(), req)
	if err != nil || a.GetStudy().GetName() != b.GetStudy().GetName() {
		t.Errorf("%v, %v", b, err)
	}
	req.Settings.Ideas = 3
	if _, err := w.api.StartStudy(t.Context(), req); fault.ReasonOf(err) != "REQUEST_ID_REUSED" {
		t.Errorf("other content: %v", err)
	}
}

func TestWatchResumesWithoutLossOrRepeat(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty"})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	read := func(token string, most int) (events []string, last string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s, err := w.api.WatchStudy(ctx, &gatewayv1.WatchStudyRequest{Name: name, ResumeToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for len(events) < most {
			m, err := s.Recv()
			if errors.Is(err, io.EOF) {
				return events, last
			}
			if err != nil {
				t.Fatal(err)
			}
			if e := m.GetEvent(); e != nil {
				events = append(events, fmt.Sprintf("%s/%d", e.GetIdea(), e.GetN()))
				last = m.GetResumeToken()
			}
		}
		return events, last
	}
	whole, _ := read("", 1000)
	head, token := read("", 3)
	tail, _ := read(token, 1000)
	if got := append(head, tail...); strings.Join(got, " ") != strings.Join(whole, " ") || len(whole) < 8 {
		t.Errorf("whole %v\nparts %v", whole, got)
	}
}

func TestBadNamesAndUnknownThingsAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, reason := range map[string]string{"studies/../x": "NAME_INVALID", "x": "NAME_INVALID", "studies/a*": "NAME_INVALID", "studies/-a": "NAME_INVALID", "studies/none": "STUDY_UNKNOWN"} {
		if _, err := w.api.GetStudy(t.Context(), &gatewayv1.GetStudyRequest{Name: name}); fault.ReasonOf(err) != reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	for field, s := range map[string]*gatewayv1.StudySettings{"model": {}, "gates": {Model: "m", Gates: []string{"x"}}, "size": {Model: "m", Size: "huge"}, "ideas": {Model: "m", Ideas: -1}} {
		if _, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: s}); fault.ReasonOf(err) != "FIELD_INVALID" {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAnEqualBaselineIsMeasuredOnce(t *testing.T) {
	w := newWorld(t)
	first := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty"})
	w.until(first, gatewayv1.IdeaState_SUCCEEDED)
	second := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty"})
	w.until(second, gatewayv1.IdeaState_SUCCEEDED)
	fresh := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty", FreshBaseline: true})
	w.until(fresh, gatewayv1.IdeaState_SUCCEEDED)
	for name, want := range map[string]int{first: 1, second: 0, fresh: 1} {
		if n := w.w.count(strings.TrimPrefix(name, "studies/") + "/_/baseline/run"); n != want {
			t.Errorf("%s measured its baseline %d times, want %d", name, n, want)
		}
	}
}

func TestAForcedCancelReachesTheJob(t *testing.T) {
	w := newWorld(t)
	reached := make(chan struct{}, 10)
	w.w.hook = func(ctx context.Context, step string) error {
		if !strings.HasSuffix(step, "run-1/execute-1") {
			return nil
		}
		reached <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "experiments"})
	<-reached
	if _, err := w.api.CancelIdea(t.Context(), &gatewayv1.CancelIdeaRequest{Name: name + "/ideas/idea-1", Force: true}); err != nil {
		t.Fatal(err)
	}
	w.ideaUntil(name+"/ideas/idea-1", gatewayv1.IdeaState_CANCELLED)
	kittest.Eventually(t, 10*time.Second, func() error {
		w.w.mu.Lock()
		defer w.w.mu.Unlock()
		if len(w.w.cancels) != 1 || !w.w.cancels[0].GetForce() {
			return fmt.Errorf("the executor was asked %v", w.w.cancels)
		}
		return nil
	})
}
