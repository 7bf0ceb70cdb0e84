package pipeline

import (
	"fmt"
	"strings"

	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// State is the machine's state as interface.md section 5 names it.
func (c *Core) State() gatewayv1.IdeaState_Value {
	switch {
	case c.Ended != nil:
		return c.Ended.GetState()
	case c.Wait != nil:
		return gatewayv1.IdeaState_WAITING
	case c.Epoch == 0:
		return gatewayv1.IdeaState_PENDING
	}
	return gatewayv1.IdeaState_RUNNING
}

// OutcomeOf gives a step's outcome in a word and a line, and whether it counts as a failed try.
func OutcomeOf(e *gatewayv1.StepEnded) (word, line string, bad bool) {
	switch o := e.GetOutcome().(type) {
	case *gatewayv1.StepEnded_Job:
		r := o.Job.GetEndReason()
		line = o.Job.GetMessage()
		if line == "" {
			if n := len(o.Job.GetMeasurements()); n > 0 {
				line = count(n, "measurement") + " "
			}
			line += fmt.Sprintf("in %.1f s", o.Job.GetWall().AsDuration().Seconds())
		}
		if touched := o.Job.GetProtectedTouched(); r == executorv1.EndReason_SUCCEEDED && len(touched) > 0 && len(o.Job.GetMeasurements()) > 0 {
			return reasonProtectedTouched, "the run changed protected files: " + strings.Join(touched, ", "), true
		}
		return r.String(), line, r != executorv1.EndReason_SUCCEEDED
	case *gatewayv1.StepEnded_Idea:
		if o.Idea.GetOutcome() == ideationv1.GenerateIdeaResult_IDEA {
			return "IDEA", o.Idea.GetIdea().GetTitle(), false
		}
		return o.Idea.GetOutcome().String(), o.Idea.GetReason(), true
	case *gatewayv1.StepEnded_Novelty:
		line = o.Novelty.GetExplanation()
		if r := o.Novelty.GetReason(); r != "" {
			line = r + ": " + line
		}
		return o.Novelty.GetVerdict().String(), line, false
	case *gatewayv1.StepEnded_Edited:
		if o.Edited.GetOutcome() == coderv1.Edited_CHANGED {
			return o.Edited.GetOutcome().String(), count(int(o.Edited.GetLinesAdded()), "line") + fmt.Sprintf(" added, %d removed", o.Edited.GetLinesRemoved()), false
		}
		return o.Edited.GetOutcome().String(), firstLine(o.Edited.GetFeedback()), o.Edited.GetOutcome() != coderv1.Edited_FINISHED
	case *gatewayv1.StepEnded_Paper:
		line = strings.Join([]string{count(int(o.Paper.GetPagesTotal()), "page"), count(int(o.Paper.GetNumbersMeasured()), "measured number"),
			fmt.Sprintf("%d without origin", o.Paper.GetNumbersUnexplained()), count(int(o.Paper.GetCitations()), "citation")}, ", ")
		if r := o.Paper.GetReason(); r != "" {
			line = r
		}
		return o.Paper.GetOutcome().String(), line, false
	case *gatewayv1.StepEnded_Review:
		if o.Review.GetOutcome() == reviewerv1.Review_REVIEWED {
			return o.Review.GetDecision().String(), fmt.Sprintf("overall %.1f: %s", o.Review.GetOverall(), o.Review.GetReason()), false
		}
		return o.Review.GetOutcome().String(), o.Review.GetReason(), true
	}
	return "", "", false
}

// Extent says how long a paper is, as in "a paper of 8 pages", or that it has no pages.
func Extent(outcome string, pages int32) string {
	if pages == 0 && (outcome == writerv1.Paper_NOT_COMPILED.String() || outcome == writerv1.Paper_LATEX_UNCOMPILABLE.String()) {
		return "that stayed .tex (" + outcome + ")"
	}
	return "of " + count(int(pages), "page")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Best is the best value of the primary metric over the idea's runs, and its run; nil: none or no direction.
func (w *Walk) Best() (*float64, int32) {
	p := w.primary()
	if p == nil || (p.GetDirection() != recordv1.Direction_MINIMIZE && p.GetDirection() != recordv1.Direction_MAXIMIZE) {
		return nil, 0
	}
	var best *float64
	var run int32
	for _, r := range w.Runs {
		if r.GetNumber() == 0 || r.GetOutcome() != recordv1.Run_Outcome_SUCCEEDED {
			continue
		}
		for _, m := range r.GetMeasurements() {
			if m.GetMetric() != p.GetName() || (p.GetDataset() != "" && m.GetDataset() != p.GetDataset()) || m.GetNotFinite() {
				continue
			}
			v := m.GetValue()
			if best == nil || (p.GetDirection() == recordv1.Direction_MINIMIZE) == (v < *best) {
				best, run = &v, r.GetNumber()
			}
		}
	}
	return best, run
}

// Counts of an idea's runs so far, beside the baseline.
func (w *Walk) RunCounts() (good, failed int32) {
	for _, r := range w.Runs[1:] {
		switch r.GetOutcome() {
		case recordv1.Run_Outcome_SUCCEEDED:
			good++
		case recordv1.Run_Outcome_FAILED:
			failed++
		}
	}
	return good, failed
}

// Primary is the metric that the idea's runs are compared by; nil: unknown.
func (w *Walk) Primary() *recordv1.Metric { return w.primary() }
