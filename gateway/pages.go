package gateway

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

//go:embed web
var webFiles embed.FS

// pageSet renders the pages; text from models is escaped by html/template.
type pageSet struct {
	s *Service
	t *template.Template

	images *pageImages
}

// frame is what all pages have.
type frame struct {
	Title, Here, Command, Events, Base string
	Account                            *accountView
	Crumbs                             []crumb
}

type crumb struct{ Text, Href string }

type accountView struct{ Spent, Input, Cached, Output, Reasoning string }

// stateView is a state as pages show it: a shape by class, a word, a reason.
type stateView struct{ Class, Text, Why string }

// pages serves what a browser shows.
func (s *Service) pages(mux *http.ServeMux) {
	p := &pageSet{s: s, t: template.Must(template.ParseFS(webFiles, "web/*.html")), images: newPageImages(s.d.Sandbox, s.d.Blobs)}
	mux.Handle("GET /web/", http.FileServerFS(webFiles))
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /studies/{s}", p.study)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}", p.idea)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/paper", p.paper)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/trace", p.trace)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/pages/{n}", p.sheet)
	mux.HandleFunc("GET /", p.lost)
}

func (p *pageSet) render(w http.ResponseWriter, name string, code int, data any) {
	var b bytes.Buffer
	if err := p.t.ExecuteTemplate(&b, name, data); err != nil {
		p.s.log.Error("render a page", "page", name, "error", err)
		http.Error(w, "this page cannot be shown; the server's log has the rest", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// fail shows an error in words, with the next command.
func (p *pageSet) fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if fault.KindOf(err) == fault.NotFound || fault.KindOf(err) == fault.Invalid {
		code = http.StatusNotFound
	}
	next := or(fault.NextOf(err), "nullius list studies")
	p.render(w, "error", code, struct {
		frame
		Reason, Message, Next string
	}{frame{Title: "Not shown", Command: next, Crumbs: []crumb{{"Studies", "/"}, {"not shown", ""}}}, fault.ReasonOf(err), messageOf(err), next})
}

// lost answers what no other route does.
func (p *pageSet) lost(w http.ResponseWriter, r *http.Request) {
	err := fault.New(fault.NotFound, "PAGE_UNKNOWN", "there is no page %s", shorten(r.URL.Path, 200)).WithNext("nullius list studies")
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		failJSON(w, err)
		return
	}
	p.fail(w, err)
}

func (p *pageSet) home(w http.ResponseWriter, r *http.Request) {
	type row struct {
		ID, Title, Model, Spent, Started string
		Ideas                            int
		State                            stateView
	}
	type waiting struct {
		Href, ID, Title, Next string
		State                 stateView
	}
	d := struct {
		frame
		Studies []row
		Waiting []waiting
		Parts   []*gatewayv1.Part
	}{frame: frame{Title: "Studies", Here: "home", Command: "nullius list studies"}}
	list, err := server{s: p.s}.ListStudies(r.Context(), &gatewayv1.ListStudiesRequest{PageSize: 200})
	if err != nil {
		p.fail(w, err)
		return
	}
	for _, s := range list.GetStudies() {
		d.Studies = append(d.Studies, row{
			ID: s.GetName()[len("studies/"):], Title: or(s.GetFacts().GetTitle(), s.GetTemplate()), Model: shortModel(s.GetSettings().GetModel()),
			Spent: spentOf(s.GetUsage(), s.GetAccount()), Started: clock(s.GetCreated().AsTime()), Ideas: len(s.GetIdeas()),
			State: stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()),
		})
	}
	for _, s := range list.GetStudies() {
		for _, i := range s.GetIdeas() {
			switch i.GetWaitReason() {
			case gatewayv1.WaitReason_APPROVAL, gatewayv1.WaitReason_BUDGET, gatewayv1.WaitReason_QUARANTINE:
				id := strings.NewReplacer("studies/", "", "/ideas/", "/").Replace(i.GetName())
				d.Waiting = append(d.Waiting, waiting{"/" + i.GetName(), id, i.GetTitle(), i.GetNext(), stateOf(i.GetState(), i.GetWaitReason(), i.GetMessage())})
			}
		}
	}
	d.Parts = p.s.Status(r.Context()).GetParts()
	p.render(w, "home", http.StatusOK, d)
}

