package gateway

import (
	"net/http"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/proto/subject"
)

// waitView is one line of what waits for a person, and its form.
type waitView struct {
	ID, Href, Name, Title, Spent, Tokens, Left, Stage string
	State                                             stateView
	For                                               ageView
	Acts                                              []actView
	Record                                            *recordv1.Idea
	Novelty                                           *gatewayv1.NoveltyView
	Plan                                              []*recordv1.PlannedRun
	LastDiff                                          string // address of the latest code change; empty: there is none
	Expected                                          string // cost to the end, from an idea that has ended
}

// maxWaits bounds how many machines that wait are shown with their forms.
const maxWaits = 100

// waits shows what waits for a person, the latest first: it is what came up while one was away.
func (p *pageSet) waits(r *http.Request) ([]waitView, error) {
	var out []waitView
	for _, w := range p.s.waitForPerson() {
		if len(out) == maxWaits {
			break
		}
		v, err := p.waitView(r, w)
		if fault.KindOf(err) == fault.NotFound {
			continue // ended and gone since
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (p *pageSet) waitView(r *http.Request, w waitingMachine) (waitView, error) {
	k := w.key
	study, err := p.s.GetStudy(r.Context(), journal.Key{Study: k.Study, Idea: subject.StudyItself})
	if err != nil {
		return waitView{}, err
	}
	v := waitView{ID: k.Study + "-" + k.Idea, For: ageOf(timestamppb.New(w.since)), Tokens: tokensOf(study.GetAccount())}
	if a := study.GetAccount(); a.GetLimitPicoDollars() > 0 {
		v.Left = dollars(max(0, a.GetLimitPicoDollars()-a.GetSpentPicoDollars())) + " of " + dollars(a.GetLimitPicoDollars())
	}
	if k.IsStudy() {
		v.Href, v.Name, v.Title = "/studies/"+k.Study, k.Study, shorten(or(study.GetFacts().GetTitle(), study.GetTemplate()), listTitle)
		v.State, v.Spent, v.Acts = stateOf(study.GetState(), study.GetWaitReason(), study.GetMessage()), spentOf(study.GetUsage(), study.GetAccount()), actsOfStudy(k, study)
		return v, nil
	}
	i, err := p.s.GetIdea(r.Context(), k)
	if err != nil {
		return waitView{}, err
	}
	s := i.GetSummary()
	v.Href, v.Name, v.Title, v.Stage = "/studies/"+k.Study+"/ideas/"+k.Idea, k.String(), shorten(or(i.GetRecord().GetTitle(), k.Idea), listTitle), s.GetStage()
	v.State, v.Spent, v.Acts = stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), spentOf(s.GetUsage(), nil), actsOfIdea(k, i, study.GetSettings())
	v.Record, v.Novelty, v.Plan = i.GetRecord(), i.GetNovelty(), i.GetPlan()
	if len(v.Plan) == 0 {
		v.Plan = i.GetRecord().GetPlannedRuns()
	}
	for _, step := range i.GetSteps() {
		if step.GetDiffDigest() != "" {
			v.LastDiff = v.Href + "?step=" + step.GetStep() + "#step"
		}
	}
	v.Expected = expectedCost(study, s)
	return v, nil
}

// expectedCost is what an idea of the study that went through all stages has cost beyond what this one has.
func expectedCost(study *gatewayv1.Study, s *gatewayv1.IdeaSummary) string {
	for _, other := range study.GetIdeas() {
		if other.GetState() != gatewayv1.IdeaState_SUCCEEDED || other.GetUsage().GetUnpriced() {
			continue
		}
		_, id := splitIdea(other.GetName())
		return dollars(max(0, other.GetUsage().GetCostPicoDollars()-s.GetUsage().GetCostPicoDollars())) + ", from what " + id + " has cost"
	}
	return "unknown: no idea of this study has ended"
}

func (p *pageSet) approvals(w http.ResponseWriter, r *http.Request) {
	d := struct {
		frame
		Waits []waitView
	}{frame: p.frame("Approvals", "approvals", "nullius list approvals")}
	d.Events = p.events(r.Context(), "")
	var err error
	if d.Waits, err = p.waits(r); err != nil {
		p.fail(w, err)
		return
	}
	p.render(w, "approvals", http.StatusOK, d)
}
