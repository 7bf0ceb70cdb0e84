package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
	"nullius.dev/proto/subject"
)

// The functions here turn folded state into what the API shows. They run under the projection's lock and only copy.

func (s *Service) summary(m *journal.Machine) *gatewayv1.IdeaSummary {
	st := m.Idea
	c := &st.Core
	out := &gatewayv1.IdeaSummary{
		Name: ideaName(m.Key.Study, m.Key.Idea), Title: st.Record.GetTitle(), State: c.State(), Usage: c.Usage(), Created: stamp(c.Created), Ended: endOf(c), Etag: c.N,
	}
	if m.Damaged != nil {
		out.State, out.WaitReason, out.Reason = gatewayv1.IdeaState_WAITING, gatewayv1.WaitReason_QUARANTINE, "QUARANTINE"
		out.Message = "the journal is damaged: " + m.Damaged.Error()
		return out
	}
	w := st.Seen()
	out.Stage = w.Stage
	out.RunsDone, out.RunsFailed = w.RunCounts()
	out.Best, out.BestRun = w.Best()
	out.Score = w.Score()
	if r := w.Review; r != nil {
		out.Decision = decisionWord(r.GetDecision())
	}
	s.standing(m.Key, c, func(step, reason, message, next string, wait gatewayv1.WaitReason_Value, since time.Time) {
		out.Step, out.Reason, out.Message, out.Next, out.WaitReason, out.StepSince = step, reason, message, next, wait, stamp(since)
	})
	return out
}

func decisionWord(d reviewerv1.Decision_Value) string {
	switch d {
	case reviewerv1.Decision_ACCEPT:
		return "Accept"
	case reviewerv1.Decision_REJECT:
		return "Reject"
	case reviewerv1.Decision_NEEDS_PERSON:
		return "Needs a person"
	}
	return ""
}

// standing says in a sentence what a machine does, or why it stands still.
func (s *Service) standing(k journal.Key, c *pipeline.Core, set func(step, reason, message, next string, wait gatewayv1.WaitReason_Value, since time.Time)) {
	ref := k.Study
	if !k.IsStudy() {
		ref += "/" + k.Idea
	}
	switch {
	case c.Ended != nil:
		set("", c.Ended.GetReason(), c.Ended.GetMessage(), c.Ended.GetNext(), 0, c.EndedAt)
	case c.Wait != nil:
		set(c.Open, c.Wait.GetReason().String(), c.Wait.GetMessage(), nextOfWait(c, ref), c.Wait.GetReason(), c.WaitSince)
	case c.Open != "":
		st := c.Steps[c.Open]
		text := c.Open
		if p := s.live.word(k, c.Open); p.GetPhase() != "" {
			text = p.GetPhase()
			if p.GetDetail() != "" {
				text += ": " + p.GetDetail()
			}
		}
		set(c.Open, "", text, "", 0, st.StartedAt)
	default: // a failed step waits for its next attempt
		for _, name := range slices.Backward(c.Order) {
			if st := c.Steps[name]; st.Failed != nil && !st.Dropped {
				set(name, st.Failed.GetReason(), fmt.Sprintf("%s; tried again at %s", st.Failed.GetMessage(), st.Failed.GetRetryAt().AsTime().Local().Format(time.TimeOnly)), "nullius status", 0, st.EndedAt)
				return
			}
		}
		set("", "", "", "", 0, c.Created)
	}
}

func nextOfWait(c *pipeline.Core, ref string) string {
	switch c.Wait.GetReason() {
	case gatewayv1.WaitReason_APPROVAL:
		return "nullius approve " + ref
	case gatewayv1.WaitReason_BUDGET:
		for _, name := range slices.Backward(c.Order) { // the door names the account, and whether it lacks dollars or tokens
			if f := c.Steps[name].Failed; f.GetReason() == "BUDGET_EXCEEDED" && f.GetNext() != "" {
				return f.GetNext()
			}
		}
		return "nullius approve " + ref + " --add-budget 5"
	case gatewayv1.WaitReason_QUARANTINE:
		return "nullius events " + ref + " --journal"
	}
	return "nullius status"
}

