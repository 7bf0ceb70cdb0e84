package literature

import (
	"context"
	"strings"

	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// LocalEngine answers from lists of papers on this machine. It never dials.
type LocalEngine struct {
	Bundled *index.Index
	Own     *index.File // the user's, which goes first; nil: none
}

// Name is the engine's name in requests.
func (LocalEngine) Name() string { return paper.Local }

// Title is the engine's name for people.
func (LocalEngine) Title() string { return "the local index" }

// Online is false: what this engine does not know may well exist.
func (LocalEngine) Online() bool { return false }

// Missing is empty.
func (LocalEngine) Missing() string { return "" }

// Ladder ends with a query of alternatives.
func (LocalEngine) Ladder() query.Shape { return query.Shape{AnyWord: true} }

// Search finds papers by words.
func (e LocalEngine) Search(ctx context.Context, s Search, _ Call) Answer {
	return e.gather(ctx, s.Rung.Text(), s.Limit, func(x *index.Index) ([]paper.Paper, error) { return x.Search(ctx, s.Rung, s.From, s.To, s.Limit) })
}

// ByID finds a paper by its identifiers.
func (e LocalEngine) ByID(ctx context.Context, id ID, _ Call) Answer {
	return e.gather(ctx, strings.TrimSpace(id.DOI+" "+id.ArXiv), 2, func(x *index.Index) ([]paper.Paper, error) { return x.ByID(ctx, id.DOI, id.ArXiv) })
}

// ByTitle finds the papers that may bear a title.
func (e LocalEngine) ByTitle(ctx context.Context, title string, _ Call) Answer {
	return e.gather(ctx, title, 20, func(x *index.Index) ([]paper.Paper, error) { return x.ByTitle(ctx, title, 20) })
}

// Rarity counts the papers in which a word occurs.
func (e LocalEngine) Rarity(ctx context.Context, word string) int {
	n := 0
	for _, x := range e.lists(ctx) {
		n += x.Rarity(ctx, word)
	}
	return n
}

// Count is how many papers the lists have.
func (e LocalEngine) Count(ctx context.Context) int {
	n := 0
	for _, x := range e.lists(ctx) {
		if c, err := x.Count(ctx); err == nil {
			n += c
		}
	}
	return n
}

func (e LocalEngine) lists(ctx context.Context) []*index.Index {
	var out []*index.Index
	if e.Own != nil {
		if x, err := e.Own.Get(ctx); err == nil && x != nil {
			out = append(out, x)
		}
	}
	if e.Bundled != nil {
		out = append(out, e.Bundled)
	}
	return out
}

func (e LocalEngine) gather(ctx context.Context, request string, limit int, ask func(*index.Index) ([]paper.Paper, error)) Answer {
	unreadable := Answer{Request: request, Failure: &Failure{Cause: Outage, Detail: "The local index cannot be read.", Next: "nullius literature import FILE"}}
	if e.Own != nil {
		if _, err := e.Own.Get(ctx); err != nil {
			return unreadable
		}
	}
	var lists [][]paper.Paper
	for _, x := range e.lists(ctx) {
		ps, err := ask(x)
		if err != nil {
			return unreadable
		}
		lists = append(lists, ps)
	}
	papers := paper.Fuse(lists, limit)
	return Answer{Papers: papers, Total: int64(len(papers)), Request: request}
}
