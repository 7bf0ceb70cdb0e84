// Command executor runs jobs of a Nullius broker on this machine.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/services/executor"
)

// settings are the executor's with what every service has.
type settings struct {
	process.Common  `yaml:",inline"`
	executor.Config `yaml:",inline"`
	Sandbox         sandbox.Config `yaml:"sandbox"`
}

// Validate checks the executor's part.
func (c settings) Validate() error { return c.Config.Validate() }

func main() {
	sandbox.Main()
	defaults := settings{Common: process.DefaultCommon(), Config: executor.DefaultConfig(), Sandbox: sandbox.DefaultConfig()}
	if len(os.Args) > 1 && os.Args[1] == "slots" {
		if err := slots(os.Args[2:], defaults, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if next := fault.NextOf(err); next != "" {
				fmt.Fprintln(os.Stderr, "next: "+next)
			}
			os.Exit(2)
		}
		return
	}
	process.Main("executor", defaults, func(c *settings) *process.Common { return &c.Common }, attach)
}

// hurry is closed by the second signal: the first one drains the node. A third
// ends the process at once.
func hurry(h *app.Host) <-chan struct{} {
	out := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	h.Go("signals", time.Second, func(ctx context.Context) error {
		defer signal.Stop(signals)
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return nil
			case <-signals:
			}
			if n == 1 {
				close(out)
				signal.Stop(signals)
			}
		}
	})
	return out
}

func attach(h *app.Host, p process.Process, cfg settings) error {
	if cfg.State == "" {
		cfg.State = filepath.Join(p.DataDir, "executor")
	}
	shared := executor.Shared{Bus: p.Bus, Blobs: p.Blobs, Hurry: hurry(h)}
	box, err := sandbox.New(h.Context(), cfg.Sandbox, h.Log())
	if err != nil {
		h.Log().ErrorContext(h.Context(), "this node takes no jobs", "error", err)
		shared.Refusal = err
	} else {
		shared.Sandbox = box
		h.OnStop("sandbox", time.Second, func(context.Context) error { return box.Close() })
	}
	return executor.Attach(h, p.Net, cfg.Config, shared)
}
