// Command nullius is the command line and the all-in-one: every service in one process, with an embedded broker.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"nullius.dev/kit/sandbox"
)

// callersUmask is what the process was started with: the folders that it makes for its user keep to it.
var callersUmask = 0o022

func main() {
	callersUmask = syscall.Umask(0o077)
	syscall.Umask(callersUmask)
	sandbox.Main() // becomes the sandbox's inner helper when it is started as that
	ownsProcess = true
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	delegate(ctx, os.Args)
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
