package coder

import (
	"context"
	"encoding/json"
	"strings"

	"nullius.dev/services/coder/internal/edit"
	"nullius.dev/services/coder/internal/failure"
	"nullius.dev/services/coder/prompts"
)

// RepairRun mends the code of a failed try. A failure that comes back after a repair is named as such; when it comes a third time the last good
// tree is restored and the change is asked for anew.
func (s *Service) RepairRun(ctx context.Context, in Repair, p Progress) (Edited, error) {
	f := in.Frame
	if err := f.Validate(); err != nil {
		return Edited{}, err
	}
	failing, err := s.open(ctx, f.Snapshot, s.policyOf(f))
	if err != nil {
		return Edited{}, err
	}
	parsed, err := s.parseFailure(ctx, f, in.Failure, failing)
	if err != nil {
		return Edited{}, err
	}
	seen, since := 0, 0 // how often, and the number of repairs from the last time on
	for i, e := range in.Earlier {
		if e.Signature == "" {
			known, err := s.parseFailure(ctx, f, e, failing)
			if err != nil {
				return Edited{}, err
			}
			e.Signature = known.Signature
		}
		if e.Signature == parsed.Signature {
			seen, since = seen+1, len(in.Earlier)-i
		}
	}
	ask := prompts.ForRepair{Number: in.Number, TriesLeft: in.TriesLeft, Goal: f.goalOf(in.Number), Failure: prompts.Data(parsed.Text), Advice: adviceFor(in.Failure.EndReason)}
	w := failing
	restored := seen >= 2 && in.Good.Valid()
	if restored {
		ask.Restored = true
		f.Snapshot = in.Good
		if w, err = s.open(ctx, in.Good, s.policyOf(f)); err != nil {
			return Edited{}, err
		}
	} else if seen > 0 {
		ask.SeenBefore = since
		var diffs []byte
		for _, e := range in.Earlier[len(in.Earlier)-since:] {
			diff, err := s.readBlob(ctx, e.Diff)
			if err != nil {
				return Edited{}, err
			}
			diffs = append(diffs, diff...)
		}
		ask.LastRepair = prompts.Data(headOf(text(diffs), maxShownDiff))
	}
	if !restored && in.Good.Valid() {
		good, err := s.open(ctx, in.Good, s.policyOf(f))
		if err != nil {
			return Edited{}, err
		}
		ask.Diff = prompts.Data(headOf(text(between(good, failing).Diff()), maxShownDiff))
	}
	task, err := s.prompts.Repair(ask)
	if err != nil {
		return Edited{}, err
	}
	w.mentions = parsed.Text + "\n" + ask.Goal
	brief, err := s.brief(ctx, f, w, experimentFile, !restored)
	if err != nil {
		return Edited{}, err
	}
	effect, err := s.effectOf(ctx, f, w, in.Number)
	if err != nil {
		return Edited{}, err
	}
	if err := s.addTries(ctx, effect, failing.tree.Files, in.Earlier); err != nil {
		return Edited{}, err
	}
	t, e, err := s.instruct(ctx, instruction{kind: kindRepair, frame: f, work: w, brief: brief, task: task, focus: experimentFile, effect: effect}, p)
	if err != nil {
		return Edited{}, err
	}
	out, err := t.finish(ctx, e, nil)
	out.Signature, out.Restored = parsed.Signature, restored
	return out, err
}

func (f Frame) goalOf(n int) string {
	if n <= len(f.Plan) && n > 0 {
		return oneLine(f.Plan[n-1].Change)
	}
	return oneLine(f.Idea.Experiment)
}

// adviceFor says what an end reason asks for beside reading the output.
func adviceFor(reason string) string {
	switch reason {
	case "TIMEOUT":
		return "The run was stopped at its time limit. Do less work, or do it faster; the limit stays."
	case "OOM":
		return "The run was stopped at its memory limit. Keep less in memory at a time; the limit stays."
	case "DISK":
		return "The run wrote more than it may. Write only what the results need."
	case "OUTPUT":
		return "The run ended but left no usable final_info.json in its --out_dir. Write it with the same keys as before."
	case "PROTECTED_TOUCHED":
		return "The run changed files that it may only read. Write below --out_dir alone."
	case "NOT_FINITE":
		return "The main metric was not a finite number. Find where it overflows or divides by zero."
	case "ENVIRONMENT":
		return "A module cannot be imported. Use only the modules that are listed."
	}
	return ""
}

// parseFailure reads a try's end and its output.
func (s *Service) parseFailure(ctx context.Context, f Frame, in Failure, w *workspace) (failure.Failure, error) {
	stdout, err := s.readBlob(ctx, in.Stdout)
	if err != nil {
		return failure.Failure{}, err
	}
	stderr, err := s.readBlob(ctx, in.Stderr)
	if err != nil {
		return failure.Failure{}, err
	}
	return failure.Parse(failure.Input{
		EndReason: in.EndReason, ExitCode: in.ExitCode, Message: in.Message, Stdout: stdout, Stderr: stderr, Smoke: in.Smoke,
		TimeLimit: f.TimeLimit, MissingKeys: in.MissingKeys, Source: w.source,
	}), nil
}

