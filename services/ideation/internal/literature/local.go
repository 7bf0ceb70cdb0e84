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
	Lists []*index.Index // the user's first
}

// Name is the engine's name in requests.
func (LocalEngine) Name() string { return paper.Local }

// Title is the engine's name for people.
func (LocalEngine) Title() string { return "the local index" }

// Online is false: what this engine does not know may well exist.
func (LocalEngine) Online() bool { return false }

// AnyWord is true.
func (LocalEngine) AnyWord() bool { return true }

// Search finds papers by words.
func (e LocalEngine) Search(ctx context.Context, r query.Rung, from, to, limit int, _ Tell) Answer {
	return e.gather(r.Text(), limit, func(x *index.Index) ([]paper.Paper, error) { return x.Search(ctx, r, from, to, limit) })
}

// ByID finds a paper by its identifiers.
func (e LocalEngine) ByID(ctx context.Context, doi, arXiv string, _ Tell) Answer {
	return e.gather(strings.TrimSpace(doi+" "+arXiv), 2, func(x *index.Index) ([]paper.Paper, error) { return x.ByID(ctx, doi, arXiv) })
}

// ByTitle finds the papers that may bear a title.
func (e LocalEngine) ByTitle(ctx context.Context, title string, _ Tell) Answer {
	return e.gather(title, 20, func(x *index.Index) ([]paper.Paper, error) { return x.ByTitle(ctx, title, 20) })
}

// Rarity counts the papers in which a word occurs.
func (e LocalEngine) Rarity(ctx context.Context, word string) int {
	n := 0
	for _, x := range e.Lists {
		n += x.Rarity(ctx, word)
	}
	return n
}

func (e LocalEngine) gather(request string, limit int, ask func(*index.Index) ([]paper.Paper, error)) Answer {
	var lists [][]paper.Paper
	for _, x := range e.Lists {
		ps, err := ask(x)
		if err != nil {
			return Answer{Request: request, Failure: &Failure{Cause: Outage, Detail: "The local index cannot be read."}}
		}
		lists = append(lists, ps)
	}
	papers := paper.Fuse(lists, limit)
	return Answer{Papers: papers, Total: int64(len(papers)), Request: request}
}
