package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/bus"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// eventsAge is how long public events are kept.
const eventsAge = 30 * 24 * time.Hour

// publisher projects journal events to public ones in the stream EVENTS. The message id is the journal event's, so that a repeat is dropped.
type publisher struct {
	bus     *bus.Conn
	journal *journal.Store
	log     *slog.Logger

	mu   sync.Mutex
	told map[journal.Key]*told
}

// told is how far a machine's journal is known to be in EVENTS.
type told struct {
	mu sync.Mutex // held while the machine's events are published, so that they come in order
	n  int64
}

func newPublisher(ctx context.Context, b *bus.Conn, j *journal.Store, log *slog.Logger, maxBytes int64) (*publisher, error) {
	_, err := b.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamEvents, Subjects: []string{subject.EventsAll}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxBytes: maxBytes, MaxAge: eventsAge, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &publisher{bus: b, journal: j, log: log, told: map[journal.Key]*told{}}, nil
}

func (p *publisher) of(k journal.Key) *told {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.told[k]
	if t == nil {
		t = &told{}
		p.told[k] = t
	}
	return t
}

// tell publishes, in order, the public twins that events of the machine's journal still lack: as a rule that of the last one. Twins of a killed process or
// of a broker's bad moment are among them. What cannot be published now is when the machine is told of next, by its next event or by the sweep.
func (p *publisher) tell(ctx context.Context, k journal.Key) {
	t := p.of(k)
	t.mu.Lock()
	defer t.mu.Unlock()
	n, state, _ := p.since(k, t.n)
	if n > t.n+1 { // others may have published them
		last, err := p.lastTold(ctx, subject.EventsOf(k.Study, k.Idea))
		if err != nil {
			p.log.WarnContext(ctx, "read the public events", "study_id", k.Study, "idea_id", k.Idea, "error", err)
			return
		}
		t.n = max(t.n, last[k])
	}
	_, _, events := p.since(k, t.n)
	for _, e := range events {
		ev := publicEvent(k, e)
		if e.GetN() == n {
			ev.State = state
		}
		if time.Since(e.GetTime().AsTime()) < eventsAge {
			if err := p.publish(ctx, k, ev); err != nil {
				p.log.WarnContext(ctx, "publish event", "study_id", k.Study, "idea_id", k.Idea, "n", e.GetN(), "error", err)
				return
			}
		}
		t.n = e.GetN()
	}
}

// since gives a machine's last event's number, its state, and the events after number n.
func (p *publisher) since(k journal.Key, n int64) (last int64, state gatewayv1.IdeaState_Value, events []*gatewayv1.JournalEvent) {
	p.journal.View(k, func(m *journal.Machine) {
		last, state = int64(len(m.Events)), m.Core().State()
		for _, e := range m.Events[min(n, last):] {
			events = append(events, proto.CloneOf(e))
		}
	})
	return last, state, events
}

func (p *publisher) publish(ctx context.Context, k journal.Key, ev *gatewayv1.StudyEvent) error {
	data, err := protojson.Marshal(ev)
	if err != nil {
		return err
	}
	msg := &nats.Msg{Subject: subject.Event(k.Study, k.Idea, ev.GetKind()), Data: data, Header: nats.Header{}}
	_, err = p.bus.JS.PublishMsg(ctx, msg, jetstream.WithMsgID(subject.EventID(k.Study, k.Idea, ev.GetN())))
	return err
}

// tellAll tells of all machines that are not known to be told of whole.
func (p *publisher) tellAll(ctx context.Context) {
	var behind []journal.Key
	p.journal.Each(func(m *journal.Machine) {
		if p.of(m.Key).behind(int64(len(m.Events))) {
			behind = append(behind, m.Key)
		}
	})
	for _, k := range behind {
		p.tell(ctx, k)
	}
}

func (t *told) behind(n int64) bool {
	if !t.mu.TryLock() {
		return false // just being told of
	}
	defer t.mu.Unlock()
	return t.n < n
}

// load finds out what the processes before have told.
func (p *publisher) load(ctx context.Context) error {
	last, err := p.lastTold(ctx, subject.EventsAll)
	for k, n := range last {
		t := p.of(k)
		t.mu.Lock()
		t.n = max(t.n, n)
		t.mu.Unlock()
	}
	return err
}

