package coder

import (
	"context"
	"strings"
	"time"

	"nullius.dev/kit/llm"
	"nullius.dev/services/coder/prompts"
)

// chat makes one call, tells its progress and sums its usage.
func (s *Service) chat(ctx context.Context, f Frame, model, call string, r llm.Request, p Progress, u *Usage) (llm.Reply, error) {
	r, err := s.request(f, model, call, r, p)
	if err != nil {
		return llm.Reply{}, err
	}
	reply, err := s.models.Chat(ctx, r)
	if err == nil {
		u.add(reply)
	}
	return reply, err
}

func (s *Service) request(f Frame, model, call string, r llm.Request, p Progress) (llm.Request, error) {
	origin, err := llm.OriginOf(f.Step, call)
	if err != nil {
		return r, err
	}
	r.Model, r.Origin, r.Prompt = model, origin, "coder/"+prompts.Version
	if p != nil {
		p(Note{Phase: "calling the model", Detail: call})
		r.Progress = func(n llm.Progress) {
			note := Note{Phase: "calling the model", Detail: call, Tokens: n.Tokens}
			if n.Kind == llm.Waiting {
				note.Phase = "waiting"
				note.Detail = n.Why
				if !n.Until.IsZero() {
					note.Wait = n.Until.UTC().Format(time.RFC3339Nano)
				}
			}
			p(note)
		}
	}
	return r, nil
}

func (u *Usage) add(r llm.Reply) {
	u.Input += r.Usage.Input
	u.CacheRead += r.Usage.CacheRead
	u.CacheWrite += r.Usage.CacheWrite
	u.Output += r.Usage.Output
	u.Reasoning += r.Usage.Reasoning
	u.Cost += r.Cost
	u.WouldCost += r.WouldCost
	u.Calls++
	u.Estimated = u.Estimated || r.Usage.Estimated
	u.Unpriced = u.Unpriced || r.Unpriced
	for _, n := range r.Notes {
		if low, ok := strings.CutPrefix(n, llm.BudgetLow); ok {
			u.Low = low
		}
	}
}

// tally counts the calls of llm.Object, which makes them itself.
type tally struct {
	Chatter
	usage *Usage
}

// Chat passes the call on.
func (t tally) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	reply, err := t.Chatter.Chat(ctx, r)
	if err == nil {
		t.usage.add(reply)
	}
	return reply, err
}
