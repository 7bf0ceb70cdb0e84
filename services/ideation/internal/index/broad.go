package index

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// Bounds of a search for common words: how many papers are looked at.
const (
	fromTitles = 100 // with the words in their titles, which rank first
	fromAll    = 200
)

// broad answers a search for words that many papers have. To rank all of those takes the full-text table a second in a large
// list, and tells little: so it ranks some, first of all those that have the words in their titles.
func (s search) broad(ctx context.Context, join string) ([]paper.Paper, error) {
	match := quote(s.texts(), join)
	var found []candidate
	seen := map[string]bool{}
	for _, q := range []struct {
		match string
		limit int
	}{{"{title} : (" + match + ")", fromTitles}, {match, fromAll}} {
		more, err := s.candidates(ctx, `paper_fts f JOIN paper p ON p.rowid = f.rowid WHERE paper_fts MATCH ?`, q.match, q.limit)
		if err != nil {
			return nil, err
		}
		for _, c := range more {
			if !seen[c.id] {
				seen[c.id] = true
				found = append(found, c)
			}
		}
		if len(found) >= s.limit {
			break
		}
	}
	return s.rank(found)
}

// candidate is a paper that may be among the best: what its rank depends on, and its record as it is kept.
type candidate struct {
	id, title, abstract, names, venue, extra string
	year                                     int
	score                                    float64
}

// candidates reads papers of the wanted years.
func (s search) candidates(ctx context.Context, from, which string, limit int) ([]candidate, error) {
	rows, err := s.x.db.QueryContext(ctx, `SELECT p.id, p.title, p.abstract, p.names, p.venue, p.year, p.extra FROM `+from+`
		AND (? = 0 OR p.year >= ?) AND (? = 0 OR p.year <= ?) LIMIT ?`, which, s.from, s.from, s.to, s.to, limit)
	if err != nil {
		return nil, fmt.Errorf("paper index: %w", err)
	}
	defer rows.Close()
	var out []candidate
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.id, &c.title, &c.abstract, &c.names, &c.venue, &c.year, &c.extra); err != nil {
			return nil, fmt.Errorf("paper index: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// stem is what all forms of a word begin with, mostly: a plural, a past or an -ing is cut, unless little is left.
func stem(w string) string {
	w = text.Stem(strings.ToLower(w))
	for _, end := range []string{"ing", "ed"} {
		if cut, ok := strings.CutSuffix(w, end); ok && len(cut) >= 4 {
			return cut
		}
	}
	return w
}

// rank gives the best papers by the words that they have, the rarer ones counting more, each place as in the full-text table. It compares
// letters only, which is rougher than the table's words and fast.
func (s search) rank(found []candidate) ([]paper.Paper, error) {
	weight := make([]float64, len(s.words))
	stems := make([]string, len(s.words))
	for i, w := range s.words {
		weight[i] = s.idf(w)
		stems[i] = " " + stem(w.text)
	}
	for i := range found {
		c := &found[i]
		places := []struct {
			text   string
			weight int
		}{{c.title, 10}, {c.abstract, 2}, {c.names, 3}, {c.venue, 1}}
		for k := range places {
			places[k].text = " " + strings.ToLower(places[k].text)
		}
		for k, w := range stems {
			tf := 0.0
			for _, p := range places {
				tf += float64(p.weight * strings.Count(p.text, w))
			}
			c.score += weight[k] * tf / (tf + 1.2)
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.year, a.year), strings.Compare(a.id, b.id))
	})
	var out []paper.Paper
	for _, c := range found[:min(len(found), s.limit)] {
		p, err := unpack(c.extra, c.abstract)
		if err != nil {
			return nil, fmt.Errorf("paper index: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}
