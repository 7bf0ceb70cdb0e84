package coder

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	"nullius.dev/services/coder/prompts"
)

// maxNote bounds the tokens of a note.
const maxNote = 1200

func (s *Service) describeRun(ctx context.Context, in Describe, p Progress) (Edited, error) {
	f := in.Frame
	run, ok := f.run(in.Number)
	if !ok {
		return Edited{}, invalid("number", "run %d is not among the runs", in.Number)
	}
	ask := prompts.ForNotes{Number: in.Number, Label: labelOf(run), Outcome: outcomeWord(run), Change: f.goalOf(in.Number)}
	if n := len(f.History); n > 0 {
		diff, err := s.readBlob(ctx, f.History[n-1].Diff)
		if err != nil {
			return Edited{}, err
		}
		if len(diff) > 0 {
			ask.Diff = prompts.Data(headOf(text(diff), maxShownDiff))
		}
	}
	task, err := s.prompts.Notes(ask)
	if err != nil {
		return Edited{}, err
	}
	words, out, err := s.words(ctx, f, "notes", task, p)
	if err != nil {
		return out, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Run %d: %s\n\n", in.Number, labelOf(run))
	for _, line := range numbers(run.Measurements) {
		fmt.Fprintf(&b, "%s\n", line)
	}
	if words != "" {
		fmt.Fprintf(&b, "\n%s\n", words)
	}
	out.Text = words
	return s.appendNotes(ctx, f, out, b.String())
}

func (f Frame) run(n int) (Run, bool) {
	for _, r := range f.Runs {
		if r.Number == n {
			return r, true
		}
	}
	return Run{}, false
}

func (s *Service) describeFigures(ctx context.Context, in Describe, p Progress) (Edited, error) {
	var names []string
	for _, fig := range in.Figures {
		names = append(names, fig.Path)
	}
	task, err := s.prompts.Describe(names)
	if err != nil {
		return Edited{}, err
	}
	words, out, err := s.words(ctx, in.Frame, "describe", task, p)
	if err != nil {
		return out, err
	}
	var b strings.Builder
	b.WriteString("\n## Figures\n\n")
	for _, fig := range in.Figures {
		fig.Description = lineOf(words, fig.Path)
		out.Figures = append(out.Figures, fig)
		fmt.Fprintf(&b, "%s: %s\n", fig.Path, fig.Description)
	}
	out.Text = words
	return s.appendNotes(ctx, in.Frame, out, b.String())
}

// lineOf finds what a reply says of a figure; empty: nothing.
func lineOf(reply, file string) string {
	for line := range strings.Lines(reply) {
		line = strings.Trim(strings.TrimSpace(line), "-*` ")
		if rest, ok := strings.CutPrefix(line, file); ok {
			return oneLine(strings.TrimLeft(rest, "*`: "))
		}
	}
	return ""
}

// words asks for plain text. An answer that is empty or cut is used as far as it goes; a refusal is none and a warning.
func (s *Service) words(ctx context.Context, f Frame, call, task string, p Progress) (string, Edited, error) {
	out := Edited{Result: Changed, Snapshot: f.Snapshot}
	w, err := s.open(ctx, f.Snapshot, s.policyOf(f))
	if err != nil {
		return "", out, err
	}
	focus := experimentFile
	if call == "describe" {
		focus = plotFile
	}
	brief, err := s.brief(ctx, f, w, focus, false)
	if err != nil {
		return "", out, err
	}
	system, err := s.prompts.Planner()
	if err != nil {
		return "", out, err
	}
	reply, err := s.chat(ctx, f, f.Model, call, llm.Request{
		System: []llm.Part{{Text: system, Cache: true}}, MaxTokens: maxNote,
		Messages: []llm.Message{{Role: llm.User, Parts: append(brief, llm.Part{Text: task})}},
	}, p, &out.Usage)
	if err != nil {
		return "", out, err
	}
	why := ""
	switch reply.Finish {
	case llm.Refused, llm.Filtered:
		why = "the model refused to write this text"
	case llm.TooLong:
		why = "the prompt for this text was too long for the model"
	}
	if out.Reply, err = store.PutBytes(ctx, s.blobs, []byte(reply.Text)); err != nil {
		return "", out, err
	}
	if why != "" { // headings and numbers do not depend on the model
		out.Warnings = append(out.Warnings, Warning{Code: "note-missing", Text: why + "; notes.txt has the numbers alone"})
		return "", out, nil
	}
	return cleanNote(reply.Text), out, nil
}

// appendNotes writes a paragraph to the end of notes.txt.
func (s *Service) appendNotes(ctx context.Context, f Frame, out Edited, add string) (Edited, error) {
	old, err := s.fileOf(ctx, f.Snapshot, notesFile)
	if err != nil {
		old = firstNotes(f) // the tree has none yet
	}
	out.Snapshot, err = store.Edit(ctx, s.blobs, f.Snapshot, map[string][]byte{notesFile: append(old, add...)}, nil)
	out.Added = strings.Count(add, "\n")
	return out, err
}

// sortedKeys lists the keys of both maps, each once.
func sortedKeys(a, b map[string][]byte) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
