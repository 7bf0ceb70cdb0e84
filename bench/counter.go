package main

import (
	"net/http"
	"sync/atomic"
	"time"
)

// counter counts the bytes of requests, and keeps when the first one came.
type counter struct {
	next  http.Handler
	first atomic.Int64 // when it came, in nanoseconds since 1970
	sum   atomic.Int64
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		c.first.CompareAndSwap(0, time.Now().UnixNano())
		c.sum.Add(max(r.ContentLength, 0))
	}
	c.next.ServeHTTP(w, r)
}

func (c *counter) bytes() int64 { return c.sum.Load() }
