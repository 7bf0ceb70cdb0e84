// Package pipeline decides what a study or an idea does next. It is pure: State is folded from a journal by Apply, and Decide reads
// nothing but State. No clock, no I/O, no randomness; the driver around it does all three.
//
// Decide is a walk: it goes through the stages in order as if it ran them, takes each step's outcome from the state, and stops at the
// first step that has none. So there is no table of transitions to keep in step with the stages, and the view of an idea (runs, figures,
// papers) is what the walk gathered on its way.
package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// Stages of an idea, in order.
var Stages = []string{Novelty, Experiments, Figures, Writing, Review, Improvement}

// Names of stages.
const (
	Baseline    = "baseline" // of a study
	Ideation    = "ideation" // of a study
	Novelty     = "novelty"
	Experiments = "experiments"
	Figures     = "figures"
	Writing     = "writing"
	Review      = "review"
	Improvement = "improvement"
)

// Reasons that the pipeline itself gives.
const (
	ReasonBaselineFailed  = "BASELINE_FAILED"
	ReasonNoSuccessfulRun = "NO_SUCCESSFUL_RUN"
	ReasonNotNovel        = "NOT_NOVEL"
	ReasonUndecided       = "NOVELTY_UNDECIDED"
	ReasonNoIdea          = "NO_IDEA"
	ReasonQuarantine      = "QUARANTINE"
	ReasonStopped         = "STOPPED" // of a step: its process stopped in order
)

// Deaths of the process without progress on one step lead to quarantine. A kill from outside, which may hit the same long step many times, looks
// like a step that kills its process but for two things: the runtime's crash report, and that a step which was given time enough gets further. So
// deaths that show either count as crashes; the others only mean that somebody stops and starts the process often.
const (
	maxCrashes = 5
	maxDeaths  = 50
	fairChance = 30 * time.Second // in which a step records something new, if its work can be done at all
)

// Step is what the journal tells of one step.
type Step struct {
	Name       string
	Attempt    int32 // of the latest start
	Input      string
	Ended      *gatewayv1.StepEnded
	Failed     *gatewayv1.StepFailed // of the latest attempt; nil once it runs again
	Failures   []string              // codes, oldest first, since the last resume
	Dropped    bool                  // by a retry
	StartedAt  time.Time
	FirstAt    time.Time
	EndedAt    time.Time
	N          int64              // journal event of its end, or of its latest start
	ScoresSeen map[string]float64 // review scores known at its first start (ideation)
}

// Core is the part of the state that studies and ideas share.
type Core struct {
	N         int64
	Epoch     int64
	Owner     string
	Settings  *gatewayv1.StudySettings
	Template  *gatewayv1.TemplateRef
	Trace     string // traceparent of the root span
	Created   time.Time
	EndedAt   time.Time
	Steps     map[string]*Step
	Order     []string // step names by first start
	Open      string   // step started and neither ended nor failed; empty: none
	Wait      *gatewayv1.Waiting
	WaitSince time.Time
	Cancel    *gatewayv1.CancelRequested
	Ended     *gatewayv1.Ended
	Crashes   int  // deaths in the open step, in a row and without progress, that were its own doing
	Deaths    int  // all of them
	began     bool // the owner has started the open step itself
	progress  int64
	Tries     map[string]int // by stage; absent: 1
	RaisedPD  int64          // sum of budget raises
	RaisedTok int64
}

func newCore() Core {
	return Core{Steps: map[string]*Step{}, Tries: map[string]int{}}
}

// Illegal is an event that the state does not allow: the journal is damaged.
type Illegal struct {
	N    int64
	Text string
}

func (e *Illegal) Error() string {
	return fmt.Sprintf("journal event %d is not legal here: %s", e.N, e.Text)
}

