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
	"golang.org/x/sync/errgroup"
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
	msg    delivery
	id     string
	job    *executorv1.Job
	slots  []*slot
	kill   chan struct{} // closed by a cancel without grace
	once   sync.Once
	began  chan struct{} // closed when the program is about to run

	mu sync.Mutex // guards r
	r  *record

	leave  func()                  // gives the slots back once the program is gone
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
	whole       string // see record.Whole
}

// delivery is what an attempt does with the message of its job.
type delivery interface {
	Metadata() (*jetstream.MsgMetadata, error)
	InProgress() error
	Nak() error
	NakWithDelay(time.Duration) error
	DoubleAck(context.Context) error
}

func (n *node) newAttempt(msg delivery, r *record, set []*slot, leave func()) *attempt {
	id := r.GetJob().GetJobId()
	a := &attempt{n: n, leave: leave, number: r.GetAttempt(), msg: msg, id: id, job: r.GetJob(), slots: set, r: r, kill: make(chan struct{}), began: make(chan struct{})}
	publish := func(b []byte) { _ = n.s.d.Bus.NC.Publish(logSubject(id), b) }
	a.out = newLogStream(publish, r.GetAttempt(), executorv1.LogChunk_STDOUT)
	a.errs = newLogStream(publish, r.GetAttempt(), executorv1.LogChunk_STDERR)
	return a
}

// attempt takes a claimed job to its end, or gives it back. do runs it.
func (n *node) attempt(ctx context.Context, a *attempt, do func(context.Context) (*executorv1.JobResult, error)) {
	ctx, span := n.span(ctx, "executor.job")
	defer span.End()
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.stop = cancel
	n.mu.Lock()
	n.running[a.id] = a
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.running, a.id)
		n.mu.Unlock()
	}()
	var helpers sync.WaitGroup
	helpers.Go(func() { a.watch(run, cancel) })
	helpers.Go(func() { a.tick(run) })
	helpers.Go(func() { a.outlive(run) })
	res, err := do(run)
	a.finish(ctx, run, res, err)
	removeAll(a.dir) // not before: a successor of this process would go on with it
	a.environment.Done()
	cancel(nil)
	helpers.Wait()
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
	var group errgroup.Group // the broker's disk and ours at the same time
	group.Go(func() error { return a.setState(ctx, executorv1.State_STAGING) })
	binds, err := a.stage(ctx)
	if err := group.Wait(); err != nil {
		return nil, err
	}
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
	res := a.result(box, began)
	a.gpuRecord(res)
	a.leave()
	if err := a.setState(context.WithoutCancel(ctx), executorv1.State_COLLECTING); err != nil {
		return nil, err
	}
	return a.harvest(ctx, res)
}

// harvest stores what the program left. Nothing of it runs any more, so a full
// store can be waited for. Once what is in memory only is stored, the rest can
// be done by a successor of this process.
func (a *attempt) harvest(run context.Context, res *executorv1.JobResult) (*executorv1.JobResult, error) {
	late, cancel := lasting(run)
	defer cancel()
	err := a.whileFull(run, func() (err error) {
		if res.Stdout, err = a.out.store(late, a.n.s.d.Blobs); err != nil {
			return err
		}
		if res.Stderr, err = a.errs.store(late, a.n.s.d.Blobs); err != nil {
			return err
		}
		if a.environment != nil {
			var d store.Digest
			d, err = store.PutBytes(late, a.n.s.d.Blobs, []byte(a.environment.Packages))
			res.Packages = string(d)
		}
		return err
	})
	if err == nil {
		if e := a.noteEnd(res); e != nil { // at worst it runs again
			a.n.s.log.WarnContext(run, "note a program's end", "job_id", a.id, "error", e)
		}
	}
	return a.reap(run, res, err)
}

// reap collects the outputs of a program that has ended.
func (a *attempt) reap(run context.Context, ended *executorv1.JobResult, err error) (*executorv1.JobResult, error) {
	late, cancel := lasting(run)
	defer cancel()
	var res *executorv1.JobResult
	if err == nil {
		err = a.whileFull(run, func() error {
			res = proto.Clone(ended).(*executorv1.JobResult)
			err := a.collect(late, res)
			if err == nil {
				res, a.whole, err = outsource(late, a.n.s.d.Blobs, res)
			}
			return err
		})
	}
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
	probe := a.n.s.d.Sandbox.Probe()
	res := &executorv1.JobResult{
		Level: probe.Level, ProbeDigest: probe.Digest, MemoryWall: probe.MemoryWall,
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
			res.GpuUuids = append(res.GpuUuids, s.id)
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
			uuids = append(uuids, s.id)
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
		OnUsage: a.sampled,
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
