package main

import (
	"github.com/spf13/cobra"
)

// strict makes what cobra lets pass, or reports as any other error, wrong usage: bad arguments, and names of no subcommand or help topic.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			strictHelp(cmd)
			continue
		}
		strictArgs(cmd)
	}
}

func strictArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strictArgs(sub)
	}
	switch check := cmd.Args; {
	case cmd.HasSubCommands() && !cmd.Runnable():
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		}
	case check != nil:
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
}

func strictHelp(help *cobra.Command) {
	run := help.Run
	help.Run = nil
	help.RunE = func(cmd *cobra.Command, args []string) error {
		if of, rest, err := cmd.Root().Find(args); err != nil || of == nil || len(rest) > 0 {
			return usage("there is no command and no topic %q", args)
		}
		run(cmd, args)
		return nil
	}
}
