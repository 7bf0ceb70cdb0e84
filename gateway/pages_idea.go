package gateway

import (
	"net/http"
	"strings"
	"time"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

type stageRow struct{ Name, Class, Word, Text, Took string }

type fact struct{ Name, Text string }

type fileRow struct{ Path, Href, Size string }

type figureRow struct {
	Path, Href, Description string
	Image                   bool
}

type ideaPage struct {
	frame
	State      stateView
	Step       string // in progress
	Since, Age ageView
	Spent      string
	Next       string
	Warnings   []string
	Stages     []stageRow
	StepCount  int
	Bad        int // failed tries
	Axis       []axisTick
	Groups     []stepGroup
	Open       *openStep
	Runs       []runRow
	Measured   *measuredView
	Figures    []figureRow
	Novelty    *gatewayv1.NoveltyView
	Files      []fileRow
	FilesNote  string
	Acts       []actView
	Charts     []chartView
	Running    *liveLog
	Logs       []logRow
	LogsTotal  int
	Journal    []eventRow
	Total      int
	Record     *recordv1.Idea
	Plan       []*recordv1.PlannedRun
}

func (p *pageSet) idea(w http.ResponseWriter, r *http.Request) {
	i, k, f, err := p.ideaFrame(r, "idea", "nullius show")
	if err != nil {
		p.fail(w, err)
		return
	}
	if f.Events != "" {
		f.Events += "&logs=true"
	}
	s := i.GetSummary()
	d := ideaPage{
		frame: f, State: withReason(stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), s.GetReason()), Step: s.GetStep(), Since: ageOf(s.GetStepSince()), Age: ageOf(s.GetCreated()),
		Spent: spentOf(s.GetUsage(), nil), Next: s.GetNext(), Stages: stageRows(i.GetStages()), StepCount: len(i.GetSteps()), Novelty: i.GetNovelty(), Acts: actsOfIdea(k, i, p.s.settingsOf(k)),
		Charts: chartsOf(p.s.primaryOf(k), i.GetRuns()), Record: i.GetRecord(), Plan: i.GetPlan(), Running: p.s.runningLog(k, f.Base),
	}
	if s.GetEnded() != nil {
		d.Since, d.Step = ageOf(s.GetEnded()), ""
	}
	if len(d.Plan) == 0 {
		d.Plan = i.GetRecord().GetPlannedRuns()
	}
	d.Logs, d.LogsTotal = p.logRows(r.Context(), f.Base, i.GetSteps())
	d.Journal, d.Total = p.s.eventRows(k)
	for _, warning := range i.GetWarnings() {
		d.Warnings = append(d.Warnings, warning.GetText())
	}
	step := r.URL.Query().Get("step")
	d.Groups, d.Axis = timeline(i.GetSteps(), p.s.waitRows(k), step, time.Now())
	for _, st := range i.GetSteps() {
		if st.GetBad() {
			d.Bad++
		}
		if st.GetStep() == step {
			d.Open = p.openStep(r.Context(), k, f.Base, st)
		}
	}
	var paths []string
	files, err := p.s.Files(r.Context(), k)
	if err != nil {
		p.s.log.WarnContext(r.Context(), "list result files", "error", err)
		d.FilesNote = "The files cannot be listed now; the server's log has the reason."
	}
	for _, file := range files {
		paths = append(paths, file.Path)
		d.Files = append(d.Files, fileRow{file.Path, "/v1" + f.Base + "/files/" + file.Path, size(file.Size)})
	}
	if len(i.GetRuns()) > 0 {
		d.Runs, d.Measured = runRows(f.Base, i, paths), measured("idea", i.GetRuns())
	}
	for _, fig := range i.GetFigures() {
		d.Figures = append(d.Figures, figureRow{fig.GetPath(), "/v1" + f.Base + "/files/" + fig.GetPath(), fig.GetDescription(), isImage(fig.GetPath())})
	}
	p.render(w, "idea", http.StatusOK, d)
}

// isImage tells whether a browser may show a file: SVG is a program, so it is not.
func isImage(path string) bool {
	return strings.HasPrefix(mediaType(path), "image/")
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
