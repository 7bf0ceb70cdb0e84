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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/pyenv"
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
	began  chan struct{} // closed when the program is about to run

	mu sync.Mutex // guards r
	r  *record

	stop   context.CancelCauseFunc // ends the attempt
	meters []*gpuMeter

	xidMu    sync.Mutex // guards what follows
	xids     map[string][]uint32
	firstXID uint32

	out, errs   *logStream
	dir         string // of this attempt, on the host
	python      *sandbox.Python
	environment *pyenv.Environment // nil: the interpreter as it is
	limits      sandbox.Limits
}

// attempt runs a claimed job to its end, or gives it back.
func (n *node) attempt(ctx context.Context, msg jetstream.Msg, r *record, set []*slot) {
	id := r.GetJob().GetJobId()
	ctx, span := n.span(ctx, "executor.job")
	defer span.End()
	a := &attempt{n: n, number: r.GetAttempt(), msg: msg, id: id, job: r.GetJob(), slots: set, r: r, kill: make(chan struct{}), began: make(chan struct{})}
	publish := func(b []byte) { _ = n.s.d.Bus.NC.Publish(logSubject(id), b) }
	a.out = newLogStream(publish, r.GetAttempt(), executorv1.LogChunk_STDOUT)
	a.errs = newLogStream(publish, r.GetAttempt(), executorv1.LogChunk_STDERR)
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.stop = cancel
	n.mu.Lock()
	n.running[id] = a
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.running, id)
		n.mu.Unlock()
	}()
	var helpers sync.WaitGroup
	helpers.Go(func() { a.watch(run, cancel) })
	helpers.Go(func() { a.tick(run) })
	helpers.Go(func() { a.outlive(run) })
	res, err := a.run(run)
	a.finish(ctx, run, res, err)
	cancel(nil)
	helpers.Wait()
}

// finish commits a result, or puts the job back for another attempt.
func (a *attempt) finish(ctx, run context.Context, res *executorv1.JobResult, err error) {
	log := a.n.s.log.With("job_id", a.id, "attempt", a.number)
	defer a.n.state.forget(a.id)
	ctx, cancel := lasting(ctx)
	defer cancel()
	if err == nil {
		err = a.commit(ctx, res)
		if err == nil {
			log.InfoContext(ctx, "job ended", "reason", res.GetEndReason().String(), "wall", res.GetWall().AsDuration().String())
			a.n.s.metrics.ended(ctx, a.job.GetPool(), res)
			a.n.acknowledge(ctx, a.msg)
			return
		}
	}
	if errors.Is(err, errLeaseLost) || errors.Is(context.Cause(run), errLeaseLost) {
		end := endSuperseded
		if errors.Is(context.Cause(run), errLeaseLost) && res == nil {
			end = endLeaseLost
		}
		log.WarnContext(ctx, "attempt discarded: another one has taken over", "end", end)
		a.n.s.metrics.lost(ctx, end)
		a.tookOver(ctx, end)
		return // the message is the other's
	}
	end, full := endInfra, ""
	switch {
	case errors.Is(err, errDrain), errors.Is(context.Cause(run), errDrain):
		end = endInterrupted
	case errors.Is(err, errGPUFault), errors.Is(context.Cause(run), errGPUFault):
		end = endGPUFault
		log.WarnContext(ctx, "attempt ended by a GPU", "error", context.Cause(run))
	case isStorageFull(err):
		end, full = endFull, storageText(err)
		log.WarnContext(ctx, "no room to run a job", "error", err)
	default:
		log.ErrorContext(ctx, "attempt failed by the node's own trouble", "error", err)
	}
	a.n.s.metrics.lost(ctx, end)
	if e := a.update(ctx, func(r *record) { r.lose(end); r.Full = full }); e != nil {
		log.WarnContext(ctx, "give the job back", "error", e)
	}
	switch end {
	case endInterrupted:
		_ = a.msg.Nak()
	case endFull:
		_ = a.msg.NakWithDelay(5 * fullEvery)
	default:
		_ = a.msg.NakWithDelay(time.Second)
	}
}

