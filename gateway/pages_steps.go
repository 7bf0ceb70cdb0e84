package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// Bounds of a timeline and its drawer.
const (
	foldFrom = 40      // steps of an ended stage from which it is folded
	maxBlob  = 100_000 // bytes of a text that a drawer shows; the whole is a link away
	maxLines = 2_000   // lines of a diff that a drawer shows
)

type stepRow struct {
	Name, Short, Took, Cost, BarClass string
	State                             stateView
	X, W                              string
	Open, Wait                        bool
	since                             ageView
}

// Since is when a step in progress began.
func (r stepRow) Since() *ageView {
	if r.since.ISO == "" {
		return nil
	}
	return &r.since
}

type stepGroup struct {
	Stage, Note string
	Fold        bool
	Steps       []stepRow
}

type axisTick struct{ X, Text string }

// waitRow is a wait of the machine, between its steps.
type waitRow struct {
	stage, reason, by string
	from, to          time.Time // to zero: it still waits
}

// waitRows reads a machine's waits from its journal.
func (s *Service) waitRows(k journal.Key) (out []waitRow) {
	s.journal.View(k, func(m *journal.Machine) {
		open := false
		for _, e := range m.Events {
			at := e.GetTime().AsTime()
			if w := e.GetWaiting(); w != nil {
				out, open = append(out, waitRow{stage: w.GetStage(), reason: w.GetReason().String(), from: at}), true
				continue
			}
			if !open || !endsWait(e) {
				continue
			}
			last := &out[len(out)-1]
			last.to, last.by, open = at, publicEvent(k, e).GetKind()+" by "+e.GetActor(), false
		}
	})
	return out
}

func endsWait(e *gatewayv1.JournalEvent) bool {
	return e.GetResumed() != nil || e.GetApproved() != nil || e.GetRejected() != nil || e.GetEnded() != nil
}

// timeline lays steps and waits out by stage, with bars on one scale from the first start to the last end.
func timeline(steps []*gatewayv1.StepView, waits []waitRow, open string, now time.Time) ([]stepGroup, []axisTick) {
	if len(steps) == 0 && len(waits) == 0 {
		return nil, nil
	}
	first, last := now, time.Time{}
	note := func(from, to time.Time) {
		if from.Before(first) {
			first = from
		}
		for _, t := range []time.Time{from, to} {
			if t.After(last) {
				last = t
			}
		}
	}
	for _, s := range steps {
		end := s.GetEnded().AsTime()
		if s.GetState() == "running" {
			end = now
		}
		note(s.GetStarted().AsTime(), end)
	}
	for _, w := range waits {
		if w.to.IsZero() {
			w.to = now
		}
		note(w.from, w.to)
	}
	scale := timeScale{first, max(last.Sub(first), time.Millisecond)}
	var out []stepGroup
	group := func(stage string) *stepGroup {
		if len(out) == 0 || out[len(out)-1].Stage != stage {
			out = append(out, stepGroup{Stage: stage})
		}
		return &out[len(out)-1]
	}
	for _, s := range steps {
		for len(waits) > 0 && waits[0].from.Before(s.GetStarted().AsTime()) {
			g := group(or(waits[0].stage, s.GetStage()))
			g.Steps, waits = append(g.Steps, scale.wait(waits[0], now)), waits[1:]
		}
		g := group(s.GetStage())
		g.Steps = append(g.Steps, scale.step(s, open, last))
	}
	for _, w := range waits {
		stage := w.stage
		if stage == "" && len(out) > 0 {
			stage = out[len(out)-1].Stage
		}
		g := group(stage)
		g.Steps = append(g.Steps, scale.wait(w, now))
	}
	for i := range out {
		out[i].close(i == len(out)-1)
	}
	return out, scale.ticks()
}

