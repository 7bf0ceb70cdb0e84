package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/proto/subject"
)

// person is the actor of what the API is asked to do; authentication will give names.
const person = "user"

// act appends a person's action: legal decides, from the folded state, on the event to append, or on none when the asked state holds already. A lost
// compare-and-set is folded and tried again.
func (s *Service) act(ctx context.Context, k journal.Key, etag int64, requestID string, legal func(m *journal.Machine) (*gatewayv1.JournalEvent, error)) error {
	for {
		var e *gatewayv1.JournalEvent
		var last int64
		var err error
		if !s.journal.View(k, func(m *journal.Machine) {
			last = m.Core().N
			if etag != 0 && etag != last {
				err = fault.New(fault.Conflict, "ETAG_MISMATCH", "%s is at event %d, not %d: look again", k, last, etag)
				return
			}
			e, err = legal(m)
		}) {
			return unknownMachine(k)
		}
		if err != nil || e == nil {
			return err
		}
		e.Id, e.Actor = or(requestID, fmt.Sprintf("action/%d", last+1)), person
		err = s.driver.append(ctx, k, last, e)
		if errors.Is(err, fault.Conflict) && etag == 0 {
			continue
		}
		if err != nil {
			return err
		}
		s.driver.publish(ctx, k)
		return nil
	}
}

func illegal(k journal.Key, m *journal.Machine, what, allowed string) error {
	c := m.Core()
	state := c.State().String()
	if c.Wait != nil {
		state += " (" + c.Wait.GetReason().String() + ")"
	}
	name := k.String()
	if k.IsStudy() {
		name = "study " + k.Study
	}
	return fault.New(fault.Precondition, "ILLEGAL_TRANSITION", "%s cannot be %s: it is %s; %s", name, what, state, allowed).
		WithMeta("state", c.State().String()).WithNext("nullius show " + strings.TrimSuffix(k.String(), "/_"))
}

// Approve lifts a wait for a person.
func (s *Service) Approve(ctx context.Context, req *gatewayv1.ApproveIdeaRequest) (*gatewayv1.Idea, error) {
	k, err := parseIdea(req.GetName())
	if err != nil {
		return nil, err
	}
	return once(ctx, s, req.GetRequestId(), req, func() (*gatewayv1.Idea, error) {
		if req.GetAddBudgetPicoDollars() != 0 || req.GetAddBudgetTokens() != 0 {
			err = s.raise(ctx, k, req)
		} else {
			err = s.act(ctx, k, req.GetEtag(), req.GetRequestId(), approve(k, req))
		}
		if err != nil {
			return nil, err
		}
		return s.GetIdea(ctx, k)
	})
}

func approve(k journal.Key, req *gatewayv1.ApproveIdeaRequest) func(*journal.Machine) (*gatewayv1.JournalEvent, error) {
	return func(m *journal.Machine) (*gatewayv1.JournalEvent, error) {
		c := m.Core()
		switch {
		case c.Wait == nil && c.State() == gatewayv1.IdeaState_RUNNING && m.Idea != nil && len(m.Idea.Approved) > 0:
			return nil, nil // approved already
		case c.Wait == nil:
			return nil, illegal(k, m, "approved", "only what waits for a person can be")
		case c.Wait.GetReason() == gatewayv1.WaitReason_BUDGET:
			return nil, illegal(k, m, "approved", "name the amount, for example --add-budget 5")
		case c.Wait.GetReason() != gatewayv1.WaitReason_APPROVAL && c.Wait.GetReason() != gatewayv1.WaitReason_QUARANTINE:
			return nil, illegal(k, m, "approved", "it goes on by itself when the reason is gone")
		}
		return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Approved{Approved: &gatewayv1.Approved{
			Stage: c.Wait.GetStage(), Comment: req.GetComment(), Idea: mergeIdea(m, req.GetEdited()), RequestId: req.GetRequestId()}}}, nil
	}
}

// mergeIdea gives the edited idea whole; nil: unchanged.
func mergeIdea(m *journal.Machine, edited *recordv1.Idea) *recordv1.Idea {
	if edited == nil || m.Idea == nil {
		return nil
	}
	out := proto.CloneOf(m.Idea.Record)
	proto.Merge(out, edited)
	if len(edited.GetPlannedRuns()) > 0 {
		out.PlannedRuns = edited.GetPlannedRuns()
	}
	return out
}

