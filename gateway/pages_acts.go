package gateway

import (
	"strings"

	"nullius.dev/gateway/internal/journal"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// actView is a form that asks the API for one change.
type actView struct {
	ID               string // unique on the page
	Action           string // where it posts to
	Button, Class    string
	Fold             string // the summary it hides under; empty: open
	Note             string
	Second, SecondTo string // another button and where that posts to; it needs a reason
	Commands         []string
	Etag             int64
	Dollars, Tokens  bool     // asks for an amount
	Stages           []string // offers a stage to begin from
	Force            bool     // offers to kill at once
	Edit             *editView
	Submit           bool // asks for a new idea
}

// editView is an idea as a form edits it.
type editView struct{ Title, Hypothesis, Experiment, Plan string }

func editOf(i *recordv1.Idea) *editView {
	var plan []string
	for _, r := range i.GetPlannedRuns() {
		plan = append(plan, strings.Join([]string{r.GetName(), r.GetChange(), r.GetExpected()}, " | "))
	}
	return &editView{i.GetTitle(), i.GetHypothesis(), i.GetExperiment(), strings.Join(plan, "\n")}
}

// actsOfIdea are the changes that are legal now, the one that is waited for first. settings are its study's.
func actsOfIdea(k journal.Key, i *gatewayv1.Idea, settings *gatewayv1.StudySettings) []actView {
	s, ref, url := i.GetSummary(), k.String(), "/v1/"+ideaName(k.Study, k.Idea)
	name := func(act string) string { return act + "-" + k.Study + "-" + k.Idea }
	cancel := actView{
		ID: name("cancel"), Action: url + ":cancel", Button: "Cancel this idea", Class: "no", Fold: "Cancel this idea", Force: true, Commands: []string{"nullius cancel " + ref},
		Note: "A running experiment gets 30 s to end. What the idea has made is kept, and it can be run again.",
	}
	approve := actView{ID: name("approve"), Action: url + ":approve", Class: "main", Etag: i.GetEtag(), Commands: []string{"nullius approve " + ref}}
	switch s.GetState() {
	case gatewayv1.IdeaState_FAILED, gatewayv1.IdeaState_CANCELLED:
		retry := actView{
			ID: name("retry"), Action: url + ":retry", Button: "Run again", Class: "main", Etag: i.GetEtag(), Commands: []string{"nullius retry " + ref},
			Note: "All that was done before that stage is kept, and paid answers are not asked for again.",
		}
		for _, st := range i.GetStages() {
			if st.GetStarted() != nil {
				retry.Stages = append(retry.Stages, st.GetStage())
			}
		}
		return []actView{retry}
	case gatewayv1.IdeaState_WAITING:
		switch s.GetWaitReason() {
		case gatewayv1.WaitReason_APPROVAL:
			approve.Button, approve.Second, approve.SecondTo, approve.Edit = "Approve", "Reject", url+":reject", editOf(i.GetRecord())
			approve.Note = "Rejecting is final: the idea becomes REJECTED."
			approve.Commands = append(approve.Commands, "nullius reject "+ref+` --reason "…"`)
			return []actView{approve, cancel}
		case gatewayv1.WaitReason_QUARANTINE:
			approve.Button, approve.Note = "Release and go on", "The idea stopped because it crashed again and again without progress; it goes on at the same step."
			return []actView{approve, cancel}
		case gatewayv1.WaitReason_BUDGET:
			return []actView{raiseAct(name("raise"), ref, url, settings), cancel}
		}
		return []actView{cancel}
	case gatewayv1.IdeaState_PENDING, gatewayv1.IdeaState_RUNNING:
		return []actView{cancel}
	}
	return nil
}

// raiseAct asks for more of what is bounded.
func raiseAct(id, ref, url string, settings *gatewayv1.StudySettings) actView {
	a := actView{ID: id, Action: url + ":approve", Button: "Add and go on", Class: "main", Dollars: settings.GetBudgetPicoDollars() > 0, Tokens: settings.GetBudgetTokens() > 0}
	if a.Dollars {
		a.Commands = append(a.Commands, "nullius approve "+ref+" --add-budget 1")
	}
	if a.Tokens {
		a.Commands = append(a.Commands, "nullius approve "+ref+" --add-tokens 50000")
	}
	return a
}

func actsOfStudy(k journal.Key, s *gatewayv1.Study) []actView {
	url := "/v1/" + studyName(k.Study)
	name := func(act string) string { return act + "-" + k.Study }
	var out []actView
	bounded := s.GetSettings().GetBudgetPicoDollars() > 0 || s.GetSettings().GetBudgetTokens() > 0
	raise := raiseAct(name("raise"), k.Study, url+"/ideas/_", s.GetSettings())
	switch {
	case s.GetState() == gatewayv1.IdeaState_SUCCEEDED && s.GetBaseline() != nil:
		return []actView{submitAct(name("submit"), k, url)}
	case s.GetState() == gatewayv1.IdeaState_FAILED || s.GetState() == gatewayv1.IdeaState_CANCELLED:
		return []actView{{ID: name("retry"), Action: url + "/ideas/_:retry", Button: "Run again", Class: "main", Etag: s.GetEtag(), Commands: []string{"nullius retry " + k.Study}}}
	case s.GetEnded() != nil:
		return nil
	case s.GetWaitReason() == gatewayv1.WaitReason_BUDGET:
		out = append(out, raise)
	case s.GetWaitReason() == gatewayv1.WaitReason_APPROVAL || s.GetWaitReason() == gatewayv1.WaitReason_QUARANTINE:
		out = append(out, actView{ID: name("approve"), Action: url + "/ideas/_:approve", Button: "Release and go on", Class: "main", Etag: s.GetEtag(), Commands: []string{"nullius approve " + k.Study}})
	}
	if bounded && s.GetWaitReason() != gatewayv1.WaitReason_BUDGET {
		raise.Fold, raise.Button = "Add to the budget", "Add"
		out = append(out, raise)
	}
	return append(out, submitAct(name("submit"), k, url), actView{
		ID: name("cancel"), Action: url + ":cancel", Button: "Cancel this study", Class: "no", Fold: "Cancel this study", Force: true, Commands: []string{"nullius cancel " + k.Study},
		Note: "Its ideas are cancelled too. What they have made is kept.",
	})
}

// submitAct asks for an idea of one's own.
func submitAct(id string, k journal.Key, url string) actView {
	return actView{ID: id, Action: url + "/ideas", Button: "Submit", Class: "main", Fold: "Submit an idea", Submit: true, Commands: []string{"nullius submit idea.json --study " + k.Study}}
}
