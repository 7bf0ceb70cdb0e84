package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
	"nullius.dev/services/executor"
)

const slotsUsage = `usage: executor slots list [-config FILE]
       executor slots release [-config FILE] UUID

Runs on the node, as the executor's user: both work on its state folder,
whether it runs or not. A released GPU is used again once it is seen to be
free of processes; a running executor looks within a second`

var errSlotsUsage = errors.New(slotsUsage)

// slots lists the GPUs in quarantine, or releases one.
func slots(args []string, defaults settings, out io.Writer) error {
	if len(args) == 0 {
		return errSlotsUsage
	}
	fs := flag.NewFlagSet("executor slots", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	file := fs.String("config", os.Getenv("NULLIUS_CONFIG"), "configuration file (YAML)")
	if err := fs.Parse(args[1:]); err != nil {
		return errSlotsUsage
	}
	c := defaults
	if err := config.Load("executor", &c, *file, os.Environ()); err != nil {
		return err
	}
	state := c.State
	if state == "" {
		state = filepath.Join(c.DataDir, "executor")
	}
	if _, err := os.Stat(state); err != nil {
		return fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "no executor has worked in %s", state).WithNext("executor slots list -config FILE, with the executor's own FILE")
	}
	switch {
	case args[0] == "list" && fs.NArg() == 0:
		all := executor.Quarantines(state)
		for _, q := range all {
			fmt.Fprintf(out, "%s\t%s\tsince %s\tlooked at again %s\n", q.UUID, q.Reason, q.Since.Format(time.RFC3339), q.Recheck.Format(time.RFC3339))
		}
		if len(all) == 0 {
			fmt.Fprintln(out, "no GPU is in quarantine")
		}
		return nil
	case args[0] == "release" && fs.NArg() == 1:
		if err := executor.ReleaseSlot(state, fs.Arg(0)); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is to be released\n", fs.Arg(0))
		return nil
	}
	return errSlotsUsage
}
