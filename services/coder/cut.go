package coder

import (
	"slices"
	"strings"

	"nullius.dev/kit/llm"
	"nullius.dev/services/coder/internal/edit"
)

// cutOff is a reply that ended before it was complete.
type cutOff struct {
	text   string
	before edit.Report // of the reply before it, with the blocks that are kept
	asked  bool        // the next call hands text to the model as the beginning of its answer
}

// read plans a reply, with the sound blocks of the one before, or behind the beginning that was cut off. A reply that was cut off is never applied,
// even if it happens to parse: what it was still to say is not known.
func (t *talk) read(reply llm.Reply) (edit.Changes, edit.Report) {
	w, cut, before := t.in.work, t.cut, t.last
	t.cut, t.reply = nil, reply.Text
	changes, rep := edit.Retry(w.tree, before, reply.Text, w.policy)
	if cut != nil {
		whole, ok := edit.Join(cut.text, reply.Text)
		goesOn := cut.asked && !slices.Contains(reply.Notes, llm.PrefillDropped)
		switch {
		case goesOn:
			whole, ok = edit.GoOn(cut.text, reply.Text), true
		case cut.asked:
			t.counts.Replies++ // it began anew
		}
		// A recorded answer may be of a model that could not go on, so that it stands alone after all.
		if ok && (goesOn || rep.Status != edit.Applied) {
			c, r := edit.Retry(w.tree, cut.before, whole, w.policy)
			if r.Status == edit.Applied || goesOn && rep.Status != edit.Applied {
				changes, rep, before, t.reply = c, r, cut.before, whole
			}
		}
	}
	if reply.Finish == llm.Length && !rep.Cut {
		changes, rep = nil, edit.CutOff(w.tree, before, t.reply, w.policy)
	}
	if rep.Cut {
		t.cut = &cutOff{text: strings.TrimRight(t.reply, " \t\r\n"), before: before}
	}
	return changes, rep
}

// goOn decides whether a reply that reached its length limit is handed back to the model as the beginning of its answer. Else it is asked to go on
// with the block that was cut off.
func (t *talk) goOn(f llm.Finish) bool {
	if f != llm.Length || t.cut == nil || t.goneOn >= t.s.cfg.Limits.FormatRetries || !t.s.continues(t.in.frame.Model) ||
		strings.TrimSpace(edit.WithoutReasoning(t.cut.text)) == "" {
		return false
	}
	t.goneOn++
	t.cut.asked = true
	return true
}

// continues says whether a model can be given the beginning of its answer.
func (s *Service) continues(model string) bool {
	door, ok := s.models.(interface {
		Model(name string) (llm.Model, error)
	})
	if !ok {
		return false
	}
	m, err := door.Model(model)
	return err == nil && m.Supports["prefill"]
}