// lastTold is the number of the last journal event of each machine that has a twin in EVENTS under a subject. Events of the executor stand between them
// and carry no number. The last of each kind is looked at, so few are read however many there are.
func (p *publisher) lastTold(ctx context.Context, filter string) (map[journal.Key]int64, error) {
	cons, err := p.bus.JS.CreateConsumer(ctx, subject.StreamEvents, jetstream.ConsumerConfig{
		FilterSubject: filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	last, kinds := map[journal.Key]int64{}, int(cons.CachedInfo().NumPending)
	if kinds == 0 {
		return last, nil
	}
	batch, err := cons.Fetch(kinds, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		return nil, err
	}
	for msg := range batch.Messages() {
		if k, n, ok := twinOf(msg.Headers().Get(nats.MsgIdHdr)); ok {
			last[k] = max(last[k], n)
		}
	}
	return last, batch.Error()
}

// twinOf is the journal event whose public twin has a message id; a job's event is none's.
func twinOf(id string) (k journal.Key, n int64, ok bool) {
	parts := strings.Split(id, ".")
	if len(parts) != 3 {
		return k, 0, false
	}
	n, err := strconv.ParseInt(parts[2], 10, 64)
	return journal.Key{Study: parts[0], Idea: parts[1]}, n, err == nil
}

// publicEvent is what the public sees of a journal event.
func publicEvent(k journal.Key, e *gatewayv1.JournalEvent) *gatewayv1.StudyEvent {
	out := &gatewayv1.StudyEvent{Study: k.Study, Idea: k.Idea, N: e.GetN(), Time: e.GetTime(), Actor: e.GetActor()}
	step := func(name string, attempt int32) {
		out.Step, out.Stage, out.Attempt = name, pipeline.StageOf(name), attempt
	}
	switch ev := e.GetEvent().(type) {
	case *gatewayv1.JournalEvent_StudyAccepted:
		out.Kind, out.Text = "accepted", "study of template "+ev.StudyAccepted.GetTemplate().GetName()
	case *gatewayv1.JournalEvent_IdeaAccepted:
		out.Kind, out.Text = "accepted", ev.IdeaAccepted.GetIdea().GetTitle()
	case *gatewayv1.JournalEvent_Claimed:
		out.Kind, out.Text = "claimed", fmt.Sprintf("taken up by %s", ev.Claimed.GetOwner())
	case *gatewayv1.JournalEvent_StepStarted:
		out.Kind = "step-started"
		step(ev.StepStarted.GetStep(), ev.StepStarted.GetAttempt())
	case *gatewayv1.JournalEvent_StepEnded:
		out.Kind = "step-ended"
		step(ev.StepEnded.GetStep(), ev.StepEnded.GetAttempt())
		out.Outcome, out.Text, _ = pipeline.OutcomeOf(ev.StepEnded)
		out.Usage = pipeline.UsageOf(ev.StepEnded)
	case *gatewayv1.JournalEvent_StepFailed:
		out.Kind, out.Reason, out.Text = "step-failed", ev.StepFailed.GetReason(), ev.StepFailed.GetMessage()
		step(ev.StepFailed.GetStep(), ev.StepFailed.GetAttempt())
	case *gatewayv1.JournalEvent_IdeaAdded:
		out.Kind, out.Text = "idea-added", ev.IdeaAdded.GetIdea()+": "+ev.IdeaAdded.GetRecord().GetTitle()
	case *gatewayv1.JournalEvent_Released:
		out.Kind, out.Text = "released", ev.Released.GetIdea()
	case *gatewayv1.JournalEvent_IdeaResumed:
		out.Kind, out.Text = "idea-resumed", ev.IdeaResumed.GetIdea()
	case *gatewayv1.JournalEvent_IdeaEnded:
		out.Kind, out.Text, out.Reason = "idea-ended", ev.IdeaEnded.GetIdea()+" "+ev.IdeaEnded.GetState().String(), ev.IdeaEnded.GetReason()
	case *gatewayv1.JournalEvent_Waiting:
		out.Kind, out.Text, out.Stage, out.Reason = "waiting", ev.Waiting.GetMessage(), ev.Waiting.GetStage(), ev.Waiting.GetReason().String()
	case *gatewayv1.JournalEvent_Resumed:
		out.Kind, out.Text = "resumed", "by "+ev.Resumed.GetCause()
	case *gatewayv1.JournalEvent_Approved:
		out.Kind, out.Text, out.Stage = "approved", ev.Approved.GetComment(), ev.Approved.GetStage()
	case *gatewayv1.JournalEvent_Rejected:
		out.Kind, out.Text, out.Stage = "rejected", ev.Rejected.GetComment(), ev.Rejected.GetStage()
	case *gatewayv1.JournalEvent_BudgetRaised:
		out.Kind, out.Text = "budget-raised", fmt.Sprintf("by $%.2f and %d tokens", float64(ev.BudgetRaised.GetPicoDollars())/1e12, ev.BudgetRaised.GetTokens())
	case *gatewayv1.JournalEvent_CancelRequested:
		out.Kind, out.Text = "cancel-requested", ev.CancelRequested.GetComment()
	case *gatewayv1.JournalEvent_RetryRequested:
		out.Kind, out.Text, out.Stage = "retry-requested", ev.RetryRequested.GetComment(), ev.RetryRequested.GetStage()
	case *gatewayv1.JournalEvent_Ended:
		out.Kind, out.Text, out.Reason = "ended", ev.Ended.GetMessage(), ev.Ended.GetReason()
		out.State = ev.Ended.GetState()
	}
	return out
}
