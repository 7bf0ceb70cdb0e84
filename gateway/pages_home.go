package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// Bounds of the first page; the rest is a page further.
const (
	studiesPerPage = 50
	maxRunning     = 100
)

// reading is one number of a page's first row.
type reading struct{ Name, Value, Href, Note string }

// runningRow is an idea, or a study before its ideas, that is at work or waits for something that lifts itself.
type runningRow struct {
	Href, Name, Title, Stage, Step, Best, Baseline, Spent string
	State                                                 stateView
	Since, Age                                            ageView
	Bar                                                   []string // classes, a stage each
}

type failedRow struct {
	Href, Name, Title, Next string
	State                   stateView
	When                    ageView
}

type studyRow struct {
	ID, Title, Model, Spent                string
	Started                                ageView
	State                                  stateView
	Ideas, Succeeded, Rejected, Failed, At int
}

type homePage struct {
	frame
	Readings []reading
	Waits    []waitView
	Running  []runningRow
	More     int // running ones that are not shown
	Failed   []failedRow
	Studies  []studyRow
	Next     string // token of the next page of studies
	Parts    []*gatewayv1.Part
}

func (p *pageSet) home(w http.ResponseWriter, r *http.Request) {
	d := homePage{frame: p.frame("Home", "home", "nullius status")}
	d.Events = p.events(r.Context(), "")
	list, err := server{s: p.s}.ListStudies(r.Context(), &gatewayv1.ListStudiesRequest{PageSize: studiesPerPage, PageToken: r.URL.Query().Get("page")})
	if err != nil {
		p.fail(w, err)
		return
	}
	d.Next = list.GetNextPageToken()
	for _, s := range list.GetStudies() {
		d.Studies = append(d.Studies, studyRowOf(s))
	}
	if d.Waits, err = p.waits(r); err != nil {
		p.fail(w, err)
		return
	}
	pending, queued := p.running(r.Context(), &d)
	now := time.Now()
	today := p.s.today(now)
	for _, k := range today.failed {
		if k.IsStudy() {
			if s, err := p.s.GetStudy(r.Context(), k); err == nil {
				title := shorten(or(s.GetFacts().GetTitle(), s.GetTemplate()), listTitle)
				d.Failed = append(d.Failed, failedRow{"/" + s.GetName(), k.Study, title, s.GetNext(), withReason(stateOf(s.GetState(), 0, s.GetMessage()), s.GetReason()), ageOf(s.GetEnded())})
			}
			continue
		}
		if i, err := p.s.GetIdea(r.Context(), k); err == nil {
			s := i.GetSummary()
			d.Failed = append(d.Failed, failedRow{"/" + s.GetName(), k.String(), shorten(or(s.GetTitle(), k.Idea), listTitle), s.GetNext(), withReason(stateOf(s.GetState(), 0, s.GetMessage()), s.GetReason()), ageOf(s.GetEnded())})
		}
	}
	d.Account = accountOf(&today.usage, nil, today.gpu)
	d.Account.Label = "spent today"
	d.Parts = p.s.Status(r.Context()).GetParts()
	d.Readings = p.readings(r.Context(), &d, today, pending, queued)
	p.render(w, "home", http.StatusOK, d)
}

// withReason puts the reason code behind the state's word.
func withReason(v stateView, reason string) stateView {
	if reason != "" && !strings.Contains(v.Text, reason) {
		v.Text += " · " + reason
	}
	return v
}

func studyRowOf(s *gatewayv1.Study) studyRow {
	row := studyRow{
		ID: s.GetName()[len("studies/"):], Title: shorten(or(s.GetFacts().GetTitle(), s.GetTemplate()), listTitle), Model: shortModel(s.GetSettings().GetModel()), Spent: spentOf(s.GetUsage(), s.GetAccount()),
		Started: ageOf(s.GetCreated()), Ideas: len(s.GetIdeas()), State: stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()),
	}
	for _, i := range s.GetIdeas() {
		switch i.GetState() {
		case gatewayv1.IdeaState_SUCCEEDED:
			row.Succeeded++
		case gatewayv1.IdeaState_REJECTED:
			row.Rejected++
		case gatewayv1.IdeaState_FAILED:
			row.Failed++
		}
	}
	return row
}

