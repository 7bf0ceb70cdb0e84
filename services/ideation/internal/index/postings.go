package index

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// common is the number of papers from which on a word is not counted further: that it is common is enough to know.
const common = 1000

// postings remembers in which papers words occur, while the list stays as it is.
type postings struct {
	mu      sync.Mutex
	since   time.Time
	version string
	of      map[string][]int64
	held    int
}

// Bounds of what is remembered: rows in all, about 8 bytes each, and for how long.
const (
	maxHeld     = 1_000_000
	postingsAge = 10 * time.Minute
)

func (c *postings) get(version, match string) ([]int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version || time.Since(c.since) > postingsAge {
		c.version, c.since, c.of, c.held = version, time.Now(), nil, 0
	}
	rows, ok := c.of[match]
	return rows, ok
}

func (c *postings) put(version, match string, rows []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return // of a list that has changed meanwhile
	}
	if c.of == nil || c.held+len(rows) > maxHeld {
		c.of, c.held = map[string][]int64{}, 0
	}
	c.of[match] = rows
	c.held += len(rows) + 1
}

// version changes whenever papers are added, by another process too.
func (x *Index) version(ctx context.Context) (string, error) {
	var v string
	err := x.asked.version.QueryRowContext(ctx).Scan(&v)
	return v, err
}

// rows are the papers that match, in the order of their rows: at most 1,000, which means that there are more.
func (x *Index) rows(ctx context.Context, version, match string) ([]int64, error) {
	if rows, ok := x.postings.get(version, match); ok {
		return rows, nil
	}
	var list string
	if err := x.asked.rows.QueryRowContext(ctx, match, common).Scan(&list); err != nil {
		return nil, fmt.Errorf("paper index: %w", err)
	}
	var rows []int64
	for s := range strings.SplitSeq(list, ",") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil { // not so where the list is empty
			rows = append(rows, n)
		}
	}
	x.postings.put(version, match, rows)
	return rows, nil
}

// Rarity counts the papers in which a word occurs, up to 1,000.
func (x *Index) Rarity(ctx context.Context, word string) int {
	version, err := x.version(ctx)
	if err != nil {
		return 0 // the order of words is a guess anyway
	}
	rows, err := x.rows(ctx, version, quote([]string{word}, ""))
	if err != nil {
		return 0
	}
	return len(rows)
}

// both are the rows that two sorted lists share.
func both(a, b []int64) []int64 {
	var out []int64
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}

// has says whether a sorted list holds a row.
func has(rows []int64, row int64) bool {
	_, ok := slices.BinarySearch(rows, row)
	return ok
}
