// Package tree is what a watcher of a study sees: state that is folded from public events and from snapshots of the API, and the lines that show it
// in a terminal. It is pure: no clock, no terminal, no network.
//
// Events carry the number of their journal event and snapshots that of the last one (their etag), so whatever comes late, twice or in another order
// changes nothing: the highest number stands, and at the same number the snapshot, which knows more.
package tree

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// itself is a study's id among its ideas.
const itself = "_"

// State is what is known of a study. It is not safe for concurrent use.
type State struct {
	id    string // of the study
	only  string // the one idea that is watched; empty: all
	study *gatewayv1.Study
	self  *machine
	ideas map[string]*machine
	order []string            // of ideas
	came  map[int64]time.Time // journal numbers of the study at which generated ideas came
	added map[string]time.Time
	lost  time.Time // since when the server is gone; zero: it is there
}

// machine is a study or an idea.
type machine struct {
	n       int64 // last journal event that is known
	sum     *gatewayv1.IdeaSummary
	full    *gatewayv1.Idea // nil: not read yet
	attempt int32           // of the step in progress; 0: unknown
	word    *gatewayv1.LiveProgress
	told    bool // that it ended
}

// New gives the state before anything is known. only names the one idea to show; empty: all.
func New(study, only string) *State {
	return &State{
		id: study, only: only, study: &gatewayv1.Study{}, self: &machine{sum: &gatewayv1.IdeaSummary{}}, ideas: map[string]*machine{}, came: map[int64]time.Time{},
		added: map[string]time.Time{},
	}
}

// Message folds a message of WatchStudy; it reports whether a snapshot should be read, since the message knows of something that the state does not.
func (s *State) Message(m *gatewayv1.WatchStudyResponse) bool {
	if p := m.GetProgress(); p != nil {
		s.machine(p.GetIdea()).word = p
		return false
	}
	e := m.GetEvent()
	if e == nil || e.GetIdea() == "" {
		return false
	}
	if e.GetIdea() == itself {
		s.arrival(e)
	}
	return s.machine(e.GetIdea()).apply(e)
}

// arrival keeps when ideas came to the study.
func (s *State) arrival(e *gatewayv1.StudyEvent) {
	switch {
	case e.GetKind() == "step-ended" && e.GetStage() == "ideation" && e.GetOutcome() == "IDEA":
		s.came[e.GetN()] = e.GetTime().AsTime()
	case e.GetKind() == "idea-added":
		id, _, _ := strings.Cut(e.GetText(), ":")
		s.added[id] = e.GetTime().AsTime()
	}
}

func (s *State) machine(id string) *machine {
	if id == itself {
		return s.self
	}
	m := s.ideas[id]
	if m == nil {
		m = &machine{sum: &gatewayv1.IdeaSummary{Name: "studies/" + s.id + "/ideas/" + id, State: gatewayv1.IdeaState_PENDING}}
		s.ideas[id] = m
		s.order = append(s.order, id)
	}
	return m
}

// apply folds one event of the machine; it reports whether the event was news.
func (m *machine) apply(e *gatewayv1.StudyEvent) bool {
	if e.GetN() <= m.n {
		return false
	}
	m.n = e.GetN()
	s := m.sum
	running := func() {
		s.State, s.WaitReason, s.Reason, s.Message, s.Next, s.Ended = gatewayv1.IdeaState_RUNNING, 0, "", "", "", nil
		m.told = false
	}
	switch e.GetKind() {
	case "accepted":
		s.Created, s.StepSince = e.GetTime(), e.GetTime()
		if e.GetIdea() != itself {
			s.Title = e.GetText()
		}
	case "step-started":
		running()
		s.Step, s.Stage, s.StepSince, m.attempt = e.GetStep(), e.GetStage(), e.GetTime(), e.GetAttempt()
	case "step-ended":
		running()
		s.Step, s.StepSince, m.attempt = "", e.GetTime(), 0
	case "step-failed":
		s.Reason, s.Message, s.StepSince = e.GetReason(), e.GetText(), e.GetTime()
	case "waiting":
		s.State, s.WaitReason = gatewayv1.IdeaState_WAITING, gatewayv1.WaitReason_Value(gatewayv1.WaitReason_Value_value[e.GetReason()])
		s.Reason, s.Message, s.StepSince, s.Next = e.GetReason(), e.GetText(), e.GetTime(), ""
		if e.GetStage() != "" {
			s.Stage = e.GetStage()
		}
	case "resumed", "approved", "budget-raised", "retry-requested", "idea-added", "idea-resumed":
		running()
		s.Step, s.StepSince = "", e.GetTime()
	case "ended", "rejected":
		s.State, s.WaitReason, s.Reason, s.Message, s.Step, s.Ended = e.GetState(), 0, e.GetReason(), e.GetText(), "", e.GetTime()
	}
	if st := e.GetState(); st != gatewayv1.IdeaState_UNSPECIFIED {
		s.State = st
	}
	return true
}

