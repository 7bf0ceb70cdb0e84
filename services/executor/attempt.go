package executor

import (
	"context"
	"errors"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// attempt is one try to run a job on this node.
type attempt struct {
	n      *node
	number int32 // of this attempt; never changes, so it may be read without mu
	msg    jetstream.Msg
	id     string
	job    *executorv1.Job
	slots  []*slot
	kill   chan struct{} // closed by a cancel without grace
	once   sync.Once

	mu sync.Mutex // guards r
	r  *record

	out, errs *logStream
	dir       string // of this attempt, on the host
	python    *sandbox.Python
	limits    sandbox.Limits
}

// attempt runs a claimed job to its end, or gives it back.
func (n *node) attempt(ctx context.Context, msg jetstream.Msg, r *record, set []*slot) {
	id := r.GetJob().GetJobId()
	ctx, span := n.span(ctx, "executor.job")
	defer span.End()
	a := &attempt{n: n, number: r.GetAttempt(), msg: msg, id: id, job: r.GetJob(), slots: set, r: r, kill: make(chan struct{})}
	publish := func(b []byte) { _ = n.s.d.Bus.NC.Publish(logSubject(id), b) }
	a.out = newLogStream(publish, r.GetAttempt(), executorv1.LogChunk_STDOUT)
	a.errs = newLogStream(publish, r.GetAttempt(), executorv1.LogChunk_STDERR)
	n.mu.Lock()
	n.running[id] = a
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.running, id)
		n.mu.Unlock()
	}()
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var helpers sync.WaitGroup
	helpers.Go(func() { a.watch(run, cancel) })
	helpers.Go(func() { a.tick(run) })
	res, err := a.run(run)
	a.finish(ctx, run, res, err)
	cancel(nil)
	helpers.Wait()
}

// finish commits a result, or puts the job back for another attempt.
func (a *attempt) finish(ctx, run context.Context, res *executorv1.JobResult, err error) {
	log := a.n.s.log.With("job_id", a.id, "attempt", a.number)
	defer a.n.state.forget(a.id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err == nil {
		err = a.commit(ctx, res)
		if err == nil {
			log.InfoContext(ctx, "job ended", "reason", res.GetEndReason().String(), "wall", res.GetWall().AsDuration().String())
			a.n.acknowledge(ctx, a.msg)
			return
		}
	}
	if errors.Is(err, errLeaseLost) || errors.Is(context.Cause(run), errLeaseLost) {
		log.WarnContext(ctx, "attempt discarded: another one has taken over")
		return // the message is the other's
	}
	end := endInfra
	if errors.Is(context.Cause(run), errDrain) {
		end = endInterrupted
	} else {
		log.ErrorContext(ctx, "attempt failed by the node's own trouble", "error", err)
	}
	if e := a.update(ctx, func(r *record) { r.lose(end, poisonWithin, time.Now()) }); e != nil {
		log.WarnContext(ctx, "give the job back", "error", e)
	}
	if end == endInterrupted {
		_ = a.msg.Nak()
		return
	}
	_ = a.msg.NakWithDelay(time.Second)
}

// commit is the only way a result comes into the world: a compare-and-set at
// the revision this attempt holds.
func (a *attempt) commit(ctx context.Context, res *executorv1.JobResult) error {
	return a.update(ctx, func(r *record) {
		r.State, r.Result, r.WaitingFor = executorv1.State_ENDED, res, ""
	})
}

// update changes the record while the claim is ours. A cancel request changes
// the revision without taking the claim away.
func (a *attempt) update(ctx context.Context, change func(*record)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	mine, r := a.number, a.r
	for {
		change(r)
		err := a.n.s.jobs.put(ctx, r)
		if err == nil {
			a.r = r
			return nil
		}
		if !errors.Is(err, fault.Conflict) {
			// An unknown outcome: the record tells.
			if !errors.Is(err, fault.Unavailable) || !pause(ctx, 500*time.Millisecond) {
				return err
			}
		}
		now, e := a.n.s.jobs.get(ctx, a.id)
		if errors.Is(e, fault.Unavailable) && ctx.Err() == nil {
			continue
		}
		if e != nil {
			return e
		}
		if now.ended() && now.GetResult().GetAttempt() == mine && now.Instance == a.n.instance {
			return nil // ours got through after all
		}
		if now.ended() || now.Instance != a.n.instance || now.GetAttempt() != mine {
			return errLeaseLost
		}
		r = now
	}
}

func (a *attempt) setState(ctx context.Context, s executorv1.State_Value) error {
	return a.update(ctx, func(r *record) {
		r.State = s
		if s == executorv1.State_RUNNING {
			r.Began = time.Now()
			r.Started = timestamppb.New(r.Began)
		}
	})
}

// watch follows the job's own key for a cancel and for a take-over.
func (a *attempt) watch(ctx context.Context, stop context.CancelCauseFunc) {
	mine := a.number
	for ctx.Err() == nil {
		w, err := a.n.s.jobs.state.Watch(ctx, a.id)
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		for open := true; open; {
			select {
			case <-ctx.Done():
				_ = w.Stop()
				return
			case e, ok := <-w.Updates():
				if open = ok; !ok || e == nil {
					continue
				}
				r, err := decodeRecord(e.Value(), e.Revision())
				if err != nil {
					continue
				}
				a.react(r, mine, stop)
			}
		}
		_ = w.Stop()
		pause(ctx, 100*time.Millisecond)
	}
}

func (a *attempt) react(r *record, mine int32, stop context.CancelCauseFunc) {
	if r.GetAttempt() > mine || r.GetAttempt() == mine && r.Instance != "" && r.Instance != a.n.instance {
		stop(errLeaseLost)
		return
	}
	if r.GetCancelRequested() && !r.ended() {
		stop(errCancelled)
		if r.Force {
			a.once.Do(func() { close(a.kill) })
		}
	}
}

func (a *attempt) tick(ctx context.Context) {
	t := time.NewTicker(logEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			a.out.tick()
			a.errs.tick()
		}
	}
}

