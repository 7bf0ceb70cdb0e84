package coder

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	"nullius.dev/services/coder/internal/edit"
	"nullius.dev/services/coder/prompts"
)

// Bounds of the table of runs.
const (
	maxNumbers = 60 // measurements of one run
	maxKeys    = 40
)

// brief is what every call of an instruction tells the model before the task, stable parts first.
func (s *Service) brief(ctx context.Context, f Frame, w *workspace, focus string, withHistory bool) ([]llm.Part, error) {
	idea, err := s.prompts.Context(contextOf(f, w))
	if err != nil {
		return nil, err
	}
	var history []prompts.Change
	if withHistory {
		if history, err = s.history(ctx, f); err != nil {
			return nil, err
		}
	}
	runs, err := s.prompts.Runs(table(f), history)
	if err != nil {
		return nil, err
	}
	parts := []llm.Part{{Text: idea, Cache: true}, {Text: runs}}
	if w == nil {
		return parts, nil
	}
	files, err := s.prompts.Files(w.shown(focus, roomFor(parts)))
	if err != nil {
		return nil, err
	}
	return append(parts, llm.Part{Text: files, Cache: true}), nil
}

// roomFor is how many bytes of files fit into a prompt beside what it holds already.
func roomFor(parts []llm.Part) int {
	left := maxPrompt - maxTask
	for _, p := range parts {
		left -= len(p.Text)
	}
	return max(minFiles, left)
}

func contextOf(f Frame, w *workspace) prompts.Context {
	c := prompts.Context{
		Task: f.Task, Command: commandOf(f), Keys: keys(f), TimeLimit: f.TimeLimit, Hardware: f.Hardware,
		Modules: strings.Join(f.Modules, ", "), Protected: strings.Join(shownProtected(f), ", "),
		Title: f.Idea.Title, Name: f.Idea.Name, Hypothesis: f.Idea.Hypothesis, Experiment: f.Idea.Experiment, Risks: f.Idea.Risks,
		Plan: planned(f.Plan),
	}
	if w != nil {
		c.Editable = w.policy.Editable(w.tree)
	} else {
		c.Editable = "none now"
	}
	if c.Task == "" {
		c.Task = "The experiment is what experiment.py does."
	}
	if m := f.primary(); m != nil {
		c.Primary = metricName(*m)
		switch m.Direction {
		case Minimize:
			c.Primary += ", lower is better"
		case Maximize:
			c.Primary += ", higher is better"
		}
	}
	return c
}

// commandOf never holds a run's number here: this part is the same for all runs, so that it can be cached.
func commandOf(f Frame) string {
	words := strings.Fields(f.Command)
	if strings.Contains(f.Command, plotFile) {
		words = nil // the task names that command; the experiment's own is meant here
	}
	for i, w := range words {
		if strings.HasPrefix(w, "--out_dir=run_") {
			words[i] = "--out_dir=run_N"
		}
	}
	if len(words) == 0 {
		return "python experiment.py --out_dir=run_N"
	}
	return strings.Join(words, " ")
}

func shownProtected(f Frame) []string {
	out := append([]string(nil), f.Protected...)
	return append(out, "latex/", "ideas.json", "seed_ideas.json", "prompt.json")
}

func (f Frame) primary() *Metric {
	if f.Idea.Primary != nil {
		return f.Idea.Primary
	}
	return f.Primary
}

func metricName(m Metric) string {
	name := m.Name
	if m.Label != "" && m.Label != m.Name {
		name += " (" + m.Label + ")"
	}
	if m.Unit != "" {
		name += " in " + m.Unit
	}
	if m.Dataset != "" {
		name += " of " + m.Dataset
	}
	return name
}

func planned(in []PlannedRun) []prompts.Planned {
	out := make([]prompts.Planned, len(in))
	for i, r := range in {
		out[i] = prompts.Planned{Name: oneLine(r.Name), Change: oneLine(r.Change), Expected: oneLine(r.Expected)}
	}
	return out
}

// keys lists datasets and metrics of the baseline.
func keys(f Frame) string {
	for _, r := range f.Runs {
		if r.Number != 0 {
			continue
		}
		byDataset := map[string][]string{}
		var order []string
		for _, m := range r.Measurements {
			if byDataset[m.Dataset] == nil {
				order = append(order, m.Dataset)
			}
			byDataset[m.Dataset] = append(byDataset[m.Dataset], m.Metric)
		}
		sort.Strings(order)
		var out []string
		for i, d := range order {
			if i == maxKeys {
				out = append(out, fmt.Sprintf("and %d datasets more", len(order)-i))
				break
			}
			ms := byDataset[d]
			sort.Strings(ms)
			if len(ms) > maxKeys {
				ms = append(ms[:maxKeys:maxKeys], "…")
			}
			out = append(out, d+" ("+strings.Join(ms, ", ")+")")
		}
		return strings.Join(out, "; ")
	}
	return ""
}