func (s *Service) study(m *journal.Machine) *gatewayv1.Study {
	st := m.Study
	c := &st.Core
	out := &gatewayv1.Study{
		Name: studyName(m.Key.Study), Template: "templates/" + c.Template.GetName(), Settings: c.Settings, State: c.State(), Created: stamp(c.Created),
		Ended: endOf(c), Etag: c.N, Usage: c.Usage(), TraceId: pipeline.TraceID(c.Trace), Facts: c.Template.GetFacts(),
	}
	if m.Damaged != nil {
		out.State, out.WaitReason, out.Reason = gatewayv1.IdeaState_WAITING, gatewayv1.WaitReason_QUARANTINE, "QUARANTINE"
		out.Message = "the journal is damaged: " + m.Damaged.Error()
		return out
	}
	out.Baseline = st.BaselineRun()
	_, bad := st.Drafts()
	out.IdeasFailed = int32(bad)
	s.standing(m.Key, c, func(step, reason, message, next string, wait gatewayv1.WaitReason_Value, since time.Time) {
		out.Step, out.Reason, out.Message, out.Next, out.WaitReason, out.StepSince = step, reason, message, next, wait, stamp(since)
	})
	for _, name := range c.Order {
		if idea := c.Steps[name].Ended.GetIdea(); idea != nil {
			out.Warnings = append(out.Warnings, idea.GetWarnings()...)
		}
	}
	return out
}

// ideasNow is what a study's ideas do while the study has nothing to do itself: "1 idea RUNNING, 2 ideas WAITING (APPROVAL)".
func ideasNow(ideas []*gatewayv1.IdeaSummary) string {
	n := map[string]int{}
	var states, out []string
	for _, i := range ideas {
		st := i.GetState().String()
		if w := i.GetWaitReason(); w != gatewayv1.WaitReason_UNSPECIFIED {
			st += " (" + w.String() + ")"
		}
		if n[st]++; n[st] == 1 {
			states = append(states, st)
		}
	}
	for _, st := range states {
		out = append(out, plural(n[st], "idea")+" "+st)
	}
	return strings.Join(out, ", ")
}

// pendingIdea is an idea that its study has not released yet.
func pendingIdea(study string, mem *pipeline.Member) *gatewayv1.IdeaSummary {
	return &gatewayv1.IdeaSummary{
		Name: ideaName(study, mem.ID), Title: mem.Record.GetTitle(), State: gatewayv1.IdeaState_PENDING, Message: "waits for its turn",
	}
}

func (s *Service) idea(m *journal.Machine) *gatewayv1.Idea {
	st := m.Idea
	out := &gatewayv1.Idea{
		Name: ideaName(m.Key.Study, m.Key.Idea), Summary: s.summary(m), Record: st.Record, Origin: st.Origin, TraceId: pipeline.TraceID(st.Trace), Etag: st.N,
	}
	if m.Damaged != nil {
		return out
	}
	w := st.Seen()
	out.Runs, out.Figures, out.Plan, out.Warnings, out.Snapshot = w.Runs, w.Figures, w.Plan, w.Warnings, w.Tree
	for _, name := range st.Order {
		out.Steps = append(out.Steps, stepView(&st.Core, st.Steps[name]))
	}
	if n := w.Novelty; n != nil {
		v := &gatewayv1.NoveltyView{Verdict: n.GetVerdict().String(), Reason: n.GetReason(), Explanation: n.GetExplanation(), Next: n.GetNext()}
		for _, r := range n.GetRounds() {
			v.Queries = append(v.Queries, r.GetQuery())
		}
		for _, near := range n.GetNearest() {
			title := near.GetPaperId()
			for _, p := range n.GetPapers() {
				if p.GetId() == near.GetPaperId() {
					title = fmt.Sprintf("%s (%d)", p.GetTitle(), p.GetYear())
				}
			}
			v.Nearest = append(v.Nearest, title+": shares "+near.GetShares()+"; differs "+near.GetDiffers())
		}
		out.Novelty = v
	}
	out.Paper, out.ImprovedPaper = paperView(w.Paper), paperView(w.Improved)
	out.Review, out.SecondReview = reviewView(w.Review), reviewView(w.Second)
	out.Stages = stageViews(st, w)
	return proto.Clone(out).(*gatewayv1.Idea)
}

