package writer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/diff"
	"nullius.dev/services/writer/internal/numbers"
	"nullius.dev/services/writer/prompts"
)

// Bytes of the blocks that the model reads, four to a token.
const (
	measurementBytes = 12_000
	settingBytes     = 3_000
	ideaBytes        = 6_000
	diffBytes        = 14_000
	baselineBytes    = 9_000
	notesBytes       = 5_000
	paperBytes       = 12_000
)

// fence is a delimiter that the text cannot hold, derived from its digest so that a repeated request is the same.
func fence(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "=====" + hex.EncodeToString(sum[:5]) + "====="
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + " […]"
}

// loadCode reads the code of the runs: settings, the change from baseline to the last good run, and names. It returns all code.
func (w *work) loadCode(ctx context.Context) (string, error) {
	perRun := map[int][]numbers.Setting{}
	var shared, all strings.Builder
	for _, f := range w.manifest {
		if path.Dir(f.Path) == "." && path.Ext(f.Path) == ".py" && f.Path != "experiment.py" && f.Path != "plot.py" &&
			!strings.HasPrefix(f.Path, "run_") && f.Size < maxCode && shared.Len() < maxCode {
			data, err := w.read(ctx, f.Path, maxCode)
			if err != nil {
				return "", err
			}
			shared.WriteString(strings.ToValidUTF8(string(data), "") + "\n")
		}
	}
	base, last := "", ""
	for i, run := range w.rec.Runs {
		if !run.OK {
			continue
		}
		code, err := w.codeOf(ctx, run)
		if err != nil {
			return "", err
		}
		if code == "" {
			continue
		}
		if run.Code == "" {
			w.rec.Runs[i].Code = string(store.DigestOf([]byte(code)))
		}
		perRun[run.Number] = numbers.ReadSettings(code + "\n" + shared.String())
		if base == "" {
			base = code
		}
		last = code
		all.WriteString(code)
	}
	if base == "" {
		if data, err := w.read(ctx, "experiment.py", maxCode); err == nil {
			base = strings.ToValidUTF8(string(data), "")
			perRun[0] = numbers.ReadSettings(base + "\n" + shared.String())
			all.WriteString(base)
		}
	}
	w.rec.SetSettings(perRun)
	w.diff, w.baseTxt = diff.Unified("baseline/experiment.py", "final/experiment.py", base, last), base
	return all.String() + shared.String(), nil
}

// codeOf finds experiment.py as a run executed it.
func (w *work) codeOf(ctx context.Context, run numbers.Run) (string, error) {
	if d := store.Digest(run.Snapshot); d.Valid() {
		data, err := store.ReadFile(ctx, w.s.d.Blobs, d, "experiment.py", maxCode)
		if err == nil {
			return strings.ToValidUTF8(string(data), ""), nil
		}
		if fault.ReasonOf(err) != "FILE_UNKNOWN" && fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Precondition {
			return "", err
		}
	}
	for _, name := range []string{fmt.Sprintf("run_%d.py", run.Number), "experiment.py"} {
		if _, ok := w.manifest.Find(name); !ok {
			continue
		}
		data, err := w.read(ctx, name, maxCode)
		if err != nil {
			return "", err
		}
		return strings.ToValidUTF8(string(data), ""), nil
	}
	return "", nil
}

// blocks renders what all calls share: the rules and the record, and the code for those that read it.
func (w *work) blocks(notes string) {
	p := w.s.prompts
	w.system = []llm.Part{{Text: p.Rules()}, {Text: p.Record(w.recordBlock()), Cache: true}}
	d := cut(w.diff, diffBytes)
	base := cut(w.baseTxt, max(baselineBytes, diffBytes-len(d)))
	w.code = p.Code(prompts.Code{Fence: fence(d + base + notes), Diff: d, Baseline: base, Notes: notes})
}

func (w *work) recordBlock() prompts.Record {
	in := w.in.Record
	var idea strings.Builder
	line := func(name, text string) {
		if strings.TrimSpace(text) != "" {
			fmt.Fprintf(&idea, "%s: %s\n", name, strings.TrimSpace(text))
		}
	}
	line("Title", in.Idea.Title)
	line("Hypothesis", in.Idea.Hypothesis)
	line("Experiment", in.Idea.Experiment)
	for _, r := range in.Idea.Planned {
		line("Planned", r)
	}
	line("Risks", in.Idea.Risks)
	idea2 := cut(strings.TrimSpace(idea.String()), ideaBytes)
	task := cut(strings.TrimSpace(in.Task), ideaBytes/2)
	if task == "" {
		task = "not told"
	}
	r := prompts.Record{Fence: fence(idea2 + task), Idea: idea2, Template: in.Template, Task: task,
		Measurements: w.rec.Lines(measurementBytes), Settings: w.rec.SettingLines(settingBytes)}
	for _, run := range w.rec.Runs {
		r.Runs = append(r.Runs, runLine(run))
	}
	var counts []string
	for _, c := range w.rec.Counts() {
		counts = append(counts, fmt.Sprintf("%s=%d (%s)", c.ID, c.Value, c.What))
	}
	r.Counts = strings.Join(counts, "; ")
	for _, name := range figureNames(w.figures) {
		r.Figures = append(r.Figures, name+": "+cut(oneLine(w.figures[name]), 500))
	}
	return r
}

func runLine(run numbers.Run) string {
	s := run.Name()
	if run.Number == 0 {
		s += " (baseline)"
	}
	if run.Label != "" {
		s += " \"" + oneLine(run.Label) + "\""
	}
	switch {
	case run.OK:
		s += ", succeeded"
	case run.Skipped:
		s += ", skipped"
	default:
		s += ", FAILED after " + fmt.Sprint(run.Tries) + " tries: " + cut(oneLine(run.Reason), 300)
	}
	if run.Plan != "" {
		s += ". Change: " + cut(oneLine(run.Plan), 600)
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func figureNames(f check.Figures) []string { return sortedKeys(f) }
