package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nullius.dev/gateway/internal/journal"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// ideaRow is a line of a study's table.
type ideaRow struct {
	Href, ID, Title, Stage, Runs, Best, Score, Cost string
	State                                           stateView
	Bar                                             []string
	Age                                             ageView
}

// choice is an option of a select.
type choice struct {
	Value, Text string
	On          bool
}

type studyPage struct {
	frame
	ID, Next, Metric, Find, Template string
	State                            stateView
	Started                          ageView
	Dropped                          int32
	Ideas                            []ideaRow
	All                              int
	States, Sorts                    []choice
	Baseline                         *measuredView
	BaselineStep                     *gatewayv1.StepView
	BaselineNote                     string
	Steps                            []*gatewayv1.StepView
	Settings                         []fact
	Acts                             []actView
	Charts                           []chartView
	Journal                          []eventRow
	Total                            int
}

func (p *pageSet) study(w http.ResponseWriter, r *http.Request) {
	k, err := parseStudy(studyName(r.PathValue("s")))
	if err != nil {
		p.fail(w, err)
		return
	}
	events := p.events(r.Context(), studyName(k.Study))
	s, err := p.s.GetStudy(r.Context(), k)
	if err != nil {
		p.fail(w, err)
		return
	}
	d := studyPage{
		frame: p.frame(shorten(or(s.GetFacts().GetTitle(), s.GetTemplate()), headTitle), "study", "nullius watch "+k.Study), ID: k.Study, Started: ageOf(s.GetCreated()), Next: s.GetNext(),
		State: withReason(stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), s.GetReason()), Dropped: s.GetIdeasFailed(), Metric: metricText(s.GetFacts().GetPrimary()),
		Template: strings.TrimPrefix(s.GetTemplate(), "templates/"), Acts: actsOfStudy(k, s), Charts: p.studyChart(r.Context(), k, s), All: len(s.GetIdeas()), Settings: settingsOf(s.GetSettings()),
	}
	d.Own, d.Account = k.Idea, accountOf(s.GetUsage(), s.GetAccount(), p.s.gpuHours(func(o journal.Key) bool { return o.Study == k.Study }))
	d.Crumbs = []crumb{{"Home", "/"}, {k.Study, ""}}
	if s.GetEnded() == nil {
		d.Events = events
	}
	q := r.URL.Query()
	d.Find = q.Get("find")
	d.States, d.Sorts = stateChoices(q.Get("state")), sortChoices(q.Get("sort"))
	for _, i := range chosenIdeas(s, d.Find, q.Get("state"), q.Get("sort")) {
		d.Ideas = append(d.Ideas, p.ideaRow(r.Context(), k, i))
	}
	d.Steps = p.s.stepsOf(k)
	for _, st := range d.Steps {
		if strings.HasPrefix(st.GetStep(), "baseline") && st.GetState() == "ended" && !st.GetBad() {
			d.BaselineStep = st
		}
	}
	if s.GetBaseline() != nil {
		d.Baseline = measured(k.Study, []*recordv1.Run{s.GetBaseline()})
		d.BaselineNote = baselineNote(s.GetBaseline(), d.BaselineStep)
	}
	d.Journal, d.Total = p.s.eventRows(k)
	p.render(w, "study", http.StatusOK, d)
}

// stepsOf lists a machine's own steps.
func (s *Service) stepsOf(k journal.Key) (out []*gatewayv1.StepView) {
	s.journal.View(k, func(m *journal.Machine) {
		for _, name := range m.Core().Order {
			out = append(out, stepView(m.Core(), m.Core().Steps[name]))
		}
	})
	return out
}

func baselineNote(run *recordv1.Run, step *gatewayv1.StepView) string {
	switch {
	case step != nil && step.GetNode() != "":
		return fmt.Sprintf("Measured on %s, sandbox %s, in %s.", step.GetNode(), step.GetSandbox(), took(run.GetWall().AsDuration()))
	case len(run.GetMeasurements()) > 0 && run.GetMeasurements()[0].GetImported():
		return "It came with the template and was not measured here; run with --fresh-baseline to measure it."
	}
	return "Measured by an earlier study of the same template and settings."
}

