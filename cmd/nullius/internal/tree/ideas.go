package tree

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// open lists the ideas that the frame shows: those that have not ended, or whose end was not told yet.
func (f framer) open() (moving, pending []string) {
	for _, id := range f.order {
		m := f.ideas[id]
		switch {
		case !f.shown(id) || m.told:
		case m.sum.GetState() == gatewayv1.IdeaState_PENDING:
			pending = append(pending, id)
		default:
			moving = append(moving, id)
		}
	}
	return moving, pending
}

// full shows every idea by itself.
func (f framer) full() []Line {
	moving, pending := f.open()
	var out []Line
	for _, id := range moving {
		out = append(out, f.block(id)...)
	}
	for _, id := range pending {
		m := f.ideas[id]
		out = append(append(out, f.title(id, m)), fold(indent, f.turn(id), dim, f.w)...)
	}
	return out
}

// grouped shows pending ideas together.
func (f framer) grouped() []Line {
	moving, pending := f.open()
	var out []Line
	for _, id := range moving {
		out = append(out, f.block(id)...)
	}
	return append(out, f.group(pending)...)
}

// short shows each idea on one line, and together those that wait for the same: first, since they are what must not be missed.
func (f framer) short() []Line {
	moving, pending := f.open()
	var then []Line
	waiting := map[gatewayv1.WaitReason_Value][]string{}
	for _, id := range moving {
		if s := f.ideas[id].sum; s.GetState() == gatewayv1.IdeaState_WAITING {
			waiting[s.GetWaitReason()] = append(waiting[s.GetWaitReason()], id)
		} else {
			then = append(then, f.one(id, f.ideas[id]))
		}
	}
	var first []Line
	for _, reason := range slices.Sorted(maps.Keys(waiting)) {
		first = append(first, f.waiting(waiting[reason])...)
	}
	return append(append(first, f.group(pending)...), then...)
}

// waiting shows ideas that wait for the same, with what is to be typed.
func (f framer) waiting(ids []string) []Line {
	s, next := f.ideas[ids[0]].sum, f.ideas[ids[0]].sum.GetNext()
	if len(ids) > 1 && next != "" {
		next = "nullius status"
		if r := s.GetWaitReason(); r == gatewayv1.WaitReason_APPROVAL || r == gatewayv1.WaitReason_BUDGET || r == gatewayv1.WaitReason_QUARANTINE {
			next = "nullius list approvals"
		}
	}
	head := Line{{mark(s.GetState()) + " ", warn}}
	if len(ids) == 1 {
		head = append(head, span{ids[0] + "  ", strong}, span{stateWord(s) + ", " + f.since(s.GetStepSince().AsTime()), warn})
	} else {
		head = append(head, span{fmt.Sprintf("%d ideas ", len(ids)), strong}, span{stateWord(s) + ", the first " + f.since(f.firstOf(ids)), warn}, span{": " + strings.Join(ids, ", "), dim})
	}
	out := []Line{head.cut(f.w)}
	if next != "" {
		out = append(out, fold(indent+"next: ", plain(next), live, f.w)...)
	}
	return out
}

// firstOf is the earliest time since when one of the ideas waits.
func (f framer) firstOf(ids []string) time.Time {
	first := f.now
	for _, id := range ids {
		if t := f.ideas[id].sum.GetStepSince(); t != nil && t.AsTime().Before(first) {
			first = t.AsTime()
		}
	}
	return first
}

// title is an idea's first line.
func (f framer) title(id string, m *machine) Line {
	s := m.sum
	return Line{{mark(s.GetState()), colour(s.GetState())}, {" " + id, strong}, {"  ", normal}, {stateWord(s), colour(s.GetState())}, {"  " + plain(s.GetTitle()), normal}}.cut(f.w)
}

