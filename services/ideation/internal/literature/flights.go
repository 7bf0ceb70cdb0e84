package literature

import (
	"context"
	"sync"
)

// flights are the requests under way, so that the same one is not made twice at once.
type flights struct {
	mu    sync.Mutex
	going map[string]*flight
}

type flight struct {
	done   chan struct{}
	value  any
	spoilt bool // who made it was cancelled, so it is nobody's answer
}

// shared makes a request, or waits for the one that is under way.
func shared[T any](ctx context.Context, fs *flights, key string, tell Tell, ask func() T) T {
	for {
		fs.mu.Lock()
		f, joined := fs.going[key]
		if !joined {
			f = &flight{done: make(chan struct{})}
			if fs.going == nil {
				fs.going = map[string]*flight{}
			}
			fs.going[key] = f
		}
		fs.mu.Unlock()
		if !joined {
			return lead(ctx, fs, key, f, ask)
		}
		tell(Progress{Phase: "waiting for the same request", Detail: "somebody asks for it already"})
		select {
		case <-f.done:
			if v, ok := f.value.(T); ok && !f.spoilt {
				return v
			}
		case <-ctx.Done():
			return ask() // which ends at once, in its own words
		}
	}
}

func lead[T any](ctx context.Context, fs *flights, key string, f *flight, ask func() T) T {
	defer func() {
		fs.mu.Lock()
		delete(fs.going, key)
		fs.mu.Unlock()
		close(f.done)
	}()
	f.spoilt = true // unless it ends well
	v := ask()
	f.value, f.spoilt = v, ctx.Err() != nil
	return v
}
