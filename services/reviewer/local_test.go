package reviewer_test

import (
	"log/slog"
	"testing"

	"nullius.dev/kit/llm/llmtest"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer"
)

func TestLocal_reviews_a_file_without_a_server(t *testing.T) {
	d := reviewer.Deps{Log: slog.New(slog.DiscardHandler), Models: llmtest.New(t, script(6, 7, 8))}
	r, err := reviewer.Local(t.Context(), d, "paper.tex", []byte(paper), &reviewerv1.ReviewPaperRequest{Models: []string{"m/x"}, Reviews: 3}, nil)
	if err != nil || overall(r).GetValue() != 7 || r.GetExtraction() != "latex" {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := reviewer.Local(t.Context(), d, "x.bin", []byte{0xff, 0xfe}, &reviewerv1.ReviewPaperRequest{Models: []string{"m/x"}}, nil); err == nil {
		t.Error("bytes that are no text were taken")
	}
}
