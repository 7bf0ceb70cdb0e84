package ideation

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"

	"nullius.dev/services/ideation/internal/idea"
	"nullius.dev/services/ideation/internal/literature"
)

func invalid(field, want string) error {
	return fault.New(fault.Invalid, "FIELD_INVALID", "%s %s", field, want).WithField(field, want)
}

func fromGenerate(r *ideationv1.GenerateIdeaRequest) (Generate, error) {
	in := Generate{
		Step: r.GetStep(), Snapshot: store.Digest(r.GetSnapshot()), Model: r.GetModel(), Reflections: int(r.GetReflections()),
		OpenEnded: r.GetOpenEnded(), System: r.GetSystem(), Task: r.GetTaskDescription(),
		Limits: Limits{Runs: int(r.GetLimits().GetRuns()), Time: r.GetLimits().GetTimePerRun(), Hardware: r.GetLimits().GetHardware(), Modules: r.GetLimits().GetModules()},
	}
	for _, i := range r.GetArchive() {
		in.Archive = append(in.Archive, fromIdea(i))
	}
	switch {
	case in.Model == "":
		return in, invalid("model", "is missing")
	case !in.Snapshot.Valid():
		return in, invalid("snapshot", "wants sha256: and 64 hexadecimal digits")
	case in.Reflections < 0 || in.Reflections > maxReflections:
		return in, invalid("reflections", "wants 0 to 20")
	}
	_, err := llm.OriginOf(in.Step, "draft")
	return in, err
}

func fromAssess(r *ideationv1.AssessNoveltyRequest) (Assess, error) {
	in := Assess{
		Step: r.GetStep(), Idea: fromIdea(r.GetIdea()), Snapshot: store.Digest(r.GetSnapshot()), Model: r.GetModel(), Engine: r.GetEngine(),
		Rounds: int(r.GetMaxRounds()), Task: r.GetTaskDescription(),
	}
	switch {
	case in.Model == "":
		return in, invalid("model", "is missing")
	case in.Rounds < 0 || in.Rounds > maxRounds:
		return in, invalid("max_rounds", "wants 0 to 30")
	}
	if _, err := llm.OriginOf(in.Step, "round-1"); err != nil {
		return in, err
	}
	return in, checkIdea(in.Idea)
}

func fromIdea(i *recordv1.Idea) idea.Idea {
	out := idea.Idea{
		Name: i.GetName(), Title: i.GetTitle(), Experiment: i.GetExperiment(), Hypothesis: i.GetHypothesis(), Risks: i.GetRisks(),
		Interestingness: int(i.GetInterestingness()), Feasibility: int(i.GetFeasibility()), Novelty: int(i.GetNovelty()), Source: i.GetSourceJson(),
	}
	if m := i.GetPrimaryMetric(); m.GetName() != "" {
		out.PrimaryMetric = &idea.Metric{Name: m.GetName(), Dataset: m.GetDataset(), Direction: directions[m.GetDirection()]}
	}
	for _, r := range i.GetPlannedRuns() {
		out.PlannedRuns = append(out.PlannedRuns, idea.Run{Name: r.GetName(), Change: r.GetChange(), Expected: r.GetExpected()})
	}
	if i != nil && i.Score != nil {
		v := i.GetScore()
		out.Score = &v
	}
	return out
}

var directions = map[recordv1.Direction_Value]string{
	recordv1.Direction_MINIMIZE: idea.Minimize, recordv1.Direction_MAXIMIZE: idea.Maximize, recordv1.Direction_NONE: idea.None,
}

func toIdea(i idea.Idea) *recordv1.Idea {
	out := &recordv1.Idea{
		Name: i.Name, Title: i.Title, Experiment: i.Experiment, Hypothesis: i.Hypothesis, Risks: i.Risks, SourceJson: i.Source, Score: i.Score,
		Interestingness: int32(i.Interestingness), Feasibility: int32(i.Feasibility), Novelty: int32(i.Novelty),
	}
	if m := i.PrimaryMetric; m != nil {
		out.PrimaryMetric = &recordv1.Metric{Name: m.Name, Dataset: m.Dataset}
		for v, word := range directions {
			if word == m.Direction {
				out.PrimaryMetric.Direction = v
			}
		}
	}
	for _, r := range i.PlannedRuns {
		out.PlannedRuns = append(out.PlannedRuns, &recordv1.PlannedRun{Name: r.Name, Change: r.Change, Expected: r.Expected})
	}
	return out
}

func toProgress(p literature.Progress) *recordv1.Progress {
	out := &recordv1.Progress{Phase: valid(p.Phase), Detail: valid(p.Detail)}
	if !p.Until.IsZero() {
		out.Until = timestamppb.New(p.Until)
	}
	return out
}

// valid keeps text that a message can carry.
func valid(s string) string { return strings.ToValidUTF8(s, "") }

func toUsage(u Usage) *recordv1.Usage {
	return &recordv1.Usage{
		InputTokens: u.Input, CacheReadTokens: u.CacheRead, CacheWriteTokens: u.CacheWrite, OutputTokens: u.Output, ReasoningTokens: u.Reasoning,
		Calls: int32(u.Calls), CostPicoDollars: u.Cost, WouldHaveCostPicoDollars: u.WouldCost, Estimated: u.Estimated, Unpriced: u.Unpriced,
	}
}

func toWarnings(ws []Warning) []*recordv1.Warning {
	var out []*recordv1.Warning
	for _, w := range ws {
		out = append(out, &recordv1.Warning{Code: w.Code, Text: valid(w.Text)})
	}
	return out
}

func toGenerated(g Generated) *ideationv1.GenerateIdeaResult {
	out := &ideationv1.GenerateIdeaResult{
		Outcome: ideationv1.GenerateIdeaResult_Outcome(ideationv1.GenerateIdeaResult_Outcome_value[g.Outcome]),
		Reason:  valid(g.Reason), Reply: valid(g.Reply), Rounds: int32(g.Rounds), Usage: toUsage(g.Usage), Warnings: toWarnings(g.Warnings),
	}
	if g.Idea != nil {
		out.Idea = toIdea(*g.Idea)
	}
	return out
}

func toAssessed(a Assessed) *ideationv1.AssessNoveltyResult {
	out := &ideationv1.AssessNoveltyResult{
		Verdict: ideationv1.AssessNoveltyResult_Verdict(ideationv1.AssessNoveltyResult_Verdict_value[a.Verdict]), Reason: a.Reason,
		Explanation: valid(a.Explanation), Usage: toUsage(a.Usage), Warnings: toWarnings(a.Warnings), Next: valid(a.Next),
	}
	for _, r := range a.Rounds {
		out.Rounds = append(out.Rounds, &ideationv1.NoveltyRound{Query: r.Query, QueryUsed: r.Used, Rung: int32(r.Rung), Asked: toAsked(r.Asked), PaperIds: r.PaperIDs})
	}
	for _, n := range a.Nearest {
		out.Nearest = append(out.Nearest, &ideationv1.NearestPaper{PaperId: n.PaperID, Shares: n.Shares, Differs: n.Differs})
	}
	for i := range a.Papers {
		out.Papers = append(out.Papers, toPaper(&a.Papers[i]))
	}
	return out
}

func duration(d time.Duration) *durationpb.Duration {
	if d <= 0 {
		return nil
	}
	return durationpb.New(d)
}
