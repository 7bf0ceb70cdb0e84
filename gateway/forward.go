package gateway

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
)

// forwardNodes passes ListNodes to the executor. Jobs are the gateway's own business: its port takes none.
type forwardNodes struct {
	executorv1.UnsafeExecutorServiceServer
	to executorv1.ExecutorServiceClient
}

var errNotHere = fault.New(fault.Denied, "ROLE_TOO_LOW", "the gateway's port forwards ListNodes only; jobs belong to studies").WithNext("nullius nodes")

func (f forwardNodes) ListNodes(ctx context.Context, req *executorv1.ListNodesRequest) (*executorv1.ListNodesResponse, error) {
	return f.to.ListNodes(ctx, req)
}

func (forwardNodes) Submit(context.Context, *executorv1.SubmitRequest) (*executorv1.SubmitResponse, error) {
	return nil, errNotHere
}

func (forwardNodes) Get(context.Context, *executorv1.GetRequest) (*executorv1.GetResponse, error) {
	return nil, errNotHere
}

func (forwardNodes) Watch(*executorv1.WatchRequest, grpc.ServerStreamingServer[executorv1.WatchResponse]) error {
	return errNotHere
}

func (forwardNodes) Cancel(context.Context, *executorv1.CancelRequest) (*executorv1.CancelResponse, error) {
	return nil, errNotHere
}

// forwardLiterature passes literature calls to the ideation process.
type forwardLiterature struct {
	literaturev1.UnsafeLiteratureServiceServer
	to literaturev1.LiteratureServiceClient
}

func (f forwardLiterature) SearchPapers(req *literaturev1.SearchPapersRequest, out grpc.ServerStreamingServer[literaturev1.SearchPapersResponse]) error {
	in, err := f.to.SearchPapers(out.Context(), req)
	if err != nil {
		return err
	}
	return pass(in.Recv, out.Send)
}

func (f forwardLiterature) ResolvePaper(req *literaturev1.ResolvePaperRequest, out grpc.ServerStreamingServer[literaturev1.ResolvePaperResponse]) error {
	in, err := f.to.ResolvePaper(out.Context(), req)
	if err != nil {
		return err
	}
	return pass(in.Recv, out.Send)
}

func pass[M any](recv func() (*M, error), send func(*M) error) error {
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(m); err != nil {
			return err
		}
	}
}
