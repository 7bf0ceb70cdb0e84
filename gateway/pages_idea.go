package gateway

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"time"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/store"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

type stepRow struct {
	Name, Short, Took, Cost, BarClass string
	State                             stateView
	X, W                              string
	Open                              bool
}

type stepGroup struct {
	Stage string
	Steps []stepRow
}

type stageRow struct{ Name, Class, Word, Text, Took string }

type fact struct{ Name, Text string }

type blobView struct {
	Name, Size, Body string
	Open, Diff       bool
	Lines            []diffLine
}

type diffLine struct{ Kind, Text string }

type openStep struct {
	Name, Text, Command string
	State               stateView
	Facts               []fact
	Blobs               []blobView
}

type fileRow struct{ Path, Href, Size string }

type figureRow struct {
	Path, Href, Description string
	Image                   bool
}

func (p *pageSet) idea(w http.ResponseWriter, r *http.Request) {
	i, k, f, err := p.ideaFrame(r, "idea", "nullius show")
	if err != nil {
		p.fail(w, err)
		return
	}
	s := i.GetSummary()
	d := struct {
		frame
		State     stateView
		Next      string
		Warnings  []string
		Stages    []stageRow
		Steps     []*gatewayv1.StepView
		Groups    []stepGroup
		Open      *openStep
		Runs      []*recordv1.Run
		Measured  *measuredView
		Figures   []figureRow
		NoFigures string
		Novelty   *gatewayv1.NoveltyView
		Files     []fileRow
		Acts      []actView
		Charts    []chartView
		Logs      []logRow
		LogsTotal int
		Journal   []eventRow
		Total     int
		Record    *recordv1.Idea
		Plan      []*recordv1.PlannedRun
	}{
		frame: f, State: stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), Next: s.GetNext(), Stages: stageRows(i.GetStages()), Steps: i.GetSteps(), Runs: i.GetRuns(),
		Novelty: i.GetNovelty(), NoFigures: "Figures appear when the figures stage has ended.",
		Acts: actsOfIdea(f.Base, k.String(), i), Charts: chartsOf(p.s.primaryOf(k), i.GetRuns()), Record: i.GetRecord(), Plan: i.GetPlan(),
	}
	if len(d.Plan) == 0 {
		d.Plan = i.GetRecord().GetPlannedRuns()
	}
	d.Logs, d.LogsTotal = p.logRows(r.Context(), f.Base, i.GetSteps())
	d.Journal, d.Total = p.s.eventRows(k)
	for _, warning := range i.GetWarnings() {
		d.Warnings = append(d.Warnings, warning.GetText())
	}
	if len(i.GetRuns()) > 0 {
		d.Measured = measured(i.GetRuns())
	}
	d.Groups = stepGroups(i.GetSteps(), r.URL.Query().Get("step"))
	for _, st := range i.GetSteps() {
		if st.GetStep() == r.URL.Query().Get("step") {
			d.Open = p.openStep(r.Context(), k, st)
		}
	}
	for _, fig := range i.GetFigures() {
		d.Figures = append(d.Figures, figureRow{fig.GetPath(), "/v1" + f.Base + "/files/" + fig.GetPath(), fig.GetDescription(), strings.HasSuffix(fig.GetPath(), ".png")})
	}
	files, err := p.s.Files(r.Context(), k)
	if err != nil {
		p.s.log.WarnContext(r.Context(), "list result files", "error", err)
	}
	for _, file := range files {
		d.Files = append(d.Files, fileRow{file.Path, "/v1" + f.Base + "/files/" + file.Path, size(file.Size)})
	}
	p.render(w, "idea", http.StatusOK, d)
}

func size(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d kB", n/1000)
}

func stageRows(in []*gatewayv1.StageView) []stageRow {
	class := map[string]string{"not-begun": "todo", "now": "now", "done": "", "waits": "waits", "failed": "failed", "turned-down": "down"}
	var out []stageRow
	for _, s := range in {
		t := ""
		if s.GetStarted() != nil && s.GetEnded() != nil {
			t = took(s.GetEnded().AsTime().Sub(s.GetStarted().AsTime()))
		}
		out = append(out, stageRow{s.GetStage(), class[s.GetState()], strings.ReplaceAll(s.GetState(), "-", " "), s.GetText(), t})
	}
	return out
}

