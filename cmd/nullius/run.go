package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/services/ideation"
)

// runFlags are the settings of a study as flags.
type runFlags struct {
	settings  gatewayv1.StudySettings
	budget    float64
	ideasFile string
	detach    bool
	dryRun    bool
	results   string
}

// maxBudget is the largest --budget in dollars; accounts are kept in 1e-12 dollars, in 64 bits.
const maxBudget = 1e6

func (c *cli) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use: "run TEMPLATE", Short: "Start a study on a template and watch it", Args: cobra.ExactArgs(1),
		Example: "  nullius run templates/double_descent --ideas 2 --model openai/gpt-4o\n  nullius run ./my_template --model openai-compatible/qwen3@http://localhost:8000/v1",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0], f) },
	}
	fl, s := cmd.Flags(), &f.settings
	fl.StringVar(&s.Model, "model", "", "model of all roles, for example openai/gpt-4o, ollama/qwen3, openai-compatible/NAME@URL, recording/PATH")
	fl.StringVar(&s.IdeasModel, "ideas-model", "", "model of ideas and of their novelty check")
	fl.StringVar(&s.FiguresModel, "figures-model", "", "model of plots and what is said of them (default the coder's)")
	fl.StringVar(&s.CoderModel, "coder-model", "", "model of the coder")
	fl.StringVar(&s.PlanModel, "plan-model", "", "model that plans the runs")
	fl.StringVar(&s.WriterModel, "writer-model", "", "model of the writer")
	fl.StringArrayVar(&s.ReviewModels, "review-model", nil, "model of the reviewers; repeatable, taken in turn")
	fl.Int32Var(&s.Ideas, "ideas", 0, "ideas to generate (default 1, or 0 with --ideas-file)")
	fl.Int32Var(&s.Parallel, "parallel", 0, "ideas in flight (default 2)")
	fl.StringVar(&s.Engine, "engine", "", "literature: auto, semanticscholar, openalex, arxiv, local (default auto)")
	fl.Float64Var(&f.budget, "budget", 0, "dollars for the study; 0: no limit")
	fl.Int64Var(&s.BudgetTokens, "budget-tokens", 0, "tokens for the study; 0: no limit")
	fl.BoolVar(&s.AllowUnpriced, "allow-unpriced", false, "allow models without a price under --budget")
	fl.StringArrayVar(&s.Gates, "gate", nil, "stage that waits for approval; repeatable")
	fl.StringArrayVar(&s.Skip, "skip", nil, "stage to leave out; repeatable")
	fl.StringVar(&s.Until, "until", "", "last stage")
	fl.StringVar(&f.ideasFile, "ideas-file", "", "ideas.json with ideas to run")
	fl.BoolVar(&s.Improvement, "improvement", false, "revise the paper by its review, and review it again")
	fl.StringVar(&s.Reviewer, "reviewer", "", "another reviewer: dns:///HOST:PORT")
	fl.StringVar(&s.Size, "size", "", "smoke, lite or full (default the template's)")
	fl.Int32Var(&s.MaxRuns, "max-runs", 0, "runs of an idea (default 5)")
	fl.BoolVar(&s.FreshBaseline, "fresh-baseline", false, "measure run_0 though the template brings one")
	fl.BoolVar(&s.OpenEnded, "open-ended", false, "let each new idea see how earlier ones were reviewed")
	fl.StringVar(&s.Undecided, "undecided", "", "what an undecided novelty leads to: go_on (default) or reject")
	fl.StringArrayVar(&s.Authors, "author", nil, "author named in the paper; repeatable")
	fl.BoolVar(&f.dryRun, "dry-run", false, "make the checks and tell the steps, what they may cost and the cap; start nothing")
	fl.BoolVar(&f.detach, "detach", false, "start the study on a server and return")
	fl.StringVar(&f.results, "results", "results", "folder that gets the result folders")
	return cmd
}

func (c *cli) run(ctx context.Context, template string, f *runFlags) error {
	if !(f.budget >= 0 && f.budget <= maxBudget) { // NaN is neither
		return usage("--budget %g: dollars from 0 to %g are allowed", f.budget, maxBudget)
	}
	f.settings.BudgetPicoDollars = int64(f.budget * 1e12)
	var own []*recordv1.Idea
	if f.ideasFile != "" {
		var err error
		if own, err = readIdeas(f.ideasFile); err != nil {
			return err
		}
	}
	if f.settings.Model == "" {
		return usage("--model is needed: openai/gpt-4o, ollama/NAME, openai-compatible/NAME@URL or recording/PATH")
	}
	if f.dryRun {
		return c.dryRun(ctx, template, &f.settings, len(own))
	}
	src, err := c.findSource(ctx, template)
	if err != nil {
		return err
	}
	defer func() { _ = src.remove() }()
	return c.hosted(ctx, f.detach, func(cl *client, local bool) error {
		study, err := c.start(ctx, cl, src, f, own)
		if err != nil {
			return err
		}
		if f.detach {
			fmt.Fprintln(c.out, study)
			return nil
		}
		return c.follow(ctx, cl, study, src.name, f.results, local)
	})
}

