package coder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	"nullius.dev/services/coder/internal/edit"
	"nullius.dev/services/coder/prompts"
)

// maxRuns bounds a plan when the request does not.
const maxRuns = 5

// ImplementRun plans when there is no plan, then makes one run's change. The first run of an idea also gets notes.txt.
// A stop line is accepted after a good run, or with a reason.
func (s *Service) ImplementRun(ctx context.Context, in Implement, p Progress) (Edited, error) {
	if err := in.Frame.Validate(); err != nil {
		return Edited{}, err
	}
	if in.Number < 1 {
		return Edited{}, invalid("number", "%d is no run; runs begin at 1", in.Number)
	}
	if in.MaxRuns <= 0 {
		in.MaxRuns = maxRuns
	}
	f := in.Frame
	var planUsage Usage
	var made []PlannedRun
	if len(f.Plan) == 0 || (in.Number == 1 && f.fresh()) {
		plan, ended, err := s.plan(ctx, f, in.MaxRuns, p, &planUsage)
		if err != nil || ended != nil {
			return orEmpty(ended), err
		}
		if len(plan) == 0 && len(f.Plan) == 0 {
			plan = f.Idea.fallbackPlan()
		}
		if len(plan) > 0 {
			f.Plan, made = plan, plan
		}
	}
	w, err := s.open(ctx, f.Snapshot, s.policyOf(f))
	if err != nil {
		return Edited{}, err
	}
	if planned := f.planOf(in.Number); planned != nil {
		w.mentions = planned.Change + "\n" + planned.Expected
	}
	brief, err := s.brief(ctx, f, w, experimentFile, true)
	if err != nil {
		return Edited{}, err
	}
	task, err := s.prompts.Run(prompts.ForRun{Number: in.Number, Max: in.MaxRuns, Planned: f.planOf(in.Number), Command: f.Command})
	if err != nil {
		return Edited{}, err
	}
	effect, err := s.effectOf(ctx, f, w, 0)
	if err != nil {
		return Edited{}, err
	}
	t, e, err := s.instruct(ctx, instruction{
		kind: kindRun, frame: f, work: w, brief: brief, task: task, focus: experimentFile, effect: effect, stopped: Finished,
		mayStop: func(reply string) string {
			if f.hasGoodRun() || len(reason(reply)) >= 20 {
				return ""
			}
			return "No run has been measured yet, so the experiments cannot be complete. Make the change of this run, or give the reason why none can be made beside the stop line."
		},
	}, p)
	if err != nil {
		return Edited{}, err
	}
	extra := map[string][]byte{}
	if _, there := w.tree.Files[notesFile]; !there {
		extra[notesFile] = firstNotes(f)
	}
	out, err := t.finish(ctx, e, extra)
	out.Plan = made
	out.Usage.join(planUsage)
	return out, err
}

// fresh tells whether the plan at hand is only the idea's own proposal.
func (f Frame) fresh() bool {
	for _, x := range f.History {
		if strings.Contains(x.Step, "/implement") {
			return false
		}
	}
	return len(f.Runs) <= 1
}

func (f Frame) hasGoodRun() bool {
	for _, r := range f.Runs {
		if r.Number > 0 && r.Outcome == RunSucceeded {
			return true
		}
	}
	return false
}

func (f Frame) planOf(n int) *prompts.Planned {
	if n > len(f.Plan) {
		return nil
	}
	p := f.Plan[n-1]
	return &prompts.Planned{Name: p.Name, Change: p.Change, Expected: p.Expected}
}

// idleRun refuses changes that do not touch what a run executes.
func idleRun(c edit.Changes) string {
	for _, ch := range c {
		if !idleFile(ch.Path) {
			return ""
		}
	}
	return "only notes or the plotting script were changed, so the run would repeat the last one. Change the experiment itself."
}

// fallbackPlan stands in for a plan that the model did not give in any usable form.
func (i Idea) fallbackPlan() []PlannedRun {
	if len(i.Planned) > 0 {
		return i.Planned
	}
	return []PlannedRun{{Name: i.Title, Change: i.Experiment}}
}

// planSchema is what a plan's reply must hold.
var planSchema = json.RawMessage(`{"type":"object","required":["runs"],"properties":{"runs":{"type":"array","minItems":1,"items":{
"type":"object","required":["change"],"properties":{"name":{"type":"string"},"change":{"type":"string"},"expected":{"type":"string"}}}}}}`)

