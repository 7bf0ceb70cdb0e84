package reviewer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer/fewshot"
	"nullius.dev/services/reviewer/forms"
	"nullius.dev/services/reviewer/internal/quote"
	"nullius.dev/services/reviewer/prompts"
)

const reasks = 2

// localStep names a review that belongs to no study.
const localStep = "local/_/review/review"

// work is one review in the making.
type work struct {
	s       *Service
	in      *reviewerv1.ReviewPaperRequest
	form    *forms.Form
	paper   paper
	text    *quote.Text
	told    Progress
	step    string
	system  string
	prefix  []llm.Part // form, examples, paper: the same for every call
	reviews int
	rounds  int

	mu    sync.Mutex // guards what follows
	usage *recordv1.Usage
	done  int
	// how the replies of reviewers that failed ended
	failures []llm.Finish
	out      *reviewerv1.Review
}

func (s *Service) begin(in *reviewerv1.ReviewPaperRequest, f *forms.Form, p paper, told Progress) (*work, error) {
	w := &work{s: s, in: in, form: f, paper: p, told: told, step: or(in.GetStep(), localStep),
		reviews: int(or(in.GetReviews(), 5)), rounds: int(or(in.GetReflections(), 5)) - 1, usage: &recordv1.Usage{}}
	w.text = quote.New(p.doc.Text)
	w.out = &reviewerv1.Review{
		Form: f.ID, Extraction: p.doc.Quality(), Usage: w.usage,
		Provenance: &reviewerv1.Provenance{PaperDigest: string(p.digest), FormDigest: string(store.DigestOf(f.Raw())),
			PromptsDigest: string(prompts.Digest()), Models: in.GetModels(), Reviewer: Version},
	}
	w.warn("uncalibrated", "Scores are uncalibrated: no calibration fits this form and model.")
	w.warn("figures-not-reviewed", "figures: not reviewed")
	if f.Checked == "" {
		source := "its venue's page"
		if f.Source != "" {
			source = f.Source
		}
		w.warn("form-not-compared", "The form %s is in Nullius's own words; it was not compared with %s.", f.ID, source)
	}
	return w, w.prompt()
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (w *work) warn(code, format string, a ...any) {
	w.out.Warnings = append(w.out.Warnings, &recordv1.Warning{Code: code, Text: fmt.Sprintf(format, a...)})
}

// prompt writes the part that all calls begin with.
func (w *work) prompt() error {
	var err error
	if w.system, err = prompts.System(); err != nil {
		return err
	}
	form, err := prompts.Form(w.form)
	if err != nil {
		return err
	}
	w.prefix = []llm.Part{{Text: form, Cache: true}}
	wanted := int(or(w.in.GetExamples(), 1))
	if w.form.ID != forms.Default {
		wanted = 0 // the shipped example answers the default form
	}
	for i, e := range fewshot.Pairs(wanted) {
		text, err := prompts.Example(i+1, e.Paper, e.Review)
		if err != nil {
			return err
		}
		w.prefix = append(w.prefix, llm.Part{Text: text, Cache: true})
	}
	if len(w.prefix) == 1 {
		w.warn("no-example", "The reviewers saw no example review.")
	}
	text := w.paper.doc.Text
	if limit := w.s.cfg.PaperBytes; len(text) > limit {
		w.warn("paper-cut", "The paper has %d bytes of text; the reviewers saw the first %d.", len(text), limit)
		text = strings.ToValidUTF8(text[:limit], "") + "\n[The paper goes on; the rest was cut.]"
	}
	shown, err := prompts.Paper(text, w.paper.doc.Quality())
	if err != nil {
		return err
	}
	w.prefix = append(w.prefix, llm.Part{Text: shown, Cache: true})
	return nil
}

// ask makes one call. A nil answer with an *llm.Unusable is the model's failure.
func (w *work) ask(ctx context.Context, call, model, task string, schema []byte, temperature float64, seed int64) (answer, string, error) {
	origin, err := llm.OriginOf(w.step, call)
	if err != nil {
		return nil, "", err
	}
	parts := append(w.prefix[:len(w.prefix):len(w.prefix)], llm.Text(task))
	r := llm.Request{
		Model: model, Origin: origin, System: []llm.Part{{Text: w.system}}, Messages: []llm.Message{{Role: llm.User, Parts: parts}},
		Schema: schema, MaxTokens: w.s.cfg.MaxTokens, Temperature: &temperature, Prompt: prompts.Version + " " + call,
		Progress: func(p llm.Progress) { w.progress(call, p) },
	}
	if w.in.Seed != nil {
		r.Seed = llm.Ptr(w.in.GetSeed() + seed)
	}
	raw, _, err := llm.Object(ctx, counted{w}, r, reasks)
	if err != nil {
		return nil, "", err
	}
	return parse(raw), string(raw), nil
}

func (w *work) progress(call string, p llm.Progress) {
	switch p.Kind {
	case llm.Waiting:
		w.told(&recordv1.Progress{Phase: p.Why, Detail: call})
	case llm.Tokens:
		w.told(&recordv1.Progress{Phase: "calling the model", Detail: call, Tokens: p.Tokens})
	}
}

// counted is the door to models, with each call on the review's account.
type counted struct{ w *work }

func (c counted) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	rep, err := c.w.s.d.Models.Chat(ctx, r)
	if err == nil {
		c.w.account(rep)
	}
	return rep, err
}