// shortModel keeps a recording's digest from filling the table.
func shortModel(m string) string {
	if rec, ok := strings.CutPrefix(m, "recording/"); ok && len(rec) > 12 {
		return "recording/" + rec[:12] + "…"
	}
	return m
}

func stateOf(s gatewayv1.IdeaState_Value, w gatewayv1.WaitReason_Value, why string) stateView {
	class := map[gatewayv1.IdeaState_Value]string{
		gatewayv1.IdeaState_PENDING: "pending", gatewayv1.IdeaState_RUNNING: "running", gatewayv1.IdeaState_WAITING: "waiting", gatewayv1.IdeaState_SUCCEEDED: "ok",
		gatewayv1.IdeaState_REJECTED: "rejected", gatewayv1.IdeaState_FAILED: "failed", gatewayv1.IdeaState_CANCELLED: "cancelled",
	}[s]
	text := s.String()
	if w != gatewayv1.WaitReason_UNSPECIFIED {
		text += " · " + w.String()
	}
	return stateView{class, text, why}
}

func spentOf(u *recordv1.Usage, a *gatewayv1.Account) string {
	text := fmt.Sprintf("$%.2f", float64(u.GetCostPicoDollars())/1e12)
	if l := a.GetLimitPicoDollars(); l > 0 {
		text += fmt.Sprintf(" of $%.2f", float64(l)/1e12)
	}
	if u.GetUnpriced() {
		text += ", some unknown"
	}
	return text
}

func accountOf(u *recordv1.Usage, a *gatewayv1.Account) *accountView {
	return &accountView{spentOf(u, a), count(u.GetInputTokens() + u.GetCacheWriteTokens()), count(u.GetCacheReadTokens()), count(u.GetOutputTokens()), count(u.GetReasoningTokens())}
}

// count writes a number with thin groups of three.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func clock(t time.Time) string {
	if t.Unix() <= 0 {
		return "unknown"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
}

func (p *pageSet) study(w http.ResponseWriter, r *http.Request) {
	k, err := parseStudy(studyName(r.PathValue("s")))
	var s *gatewayv1.Study
	if err == nil {
		s, err = p.s.GetStudy(r.Context(), k)
	}
	if err != nil {
		p.fail(w, err)
		return
	}
	type row struct {
		Href, ID, Title, Stage, Runs, Best, Score, Cost string
		State                                           stateView
	}
	d := struct {
		frame
		ID, Started, Next, Metric string
		State                     stateView
		Failed                    int32
		Ideas                     []row
		Baseline                  *measuredView
		Acts                      []actView
		Charts                    []chartView
	}{
		frame: frame{
			Title: or(s.GetFacts().GetTitle(), s.GetTemplate()), Command: "nullius watch " + k.Study, Account: accountOf(s.GetUsage(), s.GetAccount()),
			Crumbs: []crumb{{"Studies", "/"}, {k.Study, ""}},
		},
		ID: k.Study, Started: clock(s.GetCreated().AsTime()), Next: s.GetNext(), State: stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), Failed: s.GetIdeasFailed(),
		Metric: metricText(s.GetFacts().GetPrimary()), Acts: actsOfStudy(k, s), Charts: p.studyChart(r.Context(), k, s),
	}
	if s.GetEnded() == nil {
		d.Events = "/v1/studies/" + k.Study + "/events?from_now=true"
	}
	for _, i := range s.GetIdeas() {
		id := i.GetName()[strings.LastIndexByte(i.GetName(), '/')+1:]
		x := row{
			Href: "/studies/" + k.Study + "/ideas/" + id, ID: id, Title: i.GetTitle(), Stage: i.GetStage(), Runs: fmt.Sprint(i.GetRunsDone()), Best: "none yet", Score: "not yet",
			Cost: spentOf(i.GetUsage(), nil), State: stateOf(i.GetState(), i.GetWaitReason(), i.GetMessage()),
		}
		if i.GetRunsFailed() > 0 {
			x.Runs += fmt.Sprintf(" + %d failed", i.GetRunsFailed())
		}
		if i.Best != nil {
			x.Best = minus(fmt.Sprintf("%.4g", i.GetBest())) + fmt.Sprintf(" (run_%d)", i.GetBestRun())
		}
		if i.Score != nil {
			x.Score = fmt.Sprintf("%.1f %s", i.GetScore(), i.GetDecision())
		}
		d.Ideas = append(d.Ideas, x)
	}
	if s.GetBaseline() != nil {
		d.Baseline = measured([]*recordv1.Run{s.GetBaseline()})
	}
	p.render(w, "study", http.StatusOK, d)
}