// run stages, runs and collects. A nil error comes with a result.
func (a *attempt) run(ctx context.Context) (*executorv1.JobResult, error) {
	log := a.n.s.log.With("job_id", a.id)
	if err := a.setState(ctx, executorv1.State_STAGING); err != nil {
		return nil, err
	}
	defer func() { removeAll(a.dir) }()
	binds, err := a.stage(ctx)
	if err != nil {
		return a.stageFailed(ctx, err)
	}
	a.limits = a.n.limits(a.job)
	if err := a.findPython(ctx); err != nil {
		return a.stageFailed(ctx, err)
	}
	if err := a.setState(ctx, executorv1.State_RUNNING); err != nil {
		return nil, err
	}
	began := time.Now()
	log.DebugContext(ctx, "job runs", "argv", a.job.GetArgv())
	box, err := a.n.s.d.Sandbox.Run(ctx, a.spec(ctx, binds))
	if err != nil {
		return a.stageFailed(ctx, err)
	}
	// From here on a cancel comes too late: what was run is collected.
	late := context.WithoutCancel(ctx)
	if cause := context.Cause(ctx); box.End == sandbox.Cancelled && !errors.Is(cause, errCancelled) {
		return nil, cause
	}
	if err := a.setState(late, executorv1.State_COLLECTING); err != nil {
		return nil, err
	}
	res := a.result(box, began)
	if err := a.collect(late, res); err != nil {
		return nil, err
	}
	if res.Stdout, err = a.out.store(late, a.n.s.d.Blobs); err != nil {
		return nil, err
	}
	if res.Stderr, err = a.errs.store(late, a.n.s.d.Blobs); err != nil {
		return nil, err
	}
	return res, nil
}

// stageFailed tells the job's own faults from the node's.
func (a *attempt) stageFailed(ctx context.Context, err error) (*executorv1.JobResult, error) {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), errCancelled) {
		return a.early(executorv1.EndReason_CANCELLED, "cancelled before the program ran"), nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	text := err.Error()
	if f, ok := fault.As(err); ok {
		text = f.Message
	}
	switch fault.ReasonOf(err) {
	case sandbox.ReasonNoPython:
		return a.early(executorv1.EndReason_ENVIRONMENT, text), nil
	case sandbox.ReasonSpecInvalid, "BLOB_UNKNOWN", "MISSING_BLOB", "MANIFEST_INVALID", ReasonPath:
		return a.early(executorv1.EndReason_REJECTED, text), nil
	}
	return nil, err
}

// early is the result of a job whose program never ran.
func (a *attempt) early(reason executorv1.EndReason_Value, message string) *executorv1.JobResult {
	res := a.base(time.Now())
	res.EndReason, res.Message, res.ExitCode = reason, message, -1
	return res
}

func (a *attempt) base(began time.Time) *executorv1.JobResult {
	wait := began.Sub(a.r.GetSubmitted().AsTime())
	res := &executorv1.JobResult{
		Attempt: a.r.GetAttempt(), Node: a.n.s.name, Started: timestamppb.New(began), Ended: timestamppb.Now(),
		QueueWait: durationpb.New(max(0, wait)), Snapshot: a.job.GetSnapshot(), Earlier: a.r.Earlier,
		Stdout: &executorv1.LogDigest{}, Stderr: &executorv1.LogDigest{},
	}
	if a.python != nil {
		res.Interpreter = strings.TrimSpace(a.python.Path + " " + a.python.Version)
	}
	for _, s := range a.slots {
		if s.kind == "gpu" {
			res.GpuUuids = append(res.GpuUuids, s.device.UUID)
		}
	}
	return res
}

// env is the program's whole environment.
func (a *attempt) env(ctx context.Context) []string {
	vars := map[string]string{
		"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
		"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
		"MPLBACKEND": "Agg", "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
		"LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/tmp", "USER": "sandbox", "TMPDIR": "/tmp",
	}
	for k, v := range a.job.GetEnv() {
		vars[k] = v
	}
	vars["PATH"] = a.python.SearchPath()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	if tp := carrier.Get("traceparent"); tp != "" {
		vars["TRACEPARENT"] = tp
	}
	var uuids []string
	for _, s := range a.slots {
		if s.kind == "gpu" {
			uuids = append(uuids, s.device.UUID)
		}
	}
	if len(uuids) > 0 {
		vars["CUDA_VISIBLE_DEVICES"], vars["CUDA_DEVICE_ORDER"] = strings.Join(uuids, ","), "PCI_BUS_ID"
	}
	out := make([]string, 0, len(vars))
	for k, v := range vars {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}

func (a *attempt) spec(ctx context.Context, binds []sandbox.Bind) sandbox.Spec {
	s := sandbox.Spec{
		Argv: a.job.GetArgv(), Env: a.env(ctx), Dir: path.Join("/nullius", a.job.GetMount()), Binds: binds,
		Python: a.python, Limits: a.limits, Stdout: a.out, Stderr: a.errs, Grace: a.n.s.cfg.Grace, Kill: a.kill,
	}
	for _, sl := range a.slots {
		if sl.kind == "gpu" {
			s.Devices = append(s.Devices, sl.device.Nodes()...)
		}
	}
	return s
}

func (n *node) span(ctx context.Context, name string) (context.Context, trace.Span) {
	if n.s.d.Tracer == nil {
		return ctx, trace.SpanFromContext(context.WithoutCancel(ctx))
	}
	return n.s.d.Tracer.Tracer("nullius.dev/services/executor").Start(ctx, name)
}
