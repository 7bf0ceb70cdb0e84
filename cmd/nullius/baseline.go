package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// baselineCommand measures run_0 through the executor: a study that stops before its first idea, so nothing is paid for.
func (c *cli) baselineCommand() *cobra.Command {
	var size string
	cmd := &cobra.Command{
		Use: "baseline DIR|NAME", Short: "Measure a template's run_0 in the sandbox", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			dir, name, remove, err := templateFolder(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = remove() }()
			if c.dataDir == "" {
				tmp, err := os.MkdirTemp("", "nullius-baseline-*")
				if err != nil {
					return err
				}
				c.dataDir, c.address = tmp, "127.0.0.1:0"
				defer func() { _ = os.RemoveAll(tmp) }()
			}
			return c.hosted(ctx, false, func(cl *client, _ bool) error {
				if _, err := cl.uploadTemplate(ctx, dir, name); err != nil {
					return err
				}
				st, err := cl.StartStudy(ctx, &gatewayv1.StartStudyRequest{Template: "templates/" + name, RequestId: uuid.NewString(), Settings: &gatewayv1.StudySettings{
					Model: "recording/" + strings.Repeat("0", 64), Skip: []string{"ideation"}, Size: size, FreshBaseline: true}})
				if err != nil {
					return err
				}
				r := ref{study: strings.TrimPrefix(st.GetStudy().GetName(), "studies/")}
				if err := c.watch(ctx, cl, r, watchOptions{quiet: true}); err != nil && !errors.Is(err, errSettled) {
					return err
				}
				got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
				if err != nil {
					return err
				}
				b := got.GetStudy().GetBaseline()
				if b == nil {
					return fault.New(fault.Precondition, "BASELINE_FAILED", "%s", got.GetStudy().GetMessage()).WithNext("nullius template check " + args[0])
				}
				return c.emit(b, func(w *tabwriter.Writer) {
					fmt.Fprintln(w, "DATASET\tMETRIC\tVALUE\tSTANDARD ERROR\tN")
					for _, m := range b.GetMeasurements() {
						se := "unknown"
						if m.StandardError != nil {
							se = fmt.Sprintf("%.4g", m.GetStandardError())
						}
						fmt.Fprintf(w, "%s\t%s\t%.6g\t%s\t%d\n", m.GetDataset(), m.GetMetric(), m.GetValue(), se, m.GetN())
					}
					fmt.Fprintf(w, "took\t%s\n", b.GetWall().AsDuration())
				})
			})
		},
	}
	cmd.Flags().StringVar(&size, "size", "", "smoke, lite or full")
	return cmd
}
