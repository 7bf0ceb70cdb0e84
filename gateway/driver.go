package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

const (
	ideasAckWait  = 30 * time.Second
	ideasBeat     = 10 * time.Second
	sweepEvery    = time.Minute
	appendTimeout = 10 * time.Second
	actor         = "gateway"
)

// errZombie means that another owner has claimed the machine.
var errZombie = errors.New("another owner has claimed this machine")

// driver runs the machines that this replica owns, a goroutine each.
type driver struct {
	owner   string
	log     *slog.Logger
	bus     *bus.Conn
	journal *journal.Store
	events  *publisher
	steps   *steps
	budgets Budgets
	ledger  Ledger
	before  former // the process that drove these machines before
	max     int

	mu    sync.Mutex
	owned map[journal.Key]bool // value: something came in while it was owned
	wg    sync.WaitGroup
}

// run takes machines from IDEAS until ctx ends, then waits for those it owns to stop in order.
func (d *driver) run(ctx context.Context, sole bool) error {
	cons, err := d.consumer(ctx, sole)
	if err != nil {
		return err
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(64))
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the queue of ideas cannot be read")
	}
	d.wg.Go(func() { d.sweep(ctx) })
	d.wg.Go(func() { <-ctx.Done(); it.Stop() })
	defer d.wg.Wait()
	for {
		msg, err := it.Next()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				return nil
			}
			return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the queue of ideas cannot be read")
		}
		k, ok := keyOf(msg.Subject())
		if !ok || d.take(k) {
			d.ack(ctx, msg)
			continue
		}
		d.wg.Go(func() { d.own(ctx, k, msg) })
	}
}

// consumer binds the queue. The holder of the data folder's lock makes it anew, which brings back at once what a killed process held.
func (d *driver) consumer(ctx context.Context, sole bool) (jetstream.Consumer, error) {
	st, err := d.bus.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamIdeas, Subjects: []string{subject.IdeasAll}, Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy,
		Discard: jetstream.DiscardNew, MaxBytes: 16 << 20, Duplicates: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	if sole {
		if err := st.DeleteConsumer(ctx, "gateway"); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the queue of ideas cannot be taken over")
		}
	}
	cons, err := st.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "gateway", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ideasAckWait, MaxAckPending: 2 * d.max, MaxDeliver: -1,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the queue of ideas cannot be read")
	}
	return cons, nil
}

func keyOf(subj string) (journal.Key, bool) {
	p := strings.Split(strings.TrimPrefix(subj, "nullius.ideas."), ".")
	if len(p) != 2 {
		return journal.Key{}, false
	}
	return journal.Key{Study: p[0], Idea: p[1]}, true
}

// take marks a machine as owned; it reports true when it was owned already, and its owner then looks once more before it stops.
func (d *driver) take(k journal.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.owned[k]; ok {
		d.owned[k] = true
		return true
	}
	d.owned[k] = false
	return false
}

// leave gives a machine back; it reports false when something came in meanwhile.
func (d *driver) leave(k journal.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned[k] {
		d.owned[k] = false
		return false
	}
	delete(d.owned, k)
	return true
}

func (d *driver) ack(ctx context.Context, msg jetstream.Msg) {
	if err := msg.Ack(); err != nil {
		d.log.WarnContext(ctx, "ack of a machine's message", "error", err)
	}
}

// own drives one machine until it stops, and then acks its message.
func (d *driver) own(ctx context.Context, k journal.Key, msg jetstream.Msg) {
	beat, stop := context.WithCancel(ctx)
	defer stop()
	d.wg.Go(func() {
		for t := time.NewTicker(ideasBeat); ; {
			select {
			case <-t.C:
				_ = msg.InProgress() // a lost heartbeat leads to a redelivery, which the claim's epoch fences
			case <-beat.Done():
				t.Stop()
				return
			}
		}
	})
	for {
		err := d.drive(ctx, k)
		switch {
		case errors.Is(err, errZombie):
			d.log.WarnContext(ctx, "lost a machine to another owner", "study_id", k.Study, "idea_id", k.Idea)
			d.forget(k)
			return // its message is the other owner's to ack
		case err != nil:
			d.forget(k)
			if ctx.Err() == nil {
				d.log.ErrorContext(ctx, "machine stopped, it will be taken up again", "study_id", k.Study, "idea_id", k.Idea, "error", err)
			}
			_ = msg.NakWithDelay(nakDelay(ctx))
			return
		}
		if d.leave(k) {
			break
		}
	}
	d.ack(ctx, msg)
	if ctx.Err() == nil && d.journal.Sync(ctx) == nil && d.runnable(k) {
		d.publish(ctx, k) // an action came between the last look and the ack
	}
}

func nakDelay(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	return 5 * time.Second
}

