// Command nullius is the command line and the all-in-one: every service in one process, with an embedded broker.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"nullius.dev/kit/sandbox"
)

func main() {
	sandbox.Main() // becomes the sandbox's inner helper when it is started as that
	ownsProcess = true
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
