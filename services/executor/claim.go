package executor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

const maxInfra = 5

// maxLosses bounds attempts lost for any reason.
func (c Config) maxLosses() int {
	if c.SoleOwner {
		return 50
	}
	return 5
}

// poisonLimit is 2, or generous for a sole owner: a person stops and starts it.
func (n *node) poisonLimit() int { return n.s.cfg.Poison }

// handle decides what to do with a delivered message. It owns the held slot,
// and calls chosen once it is known which others the job takes.
func (n *node) handle(ctx context.Context, msg jetstream.Msg, held *slot, chosen func()) {
	defer chosen()
	set := []*slot{held}
	id := string(msg.Data())
	defer func() { // set may have grown or, where it was given back, be empty
		left := n.finished(id)
		n.slots.release(set)
		if left || len(set) > 0 {
			n.tellSoon(ctx)
		}
	}()
	log := n.s.log.With("job_id", id)
	if !n.begin(id) { // a second message of a job that this node is at
		_ = msg.NakWithDelay(n.s.cfg.BusyDelay)
		return
	}
	defer n.done(id)
	r, err := n.s.jobs.get(ctx, id)
	if errors.Is(err, fault.NotFound) {
		log.WarnContext(ctx, "message without a job")
		_ = msg.TermWithReason("no such job")
		return
	}
	if fault.ReasonOf(err) == reasonDamaged { // by nobody's hand but an operator's; no delivery mends it
		log.ErrorContext(ctx, "a job that cannot be read is given up", "error", err)
		_ = msg.TermWithReason("its record cannot be read")
		return
	}
	if err != nil {
		log.WarnContext(ctx, "read job", "error", err)
		_ = msg.NakWithDelay(2 * time.Second)
		return
	}
	switch verdict, delay := n.judge(ctx, r); verdict {
	case verdictDone:
		n.conclude(ctx, msg, r.JobRecord)
		return
	case verdictLater:
		_ = msg.NakWithDelay(delay)
		return
	}
	if n.avoid(ctx, r) {
		_ = msg.NakWithDelay(time.Second)
		return
	}
	more, ok, ever := n.slots.more(held, r.GetJob().GetGpu())
	set = more
	chosen()
	if !ok {
		delay := 2 * time.Second
		if !ever {
			delay = n.s.cfg.BusyDelay
		}
		_ = msg.NakWithDelay(delay)
		return
	}
	// The node says that it has the job before it claims it, so that nobody
	// who sees the claim takes it for a dead one.
	n.slots.assign(set, id)
	var group errgroup.Group
	group.Go(func() error { return n.announce(ctx) })
	// The note comes before the claim too: who is killed between them hands
	// the message back at the next start, before AckWait.
	err = n.state.write(note{Job: id, Attempt: r.GetAttempt() + 1, Reply: msg.Reply(), Instance: n.instance})
	if err != nil {
		log.ErrorContext(ctx, "note the attempt", "error", err)
	}
	if err := errors.Join(err, group.Wait()); err != nil {
		n.state.forget(id)
		_ = msg.NakWithDelay(2 * time.Second)
		return
	}
	if err := n.claim(ctx, r); err != nil {
		n.state.forget(id)
		log.InfoContext(ctx, "claim", "error", err)
		_ = msg.NakWithDelay(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		return
	}
	a := n.newAttempt(msg, r, set, func() {
		if n.finish(id) {
			n.slots.release(set)
			set = nil
		}
	})
	n.attempt(bus.Extract(ctx, msg.Headers()), a, a.run)
}

type verdict int

const (
	verdictRun verdict = iota
	verdictDone
	verdictLater
)

// judge looks at a job's record: it may have ended, be run elsewhere, have
// been lost, or be beyond hope.
func (n *node) judge(ctx context.Context, r *record) (verdict, time.Duration) {
	id := r.GetJob().GetJobId()
	if r.ended() {
		return verdictDone, 0
	}
	if r.Instance != "" {
		held, err := n.held(ctx, r)
		if err != nil {
			return verdictLater, 2 * time.Second
		}
		if held {
			return verdictLater, n.s.cfg.BusyDelay + rand.N(n.s.cfg.BusyDelay/4+1)
		}
		r.lose(endLost)
	}
	switch {
	case r.GetCancelRequested():
		r.end(executorv1.EndReason_CANCELLED, "cancelled before it ran")
	case r.Poison >= n.poisonLimit():
		r.end(executorv1.EndReason_DEAD, fmt.Sprintf("the executor was lost %d times soon after the program began", r.Poison))
	case r.Losses >= n.s.cfg.maxLosses():
		r.end(executorv1.EndReason_DEAD, fmt.Sprintf("%d attempts were lost with their executors", r.Losses))
	case r.Infra >= maxInfra:
		r.end(executorv1.EndReason_DEAD, fmt.Sprintf("%d attempts ended by trouble of the nodes", r.Infra))
	default:
		return verdictRun, 0
	}
	if err := n.s.jobs.put(ctx, r); err != nil {
		return verdictLater, time.Second
	}
	n.s.metrics.ended(ctx, r.GetJob().GetPool(), r.GetResult())
	if r.GetResult().GetEndReason() == executorv1.EndReason_DEAD {
		n.s.jobs.bury(ctx, r)
	}
	n.s.log.InfoContext(ctx, "job ended without running", "job_id", id, "reason", r.GetResult().GetEndReason().String())
	return verdictDone, 0
}

// avoid tells whether a job whose last attempt failed by this node's trouble
// should go to another one, which has room for it now.
func (n *node) avoid(ctx context.Context, r *record) bool {
	if len(r.Earlier) == 0 {
		return false
	}
	last := r.Earlier[len(r.Earlier)-1]
	if last.GetNode() != n.s.name || last.GetEnd() != endInfra && last.GetEnd() != endGPUFault {
		return false
	}
	nodes, err := n.s.jobs.recentNodes(ctx)
	if err != nil {
		return false
	}
	pool, want := r.GetJob().GetPool(), r.GetJob().GetGpu()
	for _, other := range nodes {
		if other.GetName() == n.s.name || other.GetDraining() || !contains(other.GetPools(), pool) || refusal(other, int(want.GetCount())) != "" {
			continue
		}
		free := 0
		for _, s := range other.GetSlots() {
			if s.GetState() == slotFree && (want.GetCount() == 0 || s.GetKind() == "gpu" && gpuFits(want, s.GetModel(), s.GetMemoryBytes())) {
				free++
			}
		}
		if free > 0 && free >= int(want.GetCount()) {
			return true
		}
	}
	return false
}

// finish lets a job whose program has ended leave its slots: storing its
// results needs none. The node goes on to say that it has the job. Where as
// many are being stored as there are slots it returns false, so that a slow
// store slows the queue.
func (n *node) finish(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.finishing) >= len(n.slots.all) {
		return false
	}
	n.finishing[id] = true
	return true
}