func stepView(c *pipeline.Core, s *pipeline.Step) *gatewayv1.StepView {
	v := &gatewayv1.StepView{
		Step: s.Name, Stage: pipeline.StageOf(s.Name), Attempts: s.Attempt, Started: stamp(s.FirstAt), N: s.N, Usage: pipeline.UsageOf(s.Ended),
	}
	switch {
	case s.Dropped:
		v.State = "dropped"
	case s.Ended != nil:
		v.State = "ended"
	case s.Failed != nil:
		v.State, v.Outcome, v.Text, v.Bad = "failed", s.Failed.GetReason(), s.Failed.GetMessage(), true
	case c.Open == s.Name && c.Ended == nil:
		v.State = "running"
	default:
		v.State = "cut"
	}
	if s.Ended == nil {
		return v
	}
	v.Ended = stamp(s.EndedAt)
	v.Outcome, v.Text, v.Bad = pipeline.OutcomeOf(s.Ended)
	if j := s.Ended.GetJob(); j != nil {
		v.SnapshotOut, v.StdoutDigest, v.StderrDigest, v.Node = j.GetSnapshot(), j.GetStdout().GetDigest(), j.GetStderr().GetDigest(), j.GetNode()
		v.Sandbox, v.Cpu, v.PeakMemoryBytes, v.Io, v.Stalled = j.GetLevel(), j.GetCpu(), j.GetPeakMemoryBytes(), j.GetIo(), j.GetStalled()
	}
	if e := s.Ended.GetEdited(); e != nil {
		v.SnapshotOut, v.DiffDigest, v.ReplyDigest, v.ReportDigest = e.GetSnapshot(), e.GetDiffDigest(), e.GetReplyDigest(), e.GetReportDigest()
	}
	if p := s.Ended.GetPaper(); p != nil {
		v.SnapshotOut = p.GetSnapshot()
	}
	return v
}

func stageViews(st *pipeline.IdeaState, w *pipeline.Walk) []*gatewayv1.StageView {
	var out []*gatewayv1.StageView
	for _, stage := range pipeline.Stages {
		if slices.Contains(st.Settings.GetSkip(), stage) || (stage == pipeline.Improvement && !st.Settings.GetImprovement()) {
			continue
		}
		v := &gatewayv1.StageView{Stage: stage, State: "not-begun", Text: "not begun"}
		begun, last := false, time.Time{}
		for _, name := range st.Order {
			s := st.Steps[name]
			if pipeline.StageOf(name) != stage || s.Dropped {
				continue
			}
			if !begun {
				v.Started, begun = stamp(s.FirstAt), true
			}
			if s.EndedAt.After(last) {
				last = s.EndedAt
			}
		}
		if begun {
			v.State, v.Text, v.Ended = "done", stageText(stage, w), stamp(last)
		}
		if stage == w.Stage && (st.Ended == nil || st.State() != gatewayv1.IdeaState_SUCCEEDED) {
			v.State, v.Text = stageNow(st)
		}
		out = append(out, v)
		if st.Settings.GetUntil() == stage {
			break
		}
	}
	return out
}

func stageNow(st *pipeline.IdeaState) (state, text string) {
	switch st.State() {
	case gatewayv1.IdeaState_FAILED:
		return "failed", st.Ended.GetReason()
	case gatewayv1.IdeaState_REJECTED:
		return "turned-down", st.Ended.GetReason()
	case gatewayv1.IdeaState_CANCELLED:
		return "turned-down", "CANCELLED"
	case gatewayv1.IdeaState_WAITING:
		return "waits", st.Wait.GetReason().String()
	}
	return "now", st.Open
}

