// Package rpc is the one way parts ask each other: gRPC, over TCP or over in-memory pipes, with the same interceptors, limits and traces on both.
package rpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"nullius.dev/kit/fault"
)

// MaxMessage bounds a message on both sides: a review request carries a PDF of up to 24 MiB.
const MaxMessage = 32 << 20

// InprocPrefix marks an address within the process: "inproc:coder".
const InprocPrefix = "inproc:"

const pipeBuffer = 256 << 10

// Options of a network.
type Options struct {
	Tracer trace.TracerProvider // of clients; nil: none
}

// Network finds listeners by address. A pipe is made when either side first names it, so start order does not matter.
type Network struct {
	o     Options
	mu    sync.Mutex
	pipes map[string]*bufconn.Listener
}

// NewNetwork makes a network without listeners.
func NewNetwork(o Options) *Network { return &Network{o: o, pipes: map[string]*bufconn.Listener{}} }

func (n *Network) pipe(name string) *bufconn.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pipes[name] == nil {
		n.pipes[name] = bufconn.Listen(pipeBuffer)
	}
	return n.pipes[name]
}

// Listen opens "inproc:NAME" or "HOST:PORT". A port in use is fault.Precondition ADDRESS_IN_USE.
func (n *Network) Listen(addr string) (net.Listener, error) {
	if name, ok := strings.CutPrefix(addr, InprocPrefix); ok {
		return n.pipe(name), nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fault.Wrap(err, fault.Precondition, "ADDRESS_IN_USE", "cannot listen on %s", addr).WithNext("another address with --listen, or nullius status")
	}
	return l, nil
}

// Dial gives a client connection; it connects with the first call, and calls wait until the other side is there or their deadline passes.
func (n *Network) Dial(addr string, o ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithChainUnaryInterceptor(clientUnary), grpc.WithChainStreamInterceptor(clientStream),
		grpc.WithStatsHandler(clientStats(n.o.Tracer)),
	}
	target := addr
	if name, ok := strings.CutPrefix(addr, InprocPrefix); ok {
		target = "passthrough:///" + name
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.pipe(name).DialContext(ctx) }))
	} else {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}))
	}
	return grpc.NewClient(target, append(opts, o...)...)
}

func clientStats(tp trace.TracerProvider) stats.Handler {
	return otelgrpc.NewClientHandler(otelOptions(tp)...)
}

func otelOptions(tp trace.TracerProvider) []otelgrpc.Option {
	o := []otelgrpc.Option{
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool { return !strings.HasPrefix(i.FullMethodName, "/grpc.") }),
	}
	if tp != nil {
		o = append(o, otelgrpc.WithTracerProvider(tp))
	}
	return o
}

// hop is what each hop of a call keeps of its deadline for itself.
const hop = 20 * time.Millisecond

func shave(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, d.Add(-hop))
	}
	return ctx, func() {}
}

func clientUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	ctx, cancel := shave(ctx)
	defer cancel()
	return fault.FromStatus(invoke(ctx, method, req, reply, cc, o...))
}

func clientStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := stream(ctx, desc, cc, method, o...)
	if err != nil {
		return nil, fault.FromStatus(err)
	}
	return &faultStream{s}, nil
}

type faultStream struct{ grpc.ClientStream }

func (s *faultStream) RecvMsg(m any) error { return keepEOF(s.ClientStream.RecvMsg(m)) }
func (s *faultStream) SendMsg(m any) error { return keepEOF(s.ClientStream.SendMsg(m)) }

func keepEOF(err error) error {
	if err == nil || errors.Is(err, errEOF) {
		return err
	}
	return fault.FromStatus(err)
}
