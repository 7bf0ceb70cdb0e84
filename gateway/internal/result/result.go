// Package result lays out an idea's result folder: AI-Scientist's files, and what lets every number be followed back.
package result

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/store"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// File is one file of the folder: a stored blob, or bytes made for it.
type File struct {
	Path   string
	Digest store.Digest
	Size   int64
	Data   []byte // nil: the blob Digest
}

// Input is what a folder is made of.
type Input struct {
	Blobs  store.Blobs
	Study  string
	Idea   *gatewayv1.Idea
	Steps  []*pipeline.Step // in order of their first start
	Events []*gatewayv1.JournalEvent
	Story  []*gatewayv1.StudyEvent // each event as people read it, by the same index
	Calls  []ledger.Entry          // by step and call
	Reply  func(context.Context, ledger.Entry) ([]byte, error)
	Spans  []telemetry.Span
}

// builder gathers files; the first of a path stays.
type builder struct {
	in    Input
	files map[string]File
}

// Build lists the folder's files by path.
func Build(ctx context.Context, in Input) ([]File, error) {
	b := &builder{in: in, files: map[string]File{}}
	for _, part := range []func(context.Context) error{b.runs, b.reviews, b.failed, b.coder, b.log, b.records, b.tree} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]File, 0, len(b.files))
	for _, f := range b.files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	return out, nil
}

func (b *builder) bytes(path string, data []byte) {
	if _, ok := b.files[path]; !ok {
		if data == nil {
			data = []byte{}
		}
		b.files[path] = File{Path: path, Digest: store.DigestOf(data), Size: int64(len(data)), Data: data}
	}
}

func (b *builder) blob(ctx context.Context, path, digest string) error {
	if digest == "" {
		return nil
	}
	size, err := b.in.Blobs.Stat(ctx, store.Digest(digest))
	if err != nil {
		return err
	}
	if _, ok := b.files[path]; !ok {
		b.files[path] = File{Path: path, Digest: store.Digest(digest), Size: size}
	}
	return nil
}

// tree adds the latest good snapshot: the template as edited, runs, notes, figures, paper.
func (b *builder) tree(ctx context.Context) error {
	if b.in.Idea.GetSnapshot() == "" {
		return nil
	}
	m, err := store.LoadManifest(ctx, b.in.Blobs, store.Digest(b.in.Idea.GetSnapshot()))
	if err != nil {
		return err
	}
	for _, f := range m {
		if _, ok := b.files[f.Path]; !ok {
			b.files[f.Path] = File{Path: f.Path, Digest: f.Digest, Size: f.Size}
		}
	}
	return nil
}

// runs adds run_<n>.py, the code as it was run.
func (b *builder) runs(ctx context.Context) error {
	for _, r := range b.in.Idea.GetRuns() {
		if r.GetNumber() == 0 || r.GetSnapshot() == "" {
			continue
		}
		m, err := store.LoadManifest(ctx, b.in.Blobs, store.Digest(r.GetSnapshot()))
		if err != nil {
			return err
		}
		if f, ok := m.Find("experiment.py"); ok {
			p := fmt.Sprintf("run_%d.py", r.GetNumber())
			b.files[p] = File{Path: p, Digest: f.Digest, Size: f.Size}
		}
	}
	return nil
}

// failed adds each failed try with its output.
func (b *builder) failed(ctx context.Context) error {
	for _, s := range b.in.Steps {
		j := s.Ended.GetJob()
		if j == nil {
			continue
		}
		if _, _, bad := pipeline.OutcomeOf(s.Ended); !bad {
			continue
		}
		dir := "failed/" + strings.ReplaceAll(s.Name, "/", "_") + "/"
		b.bytes(dir+"outcome.txt", fmt.Appendf(nil, "%s\nexit code %d\n%s\n", j.GetEndReason(), j.GetExitCode(), j.GetMessage()))
		if err := errors.Join(b.blob(ctx, dir+"stdout.txt", j.GetStdout().GetDigest()), b.blob(ctx, dir+"stderr.txt", j.GetStderr().GetDigest())); err != nil {
			return err
		}
		if j.GetSnapshot() == "" {
			continue
		}
		m, err := store.LoadManifest(ctx, b.in.Blobs, store.Digest(j.GetSnapshot()))
		if err != nil {
			return err
		}
		for _, name := range []string{"experiment.py", "plot.py"} {
			if f, ok := m.Find(name); ok {
				b.files[dir+name] = File{Path: dir + name, Digest: f.Digest, Size: f.Size}
			}
		}
	}
	return nil
}

// maxReview bounds a stored review.
const maxReview = 32 << 20

