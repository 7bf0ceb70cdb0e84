package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// stages are those of a study and then of its ideas.
var stages = []string{"baseline", "ideation", "novelty", "experiments", "figures", "writing", "review", "improvement"}

// logOptions say which logs are wanted.
type logOptions struct {
	follow bool
	stage  string
	run    int       // 0: all
	since  time.Time // of steps that had not ended by then
	tail   int       // lines of each stream; 0: all
}

func (c *cli) logsCommand() *cobra.Command {
	var o logOptions
	var since string
	cmd := &cobra.Command{
		Use: "logs NAME", Short: "Print what an idea's experiments wrote, or a study's baseline; -f goes on with running ones", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.since, err = timeOf(since); err != nil {
				return err
			}
			switch {
			case o.stage != "" && !slices.Contains(stages, o.stage):
				return usage("--stage %s: %s are known", o.stage, strings.Join(stages, ", "))
			case o.tail < 0:
				return usage("--tail %d is negative", o.tail)
			case o.run < 0:
				return usage("--run %d is negative", o.run)
			}
			return c.with(cmd.Context(), func(cl *client) error { return c.logs(cmd.Context(), cl, args[0], o) })
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with running experiments")
	f.StringVar(&o.stage, "stage", "", "only this stage, steps without output too: "+strings.Join(stages, ", "))
	f.IntVar(&o.run, "run", 0, "only this run of the experiment")
	f.StringVar(&since, "since", "", "only steps that were at work since then: 10m, or a time like 2026-05-01T12:00:00Z")
	f.IntVar(&o.tail, "tail", 0, "last lines of each stream (0: all that was kept)")
	return cmd
}

// timeOf reads a time, or how long ago it was; empty: the zero time.
func timeOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, usage("--since %s is neither a duration like 10m nor a time like 2026-05-01T12:00:00Z", text)
}

func (c *cli) logs(ctx context.Context, cl *client, name string, o logOptions) error {
	r, err := cl.find(ctx, name)
	if err != nil {
		return err
	}
	got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.ideaName()})
	if err != nil {
		return err
	}
	steps := got.GetIdea().GetSteps()
	if r.idea == "" {
		if steps, err = c.studySteps(ctx, cl, r); err != nil {
			return err
		}
	}
	for _, s := range steps {
		if !o.wants(s) {
			continue
		}
		if err := c.printLog(ctx, cl, r, s, o); err != nil {
			return err
		}
		if s.GetStage() == "novelty" && o.stage == "novelty" {
			c.printNovelty(got.GetIdea().GetNovelty())
		}
	}
	if !o.follow {
		return nil
	}
	if done, err := c.settled(ctx, cl, r); err != nil || done {
		return err
	}
	return c.watch(ctx, cl, r, watchOptions{logs: true, fromNow: true, stage: o.stage})
}

// studySteps gives a study's own steps that have ended, which no call lists: they are read off its events.
func (c *cli) studySteps(ctx context.Context, cl *client, r ref) ([]*gatewayv1.StepView, error) {
	v := &ownSteps{}
	err := c.replay(ctx, cl, r, watchOptions{journal: true, view: v})
	return v.steps, err
}

type ownSteps struct{ steps []*gatewayv1.StepView }

func (v *ownSteps) message(m *gatewayv1.WatchStudyResponse) {
	e := m.GetEvent()
	if end := e.GetJournal().GetStepEnded(); end != nil && e.GetIdea() == "_" {
		v.steps = append(v.steps, &gatewayv1.StepView{Step: e.GetStep(), Stage: e.GetStage(), State: "ended", Outcome: e.GetOutcome(), Text: e.GetText(), Ended: e.GetTime(),
			StdoutDigest: end.GetJob().GetStdout().GetDigest(), StderrDigest: end.GetJob().GetStderr().GetDigest()})
	}
}

func (*ownSteps) lost(time.Time) {}
func (*ownSteps) back()          {}

func (o logOptions) wants(s *gatewayv1.StepView) bool {
	if o.run > 0 && !strings.Contains(s.GetStep(), fmt.Sprintf("/run-%d/", o.run)) {
		return false
	}
	if !o.since.IsZero() && s.GetEnded() != nil && s.GetEnded().AsTime().Before(o.since) {
		return false
	}
	return o.stage == "" || s.GetStage() == o.stage
}