// Study takes a snapshot of the study and its ideas.
func (s *State) Study(st *gatewayv1.Study) {
	st = proto.CloneOf(st)
	s.study = st
	if st.GetEtag() >= s.self.n {
		s.self.n = st.GetEtag()
		s.self.take(&gatewayv1.IdeaSummary{
			State: st.GetState(), WaitReason: st.GetWaitReason(), Reason: st.GetReason(), Message: st.GetMessage(), Next: st.GetNext(), Step: st.GetStep(),
			StepSince: st.GetStepSince(), Created: st.GetCreated(), Ended: st.GetEnded(),
		})
	}
	var order []string
	for _, i := range st.GetIdeas() {
		id := idOf(i.GetName())
		order = append(order, id)
		if m := s.machine(id); i.GetEtag() >= m.n {
			m.n = i.GetEtag()
			m.take(i)
		}
	}
	for _, id := range s.order { // ideas that only events know of yet
		if !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	s.order = order
}

func (m *machine) take(sum *gatewayv1.IdeaSummary) {
	if sum.GetStep() != m.sum.GetStep() {
		m.attempt = 0
	}
	m.sum = sum
	if !over(sum.GetState()) {
		m.told = false
	}
}

// Idea takes a snapshot of one idea.
func (s *State) Idea(i *gatewayv1.Idea) {
	id := idOf(i.GetName())
	if id == "" || id == itself {
		return
	}
	m := s.machine(id)
	if i.GetEtag() < m.full.GetEtag() {
		return
	}
	m.full = proto.CloneOf(i)
	if i.GetEtag() >= m.n && m.full.GetSummary() != nil {
		m.n = i.GetEtag()
		m.take(m.full.GetSummary())
	}
}

// Wanted lists the ideas whose own snapshot is older than what is known of them, in order.
func (s *State) Wanted() []string {
	var out []string
	for _, id := range s.order {
		m := s.ideas[id]
		if s.shown(id) && m.sum.GetState() != gatewayv1.IdeaState_PENDING && !m.told && (m.full == nil || m.full.GetEtag() < m.n) {
			out = append(out, id)
		}
	}
	return out
}

// Over lists ideas that have ended, whose end was not told yet and of which all is known that the telling needs, in order.
func (s *State) Over() []string {
	var out []string
	for _, id := range s.order {
		if m := s.ideas[id]; s.shown(id) && over(m.sum.GetState()) && !m.told && m.full != nil && m.full.GetEtag() >= m.n {
			out = append(out, id)
		}
	}
	return out
}

// Told marks an idea's end as told; a retry makes it untold.
func (s *State) Told(id string) { s.machine(id).told = true }

// WasTold lists the ideas whose end was told.
func (s *State) WasTold() map[string]bool {
	out := map[string]bool{}
	for id, m := range s.ideas {
		if m.told {
			out[id] = true
		}
	}
	return out
}

// Detail is the latest snapshot of an idea; nil: none was read.
func (s *State) Detail(id string) *gatewayv1.Idea { return s.machine(id).full }

// Lost says that the server is gone since a time; a zero time: it is back.
func (s *State) Lost(since time.Time) { s.lost = since }

// IsLost tells whether the server is gone.
func (s *State) IsLost() bool { return !s.lost.IsZero() }

func (s *State) shown(id string) bool { return s.only == "" || s.only == id }

// since is when a pending idea came to the study; zero: unknown.
func (s *State) since(id string) time.Time {
	if t, ok := s.added[id]; ok {
		return t
	}
	var generated []string // and those of a file, which come first
	for _, other := range s.order {
		if strings.HasPrefix(other, "idea-") {
			generated = append(generated, other)
		}
	}
	k := slices.Index(generated, id) - (len(generated) - len(s.came))
	if keys := slices.Sorted(maps.Keys(s.came)); k >= 0 && k < len(keys) {
		return s.came[keys[k]]
	}
	if s.study.GetCreated() == nil {
		return time.Time{}
	}
	return s.study.GetCreated().AsTime()
}

func over(s gatewayv1.IdeaState_Value) bool {
	switch s {
	case gatewayv1.IdeaState_SUCCEEDED, gatewayv1.IdeaState_REJECTED, gatewayv1.IdeaState_FAILED, gatewayv1.IdeaState_CANCELLED:
		return true
	}
	return false
}

func idOf(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// progress is the latest word of the step in progress; nil: none.
func (m *machine) progress() *recordv1.Progress {
	if m.word.GetStep() != m.sum.GetStep() || m.sum.GetStep() == "" {
		return nil
	}
	return m.word.GetProgress()
}
