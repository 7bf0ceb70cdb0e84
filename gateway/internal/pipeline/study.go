package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// Member is an idea as its study knows it.
type Member struct {
	ID       string
	Record   *recordv1.Idea
	Warnings []*recordv1.Warning // of an own one
	Origin   gatewayv1.Origin_Kind
	Released bool
	Resumed  bool // by a retry: counts against parallel, but does not wait for it
	Ended    *gatewayv1.IdeaEnded
}

// StudyState is a study folded from its journal.
type StudyState struct {
	Core
	ID      string
	Members []*Member // in order of their coming
}

// NewStudy gives the state before the first event.
func NewStudy(id string) *StudyState { return &StudyState{Core: newCore(), ID: id} }

// Apply folds one event, as IdeaState.Apply.
func (s *StudyState) Apply(e *gatewayv1.JournalEvent) error {
	if own, err := s.apply(e); own {
		if st := e.GetStepStarted(); err == nil && st != nil && s.Steps[st.GetStep()].ScoresSeen == nil {
			s.Steps[st.GetStep()].ScoresSeen = s.scores()
		}
		if en := e.GetStepEnded().GetIdea(); err == nil && en.GetOutcome() == ideationv1.GenerateIdeaResult_IDEA {
			s.Members = append(s.Members, &Member{ID: s.nextID(), Record: en.GetIdea(), Origin: gatewayv1.Origin_GENERATED})
		}
		return err
	}
	switch ev := e.GetEvent().(type) {
	case *gatewayv1.JournalEvent_StudyAccepted:
		a := ev.StudyAccepted
		if s.Settings != nil {
			return &Illegal{s.N, "accepted twice"}
		}
		s.Settings, s.Template, s.Trace, s.Created = a.GetSettings(), a.GetTemplate(), a.GetTraceparent(), e.GetTime().AsTime()
		for i, idea := range a.GetOwnIdeas() {
			m := &Member{ID: s.nextID(), Record: idea, Origin: gatewayv1.Origin_FILE}
			if found := a.GetOwnFound(); i < len(found) {
				m.Warnings = found[i].GetWarnings()
			}
			s.Members = append(s.Members, m)
		}
	case *gatewayv1.JournalEvent_IdeaAdded:
		if s.Member(ev.IdeaAdded.GetIdea()) != nil {
			return &Illegal{s.N, "idea " + ev.IdeaAdded.GetIdea() + " is there already"}
		}
		s.Members = append(s.Members, &Member{ID: ev.IdeaAdded.GetIdea(), Record: ev.IdeaAdded.GetRecord(), Warnings: ev.IdeaAdded.GetWarnings(), Origin: gatewayv1.Origin_SUBMITTED})
		s.reopen()
	case *gatewayv1.JournalEvent_Released:
		m := s.Member(ev.Released.GetIdea())
		if m == nil || m.Released {
			return &Illegal{s.N, "idea " + ev.Released.GetIdea() + " cannot be released"}
		}
		m.Released = true
	case *gatewayv1.JournalEvent_IdeaResumed:
		m := s.Member(ev.IdeaResumed.GetIdea())
		if m == nil {
			return &Illegal{s.N, "idea " + ev.IdeaResumed.GetIdea() + " is unknown"}
		}
		m.Ended, m.Resumed = nil, true
		s.reopen()
	case *gatewayv1.JournalEvent_IdeaEnded:
		m := s.Member(ev.IdeaEnded.GetIdea())
		if m == nil {
			return &Illegal{s.N, "idea " + ev.IdeaEnded.GetIdea() + " is unknown"}
		}
		m.Ended = ev.IdeaEnded
	case *gatewayv1.JournalEvent_Approved:
		s.resume()
	case *gatewayv1.JournalEvent_RetryRequested:
		s.Open, s.Wait, s.Cancel, s.Ended = "", nil, nil, nil
		s.forgive()
		for _, st := range s.Steps {
			if st.Failed != nil || (st.Ended != nil && StageOf(st.Name) == Baseline && !s.baselineGood(st.Ended.GetJob())) {
				st.Dropped = true
				s.Tries[StageOf(st.Name)] = s.try(StageOf(st.Name)) + 1
			}
		}
	default:
		return &Illegal{s.N, fmt.Sprintf("a study's journal holds no %T", ev)}
	}
	return nil
}

func (s *StudyState) reopen() { s.Ended, s.Cancel = nil, nil }

// nextID names the next generated or read idea; drafts that came to nothing leave no gap.
func (s *StudyState) nextID() string {
	n := 1
	for _, m := range s.Members {
		if m.Origin != gatewayv1.Origin_SUBMITTED {
			n++
		}
	}
	return fmt.Sprintf("idea-%d", n)
}

