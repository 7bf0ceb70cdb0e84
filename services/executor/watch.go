package executor

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// logsAfterEnd is how long a watcher waits for log chunks that are still on
// their way when the result is there.
const logsAfterEnd = time.Second

// Watch sends states, samples and log chunks of a job, then its result, and returns.
func (s *Service) Watch(ctx context.Context, req *executorv1.WatchRequest, send func(*executorv1.WatchResponse) error) error {
	first, err := s.jobs.get(ctx, req.GetJobId())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, err := s.jobs.state.Watch(ctx, req.GetJobId())
	if err != nil {
		return busFault(err, "watch a job")
	}
	defer func() { _ = keys.Stop() }()
	f := &follower{s: s, send: send, attempt: req.GetAttempt()}
	f.want[executorv1.LogChunk_STDOUT], f.want[executorv1.LogChunk_STDERR] = req.GetStdoutOffset(), req.GetStderrOffset()
	if f.attempt == 0 {
		f.attempt = max(1, first.GetAttempt())
		f.want = [3]uint64{}
	}
	chunks, none, stop, err := s.jobs.follow(ctx, req.GetJobId())
	if err != nil {
		return err
	}
	defer stop()
	samples, deaf, err := s.jobs.samples(req.GetJobId())
	if err != nil {
		return err
	}
	defer deaf()
	again := time.NewTicker(2 * time.Second)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-chunks:
			if err := f.chunk(c); err != nil {
				return err
			}
		case m := <-samples:
			if err := f.sample(m); err != nil {
				return err
			}
		case e, ok := <-keys.Updates():
			if !ok {
				return fault.New(fault.Unavailable, "BUS_UNAVAILABLE", "the broker ended the watch").WithRetry(time.Second)
			}
			if e == nil {
				continue
			}
			r, err := decodeRecord(e.Value(), e.Revision())
			if err != nil {
				return fault.Wrap(err, fault.Internal, reasonDamaged, "the record of job %s cannot be read", req.GetJobId())
			}
			if r.ended() {
				f.expired = first.ended() && none
				return f.finish(ctx, r, chunks)
			}
			if err := f.state(ctx, r); err != nil {
				return err
			}
			if r.Full != "" {
				return storageFault(r)
			}
		case <-again.C:
			if err := f.waiting(ctx); err != nil {
				return err
			}
		}
	}
}

// follower turns what the broker has into what a watcher gets.
type follower struct {
	s       *Service
	send    func(*executorv1.WatchResponse) error
	attempt int32
	want    [3]uint64 // next offset by stream
	last    *record
	told    string // what the job waited for, as it was last told
	expired bool   // no log chunk is left, and none will come
}

func (f *follower) state(ctx context.Context, r *record) error {
	f.last = r
	out := f.s.explain(ctx, r)
	out.Result = nil
	f.told = out.GetWaitingFor()
	return f.send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_State{State: out}})
}

// waiting tells again why a queued job waits, when that has changed.
func (f *follower) waiting(ctx context.Context) error {
	if f.last == nil || f.last.GetState() != executorv1.State_QUEUED {
		return nil
	}
	if now := f.s.explain(ctx, f.last).GetWaitingFor(); now == f.told {
		return nil
	}
	return f.state(ctx, f.last)
}

func (f *follower) chunk(c *executorv1.LogChunk) error {
	which := c.GetStream()
	if which != executorv1.LogChunk_STDOUT && which != executorv1.LogChunk_STDERR || c.GetAttempt() < f.attempt {
		return nil
	}
	if c.GetAttempt() > f.attempt {
		f.attempt, f.want = c.GetAttempt(), [3]uint64{}
	}
	want := f.want[which]
	end := c.GetOffset() + uint64(len(c.GetData()))
	switch {
	case end <= want:
		return nil
	case c.GetOffset() > want:
		if err := f.gap(which, want, c.GetOffset()); err != nil {
			return err
		}
	case c.GetOffset() < want:
		c.Data = c.Data[want-c.GetOffset():]
		c.Offset = want
	}
	f.want[which] = end
	return f.send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_Log{Log: c}})
}

func (f *follower) gap(which executorv1.LogChunk_Stream, from, to uint64) error {
	return f.send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_Gap{
		Gap: &executorv1.LogGap{Attempt: f.attempt, Stream: which, From: from, To: to},
	}})
}

// finish waits a little for the last log chunks, then tells what is missing
// and the result.
func (f *follower) finish(ctx context.Context, r *record, chunks <-chan *executorv1.LogChunk) error {
	res := r.GetResult()
	total := [3]uint64{
		executorv1.LogChunk_STDOUT: res.GetStdout().GetTotalBytes(), executorv1.LogChunk_STDERR: res.GetStderr().GetTotalBytes(),
	}
	if f.attempt < res.GetAttempt() {
		f.attempt, f.want = res.GetAttempt(), [3]uint64{}
	}
	late := time.NewTimer(logsAfterEnd)
	defer late.Stop()
	complete := func() bool {
		return f.want[1] >= total[1] && f.want[2] >= total[2]
	}
	for waiting := !f.expired; waiting && !complete(); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-chunks:
			if err := f.chunk(c); err != nil {
				return err
			}
		case <-late.C:
			waiting = false
		}
	}
	for _, which := range []executorv1.LogChunk_Stream{executorv1.LogChunk_STDOUT, executorv1.LogChunk_STDERR} {
		if f.want[which] < total[which] {
			if err := f.gap(which, f.want[which], total[which]); err != nil {
				return err
			}
		}
	}
	rec, err := f.s.whole(ctx, r)
	if err != nil {
		return err
	}
	return f.send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_Result{Result: rec}})
}

// follow delivers a job's log chunks, from the oldest kept; none says that
// there is none yet.
func (j *jobs) follow(ctx context.Context, id string) (chunks <-chan *executorv1.LogChunk, none bool, stop func(), err error) {
	c, err := j.logs.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{logSubject(id)}, DeliverPolicy: jetstream.DeliverAllPolicy, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return nil, false, nil, busFault(err, "follow a log")
	}
	out := make(chan *executorv1.LogChunk)
	cc, err := c.Consume(func(m jetstream.Msg) {
		chunk := &executorv1.LogChunk{}
		if proto.Unmarshal(m.Data(), chunk) != nil {
			return
		}
		select {
		case out <- chunk:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(64))
	if err != nil {
		return nil, false, nil, busFault(err, "follow a log")
	}
	info := c.CachedInfo()
	return out, info != nil && info.NumPending == 0 && info.Delivered.Stream == 0, cc.Stop, nil
}