// block shows an idea: its title, where it is, what it does or waits for, and what it measured.
func (f framer) block(id string) []Line {
	m := f.ideas[id]
	out := []Line{f.title(id, m)}
	if where := f.where(m, " "); where != "" && !over(m.sum.GetState()) {
		out = append(out, Line{{indent + where, normal}}.cut(f.w))
	}
	out = append(out, f.standing(indent, m, f.id+"/"+id)...)
	if l := f.failedTry(m); l != nil {
		out = append(out, l)
	}
	return append(out, f.measures(m)...)
}

// where gives stage, run and try.
func (f framer) where(m *machine, gap string) string {
	set := f.study.GetSettings()
	stage := m.sum.GetStage()
	if stage == "" {
		return ""
	}
	parts := []string{stage}
	if k := stageOf(stage, set); k != "" {
		parts = append(parts, k)
	}
	return strings.Join(append(parts, counts(m.sum.GetStep(), set)...), ","+gap)
}

// failedTry tells of the try before the one in progress, when that failed; nil: none did.
func (f framer) failedTry(m *machine) Line {
	steps := m.full.GetSteps()
	if len(counts(m.sum.GetStep(), nil)) < 2 || over(m.sum.GetState()) {
		return nil
	}
	run := runUnit.FindString(m.sum.GetStep())
	for i := len(steps) - 1; i >= 0; i-- {
		st := steps[i]
		if runUnit.FindString(st.GetStep()) != run {
			return nil
		}
		if st.GetBad() && st.GetStep() != m.sum.GetStep() {
			return Line{{indent + "failed before: ", dim}, {plain(st.GetOutcome() + ", " + st.GetText()), bad}}.cut(f.w)
		}
	}
	return nil
}

func (f framer) measures(m *machine) []Line {
	forms, verdict := measured(m.full, f.study.GetFacts())
	if len(forms) == 0 {
		return nil
	}
	return []Line{Line{{indent + fit(f.w-len(indent), forms...), verdict}}.cut(f.w)}
}

// turn says what a pending idea waits for.
func (f framer) turn(id string) string {
	text := fmt.Sprintf("waits for its turn (%d at a time)", orDefault(f.study.GetSettings().GetParallel(), 2))
	if t := f.State.since(id); !t.IsZero() {
		text += ", " + f.since(t)
	}
	return text
}

func (f framer) group(pending []string) []Line {
	if len(pending) == 0 {
		return nil
	}
	if len(pending) == 1 {
		id := pending[0]
		return []Line{Line{{mark(gatewayv1.IdeaState_PENDING) + " ", strong}, {id, strong}, {"  " + f.turn(id) + "  " + plain(f.ideas[id].sum.GetTitle()), dim}}.cut(f.w)}
	}
	text := fmt.Sprintf("%d ideas wait for their turn (%d at a time)", len(pending), orDefault(f.study.GetSettings().GetParallel(), 2))
	if t := f.State.since(pending[0]); !t.IsZero() {
		text += ", the first " + f.since(t)
	}
	return []Line{Line{{mark(gatewayv1.IdeaState_PENDING) + " ", strong}, {text, normal}, {": " + strings.Join(pending, ", "), dim}}.cut(f.w)}
}

// one shows an idea that does not wait on one line.
func (f framer) one(id string, m *machine) Line {
	s := m.sum
	l := Line{{mark(s.GetState()), colour(s.GetState())}, {" " + id + "  ", strong}}
	t := age(f.now.Sub(s.GetStepSince().AsTime()))
	switch {
	case over(s.GetState()):
		l = append(l, span{s.GetState().String() + "  ", colour(s.GetState())})
	case s.GetReason() != "":
		l = append(l, span{plain(s.GetReason()) + " " + t + "  ", warn})
	case s.GetStep() != "":
		l = append(l, span{brief(s.GetStep(), f.study.GetSettings()) + "  ", normal}, span{doing(s.GetStep()) + " " + t + "  ", live})
	default:
		l = append(l, span{s.GetState().String() + " " + t + "  ", colour(s.GetState())})
	}
	return append(l, span{plain(s.GetTitle()), dim}).cut(f.w)
}

