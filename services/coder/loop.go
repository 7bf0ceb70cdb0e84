package coder

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	"nullius.dev/services/coder/internal/edit"
)

// stopLine ends an idea's experiments: alone on a line, outside fences, in a reply without edits.
const stopLine = "ALL_COMPLETED"

// kind of an instruction, for the counters.
type kind string

const (
	kindRun    kind = "run"
	kindRepair kind = "repair"
	kindPlots  kind = "plots"
)

// instruction is one thing that a model is asked to do with the files.
type instruction struct {
	kind  kind
	frame Frame
	work  *workspace
	brief []llm.Part
	task  string
	focus string // the file that it is about
	// effect judges changes of a run's program; idle those of other files: it says why they have no effect, or "". One of both is set.
	effect *effect
	idle   func(edit.Changes) string
	// mayStop says why a stop line is not accepted now; "" when it is. Nil: it never is.
	mayStop func(reply string) string
	stopped Result // what an accepted stop line means
}

// talk is the state of one instruction's conversation.
type talk struct {
	s        *Service
	in       instruction
	progress Progress
	messages []llm.Message
	last     edit.Report
	held     edit.Changes // sound edits about which one question is open
	failures string       // which blocks failed last, to see the same ones twice
	report   report
	usage    Usage
	counts   Counts
	reply    string
	cut      *cutOff // what the last reply began, when it was cut off
	feedback string

	calls, format, syntax, empty, lazy, other, checked, goneOn int
}

// edited is how an instruction ended.
type edited struct {
	result  Result
	changes edit.Changes
}

// instruct asks, plans, checks and asks again until the edits hold or the limits are used up.
func (s *Service) instruct(ctx context.Context, in instruction, p Progress) (*talk, edited, error) {
	t := &talk{s: s, in: in, progress: p, report: report{Step: in.frame.Step}}
	if err := s.remember(ctx, in.frame, in.work); err != nil {
		return t, edited{}, err
	}
	form, err := t.firstFormat(in.focus)
	if err != nil {
		return t, edited{}, err
	}
	if form != "" {
		form = "\n" + form
	}
	parts := append(append([]llm.Part(nil), in.brief...), llm.Part{Text: in.task + form})
	t.messages = []llm.Message{{Role: llm.User, Parts: parts}}
	for {
		reply, err := t.ask(ctx)
		if err != nil {
			return t, edited{}, err
		}
		switch reply.Finish {
		case llm.Refused, llm.Filtered:
			return t, edited{result: Refused}, nil
		case llm.TooLong:
			return t, edited{result: TooLong}, nil
		}
		done, err := t.weigh(ctx, reply)
		if err != nil {
			return t, edited{}, err
		}
		if done == nil && t.calls >= s.cfg.Limits.Calls {
			done = &edited{result: NoChange}
		}
		if done != nil && done.result == NoChange && t.held != nil {
			done = &edited{result: Changed, changes: t.held} // the question was about sound edits
		}
		if done != nil {
			return t, *done, nil
		}
		if t.cut == nil || !t.cut.asked {
			t.say(t.reply)
		}
	}
}

// ask makes the next call: edit, edit/retry-1, …
func (t *talk) ask(ctx context.Context) (llm.Reply, error) {
	call := "edit"
	if t.calls > 0 {
		call = fmt.Sprintf("edit/retry-%d", t.calls)
	}
	system, err := t.s.prompts.System()
	if err != nil {
		return llm.Reply{}, err
	}
	t.calls++
	messages := t.messages
	if t.cut != nil && t.cut.asked {
		messages = append(slices.Clone(messages), llm.Say(llm.Assistant, t.cut.text))
	} else {
		t.counts.Replies++ // what is gone on with is still the same reply
	}
	reply, err := t.s.chat(ctx, t.in.frame, t.in.frame.Model, call, llm.Request{
		System:    []llm.Part{{Text: system, Cache: true}},
		Messages:  messages,
		MaxTokens: t.s.cfg.Limits.ReplyTokens,
	}, t.progress, &t.usage)
	if err != nil {
		return llm.Reply{}, err
	}
	return reply, nil
}

