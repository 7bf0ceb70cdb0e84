package gateway

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// workers are the gateway's clients of all services.
type workers struct {
	net        *rpc.Network
	peers      Peers
	ideation   ideationv1.IdeationServiceClient
	literature literaturev1.LiteratureServiceClient
	coder      coderv1.CoderServiceClient
	executor   executorv1.ExecutorServiceClient
	writer     writerv1.WriterServiceClient
	conns      map[string]*grpc.ClientConn // by service name

	mu        sync.Mutex
	reviewers map[string]*grpc.ClientConn // by address
	accepts   map[string][]reviewerv1.Accepts_Input
}

func dialWorkers(n *rpc.Network, p Peers) (*workers, error) {
	w := &workers{net: n, peers: p, conns: map[string]*grpc.ClientConn{}, reviewers: map[string]*grpc.ClientConn{}, accepts: map[string][]reviewerv1.Accepts_Input{}}
	for _, peer := range p.list() {
		c, err := n.Dial(peer.address)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.conns[peer.name] = c
	}
	w.ideation = ideationv1.NewIdeationServiceClient(w.conns["ideation"])
	w.literature = literaturev1.NewLiteratureServiceClient(w.conns["ideation"])
	w.coder = coderv1.NewCoderServiceClient(w.conns["coder"])
	w.executor = executorv1.NewExecutorServiceClient(w.conns["executor"])
	w.writer = writerv1.NewWriterServiceClient(w.conns["writer"])
	return w, nil
}

func (w *workers) close() error {
	var errs []error
	for _, c := range w.conns {
		errs = append(errs, c.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.reviewers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// reviewer gives a client of a study's reviewer, and what it accepts; it is asked once.
func (w *workers) reviewer(ctx context.Context, address string) (reviewerv1.ReviewerServiceClient, []reviewerv1.Accepts_Input, error) {
	if address == "" {
		address = w.peers.Reviewer
	}
	w.mu.Lock()
	conn := w.reviewers[address]
	accepts := w.accepts[address]
	if conn == nil {
		c, err := w.net.Dial(address)
		if err != nil {
			w.mu.Unlock()
			return nil, nil, fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "reviewer address %q cannot be used", address)
		}
		conn, w.reviewers[address] = c, c
	}
	w.mu.Unlock()
	client := reviewerv1.NewReviewerServiceClient(conn)
	if accepts != nil {
		return client, accepts, nil
	}
	fctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	forms, err := client.ListForms(fctx, &reviewerv1.ListFormsRequest{})
	if err != nil {
		if ctx.Err() == nil && fctx.Err() != nil {
			return nil, nil, fault.New(fault.Unavailable, "SERVICE_UNAVAILABLE", "the reviewer at %s did not answer within 20 s", address).WithNext("nullius status")
		}
		return nil, nil, err
	}
	w.mu.Lock()
	w.accepts[address] = forms.GetAccepts()
	w.mu.Unlock()
	return client, forms.GetAccepts(), nil
}

// answer reads a worker's stream: progress is told, the one result returned. M is the stream's message type.
func answer[Q, M, R any, P message[M]](ctx context.Context, told func(*recordv1.Progress),
	call func(context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[M], error), req *Q, get func(P) *R) (*R, error) {
	stream, err := call(ctx, req)
	if err != nil {
		return nil, err
	}
	var out *R
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if out == nil {
				return nil, fault.New(fault.Unavailable, "STREAM_BROKEN", "the worker's stream ended without a result")
			}
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if p := P(m).GetProgress(); p != nil {
			told(p)
		}
		if r := get(m); r != nil {
			out = r
		}
	}
}

// message is a worker's stream message: progress, or the result.
type message[M any] interface {
	*M
	GetProgress() *recordv1.Progress
}

// job submits a job and waits for its end; being the same job under the same id, a repeat only watches.
func (s *steps) job(ctx context.Context, k journal.Key, step string, job *executorv1.Job) (*gatewayv1.StepEnded, error) {
	if _, err := s.workers.executor.Submit(ctx, &executorv1.SubmitRequest{Job: job}); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.cancelJob(ctx, k, job.GetJobId()) })
	defer stop()
	stream, err := s.workers.executor.Watch(ctx, &executorv1.WatchRequest{JobId: job.GetJobId()})
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fault.New(fault.Unavailable, "STREAM_BROKEN", "the executor's stream of job %s ended without a result", job.GetJobId())
		}
		if err != nil {
			return nil, err
		}
		switch e := m.GetEvent().(type) {
		case *executorv1.WatchResponse_State:
			s.live.tell(k, step, &recordv1.Progress{Phase: jobPhase(e.State), Detail: e.State.GetWaitingFor()})
		case *executorv1.WatchResponse_Sample:
			if p := s.live.word(k, step); strings.HasPrefix(p.GetPhase(), phaseRunning) {
				s.live.tell(k, step, &recordv1.Progress{Phase: p.GetPhase(), Detail: used(e.Sample.GetCpu(), e.Sample.GetMemoryBytes(), e.Sample.GetIo())})
			}
		case *executorv1.WatchResponse_Log:
			s.live.log(k, step, e.Log)
		case *executorv1.WatchResponse_Result:
			_, _ = stream.Recv() // its end, so that the call closes in order
			return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Job{Job: e.Result.GetResult()}}, nil
		}
	}
}

func jobPhase(r *executorv1.JobRecord) string {
	switch r.GetState() {
	case executorv1.State_QUEUED:
		return phaseQueued
	case executorv1.State_RUNNING:
		return phaseRunning + r.GetNode()
	}
	return r.GetState().String()
}

