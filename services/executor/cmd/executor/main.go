// Command executor runs jobs of a Nullius broker on this machine.
package main

import (
	"context"
	"errors"
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

// Validate checks all parts.
func (c settings) Validate() error {
	return errors.Join(c.Common.Validate(), c.Config.Validate(), isolation("level", c.Sandbox.Isolation.Level), isolation("min", c.Sandbox.Isolation.Min))
}

// isolation says why a level that the design knows is not to be had here.
func isolation(field, level string) error {
	why := ""
	switch level {
	case "", sandbox.LevelStrict, sandbox.LevelLandlock:
		return nil
	case "none":
		why = "without a wall no queued job may run, and an executor runs no others"
	case "container":
		why = "this version does not rely on the wall of a container; inside one it offers what the container leaves possible"
	default:
		why = fmt.Sprintf("%.40q is neither strict nor landlock", level)
	}
	field = "sandbox.isolation." + field
	return fault.New(fault.Invalid, executor.ReasonField, "executor: %s: %s", field, why).WithField(field, why).WithNext("nullius doctor")
}

// defaultSettings refuse a node that cannot limit memory; what a watchdog sees
// too late may have killed its neighbours, so an operator has to want it.
func defaultSettings() settings {
	box := sandbox.DefaultConfig()
	box.RequireHardMemory = true
	return settings{Common: process.DefaultCommon(), Config: executor.DefaultConfig(), Sandbox: box}
}

// oomScore makes the kernel look for memory elsewhere first: a killed executor
// takes all its jobs with it. Only root may lower it.
const oomScore = "-500"

func main() {
	sandbox.Main()
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
	defaults := defaultSettings()
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