// running fills in what is at work, over all studies, and counts the ideas that have not begun and the jobs that wait for a slot.
func (p *pageSet) running(ctx context.Context, d *homePage) (pending, queued int) {
	var keys []journal.Key
	p.s.journal.Each(func(m *journal.Machine) {
		c := m.Core()
		state := c.State()
		switch {
		case m.Damaged != nil:
		case m.Key.IsStudy() && (c.Ended != nil || (c.Open == "" && c.Wait == nil)):
			// its ideas say what goes on
		case state == gatewayv1.IdeaState_PENDING:
			pending++
		case state == gatewayv1.IdeaState_RUNNING, state == gatewayv1.IdeaState_WAITING && c.Wait.GetReason() > gatewayv1.WaitReason_QUARANTINE:
			keys = append(keys, m.Key)
			if p.s.live.word(m.Key, c.Open).GetPhase() == phaseQueued {
				queued++
			}
		}
	})
	slices.Reverse(keys)
	for _, k := range keys {
		if len(d.Running) == maxRunning {
			d.More = len(keys) - maxRunning
			break
		}
		if row, err := p.runningRow(ctx, k); err == nil {
			d.Running = append(d.Running, row)
		}
	}
	return pending, queued
}

func (p *pageSet) runningRow(ctx context.Context, k journal.Key) (runningRow, error) {
	if k.IsStudy() {
		s, err := p.s.GetStudy(ctx, k)
		if err != nil {
			return runningRow{}, err
		}
		return runningRow{
			Href: "/studies/" + k.Study, Name: k.Study, Title: shorten(or(s.GetFacts().GetTitle(), s.GetTemplate()), listTitle), Stage: pipeline.StageOf(s.GetStep()), Step: s.GetStep(), Best: "none yet", Baseline: "",
			Spent: spentOf(s.GetUsage(), s.GetAccount()), State: stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), Since: ageOf(s.GetStepSince()), Age: ageOf(s.GetCreated()),
		}, nil
	}
	i, err := p.s.GetIdea(ctx, k)
	if err != nil {
		return runningRow{}, err
	}
	s := i.GetSummary()
	row := runningRow{
		Href: "/" + s.GetName(), Name: k.String(), Title: shorten(or(s.GetTitle(), k.Idea), listTitle), Step: s.GetStep(), Best: bestText(s), Spent: spentOf(s.GetUsage(), nil),
		State: stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), Since: ageOf(s.GetStepSince()), Age: ageOf(s.GetCreated()),
	}
	row.Bar, row.Stage = stageBar(i.GetStages(), s.GetStage())
	if m := measurementOf(firstRun(i), p.s.primaryOf(k), nil); m != nil {
		row.Baseline = plusMinus(m)
	}
	return row, nil
}

// stageBar gives a class for each stage, and the words that the bar stands for.
func stageBar(stages []*gatewayv1.StageView, now string) (bar []string, text string) {
	class := map[string]string{"not-begun": "", "now": "c", "done": "d", "waits": "w", "failed": "f", "turned-down": "x"}
	at := 0
	for n, s := range stages {
		bar = append(bar, class[s.GetState()])
		if s.GetStage() == now {
			at = n + 1
		}
	}
	if at == 0 {
		return bar, now
	}
	return bar, fmt.Sprintf("%s, %d of %d", now, at, len(stages))
}

// readings are the numbers of the first row.
func (p *pageSet) readings(ctx context.Context, d *homePage, today *day, pending, queued int) []reading {
	longest := "nothing needs a person"
	if len(d.Waits) > 0 {
		longest = "longest " + d.Waits[0].For.Text
	}
	at := fmt.Sprintf("%d not begun, %d queued for a slot", pending, queued)
	spent := plural(int(today.usage.GetCalls()), "paid answer")
	switch {
	case today.usage.GetUnpriced():
		spent = "some answers have no known price"
	case today.usage.GetEstimated():
		spent = "some of it estimated"
	}
	out := []reading{
		{"Waiting for me", fmt.Sprint(d.Waiting), "#waiting", longest},
		{"Running", fmt.Sprint(len(d.Running) + d.More), "#running", at},
		{"Failed today", fmt.Sprint(len(today.failed)), "#failed", plural(today.ended, "idea") + " ended"},
		{"Spent today", dollars(today.usage.GetCostPicoDollars()), "", spent},
	}
	gpus := reading{"GPUs busy", "unknown", "/nodes#gpus", "the executor does not answer"}
	nctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if n, err := p.s.workers.executor.ListNodes(nctx, &executorv1.ListNodesRequest{}); err == nil {
		busy, all := slotsOf(n.GetNodes(), "gpu")
		gpus.Value, gpus.Note = fmt.Sprintf("%d of %d", busy, all), ""
		if all == 0 {
			gpus.Value, gpus.Note = "none", "no node has a GPU"
		}
	}
	return append(out, gpus)
}

// slotsOf counts slots of a kind.
func slotsOf(nodes []*executorv1.Node, kind string) (busy, all int) {
	for _, n := range nodes {
		for _, s := range n.GetSlots() {
			if s.GetKind() != kind {
				continue
			}
			if all++; s.GetState() != "FREE" {
				busy++
			}
		}
	}
	return busy, all
}