func stageText(stage string, w *pipeline.Walk) string {
	switch stage {
	case pipeline.Novelty:
		return w.Novelty.GetVerdict().String()
	case pipeline.Experiments:
		good, failed := w.RunCounts()
		return fmt.Sprintf("%s, %d failed", plural(int(good+failed), "run"), failed)
	case pipeline.Figures:
		return plural(len(w.Figures), "figure")
	case pipeline.Writing:
		return fmt.Sprintf("a paper %s, %s without origin", pipeline.Extent(w.Paper.GetOutcome().String(), w.Paper.GetPagesTotal()), plural(int(w.Paper.GetNumbersUnexplained()), "number"))
	case pipeline.Review:
		if w.Review == nil {
			return "not reviewed"
		}
		return fmt.Sprintf("%.1f, %s", w.Review.GetOverall(), decisionWord(w.Review.GetDecision()))
	case pipeline.Improvement:
		if w.Second == nil {
			return "done"
		}
		return fmt.Sprintf("%.1f, %s", w.Second.GetOverall(), decisionWord(w.Second.GetDecision()))
	}
	return ""
}

// account fills in what was spent and what may be.
func (s *Service) account(ctx context.Context, k journal.Key) (*gatewayv1.Account, error) {
	a, err := s.d.Budgets.Read(ctx, account(k))
	if err != nil {
		return nil, err
	}
	return &gatewayv1.Account{
		LimitPicoDollars: a.Limit.Pico, SpentPicoDollars: a.Spent.Pico, PossiblyPicoDollars: a.Possibly.Pico, LimitTokens: a.Limit.Tokens,
		SpentTokens: a.Spent.Tokens, ReservedPicoDollars: a.Reserved().Pico,
	}, nil
}

// endOf is when a machine ended; nil: it has not, or goes on again.
func endOf(c *pipeline.Core) *timestamppb.Timestamp {
	if c.Ended == nil {
		return nil
	}
	return stamp(c.EndedAt)
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func paperView(p *writerv1.Paper) *gatewayv1.PaperView {
	if p == nil {
		return nil
	}
	v := &gatewayv1.PaperView{
		Outcome: p.GetOutcome().String(), Title: p.GetTitle(), PdfPath: p.GetPdfPath(), Pages: p.GetPagesTotal(), NumbersMeasured: p.GetNumbersMeasured(),
		NumbersUnexplained: p.GetNumbersUnexplained(), Citations: p.GetCitations(), Snapshot: p.GetSnapshot(),
	}
	for _, f := range p.GetFindings() {
		if f.GetMendedBy() == "" {
			v.Findings = append(v.Findings, fmt.Sprintf("%s %s %s: %s", f.GetId(), strings.ToLower(f.GetSeverity().String()), f.GetSection(), f.GetText()))
		}
	}
	return v
}

func reviewView(r *gatewayv1.ReviewOutcome) *gatewayv1.ReviewView {
	if r == nil {
		return nil
	}
	return &gatewayv1.ReviewView{
		Outcome: r.GetOutcome().String(), Decision: decisionWord(r.GetDecision()), Overall: r.GetOverall(), ReviewDigest: r.GetReviewDigest(), Reviewer: r.GetReviewer(),
	}
}

// members lists a study's ideas in order, released or not. It takes the lock itself.
func (s *Service) members(study string) []*gatewayv1.IdeaSummary {
	self := journal.Key{Study: study, Idea: subject.StudyItself}
	var ids []*pipeline.Member
	s.journal.View(self, func(m *journal.Machine) { ids = slices.Clone(m.Study.Members) })
	out := make([]*gatewayv1.IdeaSummary, 0, len(ids))
	for _, mem := range ids {
		sum := pendingIdea(study, mem)
		s.journal.View(journal.Key{Study: study, Idea: mem.ID}, func(m *journal.Machine) { sum = proto.Clone(s.summary(m)).(*gatewayv1.IdeaSummary) })
		out = append(out, sum)
	}
	return out
}
