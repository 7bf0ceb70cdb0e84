package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// baselineCommand measures run_0 through the executor and compares it with what template.yaml expects.
func (c *cli) baselineCommand() *cobra.Command {
	var size string
	cmd := &cobra.Command{
		Use: "baseline DIR|NAME", Short: "Measure a template's run_0 in the sandbox", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, name, remove, err := templateFolder(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = remove() }()
			t, findings := template.Load(os.DirFS(dir), template.Options{Name: name})
			if t == nil {
				return template.Refusal(name, template.Errors(findings))
			}
			if c.dataDir == "" {
				tmp, err := os.MkdirTemp("", "nullius-baseline-*")
				if err != nil {
					return err
				}
				c.dataDir, c.address = tmp, "127.0.0.1:0"
				defer func() { _ = os.RemoveAll(tmp) }()
			}
			return c.hosted(cmd.Context(), false, func(cl *client, _ bool) error {
				b, err := c.measure(cmd.Context(), cl, dir, name, size)
				if err != nil {
					return err
				}
				return c.judgeBaseline(t, b)
			})
		},
	}
	cmd.Flags().StringVar(&size, "size", "", "smoke, lite or full")
	return cmd
}

// measure starts a study that stops before its first idea, so nothing is paid for, and gives its run_0.
func (c *cli) measure(ctx context.Context, cl *client, dir, name, size string) (*recordv1.Run, error) {
	if _, err := cl.uploadTemplate(ctx, dir, name); err != nil {
		return nil, err
	}
	st, err := cl.StartStudy(ctx, &gatewayv1.StartStudyRequest{Template: "templates/" + name, RequestId: uuid.NewString(), Settings: &gatewayv1.StudySettings{
		Model: "recording/" + strings.Repeat("0", 64), Skip: []string{"ideation"}, Size: size, FreshBaseline: true}})
	if err != nil {
		return nil, err
	}
	r := ref{study: strings.TrimPrefix(st.GetStudy().GetName(), "studies/")}
	if err := c.watch(ctx, cl, r, watchOptions{quiet: true}); err != nil && !errors.Is(err, errSettled) {
		return nil, err
	}
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
	if err != nil {
		return nil, err
	}
	b := got.GetStudy().GetBaseline()
	if b == nil {
		return nil, fault.New(fault.Precondition, "BASELINE_FAILED", "%s", got.GetStudy().GetMessage()).WithNext("nullius template check " + name)
	}
	return b, nil
}

// judgeBaseline prints the numbers beside what template.yaml expects at their size, and fails when one is not as expected.
func (c *cli) judgeBaseline(t *template.Template, b *recordv1.Run) error {
	size, values := "", map[string]float64{}
	for _, m := range b.GetMeasurements() {
		size, values[m.GetDataset()+"/"+m.GetMetric()] = m.GetSize(), m.GetValue()
	}
	err := c.emit(b, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "DATASET\tMETRIC\tVALUE\tSTANDARD ERROR\tN\tEXPECTED")
		for _, m := range b.GetMeasurements() {
			se, want := "unknown", "not told"
			if m.StandardError != nil {
				se = fmt.Sprintf("%.4g", m.GetStandardError())
			}
			if e, ok := t.Expected[size][m.GetDataset()+"/"+m.GetMetric()]; ok {
				want = e.String()
			}
			fmt.Fprintf(w, "%s\t%s\t%.6g\t%s\t%d\t%s\n", m.GetDataset(), m.GetMetric(), m.GetValue(), se, m.GetN(), want)
		}
		fmt.Fprintf(w, "took\t%s\n", b.GetWall().AsDuration())
	})
	if err != nil {
		return err
	}
	return template.Refusal(t.Name, t.CheckExpected(size, values))
}