func (p *pageSet) ideaRow(ctx context.Context, k journal.Key, i *gatewayv1.IdeaSummary) ideaRow {
	_, id := splitIdea(i.GetName())
	x := ideaRow{
		Href: "/" + i.GetName(), ID: id, Title: shorten(or(i.GetTitle(), id), listTitle), Stage: or(i.GetStage(), "not begun"), Runs: fmt.Sprint(i.GetRunsDone()), Best: bestText(i), Score: "not yet",
		Cost: spentOf(i.GetUsage(), nil), State: withReason(stateOf(i.GetState(), i.GetWaitReason(), i.GetMessage()), i.GetReason()), Age: ageOf(i.GetCreated()),
	}
	if i.GetRunsFailed() > 0 {
		x.Runs += fmt.Sprintf(" + %d failed", i.GetRunsFailed())
	}
	if i.Score != nil {
		x.Score = fmt.Sprintf("%.1f %s", i.GetScore(), i.GetDecision())
	}
	if full, err := p.s.GetIdea(ctx, journal.Key{Study: k.Study, Idea: id}); err == nil {
		x.Bar, _ = stageBar(full.GetStages(), i.GetStage())
	}
	return x
}

func bestText(i *gatewayv1.IdeaSummary) string {
	if i.Best == nil {
		return "none yet"
	}
	return minus(fmt.Sprintf("%.4g", i.GetBest())) + fmt.Sprintf(" (run_%d)", i.GetBestRun())
}

// splitIdea takes studies/{s}/ideas/{i} apart.
func splitIdea(name string) (study, idea string) {
	study, idea, _ = strings.Cut(strings.TrimPrefix(name, "studies/"), "/ideas/")
	return study, idea
}

func stateChoices(on string) []choice {
	out := []choice{{"", "any", on == ""}}
	for v := gatewayv1.IdeaState_PENDING; v <= gatewayv1.IdeaState_CANCELLED; v++ {
		out = append(out, choice{v.String(), v.String(), on == v.String()})
	}
	return out
}

func sortChoices(on string) []choice {
	return []choice{{"", "as made", on == ""}, {"best", "best first", on == "best"}, {"newest", "newest first", on == "newest"}, {"score", "score", on == "score"}, {"cost", "cost", on == "cost"}}
}

// chosenIdeas filters and sorts a study's ideas as the page's address asks; what is unknown there changes nothing.
func chosenIdeas(s *gatewayv1.Study, find, state, by string) []*gatewayv1.IdeaSummary {
	var out []*gatewayv1.IdeaSummary
	for _, i := range s.GetIdeas() {
		_, id := splitIdea(i.GetName())
		text := strings.ToLower(strings.Join([]string{id, i.GetTitle(), i.GetStage(), i.GetReason()}, " "))
		if (state == "" || i.GetState().String() == state) && strings.Contains(text, strings.ToLower(strings.TrimSpace(find))) {
			out = append(out, i)
		}
	}
	less := s.GetFacts().GetPrimary().GetDirection() == recordv1.Direction_MINIMIZE
	slices.SortStableFunc(out, func(a, b *gatewayv1.IdeaSummary) int {
		switch by {
		case "best":
			if a.Best == nil || b.Best == nil || !less {
				return compareSet(b.Best, a.Best)
			}
			return cmp.Compare(a.GetBest(), b.GetBest())
		case "score":
			return compareSet(b.Score, a.Score)
		case "newest":
			return b.GetCreated().AsTime().Compare(a.GetCreated().AsTime())
		case "cost":
			return cmp.Compare(b.GetUsage().GetCostPicoDollars(), a.GetUsage().GetCostPicoDollars())
		}
		return 0
	})
	return out
}

// compareSet orders what is not set before all values.
func compareSet(a, b *float64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

// settingsOf lists what a person would want to know of a study's settings.
func settingsOf(st *gatewayv1.StudySettings) (out []fact) {
	add := func(name, text string) {
		if text != "" && text != "0" {
			out = append(out, fact{name, text})
		}
	}
	add("Model", shortModel(st.GetModel()))
	add("Coder", shortModel(st.GetCoderModel()))
	add("Planner", shortModel(st.GetPlanModel()))
	add("Writer", shortModel(st.GetWriterModel()))
	var reviewers []string
	for _, m := range st.GetReviewModels() {
		reviewers = append(reviewers, shortModel(m))
	}
	add("Review models", strings.Join(reviewers, ", "))
	add("Reviewer", or(st.GetReviewer(), "built in"))
	add("Literature", or(st.GetEngine(), "auto"))
	add("Size", st.GetSize())
	add("Gates", strings.Join(st.GetGates(), ", "))
	add("Left out", strings.Join(st.GetSkip(), ", "))
	add("Until", st.GetUntil())
	if st.GetImprovement() {
		add("Improvement", "on")
	}
	if b := st.GetBudgetPicoDollars(); b > 0 {
		add("Budget", dollars(b)+" at first")
	}
	if b := st.GetBudgetTokens(); b > 0 {
		add("Token budget", count(b)+" at first")
	}
	add("Parallel", fmt.Sprint(st.GetParallel()))
	add("Runs at most", fmt.Sprint(st.GetMaxRuns()))
	return out
}
