package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"nullius.dev/kit/fault"
)

// hop is what each hop of a call keeps of its deadline for itself, so that the callee's answer still arrives.
const hop = 20 * time.Millisecond

// A unary call whose connection broke is tried again this often. Streams are not: their caller begins again by itself.
const (
	tries     = 4
	firstWait = 50 * time.Millisecond
)

func clientStats(o Options) stats.Handler {
	return otelgrpc.NewClientHandler(otelOptions(o.Tracer, o.Meter)...)
}

func otelOptions(tp trace.TracerProvider, mp metric.MeterProvider) []otelgrpc.Option {
	o := []otelgrpc.Option{
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool { return !strings.HasPrefix(i.FullMethodName, "/grpc.") }), // health and reflection
	}
	if tp != nil {
		o = append(o, otelgrpc.WithTracerProvider(tp))
	}
	if mp != nil {
		o = append(o, otelgrpc.WithMeterProvider(mp))
	}
	return o
}

func shave(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, d.Add(-hop))
	}
	return ctx, func() {}
}

func clientUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	ctx, cancel := shave(ctx)
	defer cancel()
	for try, wait := 1, firstWait; ; try, wait = try+1, wait*2 {
		err := invoke(ctx, method, req, reply, cc, o...)
		if try == tries || !broken(err) || !pause(ctx, wait) {
			return fault.FromStatus(err)
		}
	}
}

// broken tells a lost connection from a service that says it is unavailable, which carries details.
func broken(err error) bool {
	s, ok := status.FromError(err)
	return ok && s.Code() == codes.Unavailable && len(s.Details()) == 0
}

// pause waits half of d and a random part of the rest; false: the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func clientStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, cancel := shave(ctx)
	s, err := open(ctx, desc, cc, method, o...)
	if err != nil {
		cancel()
		return nil, fault.FromStatus(err)
	}
	return &faultStream{s, desc.ServerStreams, cancel}, nil
}

// faultStream gives a stream's errors their meaning, and frees its deadline with the last message.
type faultStream struct {
	grpc.ClientStream
	many bool // more than one message comes back
	done context.CancelFunc
}

func (s *faultStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, keepEOF(err)
}

func (s *faultStream) CloseSend() error { return keepEOF(s.ClientStream.CloseSend()) }

func (s *faultStream) SendMsg(m any) error { return keepEOF(s.ClientStream.SendMsg(m)) }

func (s *faultStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil || !s.many {
		s.done()
	}
	return keepEOF(err)
}

func keepEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return fault.FromStatus(err)
}
