package engine

import (
	"context"
	"slices"
	"sync"

	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
)

// Together joins lookups by identifier that wait for the same engine into one request.
type Together struct {
	Client *Client
	Max    int // identifiers in a request
	// Request asks for identifiers. The answer to more than one must have a paper for each in their order, an empty one for
	// those that the engine does not know.
	Request func(ids []string) Request

	mu      sync.Mutex
	waiting []*lookup
}

type lookup struct {
	id     string
	taken  func() // ends its own wait, since another one asks for it
	answer chan literature.Answer
}

// Find looks one identifier up.
func (t *Together) Find(ctx context.Context, id string, call literature.Call) literature.Answer {
	for {
		a, again := t.find(ctx, id, call)
		if !again || ctx.Err() != nil {
			return a
		}
	}
}

// find is one attempt; again: who asked for it was cancelled.
func (t *Together) find(ctx context.Context, id string, call literature.Call) (_ literature.Answer, again bool) {
	wait, taken := context.WithCancel(ctx)
	defer taken()
	l := &lookup{id: id, taken: taken, answer: make(chan literature.Answer, 1)}
	t.mu.Lock()
	t.waiting = append(t.waiting, l)
	t.mu.Unlock()
	var mine []*lookup
	a := t.Client.AskLate(wait, 0, call, func() (Request, bool) {
		if mine = t.take(l); len(mine) == 0 {
			return Request{}, false
		}
		ids := make([]string, len(mine))
		for i, o := range mine {
			ids[i] = o.id
		}
		return t.Request(ids), true
	})
	if len(mine) > 0 {
		given := a.Failure != nil && ctx.Err() != nil
		for i, o := range mine[1:] {
			if given {
				close(o.answer) // they ask themselves
				continue
			}
			o.answer <- part(a, i+1, len(mine))
		}
		return part(a, 0, len(mine)), false
	}
	if t.forget(l) { // nobody took it: the wait failed
		return a, false
	}
	select {
	case a, ok := <-l.answer:
		return a, !ok
	case <-ctx.Done():
		return a, false
	}
}

// take is a lookup and all that wait with it; none if another one took it already.
func (t *Together) take(l *lookup) []*lookup {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.waiting, l)
	if at < 0 {
		return nil
	}
	t.waiting = slices.Delete(t.waiting, at, at+1)
	n := min(len(t.waiting), t.Max-1)
	mine := append([]*lookup{l}, t.waiting[:n]...)
	t.waiting = slices.Delete(t.waiting, 0, n)
	for _, o := range mine[1:] {
		o.taken()
	}
	return mine
}

// forget takes a lookup back that nobody asks for.
func (t *Together) forget(l *lookup) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.waiting, l)
	if at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	}
	return at >= 0
}

// part is the answer to one of n identifiers.
func part(a literature.Answer, i, n int) literature.Answer {
	if n == 1 || a.Failure != nil {
		return a
	}
	all := a.Papers
	a.Papers, a.Total = nil, 0
	if i < len(all) && all[i].Title != "" {
		a.Papers, a.Total = []paper.Paper{all[i]}, 1
	}
	if i > 0 {
		a.CostUSD = ""
	}
	return a
}
