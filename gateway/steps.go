package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// stepLimit bounds a worker's step; jobs have their own limits and exclude queueing.
const stepLimit = 2 * time.Hour

// steps executes steps: it calls workers and runs jobs.
type steps struct {
	log     *slog.Logger
	tracer  trace.Tracer
	workers *workers
	blobs   store.Blobs
	journal *journal.Store
	live    *live
}

// step appends StepStarted, does the step, and appends what came of it.
func (d *driver) step(ctx context.Context, k journal.Key, epoch, last int64, r pipeline.Run) error {
	input, trac := digestOf(r.Request), ""
	d.journal.View(k, func(m *journal.Machine) {
		trac = m.Core().Trace
		if s := m.Core().Steps[r.Step]; s != nil {
			if s.Input != input {
				d.log.WarnContext(ctx, "a repeated step asks something else", "study_id", k.Study, "idea_id", k.Idea, "step", r.Step)
			}
			input = s.Input
		}
	})
	id := fmt.Sprintf("%s/%d/", r.Step, r.Attempt)
	err := d.append(ctx, k, last, &gatewayv1.JournalEvent{Id: id + "started", Event: &gatewayv1.JournalEvent_StepStarted{
		StepStarted: &gatewayv1.StepStarted{Step: r.Step, Attempt: r.Attempt, InputDigest: input}}})
	if err != nil {
		return err
	}
	sctx, cancel := context.WithCancelCause(remote(ctx, trac))
	defer cancel(nil)
	stop := d.guard(sctx, k, epoch, cancel)
	defer stop()
	out, err := d.steps.do(sctx, k, r)
	if cause := context.Cause(sctx); errors.Is(cause, errZombie) || errors.Is(cause, errCancelled) {
		if errors.Is(cause, errZombie) {
			return errZombie
		}
		if err != nil {
			return nil // Decide appends the end
		}
	}
	e := &gatewayv1.JournalEvent{}
	if err == nil {
		out.Step, out.Attempt = r.Step, r.Attempt
		e.Id, e.Event = id+"ended", &gatewayv1.JournalEvent_StepEnded{StepEnded: out}
	} else {
		e.Id, e.Event = id+"failed", &gatewayv1.JournalEvent_StepFailed{StepFailed: d.failure(ctx, k, r, err)}
	}
	return d.appendOutcome(ctx, k, epoch, r, e)
}

// appendOutcome appends a step's outcome after whatever people appended meanwhile: a result is never thrown away because somebody pressed a button.
func (d *driver) appendOutcome(ctx context.Context, k journal.Key, epoch int64, r pipeline.Run, e *gatewayv1.JournalEvent) error {
	for {
		var last int64
		open, mine := false, false
		d.journal.View(k, func(m *journal.Machine) {
			c := m.Core()
			last, mine, open = c.N, c.Epoch == epoch, c.Open == r.Step && c.Ended == nil
		})
		if !mine {
			return errZombie
		}
		if !open {
			return nil
		}
		if err := d.append(ctx, k, last, e); !errors.Is(err, fault.Conflict) {
			return err
		}
	}
}

var errCancelled = errors.New("cancelled by a person")

// guard cancels a step when its machine is cancelled or claimed by another owner.
func (d *driver) guard(ctx context.Context, k journal.Key, epoch int64, cancel context.CancelCauseFunc) (stop func()) {
	changed, unsubscribe := d.journal.Subscribe(k)
	done := make(chan struct{})
	d.wg.Go(func() {
		defer unsubscribe()
		for {
			d.journal.View(k, func(m *journal.Machine) {
				switch {
				case m.Core().Epoch != epoch:
					cancel(errZombie)
				case m.Core().Cancel != nil:
					cancel(errCancelled)
				}
			})
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-done:
				return
			}
		}
	})
	return func() { close(done) }
}

func (d *driver) failure(ctx context.Context, k journal.Key, r pipeline.Run, err error) *gatewayv1.StepFailed {
	f := &gatewayv1.StepFailed{Step: r.Step, Attempt: r.Attempt, Reason: fault.ReasonOf(err), Message: messageOf(err), Next: fault.NextOf(err)}
	f.Code = codeOf(err)
	if ctx.Err() != nil {
		f.Code, f.Reason, f.Message = "CANCELED", pipeline.ReasonStopped, "the process stopped in order"
		return f
	}
	if f.Reason == "" {
		f.Reason = f.Code
	}
	n := 1
	d.journal.View(k, func(m *journal.Machine) {
		if s := m.Core().Steps[r.Step]; s != nil {
			n += len(s.Failures)
		}
	})
	at := pipeline.RetryAt(time.Now(), f.Code, f.Reason, n, rand.Float64())
	if wait := fault.RetryAfterOf(err); wait > 0 && time.Now().Add(wait).Before(at) {
		at = time.Now().Add(wait)
	}
	f.RetryAt = timestamppb.New(at)
	d.log.WarnContext(ctx, "step failed", "study_id", k.Study, "idea_id", k.Idea, "step", r.Step, "attempt", r.Attempt, "reason", f.Reason, "error", err)
	return f
}

func messageOf(err error) string {
	if f, ok := fault.As(err); ok {
		return f.Message
	}
	return status.Convert(err).Message()
}

// codeOf names the gRPC code of an error in the wire's spelling.
func codeOf(err error) string {
	return codeNames[status.Code(fault.ToStatus(err))]
}

