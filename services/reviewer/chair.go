package reviewer

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"nullius.dev/kit/llm"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer/forms"
	"nullius.dev/services/reviewer/internal/check"
	"nullius.dev/services/reviewer/internal/score"
	"nullius.dev/services/reviewer/prompts"
)

// score reads an integer; 7.0 is one, a huge number is none that a form allows.
func (a answer) score(name string) (int, bool) {
	var n number
	if !a.into(name, &n) {
		return 0, false
	}
	v := float64(n)
	return int(v), v == math.Trunc(v) && math.Abs(v) <= 1e6
}

// average computes the scores of the merged review.
func (w *work) average(opinions []opinion) {
	for _, it := range w.form.Of(forms.Score) {
		var values []int
		missing := 0
		for _, o := range opinions {
			if v, ok := o.answer.score(it.Name); ok {
				values = append(values, v)
			} else {
				missing++
			}
		}
		s := score.Summarise(values, it.Allows)
		if s.N == 0 {
			w.warn("score-missing", "%s: no reviewer gave a value that the form allows.", it.Name)
		}
		w.out.Scores = append(w.out.Scores, &reviewerv1.Score{Item: it.Name, Value: s.Mean, Mean: s.Mean, StandardDeviation: s.SD,
			Minimum: s.Min, Maximum: s.Max, N: int32(s.N), Dropped: int32(s.Dropped + missing)})
	}
	concerned := 0
	for _, o := range opinions {
		for _, it := range w.form.Of(forms.Boolean) {
			var yes flag
			if o.answer.into(it.Name, &yes) && bool(yes) {
				concerned++
			}
		}
	}
	w.out.EthicalConcerns = 2*concerned >= len(opinions) && concerned > 0
}

// merge lets a chair write the text. If it cannot, the reviewer nearest to the mean
// speaks for all.
func (w *work) merge(ctx context.Context, opinions []opinion) error {
	if len(opinions) == 1 {
		w.take(opinions[0].answer)
		return nil
	}
	w.told(&recordv1.Progress{Phase: "merging"})
	texts := make([]string, len(opinions))
	for i, o := range opinions {
		texts[i] = o.json
	}
	task, err := prompts.Merge(w.form, texts)
	if err != nil {
		return err
	}
	a, _, err := w.ask(ctx, "chair/merge", w.in.GetModels()[0], task, schemaOf(w.form.Of(forms.Text, forms.List)), 0.1, 0)
	var bad *llm.Unusable
	if errors.As(err, &bad) {
		w.warn("chair-failed", "The chair's answer could not be used; the text is that of the reviewer nearest to the mean. %s", clip(bad.Error(), 300))
		a, err = w.nearest(opinions), nil
	}
	if err != nil {
		return err
	}
	w.take(a)
	return nil
}

func (w *work) nearest(opinions []opinion) answer {
	mean := w.score(w.form.Overall).GetMean()
	best, far := opinions[0].answer, math.Inf(1)
	for _, o := range opinions {
		v, _ := o.answer.score(w.form.Overall)
		if d := math.Abs(float64(v) - mean); d < far {
			best, far = o.answer, d
		}
	}
	return best
}

func (w *work) score(item string) *reviewerv1.Score {
	for _, s := range w.out.GetScores() {
		if s.GetItem() == item {
			return s
		}
	}
	return nil
}

// take makes an answer's text that of the review.
func (w *work) take(a answer) {
	w.out.Summary = a.text("Summary")
	for _, it := range w.form.Of(forms.List) {
		w.set(it.Name, a.list(it.Name))
	}
	w.comment(a.comments())
}

func (w *work) set(item string, values []string) {
	switch item {
	case "Strengths":
		w.out.Strengths = values
	case "Weaknesses":
		w.out.Weaknesses = values
	case "Questions":
		w.out.Questions = values
	case "Limitations":
		w.out.Limitations = values
	case "Summary":
		if len(values) > 0 {
			w.out.Summary = values[0]
		}
	}
}

func (w *work) comment(in []comment) []string {
	found, lost := w.paper.verify(w.text, in)
	w.out.Comments = found
	w.out.QuotesDropped += int32(len(lost))
	return lost
}

// change is the answer to a round of reflection.
type change struct {
	Changed flag
	Items   []struct {
		Item  string
		Value texts
	}
	Scores []struct {
		Item  string
		Value number
	}
	Comments []comment
}

