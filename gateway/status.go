package gateway

import (
	"context"
	"sync"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/app"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// Status asks every part for its health, side by side, within 2 s.
func (s *Service) Status(ctx context.Context) *gatewayv1.GetStatusResponse {
	out := &gatewayv1.GetStatusResponse{Version: app.Version(), Address: s.address, DataDir: s.cfg.DataDir, Started: stamp(s.started)}
	peers := s.cfg.Peers.list()
	out.Parts = make([]*gatewayv1.Part, len(peers))
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			part := &gatewayv1.Part{Name: p.name, Address: p.address, State: "SERVING"}
			r, err := healthpb.NewHealthClient(s.workers.conns[p.name]).Check(ctx, &healthpb.HealthCheckRequest{})
			switch {
			case err != nil:
				part.State, part.Text = "UNREACHABLE", err.Error()
			case r.GetStatus() != healthpb.HealthCheckResponse_SERVING:
				part.State = "NOT_SERVING"
			}
			out.Parts[i] = part
		})
	}
	wg.Wait()
	s.journal.Each(func(m *journal.Machine) {
		st := m.Core().State()
		switch {
		case m.Key.IsStudy() && (st == gatewayv1.IdeaState_RUNNING || st == gatewayv1.IdeaState_PENDING):
			out.StudiesRunning++
		case m.Key.IsStudy():
		case st == gatewayv1.IdeaState_RUNNING:
			out.IdeasRunning++
		case st == gatewayv1.IdeaState_WAITING:
			out.IdeasWaiting++
		}
	})
	return out
}
