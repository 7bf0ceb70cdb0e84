package pipeline

import (
	"fmt"
	"slices"

	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// IdeaState is an idea folded from its journal.
type IdeaState struct {
	Core
	Study, ID string
	Record    *recordv1.Idea
	Origin    *gatewayv1.Origin
	Baseline  *recordv1.Run
	Approved  map[string]int      // stage to the try that was approved
	Found     []*recordv1.Warning // when it was submitted

	seen  *Walk // after event seenN
	seenN int64
}

// NewIdea gives the state before the first event.
func NewIdea(study, id string) *IdeaState {
	return &IdeaState{Core: newCore(), Study: study, ID: id, Approved: map[string]int{}}
}

// Apply folds one event. An error means that the journal is damaged; the state is then not to be used.
func (s *IdeaState) Apply(e *gatewayv1.JournalEvent) error {
	if own, err := s.apply(e); own {
		return err
	}
	switch ev := e.GetEvent().(type) {
	case *gatewayv1.JournalEvent_IdeaAccepted:
		if s.Record != nil {
			return &Illegal{s.N, "accepted twice"}
		}
		a := ev.IdeaAccepted
		s.Record, s.Origin, s.Baseline, s.Found = a.GetIdea(), a.GetOrigin(), a.GetBaseline(), a.GetWarnings()
		s.Settings, s.Template, s.Trace, s.Created = a.GetSettings(), a.GetTemplate(), a.GetTraceparent(), e.GetTime().AsTime()
	case *gatewayv1.JournalEvent_Approved:
		if s.Wait == nil {
			return &Illegal{s.N, "approved without waiting"}
		}
		if s.Wait.GetReason() == gatewayv1.WaitReason_APPROVAL {
			s.Approved[s.Wait.GetStage()] = s.try(s.Wait.GetStage())
			if edited := ev.Approved.GetIdea(); edited != nil {
				s.Record = edited
			}
		}
		s.resume()
	case *gatewayv1.JournalEvent_Rejected:
		if s.Wait.GetReason() != gatewayv1.WaitReason_APPROVAL {
			return &Illegal{s.N, "rejected without waiting for approval"}
		}
		s.Ended = &gatewayv1.Ended{State: gatewayv1.IdeaState_REJECTED, Reason: "REJECTED_BY_PERSON", Message: ev.Rejected.GetComment()}
		s.EndedAt, s.Wait = e.GetTime().AsTime(), nil
	case *gatewayv1.JournalEvent_RetryRequested:
		s.retry(ev.RetryRequested.GetStage())
		s.EndedAt = s.Created
	default:
		return &Illegal{s.N, fmt.Sprintf("an idea's journal holds no %T", ev)}
	}
	return nil
}

// Decide gives the idea's next action.
func (s *IdeaState) Decide() Action {
	if a := s.blocked(); a != nil {
		return a
	}
	if s.Cancel != nil {
		return ended(gatewayv1.IdeaState_CANCELLED, "", cancelText(s.Cancel), "nullius retry "+s.Study+"/"+s.ID)
	}
	return s.Walk().Next
}

func cancelText(c *gatewayv1.CancelRequested) string {
	if c.GetComment() != "" {
		return "cancelled: " + c.GetComment()
	}
	return "cancelled"
}

// Walk is what a walk through an idea's stages gathered, up to the first step without an outcome.
type Walk struct {
	s        *IdeaState
	Next     Action // what the idea does next
	Stage    string // where the walk stands
	Tree     string // latest good snapshot
	Runs     []*recordv1.Run
	Plan     []*recordv1.PlannedRun
	Finished bool // the coder said that no further run is needed
	History  []*coderv1.Exchange
	Counts   *coderv1.Counts
	Figures  []*recordv1.Figure
	NoFigs   string // why there are no figures
	Novelty  *ideationv1.AssessNoveltyResult
	Paper    *writerv1.Paper
	Improved *writerv1.Paper
	Review   *gatewayv1.ReviewOutcome
	Second   *gatewayv1.ReviewOutcome
	Warnings []*recordv1.Warning
}

// stop ends the walk; it is recovered in Walk.
type stop struct{}

// Seen gives the walk for reading. Only an event changes it, so it is walked anew after one, however often it is looked at. Nobody may change what it holds.
func (s *IdeaState) Seen() *Walk {
	if s.seen == nil || s.seenN != s.N {
		s.seen, s.seenN = s.Walk(), s.N
	}
	return s.seen
}

// Walk walks the idea's stages.
func (s *IdeaState) Walk() (w *Walk) {
	w = &Walk{s: s, Tree: s.Baseline.GetSnapshot(), Runs: []*recordv1.Run{s.Baseline}, Plan: s.Record.GetPlannedRuns(), Counts: &coderv1.Counts{}, Warnings: slices.Clone(s.Found)}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stop); !ok {
				panic(r)
			}
		}
	}()
	for _, st := range []struct {
		name string
		do   func()
	}{{Novelty, w.novelty}, {Experiments, w.experiments}, {Figures, w.figures}, {Writing, w.writing}, {Review, w.review}, {Improvement, w.improvement}} {
		if w.wanted(st.name) {
			w.Stage = st.name
			w.gate(st.name)
			st.do()
		}
		if s.Settings.GetUntil() == st.name {
			break
		}
	}
	w.Next = ended(gatewayv1.IdeaState_SUCCEEDED, "", w.summary(), "")
	return w
}