// printLog prints a step's output under a line that names it; steps without output only where their stage or run was asked for, or they failed.
func (c *cli) printLog(ctx context.Context, cl *client, r ref, s *gatewayv1.StepView, o logOptions) error {
	wrote := s.GetStdoutDigest() != "" || s.GetStderrDigest() != ""
	if c.output == "table" && (wrote || s.GetBad() || o.stage != "" || o.run > 0) {
		outcome := s.GetOutcome()
		if outcome == "" {
			outcome = s.GetState()
		}
		fmt.Fprintln(c.out, strings.TrimRight(fmt.Sprintf("==== %s %s %s", s.GetStep(), outcome, clean(s.GetText())), " "))
	}
	for _, stream := range []struct{ name, digest string }{{"stdout", s.GetStdoutDigest()}, {"stderr", s.GetStderrDigest()}} {
		if stream.digest == "" {
			continue
		}
		var b bytes.Buffer
		if err := cl.read(ctx, r.ideaName()+"/blobs/"+stream.digest, &b); err != nil {
			return err
		}
		lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
		if o.tail > 0 && len(lines) > o.tail {
			lines = lines[len(lines)-o.tail:]
		}
		for _, l := range lines {
			l = strings.ToValidUTF8(l, "\uFFFD")
			if c.output == "table" {
				fmt.Fprintln(c.out, stripControl(l))
				continue
			}
			idea := r.idea
			if idea == "" {
				idea = "_"
			}
			j, err := protojson.Marshal(&gatewayv1.LogLine{Idea: idea, Step: s.GetStep(), Stream: stream.name, Text: l})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.out, "%s\n", j)
		}
	}
	return nil
}

// printNovelty prints what the check asked and found, which no program wrote.
func (c *cli) printNovelty(n *gatewayv1.NoveltyView) {
	if c.output != "table" {
		return
	}
	if n.GetExplanation() != "" {
		fmt.Fprintln(c.out, clean(n.GetExplanation()))
	}
	for _, q := range n.GetQueries() {
		fmt.Fprintln(c.out, "asked for:", clean(q))
	}
	for _, p := range n.GetNearest() {
		fmt.Fprintln(c.out, "near:", clean(p))
	}
}

func stripControl(s string) string {
	return strings.Map(func(r rune) rune {
		if (r < 32 && r != '\t') || r == 127 {
			return -1
		}
		return r
	}, s)
}

func (c *cli) eventsCommand() *cobra.Command {
	var follow, journal bool
	var since string
	cmd := &cobra.Command{
		Use: "events NAME", Short: "Print a study's or idea's events; -f goes on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := timeOf(since)
			if err != nil {
				return err
			}
			o := watchOptions{journal: journal, jobs: true, since: from}
			return c.with(cmd.Context(), func(cl *client) error { return c.events(cmd.Context(), cl, args[0], follow, o) })
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until it ends")
	cmd.Flags().BoolVar(&journal, "journal", false, "with the journal's own events (-o jsonl shows them)")
	cmd.Flags().StringVar(&since, "since", "", "only later ones: 10m, or a time like 2026-05-01T12:00:00Z")
	return cmd
}

func (c *cli) events(ctx context.Context, cl *client, name string, follow bool, o watchOptions) error {
	r, err := cl.find(ctx, name)
	if err != nil {
		return err
	}
	if follow {
		return c.watch(ctx, cl, r, o)
	}
	return c.replay(ctx, cl, r, o)
}

// replay shows the events that there are.
func (c *cli) replay(ctx context.Context, cl *client, r ref, o watchOptions) error {
	wctx, cancel := context.WithTimeout(ctx, 2*time.Second) // what is there comes at once
	defer cancel()
	err := c.watchOnce(wctx, cl, r, o, new(string))
	// The server ends a call a little before its deadline, when ours has not passed yet.
	if over := wctx.Err() != nil || errors.Is(err, context.DeadlineExceeded); err != nil && (!over || ctx.Err() != nil) && !errors.Is(err, errSettled) {
		return err
	}
	return nil
}