// finished tells whether a job had left its slots, and forgets it.
func (n *node) finished(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	had := n.finishing[id]
	delete(n.finishing, id)
	return had
}

// begin makes one message of a job the only one that this node handles.
func (n *node) begin(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handling[id] {
		return false
	}
	n.handling[id] = true
	return true
}

func (n *node) done(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.handling, id)
}

// held tells whether a living node has the claim. One of this node's own is a
// left-over: whoever asks is the only one who handles the job here.
func (n *node) held(ctx context.Context, r *record) (bool, error) {
	if r.Instance == n.instance {
		return false, nil
	}
	return n.s.jobs.holds(ctx, r.Instance, r.GetJob().GetJobId())
}

// claim makes the job this node's, if nobody was faster.
func (n *node) claim(ctx context.Context, r *record) error {
	r.Attempt++
	r.State, r.Node, r.Instance, r.Began, r.WaitingFor = executorv1.State_CLAIMED, n.s.name, n.instance, time.Time{}, ""
	r.Outlived, r.Full = false, ""
	return n.s.jobs.put(ctx, r)
}

// tellTries is how often a job's message comes back because its end could not
// be told: a broker that forbids the event must not keep a slot for ever.
const tellTries = 10

// conclude tells of a job's end, then deletes its message and waits for the
// broker to say so. What is lost on the way only leads to a delivery that finds
// the end and comes here again.
func (n *node) conclude(ctx context.Context, msg delivery, r *executorv1.JobRecord) {
	if err := n.s.jobs.tell(ctx, r); err != nil {
		n.s.log.WarnContext(ctx, "a job's end is not told yet", "job_id", r.GetJob().GetJobId(), "error", err)
		if m, err := msg.Metadata(); err != nil || m.NumDelivered < tellTries {
			_ = msg.NakWithDelay(2 * time.Second)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := msg.DoubleAck(ctx); err != nil {
		n.s.log.DebugContext(ctx, "acknowledge", "error", err)
	}
}
