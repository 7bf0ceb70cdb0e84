package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"nullius.dev/kit/fault"
)

// Host is what a server needs of the process that it lives in; *app.Host is one.
type Host interface {
	Go(name string, grace time.Duration, run func(ctx context.Context) error)
	Context() context.Context
	Log() *slog.Logger
	Tracer() trace.TracerProvider
	Meter() metric.MeterProvider
}

// stopGrace is how long open calls may go on when a server stops; cutGrace is for handlers to notice that they were cut.
const (
	stopGrace = 3 * time.Second
	cutGrace  = 5 * time.Second
)

// minDeadline is what a unary call must have left to be worth starting.
const minDeadline = 100 * time.Millisecond

// Validator checks a request by hand-written rules; nil error: fine. It lives outside generated code, so that those types have no methods added.
type Validator func(request any) error

// Server is a gRPC server with its health.
type Server struct {
	*grpc.Server
	Health *health.Server
}

// NewServer makes a server with the suite's interceptors, health and reflection; Serve does that and listens.
func NewServer(h Host, register func(grpc.ServiceRegistrar), validate ...Validator) *Server {
	i := interceptors{log: h.Log(), validate: slices.DeleteFunc(slices.Clone(validate), func(v Validator) bool { return v == nil })}
	caught := recovery.WithRecoveryHandlerContext(i.panicked)
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage), grpc.WaitForHandlers(true),
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelOptions(h.Tracer(), h.Meter())...)),
		grpc.ChainUnaryInterceptor(i.unary, recovery.UnaryServerInterceptor(caught), i.begin),
		grpc.ChainStreamInterceptor(i.stream, recovery.StreamServerInterceptor(caught)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second, MaxConnectionAge: 5 * time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	register(s)
	hs := health.NewServer()
	healthpb.RegisterHealthServer(s, hs)
	for name := range s.GetServiceInfo() {
		hs.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	reflection.Register(s)
	return &Server{s, hs}
}

// Serve listens on addr and serves until the host stops: health turns first, open calls get 3 s, then they are cut.
func Serve(h Host, n *Network, addr string, register func(grpc.ServiceRegistrar), validate ...Validator) error {
	l, err := n.Listen(addr)
	if err != nil {
		return err
	}
	s := NewServer(h, register, append(validate, n.o.Validate)...)
	h.Go("serve "+addr, stopGrace+cutGrace, func(ctx context.Context) error {
		stopped := make(chan struct{})
		unhook := context.AfterFunc(ctx, func() {
			defer close(stopped)
			s.StopWithin(stopGrace)
		})
		err := s.Serve(l)
		if !unhook() {
			<-stopped // the stop was asked for: handlers end before this does
		}
		return err
	})
	if n.o.Exposed && !strings.HasPrefix(addr, InprocPrefix) && !loopback(addr) {
		h.Log().WarnContext(h.Context(), "serving beyond loopback without tls and authentication", "address", addr)
	}
	h.Log().DebugContext(h.Context(), "serving", "address", l.Addr().String())
	return nil
}

// StopWithin stops a server in order, and cuts what is still open after the grace, since GracefulStop hangs on an open stream.
func (s *Server) StopWithin(grace time.Duration) {
	s.Health.Shutdown()
	t := time.AfterFunc(grace, s.Stop)
	defer t.Stop()
	s.GracefulStop()
}

type interceptors struct {
	log      *slog.Logger
	validate []Validator
}

func (i interceptors) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	begin := time.Now()
	resp, err := handle(ctx, req)
	return resp, i.ended(ctx, info.FullMethod, begin, err)
}

func (i interceptors) begin(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if d, ok := ctx.Deadline(); ok && time.Until(d) < minDeadline {
		return nil, status.Error(codes.DeadlineExceeded, "less than 100 ms are left: not begun")
	}
	if err := i.check(req); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (i interceptors) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	begin := time.Now()
	return i.ended(ss.Context(), info.FullMethod, begin, handle(srv, &checkedStream{ss, i}))
}

func (i interceptors) check(req any) error {
	for _, v := range i.validate {
		err := v(req)
		if err == nil {
			continue
		}
		if _, ok := fault.As(err); ok {
			return err
		}
		return fault.New(fault.Invalid, "FIELD_INVALID", "%s", err)
	}
	return nil
}

// ended gives an error its form on the wire. What is nobody's fault but ours is logged here, once; the client gets the id under which the log has it.
func (i interceptors) ended(ctx context.Context, method string, begin time.Time, err error) error {
	log := i.log.With("method", method, "took_ms", time.Since(begin).Milliseconds())
	out := fault.ToStatus(err)
	switch status.Code(out) {
	case codes.OK:
		log.DebugContext(ctx, "call served")
	case codes.Internal, codes.Unknown:
		id := uuid.NewString()
		log.ErrorContext(ctx, "call failed", "error", err, "error_id", id)
		out = internal(err, id)
	default:
		log.DebugContext(ctx, "call refused", "error", err, "reason", fault.ReasonOf(err))
	}
	return out
}

// internal is what a client learns of a bug: an own fault keeps its words, a foreign error only its id.
func internal(err error, id string) error {
	e, ok := fault.As(err)
	if !ok {
		e = fault.New(fault.Internal, "INTERNAL", "internal error %s; the server's log has the rest", id)
	}
	told := *e
	return fault.ToStatus(told.WithMeta("error_id", id))
}

// panicked turns a panic into an error for ended, with the stack for the log.
func (i interceptors) panicked(_ context.Context, p any) error {
	return fmt.Errorf("panic: %v\n%s", p, debug.Stack())
}

type checkedStream struct {
	grpc.ServerStream
	i interceptors
}

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		if status.Code(err) == codes.Internal { // gRPC has told the caller so: what was sent is no message of this call, which is no fault of ours
			return fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "what was sent is no message of this call")
		}
		return err
	}
	// As a status already: a handler passes it on as it is, and generated code adds nothing.
	return fault.ToStatus(s.i.check(m))
}