// raise raises an account. An idea without a limit of its own draws on its study's, which is the one to raise.
func (s *Service) raise(ctx context.Context, k journal.Key, req *gatewayv1.ApproveIdeaRequest) error {
	if req.GetAddBudgetPicoDollars() < 0 || req.GetAddBudgetTokens() < 0 {
		return fault.New(fault.Invalid, "FIELD_INVALID", "a budget can only be raised").WithField("add_budget_pico_dollars", "is negative")
	}
	target := k
	if !k.IsStudy() {
		if a, err := s.d.Budgets.Read(ctx, account(k)); err != nil {
			return err
		} else if a.Limit.Pico == 0 && a.Limit.Tokens == 0 {
			target = journal.Key{Study: k.Study, Idea: subject.StudyItself}
		}
	}
	err := s.act(ctx, target, 0, req.GetRequestId(), func(m *journal.Machine) (*gatewayv1.JournalEvent, error) {
		if m.Study != nil {
			st := m.Study.Settings
			if st.GetBudgetPicoDollars() == 0 && req.GetAddBudgetPicoDollars() > 0 || st.GetBudgetTokens() == 0 && req.GetAddBudgetTokens() > 0 {
				return nil, fault.New(fault.Precondition, "ILLEGAL_TRANSITION", "study %s has no budget of that kind to raise", k.Study).WithNext("nullius cost " + k.Study)
			}
		}
		return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_BudgetRaised{BudgetRaised: &gatewayv1.BudgetRaised{
			PicoDollars: req.GetAddBudgetPicoDollars(), Tokens: req.GetAddBudgetTokens(), Comment: req.GetComment()}}}, nil
	})
	if err != nil {
		return err
	}
	if err := s.driver.setBudget(ctx, target); err != nil {
		return err
	}
	return s.resumeIdeas(ctx, target)
}

// resumeIdeas lifts WAITING(BUDGET) of the ideas whose account was raised.
func (s *Service) resumeIdeas(ctx context.Context, k journal.Key) error {
	var waiting []journal.Key
	s.journal.Each(func(m *journal.Machine) {
		if m.Key.Study == k.Study && !m.Key.IsStudy() && (k.IsStudy() || m.Key == k) && m.Core().Wait.GetReason() == gatewayv1.WaitReason_BUDGET {
			waiting = append(waiting, m.Key)
		}
	})
	for _, w := range waiting {
		err := s.act(ctx, w, 0, "", func(m *journal.Machine) (*gatewayv1.JournalEvent, error) {
			if m.Core().Wait.GetReason() != gatewayv1.WaitReason_BUDGET {
				return nil, nil
			}
			return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Resumed{Resumed: &gatewayv1.Resumed{Cause: "budget"}}}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Reject ends an idea that waits for approval.
func (s *Service) Reject(ctx context.Context, req *gatewayv1.RejectIdeaRequest) (*gatewayv1.Idea, error) {
	return s.actOnIdea(ctx, req.GetName(), req.GetEtag(), req.GetRequestId(), req, func(k journal.Key, m *journal.Machine) (*gatewayv1.JournalEvent, error) {
		c := m.Core()
		if c.State() == gatewayv1.IdeaState_REJECTED {
			return nil, nil
		}
		if c.Wait.GetReason() != gatewayv1.WaitReason_APPROVAL {
			return nil, illegal(k, m, "rejected", "only an idea that waits for approval can be; cancel it instead")
		}
		return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Rejected{Rejected: &gatewayv1.Rejected{Stage: c.Wait.GetStage(), Comment: req.GetComment()}}}, nil
	})
}

// Cancel stops an idea.
func (s *Service) Cancel(ctx context.Context, req *gatewayv1.CancelIdeaRequest) (*gatewayv1.Idea, error) {
	return s.actOnIdea(ctx, req.GetName(), req.GetEtag(), req.GetRequestId(), req, func(k journal.Key, m *journal.Machine) (*gatewayv1.JournalEvent, error) {
		return cancelEvent(k, m, req.GetComment(), req.GetForce())
	})
}

func cancelEvent(k journal.Key, m *journal.Machine, comment string, force bool) (*gatewayv1.JournalEvent, error) {
	c := m.Core()
	switch {
	case c.Cancel != nil || c.State() == gatewayv1.IdeaState_CANCELLED:
		return nil, nil
	case c.Ended != nil:
		return nil, illegal(k, m, "cancelled", "it has ended")
	}
	return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_CancelRequested{CancelRequested: &gatewayv1.CancelRequested{Comment: comment, Force: force}}}, nil
}

// CancelStudy stops a study; its driver carries the cancel to the ideas.
func (s *Service) CancelStudy(ctx context.Context, req *gatewayv1.CancelStudyRequest) (*gatewayv1.Study, error) {
	k, err := parseStudy(req.GetName())
	if err != nil {
		return nil, err
	}
	return once(ctx, s, req.GetRequestId(), req, func() (*gatewayv1.Study, error) {
		err := s.act(ctx, k, req.GetEtag(), req.GetRequestId(), func(m *journal.Machine) (*gatewayv1.JournalEvent, error) {
			return cancelEvent(k, m, req.GetComment(), req.GetForce())
		})
		if err != nil {
			return nil, err
		}
		return s.GetStudy(ctx, k)
	})
}

// Retry runs a failed or cancelled idea, or a failed study, again.
func (s *Service) Retry(ctx context.Context, req *gatewayv1.RetryIdeaRequest) (*gatewayv1.Idea, error) {
	if f := req.GetFrom(); f != "" && !slices.Contains(pipeline.Stages, f) {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "%q is no stage; stages are %s", f, strings.Join(pipeline.Stages, ", ")).WithField("from", "no such stage")
	}
	k, err := parseIdea(req.GetName())
	if err != nil {
		return nil, err
	}
	if k.IsStudy() {
		return s.actOnIdea(ctx, req.GetName(), req.GetEtag(), req.GetRequestId(), req, retryEvent(req))
	}
	return once(ctx, s, req.GetRequestId(), req, func() (*gatewayv1.Idea, error) {
		// The study first: it then counts the idea as running whatever happens next.
		var legal error
		if !s.journal.View(k, func(m *journal.Machine) { _, legal = retryEvent(req)(k, m) }) {
			return nil, unknownMachine(k)
		}
		if legal != nil {
			return nil, legal
		}
		self := journal.Key{Study: k.Study, Idea: subject.StudyItself}
		if err := s.act(ctx, self, 0, "", func(*journal.Machine) (*gatewayv1.JournalEvent, error) {
			return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_IdeaResumed{IdeaResumed: &gatewayv1.IdeaResumed{Idea: k.Idea}}}, nil
		}); err != nil {
			return nil, err
		}
		if err := s.act(ctx, k, req.GetEtag(), req.GetRequestId(), func(m *journal.Machine) (*gatewayv1.JournalEvent, error) { return retryEvent(req)(k, m) }); err != nil {
			return nil, err
		}
		return s.GetIdea(ctx, k)
	})
}