// hosted gives f a client of the server at --address, or of one in this process when none answers there.
func (c *cli) hosted(ctx context.Context, needServer bool, f func(cl *client, local bool) error) error {
	if reachable(c.address) || needServer || c.grpcurl != nil {
		return c.with(ctx, func(cl *client) error { return f(cl, false) })
	}
	c.err = &shared{own: c.err, now: c.err}
	ctx, release := c.untilSignal(ctx, false) // Ctrl-C closes the view first
	defer release()
	if c.dataDir == "" {
		c.dataDir = process.DefaultDataDir()
	}
	log, file, err := c.hostedLog(c.dataDir)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	s, err := startSuite(ctx, suiteConfig{DataDir: c.dataDir, Listen: c.address, Log: log})
	if err != nil {
		return err
	}
	if s.weak != nil {
		return errors.Join(s.weak, s.host.Stop())
	}
	c.address = s.gateway.Address() // port 0 has become a real one
	fmt.Fprintf(c.err, "serving on http://%s, data in %s, log in %s\n", c.address, s.dataDir, logName)
	cl, err := dial(s.gateway.Address())
	if err != nil {
		return errors.Join(err, s.host.Stop())
	}
	err = f(cl, true)
	return errors.Join(err, cl.conn.Close(), s.host.Stop())
}

// start uploads what is needed and starts the study.
func (c *cli) start(ctx context.Context, cl *client, src source, f *runFlags, own []*recordv1.Idea) (string, error) {
	if src.explicit {
		src = c.besideAdded(ctx, cl, src)
	}
	added := (*gatewayv1.Template)(nil)
	if src.bundled && !src.explicit { // looked for again: the server may run only now
		added = cl.added(ctx, src.name)
	}
	if added != nil {
		c.noteAdded(added, src.name)
	} else {
		up, err := cl.upload(ctx, src)
		if err != nil {
			return "", err
		}
		for _, w := range up.GetWarnings() {
			fmt.Fprintln(c.err, "warning:", w.GetText())
		}
	}
	recordedSearches := false
	for _, m := range []*string{&f.settings.Model, &f.settings.IdeasModel, &f.settings.CoderModel, &f.settings.PlanModel, &f.settings.FiguresModel, &f.settings.WriterModel} {
		if path, ok := strings.CutPrefix(*m, "recording/"); ok && len(path) != 64 {
			var err error
			if *m, err = cl.uploadRecording(ctx, path); err != nil {
				return "", err
			}
			index, err := os.ReadFile(filepath.Join(path, "index.jsonl"))
			if err != nil {
				return "", err
			}
			recordedSearches = recordedSearches || bytes.Contains(index, []byte(`"kind":"literature"`)) || bytes.Contains(index, []byte(`"kind": "literature"`))
		}
	}
	if f.settings.Engine == "" && strings.HasPrefix(f.settings.Model, "recording/") {
		f.settings.Engine = "local" // a replay asks nobody outside
		if recordedSearches {
			f.settings.Engine = f.settings.Model
		}
	}
	st, err := cl.StartStudy(ctx, &gatewayv1.StartStudyRequest{Template: "templates/" + src.name, Settings: &f.settings, OwnIdeas: own, RequestId: uuid.NewString()})
	if err != nil {
		return "", err
	}
	for _, w := range st.GetStudy().GetWarnings() {
		fmt.Fprintln(c.err, "warning:", w.GetText())
	}
	return strings.TrimPrefix(st.GetStudy().GetName(), "studies/"), nil
}

// follow watches a study to its end, writes the result folders and reports. The first Ctrl-C closes the view.
func (c *cli) follow(ctx context.Context, cl *client, study, template, results string, local bool) error {
	fmt.Fprintf(c.err, "study %s: http://%s/studies/%s\n", study, c.address, study)
	view, closeView := signal.NotifyContext(ctx, os.Interrupt)
	told, err := c.show(view, cl, ref{study: study}, watchOptions{})
	if view.Err() != nil && ctx.Err() == nil {
		defer closeView() // the next Ctrl-C is waited for before this one is forgotten
		return c.viewClosed(ctx, cl, study, template, results, local)
	}
	closeView()
	if err != nil {
		return err
	}
	return c.finish(ctx, cl, study, template, results, told)
}