// Member finds an idea of the study; nil: unknown.
func (s *StudyState) Member(id string) *Member {
	for _, m := range s.Members {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func (s *StudyState) scores() map[string]float64 {
	out := map[string]float64{}
	for _, m := range s.Members {
		if m.Ended != nil {
			out[m.ID] = m.Ended.GetScore() // 0: failed
		}
	}
	return out
}

// Decide gives the study's next action.
func (s *StudyState) Decide() Action {
	if a := s.blocked(); a != nil {
		return a
	}
	if s.Cancel != nil {
		if s.inFlight() > 0 {
			return Sleep{}
		}
		return ended(gatewayv1.IdeaState_CANCELLED, "", cancelText(s.Cancel), "")
	}
	if a := s.baseline(); a != nil {
		return a
	}
	if m := s.releasable(); m != nil {
		return Append{&gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Released{Released: &gatewayv1.Released{Idea: m.ID}}}}
	}
	if a := s.ideation(); a != nil {
		return a
	}
	if s.inFlight() > 0 || s.pending() > 0 {
		return Sleep{}
	}
	if len(s.Members) == 0 {
		return ended(gatewayv1.IdeaState_FAILED, ReasonNoIdea, "no idea came out: "+s.lastDraft(), "nullius events "+s.ID)
	}
	return ended(gatewayv1.IdeaState_SUCCEEDED, "", s.summary(), "")
}

func (s *StudyState) summary() string {
	count := map[gatewayv1.IdeaState_Value]int{}
	for _, m := range s.Members {
		count[m.Ended.GetState()]++
	}
	text := fmt.Sprintf("%d ideas", len(s.Members))
	if len(s.Members) == 1 {
		text = "1 idea"
	}
	for _, st := range []gatewayv1.IdeaState_Value{gatewayv1.IdeaState_SUCCEEDED, gatewayv1.IdeaState_REJECTED, gatewayv1.IdeaState_FAILED, gatewayv1.IdeaState_CANCELLED} {
		if count[st] > 0 {
			text += fmt.Sprintf(", %d %s", count[st], st)
		}
	}
	return text
}

// BaselineRun is the study's run_0: measured here, or read from what the template brought; nil: not there yet.
func (s *StudyState) BaselineRun() *recordv1.Run {
	st := s.Steps[s.stepName(Baseline, s.baselineUnit())]
	if st == nil || !s.baselineGood(st.Ended.GetJob()) {
		return nil
	}
	j := st.Ended.GetJob()
	run := &recordv1.Run{
		Label: "baseline", Outcome: recordv1.Run_Outcome_SUCCEEDED, Snapshot: j.GetSnapshot(), Tries: 1, Wall: j.GetWall(),
	}
	for _, m := range j.GetMeasurements() {
		m = proto.Clone(m).(*recordv1.Measurement)
		m.Imported = s.importsBaseline()
		run.Measurements = append(run.Measurements, m)
	}
	if s.importsBaseline() {
		run.Wall = nil // how long it took is not known
	}
	return run
}

func (s *StudyState) importsBaseline() bool {
	return s.Template.GetFacts().GetHasBaseline() && !s.Settings.GetFreshBaseline()
}

func (s *StudyState) baselineUnit() string {
	if s.importsBaseline() {
		return "import"
	}
	return "run"
}

func jobGood(j *executorv1.JobResult) bool {
	return j.GetEndReason() == executorv1.EndReason_SUCCEEDED && len(j.GetMeasurements()) > 0
}

// baselineGood tells whether ideas can be measured against a baseline: it has numbers, and a primary metric that is one.
func (s *StudyState) baselineGood(j *executorv1.JobResult) bool {
	return jobGood(j) && notFinite(s.Template.GetFacts().GetPrimary(), j.GetMeasurements()) == nil
}

// baseline gives what the baseline still needs; nil: nothing.
func (s *StudyState) baseline() Action {
	if s.BaselineRun() != nil {
		return nil
	}
	name := s.stepName(Baseline, s.baselineUnit())
	st := s.Steps[name]
	if st != nil && st.Ended != nil {
		text, next := s.baselineFault(st.Ended.GetJob())
		return ended(gatewayv1.IdeaState_FAILED, ReasonBaselineFailed, "the baseline failed: "+text, next)
	}
	return s.run(name, s.baselineJob)
}

// baselineFault says why a baseline is none, and what to do next.
func (s *StudyState) baselineFault(j *executorv1.JobResult) (text, next string) {
	next = "nullius logs " + s.ID
	if jobGood(j) {
		m := notFinite(s.Template.GetFacts().GetPrimary(), j.GetMeasurements())
		text = fmt.Sprintf("%s/%s in run_0/final_info.json is not a finite number, so no run could be compared with it", m.GetDataset(), m.GetMetric())
		if s.importsBaseline() {
			next = "nullius run " + s.Template.GetName() + " --fresh-baseline"
		}
		return text, next
	}
	if text = j.GetMessage(); text == "" {
		text = "it ended as " + j.GetEndReason().String() + " without measurements"
	}
	return text, next
}

func (s *StudyState) baselineJob(full string) any {
	j := s.experimentJob(full, s.ID, "_", full[len(s.ID)+3:], s.Template.GetSnapshot(), "run_0", s.size(), s.timeLimit())
	j.Mount = "templates/" + s.Template.GetName()
	j.Measure = true
	j.Protected = s.Template.GetFacts().GetProtected()
	if s.importsBaseline() { // the executor alone writes measurements: it reads the run_0 that came along, from beside the tree, since a job's own folder starts empty
		j.Argv = []string{"python", "-c", "import shutil; shutil.copytree('/nullius/data/template/run_0', 'run_0', dirs_exist_ok=True)"}
		j.Data = []*executorv1.DataMount{{Digest: s.Template.GetSnapshot(), Path: "template"}}
		j.Writable = nil
	}
	return j
}

// run gives a step's next attempt.
func (s *StudyState) run(name string, request func(full string) any) Action {
	r := Run{Step: name, Attempt: 1, Request: request(s.ID + "/_/" + name)}
	if st := s.Steps[name]; st != nil {
		r.Attempt = st.Attempt + 1
		if st.Failed != nil {
			return s.afterFailure(st, r)
		}
	}
	return r
}

func (s *StudyState) inFlight() int {
	n := 0
	for _, m := range s.Members {
		if m.Released && m.Ended == nil {
			n++
		}
	}
	return n
}

func (s *StudyState) pending() int {
	n := 0
	for _, m := range s.Members {
		if !m.Released {
			n++
		}
	}
	return n
}

func (s *StudyState) parallel() int { return orDefault(s.Settings.GetParallel(), 2) }

// releasable is the next idea that may run now; nil: none.
func (s *StudyState) releasable() *Member {
	if s.inFlight() >= s.parallel() {
		return nil
	}
	for _, m := range s.Members {
		if !m.Released {
			return m
		}
	}
	return nil
}

// Drafts counts the ideation steps so far: those that gave an idea, and those that came to nothing.
func (s *StudyState) Drafts() (good, bad int) {
	for _, st := range s.Steps {
		if StageOf(st.Name) != Ideation || st.Ended == nil {
			continue
		}
		if st.Ended.GetIdea().GetOutcome() == ideationv1.GenerateIdeaResult_IDEA {
			good++
		} else {
			bad++
		}
	}
	return good, bad
}

func (s *StudyState) lastDraft() string {
	for _, name := range slices.Backward(s.Order) {
		if st := s.Steps[name]; StageOf(name) == Ideation && st.Ended != nil {
			return st.Ended.GetIdea().GetOutcome().String() + " " + st.Ended.GetIdea().GetReason()
		}
	}
	return "none was asked for"
}

// ideation gives the next draft to make; nil: none.
func (s *StudyState) ideation() Action {
	want := int(s.Settings.GetIdeas())
	good, bad := s.Drafts()
	if good >= want || bad >= want || slices.Contains(s.Settings.GetSkip(), Ideation) {
		return nil
	}
	if s.Settings.GetOpenEnded() && s.inFlight() >= s.parallel() {
		return nil // the next idea is to see how these end
	}
	return s.run(s.stepName(Ideation, fmt.Sprintf("idea-%d", good+bad+1)), s.ideaRequest(good+bad+1))
}

func (s *StudyState) ideaRequest(k int) func(string) any {
	return func(full string) any {
		f := s.Template.GetFacts()
		scores := s.scores()
		if st := s.Steps[s.stepName(Ideation, fmt.Sprintf("idea-%d", k))]; st != nil {
			scores = st.ScoresSeen // a repeat asks what the first attempt asked
		}
		return &ideationv1.GenerateIdeaRequest{
			Step: full, Snapshot: s.Template.GetSnapshot(), Model: or(s.Settings.GetIdeasModel(), s.Settings.GetModel()), Reflections: s.Settings.GetReflections(),
			Archive: s.archive(scores), OpenEnded: s.Settings.GetOpenEnded(), System: f.GetSystem(), TaskDescription: f.GetTaskDescription(),
			Limits: &ideationv1.Limits{
				Runs: int32(orDefault(s.Settings.GetMaxRuns(), 5)), TimePerRun: human(s.timeLimit()), Hardware: hardware(s.pool()), Modules: f.GetModules(),
			},
		}
	}
}

// archive is the seed ideas and all ideas of the study so far; submitted ones can come at any time and are left out, so that a repeat asks the same.
func (s *StudyState) archive(scores map[string]float64) []*recordv1.Idea {
	out := slices.Clone(s.Template.GetFacts().GetSeedIdeas())
	for _, m := range s.Members {
		if m.Origin == gatewayv1.Origin_SUBMITTED {
			continue
		}
		idea := cloneIdea(m.Record)
		if v, ok := scores[m.ID]; ok && s.Settings.GetOpenEnded() {
			idea.Score = &v
		}
		out = append(out, idea)
	}
	return out
}

// BaselineKey names what a baseline depends on; successes are shared between studies by it.
func (s *StudyState) BaselineKey() string {
	env := jobEnv(s.Template.GetFacts(), s.size())
	text := s.Template.GetSnapshot() + "\n" + s.size() + "\n" + s.pool()
	for _, k := range slices.Sorted(maps.Keys(env)) {
		text += "\n" + k + "=" + env[k]
	}
	return text
}