func (w *Walk) wanted(stage string) bool {
	if stage == Improvement && !w.s.Settings.GetImprovement() {
		return false
	}
	return !slices.Contains(w.s.Settings.GetSkip(), stage)
}

func (w *Walk) gate(stage string) {
	if !slices.Contains(w.s.Settings.GetGates(), stage) || w.s.Approved[stage] == w.s.try(stage) || w.s.begun(stage) {
		return
	}
	w.halt(waiting(gatewayv1.WaitReason_APPROVAL, stage, "waits for approval before "+stage, nil))
}

// begun tells whether a stage has an outcome that stands, so that its gate lies behind.
func (s *IdeaState) begun(stage string) bool {
	for _, st := range s.Steps {
		if StageOf(st.Name) == stage && st.Ended != nil && !st.Dropped {
			return true
		}
	}
	return false
}

func (w *Walk) halt(a Action) {
	w.Next = a
	panic(stop{})
}

func (w *Walk) fail(reason, message string) {
	w.halt(ended(gatewayv1.IdeaState_FAILED, reason, message, "nullius logs "+w.s.Study+"/"+w.s.ID+" --stage "+w.Stage))
}

func (w *Walk) warn(code, text string) {
	w.Warnings = append(w.Warnings, &recordv1.Warning{Code: code, Text: text})
}

// step gives a step's outcome; without one it ends the walk with what the step needs.
func (w *Walk) step(unit string, request func(full string) any) *gatewayv1.StepEnded {
	name := w.s.stepName(w.Stage, unit)
	st := w.s.Steps[name]
	if st != nil && st.Ended != nil {
		return st.Ended
	}
	run := Run{Step: name, Attempt: 1, Request: request(w.s.Study + "/" + w.s.ID + "/" + name)}
	if st == nil {
		w.halt(run)
	}
	run.Attempt = st.Attempt + 1
	if st.Failed != nil {
		w.halt(w.s.afterFailure(st, run))
	}
	w.halt(run)
	return nil
}

func (w *Walk) novelty() {
	o := w.step("assess", w.noveltyRequest).GetNovelty()
	w.Novelty = o
	switch o.GetVerdict() {
	case ideationv1.AssessNoveltyResult_NOT_NOVEL:
		w.halt(ended(gatewayv1.IdeaState_REJECTED, ReasonNotNovel, "not novel: "+nearestText(o), ""))
	case ideationv1.AssessNoveltyResult_UNDECIDED:
		if w.s.Settings.GetUndecided() == "reject" {
			w.halt(ended(gatewayv1.IdeaState_REJECTED, ReasonUndecided, "novelty undecided: "+o.GetReason(), o.GetNext()))
		}
		w.warn("novelty-undecided", "novelty is undecided ("+o.GetReason()+"); the study goes on with undecided ideas")
	}
}

func nearestText(o *ideationv1.AssessNoveltyResult) string {
	if len(o.GetNearest()) == 0 {
		return o.GetExplanation()
	}
	n := o.GetNearest()[0]
	for _, p := range o.GetPapers() {
		if p.GetId() == n.GetPaperId() {
			return fmt.Sprintf("%s (%d) shares %s", p.GetTitle(), p.GetYear(), n.GetShares())
		}
	}
	return n.GetShares()
}

func (w *Walk) figures() {
	before := w.Tree
	edited := w.step("implement", w.plotsRequest(before, nil)).GetEdited()
	w.note(edited, "implement")
	tree := edited.GetSnapshot()
	for t := 1; t <= w.maxTries(); t++ {
		job := w.step(fmt.Sprintf("plot-%d", t), w.plotJob(tree)).GetJob()
		if w.plotted(job) {
			w.describe()
			return
		}
		if t == w.maxTries() {
			break
		}
		e := w.step(fmt.Sprintf("repair-%d", t), w.plotsRequest(tree, jobFailure(job, false))).GetEdited()
		w.note(e, fmt.Sprintf("repair-%d", t))
		if e.GetOutcome() != coderv1.Edited_CHANGED {
			break
		}
		tree = e.GetSnapshot()
	}
	if w.plotted(w.step("plot-last", w.plotJob(before)).GetJob()) {
		w.warn("figures-of-template", "the changed plot.py did not work; the figures are those of the last working one")
		w.describe()
		return
	}
	w.NoFigs = "no version of plot.py worked"
	w.warn("no-figures", "no version of plot.py worked: the paper has no figures")
}

