package writer

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/store"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/numbers"
)

func fromRecord(r *writerv1.Record) Record {
	i := r.GetIdea()
	out := Record{Idea: Idea{Name: i.GetName(), Title: i.GetTitle(), Experiment: i.GetExperiment(), Hypothesis: i.GetHypothesis(), Risks: i.GetRisks()},
		Task: r.GetTaskDescription(), Template: r.GetTemplate(), TraceID: r.GetTraceId(), Usage: fromUsage(r.GetUsage()), Paired: r.GetPairedSeeds()}
	for _, p := range i.GetPlannedRuns() {
		out.Idea.Planned = append(out.Idea.Planned, p.GetName()+": "+p.GetChange())
	}
	if r.GetCreated() != nil {
		out.Created = r.GetCreated().AsTime()
	}
	if m := i.GetPrimaryMetric(); m.GetName() != "" {
		out.Metrics = append(out.Metrics, fromMetric(m))
	}
	for _, m := range r.GetMetrics() {
		out.Metrics = append(out.Metrics, fromMetric(m))
	}
	for _, x := range r.GetRuns() {
		out.Runs = append(out.Runs, fromRun(x))
	}
	for _, f := range r.GetFigures() {
		out.Figures = append(out.Figures, Figure{Path: f.GetPath(), Description: f.GetDescription()})
	}
	for _, p := range r.GetLiterature() {
		out.Literature = append(out.Literature, fromPaper(p))
	}
	return out
}

func fromMetric(m *recordv1.Metric) numbers.Metric {
	d := map[recordv1.Direction_Value]numbers.Direction{recordv1.Direction_MINIMIZE: numbers.Minimize, recordv1.Direction_MAXIMIZE: numbers.Maximize,
		recordv1.Direction_NONE: numbers.None}[m.GetDirection()]
	return numbers.Metric{Dataset: m.GetDataset(), Name: m.GetName(), Direction: d, Label: m.GetLabel(), Unit: m.GetUnit()}
}

func fromRun(x *recordv1.Run) numbers.Run {
	out := numbers.Run{Number: int(x.GetNumber()), Label: x.GetLabel(), Plan: x.GetPlan(), OK: x.GetOutcome() == recordv1.Run_Outcome_SUCCEEDED,
		Skipped: x.GetOutcome() == recordv1.Run_Outcome_SKIPPED, Reason: x.GetReason(), Snapshot: x.GetSnapshot(), Code: x.GetCodeDigest(), Tries: int(x.GetTries())}
	for _, m := range x.GetMeasurements() {
		out.Measurements = append(out.Measurements, numbers.Measurement{Dataset: m.GetDataset(), Metric: m.GetMetric(), Value: m.GetValue(), NotFinite: m.GetNotFinite(),
			SE: m.GetStandardError(), SEKnown: m.StandardError != nil, N: int(m.GetN()), PerSeed: m.GetPerSeed(), Size: m.GetSize(), Imported: m.GetImported()})
	}
	return out
}

func fromPaper(p *literaturev1.Paper) Paper {
	out := Paper{ID: p.GetId(), Key: p.GetKey(), Title: p.GetTitle(), Year: int(p.GetYear()), Venue: p.GetVenue(), Abstract: p.GetAbstract(), DOI: p.GetDoi(),
		ArXiv: p.GetArxivId(), BibTeX: p.GetBibtex()}
	for _, a := range p.GetAuthors() {
		name := a.GetLiteral()
		if name == "" {
			name = strings.TrimSpace(a.GetGiven() + " " + a.GetFamily())
		}
		out.Authors = append(out.Authors, name)
	}
	return out
}

func fromUsage(u *recordv1.Usage) Usage {
	return Usage{Input: u.GetInputTokens(), CacheRead: u.GetCacheReadTokens(), CacheWrite: u.GetCacheWriteTokens(), Output: u.GetOutputTokens(),
		Reasoning: u.GetReasoningTokens(), Calls: int(u.GetCalls()), CostPico: u.GetCostPicoDollars(), WouldCostPico: u.GetWouldHaveCostPicoDollars(),
		Estimated: u.GetEstimated(), Unpriced: u.GetUnpriced()}
}

func fromSettings(s *writerv1.Settings) Settings {
	return Settings{Model: s.GetModel(), Critic: s.GetCriticModel(), Engine: s.GetEngine(), CiteRounds: int(s.GetNumCiteRounds()), Venue: s.GetVenue(),
		PageLimit: int(s.GetPageLimit()), Anonymous: s.GetAnonymous(), Authors: s.GetAuthors(), MendRounds: int(s.GetMendRounds())}
}

func fromCriticism(c *writerv1.Criticism) *Criticism {
	out := &Criticism{Summary: c.GetSummary(), Questions: c.GetQuestions()}
	for _, x := range c.GetComments() {
		out.Comments = append(out.Comments, Comment{Claim: x.GetClaim(), Severity: x.GetSeverity(), Item: x.GetItem(), Quotes: x.GetQuotes()})
	}
	return out
}

func toPaper(r Result) *writerv1.Paper {
	out := &writerv1.Paper{Outcome: writerv1.Paper_Outcome(writerv1.Paper_Outcome_value[string(r.Outcome)]), Reason: valid(r.Reason), Snapshot: string(r.Snapshot),
		PdfPath: r.PDFPath, PdfDigest: string(r.PDFDigest), PagesBody: int32(r.BodyPages), PagesTotal: int32(r.Pages), NumbersMeasured: int32(r.Measured),
		NumbersUnexplained: int32(r.Unexplained), Citations: int32(r.Citations), VerificationPath: r.VerificationPath, Title: valid(r.Title), Usage: toUsage(r.Usage)}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, &writerv1.Finding{Id: f.ID, Severity: toSeverity(f.Severity), Section: string(f.Section), Paragraph: int32(f.Paragraph),
			Line: int32(f.Line), Text: valid(f.Text), MendedBy: f.MendedBy})
	}
	for _, w := range r.Warnings {
		out.Warnings = append(out.Warnings, &recordv1.Warning{Code: w.Code, Text: valid(w.Text)})
	}
	return out
}

func valid(s string) string { return strings.ToValidUTF8(s, "") }

func toSeverity(s check.Severity) writerv1.Finding_Severity {
	return map[check.Severity]writerv1.Finding_Severity{check.Blocking: writerv1.Finding_BLOCKING, check.Warning: writerv1.Finding_WARNING, check.Advice: writerv1.Finding_ADVICE}[s]
}

func toUsage(u Usage) *recordv1.Usage {
	return &recordv1.Usage{InputTokens: u.Input, CacheReadTokens: u.CacheRead, CacheWriteTokens: u.CacheWrite, OutputTokens: u.Output, ReasoningTokens: u.Reasoning,
		Calls: int32(u.Calls), CostPicoDollars: u.CostPico, WouldHaveCostPicoDollars: u.WouldCostPico, Estimated: u.Estimated, Unpriced: u.Unpriced}
}

func toProgress(e Event) *recordv1.Progress {
	p := &recordv1.Progress{Phase: valid(e.Phase), Detail: valid(e.Detail), Done: int32(e.Done), Total: int32(e.Total), Tokens: e.Tokens}
	if !e.Until.IsZero() {
		p.Until = timestamppb.New(e.Until)
	}
	return p
}

func digest(s string) store.Digest { return store.Digest(s) }
