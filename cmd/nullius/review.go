package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/gateway"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer"
)

// reviewCommand reviews a paper of the user's, without a study and a server.
func (c *cli) reviewCommand() *cobra.Command {
	req := &reviewerv1.ReviewPaperRequest{}
	var evidence string
	var exitStatus bool
	cmd := &cobra.Command{
		Use: "review PAPER", Short: "Review a paper: PDF, LaTeX, Markdown or text; - reads stdin", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(req.GetModels()) == 0 {
				return usage("--model is needed, for example openai/gpt-4o")
			}
			if evidence != "" {
				v, err := os.ReadFile(filepath.Join(evidence, "verification.json"))
				if err != nil {
					return err
				}
				req.Evidence = &reviewerv1.Evidence{VerificationJson: string(v)}
			}
			return c.review(cmd.Context(), args[0], req, exitStatus)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&req.Models, "model", nil, "model; repeatable, the reviewers take them in turn")
	f.StringVar(&req.Form, "form", "", "neurips-2022 (default) or iclr-2022")
	f.Int32Var(&req.Reviews, "reviews", 0, "independent reviews (default 5)")
	f.Int32Var(&req.Reflections, "reflections", 0, "rounds of reflection at most (default 5)")
	f.Int32Var(&req.Examples, "examples", 0, "worked examples shown to the model (default 1, negative: none)")
	f.StringVar(&evidence, "evidence", "", "folder with verification.json")
	f.BoolVar(&exitStatus, "exit-status", false, "exit 3 when the decision is Reject")
	return cmd
}

// maxPaper bounds a paper that is read from a file.
const maxPaper = 24 << 20

func (c *cli) review(ctx context.Context, name string, req *reviewerv1.ReviewPaperRequest, exitStatus bool) (err error) {
	var in io.ReadCloser = os.Stdin
	if name != "-" {
		if in, err = os.Open(name); err != nil {
			return err
		}
		defer in.Close()
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPaper+1))
	if err != nil {
		return err
	}
	if len(data) > maxPaper {
		return fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "%s is larger than 24 MiB", name)
	}
	rev, err := c.reviewLocally(ctx, name, data, req)
	if err != nil {
		return err
	}
	if err := c.writeReview(name, rev); err != nil {
		return err
	}
	if exitStatus && rev.GetDecision() != reviewerv1.Decision_ACCEPT {
		return exit(exitUnwanted)
	}
	return nil
}

// reviewLocally runs the reviewer in this process; its ledger lives as long as the command.
func (c *cli) reviewLocally(ctx context.Context, name string, data []byte, req *reviewerv1.ReviewPaperRequest) (_ *reviewerv1.Review, err error) {
	log := newLogger(c.logLevel)
	dir, err := os.MkdirTemp("", "nullius-review-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	blobs, err := store.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	for i, m := range req.GetModels() {
		if path, ok := strings.CutPrefix(m, "recording/"); ok && len(path) != 64 {
			d, err := store.PutTree(ctx, blobs, path)
			if err != nil {
				return nil, err
			}
			req.Models[i] = "recording/" + d.Hex()
		}
	}
	door, err := llm.Open(ctx, llm.Config{Component: "reviewer", SoleOwner: true}, llm.On{Blobs: blobs, Log: log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, door.Close(ctx)) }()
	deps := reviewer.Deps{Log: log, Models: door, Blobs: blobs}
	if box, err := openSandbox(ctx, log); err == nil {
		defer func() { _ = box.Close() }()
		deps.Sandbox = box
	}
	return reviewer.Local(ctx, deps, name, data, req, func(p *recordv1.Progress) {
		fmt.Fprintln(c.err, clean(p.GetPhase()+" "+p.GetDetail()))
	})
}

// writeReview prints a review and writes PAPER.review.json and .review.txt beside the paper.
func (c *cli) writeReview(name string, rev *reviewerv1.Review) error {
	if name != "-" {
		base := strings.TrimSuffix(name, filepath.Ext(name))
		j, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true}.Marshal(rev)
		if err != nil {
			return err
		}
		for path, data := range map[string][]byte{base + ".review.json": j, base + ".review.txt": gateway.ReviewText(rev)} {
			if err := os.WriteFile(path, data, os.FileMode(0o644&^callersUmask)); err != nil {
				return err
			}
		}
	}
	return c.emit(rev, func(w *tabwriter.Writer) {
		if rev.GetOutcome() != reviewerv1.Review_REVIEWED {
			fmt.Fprintf(w, "%s\t%s\n", rev.GetOutcome(), clean(rev.GetReason()))
			return
		}
		fmt.Fprintln(w, "ITEM\tSCORE\tS.D.\tRANGE\tN")
		for _, s := range rev.GetScores() {
			fmt.Fprintf(w, "%s\t%.1f\t%.2f\t%.0f to %.0f\t%d\n", s.GetItem(), s.GetValue(), s.GetStandardDeviation(), s.GetMinimum(), s.GetMaximum(), s.GetN())
		}
		fmt.Fprintf(w, "decision\t%s\t%s\n", rev.GetDecision(), clean(rev.GetDecisionReason()))
		for _, x := range rev.GetComments() {
			if x.GetStrength() {
				continue
			}
			place := ""
			if q := x.GetQuotes(); len(q) > 0 {
				if place = clean(q[0].GetPlace()); q[0].GetPage() > 0 {
					place = strings.TrimSpace(fmt.Sprintf("%s p. %d", place, q[0].GetPage()))
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", x.GetSeverity(), clean(x.GetClaim()), place)
		}
		for _, k := range rev.GetChecks() {
			fmt.Fprintf(w, "check %s\t%s\t%s\n", k.GetCheck(), k.GetResult(), clean(k.GetText()))
		}
		for _, raw := range rev.GetRaw() {
			if !raw.GetUsable() {
				fmt.Fprintf(w, "%s\tnot counted\t%s\n", raw.GetName(), clean(raw.GetReason()))
			}
		}
		for _, n := range rev.GetWarnings() {
			fmt.Fprintf(w, "note\t%s\n", clean(n.GetText()))
		}
		fmt.Fprintf(w, "read as\t%s\n", rev.GetExtraction())
	})
}