// plotted takes a plot job's figures when it made any.
func (w *Walk) plotted(job *executorv1.JobResult) bool {
	if job.GetEndReason() != executorv1.EndReason_SUCCEEDED {
		return false
	}
	var figs []*recordv1.Figure
	for _, o := range job.GetOutputs() {
		if isImage(o.GetPath()) {
			figs = append(figs, &recordv1.Figure{Path: o.GetPath(), SizeBytes: int64(o.GetSizeBytes())})
		}
	}
	if len(figs) == 0 {
		return false
	}
	w.Figures, w.Tree = figs, job.GetSnapshot()
	return true
}

func (w *Walk) describe() {
	e := w.step("describe", w.describeRequest(0)).GetEdited()
	w.note(e, "describe")
	if e.GetOutcome() == coderv1.Edited_CHANGED {
		w.Tree = e.GetSnapshot()
	}
	for _, f := range w.Figures {
		for _, d := range e.GetFigures() {
			if d.GetPath() == f.GetPath() {
				f.Description = d.GetDescription()
			}
		}
	}
}

func (w *Walk) writing() {
	p := w.step("draft", w.writeRequest).GetPaper()
	switch p.GetOutcome() {
	case writerv1.Paper_LLM_OUTPUT_INVALID, writerv1.Paper_LLM_REFUSED, writerv1.Paper_CONTEXT_TOO_LONG, writerv1.Paper_NO_SUCCESSFUL_RUN:
		w.fail(p.GetOutcome().String(), p.GetReason())
	case writerv1.Paper_NOT_COMPILED:
		w.warn("not-compiled", "the paper was not compiled: "+p.GetReason())
	case writerv1.Paper_LATEX_UNCOMPILABLE:
		w.warn("latex-uncompilable", p.GetReason())
	}
	w.Paper, w.Tree = p, p.GetSnapshot()
}

func (w *Walk) review() { w.Review = w.reviewed(w.Paper) }

// reviewed asks for a review, once more when it is unusable; nil: not reviewed.
func (w *Walk) reviewed(p *writerv1.Paper) *gatewayv1.ReviewOutcome {
	if p == nil {
		w.warn("not-reviewed", "there is no paper to review")
		return nil
	}
	for _, unit := range []string{"review", "review-2"} {
		o := w.step(unit, w.reviewRequest(p)).GetReview()
		if o.GetOutcome() == reviewerv1.Review_REVIEWED {
			return o
		}
	}
	w.warn("not-reviewed", "the reviewer gave no usable review, twice")
	return nil
}

func (w *Walk) improvement() {
	if w.Paper == nil || w.Review == nil {
		w.warn("not-improved", "there is no review to improve the paper by")
		return
	}
	p := w.step("revise", w.reviseRequest).GetPaper()
	switch p.GetOutcome() {
	case writerv1.Paper_LLM_OUTPUT_INVALID, writerv1.Paper_LLM_REFUSED, writerv1.Paper_CONTEXT_TOO_LONG, writerv1.Paper_NO_SUCCESSFUL_RUN:
		w.warn("not-improved", "the first paper stays: "+p.GetReason())
		return
	}
	w.Improved, w.Tree = p, p.GetSnapshot()
	w.Second = w.reviewed(p)
}

func (w *Walk) summary() string {
	good := 0
	for _, r := range w.Runs[1:] {
		if r.GetOutcome() == recordv1.Run_Outcome_SUCCEEDED {
			good++
		}
	}
	text := fmt.Sprintf("%d of %d runs succeeded", good, len(w.Runs)-1)
	if w.Paper != nil {
		text += ", a paper " + Extent(w.Paper.GetOutcome().String(), w.Paper.GetPagesTotal())
	}
	if r := w.Review; r != nil {
		text += fmt.Sprintf(", reviewed %.1f (%s)", r.GetOverall(), r.GetDecision())
	}
	if r := w.Second; r != nil {
		text += fmt.Sprintf(", improved %.1f (%s)", r.GetOverall(), r.GetDecision())
	}
	return text
}

// Score is the review score that counts for an idea: of the improved paper if there is one; nil: none.
func (w *Walk) Score() *float64 {
	for _, r := range []*gatewayv1.ReviewOutcome{w.Second, w.Review} {
		if r != nil && r.GetOverall() > 0 {
			v := r.GetOverall()
			return &v
		}
	}
	return nil
}