// apply folds what studies and ideas have in common; it reports false for an event that is not its own.
func (c *Core) apply(e *gatewayv1.JournalEvent) (bool, error) {
	if e.GetN() != c.N+1 {
		return true, &Illegal{e.GetN(), fmt.Sprintf("expected event %d", c.N+1)}
	}
	c.N = e.GetN()
	at := e.GetTime().AsTime()
	if c.Ended != nil {
		switch e.GetEvent().(type) {
		case *gatewayv1.JournalEvent_RetryRequested, *gatewayv1.JournalEvent_IdeaAdded, *gatewayv1.JournalEvent_IdeaResumed,
			*gatewayv1.JournalEvent_Claimed, *gatewayv1.JournalEvent_BudgetRaised, *gatewayv1.JournalEvent_IdeaEnded:
		default:
			return true, &Illegal{c.N, "the machine has ended"}
		}
	}
	switch ev := e.GetEvent().(type) {
	case *gatewayv1.JournalEvent_Claimed:
		return true, c.claimed(ev.Claimed)
	case *gatewayv1.JournalEvent_StepStarted:
		return true, c.started(ev.StepStarted, at)
	case *gatewayv1.JournalEvent_StepEnded:
		return true, c.ended(ev.StepEnded, at)
	case *gatewayv1.JournalEvent_StepFailed:
		return true, c.failed(ev.StepFailed, at)
	case *gatewayv1.JournalEvent_Waiting:
		c.Wait, c.WaitSince = ev.Waiting, at
	case *gatewayv1.JournalEvent_Resumed:
		c.resume()
	case *gatewayv1.JournalEvent_BudgetRaised:
		c.RaisedPD += ev.BudgetRaised.GetPicoDollars()
		c.RaisedTok += ev.BudgetRaised.GetTokens()
		if c.Wait.GetReason() == gatewayv1.WaitReason_BUDGET {
			c.resume()
		}
	case *gatewayv1.JournalEvent_CancelRequested:
		c.Cancel = ev.CancelRequested
	case *gatewayv1.JournalEvent_Ended:
		c.Ended, c.EndedAt, c.Wait = ev.Ended, at, nil
	default:
		return false, nil
	}
	return true, nil
}

func (c *Core) claimed(e *gatewayv1.Claimed) error {
	if e.GetEpoch() <= c.Epoch {
		return &Illegal{c.N, "the epoch does not rise"}
	}
	if e.GetProgress() > c.progress {
		c.forgive()
	}
	if c.died(e) {
		c.Deaths++
		if e.GetCrashed() || e.GetLived().AsDuration() >= fairChance {
			c.Crashes++
		}
	}
	c.Epoch, c.Owner, c.progress, c.began = e.GetEpoch(), e.GetOwner(), e.GetProgress(), false
	return nil
}

// died tells whether a claim shows that the owner before died in a step. Of jobs the executor counts lost attempts itself.
func (c *Core) died(e *gatewayv1.Claimed) bool {
	return c.Open != "" && !isJob(c.Open) && e.GetOwner() != c.Owner && (c.began || e.GetCrashed())
}

func (c *Core) forgive() { c.Crashes, c.Deaths = 0, 0 }

func (c *Core) started(e *gatewayv1.StepStarted, at time.Time) error {
	s := c.Steps[e.GetStep()]
	if s == nil {
		s = &Step{Name: e.GetStep(), Input: e.GetInputDigest(), FirstAt: at}
		c.Steps[s.Name] = s
		c.Order = append(c.Order, s.Name)
	}
	switch {
	case s.Ended != nil:
		return &Illegal{c.N, "step " + s.Name + " has ended already"}
	case c.Open != "" && c.Open != s.Name:
		return &Illegal{c.N, "step " + c.Open + " is still open"}
	case e.GetAttempt() != s.Attempt+1:
		return &Illegal{c.N, fmt.Sprintf("attempt %d of %s after %d", e.GetAttempt(), s.Name, s.Attempt)}
	case s.Input != e.GetInputDigest():
		return &Illegal{c.N, "step " + s.Name + " starts again with another input"}
	}
	s.Attempt, s.StartedAt, s.Failed, s.N = e.GetAttempt(), at, nil, c.N
	c.Open, c.Wait, c.began = s.Name, nil, true
	return nil
}

func (c *Core) ended(e *gatewayv1.StepEnded, at time.Time) error {
	s := c.Steps[e.GetStep()]
	if s == nil || c.Open != e.GetStep() || s.Attempt != e.GetAttempt() {
		return &Illegal{c.N, "step " + e.GetStep() + " ended without having started"}
	}
	s.Ended, s.EndedAt, s.Failures, s.N = e, at, nil, c.N
	c.Open, c.Wait = "", nil
	c.forgive()
	return nil
}

func (c *Core) failed(e *gatewayv1.StepFailed, at time.Time) error {
	s := c.Steps[e.GetStep()]
	if s == nil || c.Open != e.GetStep() || s.Attempt != e.GetAttempt() {
		return &Illegal{c.N, "step " + e.GetStep() + " failed without having started"}
	}
	s.Failed, s.EndedAt, s.N = e, at, c.N
	if e.GetReason() != ReasonStopped {
		s.Failures = append(s.Failures, e.GetCode())
	}
	c.Open = ""
	c.forgive()
	return nil
}

