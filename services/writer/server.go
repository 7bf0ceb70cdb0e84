package writer

import (
	"sync"

	"google.golang.org/grpc"

	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

// server adapts the service to gRPC: proto in, domain call, proto out.
type server struct {
	writerv1.UnsafeWriterServiceServer
	*Service
}

// Register puts a service on a gRPC server.
func Register(r grpc.ServiceRegistrar, s *Service) {
	writerv1.RegisterWriterServiceServer(r, server{Service: s})
}

func (s server) WritePaper(r *writerv1.WritePaperRequest, out grpc.ServerStreamingServer[writerv1.WritePaperResponse]) error {
	in := Request{Step: r.GetStep(), Snapshot: digest(r.GetSnapshot()), Record: fromRecord(r.GetRecord()), Settings: fromSettings(r.GetSettings())}
	send := serial(func(p *recordv1.Progress) {
		_ = out.Send(&writerv1.WritePaperResponse{Event: &writerv1.WritePaperResponse_Progress{Progress: p}}) // a broken stream ends the context
	})
	res, err := s.Service.WritePaper(out.Context(), in, send.event)
	if err != nil {
		return err
	}
	send.stop()
	return out.Send(&writerv1.WritePaperResponse{Event: &writerv1.WritePaperResponse_Result{Result: toPaper(res)}})
}

func (s server) RevisePaper(r *writerv1.RevisePaperRequest, out grpc.ServerStreamingServer[writerv1.RevisePaperResponse]) error {
	in := Request{Step: r.GetStep(), Snapshot: digest(r.GetSnapshot()), Record: fromRecord(r.GetRecord()), Settings: fromSettings(r.GetSettings()),
		Review: fromCriticism(r.GetReview()), Round: int(r.GetRound())}
	send := serial(func(p *recordv1.Progress) {
		_ = out.Send(&writerv1.RevisePaperResponse{Event: &writerv1.RevisePaperResponse_Progress{Progress: p}})
	})
	res, err := s.Service.RevisePaper(out.Context(), in, send.event)
	if err != nil {
		return err
	}
	send.stop()
	return out.Send(&writerv1.RevisePaperResponse{Event: &writerv1.RevisePaperResponse_Result{Result: toPaper(res)}})
}

func (s server) CompilePaper(r *writerv1.CompilePaperRequest, out grpc.ServerStreamingServer[writerv1.CompilePaperResponse]) error {
	in := Request{Step: r.GetStep(), Snapshot: digest(r.GetSnapshot()), Record: fromRecord(r.GetRecord())}
	send := serial(func(p *recordv1.Progress) {
		_ = out.Send(&writerv1.CompilePaperResponse{Event: &writerv1.CompilePaperResponse_Progress{Progress: p}})
	})
	res, err := s.Service.CompilePaper(out.Context(), in, send.event)
	if err != nil {
		return err
	}
	send.stop()
	return out.Send(&writerv1.CompilePaperResponse{Event: &writerv1.CompilePaperResponse_Result{Result: toPaper(res)}})
}

// sender lets parallel calls report on one stream, and nothing after the result.
type sender struct {
	mu   sync.Mutex
	send func(*recordv1.Progress)
	done bool
}

func serial(send func(*recordv1.Progress)) *sender { return &sender{send: send} }

func (s *sender) event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.send(toProgress(e))
	}
}

func (s *sender) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
}