func metricText(m *recordv1.Metric) string {
	if m.GetName() == "" {
		return "The template names no primary metric."
	}
	text := "Metric: " + m.GetName()
	if m.GetDataset() != "" {
		text += " of " + m.GetDataset()
	}
	switch m.GetDirection() {
	case recordv1.Direction_MINIMIZE:
		text += ", lower is better"
	case recordv1.Direction_MAXIMIZE:
		text += ", higher is better"
	}
	return text + "."
}

// measuredView is a table of measurements, a column a run.
type measuredView struct {
	Heads []string
	Rows  []measuredRow
}

type measuredRow struct {
	Dataset, Metric string
	Cells           []string
}

func measured(runs []*recordv1.Run) *measuredView {
	v := &measuredView{}
	at := map[string]int{}
	for _, r := range runs {
		if r.GetOutcome() != recordv1.Run_Outcome_SUCCEEDED {
			continue
		}
		v.Heads = append(v.Heads, fmt.Sprintf("run_%d", r.GetNumber()))
		for _, m := range r.GetMeasurements() {
			key := m.GetDataset() + "/" + m.GetMetric()
			i, ok := at[key]
			if !ok {
				i = len(v.Rows)
				at[key] = i
				v.Rows = append(v.Rows, measuredRow{Dataset: m.GetDataset(), Metric: m.GetMetric()})
			}
			for len(v.Rows[i].Cells) < len(v.Heads)-1 {
				v.Rows[i].Cells = append(v.Rows[i].Cells, "none")
			}
			if len(v.Rows[i].Cells) < len(v.Heads) { // a name that comes twice counts once
				v.Rows[i].Cells = append(v.Rows[i].Cells, plusMinus(m))
			}
		}
	}
	for i := range v.Rows {
		for len(v.Rows[i].Cells) < len(v.Heads) {
			v.Rows[i].Cells = append(v.Rows[i].Cells, "none")
		}
	}
	return v
}

// ideaFrame reads an idea and what all its pages show.
func (p *pageSet) ideaFrame(r *http.Request, here, command string) (*gatewayv1.Idea, journal.Key, frame, error) {
	k, err := parseIdea(ideaOf(r))
	if err != nil {
		return nil, k, frame{}, err
	}
	i, err := p.s.GetIdea(r.Context(), k)
	if err != nil {
		return nil, k, frame{}, err
	}
	base := "/studies/" + k.Study + "/ideas/" + k.Idea
	f := frame{
		Title: or(i.GetRecord().GetTitle(), k.Idea), Here: here, Base: base, Command: command + " " + k.String(), Account: accountOf(i.GetSummary().GetUsage(), i.GetAccount()),
		Crumbs: []crumb{{"Studies", "/"}, {k.Study, "/studies/" + k.Study}, {k.Idea, ""}},
	}
	if i.GetSummary().GetEnded() == nil && here == "idea" {
		f.Events = "/v1" + base + "/events?from_now=true"
	}
	return i, k, f, nil
}

// verification is what of verification.json the paper page shows.
type verification struct {
	Numbers []struct {
		Section   string  `json:"section"`
		Paragraph int     `json:"paragraph"`
		Text      string  `json:"text"`
		Expr      string  `json:"expr"`
		Value     float64 `json:"value"`
	} `json:"numbers"`
	Unexplained []struct {
		Section  string `json:"section"`
		Text     string `json:"text"`
		Sentence string `json:"sentence"`
	} `json:"unexplained"`
}