// between is what changed from one tree to another.
func between(a, b *workspace) edit.Changes {
	var out edit.Changes
	for _, p := range sortedKeys(a.tree.Files, b.tree.Files) {
		old, was := a.tree.Files[p]
		now, is := b.tree.Files[p]
		if string(old) == string(now) && was == is {
			continue
		}
		out = append(out, edit.Change{Path: p, Old: old, Data: now, Created: !was, Deleted: !is})
	}
	return out
}

// ImplementPlots edits plot.py: at first, after a failure, or for findings. A plot.py that does all that is asked may stay.
func (s *Service) ImplementPlots(ctx context.Context, in Plots, p Progress) (Edited, error) {
	f := in.Frame
	if err := f.Validate(); err != nil {
		return Edited{}, err
	}
	w, err := s.open(ctx, f.Snapshot, s.figurePolicy(f))
	if err != nil {
		return Edited{}, err
	}
	ask := prompts.ForPlots{Command: f.Command, Findings: in.Findings, Results: s.layout(ctx, f)}
	for _, r := range f.Runs {
		if r.Outcome == RunSucceeded {
			ask.Folders = append(ask.Folders, folderLine(r))
		}
	}
	var signature string
	if in.Failure != nil {
		parsed, err := s.parseFailure(ctx, f, *in.Failure, w)
		if err != nil {
			return Edited{}, err
		}
		ask.Failure, signature = prompts.Data(parsed.Text), parsed.Signature
	}
	task, err := s.prompts.Plots(ask)
	if err != nil {
		return Edited{}, err
	}
	brief, err := s.brief(ctx, f, w, plotFile, false)
	if err != nil {
		return Edited{}, err
	}
	mayStop := func(string) string { return "" }
	if in.Failure != nil {
		mayStop = nil
	}
	t, e, err := s.instruct(ctx, instruction{
		kind: kindPlots, frame: f, work: w, brief: brief, task: task, focus: plotFile, stopped: Finished, mayStop: mayStop,
		idle: func(c edit.Changes) string {
			if touches(c, plotFile) || touches(c, labelsFile) {
				return ""
			}
			return "plot.py was not changed."
		},
	}, p)
	if err != nil {
		return Edited{}, err
	}
	out, err := t.finish(ctx, e, nil)
	out.Signature = signature
	return out, err
}

func folderLine(r Run) string {
	line := "run_" + number(float64(r.Number)) + ": " + labelOf(r)
	if r.Plan != "" {
		line += ": " + oneLine(r.Plan)
	}
	return line
}

// layout shows the head of the newest run's results, so that the script can be written against them.
func (s *Service) layout(ctx context.Context, f Frame) string {
	const shown = 1500
	for i := len(f.Runs) - 1; i >= 0; i-- {
		if f.Runs[i].Outcome != RunSucceeded {
			continue
		}
		name := "run_" + number(float64(f.Runs[i].Number)) + "/final_info.json"
		data, err := s.fileOf(ctx, f.Snapshot, name)
		if err == nil {
			return name + ", its beginning:\n" + prompts.Data(headOf(text(withoutTimes(data)), shown))
		}
	}
	return ""
}

// withoutTimes drops the wall times that stand under "timing" beside the means: they differ from run to run, and a prompt must not.
// What is no JSON object of datasets stays as it is.
func withoutTimes(data []byte) []byte {
	var sets map[string]map[string]json.RawMessage
	if json.Unmarshal(data, &sets) != nil {
		return data
	}
	had := false
	for _, set := range sets {
		_, has := set["timing"]
		had = had || has
		delete(set, "timing")
	}
	if !had {
		return data
	}
	if out, err := json.MarshalIndent(sets, "", "  "); err == nil {
		return out
	}
	return data
}

// DescribeResults appends to notes.txt: a run's note, or what the figures show. The heading and a run's numbers are put there here; the model
// writes the words. Text that cannot be used leaves the numbers alone.
func (s *Service) DescribeResults(ctx context.Context, in Describe, p Progress) (Edited, error) {
	if err := in.Frame.Validate(); err != nil {
		return Edited{}, err
	}
	if in.Number == 0 && len(in.Figures) == 0 {
		return Edited{}, invalid("number", "neither a run nor figures are named")
	}
	if in.Number > 0 {
		return s.describeRun(ctx, in, p)
	}
	return s.describeFigures(ctx, in, p)
}

func cleanNote(reply string) string {
	out := edit.Prose(reply)
	var lines []string
	for line := range strings.Lines(out) {
		t := strings.TrimSpace(line)
		if strings.HasPrefix(t, "```") || strings.HasPrefix(t, "#") || t == stopLine {
			continue // fences and headings are the program's
		}
		lines = append(lines, strings.TrimRight(line, "\r\n "))
	}
	return headOf(strings.TrimSpace(strings.Join(lines, "\n")), 6000)
}
