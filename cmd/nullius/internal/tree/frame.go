package tree

import (
	"fmt"
	"strings"
	"time"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

const (
	indent  = "    "
	clock   = "15:04:05"
	minimum = 20 // cells: a terminal that says less is taken for one that does not know
)

// marks are the shapes of the states, as on the pages.
var marks = map[gatewayv1.IdeaState_Value]string{
	gatewayv1.IdeaState_PENDING: "○", gatewayv1.IdeaState_RUNNING: "●", gatewayv1.IdeaState_WAITING: "‖", gatewayv1.IdeaState_SUCCEEDED: "■",
	gatewayv1.IdeaState_FAILED: "×", gatewayv1.IdeaState_REJECTED: "△", gatewayv1.IdeaState_CANCELLED: "□",
}

func mark(s gatewayv1.IdeaState_Value) string {
	if m := marks[s]; m != "" {
		return m
	}
	return "?"
}

func colour(s gatewayv1.IdeaState_Value) style {
	switch s {
	case gatewayv1.IdeaState_RUNNING:
		return live
	case gatewayv1.IdeaState_WAITING:
		return warn
	case gatewayv1.IdeaState_FAILED:
		return bad
	}
	return strong
}

// Frame gives the lines that show the study now, each at most w cells wide, at most h of them; times are told in now's zone. Ideas whose end was told are
// left out. What does not fit is shortened: first pending ideas to one line together, then every idea to one line, at last ideas to their number.
func (s *State) Frame(now time.Time, w, h int) []Line {
	w, h = max(w, minimum), max(h, 3)
	f := framer{State: s, now: now, w: w}
	head := f.header()
	if len(head) > h-1 {
		head = head[:h-1]
	}
	var ideas []Line
	for _, level := range []func() []Line{f.full, f.grouped, f.short} {
		if ideas = level(); len(head)+len(ideas) <= h {
			return append(head, ideas...)
		}
	}
	room := h - len(head)
	hidden := len(ideas) - (room - 1)
	return append(append(head, ideas[:room-1]...), Line{{fmt.Sprintf("… and %d more; nullius show %s", hidden, s.id), dim}}.cut(w))
}

type framer struct {
	*State
	now time.Time
	w   int
}

func (f framer) since(t time.Time) string {
	return fmt.Sprintf("since %s (%s)", t.In(f.now.Location()).Format(clock), age(f.now.Sub(t)))
}

// header is what is to be said of the study itself.
func (f framer) header() []Line {
	st, self := f.study, f.self.sum
	took := ""
	if c := self.GetCreated(); c != nil {
		end := f.now
		if self.GetEnded() != nil {
			end = self.GetEnded().AsTime()
		}
		took = "  " + age(end.Sub(c.AsTime()))
	}
	state := stateWord(self)
	if self.GetState() == gatewayv1.IdeaState_UNSPECIFIED {
		state = "…"
	}
	top := Line{{f.id, strong}, {"  ", normal}, {state, colour(self.GetState())}, {took, normal}}
	money := spent(st.GetUsage(), st.GetAccount())
	left := f.w - width(top.Text()) - 3
	var out []Line
	if m := fit(left, money...); st.GetName() == "" {
		out = append(out, top.cut(f.w))
	} else if width(m) <= left {
		gap := f.w - width(top.Text()) - width(m)
		out = append(out, append(top, span{strings.Repeat(" ", gap), normal}, span{m, normal}))
	} else {
		out = append(out, top.cut(f.w), Line{{"  spent " + fit(f.w-8, money...), normal}}.cut(f.w))
	}
	if st.GetName() != "" {
		out = append(out, f.settings()...)
	}
	if !f.lost.IsZero() {
		out = append(out, fold("! ", "the server is gone, trying again "+f.since(f.lost)+"; below is what was last known", warn, f.w)...)
	}
	return append(out, f.standing("  ", f.self, f.id)...)
}

func (f framer) settings() []Line {
	st := f.study
	model := st.GetSettings().GetModel()
	if strings.HasPrefix(model, "recording/") {
		model = "recorded answers"
	}
	about := "template " + strings.TrimPrefix(st.GetTemplate(), "templates/") + ", model " + plain(model)
	ideas := f.tally()
	if one := about + ", " + ideas; width(one)+2 <= f.w {
		return []Line{{{"  " + one, dim}}}
	}
	return []Line{Line{{"  " + about, dim}}.cut(f.w), Line{{"  " + ideas, dim}}.cut(f.w)}
}

// tally counts the ideas by state.
func (f framer) tally() string {
	n := map[gatewayv1.IdeaState_Value]int{}
	for _, id := range f.order {
		n[f.ideas[id].sum.GetState()]++
	}
	text := fmt.Sprintf("%d ideas", len(f.order))
	switch len(f.order) {
	case 0:
		return "no idea yet"
	case 1:
		text = "1 idea"
	}
	sep := ": "
	for _, k := range []struct {
		state gatewayv1.IdeaState_Value
		word  string
	}{{gatewayv1.IdeaState_RUNNING, "running"}, {gatewayv1.IdeaState_WAITING, "waiting"}, {gatewayv1.IdeaState_PENDING, "pending"}, {gatewayv1.IdeaState_SUCCEEDED, "succeeded"},
		{gatewayv1.IdeaState_REJECTED, "rejected"}, {gatewayv1.IdeaState_FAILED, "failed"}, {gatewayv1.IdeaState_CANCELLED, "cancelled"}} {
		if c := n[k.state]; c > 0 {
			text += fmt.Sprintf("%s%d %s", sep, c, k.word)
			sep = ", "
		}
	}
	return text
}

// standing says what a machine does and for how long, or what it waits for, since when and what is to be typed.
func (f framer) standing(head string, m *machine, ref string) []Line {
	s := m.sum
	t := s.GetStepSince().AsTime()
	switch {
	case over(s.GetState()):
		if text := told(s); text != "" && (m != f.self || s.GetState() != gatewayv1.IdeaState_SUCCEEDED) { // a study's success is counted in its header
			return fold(head, text, normal, f.w)
		}
		return nil
	case s.GetState() == gatewayv1.IdeaState_WAITING:
		stage := ""
		if s.GetWaitReason() == gatewayv1.WaitReason_APPROVAL {
			stage = s.GetStage()
		}
		out := fold(head, waits(s.GetWaitReason(), stage, plain(s.GetMessage()))+", "+f.since(t), warn, f.w)
		if stage != "" {
			out = fold(head, waits(s.GetWaitReason(), stage, "")+", "+f.since(t), warn, f.w)
		}
		if s.GetNext() != "" {
			out = append(out, fold(head+"next: ", plain(s.GetNext()), live, f.w)...)
		}
		return out
	case s.GetReason() != "": // a step failed, and is tried again
		return fold(head, plain(s.GetReason()+": "+s.GetMessage())+", "+f.since(t), warn, f.w)
	case s.GetStep() != "":
		return []Line{f.step(head, m)}
	case m == f.self: // between its steps a study waits for its ideas, which speak for themselves
		return nil
	case s.GetState() == gatewayv1.IdeaState_RUNNING && s.GetStepSince() != nil:
		return []Line{Line{{head + "about to begin its next step, " + age(f.now.Sub(t)), dim}}.cut(f.w)}
	}
	return nil
}

// step says what the step in progress does, and for how long. The step's name, by which diff and logs find it, comes last and goes first.
func (f framer) step(head string, m *machine) Line {
	s := m.sum
	what, took := doing(s.GetStep()), age(f.now.Sub(s.GetStepSince().AsTime()))
	says := ""
	switch p := m.progress(); {
	case p.GetPhase() != "":
		says = p.GetPhase()
		if p.GetDetail() != "" {
			says += ": " + p.GetDetail()
		}
		if p.GetTotal() > 0 {
			says += fmt.Sprintf(" (%d of %d)", p.GetDone(), p.GetTotal())
		}
		if u := p.GetUntil(); u != nil && u.AsTime().After(f.now) {
			says += ", until " + u.AsTime().In(f.now.Location()).Format(clock)
		}
	case s.GetMessage() != s.GetStep():
		says = s.GetMessage() // a snapshot's word
	}
	if says = plain(says); says == strings.ToUpper(says) {
		says = strings.ToLower(says) // the executor's states
	}
	if m.attempt > 1 {
		took += fmt.Sprintf(", attempt %d", m.attempt)
	}
	room := f.w - width(head) - width(what) - width(took) - 2
	middle := ""
	if says != "" {
		middle = ": " + says
	}
	tail := "  " + s.GetStep()
	if width(middle)+width(tail) > room {
		tail = ""
	}
	if width(middle) > room {
		middle = Line{{middle, normal}}.cut(max(0, room)).Text()
	}
	return Line{{head, normal}, {what, live}, {middle, normal}, {", " + took, normal}, {tail, dim}}.cut(f.w)
}

// told is the reason and the sentence of an end.
func told(s *gatewayv1.IdeaSummary) string {
	reason, text := plain(s.GetReason()), plain(s.GetMessage())
	switch {
	case reason == "" || strings.HasPrefix(text, reason):
		return text
	case text == "":
		return reason
	}
	return reason + ": " + text
}