// resume lifts a wait; the failures counted before it are forgotten when a person lifted it, and kept when a probe did, since the next
// failure of a probe leads straight back to waiting.
func (c *Core) resume() {
	byProbe := c.Wait.GetReason() == gatewayv1.WaitReason_PROVIDER || c.Wait.GetReason() == gatewayv1.WaitReason_SERVICE ||
		c.Wait.GetReason() == gatewayv1.WaitReason_STORAGE
	c.Wait = nil
	c.forgive()
	for _, s := range c.Steps {
		if s.Ended == nil && s.Failed != nil {
			if !byProbe {
				s.Failures = nil
			}
			s.Failed = nil
		}
	}
}

// stepName gives the name under which a unit of a stage runs: that of an outcome which stands, else that of the stage's current try.
func (c *Core) stepName(stage, unit string) string {
	for try := c.try(stage); try >= 1; try-- {
		name := tryName(stage, unit, try)
		if s := c.Steps[name]; s != nil && s.Ended != nil && !s.Dropped {
			return name
		}
	}
	return tryName(stage, unit, c.try(stage))
}

func (c *Core) try(stage string) int { return max(1, c.Tries[stage]) }

func tryName(stage, unit string, try int) string {
	if try > 1 {
		return fmt.Sprintf("%s-%d/%s", stage, try, unit)
	}
	return stage + "/" + unit
}

// StageOf gives the stage of a step's name.
func StageOf(step string) string {
	head, _, _ := strings.Cut(step, "/")
	for _, s := range append([]string{Baseline, Ideation}, Stages...) {
		if head == s || strings.HasPrefix(head, s+"-") {
			return s
		}
	}
	return head
}

// isJob tells whether a step is the executor's.
func isJob(step string) bool {
	unit := step[strings.LastIndexByte(step, '/')+1:]
	return StageOf(step) == Baseline || strings.HasPrefix(unit, "execute-") || strings.HasPrefix(unit, "smoke-") || strings.HasPrefix(unit, "plot-")
}

// retry drops the outcomes from a stage on and raises the tries; an empty stage keeps all outcomes and raises the tries of what is
// still to come, which continues at the step that was cut.
func (c *Core) retry(from string) {
	first := slices.Index(Stages, from)
	for i, stage := range Stages {
		if i < first {
			continue
		}
		touched := false
		for _, s := range c.Steps {
			if StageOf(s.Name) != stage {
				continue
			}
			touched = true
			if first >= 0 {
				s.Dropped = true
			}
		}
		if touched {
			c.Tries[stage] = c.try(stage) + 1
		}
	}
	c.Open, c.Wait, c.Cancel, c.Ended = "", nil, nil, nil
	c.forgive()
}

// Usage sums what the steps' outcomes say they used, dropped ones too: the money is spent.
func (c *Core) Usage() *recordv1.Usage {
	sum := &recordv1.Usage{}
	for _, s := range c.Steps {
		AddUsage(sum, UsageOf(s.Ended))
	}
	return sum
}

// UsageOf gives what a step's outcome says it used; nil when it paid nothing.
func UsageOf(e *gatewayv1.StepEnded) *recordv1.Usage {
	switch o := e.GetOutcome().(type) {
	case *gatewayv1.StepEnded_Idea:
		return o.Idea.GetUsage()
	case *gatewayv1.StepEnded_Novelty:
		return o.Novelty.GetUsage()
	case *gatewayv1.StepEnded_Edited:
		return o.Edited.GetUsage()
	case *gatewayv1.StepEnded_Paper:
		return o.Paper.GetUsage()
	case *gatewayv1.StepEnded_Review:
		return o.Review.GetUsage()
	}
	return nil
}

// AddUsage adds u to sum.
func AddUsage(sum, u *recordv1.Usage) {
	sum.InputTokens += u.GetInputTokens()
	sum.CacheReadTokens += u.GetCacheReadTokens()
	sum.CacheWriteTokens += u.GetCacheWriteTokens()
	sum.OutputTokens += u.GetOutputTokens()
	sum.ReasoningTokens += u.GetReasoningTokens()
	sum.Calls += u.GetCalls()
	sum.CostPicoDollars += u.GetCostPicoDollars()
	sum.WouldHaveCostPicoDollars += u.GetWouldHaveCostPicoDollars()
	sum.Estimated = sum.Estimated || u.GetEstimated()
	sum.Unpriced = sum.Unpriced || u.GetUnpriced()
}
