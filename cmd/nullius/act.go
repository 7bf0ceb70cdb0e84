package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

func (c *cli) actCommands() []*cobra.Command {
	return []*cobra.Command{c.approveCommand(), c.rejectCommand(), c.cancelCommand(), c.retryCommand(), c.submitCommand()}
}

// act runs an action on a study or idea and prints what it is then.
func (c *cli) act(ctx context.Context, name string, do func(*client, ref) (*gatewayv1.Idea, error)) error {
	return c.with(ctx, func(cl *client) error {
		r, err := cl.find(ctx, name)
		if err != nil {
			return err
		}
		idea, err := do(cl, r)
		if err != nil {
			return err
		}
		return c.emit(idea, func(w *tabwriter.Writer) {
			s := idea.GetSummary()
			fmt.Fprintf(w, "%s\t%s\t%s\n", r, stateText(s.GetState(), s.GetWaitReason()), clean(s.GetMessage()))
		})
	})
}

func (c *cli) approveCommand() *cobra.Command {
	var reason, edit string
	var budget float64
	var tokens int64
	cmd := &cobra.Command{
		Use: "approve NAME", Short: "Approve an idea that waits, or raise a budget", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &gatewayv1.ApproveIdeaRequest{Comment: reason, AddBudgetPicoDollars: int64(budget * 1e12), AddBudgetTokens: tokens, RequestId: uuid.NewString()}
			if edit != "" {
				ideas, err := readEdit(edit)
				if err != nil {
					return err
				}
				req.Edited = ideas
			}
			return c.act(cmd.Context(), args[0], func(cl *client, r ref) (*gatewayv1.Idea, error) {
				req.Name = r.ideaName()
				a, err := cl.ApproveIdea(cmd.Context(), req)
				return a.GetIdea(), err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; recorded")
	cmd.Flags().StringVar(&edit, "edit", "", "idea.json with what is to be changed")
	cmd.Flags().Float64Var(&budget, "add-budget", 0, "dollars to add")
	cmd.Flags().Int64Var(&tokens, "add-tokens", 0, "tokens to add")
	return cmd
}

// readEdit reads an idea of which only some fields may be set.
func readEdit(path string) (*recordv1.Idea, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "FILE_UNKNOWN", "%s cannot be read", path).WithNext("nullius help approve")
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "%s is not one JSON object: %v", path, err).WithNext(`write what is to be changed, such as {"Title": "…"}`)
	}
	return ideaOf(m), nil
}

func (c *cli) rejectCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "reject IDEA", Short: "Turn down an idea that waits for approval", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm("reject " + args[0]); err != nil {
				return err
			}
			return c.act(cmd.Context(), args[0], func(cl *client, r ref) (*gatewayv1.Idea, error) {
				a, err := cl.RejectIdea(cmd.Context(), &gatewayv1.RejectIdeaRequest{Name: r.ideaName(), Comment: reason, RequestId: uuid.NewString()})
				return a.GetIdea(), err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; recorded")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	return cmd
}

func (c *cli) cancelCommand() *cobra.Command {
	var reason string
	var force bool
	cmd := &cobra.Command{
		Use: "cancel NAME", Short: "Stop a study or idea; what it made is kept, retry goes on with it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm("cancel " + args[0]); err != nil {
				return err
			}
			ctx := cmd.Context()
			return c.act(ctx, args[0], func(cl *client, r ref) (*gatewayv1.Idea, error) {
				if r.idea == "" {
					if _, err := cl.CancelStudy(ctx, &gatewayv1.CancelStudyRequest{Name: r.name(), Comment: reason, Force: force, RequestId: uuid.NewString()}); err != nil {
						return nil, err
					}
					got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.ideaName()})
					return got.GetIdea(), err
				}
				a, err := cl.CancelIdea(ctx, &gatewayv1.CancelIdeaRequest{Name: r.name(), Comment: reason, Force: force, RequestId: uuid.NewString()})
				return a.GetIdea(), err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; recorded")
	cmd.Flags().BoolVar(&force, "force", false, "kill a running experiment at once")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	return cmd
}

// confirm asks on a terminal, and needs --yes elsewhere.
func (c *cli) confirm(what string) error {
	if c.yes || c.grpcurl != nil {
		return nil
	}
	if c.noInput || !telemetry.IsTerminal(os.Stdin) {
		return usage("%s: give --yes where nobody can be asked", what)
	}
	fmt.Fprintf(c.err, "%s? [y/N] ", what)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return usage("%s: not confirmed", what)
	}
	return nil
}

func (c *cli) retryCommand() *cobra.Command {
	var from, reason string
	cmd := &cobra.Command{
		Use: "retry IDEA", Short: "Run a failed or cancelled idea again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.act(cmd.Context(), args[0], func(cl *client, r ref) (*gatewayv1.Idea, error) {
				a, err := cl.RetryIdea(cmd.Context(), &gatewayv1.RetryIdeaRequest{Name: r.ideaName(), From: from, Comment: reason, RequestId: uuid.NewString()})
				return a.GetIdea(), err
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "stage to begin at (default the one that failed)")
	cmd.Flags().StringVar(&reason, "reason", "", "why; recorded")
	return cmd
}

func (c *cli) submitCommand() *cobra.Command {
	var study string
	cmd := &cobra.Command{
		Use: "submit idea.json --study STUDY", Short: "Add your own idea to a study", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ideas, err := readIdeas(args[0])
			if err != nil {
				return err
			}
			if study == "" {
				return usage("--study is needed")
			}
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				r, err := cl.find(ctx, study)
				if err != nil {
					return err
				}
				for _, i := range ideas {
					got, err := cl.SubmitIdea(ctx, &gatewayv1.SubmitIdeaRequest{Parent: "studies/" + r.study, Idea: i, RequestId: uuid.NewString()})
					if err != nil {
						return err
					}
					for _, w := range got.GetIdea().GetWarnings() {
						fmt.Fprintln(c.err, "warning:", clean(w.GetText()))
					}
					if err := c.emit(got.GetIdea(), func(w *tabwriter.Writer) { fmt.Fprintln(w, strings.TrimPrefix(got.GetIdea().GetName(), "studies/")) }); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&study, "study", "", "study that gets the idea")
	return cmd
}