// stepGroups lays the steps out by stage, with bars on one scale from the first start to the last end.
func stepGroups(steps []*gatewayv1.StepView, open string) []stepGroup {
	var first, last time.Time
	for _, s := range steps {
		if t := s.GetStarted().AsTime(); first.IsZero() || t.Before(first) {
			first = t
		}
		for _, t := range []time.Time{s.GetStarted().AsTime(), s.GetEnded().AsTime()} {
			if t.After(last) {
				last = t
			}
		}
	}
	span := max(last.Sub(first), time.Millisecond).Seconds()
	var out []stepGroup
	for _, s := range steps {
		if len(out) == 0 || out[len(out)-1].Stage != s.GetStage() {
			out = append(out, stepGroup{Stage: s.GetStage()})
		}
		end := last
		row := stepRow{Name: s.GetStep(), Short: s.GetStep()[strings.IndexByte(s.GetStep(), '/')+1:], Cost: cost(s.GetUsage()), State: stepState(s), Open: s.GetStep() == open}
		if s.GetEnded() != nil {
			end = s.GetEnded().AsTime()
			row.Took = took(end.Sub(s.GetStarted().AsTime()))
		}
		row.X = fmt.Sprintf("%.2f", 100*s.GetStarted().AsTime().Sub(first).Seconds()/span)
		row.W = fmt.Sprintf("%.2f", max(0.35, 100*end.Sub(s.GetStarted().AsTime()).Seconds()/span))
		switch {
		case s.GetBad():
			row.BarClass = "bad"
		case s.GetState() == "running":
			row.BarClass = "live"
		}
		g := &out[len(out)-1]
		g.Steps = append(g.Steps, row)
	}
	return out
}

func cost(u *recordv1.Usage) string {
	if u.GetCalls() == 0 {
		return ""
	}
	return fmt.Sprintf("$%.2f", float64(u.GetCostPicoDollars())/1e12)
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

func (p *pageSet) openStep(ctx context.Context, k journal.Key, s *gatewayv1.StepView) *openStep {
	o := &openStep{Name: s.GetStep(), Text: s.GetText(), State: stepState(s), Command: "nullius diff " + k.String() + " " + s.GetStep()}
	add := func(name, text string) {
		if text != "" {
			o.Facts = append(o.Facts, fact{name, text})
		}
	}
	add("Where", strings.Trim(s.GetNode()+", sandbox "+s.GetSandbox(), ", "))
	if s.GetSandbox() == "" {
		o.Facts = nil
	} else {
		add("Used", fmt.Sprintf("CPU %.1f s, memory %d MiB", s.GetCpu().AsDuration().Seconds(), s.GetPeakMemoryBytes()>>20))
	}
	add("Out", s.GetSnapshotOut())
	add("Attempts", fmt.Sprint(s.GetAttempts()))
	for _, b := range []struct{ name, digest string }{{"Diff", s.GetDiffDigest()}, {"Reply of the model", s.GetReplyDigest()}, {"Standard error", s.GetStderrDigest()}, {"Output", s.GetStdoutDigest()}} {
		if b.digest == "" {
			continue
		}
		data, err := store.GetBytes(ctx, p.s.d.Blobs, store.Digest(b.digest), maxReviewText)
		if err != nil {
			continue
		}
		v := blobView{Name: b.name, Size: size(int64(len(data))), Body: strings.ToValidUTF8(string(data[:min(len(data), 200_000)]), "\uFFFD"), Diff: b.name == "Diff", Open: b.name != "Output"}
		if v.Diff {
			for line := range strings.Lines(v.Body) {
				line = strings.TrimRight(line, "\n")
				kind := " "
				if !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "---") && line != "" {
					kind = line[:1]
				}
				v.Lines = append(v.Lines, diffLine{kind, line})
			}
		}
		o.Blobs = append(o.Blobs, v)
	}
	return o
}

type spanView struct {
	Name, Part, Class, X, W, Took string
	Depth                         int
}

// longDigest is a digest in a span's name, such as a recording's.
var longDigest = regexp.MustCompile(`([0-9a-f]{12})[0-9a-f]{52}`)

// maxDepth is as deep as the style sheet indents.
const maxDepth = 4

// spanViews lays a trace out as a waterfall, parents before their children.
func spanViews(spans []telemetry.Span) []spanView {
	known, children := map[string]bool{}, map[string][]telemetry.Span{}
	first, last := int64(1<<62), int64(0)
	for _, s := range spans {
		known[s.SpanID] = true
		first, last = min(first, s.Start), max(last, s.End)
	}
	for _, s := range spans {
		parent := s.ParentID
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	total := float64(max(1, last-first))
	var out []spanView
	var walk func(string, int)
	walk = func(id string, depth int) {
		list := children[id]
		sort.SliceStable(list, func(a, b int) bool { return list[a].Start < list[b].Start })
		for _, s := range list {
			v := spanView{Name: longDigest.ReplaceAllString(s.Name, "$1…"), Part: s.Component, Depth: min(depth, maxDepth), Took: took(time.Duration(s.End - s.Start))}
			v.X = fmt.Sprintf("%.2f", 100*float64(s.Start-first)/total)
			v.W = fmt.Sprintf("%.2f", max(0.3, 100*float64(s.End-s.Start)/total))
			if s.Status == "error" && s.Attributes["rpc.response.status_code"] != "CANCELLED" { // who has its result hangs up
				v.Class = "bad"
			}
			out = append(out, v)
			if s.SpanID != "" && depth < 60 {
				walk(s.SpanID, depth+1)
			}
		}
	}
	walk("", 0)
	return out
}