// close says what a group holds, and folds a long one that has ended.
func (g *stepGroup) close(latest bool) {
	bad := 0
	shown := false
	for _, s := range g.Steps {
		if s.BarClass == "bad" {
			bad++
		}
		shown = shown || s.Open
	}
	g.Note = plural(len(g.Steps), "step")
	if bad > 0 {
		g.Note += fmt.Sprintf(", %d failed", bad)
	}
	g.Fold = len(g.Steps) > foldFrom && !latest && !shown
}

// timeScale turns times into shares of a bar's width.
type timeScale struct {
	first time.Time
	span  time.Duration
}

func (t timeScale) share(d time.Duration) float64 { return 100 * d.Seconds() / t.span.Seconds() }

func (t timeScale) bar(from, to time.Time) (x, w string) {
	left := min(99.65, max(0, t.share(from.Sub(t.first))))
	return fmt.Sprintf("%.2f", left), fmt.Sprintf("%.2f", min(100-left, max(0.35, t.share(to.Sub(from)))))
}

func (t timeScale) step(s *gatewayv1.StepView, open string, last time.Time) stepRow {
	row := stepRow{Name: s.GetStep(), Short: s.GetStep()[strings.IndexByte(s.GetStep(), '/')+1:], Cost: cost(s.GetUsage()), State: stepState(s), Open: s.GetStep() == open}
	end := last
	if s.GetEnded() != nil {
		end = s.GetEnded().AsTime()
		row.Took = took(end.Sub(s.GetStarted().AsTime()))
	}
	row.X, row.W = t.bar(s.GetStarted().AsTime(), end)
	switch {
	case s.GetBad():
		row.BarClass = "bad"
	case s.GetState() == "running":
		row.BarClass, row.since = "live", ageOf(s.GetStarted())
	}
	return row
}

func (t timeScale) wait(w waitRow, now time.Time) stepRow {
	row := stepRow{Short: "waits: " + w.reason, BarClass: "wait", Wait: true, State: stateView{Class: "waiting", Text: or(w.by, "WAITING")}}
	end := w.to
	if end.IsZero() {
		end = now
	}
	row.Took = took(end.Sub(w.from))
	row.X, row.W = t.bar(w.from, end)
	return row
}

// ticks are three to six round times from the first start.
func (t timeScale) ticks() (out []axisTick) {
	step := time.Hour
	for _, s := range []time.Duration{100 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		if step = s; t.span <= 5*s {
			break
		}
	}
	for at := time.Duration(0); at <= t.span && len(out) < 12; at += step {
		if t.share(at) > 92 {
			break // its text would be cut
		}
		out = append(out, axisTick{fmt.Sprintf("%.2f", t.share(at)), tickOf(at)})
	}
	return out
}

func tickOf(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d > time.Minute && d < time.Hour && d%time.Minute != 0:
		return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
	}
	return ageText(d)
}

func stepState(s *gatewayv1.StepView) stateView {
	switch {
	case s.GetState() == "running":
		return stateView{Class: "running", Text: "RUNNING"}
	case s.GetState() == "dropped":
		return stateView{Class: "cancelled", Text: "dropped by a retry"}
	case s.GetState() == "cut":
		return stateView{Class: "cancelled", Text: "cut"}
	case s.GetBad():
		return stateView{Class: "failed", Text: s.GetOutcome()}
	}
	return stateView{Class: "ok", Text: s.GetOutcome()}
}

type blobView struct {
	Name, Size, Body, Href string
	Open, Diff, Cut        bool
	Lines                  []diffLine
}

type diffLine struct{ Kind, Text string }

type openStep struct {
	Name, Text, Command string
	State               stateView
	Facts               []fact
	Blobs               []blobView
}

// used says what a job has used; without io nobody counted what it read and wrote.
func used(cpu *durationpb.Duration, memory uint64, io *executorv1.Io) string {
	text := fmt.Sprintf("CPU %.1f s, memory %d MiB", cpu.AsDuration().Seconds(), memory>>20)
	if io != nil {
		text += fmt.Sprintf(", read %s, wrote %s", size(int64(io.GetReadBytes())), size(int64(io.GetWrittenBytes())))
	}
	return text
}

