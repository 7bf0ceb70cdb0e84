package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
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

// publisher projects journal events to public ones in the stream EVENTS. The message id is the journal event's, so that a repeat is dropped.
type publisher struct {
	bus     *bus.Conn
	journal *journal.Store
	log     *slog.Logger
}

func newPublisher(ctx context.Context, b *bus.Conn, j *journal.Store, log *slog.Logger, maxBytes int64) (*publisher, error) {
	_, err := b.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamEvents, Subjects: []string{subject.EventsAll}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxBytes: maxBytes, MaxAge: 30 * 24 * time.Hour, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &publisher{bus: b, journal: j, log: log}, nil
}

// publish publishes the public twin of a journal event. A lost publish is mended when the machine is next taken over.
func (p *publisher) publish(ctx context.Context, k journal.Key, e *gatewayv1.JournalEvent) {
	ev := publicEvent(k, e)
	p.journal.View(k, func(m *journal.Machine) {
		if m.Core().N == e.GetN() {
			ev.State = m.Core().State()
		}
	})
	data, err := protojson.Marshal(ev)
	if err != nil {
		p.log.ErrorContext(ctx, "encode public event", "error", err)
		return
	}
	msg := &nats.Msg{Subject: subject.Event(k.Study, k.Idea, ev.GetKind()), Data: data, Header: nats.Header{}}
	if _, err = p.bus.JS.PublishMsg(ctx, msg, jetstream.WithMsgID(subject.EventID(k.Study, k.Idea, e.GetN()))); err != nil {
		p.log.WarnContext(ctx, "publish event", "study_id", k.Study, "idea_id", k.Idea, "n", e.GetN(), "error", err)
	}
}

// republish publishes what follows the last event of the machine that is found in EVENTS.
func (p *publisher) republish(ctx context.Context, k journal.Key) {
	last, err := p.lastTold(ctx, k)
	if err != nil {
		p.log.WarnContext(ctx, "read the public events", "study_id", k.Study, "idea_id", k.Idea, "error", err)
		return
	}
	var missed []*gatewayv1.JournalEvent
	p.journal.View(k, func(m *journal.Machine) {
		for _, e := range m.Events {
			if e.GetN() > last {
				missed = append(missed, proto.Clone(e).(*gatewayv1.JournalEvent))
			}
		}
	})
	for _, e := range missed {
		p.publish(ctx, k, e)
	}
}

// lastTold is the number of the machine's last journal event that has a twin in EVENTS; 0: none. Events of the executor stand between them and carry no
// number. The last of each kind is looked at, so few are read however many there are.
func (p *publisher) lastTold(ctx context.Context, k journal.Key) (int64, error) {
	cons, err := p.bus.JS.CreateConsumer(ctx, subject.StreamEvents, jetstream.ConsumerConfig{
		FilterSubject: subject.EventsOf(k.Study, k.Idea), DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return 0, err
	}
	last, kinds := int64(0), int(cons.CachedInfo().NumPending)
	if kinds == 0 {
		return 0, nil
	}
	batch, err := cons.Fetch(kinds, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		return 0, err
	}
	for msg := range batch.Messages() {
		if n, ok := twinOf(k, msg.Headers().Get(nats.MsgIdHdr)); ok {
			last = max(last, n)
		}
	}
	return last, batch.Error()
}

// twinOf is the number of the journal event whose public twin has a message id; a job's event has none.
func twinOf(k journal.Key, id string) (int64, bool) {
	text, ok := strings.CutPrefix(id, k.Study+"."+k.Idea+".")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, ok && err == nil
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
