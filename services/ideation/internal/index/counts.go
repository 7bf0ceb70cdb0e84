package index

import (
	"sync"
	"time"
)

// counts remembers in how many papers words occur. What was counted is only ever a hint, so it may be a while old.
type counts struct {
	mu    sync.Mutex
	since time.Time
	of    map[string]int
}

const (
	maxCounts = 20_000
	countsAge = 10 * time.Minute
)

func (c *counts) get(word string) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.since) > countsAge {
		c.of = nil
	}
	n, ok := c.of[word]
	return n, ok
}

func (c *counts) put(word string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || len(c.of) >= maxCounts {
		c.of, c.since = map[string]int{}, time.Now()
	}
	c.of[word] = n
}

func (c *counts) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of = nil
}
