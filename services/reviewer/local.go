package reviewer

import (
	"bytes"
	"context"
	"path"
	"strings"
	"unicode/utf8"

	"nullius.dev/kit/fault"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// Local reviews a file without a server: a PDF by its name or first bytes, else text
// or LaTeX. The settings' own paper is ignored. Deps needs Models, and Sandbox for PDFs.
func Local(ctx context.Context, d Deps, name string, data []byte, settings *reviewerv1.ReviewPaperRequest, told func(*recordv1.Progress)) (*reviewerv1.Review, error) {
	svc, err := New(DefaultConfig(), d)
	if err != nil {
		return nil, err
	}
	in := &reviewerv1.ReviewPaperRequest{
		Evidence: settings.GetEvidence(), Form: settings.GetForm(), Models: settings.GetModels(), Reviews: settings.GetReviews(),
		Reflections: settings.GetReflections(), Examples: settings.GetExamples(), Policy: settings.GetPolicy(), Seed: settings.Seed, Step: settings.GetStep(),
	}
	if strings.EqualFold(path.Ext(name), ".pdf") || bytes.HasPrefix(data, []byte("%PDF-")) {
		in.Paper = &reviewerv1.ReviewPaperRequest_Pdf{Pdf: data}
	} else {
		if !utf8.Valid(data) {
			return nil, fault.New(fault.Invalid, ReasonInvalid, "%s is neither a PDF nor UTF-8 text", path.Base(name)).WithField("paper", "UTF-8 or PDF")
		}
		in.Paper = &reviewerv1.ReviewPaperRequest_Text{Text: string(data)}
	}
	if told == nil {
		told = func(*recordv1.Progress) {}
	}
	return svc.Review(ctx, in, told)
}