// table gives the runs with their exact numbers; nothing in it was said by a model but labels and changes.
func table(f Frame) []prompts.Run {
	var base *Run
	for i := range f.Runs {
		if f.Runs[i].Number == 0 {
			base = &f.Runs[i]
		}
	}
	var out []prompts.Run
	for i := range f.Runs {
		r := &f.Runs[i]
		row := prompts.Run{Number: r.Number, Label: labelOf(*r), Change: oneLine(r.Plan), Outcome: outcomeWord(*r), Numbers: numbers(r.Measurements)}
		if base != nil && r.Number != 0 {
			row.Verdict = verdict(f.primary(), *base, *r)
		}
		out = append(out, row)
	}
	return out
}

func labelOf(r Run) string {
	switch {
	case r.Label != "":
		return oneLine(r.Label)
	case r.Number == 0:
		return "Baseline"
	}
	return "no label"
}

func outcomeWord(r Run) string {
	switch r.Outcome {
	case RunSucceeded:
		return "succeeded"
	case RunFailed:
		if r.Reason != "" {
			return "failed: " + oneLine(r.Reason)
		}
		return "failed"
	case RunSkipped:
		return "skipped, the code was not changed"
	}
	return "measured"
}

func numbers(ms []Measurement) []string {
	var out []string
	for i, m := range ms {
		if i == maxNumbers {
			return append(out, fmt.Sprintf("and %d numbers more", len(ms)-i))
		}
		out = append(out, m.Dataset+"/"+m.Metric+" = "+value(m))
	}
	return out
}

func value(m Measurement) string {
	if m.NotFinite {
		return "not finite"
	}
	s := number(m.Value)
	if m.StdErr != nil {
		s += " ± " + number(*m.StdErr)
	}
	if m.N > 0 {
		s += fmt.Sprintf(" (n = %d)", m.N)
	}
	return s
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// verdict compares the main measure with the baseline's, by code.
func verdict(m *Metric, base, run Run) string {
	if m == nil || run.Outcome != RunSucceeded {
		return ""
	}
	for _, b := range base.Measurements {
		if b.Metric != m.Name || m.Dataset != "" && b.Dataset != m.Dataset {
			continue
		}
		for _, r := range run.Measurements {
			if r.Metric == b.Metric && r.Dataset == b.Dataset {
				return compare(m.Direction, b, r)
			}
		}
	}
	return ""
}

func compare(d Direction, b, r Measurement) string {
	if b.NotFinite || r.NotFinite {
		return "not comparable, a value is not finite"
	}
	word := "equal to the baseline"
	if r.Value != b.Value {
		up := r.Value > b.Value
		word = "lower than the baseline"
		if up {
			word = "higher than the baseline"
		}
		switch {
		case d == Minimize && up, d == Maximize && !up:
			word += ", worse"
		case d == Minimize || d == Maximize:
			word += ", better"
		}
	}
	if b.StdErr != nil && r.StdErr != nil {
		if gap := r.Value - b.Value; gap*gap < 4*(*b.StdErr**b.StdErr+*r.StdErr**r.StdErr) {
			word += "; the difference is within two standard errors"
		}
	}
	return word
}

// history quotes the diffs of the last rounds, newest last.
func (s *Service) history(ctx context.Context, f Frame) ([]prompts.Change, error) {
	var out []prompts.Change
	from := max(0, len(f.History)-3)
	for _, e := range f.History[from:] {
		if !e.Diff.Valid() {
			continue
		}
		diff, err := store.GetBytes(ctx, s.blobs, e.Diff, maxFile)
		if err != nil {
			return nil, err
		}
		if len(diff) > 0 {
			out = append(out, prompts.Change{Step: shortStep(e.Step), Diff: edit.Fenced(headOf(text(diff), maxShownDiff), "diff")})
		}
	}
	return out, nil
}

// shortStep leaves study and idea out: they are no news to the model, and differ between forks.
func shortStep(step string) string {
	if parts := strings.SplitN(step, "/", 3); len(parts) == 3 {
		return parts[2]
	}
	return step
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