type numberView struct {
	Section, Shown, Expr string
	Paragraph            int
}

func (p *pageSet) verification(ctx context.Context, snapshot, path string) verification {
	var v verification
	if b, err := store.ReadFile(ctx, p.s.d.Blobs, store.Digest(snapshot), path, maxReviewText); err == nil {
		_ = json.Unmarshal(b, &v) // a file of another shape shows nothing
	}
	return v
}

func (p *pageSet) paper(w http.ResponseWriter, r *http.Request) {
	i, _, f, err := p.ideaFrame(r, "paper", "nullius open")
	if err != nil {
		p.fail(w, err)
		return
	}
	type paperPart struct {
		ID, Name, PDF string
		View          *gatewayv1.PaperView
		Numbers       []numberView
		Unexplained   any
		Sheets        []sheet
	}
	type reviewPart struct {
		ID, Name, Decision, Reason, Summary string
		Scores                              []*reviewerv1.Score
		Weak                                []*reviewerv1.ReviewComment
		Strengths                           []string
	}
	d := struct {
		frame
		Papers  []paperPart
		Reviews []reviewPart
	}{frame: f}
	add := func(id, name, file string, view *gatewayv1.PaperView) {
		if view == nil {
			return
		}
		part := paperPart{ID: id, Name: name, View: view, Sheets: p.sheets(f.Base, id, view)}
		if view.GetPdfPath() != "" {
			part.PDF = "/v1" + f.Base + "/files/" + view.GetPdfPath()
		}
		v := p.verification(r.Context(), view.GetSnapshot(), file)
		for _, n := range v.Numbers {
			part.Numbers = append(part.Numbers, numberView{n.Section, strings.NewReplacer(`\pm`, "±", `\ensuremath`, "", "{", "", "}", "", "-", "−").Replace(n.Text), n.Expr, n.Paragraph})
		}
		if len(v.Unexplained) > 0 {
			part.Unexplained = v.Unexplained
		}
		d.Papers = append(d.Papers, part)
	}
	add("improved", "Improved paper", "verification_improved.json", i.GetImprovedPaper())
	add("first", "Paper", "verification.json", i.GetPaper())
	for _, x := range []struct {
		id, name string
		view     *gatewayv1.ReviewView
	}{{"second", "Second review", i.GetSecondReview()}, {"first", "Review", i.GetReview()}} {
		rev, err := p.s.storedReview(r.Context(), x.view.GetReviewDigest())
		if err != nil || rev == nil {
			continue
		}
		part := reviewPart{ID: x.id, Name: x.name, Decision: decisionWord(rev.GetDecision()), Reason: rev.GetDecisionReason(), Summary: rev.GetSummary(), Scores: rev.GetScores(), Strengths: rev.GetStrengths()}
		for _, c := range rev.GetComments() {
			if !c.GetStrength() {
				part.Weak = append(part.Weak, c)
			}
		}
		d.Reviews = append(d.Reviews, part)
	}
	p.render(w, "paper", http.StatusOK, d)
}

// storedReview reads a review from its blob; nil: there is none.
func (s *Service) storedReview(ctx context.Context, digest string) (*reviewerv1.Review, error) {
	if digest == "" {
		return nil, nil
	}
	b, err := store.GetBytes(ctx, s.d.Blobs, store.Digest(digest), maxReviewPDF)
	if err != nil {
		return nil, err
	}
	r := &reviewerv1.Review{}
	return r, (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, r)
}

func (p *pageSet) trace(w http.ResponseWriter, r *http.Request) {
	i, k, f, err := p.ideaFrame(r, "trace", "nullius trace")
	if err != nil {
		p.fail(w, err)
		return
	}
	d := struct {
		frame
		TraceID string
		Spans   []spanView
	}{frame: f, TraceID: i.GetTraceId(), Spans: spanViews(p.s.Trace(k))}
	p.render(w, "trace", http.StatusOK, d)
}
