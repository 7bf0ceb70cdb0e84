package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// emit prints a message as JSON when that is asked for, else calls table.
func (c *cli) emit(m proto.Message, table func(*tabwriter.Writer)) error {
	switch c.output {
	case "json":
		b, err := protojson.MarshalOptions{Multiline: true, Indent: "  "}.Marshal(m)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%s\n", b)
		return err
	case "jsonl":
		b, err := protojson.Marshal(m)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%s\n", b)
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func (c *cli) showCommands() []*cobra.Command {
	return []*cobra.Command{c.listCommand(), c.showCommand(), c.statusCommand(), c.nodesCommand(), c.watchCommand(), c.waitCommand(), c.costCommand()}
}

func (c *cli) listCommand() *cobra.Command {
	var filter string
	cmd := &cobra.Command{
		Use: "list [studies|ideas|templates|approvals]", Short: "List studies, ideas, templates or what waits for approval",
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"studies", "ideas", "templates", "approvals"},
		RunE: func(cmd *cobra.Command, args []string) error {
			what := "studies"
			if len(args) == 1 {
				what = args[0]
			}
			return c.with(cmd.Context(), func(cl *client) error { return c.list(cmd.Context(), cl, what, filter) })
		},
	}
	cmd.Flags().StringVar(&filter, "filter", "", "state=RUNNING and the like")
	return cmd
}

func (c *cli) list(ctx context.Context, cl *client, what, filter string) error {
	switch what {
	case "templates":
		r, err := cl.ListTemplates(ctx, &gatewayv1.ListTemplatesRequest{PageSize: 1000})
		if err != nil {
			return err
		}
		return c.emit(r, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "TEMPLATE\tTITLE\tPOOL\tUPLOADED")
			for _, t := range r.GetTemplates() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.TrimPrefix(t.GetName(), "templates/"), clean(t.GetFacts().GetTitle()), t.GetFacts().GetPool(), ago(t.GetUploaded().AsTime()))
			}
		})
	case "studies":
		r, err := cl.ListStudies(ctx, &gatewayv1.ListStudiesRequest{PageSize: 1000, Filter: filter})
		if err != nil {
			return err
		}
		return c.emit(r, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "STUDY\tSTATE\tIDEAS\tSPENT\tAGE\tNOW")
			for _, s := range r.GetStudies() {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", strings.TrimPrefix(s.GetName(), "studies/"), stateText(s.GetState(), s.GetWaitReason()), len(s.GetIdeas()),
					spent(s.GetUsage(), s.GetAccount()), ago(s.GetCreated().AsTime()), clean(s.GetMessage()))
			}
		})
	}
	if what == "approvals" {
		filter = "state=WAITING"
	}
	r, err := cl.ListIdeas(ctx, &gatewayv1.ListIdeasRequest{Parent: "studies/-", PageSize: 1000, Filter: filter})
	if err != nil {
		return err
	}
	if what == "approvals" {
		r.Ideas = slices.DeleteFunc(r.GetIdeas(), func(i *gatewayv1.IdeaSummary) bool { return !standsStill(i.GetState(), i.GetWaitReason()) })
	}
	return c.emit(r, func(w *tabwriter.Writer) { ideaTable(w, r.GetIdeas()) })
}

func ideaTable(w *tabwriter.Writer, ideas []*gatewayv1.IdeaSummary) {
	fmt.Fprintln(w, "IDEA\tSTATE\tSTAGE\tRUNS\tSCORE\tSPENT\tTITLE\tNOW")
	for _, i := range ideas {
		p := strings.Split(i.GetName(), "/")
		score := ""
		if i.Score != nil {
			score = fmt.Sprintf("%.1f", i.GetScore())
		}
		fmt.Fprintf(w, "%s/%s\t%s\t%s\t%d+%d\t%s\t%s\t%s\t%s\n", p[1], p[3], stateText(i.GetState(), i.GetWaitReason()), i.GetStage(), i.GetRunsDone(), i.GetRunsFailed(),
			score, spent(i.GetUsage(), nil), clean(i.GetTitle()), clean(i.GetMessage()))
	}
}

func stateText(s gatewayv1.IdeaState_Value, w gatewayv1.WaitReason_Value) string {
	if w != gatewayv1.WaitReason_UNSPECIFIED {
		return s.String() + "(" + w.String() + ")"
	}
	return s.String()
}

// spent tells what was paid; calls of models without a price cost nobody knows what.
func spent(u *recordv1.Usage, a *gatewayv1.Account) string {
	text := dollars(u.GetCostPicoDollars())
	if u.GetUnpriced() {
		text = "unknown"
		if u.GetCostPicoDollars() > 0 {
			text = dollars(u.GetCostPicoDollars()) + " and unknown"
		}
	}
	if l := a.GetLimitPicoDollars(); l > 0 {
		text += " of " + dollars(l)
	}
	return text
}

func ago(t time.Time) string {
	if t.Unix() <= 0 {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}

func (c *cli) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a study or an idea with its steps", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				r, err := cl.find(ctx, args[0])
				if err != nil {
					return err
				}
				if r.idea == "" {
					return c.showStudy(ctx, cl, r)
				}
				return c.showIdea(ctx, cl, r)
			})
		},
	}
}