// reviews adds review.json and review.txt, and those of the improved paper.
func (b *builder) reviews(ctx context.Context) error {
	for suffix, v := range map[string]*gatewayv1.ReviewView{"": b.in.Idea.GetReview(), "_improved": b.in.Idea.GetSecondReview()} {
		if v.GetReviewDigest() == "" {
			continue
		}
		if err := b.blob(ctx, "review"+suffix+".json", v.GetReviewDigest()); err != nil {
			return err
		}
		data, err := store.GetBytes(ctx, b.in.Blobs, store.Digest(v.GetReviewDigest()), maxReview)
		if err != nil {
			return err
		}
		r := &reviewerv1.Review{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, r); err != nil {
			return fault.Wrap(err, fault.Internal, "INTERNAL", "the stored review cannot be read")
		}
		b.bytes("review"+suffix+".txt", ReviewText(r))
	}
	return nil
}

// ReviewText gives the sixteen fields of AI-Scientist's review.txt as JSON, in its order.
func ReviewText(r *reviewerv1.Review) []byte {
	score := map[string]float64{}
	for _, s := range r.GetScores() {
		score[s.GetItem()] = s.GetValue()
	}
	var buf bytes.Buffer
	buf.WriteString("{\n")
	put := func(name string, v any, last bool) {
		var one bytes.Buffer
		enc := json.NewEncoder(&one)
		enc.SetEscapeHTML(false)
		if enc.Encode(v) != nil {
			return
		}
		fmt.Fprintf(&buf, "    %q: %s", name, strings.TrimSpace(one.String()))
		if !last {
			buf.WriteByte(',')
		}
		buf.WriteByte('\n')
	}
	put("Summary", r.GetSummary(), false)
	put("Strengths", list(r.GetStrengths()), false)
	put("Weaknesses", list(r.GetWeaknesses()), false)
	for _, item := range []string{"Originality", "Quality", "Clarity", "Significance"} {
		put(item, score[item], false)
	}
	put("Questions", list(r.GetQuestions()), false)
	put("Limitations", list(r.GetLimitations()), false)
	put("Ethical Concerns", r.GetEthicalConcerns(), false)
	for _, item := range []string{"Soundness", "Presentation", "Contribution", "Overall", "Confidence"} {
		put(item, score[item], false)
	}
	decision := "Reject"
	if r.GetDecision() == reviewerv1.Decision_ACCEPT {
		decision = "Accept"
	}
	put("Decision", decision, true)
	buf.WriteString("}\n")
	return buf.Bytes()
}

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// maxReply bounds one reply in the coder's talk.
const maxReply = 1 << 20

// coder adds <Name>_coder.txt, the coder's talk, rendered from the ledger.
func (b *builder) coder(ctx context.Context) error {
	var buf bytes.Buffer
	for _, c := range b.in.Calls {
		stage := pipeline.StageOf(c.Origin.Step)
		if c.State != ledger.Done || (stage != pipeline.Experiments && stage != pipeline.Figures) {
			continue
		}
		reply, err := b.in.Reply(ctx, c)
		if err != nil {
			return err
		}
		fmt.Fprintf(&buf, "==== %s %s (%s, %d tokens in, %d out)\n%s\n\n", c.Origin.Step, c.Origin.Call, c.Model,
			c.Usage.Input+c.Usage.CacheRead, c.Usage.Output, bytes.TrimSpace(reply[:min(len(reply), maxReply)]))
	}
	b.bytes(b.name()+"_coder.txt", buf.Bytes())
	return nil
}

func (b *builder) name() string {
	if n := b.in.Idea.GetRecord().GetName(); n != "" {
		return n
	}
	return "idea"
}

// records adds the files that tell of the idea: events, trace, cost, report.
func (b *builder) records(context.Context) error {
	var events, trace bytes.Buffer
	for _, e := range b.in.Events {
		data, err := protojson.Marshal(e)
		if err != nil {
			return err
		}
		var one bytes.Buffer
		if err := json.Compact(&one, data); err != nil { // protojson's spaces are not stable
			return err
		}
		events.Write(append(one.Bytes(), '\n'))
	}
	for _, s := range b.in.Spans {
		data, err := json.Marshal(s)
		if err != nil {
			return err
		}
		trace.Write(append(data, '\n'))
	}
	b.bytes("events.jsonl", events.Bytes())
	b.bytes("trace.jsonl", trace.Bytes())
	cost, err := json.MarshalIndent(Costs(b.in.Calls), "", "  ")
	if err != nil {
		return err
	}
	b.bytes("cost.json", append(cost, '\n'))
	b.bytes("report.md", b.report())
	return nil
}