func (c *cli) viewClosed(ctx context.Context, cl *client, study, template, results string, local bool) error {
	if !local {
		fmt.Fprintf(c.err, "view closed; study %s goes on. nullius watch %s\n", study, study)
		return exit(exitInterrupted)
	}
	fmt.Fprintf(c.err, "view closed; study %s goes on in this process. Ctrl-C again stops it in order; nullius serve continues it.\n", study)
	again, release := c.untilSignal(ctx, true)
	defer release()
	if err := c.watch(again, cl, ref{study: study}, watchOptions{quiet: true}); err != nil {
		return err
	}
	return c.finish(ctx, cl, study, template, results, nil)
}

// finish writes the result folders and says where they are. told has the ideas whose end a tree has told; nil: there was none.
func (c *cli) finish(ctx context.Context, cl *client, study, template, results string, told map[string]bool) error {
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + study})
	if err != nil {
		return err
	}
	st := got.GetStudy()
	for _, i := range st.GetIdeas() {
		if i.GetState() == gatewayv1.IdeaState_WAITING {
			continue
		}
		dir, err := c.writeResults(ctx, cl, i.GetName(), template, results)
		if err != nil {
			return err
		}
		c.sayEnd(ctx, cl, i, told)
		c.sayPaths(dir)
	}
	if told == nil {
		c.say("\n%s  %s  %s\n", study, st.GetState(), st.GetMessage())
		if st.GetState() == gatewayv1.IdeaState_FAILED {
			c.sayStudyFailure(ctx, cl, st)
		}
	}
	return outcomeOfStudy(st)
}

// sayEnd says how an idea ended, unless a tree has told that.
func (c *cli) sayEnd(ctx context.Context, cl *client, i *gatewayv1.IdeaSummary, told map[string]bool) {
	id := i.GetName()[strings.LastIndex(i.GetName(), "/")+1:]
	if told[id] {
		c.say("\n%s\n", id)
		return
	}
	c.say("\n%s  %s  %s\n", id, i.GetState(), i.GetTitle())
	if i.GetMessage() != "" {
		c.say("  %s\n", i.GetMessage())
	}
	switch {
	case i.GetState() == gatewayv1.IdeaState_FAILED:
		study, _, _ := strings.Cut(strings.TrimPrefix(i.GetName(), "studies/"), "/")
		c.sayFailure(ctx, cl, ref{study, id}, i.GetNext())
	case i.GetNext() != "":
		c.say("  next: %s\n", i.GetNext())
	}
}

func (c *cli) say(format string, a ...any) { fmt.Fprintf(c.out, format, a...) }

func (c *cli) sayPaths(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		n := e.Name()
		if strings.HasSuffix(n, ".pdf") || strings.HasPrefix(n, "review") && strings.HasSuffix(n, ".txt") || n == "report.md" || n == "verification.json" {
			c.say("  %s\n", filepath.Join(dir, n))
		}
	}
}

// writeResults downloads an idea's result folder; an existing one is never overwritten.
func (c *cli) writeResults(ctx context.Context, cl *client, idea, template, results string) (string, error) {
	got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: idea})
	if err != nil {
		return "", err
	}
	name := got.GetIdea().GetRecord().GetName()
	if name == "" {
		name = idea[strings.LastIndex(idea, "/")+1:]
	}
	at := got.GetIdea().GetSummary().GetCreated().AsTime().Local().Format("20060102_150405")
	dir := filepath.Join(results, template, at+"_"+name)
	for n := 2; ; n++ {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		dir = filepath.Join(results, template, at+"_"+name+"-"+strconv.Itoa(n))
	}
	return dir, cl.download(ctx, idea, dir)
}