// cancelJob ends a job whose step was cancelled by a person or lost to another owner's claim; an orderly stop leaves it to run on.
func (s *steps) cancelJob(ctx context.Context, k journal.Key, id string) {
	if !errors.Is(context.Cause(ctx), errCancelled) {
		return
	}
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	force := false
	s.journal.View(k, func(m *journal.Machine) { force = m.Core().Cancel.GetForce() })
	if _, err := s.workers.executor.Cancel(cctx, &executorv1.CancelRequest{JobId: id, Force: force}); err != nil {
		s.log.WarnContext(cctx, "cancel a job", "job_id", id, "error", err)
	}
}

// review asks the study's reviewer, in the first form it takes of snapshot, PDF and text.
func (s *steps) review(ctx context.Context, k journal.Key, told func(*recordv1.Progress), r *pipeline.ReviewStep) (*gatewayv1.StepEnded, error) {
	var address string
	s.journal.View(k, func(m *journal.Machine) { address = m.Core().Settings.GetReviewer() })
	client, accepts, err := s.workers.reviewer(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := s.fillPaper(ctx, r, accepts, address != ""); err != nil {
		return nil, err
	}
	o, err := answer(ctx, told, client.ReviewPaper, r.Request, (*reviewerv1.ReviewPaperResponse).GetResult)
	if err != nil {
		return nil, err
	}
	data, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true, Indent: "  "}.Marshal(o)
	if err != nil {
		return nil, err
	}
	digest, err := store.PutBytes(ctx, s.blobs, data)
	if err != nil {
		return nil, err
	}
	out := &gatewayv1.ReviewOutcome{
		Outcome: o.GetOutcome(), Decision: o.GetDecision(), Reason: or(o.GetReason(), o.GetDecisionReason()), ReviewDigest: string(digest),
		Usage: o.GetUsage(), Reviewer: or(o.GetProvenance().GetReviewer(), address),
	}
	for _, sc := range o.GetScores() {
		if sc.GetItem() == "Overall" || sc.GetItem() == "Rating" {
			out.Overall = sc.GetValue()
		}
	}
	return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Review{Review: out}}, nil
}

// maxReviewText bounds the text of a paper that is sent to a reviewer without a blob store (reviewer.md section 1).
const (
	maxReviewText = 4 << 20
	maxReviewPDF  = 24 << 20
)

func (s *steps) fillPaper(ctx context.Context, r *pipeline.ReviewStep, accepts []reviewerv1.Accepts_Input, foreign bool) error {
	takes := map[reviewerv1.Accepts_Input]bool{}
	for _, a := range accepts {
		takes[a] = true
	}
	p := r.Paper
	switch {
	case takes[reviewerv1.Accepts_SNAPSHOT]:
		r.Request.Paper = &reviewerv1.ReviewPaperRequest_Snapshot{Snapshot: &reviewerv1.Snapshot{Digest: p.GetSnapshot(), Path: "latex/template.tex"}}
	case takes[reviewerv1.Accepts_PDF] && p.GetPdfDigest() != "":
		b, err := store.GetBytes(ctx, s.blobs, store.Digest(p.GetPdfDigest()), maxReviewPDF)
		if err != nil {
			return err
		}
		r.Request.Paper = &reviewerv1.ReviewPaperRequest_Pdf{Pdf: b}
	case takes[reviewerv1.Accepts_TEXT]:
		b, err := store.ReadFile(ctx, s.blobs, store.Digest(p.GetSnapshot()), "latex/template.tex", maxReviewText)
		if err != nil {
			return err
		}
		r.Request.Paper = &reviewerv1.ReviewPaperRequest_Text{Text: string(b)}
	default:
		return fault.New(fault.Precondition, "REVIEWER_INPUT", "the reviewer takes neither a snapshot, nor the PDF, nor text of this paper").
			WithNext("nullius conformance reviewer ADDRESS")
	}
	if foreign {
		r.Request.Evidence = &reviewerv1.Evidence{Runs: r.Runs}
		if v, err := store.ReadFile(ctx, s.blobs, store.Digest(p.GetSnapshot()), p.GetVerificationPath(), maxReviewText); err == nil {
			r.Request.Evidence.VerificationJson = string(v)
		}
	}
	return nil
}

// fillCriticism reads what the writer is to see of a review: no scores.
func (s *steps) fillCriticism(ctx context.Context, r *pipeline.ReviseStep) error {
	b, err := store.GetBytes(ctx, s.blobs, store.Digest(r.ReviewDigest), maxReviewPDF)
	if err != nil {
		return err
	}
	rev := &reviewerv1.Review{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, rev); err != nil {
		return fault.Wrap(err, fault.Internal, "INTERNAL", "the stored review cannot be read")
	}
	c := &writerv1.Criticism{Summary: rev.GetSummary(), Questions: rev.GetQuestions()}
	for _, rc := range rev.GetComments() {
		if rc.GetStrength() {
			continue
		}
		wc := &writerv1.Comment{Claim: rc.GetClaim(), Severity: rc.GetSeverity(), Item: rc.GetItem()}
		for _, q := range rc.GetQuotes() {
			wc.Quotes = append(wc.Quotes, q.GetText())
		}
		c.Comments = append(c.Comments, wc)
	}
	if len(c.GetComments()) == 0 {
		for _, weak := range rev.GetWeaknesses() {
			c.Comments = append(c.Comments, &writerv1.Comment{Claim: weak, Severity: "minor"})
		}
	}
	r.Request.Review = c
	return nil
}

var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE", codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL",
	codes.Unavailable: "UNAVAILABLE", codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
