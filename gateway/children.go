package gateway

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// reconcile brings a study and its ideas to the same page: released ideas get their journal, ended ones are noted, a cancel reaches all.
// Each is an event appended before its effect, so whatever a crash cut is done here again.
func (d *driver) reconcile(ctx context.Context, study string) error {
	self := journal.Key{Study: study, Idea: subject.StudyItself}
	var open []string
	var cancel *gatewayv1.CancelRequested
	d.journal.View(self, func(m *journal.Machine) {
		if m.Damaged != nil || m.Study == nil {
			return
		}
		cancel = m.Study.Cancel
		for _, mem := range m.Study.Members {
			if mem.Released && mem.Ended == nil {
				open = append(open, mem.ID)
			}
		}
	})
	for _, id := range open {
		if err := d.reconcileChild(ctx, self, journal.Key{Study: study, Idea: id}, cancel); err != nil && !errors.Is(err, fault.Conflict) {
			return err
		}
	}
	return nil
}

// accepted is the first event of a released idea's journal.
func (d *driver) accepted(self journal.Key, idea string) *gatewayv1.IdeaAccepted {
	out := &gatewayv1.IdeaAccepted{}
	d.journal.View(self, func(m *journal.Machine) {
		s := m.Study
		out.Settings, out.Template, out.Baseline = s.Settings, s.Template, s.BaselineRun()
		for _, mem := range s.Members {
			if mem.ID == idea {
				out.Idea, out.Origin, out.Warnings = proto.CloneOf(mem.Record), &gatewayv1.Origin{Kind: mem.Origin}, mem.Warnings
			}
		}
	})
	return out
}

func (d *driver) reconcileChild(ctx context.Context, self, k journal.Key, cancel *gatewayv1.CancelRequested) error {
	var n, last int64
	var end *gatewayv1.Ended
	var cancelled bool
	var score *float64
	d.journal.View(k, func(m *journal.Machine) {
		c := m.Core()
		n, end, cancelled = c.N, c.Ended, c.Cancel != nil
		if end != nil && m.Damaged == nil {
			score = m.Idea.Seen().Score()
		}
	})
	d.journal.View(self, func(m *journal.Machine) { last = m.Core().N })
	switch {
	case n == 0:
		accepted := d.accepted(self, k.Idea)
		accepted.Traceparent = d.steps.newTrace(ctx, "idea", k)
		if err := d.append(ctx, k, 0, &gatewayv1.JournalEvent{Id: "accepted", Event: &gatewayv1.JournalEvent_IdeaAccepted{IdeaAccepted: accepted}}); err != nil {
			return err
		}
		d.publish(ctx, k)
	case end != nil:
		return d.append(ctx, self, last, &gatewayv1.JournalEvent{Id: "ended/" + k.Idea + "/" + strconv.FormatInt(n, 10), Event: &gatewayv1.JournalEvent_IdeaEnded{
			IdeaEnded: &gatewayv1.IdeaEnded{Idea: k.Idea, State: end.GetState(), Reason: end.GetReason(), Score: score}}})
	case cancel != nil && !cancelled:
		if err := d.append(ctx, k, n, &gatewayv1.JournalEvent{Id: "cancel", Event: &gatewayv1.JournalEvent_CancelRequested{CancelRequested: cancel}}); err != nil {
			return err
		}
		d.publish(ctx, k)
	}
	return nil
}