func (c *cli) demoCommand() *cobra.Command {
	f := &runFlags{}
	var recording, template string
	cmd := &cobra.Command{
		Use: "demo", Short: "Replay the shipped recording: a whole study without a model or network", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			fmt.Fprintln(c.err, "Demo: the model's answers are recorded. Experiments, plots, LaTeX and checks run now; every number comes from these runs.")
			if c.dataDir == "" {
				dir, err := os.MkdirTemp("", "nullius-demo-*")
				if err != nil {
					return err
				}
				c.dataDir = dir
				defer func() { _ = os.RemoveAll(dir) }()
			}
			if c.address == "127.0.0.1:7700" && reachable(c.address) {
				c.address = "127.0.0.1:0" // a server is running: the demo is a fresh one of its own
			}
			dir, name, remove, err := templateFolder(template)
			if err != nil {
				return err
			}
			defer func() { _ = remove() }()
			f.settings.Model = "recording/" + recording
			if recording == "" {
				f.settings.Model = "recording/" + filepath.Join(dir, "recording")
			}
			f.settings.Improvement = true
			return c.hosted(ctx, false, func(cl *client, local bool) error {
				study, err := c.start(ctx, cl, source{dir: dir, name: name, bundled: !isFolder(template), explicit: !isFolder(template)}, f, nil)
				if err != nil {
					return err
				}
				return c.follow(ctx, cl, study, name, f.results, local)
			})
		},
	}
	cmd.Flags().StringVar(&template, "template", "double_descent", "bundled template with a recording")
	cmd.Flags().StringVar(&recording, "recording", "", "another recording's folder")
	cmd.Flags().Int32Var(&f.settings.Ideas, "ideas", 2, "ideas of the recording")
	cmd.Flags().StringVar(&f.results, "results", "results", "folder that gets the result folders")
	return cmd
}

func (c *cli) serveCommand() *cobra.Command {
	var listen string
	var insecure bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve everything in this process: gRPC, REST and pages on one port", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("address") {
				return usage("--address is a server to talk to; serve --listen %s serves there", c.address)
			}
			ctx, release := c.untilSignal(cmd.Context(), true)
			defer release()
			s, err := startSuite(ctx, suiteConfig{DataDir: c.dataDir, Listen: listen, Insecure: insecure, Log: newLogger(c.logLevel)})
			if err != nil {
				return err
			}
			c.banner(s)
			return s.host.Wait(ctx)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:7700", "HOST:PORT")
	cmd.Flags().BoolVar(&insecure, "insecure", false, "listen beyond this machine without authentication")
	cmd.AddCommand(c.serveNATSCommand())
	return cmd
}

func (c *cli) banner(s *suite) {
	level := "none"
	if s.box != nil {
		level = levelText(s.box.Probe())
	}
	if s.weak != nil {
		level = "none, experiments are refused: " + s.weak.Error()
	}
	traces := cmp.Or(telemetry.Target(), "nullius trace only")
	fmt.Fprintf(c.err, "nullius %s\n  address      http://%s (gRPC, REST, pages)\n  data         %s\n  persistence  JetStream, every write synced, quota %d GiB\n  sandbox      %s\n  traces       %s\n",
		app.Version(), s.gateway.Address(), s.dataDir, s.nats.Quota()>>30, level, traces)
}

// readIdeas reads AI-Scientist's ideas.json: a list, or one object; fields that are not ours are kept.
func readIdeas(path string) ([]*recordv1.Idea, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "FILE_UNKNOWN", "%s cannot be read", path).WithNext("nullius run --ideas-file ideas.json")
	}
	ideas, err := ideation.ReadIdeas(data)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "%s: %s", path, err)
	}
	return ideas, nil
}

func ideaOf(m map[string]any) *recordv1.Idea {
	text := func(k string) string { s, _ := m[k].(string); return s }
	num := func(k string) int32 {
		switch v := m[k].(type) {
		case float64:
			return int32(v)
		case string:
			n, _ := strconv.Atoi(v)
			return int32(n)
		}
		return 0
	}
	idea := &recordv1.Idea{
		Name: text("Name"), Title: text("Title"), Experiment: text("Experiment"), Interestingness: num("Interestingness"), Feasibility: num("Feasibility"),
		Novelty: num("Novelty"), Hypothesis: text("Hypothesis"), Risks: text("Risks"),
	}
	runs, _ := m["PlannedRuns"].([]any)
	for _, r := range slices.Clone(runs) {
		switch v := r.(type) {
		case string:
			idea.PlannedRuns = append(idea.PlannedRuns, &recordv1.PlannedRun{Change: v})
		case map[string]any:
			s := func(keys ...string) string {
				for _, k := range keys {
					if t, ok := v[k].(string); ok {
						return t
					}
				}
				return ""
			}
			idea.PlannedRuns = append(idea.PlannedRuns, &recordv1.PlannedRun{Name: s("name", "Name"), Change: s("change", "Change"), Expected: s("expected", "Expected")})
		}
	}
	return idea
}
