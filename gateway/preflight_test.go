package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// start asks for a study on a template and gives the refusal.
func (w *world) refused(r *gatewayv1.StartStudyRequest) *fault.Error {
	w.t.Helper()
	_, err := w.api.StartStudy(w.t.Context(), r)
	f, ok := fault.As(err)
	if !ok {
		w.t.Errorf("%v was not refused with a reason: %v", r, err)
		return fault.New(fault.Internal, "", "")
	}
	if f.Next == "" {
		w.t.Errorf("%s names no next command", f.Reason)
	}
	return f
}

func (w *world) nothingBegan() {
	w.t.Helper()
	list, err := w.api.ListStudies(w.t.Context(), &gatewayv1.ListStudiesRequest{})
	if err != nil || len(list.GetStudies()) > 0 {
		w.t.Errorf("a refused study is there: %v %v", list.GetStudies(), err)
	}
}

func TestStartStudy_namesEverySettingThatCannotBe(t *testing.T) {
	w := newWorld(t)
	for field, s := range map[string]*gatewayv1.StudySettings{
		"model": {}, "gates": {Gates: []string{"x"}}, "skip": {Skip: []string{"baseline"}}, "until": {Until: "the end"}, "size": {Size: "huge"}, "ideas": {Ideas: -1},
		"parallel": {Parallel: 1001}, "max_runs": {MaxRuns: -5}, "max_tries": {MaxTries: -1}, "reflections": {Reflections: -1}, "reviews": {Reviews: -1},
		"review_reflections": {ReviewReflections: -1}, "cite_rounds": {CiteRounds: -1}, "page_limit": {PageLimit: -1}, "budget_pico_dollars": {BudgetPicoDollars: -1},
		"budget_tokens": {BudgetTokens: -1}, "undecided": {Undecided: "maybe"}, "engine": {Engine: "gogle"}, "reviewer": {Reviewer: "inproc:executor"},
		"authors": {Authors: []string{strings.Repeat("x", 1001)}},
	} {
		if field != "model" {
			s.Model = "m"
		}
		f := w.refused(&gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: s})
		if f.Kind != fault.Invalid || f.Reason != "FIELD_INVALID" || len(f.Violations) != 1 || f.Violations[0].Field != "settings."+field {
			t.Errorf("%s: %+v", field, f)
		}
	}
	f := w.refused(&gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "m", Ideas: -1, Size: "x", Engine: "y"}})
	if len(f.Violations) != 3 || !strings.Contains(f.Message, "2 more") {
		t.Errorf("three faults at once: %+v", f)
	}
	for _, idea := range []*recordv1.Idea{nil, {}, {Title: "t"}, {Experiment: "e"}, {Title: " ", Experiment: "e"}} {
		f := w.refused(&gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "m"},
			OwnIdeas: []*recordv1.Idea{{Title: "t", Experiment: "e"}, idea}})
		if f.Reason != "FIELD_INVALID" || len(f.Violations) != 1 || f.Violations[0].Field != "own_ideas[1]" {
			t.Errorf("idea %v: %+v", idea, f)
		}
	}
	w.nothingBegan()
}

func TestStartStudy_stopsWhatThisMachineCannotRun(t *testing.T) {
	w := newWorld(t)
	files := toy()
	files["experiment.py"] = "import nosuch\n" + files["experiment.py"]
	lacking := toy()
	lacking["template.yaml"] = "sizes: {lite: {seconds: 1}, smoke: {seconds: 1}}\ndata: [{path: data/a, sizes: [lite], sha256: " + strings.Repeat("0", 64) + "}]\n"
	for name, files := range map[string]map[string]string{"module": files, "data": lacking} {
		if _, err := w.upload(name, files); err != nil {
			t.Fatal(name, err)
		}
	}
	w.missing = func(modules []string) ([]string, error) {
		return slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return m != "nosuch" }), nil
	}
	f := w.refused(&gatewayv1.StartStudyRequest{Template: "templates/module", Settings: &gatewayv1.StudySettings{Model: "m"}})
	if f.Kind != fault.Precondition || f.Reason != "PREFLIGHT_FAILED" || len(f.Violations) != 1 || f.Violations[0].Field != "experiment.py:1:8" || !strings.Contains(f.Message, "nosuch") {
		t.Errorf("a missing module: %+v", f)
	}
	f = w.refused(&gatewayv1.StartStudyRequest{Template: "templates/data", Settings: &gatewayv1.StudySettings{Model: "m"}})
	if f.Reason != "PREFLIGHT_FAILED" || len(f.Violations) != 1 || f.Violations[0].Field != "data/a" {
		t.Errorf("missing data: %+v", f)
	}
	f = w.refused(&gatewayv1.StartStudyRequest{Template: "templates/data", Settings: &gatewayv1.StudySettings{Model: "m", Size: "full"}})
	if f.Reason != "FIELD_INVALID" || len(f.Violations) != 1 || f.Violations[0].Field != "settings.size" {
		t.Errorf("a size that the template lacks: %+v", f)
	}
	w.nothingBegan()
	w.missing = nil
	for _, s := range []*gatewayv1.StartStudyRequest{
		{Template: "templates/module", Settings: &gatewayv1.StudySettings{Model: "m", Until: "novelty"}},
		{Template: "templates/data", Settings: &gatewayv1.StudySettings{Model: "m", Size: "smoke", Until: "novelty"}},
	} {
		if _, err := w.api.StartStudy(t.Context(), s); err != nil {
			t.Errorf("%s with all that it needs: %v", s.GetTemplate(), err)
		}
	}
}

