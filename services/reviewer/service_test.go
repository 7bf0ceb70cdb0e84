package reviewer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"os"

	"google.golang.org/grpc"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/llmtest"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

const paper = `\documentclass{article}\title{A study of bias}\begin{document}
\begin{abstract}We ask whether the baseline is biased.\end{abstract}
\section{Introduction} Bias matters to everybody who averages scores.
\section{Results} The baseline is worse than the new method in every run.
\section{Conclusion} The new method should be preferred.
\end{document}`

func review(overall int, quote string) string {
	return fmt.Sprintf(`{"Summary":"s","Strengths":["a"],"Weaknesses":["b"],"Originality":3,"Quality":3,"Clarity":3,"Significance":2,
"Questions":["q"],"Limitations":["l"],"Ethical Concerns":false,"Soundness":3,"Presentation":3,"Contribution":2,"Overall":%d,"Confidence":4,"Decision":"Accept",
"Comments":[{"claim":"c","severity":"major","item":"Quality","strength":false,"quotes":[%q],"absent":""}]}`, overall, quote)
}

const (
	located  = "The baseline is worse than the new method"
	invented = "The method was tested on a thousand planets"
	merged   = `{"Summary":"merged","Strengths":["x"],"Weaknesses":["y"],"Questions":[],"Limitations":[],"Comments":[
{"claim":"good point","severity":"major","item":"Quality","strength":false,"quotes":["` + located + `"],"absent":""},
{"claim":"false point","severity":"fatal","item":"Quality","strength":false,"quotes":["` + invented + `"],"absent":""},
{"claim":"missing","severity":"major","item":"Quality","strength":false,"quotes":[],"absent":"confidence interval"}]}`
	unchanged = `{"Changed":false,"Reason":"fine","Items":[],"Scores":[],"Comments":[]}`
)

func script(overalls ...int) map[string][]string {
	out := map[string][]string{"chair/merge": {merged}, "chair/reflect-1": {unchanged}}
	for i, o := range overalls {
		out[fmt.Sprintf("reviewer-%d/review", i+1)] = []string{review(o, located)}
	}
	return out
}

func serve(t *testing.T, models reviewer.Chatter, blobs store.Blobs, box sandbox.Runner) reviewerv1.ReviewerServiceClient {
	t.Helper()
	svc, err := reviewer.New(reviewer.DefaultConfig(), reviewer.Deps{Log: slog.New(slog.DiscardHandler), Models: models, Blobs: blobs, Sandbox: box})
	if err != nil {
		t.Fatal(err)
	}
	return reviewerv1.NewReviewerServiceClient(kittest.Serve(t, func(r grpc.ServiceRegistrar) { reviewer.Register(r, svc) }))
}

func ask(ctx context.Context, c reviewerv1.ReviewerServiceClient, in *reviewerv1.ReviewPaperRequest) (*reviewerv1.Review, error) {
	in.Step, in.Models = "s/idea-1/review/review", []string{"m/x"}
	stream, err := c.ReviewPaper(ctx, in)
	if err != nil {
		return nil, err
	}
	var result *reviewerv1.Review
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return result, nil
		}
		if err != nil {
			return nil, err
		}
		if m.GetResult() != nil {
			if result != nil {
				return nil, errors.New("two results")
			}
			result = m.GetResult()
		}
	}
}

func text(s string) *reviewerv1.ReviewPaperRequest_Text {
	return &reviewerv1.ReviewPaperRequest_Text{Text: s}
}

func overall(r *reviewerv1.Review) *reviewerv1.Score {
	for _, s := range r.GetScores() {
		if s.GetItem() == "Overall" {
			return s
		}
	}
	return nil
}

func TestService_Review_merges_verifies_and_decides(t *testing.T) {
	models := llmtest.New(t, script(5, 6, 6, 7, 5))
	r, err := ask(t.Context(), serve(t, models, nil, nil), &reviewerv1.ReviewPaperRequest{Paper: text(paper)})
	if err != nil {
		t.Fatal(err)
	}
	models.Unused()
	if o := overall(r); o.GetMean() != 5.8 || o.GetValue() != 5.8 || o.GetN() != 5 {
		t.Errorf("overall is %v", o)
	}
	if r.GetDecision() != reviewerv1.Decision_REJECT || r.GetDecisionReason() != "Overall 5.8 is under 6" {
		t.Errorf("decided %v: %s", r.GetDecision(), r.GetDecisionReason())
	}
	if r.GetSummary() != "merged" || len(r.GetComments()) != 3 || r.GetQuotesDropped() != 1 {
		t.Fatalf("review is %v", r)
	}
	for i, want := range []string{"major", "minor", "major"} {
		if got := r.GetComments()[i].GetSeverity(); got != want {
			t.Errorf("comment %d is %s, want %s", i, got, want)
		}
	}
	if q := r.GetComments()[0].GetQuotes()[0]; q.GetText() != located || q.GetPlace() != "Results" {
		t.Errorf("the quote is %v", q)
	}
	if r.GetUsage().GetCalls() == 0 || len(r.GetRaw()) != 5 {
		t.Errorf("usage %v, %d raw reviews", r.GetUsage(), len(r.GetRaw()))
	}
}

