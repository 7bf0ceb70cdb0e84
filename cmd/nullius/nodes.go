package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

func (c *cli) nodesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "nodes", Short: "Executors, their slots and current jobs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(cl *client) error {
				r, err := cl.nodes.ListNodes(cmd.Context(), &executorv1.ListNodesRequest{})
				if err != nil {
					return err
				}
				return c.emit(r, func(w *tabwriter.Writer) { nodesTable(w, r) })
			})
		},
	}
}

// nodesTable has a line for each slot, then what there is to say of nodes, then the queue.
func nodesTable(w *tabwriter.Writer, r *executorv1.ListNodesResponse) {
	count := map[string]int{}
	for _, n := range r.GetNodes() {
		count[n.GetName()]++
	}
	var notes []string
	fmt.Fprintln(w, "NODE\tSTATE\tPOOLS\tSANDBOX\tSLOT\tSLOT STATE\tJOB")
	for _, n := range r.GetNodes() {
		name, state := clean(n.GetName()), "READY"
		if count[n.GetName()] > 1 {
			name += " (" + n.GetInstance()[:min(6, len(n.GetInstance()))] + ")"
		}
		switch {
		case n.GetDraining():
			state = "DRAINING"
		case len(n.GetRefusals()) > 0:
			state = "REFUSES"
		}
		for _, s := range n.GetSlots() {
			slot := s.GetState()
			if s.GetState() != "FREE" && s.GetSince() != nil {
				slot += " " + ago(s.GetSince().AsTime())
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, state, strings.Join(n.GetPools(), ","), cmp.Or(n.GetLevel(), "none"), s.GetId(), slot, clean(s.GetJobId()))
			if s.GetReason() != "" {
				notes = append(notes, fmt.Sprintf("%s %s: %s: %s", name, s.GetId(), s.GetState(), clean(s.GetReason())))
			}
		}
		for _, x := range n.GetRefusals() {
			notes = append(notes, strings.TrimSuffix(fmt.Sprintf("%s refuses (%s): %s; next: %s", name, x.GetReason(), clean(x.GetText()), clean(x.GetRemedy())), "; next: "))
		}
		if f := n.GetFinishing(); len(f) > 0 {
			notes = append(notes, fmt.Sprintf("%s stores the results of %s", name, clean(strings.Join(f, ", "))))
		}
		if n.GetGpuNote() != "" {
			notes = append(notes, name+": "+clean(n.GetGpuNote()))
		}
	}
	_ = w.Flush() // what follows has no columns
	for _, l := range notes {
		fmt.Fprintln(w, l)
	}
	queued := fmt.Sprintf("queued: %d", r.GetQueued())
	if t := r.GetOldestQueued(); t != nil {
		queued += ", the oldest for " + ago(t.AsTime())
	}
	fmt.Fprintln(w, queued)
}
