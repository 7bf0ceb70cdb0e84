package pipeline

import (
	"fmt"
	"path"
	"strings"
	"time"

	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// reasonProtectedTouched is the outcome of a run that changed files which no run may change.
const reasonProtectedTouched = "PROTECTED_TOUCHED"

// A smoke run ends at the latest after leastSmoke, or after slowSmoke times what the template says that it takes, since that was measured on an idle
// machine (coder.md section 9). Reaching the limit without an error passes.
const (
	leastSmoke = 90 * time.Second
	slowSmoke  = 3
)

// smokeLimit is the time limit of a smoke run.
func (c *Core) smokeLimit() time.Duration {
	return max(leastSmoke, slowSmoke*time.Duration(c.Template.GetFacts().GetSmokeSeconds())*time.Second)
}

func (w *Walk) maxRuns() int  { return orDefault(w.s.Settings.GetMaxRuns(), 5) }
func (w *Walk) maxTries() int { return orDefault(w.s.Settings.GetMaxTries(), 4) }

func orDefault(v int32, d int) int {
	if v > 0 {
		return int(v)
	}
	return d
}

func (w *Walk) experiments() {
	good := 0
	for n := 1; n <= w.maxRuns(); n++ {
		e := w.step(fmt.Sprintf("run-%d/implement", n), w.implementRequest(n)).GetEdited()
		w.note(e, fmt.Sprintf("run-%d/implement", n))
		if len(e.GetPlan()) > 0 {
			w.Plan = e.GetPlan()
		}
		if e.GetOutcome() == coderv1.Edited_FINISHED {
			w.Finished = true
			break
		}
		run := &recordv1.Run{Number: int32(n), Plan: w.planOf(n), Label: w.labelOf(n), Parent: w.lastGood()}
		w.Runs = append(w.Runs, run)
		if e.GetOutcome() != coderv1.Edited_CHANGED {
			run.Outcome, run.Reason = recordv1.Run_Outcome_SKIPPED, e.GetOutcome().String()
			if why := firstLine(e.GetFeedback()); why != "" {
				run.Reason += ": " + why
			}
			continue
		}
		if w.tries(run, e.GetSnapshot()) {
			good++
			w.notes(run)
		}
	}
	if good == 0 {
		w.fail(ReasonNoSuccessfulRun, "no run succeeded: "+w.failures())
	}
}

// tries executes a run, repairing it in between; it reports whether a try succeeded, and fills run.
func (w *Walk) tries(run *recordv1.Run, tree string) bool {
	n := run.GetNumber()
	var earlier []*coderv1.Failure
	for t := 1; t <= w.maxTries(); t++ {
		run.Tries = int32(t)
		job, smoke := w.try(n, t, tree)
		failure := w.judge(job, smoke)
		if failure == nil {
			run.Outcome, run.Snapshot, run.Measurements, run.Wall = recordv1.Run_Outcome_SUCCEEDED, job.GetSnapshot(), job.GetMeasurements(), job.GetWall()
			w.Tree = job.GetSnapshot()
			return true
		}
		run.Outcome, run.Reason, run.Snapshot = recordv1.Run_Outcome_FAILED, failureText(failure), job.GetSnapshot()
		switch job.GetEndReason() {
		case executorv1.EndReason_ENVIRONMENT, executorv1.EndReason_REJECTED:
			w.fail(job.GetEndReason().String(), job.GetMessage())
		case executorv1.EndReason_DEAD:
			return false
		}
		if t == w.maxTries() {
			break
		}
		unit := fmt.Sprintf("run-%d/repair-%d", n, t)
		e := w.step(unit, w.repairRequest(run, tree, failure, earlier, w.maxTries()-t)).GetEdited()
		w.note(e, unit)
		failure.Signature, failure.DiffDigest = e.GetSignature(), e.GetDiffDigest()
		earlier = append(earlier, failure)
		if e.GetOutcome() != coderv1.Edited_CHANGED {
			run.Reason += "; the coder made no further change"
			return false
		}
		tree = e.GetSnapshot()
	}
	return false
}

// try is one execution, with a smoke run before it where that is worth its time.
func (w *Walk) try(n int32, t int, tree string) (job *executorv1.JobResult, smoke bool) {
	if unit := fmt.Sprintf("run-%d/smoke-%d", n, t); w.smokes(unit) {
		job = w.step(unit, w.runJob(n, tree, true)).GetJob()
		if r := job.GetEndReason(); r != executorv1.EndReason_SUCCEEDED && r != executorv1.EndReason_TIMEOUT {
			return job, true
		}
	}
	return w.step(fmt.Sprintf("run-%d/execute-%d", n, t), w.runJob(n, tree, false)).GetJob(), false
}

// smokes tells whether a smoke run goes first. Without a smoke size it would be the run itself, cut: whatever it found, the run finds as soon.
func (w *Walk) smokes(unit string) bool {
	if w.s.Steps[w.s.stepName(w.Stage, unit)] != nil {
		return true // begun, perhaps by an earlier version
	}
	b := w.s.Baseline.GetWall()
	return w.s.Template.GetFacts().GetSmokeSeconds() > 0 && (b == nil || b.AsDuration() >= w.s.smokeLimit())
}

// judge says how a job failed as research, or nil for a good one.
func (w *Walk) judge(job *executorv1.JobResult, smoke bool) *coderv1.Failure {
	f := jobFailure(job, smoke)
	if smoke {
		return f
	}
	switch {
	case f != nil:
	case len(job.GetProtectedTouched()) > 0:
		f = newFailure(job, reasonProtectedTouched, "the run changed protected files: "+strings.Join(job.GetProtectedTouched(), ", "))
	case w.primaryNotFinite(job):
		f = newFailure(job, "NOT_FINITE", "the primary metric is not a finite number")
	}
	if f != nil {
		f.MissingKeys = w.missingKeys(job)
	}
	return f
}

func jobFailure(job *executorv1.JobResult, smoke bool) *coderv1.Failure {
	if job.GetEndReason() == executorv1.EndReason_SUCCEEDED {
		return nil
	}
	f := newFailure(job, job.GetEndReason().String(), job.GetMessage())
	f.Smoke = smoke
	return f
}

func newFailure(job *executorv1.JobResult, reason, message string) *coderv1.Failure {
	return &coderv1.Failure{
		EndReason: reason, ExitCode: job.GetExitCode(), Message: message,
		StdoutDigest: job.GetStdout().GetDigest(), StderrDigest: job.GetStderr().GetDigest(),
	}
}

func failureText(f *coderv1.Failure) string {
	switch {
	case f.GetMessage() == "":
		return f.GetEndReason()
	case f.GetEndReason() == executorv1.EndReason_FAILED.String():
		return f.GetMessage() // the outcome beside it says failed
	}
	return f.GetEndReason() + ": " + f.GetMessage()
}

func (w *Walk) primaryNotFinite(job *executorv1.JobResult) bool {
	return len(job.GetMeasurements()) == 0 || notFinite(w.primary(), job.GetMeasurements()) != nil
}

// notFinite finds what makes measurements useless: a primary metric that is no finite number, or the first of them when none is; nil: nothing.
func notFinite(primary *recordv1.Metric, all []*recordv1.Measurement) *recordv1.Measurement {
	finite := false
	for _, m := range all {
		if primary != nil && m.GetMetric() == primary.GetName() && (primary.GetDataset() == "" || m.GetDataset() == primary.GetDataset()) && m.GetNotFinite() {
			return m
		}
		finite = finite || !m.GetNotFinite()
	}
	if finite || len(all) == 0 {
		return nil
	}
	return all[0]
}

// missingKeys are the baseline's datasets and metrics that a run's results lack.
func (w *Walk) missingKeys(job *executorv1.JobResult) []string {
	if len(job.GetMeasurements()) == 0 {
		return nil
	}
	have := map[string]bool{}
	for _, m := range job.GetMeasurements() {
		have[m.GetDataset()+"/"+m.GetMetric()] = true
	}
	var missing []string
	for _, m := range w.s.Baseline.GetMeasurements() {
		if k := m.GetDataset() + "/" + m.GetMetric(); !have[k] && len(missing) < 20 {
			missing = append(missing, k)
		}
	}
	return missing
}

func (w *Walk) notes(run *recordv1.Run) {
	unit := fmt.Sprintf("run-%d/notes", run.GetNumber())
	e := w.step(unit, w.describeRequest(run.GetNumber())).GetEdited()
	w.note(e, unit)
	if e.GetOutcome() == coderv1.Edited_CHANGED {
		w.Tree, run.Notes = e.GetSnapshot(), e.GetText()
	}
}

// note keeps what later requests name of an exchange with the coder.
func (w *Walk) note(e *coderv1.Edited, unit string) {
	w.Counts.Replies += e.GetCounts().GetReplies()
	w.Counts.WellFormed += e.GetCounts().GetWellFormed()
	if e.GetReplyDigest() == "" {
		return
	}
	w.History = append(w.History, &coderv1.Exchange{Step: w.s.stepName(w.Stage, unit), ReplyDigest: e.GetReplyDigest(), DiffDigest: e.GetDiffDigest()})
	if len(w.History) > 3 {
		w.History = w.History[len(w.History)-3:]
	}
}

func (w *Walk) planOf(n int) string {
	if n <= len(w.Plan) {
		return w.Plan[n-1].GetChange()
	}
	return ""
}

func (w *Walk) labelOf(n int) string {
	if n <= len(w.Plan) && w.Plan[n-1].GetName() != "" {
		return w.Plan[n-1].GetName()
	}
	return fmt.Sprintf("run %d", n)
}

func (w *Walk) lastGood() int32 {
	for i := len(w.Runs) - 1; i > 0; i-- {
		if w.Runs[i].GetOutcome() == recordv1.Run_Outcome_SUCCEEDED {
			return w.Runs[i].GetNumber()
		}
	}
	return 0
}

func (w *Walk) failures() string {
	var out []string
	for _, r := range w.Runs[1:] {
		out = append(out, fmt.Sprintf("run %d: %s", r.GetNumber(), r.GetReason()))
	}
	if len(out) == 0 {
		return "the coder finished without one"
	}
	return strings.Join(out, "; ")
}

// firstLine is what a feedback says first, without its advice; "" when there is none.
func firstLine(feedback string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(feedback), "\n")
	if r := []rune(line); len(r) > 160 {
		line = string(r[:159]) + "…"
	}
	return line
}

func isImage(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".png", ".pdf":
		return !strings.Contains(p, "/")
	}
	return false
}