// plan asks for the plan of an idea. A reply that cannot be used leaves the idea's own proposal in force, as does none at all.
func (s *Service) plan(ctx context.Context, f Frame, most int, p Progress, u *Usage) ([]PlannedRun, *Edited, error) {
	brief, err := s.brief(ctx, f, nil, "", false)
	if err != nil {
		return nil, nil, err
	}
	w, err := s.open(ctx, f.Snapshot, s.policyOf(f))
	if err != nil {
		return nil, nil, err
	}
	files, err := s.prompts.Files(w.shown(experimentFile, roomFor(brief)))
	if err != nil {
		return nil, nil, err
	}
	task, err := s.prompts.Plan(prompts.ForPlan{Max: most, Proposed: planned(f.Idea.Planned)})
	if err != nil {
		return nil, nil, err
	}
	system, err := s.prompts.Planner()
	if err != nil {
		return nil, nil, err
	}
	r, err := s.request(f, f.planModel(), "plan", llm.Request{
		System: []llm.Part{{Text: system, Cache: true}}, MaxTokens: s.cfg.Limits.ReplyTokens, Schema: planSchema,
		Messages: []llm.Message{{Role: llm.User, Parts: append(append(brief, llm.Part{Text: files}), llm.Part{Text: task})}},
	}, p)
	if err != nil {
		return nil, nil, err
	}
	raw, reply, err := llm.Object(ctx, tally{s.models, u}, r, 1)
	var bad *llm.Unusable
	if errors.As(err, &bad) {
		switch bad.Finish {
		case llm.Refused, llm.Filtered:
			return nil, &Edited{Result: Refused, Snapshot: f.Snapshot, Usage: *u}, nil
		case llm.TooLong:
			return nil, &Edited{Result: TooLong, Snapshot: f.Snapshot, Usage: *u}, nil
		}
		return planFrom([]byte(reply.Text), most), nil, nil // a bare list, perhaps
	}
	if err != nil {
		return nil, nil, err
	}
	return planFrom(raw, most), nil, nil
}

// planFrom reads a plan in the shapes that models give it: an object with a list, or the bare list, of objects or sentences,
// with or without prose around.
func planFrom(raw []byte, most int) []PlannedRun {
	var out []PlannedRun
	for _, item := range planItems(raw) {
		if r := plannedOf(item); r.Change != "" && len(out) < most {
			out = append(out, r)
		}
	}
	return out
}

func planItems(raw []byte) []json.RawMessage {
	s := edit.WithoutReasoning(string(raw))
	for _, ends := range []string{"{}", "[]"} {
		from, to := strings.IndexByte(s, ends[0]), strings.LastIndexByte(s, ends[1])
		if from < 0 || to < from {
			continue
		}
		part := []byte(s[from : to+1])
		var list []json.RawMessage
		if json.Unmarshal(part, &list) == nil {
			return list
		}
		var o map[string]json.RawMessage
		if json.Unmarshal(part, &o) != nil {
			continue
		}
		for _, key := range []string{"runs", "plan", "experiments", "steps"} {
			if json.Unmarshal(o[key], &list) == nil && len(list) > 0 {
				return list
			}
		}
	}
	return nil
}

// plannedOf reads one run; other models have other words for the same fields.
func plannedOf(item json.RawMessage) PlannedRun {
	var text string
	if json.Unmarshal(item, &text) == nil {
		return PlannedRun{Change: headOf(strings.TrimSpace(text), 2000)}
	}
	var o map[string]any
	if json.Unmarshal(item, &o) != nil {
		return PlannedRun{}
	}
	first := func(limit int, keys ...string) string {
		for _, k := range keys {
			if v, ok := o[k].(string); ok && strings.TrimSpace(v) != "" {
				return headOf(strings.TrimSpace(v), limit)
			}
		}
		return ""
	}
	return PlannedRun{
		Name:     first(80, "name", "title", "run", "label"),
		Change:   first(2000, "change", "changes", "description", "what", "text"),
		Expected: first(1000, "expected", "expected_effect", "expectation", "effect"),
	}
}

// firstNotes is the head of notes.txt: title, plan and the baseline's numbers.
func firstNotes(f Frame) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Title: %s\n", oneLine(f.Idea.Title))
	fmt.Fprintf(&b, "# Experiment: %s\n\n", oneLine(f.Idea.Experiment))
	for i, r := range f.Plan {
		fmt.Fprintf(&b, "Planned run %d: %s: %s\n", i+1, oneLine(r.Name), oneLine(r.Change))
	}
	b.WriteString("\n## Run 0: Baseline\n\n")
	if len(f.Runs) > 0 {
		for _, line := range numbers(f.Runs[0].Measurements) {
			fmt.Fprintf(&b, "%s\n", line)
		}
	}
	return []byte(b.String())
}

func orEmpty(e *Edited) Edited {
	if e == nil {
		return Edited{}
	}
	return *e
}

// join adds another sum.
func (u *Usage) join(o Usage) {
	u.Input += o.Input
	u.CacheRead += o.CacheRead
	u.CacheWrite += o.CacheWrite
	u.Output += o.Output
	u.Reasoning += o.Reasoning
	u.Calls += o.Calls
	u.Cost += o.Cost
	u.WouldCost += o.WouldCost
	u.Estimated, u.Unpriced = u.Estimated || o.Estimated, u.Unpriced || o.Unpriced
	if u.Low == "" {
		u.Low = o.Low // o was before
	}
}

// readBlob reads a log or a diff; an empty digest is no bytes.
func (s *Service) readBlob(ctx context.Context, d store.Digest) ([]byte, error) {
	const maxBlob = 8 << 20
	if d == "" {
		return nil, nil
	}
	return store.GetBytes(ctx, s.blobs, d, maxBlob)
}