func TestService_Review_survives_foreign_models(t *testing.T) {
	const invalid, refused = reviewerv1.Review_LLM_OUTPUT_INVALID, reviewerv1.Review_LLM_REFUSED
	tests := map[string]struct {
		replies []string
		outcome reviewerv1.Review_Outcome
	}{
		"prose":                      {[]string{"I like it.", "Really.", "Yes."}, invalid},
		"empty replies":              {[]string{"", "", ""}, invalid},
		"wrong types":                {[]string{`{"Overall":"good"}`, `[1]`, `{"Summary":3}`}, invalid},
		"refusals":                   {[]string{"!refused no"}, refused},
		"a refusal after a re-ask":   {[]string{"Well.", "!refused no"}, refused},
		"a paper over their windows": {[]string{"!too_long"}, reviewerv1.Review_CONTEXT_TOO_LONG},
		"scores out of range":        {[]string{review(42, located)}, invalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			replies := tt.replies
			s := map[string][]string{}
			for i := 1; i <= 5; i++ {
				call := fmt.Sprintf("reviewer-%d/review", i)
				s[call] = replies[:1]
				for n, rep := range replies[1:] {
					s[fmt.Sprintf("%s/retry-%d", call, n+1)] = []string{rep}
				}
			}
			r, err := ask(t.Context(), serve(t, llmtest.New(t, s), nil, nil), &reviewerv1.ReviewPaperRequest{Paper: text(paper)})
			if err != nil {
				t.Fatal(err)
			}
			if n := r.GetUsage().GetCalls(); n != int32(5*len(replies)) && tt.outcome != reviewerv1.Review_CONTEXT_TOO_LONG {
				t.Errorf("%d calls are on the account, %d were made", n, 5*len(replies))
			}
			if r.GetOutcome() != tt.outcome || len(r.GetScores()) != 0 || r.GetReason() == "" || len(r.GetRaw()) != 5 {
				t.Errorf("review is %v", r)
			}
		})
	}
}

func TestService_Review_goes_on_with_half_of_the_reviewers_and_without_chair(t *testing.T) {
	s := script(6, 8)
	s["reviewer-3/review"], s["reviewer-4/review"] = []string{"!refused no"}, []string{"!too_long"}
	s["chair/merge"] = []string{"!refused no"}
	s["chair/reflect-1"] = []string{`{"Changed":true,"Reason":"r","Items":[{"Item":"Weaknesses","Value":["moved"]}],"Scores":[{"Item":"Overall","Value":3},{"Item":"Nothing","Value":1}],"Comments":[]}`}
	s["chair/reflect-2"] = []string{"!refused no"}
	r, err := ask(t.Context(), serve(t, llmtest.New(t, s), nil, nil), &reviewerv1.ReviewPaperRequest{Paper: text(paper), Reviews: 4})
	if err != nil {
		t.Fatal(err)
	}
	if o := overall(r); o.GetMean() != 7 || o.GetValue() != 6 || r.GetDecision() != reviewerv1.Decision_ACCEPT || r.GetWeaknesses()[0] != "moved" {
		t.Errorf("review is %v", r)
	}
}

