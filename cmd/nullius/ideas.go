package main

import (
	"os"

	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/services/ideation"
)

// ideasCommand writes a study's ideas in AI-Scientist's form; run --ideas-file and submit read it.
func (c *cli) ideasCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "ideas STUDY", Short: "Write a study's ideas as ideas.json, with verdicts and scores", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				r, err := cl.find(ctx, args[0])
				if err != nil {
					return err
				}
				got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + r.study})
				if err != nil {
					return err
				}
				var ideas []*recordv1.Idea
				novel := map[int]bool{}
				for _, s := range got.GetStudy().GetIdeas() {
					i, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: s.GetName()})
					if err != nil {
						return err
					}
					rec := i.GetIdea().GetRecord()
					if sum := i.GetIdea().GetSummary(); sum.Score != nil {
						score := sum.GetScore()
						rec.Score = &score
					}
					switch i.GetIdea().GetNovelty().GetVerdict() {
					case "NOVEL":
						novel[len(ideas)] = true
					case "NOT_NOVEL":
						novel[len(ideas)] = false
					}
					ideas = append(ideas, rec)
				}
				text := ideation.WriteIdeas(ideas, novel)
				if file != "" {
					if err := os.WriteFile(file, text, 0o644); err != nil {
						return fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "%s cannot be written: %s", file, plainly(err)).WithNext("nullius ideas " + args[0] + " --file FILE")
					}
					return nil
				}
				_, err = c.out.Write(text)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "file to write (default stdout)")
	return cmd
}
