package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

// jobs is the executor's part of the broker: the queue, the records of jobs,
// the heartbeats of nodes and the logs for watchers.
type jobs struct {
	bus    *bus.Conn
	cfg    Config
	state  jetstream.KeyValue
	nodes  jetstream.KeyValue
	stream jetstream.Stream
	logs   jetstream.Stream
	recent struct { // see recentNodes
		mu    sync.Mutex
		at    time.Time
		nodes []*executorv1.Node
	}
}

const (
	maxQueued     = 100_000
	reasonDamaged = "JOB_DAMAGED"
)

func openJobs(ctx context.Context, b *bus.Conn, cfg Config) (*jobs, error) {
	j := &jobs{bus: b, cfg: cfg}
	var err error
	if j.stream, err = j.declare(ctx); err != nil {
		return nil, err
	}
	if j.logs, err = b.JS.Stream(ctx, subject.StreamJobLogs); err != nil {
		return nil, busFault(err, "open the stream of logs")
	}
	if j.state, err = b.JS.KeyValue(ctx, subject.BucketJobState); err != nil {
		return nil, busFault(err, "open the records of jobs")
	}
	j.nodes, err = b.JS.KeyValue(ctx, subject.BucketNodes)
	return j, busFault(err, "open the nodes")
}

// declare makes the streams and buckets that are missing. It is called again
// when the broker was away: what lies in memory goes with it.
func (j *jobs) declare(ctx context.Context) (jetstream.Stream, error) {
	b, cfg := j.bus, j.cfg
	stream, err := b.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamJobs, Subjects: []string{subject.JobsAll}, Retention: jetstream.WorkQueuePolicy,
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, MaxMsgs: maxQueued, MaxBytes: 32 << 20,
		Duplicates: 10 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	if _, err = b.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamJobLogs, Subjects: []string{subject.JobLogsAll}, Storage: jetstream.MemoryStorage,
		MaxAge: time.Hour, MaxBytes: 32 << 20, Discard: jetstream.DiscardOld, Duplicates: time.Minute,
	}); err != nil {
		return nil, err
	}
	if _, err = b.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamJobsDead, Subjects: []string{subject.JobsDeadAll}, Storage: jetstream.FileStorage,
		MaxAge: 30 * 24 * time.Hour, MaxBytes: 16 << 20, Discard: jetstream.DiscardOld,
	}); err != nil {
		return nil, err
	}
	if _, err = b.KV(ctx, jetstream.KeyValueConfig{
		Bucket: subject.BucketJobState, History: 1, Storage: jetstream.FileStorage, MaxBytes: stateBytes, MaxValueSize: 1 << 20,
	}); err != nil {
		return nil, err
	}
	_, err = b.KV(ctx, jetstream.KeyValueConfig{
		Bucket: subject.BucketNodes, History: 1, TTL: cfg.NodeTTL, Storage: jetstream.MemoryStorage, MaxBytes: 4 << 20,
	})
	return stream, err
}

func consumerName(pool string) string { return "executor-" + pool }

// consumer opens the one durable consumer of a pool, which all nodes share.
func (j *jobs) consumer(ctx context.Context, pool string) (jetstream.Consumer, error) {
	name := consumerName(pool)
	if j.cfg.SoleOwner {
		// Whoever held messages is gone; a new consumer delivers them at once.
		if err := j.stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, bus.Fault(err, "renew the consumer of pool "+pool)
		}
	}
	c, err := j.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subject.Jobs(pool), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: j.cfg.AckWait, MaxDeliver: j.cfg.MaxDeliver, MaxAckPending: 10_000, MaxWaiting: 4096,
	})
	return c, bus.Fault(err, "open the consumer of pool "+pool)
}

// record is a job as it lies in JOB_STATE, with the revision it was read at.
type record struct {
	*executorv1.JobRecord
	Instance string    // of the node that holds the claim
	Began    time.Time // when the program of this attempt began; zero: not yet
	Force    bool      // cancel without grace
	Outlived bool      // this attempt's node lived on past the first poisonWithin of the program
	Full     string    // the store that has no room for this attempt's results; empty: none
	Whole    string    // digest of the result with its long lists, where they have no place here
	Poison   int       // attempts lost while the program ran, soon after its start
	Losses   int       // all attempts lost
	Infra    int       // attempts ended by the node's own trouble
	Earlier  []*executorv1.Attempt
	revision uint64
}

// stored is the JSON of a record.
type stored struct {
	Record   json.RawMessage `json:"record"`
	Instance string          `json:"instance,omitempty"`
	Began    *time.Time      `json:"began,omitempty"`
	Force    bool            `json:"force,omitempty"`
	Outlived bool            `json:"outlived,omitempty"`
	Full     string          `json:"full,omitempty"`
	Whole    string          `json:"whole,omitempty"`
	Poison   int             `json:"poison,omitempty"`
	Losses   int             `json:"losses,omitempty"`
	Infra    int             `json:"infra,omitempty"`
	Earlier  []pastAttempt   `json:"earlier,omitempty"`
}

type pastAttempt struct {
	Number int32  `json:"number"`
	Node   string `json:"node"`
	End    string `json:"end"`
}

func (r *record) encode() ([]byte, error) {
	b, err := protojson.Marshal(r.JobRecord)
	if err != nil {
		return nil, err
	}
	s := stored{Record: b, Instance: r.Instance, Force: r.Force, Outlived: r.Outlived, Full: r.Full, Whole: r.Whole, Poison: r.Poison, Losses: r.Losses, Infra: r.Infra}
	if !r.Began.IsZero() {
		s.Began = &r.Began
	}
	for _, a := range r.Earlier {
		s.Earlier = append(s.Earlier, pastAttempt{a.GetNumber(), a.GetNode(), a.GetEnd()})
	}
	return json.Marshal(s)
}