func retryEvent(req *gatewayv1.RetryIdeaRequest) func(journal.Key, *journal.Machine) (*gatewayv1.JournalEvent, error) {
	return func(k journal.Key, m *journal.Machine) (*gatewayv1.JournalEvent, error) {
		c := m.Core()
		st := c.State()
		if st != gatewayv1.IdeaState_FAILED && st != gatewayv1.IdeaState_CANCELLED {
			return nil, illegal(k, m, "retried", "only FAILED and CANCELLED can be")
		}
		from := req.GetFrom()
		if from == "" && st == gatewayv1.IdeaState_FAILED && m.Idea != nil {
			from = m.Idea.Walk().Stage // after a cancel it goes on at the step that was cut
		}
		return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_RetryRequested{RetryRequested: &gatewayv1.RetryRequested{Stage: from, Comment: req.GetComment()}}}, nil
	}
}

func (s *Service) actOnIdea(ctx context.Context, name string, etag int64, requestID string, req proto.Message,
	legal func(journal.Key, *journal.Machine) (*gatewayv1.JournalEvent, error)) (*gatewayv1.Idea, error) {
	k, err := parseIdea(name)
	if err != nil {
		return nil, err
	}
	return once(ctx, s, requestID, req, func() (*gatewayv1.Idea, error) {
		if err := s.act(ctx, k, etag, requestID, func(m *journal.Machine) (*gatewayv1.JournalEvent, error) { return legal(k, m) }); err != nil {
			return nil, err
		}
		return s.GetIdea(ctx, k)
	})
}

// SubmitIdea adds one's own idea to a study.
func (s *Service) SubmitIdea(ctx context.Context, req *gatewayv1.SubmitIdeaRequest) (*gatewayv1.Idea, error) {
	self, err := parseStudy(req.GetParent())
	if err != nil {
		return nil, err
	}
	idea, bad := ownIdea(req.GetIdea())
	if bad != nil {
		return nil, bad.WithField("idea", "title or experiment is empty")
	}
	return once(ctx, s, req.GetRequestId(), req, func() (*gatewayv1.Idea, error) {
		found := s.compared(ctx, self, idea)
		var own string
		err := s.act(ctx, self, 0, req.GetRequestId(), func(m *journal.Machine) (*gatewayv1.JournalEvent, error) {
			st := m.Study
			if st.State() == gatewayv1.IdeaState_CANCELLED || (st.Ended != nil && st.BaselineRun() == nil) {
				return nil, illegal(self, m, "given another idea", "it was cancelled or has no baseline")
			}
			n := 1
			for st.Member(fmt.Sprintf("own-%d", n)) != nil {
				n++
			}
			own = fmt.Sprintf("own-%d", n)
			return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_IdeaAdded{IdeaAdded: &gatewayv1.IdeaAdded{Idea: own, Record: idea, Warnings: found}}}, nil
		})
		if err != nil {
			return nil, err
		}
		return s.GetIdea(ctx, journal.Key{Study: self.Study, Idea: own})
	})
}
