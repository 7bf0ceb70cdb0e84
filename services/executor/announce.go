package executor

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
)

// announcements are writes of the node's key. Those who ask while one is under
// way share the next.
type announcements struct {
	writing sync.Mutex // held by the one that is under way: they come in order

	mu   sync.Mutex
	next *announcement
}

type announcement struct {
	done chan struct{}
	err  error // once done is closed
}

// join returns the announcement that will tell how things stand from now on;
// first is its first asker, who writes it.
func (a *announcements) join() (all *announcement, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		return a.next, false
	}
	a.next = &announcement{done: make(chan struct{})}
	return a.next, true
}

// announce writes the node's key, as the node is at some moment after the call.
func (n *node) announce(ctx context.Context) error {
	all, first := n.tell.join()
	if first {
		n.tell.writing.Lock()
		defer n.tell.writing.Unlock()
		n.tell.mu.Lock()
		n.tell.next = nil // who asks from here on may be too late to be told of
		n.tell.mu.Unlock()
		all.err = n.write(ctx)
		close(all.done)
		return all.err
	}
	select {
	case <-all.done:
		return all.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *node) write(ctx context.Context) error {
	b, err := protojson.Marshal(n.describe())
	if err != nil {
		return err
	}
	// Others may wait for it whose contexts have not ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err = n.s.jobs.nodes.Put(ctx, n.instance, b)
	return busFault(err, "announce node")
}