func decodeRecord(data []byte, revision uint64) (*record, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	r := &record{
		JobRecord: &executorv1.JobRecord{}, Instance: s.Instance, Force: s.Force, Outlived: s.Outlived, Full: s.Full, Whole: s.Whole,
		Poison: s.Poison, Losses: s.Losses, Infra: s.Infra, revision: revision,
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(s.Record, r.JobRecord); err != nil {
		return nil, err
	}
	if s.Began != nil {
		r.Began = *s.Began
	}
	for _, a := range s.Earlier {
		r.Earlier = append(r.Earlier, &executorv1.Attempt{Number: a.Number, Node: a.Node, End: a.End})
	}
	return r, nil
}

func (r *record) ended() bool { return r.GetState() == executorv1.State_ENDED }

// lose notes the end of an attempt that gave no result, and puts the job back.
// An executor that was lost before it could say that it outlived the first
// poisonWithin of the program may have been killed by it; clocks and the time
// at which somebody notices do not matter.
func (r *record) lose(end string) {
	r.Earlier = append(r.Earlier, &executorv1.Attempt{Number: r.GetAttempt(), Node: r.GetNode(), End: end})
	if len(r.Earlier) > 20 {
		r.Earlier = r.Earlier[len(r.Earlier)-20:]
	}
	switch end {
	case endLost:
		r.Losses++
		if !r.Began.IsZero() && !r.Outlived {
			r.Poison++
		}
	case endInfra, endGPUFault:
		r.Infra++
	}
	r.requeue()
}

func (r *record) requeue() {
	r.State, r.Node, r.Instance, r.Began, r.Started, r.Outlived = executorv1.State_QUEUED, "", "", time.Time{}, nil, false
}

// end writes a result that no attempt made.
func (r *record) end(reason executorv1.EndReason_Value, message string) {
	now := timestamppb.Now()
	r.State = executorv1.State_ENDED
	r.WaitingFor = ""
	r.Result = &executorv1.JobResult{
		Attempt: r.GetAttempt(), Node: r.GetNode(), Started: r.GetStarted(), Ended: now, EndReason: reason, Message: message,
		Snapshot: r.GetJob().GetSnapshot(), Earlier: r.Earlier,
	}
}

// Ends of attempts that are not ends of jobs.
const (
	endInfra       = "INFRA"
	endLost        = "LOST"
	endGPUFault    = "GPU_FAULT"
	endInterrupted = "INTERRUPTED"
	endFull        = "STORAGE_FULL" // there was no room to stage it; counts nowhere
	endLeaseLost   = "LEASE_LOST"   // taken over while it ran
	endSuperseded  = "SUPERSEDED"   // taken over, found at the commit
)

func (j *jobs) get(ctx context.Context, id string) (*record, error) {
	unknown := fault.New(fault.NotFound, ReasonUnknown, "there is no job %.200q", id).WithNext("nullius list")
	if !isJobID(id) { // a longer one would not pass for a key, but end the connection to the broker
		return nil, unknown
	}
	e, err := j.state.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, bus.Fault(err, "read a job")
	}
	r, err := decodeRecord(e.Value(), e.Revision())
	if err == nil && r.GetJob().GetJobId() != id {
		err = fmt.Errorf("it is of the job %.200q", r.GetJob().GetJobId())
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, reasonDamaged, "the record of job %s cannot be read", id)
	}
	return r, nil
}

// put writes a record at the revision it was read at. A lost race is
// fault.Conflict.
func (j *jobs) put(ctx context.Context, r *record) error {
	data, err := r.encode()
	if err != nil {
		return fault.Wrap(err, fault.Internal, reasonDamaged, "job %s cannot be written", r.GetJob().GetJobId())
	}
	rev, err := j.state.Update(ctx, r.GetJob().GetJobId(), data, r.revision)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return fault.Wrap(err, fault.Conflict, "CONFLICT", "job %s was changed by somebody else", r.GetJob().GetJobId())
	}
	if err != nil {
		return bus.Fault(err, "write a job")
	}
	r.revision = rev
	return nil
}

// change reads, changes and writes until no one was faster. change returns
// false to leave the record as it is.
func (j *jobs) change(ctx context.Context, id string, change func(*record) (bool, error)) (*record, error) {
	for try := 0; ; try++ {
		r, err := j.get(ctx, id)
		if err != nil {
			return nil, err
		}
		write, err := change(r)
		if err != nil || !write {
			return r, err
		}
		err = j.put(ctx, r)
		if err == nil || !errors.Is(err, fault.Conflict) || try == 20 {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(rand.IntN(10)+1) * time.Millisecond):
		}
	}
}

// enqueue publishes the message that wakes a node up for a job.
func (j *jobs) enqueue(ctx context.Context, pool, id, msgID string) error {
	_, err := j.bus.Publish(ctx, subject.Jobs(pool), msgID, "nullius.executor.v1.JobID", []byte(id))
	if errors.Is(err, fault.Exhausted) || isFull(err) {
		return fault.Wrap(err, fault.Exhausted, ReasonQueueFull, "the queue of pool %s is full", pool).WithRetry(10 * time.Second)
	}
	return err
}

func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10077
}

// bury copies a job to the dead letters.
func (j *jobs) bury(ctx context.Context, r *record) {
	data, err := r.encode()
	if err != nil {
		return
	}
	id := fmt.Sprintf("%s/%d", r.GetJob().GetJobId(), r.GetAttempt())
	_, _ = j.bus.Publish(ctx, subject.JobDead(r.GetJob().GetPool()), id, "nullius.executor.v1.JobRecord", data)
}
