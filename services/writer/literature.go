package writer

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
)

// remote asks the literature service over gRPC.
type remote struct {
	c literaturev1.LiteratureServiceClient
}

// NewLiterature makes the literature service of a connection usable.
func NewLiterature(c grpc.ClientConnInterface) Literature {
	return remote{literaturev1.NewLiteratureServiceClient(c)}
}

// Search implements Literature.
func (l remote) Search(ctx context.Context, step, call, engine, query string, limit int) (Asked, error) {
	stream, err := l.c.SearchPapers(ctx, &literaturev1.SearchPapersRequest{Step: step, Call: call, Engine: engine, Query: query, Limit: int32(limit)})
	if err != nil {
		return Asked{}, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return Asked{Unavailable: true}, nil
		}
		if err != nil {
			return Asked{}, err
		}
		r := m.GetResult()
		if r == nil {
			continue
		}
		out := Asked{Unavailable: r.GetOutcome() == literaturev1.SearchResult_UNAVAILABLE}
		for _, p := range r.GetPapers() {
			out.Papers = append(out.Papers, fromPaper(p))
		}
		for _, a := range r.GetAsked() {
			if a.GetResult() == literaturev1.Asked_ANSWERED || out.Engine == "" {
				out.Engine = a.GetEngine()
			}
		}
		return out, nil
	}
}

// Resolve implements Literature.
func (l remote) Resolve(ctx context.Context, step, call, engine, bibtex string) (Resolved, error) {
	stream, err := l.c.ResolvePaper(ctx, &literaturev1.ResolvePaperRequest{Step: step, Call: call, Engine: engine, Bibtex: bibtex})
	if err != nil {
		return Resolved{}, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return Resolved{Outcome: "UNAVAILABLE"}, nil
		}
		if err != nil {
			return Resolved{}, err
		}
		r := m.GetResult()
		if r == nil {
			continue
		}
		out := Resolved{Weak: r.GetWeak(), Paper: fromPaper(r.GetPaper()), Outcome: "UNAVAILABLE"}
		switch r.GetOutcome() {
		case literaturev1.ResolveResult_FOUND:
			out.Outcome = "FOUND"
		case literaturev1.ResolveResult_FOUND_WITH_OTHER_METADATA:
			out.Outcome = "OTHER"
		case literaturev1.ResolveResult_NOT_FOUND:
			out.Outcome = "NOT_FOUND"
		}
		return out, nil
	}
}
