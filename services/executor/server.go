package executor

import (
	"context"

	"google.golang.org/grpc"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// server adapts the service to gRPC.
type server struct {
	executorv1.UnsafeExecutorServiceServer
	s *Service
}

// Submit implements ExecutorService.
func (v server) Submit(ctx context.Context, r *executorv1.SubmitRequest) (*executorv1.SubmitResponse, error) {
	rec, err := v.s.Submit(ctx, r.GetJob())
	if err != nil {
		return nil, err
	}
	return &executorv1.SubmitResponse{Record: rec}, nil
}

// Get implements ExecutorService.
func (v server) Get(ctx context.Context, r *executorv1.GetRequest) (*executorv1.GetResponse, error) {
	rec, err := v.s.Get(ctx, r.GetJobId())
	if err != nil {
		return nil, err
	}
	return &executorv1.GetResponse{Record: rec}, nil
}

// Watch implements ExecutorService.
func (v server) Watch(r *executorv1.WatchRequest, out grpc.ServerStreamingServer[executorv1.WatchResponse]) error {
	return v.s.Watch(out.Context(), r, out.Send)
}

// Cancel implements ExecutorService.
func (v server) Cancel(ctx context.Context, r *executorv1.CancelRequest) (*executorv1.CancelResponse, error) {
	found, err := v.s.Cancel(ctx, r.GetJobId(), r.GetForce())
	if err != nil {
		return nil, err
	}
	return &executorv1.CancelResponse{Found: found}, nil
}

// ListNodes implements ExecutorService.
func (v server) ListNodes(ctx context.Context, _ *executorv1.ListNodesRequest) (*executorv1.ListNodesResponse, error) {
	return v.s.ListNodes(ctx)
}
