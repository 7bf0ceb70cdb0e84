package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

func (c *cli) waitCommand() *cobra.Command {
	var want string
	var timeout time.Duration
	var exitStatus bool
	cmd := &cobra.Command{
		Use: "wait NAME", Short: "Block until a study or idea is in a state", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			want = strings.ToUpper(want)
			if v, ok := gatewayv1.IdeaState_Value_value[want]; (!ok || v == 0) && want != "ENDED" {
				return usage("--for %s is no state; ENDED, PENDING, RUNNING, WAITING, SUCCEEDED, REJECTED, FAILED and CANCELLED are", want)
			}
			if timeout < 0 {
				return usage("--timeout %s is negative", timeout)
			}
			return c.with(cmd.Context(), func(cl *client) error { return c.wait(cmd.Context(), cl, args[0], want, timeout, exitStatus) })
		},
	}
	cmd.Flags().StringVar(&want, "for", "ENDED", "a state, or ENDED for any final one")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (0: never)")
	cmd.Flags().BoolVar(&exitStatus, "exit-status", false, "exit 3 when it did not succeed; a study needs an idea that did")
	return cmd
}

func (c *cli) wait(ctx context.Context, cl *client, name, want string, timeout time.Duration, exitStatus bool) error {
	r, err := cl.find(ctx, name)
	if err != nil {
		return err
	}
	parent := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for {
		state, err := c.state(ctx, cl, r)
		late := timeout > 0 && errors.Is(err, context.DeadlineExceeded) // calls end a little before their deadline
		if c.grpcurl != nil || (err != nil && ctx.Err() == nil && !late) {
			return err
		}
		switch {
		case err == nil && (state.String() == want || (want == "ENDED" && ended(state))):
			if exitStatus {
				return c.outcome(ctx, cl, r)
			}
			return nil
		case err == nil && ended(state):
			fmt.Fprintf(c.err, "%s has ended: it is %s, not %s\nnext: nullius show %s\n", r, state, want, r)
			return exit(exitUnwanted)
		case err == nil && want != "WAITING":
			if still, err := c.settled(ctx, cl, r); err == nil && still && errors.Is(c.outcome(ctx, cl, r), exit(exitWaiting)) {
				fmt.Fprintf(c.err, "%s is WAITING for a person\nnext: nullius show %s\n", r, r)
				return exit(exitWaiting)
			}
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			if parent.Err() != nil {
				return parent.Err()
			}
			fmt.Fprintf(c.err, "%s is not %s after %s\nnext: nullius show %s\n", r, want, timeout, r)
			return exit(exitTimeout)
		}
	}
}

func (c *cli) state(ctx context.Context, cl *client, r ref) (gatewayv1.IdeaState_Value, error) {
	if r.idea == "" {
		s, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
		return s.GetStudy().GetState(), err
	}
	i, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
	return i.GetIdea().GetSummary().GetState(), err
}
