package executor

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/fault"
	"nullius.dev/proto/subject"
)

const (
	stateBytes = 128 << 20 // of JOB_STATE
	// crowded is the share of JOB_STATE above which records go after keepCrowded.
	crowded     = 0.7
	keepCrowded = 24 * time.Hour
	pruneEvery  = time.Hour
)

// pruning removes old records now and then; every node does, and who comes
// second finds nothing.
func (n *node) pruning(ctx context.Context) {
	for pause(ctx, rand.N(pruneEvery/2)+pruneEvery/2) {
		gone, err := n.s.jobs.prune(ctx, n.s.cfg.KeepRecords, time.Now())
		if err != nil {
			n.s.log.WarnContext(ctx, "remove old job records", "error", err)
		} else if gone > 0 {
			n.s.log.InfoContext(ctx, "removed old job records", "count", gone)
		}
		if err := n.s.jobs.unfetched(ctx); err != nil {
			n.s.log.WarnContext(ctx, "remove messages that nobody fetches", "error", err)
		}
	}
}

// prune removes the records of jobs that ended longer than keep ago; in a
// crowded bucket those of a day ago. Unfinished ones stay, however old.
func (j *jobs) prune(ctx context.Context, keep time.Duration, now time.Time) (int, error) {
	st, err := j.state.Status(ctx)
	if err != nil {
		return 0, busFault(err, "look at the job records")
	}
	if float64(st.Bytes()) > crowded*stateBytes {
		keep = min(keep, keepCrowded)
	}
	stream, err := j.bus.JS.Stream(ctx, "KV_"+subject.BucketJobState)
	if err != nil {
		return 0, busFault(err, "look at the job records")
	}
	w, err := j.state.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return 0, busFault(err, "read the job records")
	}
	defer func() { _ = w.Stop() }()
	gone := 0
	for {
		var e jetstream.KeyValueEntry
		select {
		case <-ctx.Done():
			return gone, ctx.Err()
		case e = <-w.Updates():
		}
		if e == nil { // all that were there
			break
		}
		r, err := decodeRecord(e.Value(), e.Revision())
		if err != nil || !r.ended() || now.Sub(r.GetResult().GetEnded().AsTime()) < keep {
			continue
		}
		// Up to its revision: what was written in between stays, and no marker
		// of the deletion stays behind.
		key := "$KV." + subject.BucketJobState + "." + e.Key()
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(key), jetstream.WithPurgeSequence(e.Revision()+1)); err != nil {
			return gone, busFault(err, "remove a job record")
		}
		gone++
	}
	return gone, nil
}

// unfetched removes messages of ended jobs from queues that no node has ever
// served: jobs that waited there until they were cancelled. From all other
// queues a node takes them.
func (j *jobs) unfetched(ctx context.Context) error {
	info, err := j.stream.Info(ctx, jetstream.WithSubjectFilter(subject.JobsAll))
	if err != nil {
		return busFault(err, "look at the queue")
	}
	for queue := range info.State.Subjects {
		if err := j.unfetchedOf(ctx, strings.TrimPrefix(queue, subject.Jobs(""))); err != nil {
			return err
		}
	}
	return nil
}

func (j *jobs) unfetchedOf(ctx context.Context, pool string) error {
	_, err := j.stream.Consumer(ctx, consumerName(pool))
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return busFault(err, "look at the consumer of pool "+pool)
	}
	for seq := uint64(1); ; seq++ {
		msg, err := j.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject.Jobs(pool)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return busFault(err, "read the queue of pool "+pool)
		}
		seq = msg.Sequence
		r, err := j.get(ctx, string(msg.Data))
		if err != nil && !errors.Is(err, fault.NotFound) || err == nil && !r.ended() {
			continue
		}
		if err := j.stream.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return busFault(err, "take a message off the queue")
		}
	}
}
