package rpc

import (
	"context"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"nullius.dev/kit/app"
	"nullius.dev/kit/fault"
)

var errEOF = io.EOF

// stopGrace is how long open calls may go on when a server stops.
const stopGrace = 5 * time.Second

// minDeadline is what a unary call must have left to be worth starting.
const minDeadline = 100 * time.Millisecond

// Validator checks a request by hand-written rules; nil error: fine. It lives outside generated code, so that those have no methods added.
type Validator func(request any) error

// NewServer makes a server with the suite's interceptors, health and reflection. Requests are checked by all validators.
func NewServer(h *app.Host, register func(grpc.ServiceRegistrar), validate ...Validator) (*grpc.Server, *health.Server) {
	i := interceptors{log: h.Log(), validate: validate}
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage),
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelOptions(h.Tracer())...)),
		grpc.ChainUnaryInterceptor(i.unary), grpc.ChainStreamInterceptor(i.stream),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	register(s)
	hs := health.NewServer()
	healthpb.RegisterHealthServer(s, hs)
	for name := range s.GetServiceInfo() {
		hs.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	reflection.Register(s)
	return s, hs
}

// Serve listens on addr and serves until the host stops: health turns first, open calls get 5 s, then they are cut.
func Serve(h *app.Host, n *Network, addr string, register func(grpc.ServiceRegistrar), validate ...Validator) error {
	l, err := n.Listen(addr)
	if err != nil {
		return err
	}
	s, hs := NewServer(h, register, validate...)
	h.Go("serve "+addr, 2*stopGrace, func(ctx context.Context) error {
		done := make(chan struct{})
		defer close(done)
		stop := context.AfterFunc(ctx, func() { Stop(s, hs, done) })
		defer stop()
		return s.Serve(l)
	})
	h.Log().InfoContext(h.Context(), "serving", "address", l.Addr().String())
	return nil
}

// Stop stops a server in order, and cuts what is still open after 5 s, since GracefulStop hangs on an open stream.
func Stop(s *grpc.Server, hs *health.Server, done <-chan struct{}) {
	hs.Shutdown()
	t := time.AfterFunc(stopGrace, s.Stop)
	defer t.Stop()
	s.GracefulStop()
	<-done
}

type interceptors struct {
	log      *slog.Logger
	validate []Validator
}

func (i interceptors) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer i.recovered(ctx, info.FullMethod, &err)
	if d, ok := ctx.Deadline(); ok && time.Until(d) < minDeadline {
		return nil, status.Error(codes.DeadlineExceeded, "less than 100 ms are left: not begun")
	}
	if err := i.check(req); err != nil {
		return nil, fault.ToStatus(err)
	}
	resp, err = handle(ctx, req)
	return resp, i.convert(ctx, info.FullMethod, err)
}

func (i interceptors) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer i.recovered(ss.Context(), info.FullMethod, &err)
	return i.convert(ss.Context(), info.FullMethod, handle(srv, &checkedStream{ss, i}))
}

func (i interceptors) check(req any) error {
	for _, v := range i.validate {
		if err := v(req); err != nil {
			return err
		}
	}
	return nil
}

// convert gives an error its form on the wire; what is nobody's fault but ours is logged here, once.
func (i interceptors) convert(ctx context.Context, method string, err error) error {
	out := fault.ToStatus(err)
	if status.Code(out) == codes.Internal {
		i.log.ErrorContext(ctx, "call failed", "method", method, "error", err)
	}
	return out
}

func (i interceptors) recovered(ctx context.Context, method string, err *error) {
	if r := recover(); r != nil {
		i.log.ErrorContext(ctx, "panic in a call", "method", method, "panic", r, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error; the server's log has the rest")
	}
}

type checkedStream struct {
	grpc.ServerStream
	i interceptors
}

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if err := s.i.check(m); err != nil {
		return fault.ToStatus(err)
	}
	return nil
}