// brief gives stage, run and try in few cells: "experiments 2/6 run 2/5 try 3/4".
func brief(step string, set *gatewayv1.StudySettings) string {
	stage := strings.TrimRight(strings.SplitN(step, "/", 2)[0], "-0123456789")
	text := stage
	if k := stageOf(stage, set); k != "" {
		text += strings.TrimPrefix(k, "stage")
	}
	return strings.ReplaceAll(strings.Join(append([]string{text}, counts(step, set)...), " "), " of ", "/")
}

// End gives the lines that tell of an idea's end, for good: outcome, measurements, cost; of a failure also the last lines that it wrote, what to type next
// and the trace's id. output are those lines, and from the step that wrote them.
func (s *State) End(id string, w int, from string, output []string) []Line {
	w = max(w, minimum)
	m := s.machine(id)
	f := framer{State: s, w: w}
	sum := m.sum
	took := ""
	if sum.GetCreated() != nil && sum.GetEnded() != nil {
		took = " after " + age(sum.GetEnded().AsTime().Sub(sum.GetCreated().AsTime()))
	}
	out := []Line{Line{{mark(sum.GetState()) + " " + id + "  ", strong}, {sum.GetState().String(), colour(sum.GetState())}, {took, normal}}}
	if title := plain(sum.GetTitle()); width(out[0].Text())+2+width(title) <= w {
		out[0] = append(out[0], span{"  " + title, strong})
	} else {
		out = append([]Line{out[0].cut(w)}, fold(indent, title, strong, w)...)
	}
	if text := told(sum); text != "" {
		out = append(out, fold(indent, text, colourOfEnd(sum), w)...)
	}
	if len(m.full.GetRuns()) > 1 {
		out = append(out, f.measures(m)...)
	}
	if u := sum.GetUsage(); u.GetCalls() > 0 {
		out = append(out, Line{{indent + fit(w-len(indent), spent(u, m.full.GetAccount())...), normal}}.cut(w))
	}
	if sum.GetState() != gatewayv1.IdeaState_FAILED {
		if sum.GetNext() != "" {
			out = append(out, fold(indent+"next: ", plain(sum.GetNext()), live, w)...)
		}
		return out
	}
	return append(out, Failure(w, from, output, sum.GetNext(), m.full.GetTraceId())...)
}

func colourOfEnd(s *gatewayv1.IdeaSummary) style {
	if s.GetState() == gatewayv1.IdeaState_FAILED {
		return bad
	}
	return normal
}

// Failure gives the last output, the next command and the trace of something that failed; what is empty is left out.
func Failure(w int, from string, output []string, next, trace string) []Line {
	var out []Line
	if len(output) > 0 {
		out = append(out, Line{{fmt.Sprintf("%slast lines of %s:", indent, from), dim}}.cut(w))
		for _, l := range output {
			for part := range strings.SplitSeq(ansi.Hardwrap(printable(l), max(10, w-len(indent)-2), true), "\n") {
				out = append(out, Line{{indent + "| ", dim}, {strings.TrimRight(part, " "), normal}}.cut(w))
			}
		}
	}
	if next != "" {
		out = append(out, fold(indent+"next: ", plain(next), live, w)...)
	}
	if trace != "" {
		out = append(out, fold(indent+"trace: ", plain(trace), dim, w)...)
	}
	return out
}

// StudyEnd gives what is to be said for good of a study that failed: the last output, what to type next and the trace. Nothing of one that did not fail.
func (s *State) StudyEnd(w int, from string, output []string) []Line {
	if s.self.sum.GetState() != gatewayv1.IdeaState_FAILED {
		return nil
	}
	return Failure(max(w, minimum), from, output, s.self.sum.GetNext(), s.study.GetTraceId())
}
