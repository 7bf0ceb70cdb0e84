package index

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// few is how many papers the full-text table may rank: it looks at each of them, which takes it about 20 µs.
const few = 200

// Search finds papers that have all the words of a rung, or any.
func (x *Index) Search(ctx context.Context, r query.Rung, from, to, limit int) ([]paper.Paper, error) {
	if len(r.Words) == 0 {
		return nil, nil
	}
	version, err := x.version(ctx)
	if err != nil {
		return nil, err
	}
	s := search{x: x, version: version, from: from, to: to, limit: limit}
	if err := x.asked.size.QueryRowContext(ctx).Scan(&s.size); err != nil {
		return nil, fmt.Errorf("paper index: %w", err)
	}
	for _, w := range r.Words {
		rows, err := x.rows(ctx, version, quote([]string{w}, ""))
		if err != nil {
			return nil, err
		}
		s.words = append(s.words, word{w, rows})
	}
	if r.Any {
		return s.any(ctx)
	}
	return s.all(ctx)
}

// word is a word with the papers that have it.
type word struct {
	text string
	rows []int64
}

func (w word) common() bool { return len(w.rows) >= common }

// search is a search under way.
type search struct {
	x               *Index
	version         string
	size            float64 // papers of the list, about
	words           []word
	from, to, limit int
}

// idf is how much it tells that a paper has the word, as BM25 has it.
func (s search) idf(w word) float64 {
	n := float64(len(w.rows))
	return math.Log(1 + max(0, s.size-n)/(n+0.5))
}

func (s search) texts() []string {
	out := make([]string, len(s.words))
	for i, w := range s.words {
		out[i] = w.text
	}
	return out
}

// all finds the papers with all the words. The rare ones decide most searches before the long lists of the common ones are read.
func (s search) all(ctx context.Context) ([]paper.Paper, error) {
	slices.SortStableFunc(s.words, func(a, b word) int { return cmp.Compare(len(a.rows), len(b.rows)) })
	match := quote(s.texts(), " AND ")
	if s.words[0].common() {
		rows, err := s.x.rows(ctx, s.version, match)
		if err != nil {
			return nil, err
		}
		if len(rows) <= read {
			return s.best(ctx, rows)
		}
		return s.broad(ctx, " AND ")
	}
	rows := s.words[0].rows
	for _, w := range s.words[1:] {
		if !w.common() {
			rows = both(rows, w.rows)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	switch {
	case s.words[len(s.words)-1].common():
		var err error
		if rows, err = s.x.rows(ctx, s.version, match); err != nil {
			return nil, err
		}
		return s.pruned(ctx, rows)
	case len(rows) <= few:
		return s.exact(ctx, match)
	}
	return s.pruned(ctx, rows)
}

// any finds the papers with any of the words. It leaves out those that are common, since whoever asks for alternatives wants the others.
func (s search) any(ctx context.Context) ([]paper.Paper, error) {
	var telling []word
	for _, w := range s.words {
		if len(w.rows) > 0 && !w.common() {
			telling = append(telling, w)
		}
	}
	if len(telling) == 0 {
		return s.broad(ctx, " OR ")
	}
	s.words = telling
	var rows []int64
	for _, w := range s.words {
		rows = append(rows, w.rows...)
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	if len(rows) <= few {
		return s.exact(ctx, quote(s.texts(), " OR "))
	}
	return s.pruned(ctx, rows)
}

// exact has the full-text table rank all that matches.
func (s search) exact(ctx context.Context, match string) ([]paper.Paper, error) {
	if s.from == 0 && s.to == 0 { // the best are found in the full-text table alone, which is much faster
		return s.x.papers(ctx, `SELECT p.extra, p.abstract FROM (SELECT rowid, rank AS score FROM paper_fts WHERE paper_fts MATCH ? ORDER BY rank LIMIT ?) f
			JOIN paper p ON p.rowid = f.rowid ORDER BY f.score, p.citations DESC, p.year DESC, p.id LIMIT ?`, match, s.limit+20, s.limit)
	}
	return s.x.papers(ctx, `SELECT p.extra, p.abstract FROM paper_fts f JOIN paper p ON p.rowid = f.rowid
		WHERE paper_fts MATCH ? AND (? = 0 OR p.year >= ?) AND (? = 0 OR p.year <= ?)
		ORDER BY rank, p.citations DESC, p.year DESC, p.id LIMIT ?`,
		match, s.from, s.from, s.to, s.to, s.limit)
}

// What a word is worth that a paper has once: BM25's tf·2.2/(tf+1.2), where a title counts ten times and an abstract twice.
const (
	inTitle    = 10 * 2.2 / 11.2
	inAbstract = 2 * 2.2 / 3.2
)

// pruned ranks the papers that promise most: those with the most words, the rarer and those in titles counting more.
func (s search) pruned(ctx context.Context, rows []int64) ([]paper.Paper, error) {
	if len(rows) <= read {
		return s.best(ctx, rows)
	}
	worth := make(map[int64]float64, len(rows))
	for _, row := range rows {
		worth[row] = 0
	}
	for _, w := range s.words {
		if w.common() { // all of these papers have it
			continue
		}
		titles, err := s.x.rows(ctx, s.version, "{title} : "+quote([]string{w.text}, ""))
		if err != nil {
			return nil, err
		}
		idf := s.idf(w)
		for _, row := range w.rows {
			if _, ok := worth[row]; !ok {
				continue
			}
			if has(titles, row) {
				worth[row] += idf * inTitle
			} else {
				worth[row] += idf * inAbstract
			}
		}
	}
	rows = slices.Clone(rows) // they may be remembered
	slices.SortFunc(rows, func(a, b int64) int { return cmp.Or(cmp.Compare(worth[b], worth[a]), cmp.Compare(a, b)) })
	return s.best(ctx, rows)
}

// read is how many papers are read to be ranked by their texts.
const read = 100

// best ranks the first papers of rows, of the years that are wanted, by their texts.
func (s search) best(ctx context.Context, rows []int64) ([]paper.Paper, error) {
	var found []candidate
	for next := read; len(rows) > 0 && len(found) < read; next *= 4 {
		next = min(next, len(rows))
		list, err := json.Marshal(rows[:next])
		if err != nil {
			return nil, err
		}
		rows = rows[next:]
		more, err := s.candidates(ctx, `paper p WHERE p.rowid IN (SELECT value FROM json_each(?))`, string(list), next)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return s.rank(found)
}
