package pipeline

import (
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// ReviewStep asks for a review of a paper; the driver picks the input by what the reviewer accepts, and fills it in.
type ReviewStep struct {
	Request *reviewerv1.ReviewPaperRequest // without paper
	Paper   *writerv1.Paper
	Runs    []*recordv1.Run
}

const (
	plotLimit    = 600 * time.Second
	defaultLimit = 2 * time.Hour
)

// jobEnv is the environment of every job; the template's own wins (templates.md section 1.2).
func jobEnv(f *gatewayv1.TemplateFacts, size string) map[string]string {
	env := map[string]string{
		"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
		"MPLBACKEND": "Agg", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "LC_ALL": "C.UTF-8", "TZ": "UTC",
	}
	maps.Copy(env, f.GetEnv())
	if size != "" {
		env["NULLIUS_SIZE"] = size
	}
	return env
}

// size is the study's fixed size of experiments; empty: the template has none.
func (c *Core) size() string {
	if s := c.Settings.GetSize(); s != "" {
		return s
	}
	return c.Template.GetFacts().GetSize()
}

func (c *Core) pool() string {
	if p := c.Settings.GetPool(); p != "" {
		return p
	}
	if p := c.Template.GetFacts().GetPool(); p != "" {
		return p
	}
	return "cpu"
}

func (c *Core) timeLimit() time.Duration {
	if s := c.Template.GetFacts().GetTimeLimitSeconds(); s > 0 {
		return time.Duration(s) * time.Second
	}
	return defaultLimit
}

// job is what all jobs of a study have in common.
func (c *Core) job(id, study, idea, step, tree, size string) *executorv1.Job {
	f := c.Template.GetFacts()
	j := &executorv1.Job{
		JobId: id, Labels: map[string]string{"study": study, "idea": idea, "step": step}, Pool: c.pool(), Snapshot: tree,
		Env: jobEnv(f, size), Size: size,
		Environment: &executorv1.Environment{Modules: f.GetModules(), Requirements: f.GetRequirements(), SystemPackages: f.GetSystemPackages()},
		Mount:       "results/" + c.Template.GetName() + "/" + idea,
	}
	if j.GetPool() == "gpu" {
		j.Gpu = &executorv1.Gpu{Count: 1}
	}
	return j
}

func (c *Core) experimentJob(id, study, idea, step, tree, outDir, size string, limit time.Duration) *executorv1.Job {
	j := c.job(id, study, idea, step, tree, size)
	j.Argv = []string{"python", "experiment.py", "--out_dir=" + outDir}
	j.OutDir = outDir
	if c.Template.GetFacts().GetForeign() {
		j.Writable = []string{"."}
	}
	j.Protected = c.protected()
	j.Limits = &executorv1.Limits{Wall: durationpb.New(limit)}
	return j
}

// protected are the files that no run may touch; the run's own folder is never among them.
func (c *Core) protected() []string {
	return append([]string{"run_*/**", "prompt.json", "seed_ideas.json", "ideas.json", "latex/**"}, c.Template.GetFacts().GetProtected()...)
}

func (w *Walk) runJob(n int32, tree string, smoke bool) func(string) any {
	return func(full string) any {
		s := w.s
		step := full[len(s.Study)+len(s.ID)+2:]
		if smoke {
			return s.experimentJob(full, s.Study, s.ID, step, tree, fmt.Sprintf("smoke_%d", n), "smoke", s.smokeLimit())
		}
		j := s.experimentJob(full, s.Study, s.ID, step, tree, fmt.Sprintf("run_%d", n), s.size(), s.timeLimit())
		j.Measure = true
		return j
	}
}

func (w *Walk) plotJob(tree string) func(string) any {
	return func(full string) any {
		s := w.s
		j := s.job(full, s.Study, s.ID, full[len(s.Study)+len(s.ID)+2:], tree, s.size())
		j.Pool, j.Gpu = "cpu", nil
		j.Argv = []string{"python", "plot.py"}
		j.Writable = []string{"."}
		j.Outputs = []*executorv1.Output{{Glob: "*.png"}, {Glob: "*.pdf"}}
		j.Protected = s.protected()
		j.Limits = &executorv1.Limits{Wall: durationpb.New(plotLimit)}
		return j
	}
}

func (w *Walk) primary() *recordv1.Metric {
	p := w.s.Template.GetFacts().GetPrimary()
	if own := w.s.Record.GetPrimaryMetric(); own.GetName() != "" {
		for _, m := range w.s.Baseline.GetMeasurements() { // only one that is really measured
			if m.GetMetric() == own.GetName() && (own.GetDataset() == "" || own.GetDataset() == m.GetDataset()) {
				return own
			}
		}
	}
	return p
}

// runsSoFar copies the runs, so that a request keeps what was true when it was made.
func (w *Walk) runsSoFar() []*recordv1.Run {
	out := make([]*recordv1.Run, len(w.Runs))
	for i, r := range w.Runs {
		out[i] = proto.Clone(r).(*recordv1.Run)
	}
	return out
}

func (w *Walk) frame(step, tree, command string) *coderv1.Frame {
	s, f := w.s, w.s.Template.GetFacts()
	return &coderv1.Frame{
		Step: step, Snapshot: tree, Idea: s.Record, Model: or(s.Settings.GetCoderModel(), s.Settings.GetModel()),
		PlanModel: s.Settings.GetPlanModel(), Editable: f.GetEditable(), Protected: f.GetProtected(), TaskDescription: f.GetTaskDescription(),
		Command: command, TimeLimit: human(s.timeLimit()), Hardware: hardware(s.pool()), Modules: f.GetModules(), Runs: w.runsSoFar(), Plan: w.Plan,
		History: append([]*coderv1.Exchange(nil), w.History...), Counts: proto.Clone(w.Counts).(*coderv1.Counts), Primary: w.primary(),
	}
}

func (w *Walk) implementRequest(n int) func(string) any {
	return func(full string) any {
		return &coderv1.ImplementRunRequest{Frame: w.frame(full, w.Tree, runCommand(n)), Number: int32(n), MaxRuns: int32(w.maxRuns())}
	}
}

func runCommand(n int) string { return fmt.Sprintf("python experiment.py --out_dir=run_%d", n) }

func (w *Walk) repairRequest(run *recordv1.Run, tree string, f *coderv1.Failure, earlier []*coderv1.Failure, left int) func(string) any {
	return func(full string) any {
		return &coderv1.RepairRunRequest{
			Frame: w.frame(full, tree, runCommand(int(run.GetNumber()))), Number: run.GetNumber(), GoodSnapshot: w.Tree, Failure: f,
			Earlier: append([]*coderv1.Failure(nil), earlier...), TriesLeft: int32(left),
		}
	}
}

func (w *Walk) plotsRequest(tree string, f *coderv1.Failure) func(string) any {
	return func(full string) any {
		return &coderv1.ImplementPlotsRequest{Frame: w.figuresFrame(full, tree), Failure: f}
	}
}

// figuresFrame is a frame for work on figures, which may have a model of its own.
func (w *Walk) figuresFrame(step, tree string) *coderv1.Frame {
	f := w.frame(step, tree, "python plot.py")
	f.Model = or(w.s.Settings.GetFiguresModel(), f.GetModel())
	return f
}

// describeRequest asks for notes about run n, or about the figures when n is 0.
func (w *Walk) describeRequest(n int32) func(string) any {
	return func(full string) any {
		r := &coderv1.DescribeResultsRequest{Frame: w.frame(full, w.Tree, runCommand(int(n))), Number: n}
		if n == 0 {
			r.Frame = w.figuresFrame(full, w.Tree)
			for _, f := range w.Figures {
				r.Figures = append(r.Figures, proto.Clone(f).(*recordv1.Figure))
			}
		}
		return r
	}
}

func (w *Walk) noveltyRequest(full string) any {
	s := w.s
	return &ideationv1.AssessNoveltyRequest{
		Step: full, Idea: s.Record, Snapshot: s.Template.GetSnapshot(), Model: or(s.Settings.GetIdeasModel(), s.Settings.GetModel()), Engine: s.Settings.GetEngine(),
		TaskDescription: s.Template.GetFacts().GetTaskDescription(),
	}
}

func (w *Walk) record() *writerv1.Record {
	s, f := w.s, w.s.Template.GetFacts()
	var lit []*literaturev1.Paper
	if w.Novelty != nil {
		lit = w.Novelty.GetPapers()
	}
	metrics := f.GetMetrics()
	if p := w.primary(); p != nil {
		metrics = append([]*recordv1.Metric{p}, metrics...)
	}
	return &writerv1.Record{
		Idea: s.Record, Runs: w.runsSoFar(), Figures: w.Figures, Literature: lit, Metrics: metrics, TaskDescription: f.GetTaskDescription(),
		Template: s.Template.GetName(), Created: timestamppb.New(s.Created), TraceId: TraceID(s.Trace), PairedSeeds: f.GetPairedSeeds(),
	}
}

func (w *Walk) writerSettings() *writerv1.Settings {
	st := w.s.Settings
	return &writerv1.Settings{
		Model: or(st.GetWriterModel(), st.GetModel()), Engine: st.GetEngine(), NumCiteRounds: st.GetCiteRounds(), PageLimit: st.GetPageLimit(),
		Anonymous: st.GetAnonymous(), Authors: st.GetAuthors(),
	}
}

func (w *Walk) writeRequest(full string) any {
	return &writerv1.WritePaperRequest{Step: full, Snapshot: w.Tree, Record: w.record(), Settings: w.writerSettings()}
}

// reviseRequest is completed by the driver, which reads the review's comments from its blob.
func (w *Walk) reviseRequest(full string) any {
	return &ReviseStep{
		Request:      &writerv1.RevisePaperRequest{Step: full, Snapshot: w.Tree, Record: w.record(), Settings: w.writerSettings(), Round: 1},
		ReviewDigest: w.Review.GetReviewDigest(),
	}
}

// ReviseStep asks for a revision; the driver fills in the criticism of the named review.
type ReviseStep struct {
	Request      *writerv1.RevisePaperRequest
	ReviewDigest string
}

func (w *Walk) reviewRequest(p *writerv1.Paper) func(string) any {
	st := w.s.Settings
	models := st.GetReviewModels()
	if len(models) == 0 {
		models = []string{st.GetModel()}
	}
	return func(full string) any {
		return &ReviewStep{Paper: p, Runs: w.runsSoFar(), Request: &reviewerv1.ReviewPaperRequest{
			Step: full, Form: st.GetForm(), Models: models, Reviews: st.GetReviews(), Reflections: st.GetReviewReflections(),
			Policy: &reviewerv1.Policy{RejectUnexplainedNumbers: true},
		}}
	}
}

// TraceID is the trace of a traceparent; empty: none.
func TraceID(traceparent string) string {
	if len(traceparent) < 35 {
		return ""
	}
	return traceparent[3:35]
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func human(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func hardware(pool string) string {
	if pool == "gpu" {
		return "one GPU"
	}
	return "one CPU core, no GPU"
}

func cloneIdea(i *recordv1.Idea) *recordv1.Idea { return proto.Clone(i).(*recordv1.Idea) }