// tookOver writes in the record of the attempt that goes on how this one
// ended, unless it has ended itself: ends are never changed.
func (a *attempt) tookOver(ctx context.Context, end string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := a.n.s.jobs.change(ctx, a.id, func(r *record) (bool, error) {
		for _, e := range r.Earlier {
			if !r.ended() && e.GetNumber() == a.number && e.GetEnd() == endLost {
				e.End = end
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		a.n.s.log.DebugContext(ctx, "note the take-over", "job_id", a.id, "error", err)
	}
}

// outlive says in the record that the node still lives some time after the
// program began: its loss is no fault of the program from then on.
func (a *attempt) outlive(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-a.began:
	}
	if pause(ctx, poisonWithin) {
		if err := a.update(ctx, func(r *record) { r.Outlived = true }); err != nil {
			a.n.s.log.DebugContext(ctx, "note that the node lives", "job_id", a.id, "error", err)
		}
	}
}

// commit is the only way a result comes into the world: a compare-and-set at
// the revision this attempt holds.
func (a *attempt) commit(ctx context.Context, res *executorv1.JobResult) error {
	return a.update(ctx, func(r *record) {
		r.State, r.Result, r.WaitingFor, r.Full = executorv1.State_ENDED, res, "", ""
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
			// An unknown outcome, or a full broker: the record tells.
			if !errors.Is(err, fault.Unavailable) && !isStorageFull(err) || !pause(ctx, 500*time.Millisecond) {
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
	defer func() { removeAll(a.dir); a.environment.Done() }()
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
	close(a.began)
	log.DebugContext(ctx, "job runs", "argv", a.job.GetArgv())
	a.openMeters()
	sampled, sampling := context.WithCancel(ctx)
	var sampler sync.WaitGroup
	if len(a.meters) > 0 {
		sampler.Go(func() { a.measureGPUs(sampled) })
	}
	box, err := a.n.s.d.Sandbox.Run(ctx, a.spec(ctx, binds))
	sampling()
	sampler.Wait()
	if len(a.meters) > 0 && err == nil && (box.ExitCode != 0 || box.Signal != 0) {
		pause(ctx, settle) // the driver may tell why a little later
		if cause := context.Cause(ctx); errors.Is(cause, errGPUFault) {
			return nil, cause
		}
	}
	if err != nil {
		return a.stageFailed(ctx, err)
	}
	// From here on a cancel comes too late: what was run is collected.
	if cause := context.Cause(ctx); box.End == sandbox.Cancelled && !errors.Is(cause, errCancelled) {
		return nil, cause
	}
	if err := a.setState(context.WithoutCancel(ctx), executorv1.State_COLLECTING); err != nil {
		return nil, err
	}
	res := a.result(box, began)
	a.gpuRecord(res)
	return a.harvest(ctx, res)
}

// harvest stores what the program left. Nothing of it runs any more, so a full
// store can be waited for.
func (a *attempt) harvest(run context.Context, ended *executorv1.JobResult) (*executorv1.JobResult, error) {
	late, cancel := lasting(run)
	defer cancel()
	var res *executorv1.JobResult
	err := a.whileFull(run, func() error {
		res = proto.Clone(ended).(*executorv1.JobResult)
		err := a.collect(late, res)
		if err == nil {
			res.Stdout, err = a.out.store(late, a.n.s.d.Blobs)
		}
		if err == nil {
			res.Stderr, err = a.errs.store(late, a.n.s.d.Blobs)
		}
		if err == nil && a.environment != nil {
			var d store.Digest
			d, err = store.PutBytes(late, a.n.s.d.Blobs, []byte(a.environment.Packages))
			res.Packages = string(d)
		}
		return err
	})
	if errors.Is(err, errCancelled) {
		return a.early(executorv1.EndReason_CANCELLED, "cancelled while its results waited for room in the blob store"), nil
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// stageFailed tells the job's own faults from the node's.
func (a *attempt) stageFailed(ctx context.Context, err error) (*executorv1.JobResult, error) {
	if isStorageFull(err) && ctx.Err() == nil {
		return nil, err
	}
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
	case sandbox.ReasonSpecInvalid, "BLOB_UNKNOWN", "MISSING_BLOB", "DIGEST_MISMATCH", "PAYLOAD_TOO_LARGE", ReasonPath:
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
	if a.environment != nil {
		res.Environment = a.environment.Digest
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
	if a.environment != nil {
		s.Binds = append(s.Binds, a.environment.Bind)
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