func (w *work) account(r llm.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.usage
	u.InputTokens += r.Usage.Input
	u.CacheReadTokens += r.Usage.CacheRead
	u.CacheWriteTokens += r.Usage.CacheWrite
	u.OutputTokens += r.Usage.Output
	u.ReasoningTokens += r.Usage.Reasoning
	u.CostPicoDollars += r.Cost
	u.WouldHaveCostPicoDollars += r.WouldCost
	u.Estimated = u.Estimated || r.Usage.Estimated
	u.Unpriced = u.Unpriced || r.Unpriced
	u.Calls++
}

// opinion is one reviewer's usable answer.
type opinion struct {
	answer answer
	json   string
}

func (w *work) run(ctx context.Context) (*reviewerv1.Review, error) {
	opinions, err := w.opinions(ctx)
	if err != nil {
		return nil, err
	}
	if 2*len(opinions) < w.reviews || len(opinions) == 0 {
		w.unusable(len(opinions))
		return w.out, nil
	}
	w.out.Outcome = reviewerv1.Review_REVIEWED
	w.average(opinions)
	if err := w.merge(ctx, opinions); err != nil {
		return nil, err
	}
	if err := w.reflect(ctx); err != nil {
		return nil, err
	}
	w.decide()
	return w.out, nil
}

// unusable ends a review without scores; what all failed reviewers share is its outcome.
func (w *work) unusable(n int) {
	w.out.Outcome = reviewerv1.Review_LLM_OUTPUT_INVALID
	switch {
	case allOf(w.failures, llm.Refused, llm.Filtered):
		w.out.Outcome = reviewerv1.Review_LLM_REFUSED
	case allOf(w.failures, llm.TooLong):
		w.out.Outcome = reviewerv1.Review_CONTEXT_TOO_LONG
	}
	why := ""
	for _, r := range w.out.GetRaw() {
		if !r.GetUsable() {
			why = r.GetReason()
			break
		}
	}
	w.out.Reason = fmt.Sprintf("only %d of %d reviews were usable: %s", n, w.reviews, why)
	w.checks() // they need no model
}

func allOf(ends []llm.Finish, wanted ...llm.Finish) bool {
	return len(ends) > 0 && !slices.ContainsFunc(ends, func(f llm.Finish) bool { return !slices.Contains(wanted, f) })
}

// failed notes how the reply of a reviewer that failed ended.
func (w *work) failed(f llm.Finish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, f)
}

// opinions asks all reviewers side by side.
func (w *work) opinions(ctx context.Context) ([]opinion, error) {
	task, err := prompts.Review(w.form)
	if err != nil {
		return nil, err
	}
	temperature := 0.75
	if w.reviews == 1 {
		temperature = 0.1
	}
	schema := schemaOf(w.form.Items)
	raws := make([]*reviewerv1.RawReview, w.reviews)
	found := make([]*opinion, w.reviews)
	g, gctx := errgroup.WithContext(ctx)
	for i := range w.reviews {
		g.Go(func() error {
			model := w.in.GetModels()[i%len(w.in.GetModels())]
			raw := &reviewerv1.RawReview{Name: fmt.Sprintf("reviewer-%d", i+1), Model: model}
			raws[i] = raw
			a, text, err := w.ask(gctx, raw.Name+"/review", model, task, schema, temperature, int64(i))
			var bad *llm.Unusable
			switch {
			case errors.As(err, &bad):
				raw.Reason, raw.Json = clip(bad.Error(), 500), clip(bad.Text, 20_000)
				w.failed(bad.Finish)
			case err != nil:
				return err
			case !w.scored(a):
				raw.Reason, raw.Json = w.form.Overall+" is missing or out of range", text
				w.failed(llm.Stop)
			default:
				raw.Usable, raw.Json = true, text
				found[i] = &opinion{answer: a, json: text}
			}
			w.mu.Lock()
			w.done++
			w.told(&recordv1.Progress{Phase: "reviewing", Detail: raw.Name, Done: int32(w.done), Total: int32(w.reviews)})
			w.mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w.out.Raw = raws
	var out []opinion
	for _, o := range found {
		if o != nil {
			out = append(out, *o)
		}
	}
	return out, nil
}

// scored says whether an answer has an overall score that the form allows.
func (w *work) scored(a answer) bool {
	it, _ := w.form.Item(w.form.Overall) // a valid form has it
	v, ok := a.score(w.form.Overall)
	return ok && it.Allows(v)
}