// weigh judges a reply. It returns how the instruction ended, or nothing after writing feedback.
func (t *talk) weigh(ctx context.Context, reply llm.Reply) (*edited, error) {
	changes, rep := t.read(reply)
	round := t.report.add(t.calls, string(reply.Finish), rep, changes)
	switch rep.Status {
	case edit.Applied:
		t.last = rep // its blocks stay, should the result not parse
		return t.judge(ctx, changes, round)
	case edit.NoEdits:
		if t.held != nil {
			return &edited{result: Changed, changes: t.held}, nil
		}
		return t.nothing(t.reply, rep, round), nil
	case edit.Noop:
		t.held, t.last = nil, edit.Report{} // with what was kept it comes to nothing: the model took that back
		return t.nothing(t.reply, rep, round), nil
	}
	t.last = rep
	if t.goOn(reply.Finish) {
		t.feedback = edit.Feedback(rep, t.in.work.tree, t.in.work.policy) // if no call is left
		return nil, nil
	}
	return t.refuse(rep, round)
}

// judge looks at edits that fit: do they do anything, and do the files still parse?
func (t *talk) judge(ctx context.Context, changes edit.Changes, round *round) (*edited, error) {
	var why string
	var rivals []rival
	if t.in.effect != nil {
		why, rivals = t.in.effect.idle(changes)
	} else {
		why = t.in.idle(changes)
	}
	if why != "" {
		return t.withoutEffect(why, round), nil
	}
	found, err := t.s.gate.check(ctx, changes, t.in.frame.Modules, rivals)
	if err != nil {
		return nil, err
	}
	for _, r := range rivals {
		if r.same(found.code) {
			return t.withoutEffect(r.why, round), nil
		}
	}
	round.Checks = found.all()
	if len(found.broken) > 0 {
		round.Status = edit.Syntax
		return t.again(&t.syntax, t.s.cfg.Limits.SyntaxRetries, round, found.syntaxFeedback()), nil
	}
	if len(found.doubts) > 0 && t.checked == 0 && t.calls < t.s.cfg.Limits.Calls {
		t.checked++
		t.held = changes
		t.feedback = found.doubtFeedback()
		round.Feedback = t.feedback
		return nil, nil
	}
	if t.counts.Replies == 1 {
		t.counts.WellFormed++
	}
	t.feedback = ""
	return &edited{result: Changed, changes: changes}, nil
}

// withoutEffect asks for another change; the one that has no effect is dropped.
func (t *talk) withoutEffect(why string, round *round) *edited {
	t.held, t.last = nil, edit.Report{}
	return t.again(&t.empty, t.s.cfg.Limits.EmptyRetries, round, "Nothing was written: "+why+"\n")
}

// nothing handles a reply without edits or without effect: a stop line, or too little.
func (t *talk) nothing(reply string, rep edit.Report, round *round) *edited {
	if rep.Status == edit.NoEdits && t.in.mayStop != nil && stops(reply) {
		why := t.in.mayStop(reply)
		if why == "" {
			t.counts.WellFormed++
			return &edited{result: t.in.stopped}
		}
		return t.again(&t.empty, t.s.cfg.Limits.EmptyRetries, round, why+"\n")
	}
	if rep.Status == edit.Noop {
		return t.again(&t.empty, t.s.cfg.Limits.EmptyRetries, round,
			"Nothing was written: your edits change no byte of the files. Send edits that make the change, in the form that was described.\n")
	}
	return t.again(&t.empty, t.s.cfg.Limits.EmptyRetries, round,
		"Nothing was written: the reply holds no edits. Send the change as SEARCH/REPLACE blocks, each under the path of its file, or a small file whole under its path.\n")
}

