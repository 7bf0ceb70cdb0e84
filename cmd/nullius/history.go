package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// gitHistory makes a git repository of an idea: a commit a step, its result folder last. It writes to a new folder only and asks git for no
// configuration of the user's that would change the commits or the files.
func (c *cli) gitHistory(ctx context.Context, cl *client, r ref, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return usage("%s exists; nothing is overwritten", dir)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return fault.New(fault.Precondition, "TOOL_MISSING", "git is not installed").WithNext("apt-get install git")
	}
	if err := makeFolder(dir); err != nil {
		return err
	}
	run := func(feed func(io.Writer) error, args ...string) error {
		cmd := exec.CommandContext(ctx, git, append([]string{"-C", dir, "-c", "core.autocrlf=false", "-c", "core.hooksPath=" + os.DevNull}, args...)...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		// What git sets for its hooks would lead to another repository.
		own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
		cmd.Env = append(own, "GIT_DIR=.git", "GIT_WORK_TREE=.", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		var fed error
		if feed != nil {
			fed = feed(in)
		}
		err = errors.Join(in.Close(), cmd.Wait())
		switch {
		case err != nil && said.Len() > 0:
			return fmt.Errorf("git %s: %w: %s", args[0], err, clean(said.String()))
		case fed != nil:
			return fed
		}
		return err
	}
	if err := run(nil, "init", "-q", "--template=", "--object-format=sha1", "--initial-branch=main"); err != nil {
		return err
	}
	history := func(w io.Writer) error { return cl.read(ctx, r.name()+"/history/git-fast-import", w) }
	if err := run(history, "fast-import", "--quiet", "--done"); err != nil {
		return err
	}
	if err := run(nil, "reset", "-q", "--hard", "main"); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: git -C %s log --stat shows the steps\n", dir, dir)
	return nil
}

func (c *cli) diffCommand() *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use: "diff IDEA [STEP]", Short: "Show what the coder changed and how its edits were read, in one step or in all", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.withIdea(ctx, args[0], func(cl *client, r ref) error {
				got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
				if err != nil {
					return err
				}
				found := false
				for _, s := range got.GetIdea().GetSteps() {
					if (s.GetDiffDigest() == "" && s.GetReportDigest() == "") || (len(args) == 2 && !strings.HasSuffix(s.GetStep(), args[1])) {
						continue
					}
					found = true
					if err := c.printDiff(ctx, cl, r, s, bare); err != nil {
						return err
					}
				}
				if !found && len(args) == 2 {
					return fault.New(fault.NotFound, "FILE_UNKNOWN", "%s has no step %q of the coder", r, args[1]).WithNext("nullius show " + r.String())
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&bare, "no-report", false, "the diffs alone")
	return cmd
}

// printDiff prints a step's report as lines that git apply and patch pass over, then its diff.
func (c *cli) printDiff(ctx context.Context, cl *client, r ref, s *gatewayv1.StepView, bare bool) error {
	fmt.Fprintf(c.out, "# %s: %s %s\n", s.GetStep(), s.GetOutcome(), clean(s.GetText()))
	if d := s.GetReportDigest(); d != "" && !bare {
		var b bytes.Buffer
		if err := cl.read(ctx, r.name()+"/blobs/"+d, &b); err != nil {
			return err
		}
		var rep editReport
		if err := json.Unmarshal(b.Bytes(), &rep); err != nil {
			return fmt.Errorf("the report of %s: %w", s.GetStep(), err)
		}
		for _, l := range rep.lines() {
			fmt.Fprintln(c.out, "#   "+clean(l))
		}
	}
	if d := s.GetDiffDigest(); d != "" {
		return cl.read(ctx, r.name()+"/blobs/"+d, c.out)
	}
	return nil
}

// editReport is what the coder's report says of each reply, as far as it is shown.
type editReport struct {
	Rounds []struct {
		Call    int    `json:"call"`
		Finish  string `json:"finish"`
		Status  string `json:"status"`
		Problem string `json:"problem"`
		Blocks  []struct {
			Number int      `json:"number"`
			Format string   `json:"format"`
			Path   string   `json:"path"`
			Status string   `json:"status"`
			Rungs  []string `json:"rungs"`
			At     int      `json:"at"`
			Cause  string   `json:"cause"`
		} `json:"blocks"`
		Warnings []string `json:"warnings"`
		Checks   []string `json:"checks"`
	} `json:"rounds"`
}

func (r editReport) lines() (out []string) {
	for _, n := range r.Rounds {
		l := fmt.Sprintf("reply %d: %s", n.Call, n.Status)
		if n.Problem != "" {
			l += ": " + n.Problem
		}
		out = append(out, l)
		for _, b := range n.Blocks {
			l := fmt.Sprintf("  %s %d, %s: %s", b.Format, b.Number, b.Path, b.Status)
			if b.At > 0 {
				l += fmt.Sprintf(" at line %d", b.At)
			}
			if len(b.Rungs) > 0 {
				l += " by " + strings.Join(b.Rungs, ", ")
			}
			if b.Cause != "" {
				l += ": " + b.Cause
			}
			out = append(out, l)
		}
		for _, w := range n.Warnings {
			out = append(out, "  warning: "+w)
		}
		for _, w := range n.Checks {
			out = append(out, "  check: "+w)
		}
	}
	return out
}