// reflect reads the merged review against the paper until nothing changes.
func (w *work) reflect(ctx context.Context) error {
	var lost []string
	for round := 1; round <= w.rounds; round++ {
		w.told(&recordv1.Progress{Phase: "reflecting", Done: int32(round), Total: int32(w.rounds)})
		task, err := prompts.Reflect(w.form, w.shown(), lost, round, w.rounds)
		if err != nil {
			return err
		}
		_, raw, err := w.ask(ctx, "chair/reflect-"+itoa(round), w.in.GetModels()[0], task, reflectionSchema(), 0.1, 0)
		var bad *llm.Unusable
		if errors.As(err, &bad) {
			w.warn("reflection-failed", "Round %d of the chair's reflection could not be used. %s", round, clip(bad.Error(), 300))
			return nil
		}
		if err != nil {
			return err
		}
		var c change
		if json.Unmarshal([]byte(raw), &c) != nil || !bool(c.Changed) {
			return nil
		}
		lost = w.apply(c)
	}
	return nil
}

func (w *work) apply(c change) []string {
	for _, it := range c.Items {
		if values := points(it.Value); len(values) > 0 {
			w.set(it.Item, values)
		}
	}
	moved := map[string]bool{}
	for _, m := range c.Scores {
		it, ok := w.form.Item(m.Item)
		s := w.score(m.Item)
		if !ok || s == nil || s.GetN() == 0 || moved[m.Item] {
			continue
		}
		wanted := float64(m.Value)
		if wanted < float64(it.Minimum) || wanted > float64(it.Maximum) {
			s.Dropped++
			continue
		}
		moved[m.Item] = true
		s.Value = score.Move(s.GetValue(), wanted, float64(it.Minimum), float64(it.Maximum))
	}
	if len(c.Comments) == 0 {
		return nil
	}
	return w.comment(c.Comments)
}

// shown is the merged review as the chair sees it.
func (w *work) shown() string {
	scores := object{}
	for _, s := range w.out.GetScores() {
		scores[s.GetItem()] = math.Round(s.GetValue()*100) / 100
	}
	var comments []object
	for _, c := range w.out.GetComments() {
		var quotes []string
		for _, q := range c.GetQuotes() {
			quotes = append(quotes, q.GetText())
		}
		comments = append(comments, object{"claim": c.GetClaim(), "severity": c.GetSeverity(), "item": c.GetItem(), "strength": c.GetStrength(), "quotes": quotes, "absent": c.GetAbsent()})
	}
	b, _ := json.MarshalIndent(object{"Summary": w.out.GetSummary(), "Strengths": w.out.GetStrengths(), "Weaknesses": w.out.GetWeaknesses(),
		"Questions": w.out.GetQuestions(), "Limitations": w.out.GetLimitations(), "Scores": scores, commentsKey: comments}, "", " ")
	return string(b)
}

// checks runs what needs no model; it names those that force a rejection.
func (w *work) checks() (forced []string) {
	findings, unexplained := check.Numbers(w.paper.verification)
	findings = append(findings, check.Structure(w.paper.doc)...)
	for _, f := range findings {
		w.out.Checks = append(w.out.Checks, &reviewerv1.CheckFinding{Check: f.Check, Result: f.Result, Text: f.Text, Place: f.Place})
	}
	if unexplained && w.in.GetPolicy().GetRejectUnexplainedNumbers() {
		forced = append(forced, "numbers")
	}
	return forced
}

// decide computes the decision, so that it can never contradict the score.
func (w *work) decide() {
	forced := w.checks()
	p := w.in.GetPolicy()
	policy := score.Policy{Threshold: or(p.GetThreshold(), w.form.Threshold), PersonFrom: p.GetNeedsPersonFrom(), PersonTo: p.GetNeedsPersonTo()}
	verdict, reason := policy.Decide(w.form.Overall, w.score(w.form.Overall).GetValue(), forced)
	w.out.DecisionReason = reason
	w.out.Decision = map[score.Verdict]reviewerv1.Decision_Value{
		score.Accept: reviewerv1.Decision_ACCEPT, score.Reject: reviewerv1.Decision_REJECT, score.NeedsPerson: reviewerv1.Decision_NEEDS_PERSON,
	}[verdict]
}
