package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal gives a context that ends with its parent, which main ends by SIGTERM, or with SIGINT when that is asked for. It is then told that this process
// stops in order, and from there on a further signal ends it at once, as if nobody listened. release is to be called when there is nothing left to stop.
func (c *cli) untilSignal(parent context.Context, interrupt bool) (ctx context.Context, release func()) {
	var stop context.CancelFunc
	if interrupt {
		ctx, stop = signal.NotifyContext(parent, os.Interrupt)
	} else {
		ctx, stop = context.WithCancel(parent)
	}
	keep := context.AfterFunc(ctx, func() {
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		c.stopping.Do(func() { fmt.Fprintln(c.err, "stopping in order; a further signal stops at once") })
	})
	return ctx, func() { keep(); stop() }
}
