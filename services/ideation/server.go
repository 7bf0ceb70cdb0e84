package ideation

import (
	"sync"

	"google.golang.org/grpc"

	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"

	"nullius.dev/services/ideation/internal/idea"
	"nullius.dev/services/ideation/internal/literature"
)

// server adapts the service to IdeationService.
type server struct {
	ideationv1.UnsafeIdeationServiceServer
	s *Service
}

// library adapts it to LiteratureService.
type library struct {
	literaturev1.UnsafeLiteratureServiceServer
	s *Service
}

// Register puts both services on a gRPC server.
func Register(r grpc.ServiceRegistrar, s *Service) {
	ideationv1.RegisterIdeationServiceServer(r, server{s: s})
	literaturev1.RegisterLiteratureServiceServer(r, library{s: s})
}

// GenerateIdea makes one idea.
func (v server) GenerateIdea(r *ideationv1.GenerateIdeaRequest, out grpc.ServerStreamingServer[ideationv1.GenerateIdeaResponse]) error {
	in, err := fromGenerate(r)
	if err != nil {
		return err
	}
	var one serial
	told := Told{
		Progress: func(p literature.Progress) {
			one.send(func() { // a broken stream ends the context
				_ = out.Send(&ideationv1.GenerateIdeaResponse{Event: &ideationv1.GenerateIdeaResponse_Progress{Progress: toProgress(p)}})
			})
		},
		Draft: func(i idea.Idea) {
			one.send(func() {
				_ = out.Send(&ideationv1.GenerateIdeaResponse{Event: &ideationv1.GenerateIdeaResponse_Draft{Draft: toIdea(i)}})
			})
		},
	}
	res, err := v.s.Generate(out.Context(), in, told)
	one.end()
	if err != nil {
		return err
	}
	return out.Send(&ideationv1.GenerateIdeaResponse{Event: &ideationv1.GenerateIdeaResponse_Result{Result: toGenerated(res)}})
}

// AssessNovelty judges an idea.
func (v server) AssessNovelty(r *ideationv1.AssessNoveltyRequest, out grpc.ServerStreamingServer[ideationv1.AssessNoveltyResponse]) error {
	in, err := fromAssess(r)
	if err != nil {
		return err
	}
	var one serial
	res, err := v.s.Assess(out.Context(), in, one.progress(func(p *recordv1.Progress) error {
		return out.Send(&ideationv1.AssessNoveltyResponse{Event: &ideationv1.AssessNoveltyResponse_Progress{Progress: p}})
	}))
	one.end()
	if err != nil {
		return err
	}
	return out.Send(&ideationv1.AssessNoveltyResponse{Event: &ideationv1.AssessNoveltyResponse_Result{Result: toAssessed(res)}})
}

// SearchPapers finds papers.
func (v library) SearchPapers(r *literaturev1.SearchPapersRequest, out grpc.ServerStreamingServer[literaturev1.SearchPapersResponse]) error {
	q, pin, err := fromSearch(r)
	if err != nil {
		return err
	}
	var one serial
	res, err := v.s.d.Literature.Search(out.Context(), q, pin, one.progress(func(p *recordv1.Progress) error {
		return out.Send(&literaturev1.SearchPapersResponse{Event: &literaturev1.SearchPapersResponse_Progress{Progress: p}})
	}))
	one.end()
	if err == nil && r.GetRequireAnswer() && res.Outcome == literature.Unavailable {
		err = unanswered(res.Asked)
	}
	if err != nil {
		return err
	}
	return out.Send(&literaturev1.SearchPapersResponse{Event: &literaturev1.SearchPapersResponse_Result{Result: toSearch(res)}})
}

// ResolvePaper says whether a cited paper exists.
func (v library) ResolvePaper(r *literaturev1.ResolvePaperRequest, out grpc.ServerStreamingServer[literaturev1.ResolvePaperResponse]) error {
	q, pin, err := fromResolve(r)
	if err != nil {
		return err
	}
	var one serial
	res, err := v.s.d.Literature.Resolve(out.Context(), q, pin, one.progress(func(p *recordv1.Progress) error {
		return out.Send(&literaturev1.ResolvePaperResponse{Event: &literaturev1.ResolvePaperResponse_Progress{Progress: p}})
	}))
	one.end()
	if err == nil && r.GetRequireAnswer() && res.Outcome == literature.EngineUnavailable {
		err = unanswered(res.Asked)
	}
	if err != nil {
		return err
	}
	return out.Send(&literaturev1.ResolvePaperResponse{Event: &literaturev1.ResolvePaperResponse_Result{Result: toResolve(res)}})
}

// serial lets parallel calls report on one stream, and nothing after the result.
type serial struct {
	mu   sync.Mutex
	done bool
}

func (s *serial) send(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		f()
	}
}

func (s *serial) progress(send func(*recordv1.Progress) error) literature.Tell {
	return func(p literature.Progress) {
		s.send(func() { _ = send(toProgress(p)) }) // a broken stream ends the context
	}
}

func (s *serial) end() { s.send(func() { s.done = true }) }
