package index

import (
	"context"
	"math"
	"sort"
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
func (x *Index) broad(ctx context.Context, words []string, join string, from, to, limit int) ([]paper.Paper, error) {
	match := quote(words, join)
	var found []paper.Paper
	seen := map[string]bool{}
	for _, q := range []struct {
		match string
		limit int
	}{{"{title} : (" + match + ")", fromTitles}, {match, fromAll}} {
		more, err := x.papers(ctx, `SELECT p.extra, p.abstract FROM paper_fts f JOIN paper p ON p.rowid = f.rowid
			WHERE paper_fts MATCH ? AND (? = 0 OR p.year >= ?) AND (? = 0 OR p.year <= ?) LIMIT ?`, q.match, from, from, to, to, q.limit)
		if err != nil {
			return nil, err
		}
		for _, p := range more {
			if !seen[p.ID] {
				seen[p.ID] = true
				found = append(found, p)
			}
		}
		if len(found) >= limit {
			break
		}
	}
	x.rank(ctx, found, words)
	return found[:min(len(found), limit)], nil
}

// rank sorts papers by the words that they have, the rarer ones counting more, titles as in the full-text table. It compares
// letters only, which is rougher than the table's words and fast.
func (x *Index) rank(ctx context.Context, papers []paper.Paper, words []string) {
	weight := make([]float64, len(words))
	stems := make([]string, len(words))
	for i, w := range words {
		weight[i] = math.Log(2 + common/(1+float64(x.Rarity(ctx, w))))
		stems[i] = " " + strings.ToLower(text.Stem(w))
	}
	score := make(map[string]float64, len(papers))
	for _, p := range papers {
		title, abstract := " "+strings.ToLower(p.Title), " "+strings.ToLower(p.Abstract)
		for i, w := range stems {
			tf := 10*float64(strings.Count(title, w)) + 2*float64(strings.Count(abstract, w))
			score[p.ID] += weight[i] * tf / (tf + 2)
		}
	}
	sort.SliceStable(papers, func(i, j int) bool {
		a, b := papers[i], papers[j]
		if score[a.ID] != score[b.ID] {
			return score[a.ID] > score[b.ID]
		}
		if a.Year != b.Year {
			return a.Year > b.Year
		}
		return a.ID < b.ID
	})
}
