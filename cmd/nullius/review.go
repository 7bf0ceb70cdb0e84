package main

import (
	"github.com/spf13/cobra"
)

// reviewCommand reviews a paper of the user's, without a study and a server.
func (c *cli) reviewCommand() *cobra.Command {
	return &cobra.Command{Use: "review PAPER", Short: "Review a paper: PDF, LaTeX or text", Args: cobra.ExactArgs(1)}
}