// openStep is the drawer of one step.
func (p *pageSet) openStep(ctx context.Context, k journal.Key, base string, s *gatewayv1.StepView) *openStep {
	o := &openStep{Name: s.GetStep(), Text: s.GetText(), State: stepState(s), Command: "nullius logs " + k.String() + " --stage " + pipeline.StageOf(s.GetStep())}
	add := func(name, text string) {
		if text != "" {
			o.Facts = append(o.Facts, fact{name, text})
		}
	}
	add("Began", seconds(s.GetStarted()))
	if s.GetEnded() != nil {
		add("Took", took(s.GetEnded().AsTime().Sub(s.GetStarted().AsTime())))
	}
	if s.GetSandbox() != "" {
		add("Where", s.GetNode()+", sandbox "+s.GetSandbox())
		add("Used", used(s.GetCpu(), s.GetPeakMemoryBytes(), s.GetIo()))
		if w := s.GetStalled(); w != nil {
			add("Waited", fmt.Sprintf("%.1f s for processors, %.1f s for memory, %.1f s for storage",
				w.GetCpu().AsDuration().Seconds(), w.GetMemory().AsDuration().Seconds(), w.GetIo().AsDuration().Seconds()))
		}
	}
	if u := s.GetUsage(); u.GetCalls() > 0 {
		add("Model", fmt.Sprintf("%s, %s tokens in, %s out, %s", plural(int(u.GetCalls()), "call"), count(u.GetInputTokens()+u.GetCacheReadTokens()+u.GetCacheWriteTokens()), count(u.GetOutputTokens()), spentOf(u, nil)))
	}
	if s.GetAttempts() > 1 {
		add("Attempts", fmt.Sprint(s.GetAttempts()))
	}
	add("Snapshot", s.GetSnapshotOut())
	if v := p.reportView(ctx, base, s.GetReportDigest()); v != nil {
		o.Blobs = append(o.Blobs, *v)
	}
	for _, b := range []struct{ name, digest string }{{"Diff", s.GetDiffDigest()}, {"Reply of the model", s.GetReplyDigest()}, {"Standard error", s.GetStderrDigest()}, {"Output", s.GetStdoutDigest()}} {
		if v := p.blobView(ctx, base, b.name, b.digest); v != nil {
			o.Blobs = append(o.Blobs, *v)
		}
	}
	if s.GetDiffDigest() != "" {
		o.Command = "nullius diff " + k.String() + " " + s.GetStep()
	}
	return o
}

// blobView reads what a drawer shows of a blob; nil: there is none.
func (p *pageSet) blobView(ctx context.Context, base, name, digest string) *blobView {
	if digest == "" {
		return nil
	}
	n, err := p.s.d.Blobs.Stat(ctx, store.Digest(digest))
	if err != nil || n == 0 {
		return nil
	}
	v := &blobView{Name: name, Size: size(n), Href: "/v1" + base + "/blobs/" + digest, Diff: name == "Diff", Open: name != "Output", Cut: n > maxBlob}
	if v.Body, err = p.part(ctx, store.Digest(digest), 0, maxBlob); err != nil {
		p.s.log.WarnContext(ctx, "read a step's text", "error", err)
		return nil
	}
	if !v.Diff {
		return v
	}
	for line := range strings.Lines(v.Body) {
		if len(v.Lines) == maxLines {
			v.Cut = true
			break
		}
		line = strings.TrimRight(line, "\r\n")
		kind := " "
		if !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "---") && line != "" {
			kind = line[:1]
		}
		v.Lines = append(v.Lines, diffLine{kind, line})
	}
	return v
}

// settingsOf are the settings of a machine's study.
func (s *Service) settingsOf(k journal.Key) (out *gatewayv1.StudySettings) {
	s.journal.View(journal.Key{Study: k.Study, Idea: subject.StudyItself}, func(m *journal.Machine) { out = m.Core().Settings })
	return out
}
