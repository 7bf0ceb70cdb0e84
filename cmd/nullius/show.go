package main

import (
	"context"
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
		for _, m := range itemsOf(m) {
			b, err := protojson.Marshal(m)
			if err != nil {
				return err
			}
			if _, err = fmt.Fprintf(c.out, "%s\n", b); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// itemsOf gives the items of a list's answer, whose first repeated field has them; any other message is its own only item.
func itemsOf(m proto.Message) []proto.Message {
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	if !strings.HasPrefix(string(r.Descriptor().Name()), "List") {
		return []proto.Message{m}
	}
	var out []proto.Message
	for i := range fields.Len() {
		if f := fields.Get(i); f.IsList() && f.Message() != nil {
			for l, k := r.Get(f).List(), 0; k < l.Len(); k++ {
				out = append(out, l.Get(k).Message().Interface())
			}
			break
		}
	}
	return out
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
			if filter != "" && (what == "templates" || what == "approvals") {
				return usage("--filter is for studies and ideas")
			}
			return c.with(cmd.Context(), func(cl *client) error { return c.list(cmd.Context(), cl, what, filter) })
		},
	}
	cmd.Flags().StringVar(&filter, "filter", "", "of studies and ideas: state=RUNNING and the like")
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
			if len(r.GetTemplates()) == 0 {
				c.nothing("no templates: nullius template add DIR, or a bundled one's name")
			}
			fmt.Fprintln(w, "TEMPLATE\tTITLE\tPOOL\tUPLOADED")
			for _, t := range r.GetTemplates() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.TrimPrefix(t.GetName(), "templates/"), clean(t.GetFacts().GetTitle()), t.GetFacts().GetPool(), c.when(t.GetUploaded().AsTime()))
			}
		})
	case "studies":
		r, err := cl.ListStudies(ctx, &gatewayv1.ListStudiesRequest{PageSize: 1000, Filter: filter})
		if err != nil {
			return err
		}
		return c.emit(r, func(w *tabwriter.Writer) {
			if len(r.GetStudies()) == 0 && filter == "" {
				c.nothing("no studies: nullius run TEMPLATE --model … starts one, nullius demo replays one")
			}
			fmt.Fprintf(w, "STUDY\tSTATE\tIDEAS\tSPENT\t%s\tNOW\n", c.since("AGE", "BEGAN"))
			for _, s := range r.GetStudies() {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", strings.TrimPrefix(s.GetName(), "studies/"), stateText(s.GetState(), s.GetWaitReason()), len(s.GetIdeas()),
					spent(s.GetUsage(), s.GetAccount()), c.when(s.GetCreated().AsTime()), clean(s.GetMessage()))
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
	return c.emit(r, func(w *tabwriter.Writer) {
		switch {
		case len(r.GetIdeas()) > 0:
		case what == "approvals":
			c.nothing("nothing waits for you")
		case filter == "":
			c.nothing("no ideas: a study makes them; nullius list studies")
		}
		ideaTable(w, r.GetIdeas())
	})
}

// nothing says beside an empty table what would be in it.
func (c *cli) nothing(text string) { fmt.Fprintln(c.err, text) }

func ideaTable(w *tabwriter.Writer, ideas []*gatewayv1.IdeaSummary) {
	fmt.Fprintln(w, "IDEA\tSTATE\tSTAGE\tRUNS\tSCORE\tSPENT\tTITLE\tNOW")
	for _, i := range ideas {
		p := strings.Split(i.GetName(), "/")
		score := ""
		if i.Score != nil {
			score = fmt.Sprintf("%.1f", i.GetScore())
		}
		runs := fmt.Sprint(i.GetRunsDone())
		if f := i.GetRunsFailed(); f > 0 {
			runs += fmt.Sprintf(", %d failed", f)
		}
		fmt.Fprintf(w, "%s/%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p[1], p[3], stateText(i.GetState(), i.GetWaitReason()), i.GetStage(), runs,
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

// since is a column's head: of ages, or of times.
func (c *cli) since(relative, iso string) string {
	if c.times == "iso" {
		return iso
	}
	return relative
}

// when is a time as --time wants it.
func (c *cli) when(t time.Time) string {
	if c.times == "iso" && t.Unix() > 0 {
		return t.Local().Format(time.RFC3339)
	}
	return ago(t)
}

func ago(t time.Time) string {
	if t.Unix() <= 0 {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}

func (c *cli) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a study, an idea with its steps, or a template (templates/NAME)", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				if strings.HasPrefix(args[0], "templates/") {
					return c.showTemplate(ctx, cl, args[0])
				}
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

func (c *cli) showTemplate(ctx context.Context, cl *client, name string) error {
	got, err := cl.GetTemplate(ctx, &gatewayv1.GetTemplateRequest{Name: name})
	if err != nil {
		return err
	}
	t := got.GetTemplate()
	return c.emit(t, func(w *tabwriter.Writer) {
		f := t.GetFacts()
		fmt.Fprintf(w, "%s\t%s\n", t.GetName(), clean(f.GetTitle()))
		fmt.Fprintf(w, "pool\t%s, at most %s a run\n", f.GetPool(), time.Duration(f.GetTimeLimitSeconds())*time.Second)
		if p := f.GetPrimary(); p.GetName() != "" {
			fmt.Fprintf(w, "primary\t%s of %s, %s\n", p.GetName(), p.GetDataset(), strings.ToLower(p.GetDirection().String()))
		}
		fmt.Fprintf(w, "uploaded\t%s\n", c.when(t.GetUploaded().AsTime()))
		fmt.Fprintf(w, "next\tnullius run %s --model …\n", t.GetName())
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
