package reviewer

import (
	"context"
	"strconv"
	"sync"

	"google.golang.org/grpc"

	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer/forms"
	"nullius.dev/services/reviewer/internal/pdf"
)

// server adapts the service to gRPC.
type server struct {
	reviewerv1.UnsafeReviewerServiceServer
	s *Service
}

// Register puts a service on a gRPC server.
func Register(r grpc.ServiceRegistrar, s *Service) {
	reviewerv1.RegisterReviewerServiceServer(r, server{s: s})
}

func (v server) ListForms(context.Context, *reviewerv1.ListFormsRequest) (*reviewerv1.ListFormsResponse, error) {
	out := &reviewerv1.ListFormsResponse{MaxPdfBytes: MaxPDF, MaxTextBytes: MaxText, Version: Version}
	first, _ := v.s.forms.Get(forms.Default) // it is shipped
	out.Forms = append(out.Forms, toForm(first))
	for _, f := range v.s.forms.All() {
		if f.ID != forms.Default {
			out.Forms = append(out.Forms, toForm(f))
		}
	}
	if v.s.d.Blobs != nil {
		out.Accepts = append(out.Accepts, reviewerv1.Accepts_SNAPSHOT)
	}
	if (pdf.Poppler{Sandbox: v.s.d.Sandbox}).Available() {
		out.Accepts = append(out.Accepts, reviewerv1.Accepts_PDF)
	}
	out.Accepts = append(out.Accepts, reviewerv1.Accepts_TEXT)
	return out, nil
}

func (v server) ReviewPaper(in *reviewerv1.ReviewPaperRequest, out grpc.ServerStreamingServer[reviewerv1.ReviewPaperResponse]) error {
	var mu sync.Mutex
	ended := false
	tell := func(p *recordv1.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if !ended { // a detached call may still report after the end
			_ = out.Send(&reviewerv1.ReviewPaperResponse{Event: &reviewerv1.ReviewPaperResponse_Progress{Progress: p}}) // a broken stream ends the context
		}
	}
	r, err := v.s.Review(out.Context(), in, tell)
	mu.Lock()
	defer mu.Unlock()
	ended = true
	if err != nil {
		return err
	}
	return out.Send(&reviewerv1.ReviewPaperResponse{Event: &reviewerv1.ReviewPaperResponse_Result{Result: r}})
}

func toForm(f *forms.Form) *reviewerv1.Form {
	out := &reviewerv1.Form{Id: f.ID, Version: itoa(f.Version), Venue: f.Venue, OverallItem: f.Overall, DefaultThreshold: f.Threshold, Source: f.Source, Checked: f.Checked}
	types := map[forms.Type]reviewerv1.Item_Type{forms.Text: reviewerv1.Item_TEXT, forms.List: reviewerv1.Item_LIST, forms.Boolean: reviewerv1.Item_FLAG,
		forms.Score: reviewerv1.Item_SCORE, forms.Choice: reviewerv1.Item_DECISION}
	for _, it := range f.Items {
		item := &reviewerv1.Item{Name: it.Name, Type: types[it.Type], Minimum: float64(it.Minimum), Maximum: float64(it.Maximum)}
		if it.Type == forms.Score {
			for _, v := range it.Allowed() {
				item.Values = append(item.Values, &reviewerv1.ScoreMeaning{Value: float64(v), Meaning: it.Values[v]})
			}
		}
		out.Items = append(out.Items, item)
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