func digestOf(request any) string {
	msg, ok := request.(proto.Message)
	switch r := request.(type) {
	case *pipeline.ReviewStep:
		msg, ok = r.Request, true
	case *pipeline.ReviseStep:
		msg, ok = r.Request, true
	}
	if !ok {
		return ""
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// remote puts the machine's root span into ctx, so that a step's span belongs to its trace.
func remote(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// newTrace starts the trace of a machine and gives its traceparent; what came before is linked.
func (s *steps) newTrace(ctx context.Context, kind string, k journal.Key) string {
	opts := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithAttributes(
		attribute.String("study_id", k.Study), attribute.String("idea_id", k.Idea))}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sc}))
	}
	name := kind + " " + k.String()
	if k.IsStudy() {
		name = kind + " " + k.Study
	}
	tctx, span := s.tracer.Start(ctx, name, opts...)
	defer span.End()
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(tctx, c)
	return c["traceparent"]
}

// do executes a step under a span of its own.
func (s *steps) do(ctx context.Context, k journal.Key, r pipeline.Run) (*gatewayv1.StepEnded, error) {
	ctx, span := s.tracer.Start(ctx, r.Step, trace.WithAttributes(attribute.String("study_id", k.Study),
		attribute.String("idea_id", k.Idea), attribute.String("step", r.Step), attribute.Int("attempt", int(r.Attempt))))
	defer span.End()
	var out *gatewayv1.StepEnded
	var err error
	if job, ok := r.Request.(*executorv1.Job); ok {
		if out = s.sharedBaseline(k, r.Step); out == nil {
			out, err = s.job(ctx, k, r.Step, job)
		}
	} else {
		wctx, cancel := context.WithTimeout(ctx, stepLimit)
		defer cancel()
		out, err = s.call(wctx, k, r)
	}
	if err != nil {
		span.SetStatus(codes.Error, fault.ReasonOf(err))
	}
	return out, err
}

// call asks a worker.
func (s *steps) call(ctx context.Context, k journal.Key, r pipeline.Run) (*gatewayv1.StepEnded, error) {
	told := s.live.teller(k, r.Step)
	w := s.workers
	switch req := r.Request.(type) {
	case *ideationv1.GenerateIdeaRequest:
		o, err := answer(ctx, told, w.ideation.GenerateIdea, req, (*ideationv1.GenerateIdeaResponse).GetResult)
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Idea{Idea: o}}, err
	case *ideationv1.AssessNoveltyRequest:
		o, err := answer(ctx, told, w.ideation.AssessNovelty, req, (*ideationv1.AssessNoveltyResponse).GetResult)
		return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Novelty{Novelty: o}}, err
	case *coderv1.ImplementRunRequest:
		return edited(answer(ctx, told, w.coder.ImplementRun, req, (*coderv1.ImplementRunResponse).GetResult))
	case *coderv1.RepairRunRequest:
		return edited(answer(ctx, told, w.coder.RepairRun, req, (*coderv1.RepairRunResponse).GetResult))
	case *coderv1.ImplementPlotsRequest:
		return edited(answer(ctx, told, w.coder.ImplementPlots, req, (*coderv1.ImplementPlotsResponse).GetResult))
	case *coderv1.DescribeResultsRequest:
		return edited(answer(ctx, told, w.coder.DescribeResults, req, (*coderv1.DescribeResultsResponse).GetResult))
	case *writerv1.WritePaperRequest:
		return paper(answer(ctx, told, w.writer.WritePaper, req, (*writerv1.WritePaperResponse).GetResult))
	case *pipeline.ReviseStep:
		if err := s.fillCriticism(ctx, req); err != nil {
			return nil, err
		}
		return paper(answer(ctx, told, w.writer.RevisePaper, req.Request, (*writerv1.RevisePaperResponse).GetResult))
	case *pipeline.ReviewStep:
		return s.review(ctx, k, told, req)
	}
	return nil, fmt.Errorf("no worker for %T", r.Request)
}

func edited(o *coderv1.Edited, err error) (*gatewayv1.StepEnded, error) {
	return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Edited{Edited: o}}, err
}

func paper(o *writerv1.Paper, err error) (*gatewayv1.StepEnded, error) {
	return &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Paper{Paper: o}}, err
}

// sharedBaseline finds a baseline that another study measured on equal inputs; nil: there is none, or a fresh one is wanted. Failures are not shared.
func (s *steps) sharedBaseline(k journal.Key, step string) *gatewayv1.StepEnded {
	if pipeline.StageOf(step) != pipeline.Baseline {
		return nil
	}
	var key string
	s.journal.View(k, func(m *journal.Machine) {
		if m.Study != nil && !m.Study.Settings.GetFreshBaseline() {
			key = m.Study.BaselineKey()
		}
	})
	if key == "" {
		return nil
	}
	var found *gatewayv1.StepEnded
	s.journal.Each(func(m *journal.Machine) {
		if found != nil || m.Study == nil || m.Damaged != nil || m.Key == k || m.Study.BaselineRun() == nil || m.Study.BaselineKey() != key {
			return
		}
		for _, st := range m.Study.Steps {
			if st.Name == step && st.Ended != nil && !st.Dropped {
				found = proto.CloneOf(st.Ended)
			}
		}
	})
	return found
}
