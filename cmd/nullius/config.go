package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"nullius.dev/gateway"
	"nullius.dev/kit/config"
	"nullius.dev/services/coder"
	"nullius.dev/services/executor"
	"nullius.dev/services/ideation"
	"nullius.dev/services/reviewer"
	"nullius.dev/services/writer"
)

// configured gives each service's configuration as its defaults, to be loaded over.
var configured = map[string]func() any{
	"gateway":  func() any { c := gateway.DefaultConfig(); return &c },
	"ideation": func() any { c := ideation.DefaultConfig(); return &c },
	"coder":    func() any { c := coder.DefaultConfig(); return &c },
	"executor": func() any { c := executor.DefaultConfig(); return &c },
	"writer":   func() any { c := writer.DefaultConfig(); return &c },
	"reviewer": func() any { c := reviewer.DefaultConfig(); return &c },
}

func (c *cli) configCommand() *cobra.Command {
	var origin bool
	names := slices.Sorted(maps.Keys(configured))
	view := &cobra.Command{
		Use: "view [SERVICE]", Short: "Print a service's configuration, the gateway's by default, as file and environment leave it",
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs), ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			name := "gateway"
			if len(args) == 1 {
				name = args[0]
			}
			cfg, file := configured[name](), ""
			if name == "gateway" {
				file = os.Getenv("NULLIUS_CONFIG")
			}
			if origin {
				return c.printOrigins(name, cfg, file)
			}
			if err := config.Load(name, cfg, file, os.Environ()); err != nil {
				return err
			}
			return yaml.NewEncoder(c.out).Encode(cfg)
		},
	}
	view.Flags().BoolVar(&origin, "show-origin", false, "say where each value comes from")
	cmd := &cobra.Command{Use: "config", Short: "Look at configuration"}
	cmd.AddCommand(view)
	return cmd
}

func (c *cli) printOrigins(name string, cfg any, file string) error {
	values, err := config.Origins(name, cfg, file, os.Environ())
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	for _, v := range values {
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Key, v.Text, v.Origin)
	}
	return w.Flush()
}
