package coder

import (
	"bytes"

	"nullius.dev/services/coder/internal/edit"
	"nullius.dev/services/coder/prompts"
)

// Bounds of the choice between blocks and whole files. A model that gets blocks wrong too often does better with whole files, as aider's
// leaderboards of both formats show; long files are lost that way.
const (
	wholeUpTo   = 120 // lines of a file that may be asked for whole from the start
	wholeBackUp = 250 // lines of a file that is asked for whole when blocks fail
	enoughCount = 20  // replies before a model's rate says anything
	wellFormed  = 0.9 // below this share of replies that could be applied at once, whole files are asked for
)

// firstFormat says in which form the first reply is wanted, where that is not the usual one. focus is the file that the instruction is about.
func (t *talk) firstFormat(focus string) (string, error) {
	var ask prompts.ForFormat
	c := t.in.frame.Counts
	data, there := t.in.work.tree.Files[focus]
	switch {
	case there && c.Replies >= enoughCount && float64(c.WellFormed) < wellFormed*float64(c.Replies) && lineCount(data) <= wholeUpTo:
		ask.Whole = focus
	case there && edit.MarkerLike(data):
		ask.Markers = focus
	}
	if ask == (prompts.ForFormat{}) {
		return "", nil
	}
	return t.s.prompts.Format(ask)
}

// otherFormat asks for a file whole, or for one block at a time.
func (t *talk) otherFormat(rep edit.Report) (string, error) {
	for _, b := range rep.Blocks {
		data, ok := t.in.work.tree.Files[b.Path]
		if !b.Status.Failed() || !ok {
			continue
		}
		if b.Format != "listing" && lineCount(data) <= wholeBackUp {
			return t.s.prompts.Format(prompts.ForFormat{Whole: b.Path, Instead: true})
		}
		break
	}
	return t.s.prompts.Format(prompts.ForFormat{Small: true})
}

func lineCount(data []byte) int { return bytes.Count(data, []byte("\n")) }