func (c *cli) showStudy(ctx context.Context, cl *client, r ref) error {
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
	if err != nil {
		return err
	}
	s := got.GetStudy()
	return c.emit(s, func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r, stateText(s.GetState(), s.GetWaitReason()), clean(s.GetMessage()))
		fmt.Fprintf(w, "template\t%s\tmodel %s\n", s.GetTemplate(), s.GetSettings().GetModel())
		fmt.Fprintf(w, "spent\t%s\t%d tokens in, %d out\n", spent(s.GetUsage(), s.GetAccount()), s.GetUsage().GetInputTokens()+s.GetUsage().GetCacheReadTokens(), s.GetUsage().GetOutputTokens())
		if s.GetNext() != "" {
			fmt.Fprintf(w, "next\t%s\n", s.GetNext())
		}
		fmt.Fprintln(w)
		ideaTable(w, s.GetIdeas())
	})
}

func (c *cli) showIdea(ctx context.Context, cl *client, r ref) error {
	got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
	if err != nil {
		return err
	}
	i := got.GetIdea()
	return c.emit(i, func(w *tabwriter.Writer) {
		s := i.GetSummary()
		fmt.Fprintf(w, "%s\t%s\t%s\n", r, stateText(s.GetState(), s.GetWaitReason()), clean(s.GetTitle()))
		if s.GetMessage() != "" {
			fmt.Fprintf(w, "now\t%s\n", clean(s.GetMessage()))
		}
		if s.GetNext() != "" {
			fmt.Fprintf(w, "next\t%s\n", s.GetNext())
		}
		fmt.Fprintf(w, "spent\t%s\n\nSTEP\tOUTCOME\tTOOK\tWHAT\n", spent(s.GetUsage(), nil))
		for _, st := range i.GetSteps() {
			took := ""
			if st.GetEnded() != nil {
				took = st.GetEnded().AsTime().Sub(st.GetStarted().AsTime()).Round(10 * time.Millisecond).String()
			}
			outcome := st.GetOutcome()
			if st.GetState() != "ended" {
				outcome = strings.TrimSpace(st.GetState() + " " + outcome)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", st.GetStep(), outcome, took, clean(st.GetText()))
		}
		if next := i.GetNovelty().GetNext(); next != "" && next != s.GetNext() {
			fmt.Fprintf(w, "note\tnovelty is undecided; next: %s\n", clean(next))
		}
		for _, warning := range i.GetWarnings() {
			fmt.Fprintf(w, "note\t%s\n", clean(warning.GetText()))
		}
	})
}

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "One line per part of the suite", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(cl *client) error {
				s, err := cl.GetStatus(cmd.Context(), &gatewayv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				return c.emit(s, func(w *tabwriter.Writer) {
					fmt.Fprintf(w, "gateway\tSERVING\t%s\t%s, up %s\n", s.GetAddress(), s.GetVersion(), ago(s.GetStarted().AsTime()))
					for _, p := range s.GetParts() {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.GetName(), p.GetState(), p.GetAddress(), clean(p.GetText()))
					}
					fmt.Fprintf(w, "data\t\t%s\t\nstudies\t\t%d running\tideas: %d running, %d waiting\n", s.GetDataDir(), s.GetStudiesRunning(), s.GetIdeasRunning(), s.GetIdeasWaiting())
				})
			})
		},
	}
}

func (c *cli) watchCommand() *cobra.Command {
	var logs bool
	cmd := &cobra.Command{
		Use: "watch NAME", Short: "Follow a study or idea until it ends or waits for you", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				r, err := cl.find(ctx, args[0])
				if err != nil {
					return err
				}
				return c.view(ctx, cl, r, watchOptions{logs: logs})
			})
		},
	}
	cmd.Flags().BoolVar(&logs, "logs", false, "also the lines of running experiments")
	return cmd
}

func (c *cli) waitCommand() *cobra.Command {
	var want string
	var timeout time.Duration
	var exitStatus bool
	cmd := &cobra.Command{
		Use: "wait NAME", Short: "Block until a study or idea is in a state", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(cl *client) error { return c.wait(cmd.Context(), cl, args[0], want, timeout, exitStatus) })
		},
	}
	cmd.Flags().StringVar(&want, "for", "ENDED", "a state, or ENDED for any final one")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (0: never)")
	cmd.Flags().BoolVar(&exitStatus, "exit-status", false, "exit 3 when it did not succeed; a study needs an idea that did")
	return cmd
}

func (c *cli) wait(ctx context.Context, cl *client, name, want string, timeout time.Duration, exitStatus bool) error {
	want = strings.ToUpper(want)
	if _, ok := gatewayv1.IdeaState_Value_value[want]; !ok && want != "ENDED" {
		return usage("--for %s is no state", want)
	}
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
		if err != nil && ctx.Err() == nil {
			return err
		}
		switch {
		case err == nil && (state.String() == want || (want == "ENDED" && ended(state))):
			if exitStatus {
				return c.outcome(ctx, cl, r)
			}
			return nil
		case err == nil && ended(state):
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
