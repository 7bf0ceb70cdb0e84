package writer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nullius.dev/kit/llm"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/tex"
	"nullius.dev/services/writer/prompts"
)

// stop ends a paper with an outcome that is data, no fault.
type stop struct {
	outcome Outcome
	reason  string
}

func (s *stop) Error() string { return string(s.outcome) + ": " + s.reason }

// request makes a call: rules and record first, then what the waves share, then the task.
func (w *work) request(call, name string, parts ...llm.Part) llm.Request {
	origin, _ := llm.OriginOf(w.in.Step, call) // checked when the call came in
	return llm.Request{Model: w.in.Settings.Model, Origin: origin, System: w.system, Messages: []llm.Message{{Role: llm.User, Parts: parts}},
		MaxTokens: w.s.cfg.MaxReply, Prompt: name + "@" + prompts.Version}
}

// chat asks once and keeps account. first is called when the reply begins, at the latest when it is there.
func (w *work) chat(ctx context.Context, r llm.Request, first func()) (llm.Reply, error) {
	call := r.Origin.Call
	w.mu.Lock()
	w.calls++
	n := w.calls
	w.mu.Unlock()
	emit := func(e Event) {
		if w.progress != nil {
			e.Detail, e.Done = call, n
			w.progress(e)
		}
	}
	emit(Event{Phase: "calling the model"})
	r.Progress = func(p llm.Progress) {
		switch p.Kind {
		case llm.FirstByte:
			if first != nil {
				first()
			}
		case llm.Tokens:
			emit(Event{Phase: "calling the model", Tokens: p.Tokens})
		case llm.Waiting:
			emit(Event{Phase: p.Why, Until: p.Until})
		}
	}
	rep, err := w.s.d.Models.Chat(ctx, r)
	if first != nil {
		first()
	}
	if err != nil {
		return rep, err
	}
	w.account(rep)
	return rep, nil
}

func (w *work) account(rep llm.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := &w.usage
	u.Input += rep.Usage.Input
	u.CacheRead += rep.Usage.CacheRead
	u.CacheWrite += rep.Usage.CacheWrite
	u.Output += rep.Usage.Output
	u.Reasoning += rep.Usage.Reasoning
	u.Calls++
	u.CostPico += rep.Cost
	u.WouldCostPico += rep.WouldCost
	u.Estimated = u.Estimated || rep.Usage.Estimated
	u.Unpriced = u.Unpriced || rep.Unpriced
	if rep.Model != "" {
		w.model = rep.Model
	}
}

// object asks for one JSON object; nil if the model gave none that can be used.
func (w *work) object(ctx context.Context, r llm.Request) ([]byte, *llm.Unusable, error) {
	raw, _, err := llm.Object(ctx, chatter{w}, r, 2)
	if u, ok := asUnusable(err); ok {
		return nil, u, nil
	}
	return raw, nil, err
}

// chatter lets llm.Object ask through the work's accounting.
type chatter struct{ w *work }

func (c chatter) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	return c.w.chat(ctx, r, nil)
}

// text asks for LaTeX. A reply that was cut is continued once. ok is false for a refusal.
func (w *work) text(ctx context.Context, r llm.Request, first func()) (text string, ok bool, err error) {
	rep, err := w.chat(ctx, r, first)
	if err != nil {
		return "", false, err
	}
	switch rep.Finish {
	case llm.TooLong:
		return "", false, &stop{ContextTooLong, "the prompt of " + r.Origin.Call + " is longer than the model's window"}
	case llm.Refused, llm.Filtered:
		return rep.Text, false, nil
	case llm.Length:
		text, err := w.rest(ctx, r, rep.Text)
		return text, true, err
	}
	return rep.Text, !check.Refused(rep.Text), nil
}

// rest continues a reply from its last whole paragraph. Without success the whole paragraphs stand.
func (w *work) rest(ctx context.Context, r llm.Request, got string) (string, error) {
	whole := got
	if i := strings.LastIndex(got, "\n\n"); i > 0 {
		whole = got[:i]
	}
	if strings.TrimSpace(whole) == "" {
		return got, nil
	}
	r.Origin.Call += "/continue-1"
	r.Messages = append(slices.Clone(r.Messages), llm.Say(llm.Assistant, whole), llm.Say(llm.User, w.s.prompts.Continue()))
	rep, err := w.chat(ctx, r, nil)
	switch {
	case err != nil:
		return "", err
	case rep.Finish == llm.Refused, rep.Finish == llm.Filtered, rep.Finish == llm.TooLong, check.Refused(rep.Text):
		return whole, nil
	}
	return whole + "\n\n" + rep.Text, nil
}

// body asks for the text of one section, once more if the first reply cannot be used.
func (w *work) body(ctx context.Context, r llm.Request, role tex.Role, first func()) (string, []check.Finding, bool, error) {
	call := r.Origin.Call
	refused := false
	best, bestFindings := "", []check.Finding(nil)
	for try := range 2 {
		text, ok, err := w.text(ctx, r, first)
		if err != nil {
			return "", nil, false, err
		}
		l := check.List{Section: role}
		clean := ""
		if ok {
			clean = l.Clean(l.Body(text, role), w.known)
		}
		if tex.Words(clean) > tex.Words(best) {
			best, bestFindings = clean, l.Findings
		}
		if ok && tex.Words(clean) >= minWords {
			return clean, l.Findings, false, nil
		}
		refused = !ok
		why := "it holds fewer than 40 words of the section"
		if !ok {
			why = "it is a refusal, but the task is to write up recorded results"
		}
		if try == 0 {
			r.Origin.Call = call + "/retry-1"
			r.Messages = append(slices.Clone(r.Messages), llm.Say(llm.Assistant, nonEmpty(cut(text, 2000))), llm.Say(llm.User, w.s.prompts.Again(why)))
		}
	}
	return best, bestFindings, refused, nil
}

const minWords = 40

func nonEmpty(s string) string {
	if strings.TrimSpace(s) == "" {
		return "(empty)"
	}
	return s
}

// wave runs calls side by side. Where a provider takes less for what it has cached, the first starts alone and the others at its first byte, so that
// what they share is cached once.
func (w *work) wave(ctx context.Context, tasks []func(ctx context.Context, first func()) error) error {
	if len(tasks) == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.s.cfg.Parallel)
	if w.cachingSaves() {
		begun := make(chan struct{})
		first := sync.OnceFunc(func() { close(begun) })
		g.Go(func() error {
			defer first()
			return tasks[0](ctx, first)
		})
		select {
		case <-begun:
		case <-ctx.Done():
		}
		tasks = tasks[1:]
	}
	for _, t := range tasks {
		g.Go(func() error { return t(ctx, nil) })
	}
	return g.Wait()
}

// cachingSaves tells whether the model's provider takes less for input that it has cached. A door that cannot tell is believed to save.
func (w *work) cachingSaves() bool {
	prices, ok := w.s.d.Models.(interface {
		Model(name string) (llm.Model, error)
	})
	if !ok {
		return true
	}
	m, err := prices.Model(w.in.Settings.Model)
	if err != nil {
		return true // the call itself will tell
	}
	const many = 1_000_000
	now := time.Now()
	full, _, priced := m.Cost(llm.Usage{Input: many}, now)
	cached, _, _ := m.Cost(llm.Usage{CacheRead: many}, now)
	return priced && cached < full
}
