package coder

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// server is the gRPC edge of Service.
type server struct {
	coderv1.UnsafeCoderServiceServer
	s *Service
}

// Register adds the service to a server.
func Register(r grpc.ServiceRegistrar, s *Service) {
	coderv1.RegisterCoderServiceServer(r, server{s: s})
}

func (v server) ImplementRun(r *coderv1.ImplementRunRequest, out grpc.ServerStreamingServer[coderv1.ImplementRunResponse]) error {
	e, err := v.s.ImplementRun(out.Context(), Implement{Frame: frameOf(r.GetFrame()), Number: int(r.GetNumber()), MaxRuns: int(r.GetMaxRuns())}, func(n Note) {
		_ = out.Send(&coderv1.ImplementRunResponse{Event: &coderv1.ImplementRunResponse_Progress{Progress: noteOf(n)}}) // a lost word is no loss
	})
	if err != nil {
		return err
	}
	return out.Send(&coderv1.ImplementRunResponse{Event: &coderv1.ImplementRunResponse_Result{Result: editedOf(e)}})
}

func (v server) RepairRun(r *coderv1.RepairRunRequest, out grpc.ServerStreamingServer[coderv1.RepairRunResponse]) error {
	in := Repair{Frame: frameOf(r.GetFrame()), Number: int(r.GetNumber()), Good: store.Digest(r.GetGoodSnapshot()), TriesLeft: int(r.GetTriesLeft())}
	if f := failureOf(r.GetFailure()); f != nil {
		in.Failure = *f
	}
	for _, e := range r.GetEarlier() {
		in.Earlier = append(in.Earlier, *failureOf(e))
	}
	e, err := v.s.RepairRun(out.Context(), in, func(n Note) {
		_ = out.Send(&coderv1.RepairRunResponse{Event: &coderv1.RepairRunResponse_Progress{Progress: noteOf(n)}})
	})
	if err != nil {
		return err
	}
	return out.Send(&coderv1.RepairRunResponse{Event: &coderv1.RepairRunResponse_Result{Result: editedOf(e)}})
}

func (v server) ImplementPlots(r *coderv1.ImplementPlotsRequest, out grpc.ServerStreamingServer[coderv1.ImplementPlotsResponse]) error {
	e, err := v.s.ImplementPlots(out.Context(), Plots{Frame: frameOf(r.GetFrame()), Failure: failureOf(r.GetFailure()), Findings: r.GetFindings()}, func(n Note) {
		_ = out.Send(&coderv1.ImplementPlotsResponse{Event: &coderv1.ImplementPlotsResponse_Progress{Progress: noteOf(n)}})
	})
	if err != nil {
		return err
	}
	return out.Send(&coderv1.ImplementPlotsResponse{Event: &coderv1.ImplementPlotsResponse_Result{Result: editedOf(e)}})
}

func (v server) DescribeResults(r *coderv1.DescribeResultsRequest, out grpc.ServerStreamingServer[coderv1.DescribeResultsResponse]) error {
	in := Describe{Frame: frameOf(r.GetFrame()), Number: int(r.GetNumber())}
	for _, f := range r.GetFigures() {
		in.Figures = append(in.Figures, Figure{Path: f.GetPath(), Description: f.GetDescription(), Size: f.GetSizeBytes()})
	}
	e, err := v.s.DescribeResults(out.Context(), in, func(n Note) {
		_ = out.Send(&coderv1.DescribeResultsResponse{Event: &coderv1.DescribeResultsResponse_Progress{Progress: noteOf(n)}})
	})
	if err != nil {
		return err
	}
	return out.Send(&coderv1.DescribeResultsResponse{Event: &coderv1.DescribeResultsResponse_Result{Result: editedOf(e)}})
}

func frameOf(f *coderv1.Frame) Frame {
	out := Frame{
		Step: f.GetStep(), Snapshot: store.Digest(f.GetSnapshot()), Model: f.GetModel(), PlanModel: f.GetPlanModel(), Editable: f.GetEditable(), Protected: f.GetProtected(),
		Task: f.GetTaskDescription(), Command: f.GetCommand(), TimeLimit: f.GetTimeLimit(), Hardware: f.GetHardware(), Modules: f.GetModules(),
		Plan: plansOf(f.GetPlan()), Counts: Counts{int(f.GetCounts().GetReplies()), int(f.GetCounts().GetWellFormed())}, Primary: metricOf(f.GetPrimary()),
	}
	i := f.GetIdea()
	out.Idea = Idea{
		Name: i.GetName(), Title: i.GetTitle(), Experiment: i.GetExperiment(), Hypothesis: i.GetHypothesis(), Risks: i.GetRisks(), Primary: metricOf(i.GetPrimaryMetric()),
		Planned: plansOf(i.GetPlannedRuns()),
	}
	for _, r := range f.GetRuns() {
		out.Runs = append(out.Runs, runOf(r))
	}
	for _, x := range f.GetHistory() {
		out.History = append(out.History, Exchange{Step: x.GetStep(), Reply: store.Digest(x.GetReplyDigest()), Diff: store.Digest(x.GetDiffDigest())})
	}
	return out
}