func TestService_Review_reads_a_snapshot_and_forces_a_reject(t *testing.T) {
	blobs := kittest.Blobs(t)
	tree, err := store.Edit(t.Context(), blobs, "", map[string][]byte{"latex/template.tex": []byte(paper),
		"verification.json": []byte(`{"unexplained":[{"section":"results","text":"0.93","sentence":"It is 0.93."}]}`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ask(t.Context(), serve(t, llmtest.New(t, script(8, 8, 8, 8, 8)), blobs, nil), &reviewerv1.ReviewPaperRequest{
		Paper:  &reviewerv1.ReviewPaperRequest_Snapshot{Snapshot: &reviewerv1.Snapshot{Digest: string(tree), Path: "latex/template.tex"}},
		Policy: &reviewerv1.Policy{RejectUnexplainedNumbers: true}})
	if err != nil {
		t.Fatal(err)
	}
	if r.GetDecision() != reviewerv1.Decision_REJECT || overall(r).GetValue() != 8 || r.GetExtraction() != "latex" {
		t.Errorf("decided %v: %s (%s)", r.GetDecision(), r.GetDecisionReason(), r.GetExtraction())
	}
}

func TestService_Review_refuses_what_is_no_paper(t *testing.T) {
	box, err := sandbox.New(t.Context(), sandbox.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("the sandbox is needed: sudo apt-get install -y bubblewrap poppler-utils: %v", err)
	}
	c := serve(t, llmtest.New(t, nil), nil, box)
	pdf := func(b []byte) *reviewerv1.ReviewPaperRequest {
		return &reviewerv1.ReviewPaperRequest{Paper: &reviewerv1.ReviewPaperRequest_Pdf{Pdf: b}}
	}
	short := typeset(t, paper)
	tests := []struct {
		name   string
		in     *reviewerv1.ReviewPaperRequest
		reason string
	}{
		{"garbage", pdf([]byte("%PDF-1.5\n" + strings.Repeat("junk ", 100))), "PDF_UNREADABLE"},
		{"a PDF cut short", pdf(short[:len(short)*2/3]), "PDF_UNREADABLE"},
		{"another format", pdf([]byte("GIF89a and so on")), "PDF_UNREADABLE"},
		{"pages of images", pdf(testFile(t, "image.pdf")), "PDF_UNREADABLE"},
		{"pages without anything", pdf(testFile(t, "blank.pdf")), "PAPER_EMPTY"},
		{"an encrypted PDF", pdf(testFile(t, "encrypted.pdf")), "PDF_ENCRYPTED"},
		{"no bytes in a PDF", pdf([]byte{}), "PAPER_EMPTY"},
		{"a blank PDF", pdf([]byte("  ")), "PAPER_EMPTY"},
		{"an empty text", &reviewerv1.ReviewPaperRequest{Paper: text(" ")}, "PAPER_EMPTY"},
		{"no paper", &reviewerv1.ReviewPaperRequest{}, "FIELD_INVALID"},
		{"an unknown form", &reviewerv1.ReviewPaperRequest{Paper: text(paper), Form: "x-1999"}, "FORM_UNKNOWN"},
		{"too long a text", &reviewerv1.ReviewPaperRequest{Paper: text(strings.Repeat("a", reviewer.MaxText+1))}, "PAYLOAD_TOO_LARGE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ask(t.Context(), c, tt.in)
			if fault.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, want %s", err, tt.reason)
			}
		})
	}
}

// bare is a machine without poppler: a shell's answer to an unknown command.
type bare struct{}

func (bare) Run(context.Context, sandbox.Spec) (sandbox.Result, error) {
	return sandbox.Result{End: sandbox.Exited, ExitCode: 127}, nil
}

func TestService_Review_names_the_program_that_is_missing(t *testing.T) {
	_, err := ask(t.Context(), serve(t, llmtest.New(t, nil), nil, bare{}), &reviewerv1.ReviewPaperRequest{Paper: &reviewerv1.ReviewPaperRequest_Pdf{Pdf: []byte("%PDF-1.5\n")}})
	if fault.ReasonOf(err) != "TOOL_MISSING" || !errors.Is(err, fault.Precondition) || !strings.Contains(fault.NextOf(err), "poppler-utils") {
		t.Errorf("got %v, next %q", err, fault.NextOf(err))
	}
}

func TestService_Review_reads_a_PDF_with_pages(t *testing.T) {
	box, err := sandbox.New(t.Context(), sandbox.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("the sandbox is needed: sudo apt-get install -y bubblewrap poppler-utils: %v", err)
	}
	data := typeset(t, paper)
	r, err := ask(t.Context(), serve(t, llmtest.New(t, script(6, 6, 6, 6, 6)), nil, box), &reviewerv1.ReviewPaperRequest{Paper: &reviewerv1.ReviewPaperRequest_Pdf{Pdf: data}})
	if err != nil {
		t.Fatal(err)
	}
	if q := r.GetComments()[0].GetQuotes(); len(q) != 1 || q[0].GetPage() != 1 || r.GetDecision() != reviewerv1.Decision_ACCEPT {
		t.Errorf("review is %v", r)
	}
}

func TestServer_ListForms(t *testing.T) {
	r, err := serve(t, llmtest.New(t, nil), kittest.Blobs(t), nil).ListForms(t.Context(), &reviewerv1.ListFormsRequest{})
	if err != nil || len(r.GetForms()) != 2 || r.GetForms()[0].GetId() != "neurips-2022" || r.GetAccepts()[0] != reviewerv1.Accepts_SNAPSHOT {
		t.Errorf("got %v, %v", r, err)
	}
}

func testFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
