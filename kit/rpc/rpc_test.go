package rpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
)

// health stands in for a service: its Check answers with the error under test.
type healthServer struct {
	healthpb.UnimplementedHealthServer
	err error
}

func TestFaultsSurviveTheWire(t *testing.T) {
	kinds := []fault.Kind{fault.Internal, fault.Invalid, fault.NotFound, fault.Exists, fault.Precondition, fault.Conflict, fault.Expired,
		fault.Exhausted, fault.Unavailable, fault.Denied, fault.Unauthenticated}
	for _, k := range kinds {
		t.Run(k.Error(), func(t *testing.T) {
			want := fault.Wrap(errors.New("secret cause"), k, "SOME_REASON", "a sentence about %d", 7).
				WithNext("nullius status").WithMeta("digest", "sha256:00").WithField("name", "is empty").WithRetry(3 * time.Second)
			got := roundTrip(t, want)
			if !errors.Is(got, k) {
				t.Fatalf("kind %v became %v", k, fault.KindOf(got))
			}
			e, _ := fault.As(got)
			if e.Reason != want.Reason || e.Message != want.Message || e.Next != want.Next || e.Meta["digest"] != "sha256:00" ||
				e.RetryAfter != want.RetryAfter || len(e.Violations) != 1 || e.Violations[0] != want.Violations[0] {
				t.Errorf("got %+v, want %+v", e, want)
			}
		})
	}
}

func TestAForeignErrorKeepsItsTextHome(t *testing.T) {
	got := roundTrip(t, errors.New("password is hunter2"))
	e, ok := fault.As(got)
	if !ok || e.Kind != fault.Internal || strings.Contains(got.Error(), "hunter2") || e.Meta["error_id"] == "" || !strings.Contains(got.Error(), e.Meta["error_id"]) {
		t.Errorf("got %v", got)
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	if got := roundTrip(t, nil); !errors.Is(got, fault.Internal) {
		t.Errorf("got %v", got)
	}
}

func TestContextErrorsPassAsTheyAre(t *testing.T) {
	if got := roundTrip(t, context.DeadlineExceeded); !errors.Is(got, context.DeadlineExceeded) || status.Code(got) != codes.DeadlineExceeded {
		t.Errorf("got %v", got)
	}
}

func roundTrip(t *testing.T, err error) error {
	t.Helper()
	n := kittest.Serve(t, func(r grpc.ServiceRegistrar) { r.RegisterService(&pingDesc, &healthServer{err: err}) })
	return n.Invoke(t.Context(), "/nullius.test.Ping/Ping", &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
}

// pingDesc is a service of the test's own, so that the server's real health service stays what it is.
var pingDesc = grpc.ServiceDesc{
	ServiceName: "nullius.test.Ping", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Ping", Handler: func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		req := &healthpb.HealthCheckRequest{}
		if err := dec(req); err != nil {
			return nil, err
		}
		return i(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/nullius.test.Ping/Ping"}, func(context.Context, any) (any, error) {
			err := srv.(*healthServer).err
			if err == nil {
				panic("no error to give")
			}
			return nil, err
		})
	}}},
}