// Cost is one line of an idea's account.
type Cost struct {
	Stage           string  `json:"stage"`
	Model           string  `json:"model"`
	Calls           int     `json:"calls"`
	InputTokens     int64   `json:"input_tokens"`
	CachedTokens    int64   `json:"cached_tokens"`
	CacheWrites     int64   `json:"cache_write_tokens"`
	OutputTokens    int64   `json:"output_tokens"`
	ReasoningTokens int64   `json:"reasoning_tokens"`
	PicoDollars     int64   `json:"pico_dollars"` // exact
	Dollars         float64 `json:"dollars"`
	WouldCost       float64 `json:"would_have_cost_dollars,omitempty"`
	Unpriced        bool    `json:"unpriced,omitempty"`
	Estimated       bool    `json:"estimated,omitempty"`
	PossiblyPaid    int     `json:"possibly_paid_calls,omitempty"`
}

// Costs sums calls by stage and model, in order of the stages' first calls.
func Costs(calls []ledger.Entry) []Cost {
	var out []Cost
	for _, c := range calls {
		if c.State != ledger.Done || c.Model == "literature" {
			continue
		}
		stage := pipeline.StageOf(c.Origin.Step)
		i := slices.IndexFunc(out, func(x Cost) bool { return x.Stage == stage && x.Model == c.Model })
		if i < 0 {
			i = len(out)
			out = append(out, Cost{Stage: stage, Model: c.Model})
		}
		o := &out[i]
		o.Calls++
		o.InputTokens += c.Usage.Input
		o.CachedTokens += c.Usage.CacheRead
		o.CacheWrites += c.Usage.CacheWrite
		o.OutputTokens += c.Usage.Output
		o.ReasoningTokens += c.Usage.Reasoning
		o.PicoDollars += c.Cost
		o.Dollars = float64(o.PicoDollars) / 1e12
		o.WouldCost += float64(c.WouldCost) / 1e12
		o.Unpriced, o.Estimated = o.Unpriced || c.Unpriced, o.Estimated || c.Usage.Estimated
		o.PossiblyPaid += c.Lost
	}
	if out == nil {
		out = []Cost{}
	}
	return out
}

// report is the idea's story for people, failed runs included.
func (b *builder) report() []byte {
	i := b.in.Idea
	var s strings.Builder
	fmt.Fprintf(&s, "# %s\n\nStudy %s, state %s. %s\n\n", oneLine(i.GetRecord().GetTitle()), b.in.Study, i.GetSummary().GetState(), i.GetSummary().GetMessage())
	if n := i.GetNovelty(); n != nil {
		fmt.Fprintf(&s, "## Novelty\n\n%s %s %s\n\n", n.GetVerdict(), n.GetReason(), oneLine(n.GetExplanation()))
		for _, near := range n.GetNearest() {
			fmt.Fprintf(&s, "- %s\n", oneLine(near))
		}
		s.WriteString("\n")
	}
	s.WriteString("## Runs\n\n| run | change | outcome | tries |\n|---|---|---|---|\n")
	for _, r := range i.GetRuns() {
		outcome := r.GetOutcome().String()
		if r.GetReason() != "" && r.GetOutcome() != recordv1.Run_Outcome_SUCCEEDED {
			outcome += ": " + r.GetReason()
		}
		fmt.Fprintf(&s, "| %d | %s | %s | %d |\n", r.GetNumber(), cell(r.GetLabel()), cell(outcome), r.GetTries())
	}
	for n, p := range []*gatewayv1.PaperView{i.GetPaper(), i.GetImprovedPaper()} {
		if p != nil {
			fmt.Fprintf(&s, "\n## %s\n\n%s: a paper %s, %d measured numbers, %d without origin, %d citations.\n", []string{"Paper", "Improved paper"}[n], p.GetOutcome(),
				pipeline.Extent(p.GetOutcome(), p.GetPages()), p.GetNumbersMeasured(), p.GetNumbersUnexplained(), p.GetCitations())
		}
	}
	for _, w := range i.GetWarnings() {
		fmt.Fprintf(&s, "\nNote: %s\n", oneLine(w.GetText()))
	}
	if differ, replayed := recording.Differing(b.in.Calls); differ > 0 {
		fmt.Fprintf(&s, "\nNote: %d of %d answers were recorded for other requests than this study made (%s): another machine, other numbers or an edited prompt\n", differ, replayed, recording.Note)
	}
	return []byte(s.String())
}

func oneLine(t string) string { return strings.Join(strings.Fields(t), " ") }

func cell(t string) string { return strings.ReplaceAll(oneLine(t), "|", "\\|") }