func runOf(r *recordv1.Run) Run {
	out := Run{Number: int(r.GetNumber()), Label: r.GetLabel(), Plan: r.GetPlan(), Reason: r.GetReason(), Snapshot: store.Digest(r.GetSnapshot())}
	switch r.GetOutcome() {
	case recordv1.Run_Outcome_SUCCEEDED:
		out.Outcome = RunSucceeded
	case recordv1.Run_Outcome_FAILED:
		out.Outcome = RunFailed
	case recordv1.Run_Outcome_SKIPPED:
		out.Outcome = RunSkipped
	}
	for _, m := range r.GetMeasurements() {
		out.Measurements = append(out.Measurements, Measurement{Dataset: m.GetDataset(), Metric: m.GetMetric(), Value: m.GetValue(), NotFinite: m.GetNotFinite(), StdErr: m.StandardError, N: int(m.GetN())})
	}
	return out
}

func plansOf(in []*recordv1.PlannedRun) []PlannedRun {
	var out []PlannedRun
	for _, p := range in {
		out = append(out, PlannedRun{Name: p.GetName(), Change: p.GetChange(), Expected: p.GetExpected()})
	}
	return out
}

func metricOf(m *recordv1.Metric) *Metric {
	if m == nil {
		return nil
	}
	out := &Metric{Dataset: m.GetDataset(), Name: m.GetName(), Label: m.GetLabel(), Unit: m.GetUnit()}
	switch m.GetDirection() {
	case recordv1.Direction_MINIMIZE:
		out.Direction = Minimize
	case recordv1.Direction_MAXIMIZE:
		out.Direction = Maximize
	case recordv1.Direction_NONE:
		out.Direction = Descriptive
	}
	return out
}

func failureOf(f *coderv1.Failure) *Failure {
	if f == nil {
		return nil
	}
	return &Failure{
		EndReason: f.GetEndReason(), ExitCode: int(f.GetExitCode()), Stdout: store.Digest(f.GetStdoutDigest()), Stderr: store.Digest(f.GetStderrDigest()), Message: f.GetMessage(),
		Smoke: f.GetSmoke(), Signature: f.GetSignature(), Diff: store.Digest(f.GetDiffDigest()), MissingKeys: f.GetMissingKeys(),
	}
}

func noteOf(n Note) *recordv1.Progress {
	p := &recordv1.Progress{Phase: n.Phase, Detail: n.Detail, Tokens: n.Tokens}
	if t, err := time.Parse(time.RFC3339Nano, n.Wait); err == nil {
		p.Until = timestamppb.New(t)
	}
	return p
}

var outcomes = map[Result]coderv1.Edited_Outcome{
	Changed: coderv1.Edited_CHANGED, Finished: coderv1.Edited_FINISHED, NoChange: coderv1.Edited_NO_CHANGE, Refused: coderv1.Edited_LLM_REFUSED, TooLong: coderv1.Edited_CONTEXT_TOO_LONG,
}

func editedOf(e Edited) *coderv1.Edited {
	u := e.Usage
	out := &coderv1.Edited{
		Outcome: outcomes[e.Result], Snapshot: string(e.Snapshot), ReplyDigest: string(e.Reply), ReportDigest: string(e.Report), DiffDigest: string(e.Diff), Feedback: e.Feedback,
		Signature: e.Signature, Text: e.Text, LinesAdded: int32(e.Added), LinesRemoved: int32(e.Removed), Restored: e.Restored,
		Counts: &coderv1.Counts{Replies: int32(e.Counts.Replies), WellFormed: int32(e.Counts.WellFormed)},
		Usage: &recordv1.Usage{
			InputTokens: u.Input, CacheReadTokens: u.CacheRead, CacheWriteTokens: u.CacheWrite, OutputTokens: u.Output, ReasoningTokens: u.Reasoning, Calls: int32(u.Calls),
			CostPicoDollars: u.Cost, WouldHaveCostPicoDollars: u.WouldCost, Estimated: u.Estimated, Unpriced: u.Unpriced,
		},
	}
	for _, p := range e.Plan {
		out.Plan = append(out.Plan, &recordv1.PlannedRun{Name: p.Name, Change: p.Change, Expected: p.Expected})
	}
	for _, f := range e.Figures {
		out.Figures = append(out.Figures, &recordv1.Figure{Path: f.Path, Description: f.Description, SizeBytes: f.Size})
	}
	for _, w := range e.Warnings {
		out.Warnings = append(out.Warnings, &recordv1.Warning{Code: w.Code, Text: w.Text})
	}
	if u.Low != "" {
		out.Warnings = append(out.Warnings, &recordv1.Warning{Code: "budget-low", Text: u.Low})
	}
	return out
}
