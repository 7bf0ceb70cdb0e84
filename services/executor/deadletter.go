package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

// maxDeliver is a safety net under what is counted in the records: a job that
// waits for a node that fits is delivered each 30 s, so this is two weeks.
const maxDeliver = 40_320

// advisory is what the broker says of a message that it delivers no more:
// https://docs.nats.io/running-a-nats-service/nats_admin/monitoring/monitoring_jetstream.
type advisory struct {
	Seq        uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
}

// listen makes a dead letter of each message that reached MaxDeliver: it would
// stay in the stream, invisible. One of all executors gets each advisory.
func (n *node) listen(ctx context.Context) error {
	const advisories = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + subject.StreamJobs + ".>"
	got := make(chan *nats.Msg, 64)
	sub, err := n.s.d.Bus.NC.ChanQueueSubscribe(advisories, "nullius-executors", got)
	if err != nil {
		return busFault(err, "listen to the queue's advisories")
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-got:
			var a advisory
			if json.Unmarshal(m.Data, &a) != nil || a.Seq == 0 {
				continue
			}
			if err := n.exhausted(ctx, a); err != nil {
				n.s.log.ErrorContext(ctx, "a message that is delivered no more", "seq", a.Seq, "error", err)
			}
		}
	}
}

// exhausted ends the job of a message that was delivered too often, unless a
// living node runs it: that one needs a message that can be acknowledged.
func (n *node) exhausted(ctx context.Context, a advisory) error {
	j := n.s.jobs
	msg, err := j.stream.GetMsg(ctx, a.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return busFault(err, "read a message of the queue")
	}
	id := string(msg.Data)
	var held bool
	r, err := j.change(ctx, id, func(r *record) (bool, error) {
		if held = false; r.ended() {
			return false, nil
		}
		if r.Instance != "" {
			var err error
			if held, err = j.holds(ctx, r.Instance, id); err != nil || held {
				return false, err
			}
		}
		r.end(executorv1.EndReason_DEAD, fmt.Sprintf("its message was delivered %d times without an end", a.Deliveries))
		return true, nil
	})
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	switch {
	case held:
		if err := j.enqueue(ctx, r.GetJob().GetPool(), id, ""); err != nil {
			return err
		}
	case err == nil && r.GetResult().GetEndReason() == executorv1.EndReason_DEAD:
		j.bury(ctx, r)
		n.s.metrics.ended(ctx, r.GetJob().GetPool(), r.GetResult())
	}
	if err == nil && r.ended() {
		if err := j.tell(ctx, r.JobRecord); err != nil {
			n.s.log.WarnContext(ctx, "a job's end is not told", "job_id", id, "error", err)
		}
	}
	if err := j.stream.DeleteMsg(ctx, a.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return busFault(err, "take a message off the queue")
	}
	return nil
}