// TestStartStudy_passesRequirementsOn: this machine is not asked for what is installed later, and every job names the file and what else stays visible.
func TestStartStudy_passesRequirementsOn(t *testing.T) {
	w := newWorld(t)
	w.missing = func(modules []string) ([]string, error) { return modules, nil }
	files := toy()
	files["experiment.py"] = "import nosuch\n" + files["experiment.py"]
	files["packages.txt"] = "nosuch==1.0\n"
	files["template.yaml"] = "python: {modules: [nosuch], requirements: packages.txt}\ndebian: [python3-numpy]\n"
	up, err := w.upload("packed", files)
	if err != nil {
		t.Fatal(err)
	}
	facts := up.GetTemplate().GetFacts()
	st, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/packed", Settings: &gatewayv1.StudySettings{Model: "m", Ideas: 1, Until: "novelty"}})
	if err != nil {
		t.Fatal(err)
	}
	w.until(st.GetStudy().GetName(), gatewayv1.IdeaState_SUCCEEDED)
	w.w.mu.Lock()
	defer w.w.mu.Unlock()
	if len(w.w.jobs) == 0 {
		t.Error("no job was sent")
	}
	for id, j := range w.w.jobs {
		if e := j.GetEnvironment(); e.GetRequirements() == "" || e.GetRequirements() != facts.GetRequirements() || !e.GetSystemPackages() || !slices.Equal(e.GetModules(), []string{"nosuch"}) {
			t.Errorf("job %s: %v, facts %v", id, e, facts)
		}
	}
}

func TestStartStudy_saysThatPapersStaySource(t *testing.T) {
	w := newWorld(t)
	w.latex = func() bool { return false }
	for until, want := range map[string]int{"": 1, "writing": 1, "figures": 0, "novelty": 0} {
		r, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "m", Until: until}})
		if err != nil || len(r.GetStudy().GetWarnings()) != want {
			t.Errorf("until %q: warnings %v, %v", until, r.GetStudy().GetWarnings(), err)
		}
	}
}

func TestStartStudy_givesOwnIdeasNamesThatFoldersCanHave(t *testing.T) {
	w := newWorld(t)
	for in, want := range map[string]string{"../../etc": "etc", "": "a_title", "kept_1": "kept_1", "Två Ord": "tv_ord", "日本": "idea"} {
		r, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "m", Until: "novelty"},
			OwnIdeas: []*recordv1.Idea{{Name: in, Title: "A title", Experiment: "e"}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.api.GetIdea(t.Context(), &gatewayv1.GetIdeaRequest{Name: r.GetStudy().GetName() + "/ideas/idea-1"})
		if err != nil || got.GetIdea().GetRecord().GetName() != want {
			t.Errorf("%q became %q (%v), want %q", in, got.GetIdea().GetRecord().GetName(), err, want)
		}
	}
}

func TestUploadTemplate_boundsWhatTravels(t *testing.T) {
	w := newWorld(t)
	files := toy()
	files["seed_ideas.json"] = "[" + strings.TrimSuffix(strings.Repeat("7,", 100), ",") + "]"
	_, err := w.upload("bad", files)
	f, _ := fault.As(err)
	if f == nil || f.Reason != "TEMPLATE_INVALID" || len(f.Violations) != 20 || !strings.Contains(f.Message, "more)") {
		t.Errorf("got %v", err)
	}
	if _, err := w.api.GetTemplate(t.Context(), &gatewayv1.GetTemplateRequest{Name: "templates/bad"}); fault.ReasonOf(err) != "TEMPLATE_UNKNOWN" {
		t.Errorf("a refused template is kept: %v", err)
	}
}