// refuse handles edits that could not be applied.
func (t *talk) refuse(rep edit.Report, round *round) (*edited, error) {
	w := t.in.work
	text := edit.Feedback(rep, w.tree, w.policy)
	failures := failing(rep)
	if failures == "" {
		failures = t.reply // not one block of it could be read
	}
	same := failures == t.failures
	t.failures = failures
	if lazy(rep) && t.lazy == 0 {
		return t.again(&t.lazy, 1, round, text), nil
	}
	if same || t.format >= t.s.cfg.Limits.FormatRetries {
		if t.other > 0 {
			t.feedback, round.Feedback = text, text
			return &edited{result: NoChange}, nil
		}
		t.other++
		form, err := t.otherFormat(rep)
		t.feedback = text + "\n" + form
		round.Feedback = t.feedback
		return nil, err
	}
	return t.again(&t.format, t.s.cfg.Limits.FormatRetries, round, text), nil
}

// again counts a retry; past its limit the instruction ends without change.
func (t *talk) again(used *int, limit int, round *round, feedback string) *edited {
	t.feedback, round.Feedback = feedback, feedback
	if *used >= limit {
		return &edited{result: NoChange}
	}
	*used++
	return nil
}

// failing names the failing blocks, so that the same failure is seen twice.
func failing(rep edit.Report) string {
	var b strings.Builder
	for _, k := range rep.Blocks {
		if k.Status.Failed() {
			fmt.Fprintf(&b, "%s|%s|%s\n", k.Path, k.Status, k.Asked)
		}
	}
	return b.String()
}

func lazy(rep edit.Report) bool {
	for _, b := range rep.Blocks {
		if b.Lazy {
			return true
		}
	}
	return false
}

// stops says whether a reply holds the stop line outside fences.
func stops(reply string) bool {
	fenced := false
	for _, l := range strings.Split(edit.WithoutReasoning(reply), "\n") {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "```") || strings.HasPrefix(l, "~~~") {
			fenced = !fenced
		}
		if !fenced && strings.Trim(l, "*_`. ") == stopLine {
			return true
		}
	}
	return false
}

// reason is what a reply says beside the stop line.
func reason(reply string) string {
	return strings.TrimSpace(strings.ReplaceAll(edit.WithoutReasoning(reply), stopLine, ""))
}

// finish turns the end of an instruction into a result, storing reply, report and diff.
func (t *talk) finish(ctx context.Context, e edited, extra map[string][]byte) (Edited, error) {
	s, w := t.s, t.in.work
	out := Edited{Result: e.result, Snapshot: w.snapshot, Feedback: t.feedback, Counts: t.counts, Usage: t.usage}
	changes := e.changes
	if e.result != NoChange {
		out.Feedback = ""
	}
	if e.result == Changed {
		out.Added, out.Removed = changes.Stat()
		set := changes
		for p, data := range extra {
			if !touches(changes, p) {
				set = append(set, edit.Change{Path: p, Data: data})
			}
		}
		var err error
		if out.Snapshot, err = s.commit(ctx, w, set); err != nil {
			return Edited{}, err
		}
		if out.Diff, err = store.PutBytes(ctx, s.blobs, changes.Diff()); err != nil {
			return Edited{}, err
		}
	}
	for _, text := range t.report.warnings() {
		out.Warnings = append(out.Warnings, Warning{Code: "edit-corrected", Text: text})
	}
	t.report.Outcome, t.report.Counts = e.result.String(), t.count(e, out.Added+out.Removed)
	s.metrics.instruction(ctx, t.in.kind, e.result, t.report.Counts)
	if e.result == Changed && t.in.kind != kindPlots {
		same, err := s.sameProgram(ctx, w.snapshot, out.Snapshot)
		if err != nil {
			return Edited{}, err
		}
		if same {
			s.metrics.withoutChange.Add(1)
			s.log.ErrorContext(ctx, "a run is let go without a change of its program", "step", t.in.frame.Step)
		}
	}
	return out, s.keep(ctx, &out, t.reply, t.report)
}

// keep stores the last reply and the report.
func (s *Service) keep(ctx context.Context, out *Edited, reply string, r report) error {
	var err error
	if out.Reply, err = store.PutBytes(ctx, s.blobs, []byte(reply)); err != nil {
		return err
	}
	out.Report, err = store.PutBytes(ctx, s.blobs, r.encode())
	return err
}

func touches(c edit.Changes, path string) bool {
	for _, ch := range c {
		if ch.Path == path {
			return true
		}
	}
	return false
}
