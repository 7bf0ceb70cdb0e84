package coder

import (
	"context"
	"slices"
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

// say puts the reply and the feedback into the conversation. Where that would make the prompt too long, only the beginnings of earlier rounds stay, and
// then of the reply: feedback quotes what matters of it.
func (t *talk) say(reply string) {
	const (
		system    = 4 << 10 // what stands before the messages
		maxEcho   = 24 << 10
		leastEcho = 1 << 10
		ofOlder   = 500
	)
	left := maxPrompt - system - len(t.feedback)
	t.messages = slices.Clone(t.messages) // the old ones belong to the request that was made of them
	for _, m := range t.messages {
		left -= size(m)
	}
	for i := 1; i < len(t.messages) && left < min(len(reply), maxEcho); i++ {
		m := &t.messages[i]
		left += size(*m)
		m.Parts = []llm.Part{{Text: headOf(m.Parts[0].Text, ofOlder)}}
		left -= size(*m)
	}
	if reply = strings.TrimSpace(headOf(text([]byte(reply)), min(maxEcho, max(leastEcho, left)))); reply == "" {
		reply = "(empty reply)"
	}
	t.messages = append(t.messages, llm.Say(llm.Assistant, reply), llm.Say(llm.User, t.feedback))
}

func size(m llm.Message) (n int) {
	for _, p := range m.Parts {
		n += len(p.Text)
	}
	return n
}
