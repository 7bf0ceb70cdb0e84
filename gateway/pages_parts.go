package gateway

import (
	"context"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// Bounds of what an idea's page carries; the whole is a link away.
const (
	maxLogs     = 12
	logTail     = 8 << 10
	maxPageRows = 60
)

type eventRow struct {
	N                           int64
	Time, Kind, Step, Text, Who string
}

// eventRows are a machine's events, newest first, and how many there are.
func (s *Service) eventRows(k journal.Key) (rows []eventRow, total int) {
	s.journal.View(k, func(m *journal.Machine) {
		total = len(m.Events)
		for i := total - 1; i >= 0 && len(rows) < maxPageRows; i-- {
			e := publicEvent(k, m.Events[i])
			text := e.GetText()
			for _, more := range []string{e.GetReason(), e.GetOutcome()} {
				if more != "" && more != "UNSPECIFIED" {
					text = strings.TrimSpace(more + " " + text)
				}
			}
			rows = append(rows, eventRow{e.GetN(), seconds(e.GetTime()), e.GetKind(), or(e.GetStep(), e.GetStage()), text, e.GetActor()})
		}
	})
	return rows, total
}

func seconds(t *timestamppb.Timestamp) string {
	if t == nil {
		return "unknown"
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

type logRow struct {
	Step, Outcome, Stream, Href, Size, Body string
	Cut, Bad                                bool
}

// logRows are the ends of what the latest executions wrote, newest first.
func (p *pageSet) logRows(ctx context.Context, base string, steps []*gatewayv1.StepView) (rows []logRow, total int) {
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		for _, b := range []struct{ name, digest string }{{"standard error", s.GetStderrDigest()}, {"standard output", s.GetStdoutDigest()}} {
			if b.digest == "" {
				continue
			}
			n, err := p.s.d.Blobs.Stat(ctx, store.Digest(b.digest))
			if err != nil || n == 0 {
				continue
			}
			if total++; len(rows) == maxLogs {
				continue
			}
			body, err := p.tail(ctx, store.Digest(b.digest), n)
			if err != nil {
				p.s.log.WarnContext(ctx, "read a log", "step", s.GetStep(), "error", err)
				continue
			}
			rows = append(rows, logRow{s.GetStep(), stepState(s).Text, b.name, "/v1" + base + "/blobs/" + b.digest, size(n), body, n > logTail, s.GetBad()})
		}
	}
	return rows, total
}

func (p *pageSet) tail(ctx context.Context, d store.Digest, n int64) (string, error) {
	rc, err := p.s.d.Blobs.Get(ctx, d)
	if err != nil {
		return "", err
	}
	defer rc.Close() //nolint:errcheck // only read
	if _, err := io.CopyN(io.Discard, rc, max(0, n-logTail)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(rc, logTail))
	return strings.ToValidUTF8(string(b), "\uFFFD"), err
}

// actView is a form that asks the API for one change.
type actView struct {
	Action, Button, Class, Label, Command, Second, SecondAction, ID string
	Budget                                                          bool
	Etag                                                            int64
}

// actsOfIdea are the changes that are legal now, the one that is waited for first.
func actsOfIdea(base, ref string, i *gatewayv1.Idea) []actView {
	s := i.GetSummary()
	url := "/v1" + base
	cancel := actView{Action: url + ":cancel", Button: "Cancel this idea", Class: "no", Label: "Why (optional)", Command: "nullius cancel " + ref, ID: "cancel"}
	retry := actView{Action: url + ":retry", Button: "Run again", Class: "main", Label: "Why (optional)", Command: "nullius retry " + ref, ID: "retry"}
	switch s.GetState() {
	case gatewayv1.IdeaState_FAILED, gatewayv1.IdeaState_CANCELLED:
		return []actView{retry}
	case gatewayv1.IdeaState_WAITING:
		switch s.GetWaitReason() {
		case gatewayv1.WaitReason_APPROVAL:
			return []actView{{Action: url + ":approve", Button: "Approve", Class: "main", Label: "Comment (optional)", Command: "nullius approve " + ref, Etag: i.GetEtag(), ID: "approve", Second: "Reject", SecondAction: url + ":reject"}, cancel}
		case gatewayv1.WaitReason_QUARANTINE:
			return []actView{{Action: url + ":approve", Button: "Go on", Class: "main", Label: "Comment (optional)", Command: "nullius approve " + ref, Etag: i.GetEtag(), ID: "approve"}, cancel}
		case gatewayv1.WaitReason_BUDGET:
			return []actView{{Action: url + ":approve", Button: "Add and go on", Class: "main", Label: "Comment (optional)", Command: "nullius approve " + ref + " --add-budget 5", Budget: true, ID: "approve"}, cancel}
		}
		return []actView{cancel}
	case gatewayv1.IdeaState_PENDING, gatewayv1.IdeaState_RUNNING:
		return []actView{cancel}
	}
	return nil
}

func actsOfStudy(k journal.Key, s *gatewayv1.Study) []actView {
	if s.GetEnded() != nil {
		return nil
	}
	return []actView{{Action: "/v1/studies/" + k.Study + ":cancel", Button: "Cancel this study", Class: "no", Label: "Why (optional)", Command: "nullius cancel " + k.Study, ID: "cancel"}}
}

// primaryOf is the metric that an idea's runs are compared by; nil: unknown.
func (s *Service) primaryOf(k journal.Key) (out *recordv1.Metric) {
	s.journal.View(k, func(m *journal.Machine) {
		if m.Idea != nil && m.Damaged == nil {
			out = m.Idea.Walk().Primary()
		}
	})
	return out
}

// studyChart draws the best run of each idea against the baseline.
func (p *pageSet) studyChart(ctx context.Context, k journal.Key, s *gatewayv1.Study) []chartView {
	metric := s.GetFacts().GetPrimary()
	baseline := measurementOf(s.GetBaseline(), metric, nil)
	if metric.GetDataset() == "" || baseline == nil {
		return nil // bests of several data sets cannot share an axis
	}
	points := []point{{label: "baseline", name: "run_0", m: baseline}}
	for _, sum := range s.GetIdeas() {
		id := sum.GetName()[strings.LastIndexByte(sum.GetName(), '/')+1:]
		if sum.Best == nil {
			continue
		}
		i, err := p.s.GetIdea(ctx, journal.Key{Study: k.Study, Idea: id})
		if err != nil {
			continue
		}
		for _, r := range i.GetRuns() {
			if m := measurementOf(r, metric, sum.Best); m != nil && r.GetNumber() == sum.GetBestRun() {
				points = append(points, point{label: id, name: fmt.Sprintf("%s's run_%d", id, r.GetNumber()), m: m})
			}
		}
	}
	if len(points) < 2 {
		return nil
	}
	c, ok := chart(metric, metric.GetDataset(), baseline, points)
	if !ok {
		return nil
	}
	c.ID, c.Caption = "chart-1", "Figure 1. Best run of each idea: "+c.Caption
	return []chartView{c}
}

// measurementOf finds a run's value of a metric; value, when set, must be it.
func measurementOf(r *recordv1.Run, metric *recordv1.Metric, value *float64) *recordv1.Measurement {
	for _, m := range r.GetMeasurements() {
		if m.GetMetric() == metric.GetName() && m.GetDataset() == metric.GetDataset() && !m.GetNotFinite() && (value == nil || m.GetValue() == *value) {
			return m
		}
	}
	return nil
}