func (d *driver) forget(k journal.Key) {
	d.mu.Lock()
	delete(d.owned, k)
	d.mu.Unlock()
}

// drive claims a machine and goes through its actions until it stops.
func (d *driver) drive(ctx context.Context, k journal.Key) error {
	epoch, err := d.claim(ctx, k)
	if err != nil || epoch == 0 {
		return err
	}
	watched := k
	if k.IsStudy() {
		watched.Idea = "" // a study follows its ideas
	}
	changed, unsubscribe := d.journal.Subscribe(watched)
	defer unsubscribe()
	for ctx.Err() == nil {
		if k.IsStudy() {
			if err := d.reconcile(ctx, k.Study); err != nil {
				return err
			}
		}
		action, last, err := d.decide(k, epoch)
		if err != nil {
			return err
		}
		if s, ok := action.(pipeline.Sleep); ok {
			woken, err := sleep(ctx, s, changed)
			if err != nil {
				return err
			}
			if woken || s.Then == nil {
				continue
			}
			action = s.Then
		}
		switch a := action.(type) {
		case pipeline.Stop:
			return nil
		case pipeline.Append:
			if err := d.append(ctx, k, last, a.Event); err != nil && !errors.Is(err, fault.Conflict) {
				return err
			}
		case pipeline.Run:
			if err := d.step(ctx, k, epoch, last, a); err != nil && !errors.Is(err, fault.Conflict) {
				return err
			}
		}
	}
	return ctx.Err()
}

func sleep(ctx context.Context, s pipeline.Sleep, changed <-chan struct{}) (woken bool, err error) {
	var timer <-chan time.Time
	if !s.Until.IsZero() {
		t := time.NewTimer(time.Until(s.Until))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
		return false, nil
	case <-changed:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// decide asks the machine what comes next, unless somebody else owns it now.
func (d *driver) decide(k journal.Key, epoch int64) (action pipeline.Action, last int64, err error) {
	d.journal.View(k, func(m *journal.Machine) {
		switch {
		case m.Damaged != nil:
			action = pipeline.Stop{}
		case m.Core().Epoch != epoch:
			err = errZombie
		default:
			action, last = m.Decide(), m.Core().N
		}
	})
	if action == nil && err == nil {
		action = pipeline.Stop{}
	}
	return action, last, err
}

// append appends an event and publishes its public twin.
func (d *driver) append(ctx context.Context, k journal.Key, last int64, e *gatewayv1.JournalEvent) error {
	if e.GetActor() == "" {
		e.Actor = actor
	}
	actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout) // an outcome is not lost to a stop
	defer cancel()
	if err := d.journal.Append(actx, k, last, e); err != nil {
		return err
	}
	d.events.tell(actx, k)
	return nil
}

// canRun tells whether a machine has something to do without a person.
func (d *driver) canRun(m *journal.Machine) bool {
	if m.Damaged != nil || m.Core().N == 0 {
		return false
	}
	if _, stop := m.Decide().(pipeline.Stop); !stop {
		return true
	}
	return false
}

func (d *driver) runnable(k journal.Key) bool {
	run := false
	d.journal.View(k, func(m *journal.Machine) { run = d.canRun(m) })
	return run
}

// publish puts a machine into the queue unless it lies there already.
func (d *driver) publish(ctx context.Context, k journal.Key) {
	subj := subject.Idea(k.Study, k.Idea)
	st, err := d.bus.JS.Stream(ctx, subject.StreamIdeas)
	if err == nil {
		if _, err = st.GetLastMsgForSubject(ctx, subj); err == nil {
			return
		}
	}
	var n int64
	d.journal.View(k, func(m *journal.Machine) { n = m.Core().N })
	msg := &nats.Msg{Subject: subj, Header: nats.Header{}}
	if _, err = d.bus.JS.PublishMsg(ctx, msg, jetstream.WithMsgID(subject.EventID(k.Study, k.Idea, n))); err != nil {
		d.log.WarnContext(ctx, "queue a machine; the sweep will", "study_id", k.Study, "idea_id", k.Idea, "error", err)
	}
}

// sweep queues what is runnable and lies nowhere, and tells of events that nobody was told of, at start and each minute: both publishes can be lost.
func (d *driver) sweep(ctx context.Context) {
	if err := d.events.load(ctx); err != nil {
		d.log.WarnContext(ctx, "read the public events; each machine's are read alone", "error", err)
	}
	for t := time.NewTicker(sweepEvery); ; {
		if err := d.journal.Sync(ctx); err == nil {
			var keys []journal.Key
			d.journal.Each(func(m *journal.Machine) {
				if d.canRun(m) {
					keys = append(keys, m.Key)
				}
			})
			for _, k := range keys {
				d.publish(ctx, k)
			}
			d.events.tellAll(ctx)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
