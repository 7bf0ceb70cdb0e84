// Package rpc is the one way parts ask each other: gRPC, over TCP or over in-memory pipes, with the same interceptors, limits and traces on both.
package rpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"nullius.dev/kit/fault"
)

// MaxMessage bounds a message on both sides: a review request carries a PDF of up to 24 MiB.
const MaxMessage = 32 << 20

// InprocPrefix marks an address within the process: "inproc:coder".
const InprocPrefix = "inproc:"

const pipeBuffer = 256 << 10

// connects is how a lost peer is looked for again. gRPC's own waits grow to two minutes (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md):
// a service that came back after a pause would stand idle for as long.
var connects = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 4 * time.Second}, // jitter included, under 5 s
	MinConnectTimeout: 5 * time.Second,
}

// Options of a network.
type Options struct {
	Tracer   trace.TracerProvider // of clients; nil: none
	Meter    metric.MeterProvider // of clients; nil: none
	Validate Validator            // checks requests on every server of this network; nil: none
	Exposed  bool                 // listening beyond loopback is allowed, though neither TLS nor authentication guards it
}

// Network finds listeners by address. A pipe is made when either side first names it, so start order does not matter.
type Network struct {
	o     Options
	pipes *pipes
}

type pipes struct {
	mu     sync.Mutex
	byName map[string]*bufconn.Listener
}

// NewNetwork makes a network without listeners.
func NewNetwork(o Options) *Network {
	return &Network{o: o, pipes: &pipes{byName: map[string]*bufconn.Listener{}}}
}

// For gives a view of the same network for a component: what it dials is traced as its own.
func (n *Network) For(h Host) *Network {
	o := n.o
	o.Tracer, o.Meter = h.Tracer(), h.Meter()
	return &Network{o: o, pipes: n.pipes}
}

func (p *pipes) get(name string) *bufconn.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName[name] == nil {
		p.byName[name] = bufconn.Listen(pipeBuffer)
	}
	return p.byName[name]
}

// pipe is a listener whose end makes room for a successor under the same name.
type pipe struct {
	*bufconn.Listener
	name  string
	pipes *pipes
}

func (p *pipe) Close() error {
	p.pipes.mu.Lock()
	if p.pipes.byName[p.name] == p.Listener {
		delete(p.pipes.byName, p.name)
	}
	p.pipes.mu.Unlock()
	return p.Listener.Close()
}

// Addr tells the name instead of bufconn's own.
func (p *pipe) Addr() net.Addr { return pipeAddr(p.name) }

type pipeAddr string

func (pipeAddr) Network() string  { return "inproc" }
func (a pipeAddr) String() string { return InprocPrefix + string(a) }

// Listen opens "inproc:NAME" or "HOST:PORT". A port in use is fault.Precondition ADDRESS_IN_USE; an address beyond loopback is ADDRESS_EXPOSED unless the
// options allow it.
func (n *Network) Listen(addr string) (net.Listener, error) {
	if name, ok := strings.CutPrefix(addr, InprocPrefix); ok {
		return &pipe{n.pipes.get(name), name, n.pipes}, nil
	}
	if !n.o.Exposed && !loopback(addr) {
		return nil, fault.New(fault.Precondition, "ADDRESS_EXPOSED", "listening on %s would let other machines in without a password", addr).
			WithNext("listen on 127.0.0.1, or set insecure: true where a network of your own guards the port")
	}
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(addr)
		return nil, fault.Wrap(err, fault.Precondition, "ADDRESS_IN_USE", "another process listens on %s", addr).WithNext("ss -ltnp 'sport = :" + port + "'")
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "ADDRESS_INVALID", "cannot listen on %q", addr)
	}
	return l, nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // not an address at all: net.Listen says so
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Dial gives a client connection to "inproc:NAME", "dns:///HOST:PORT" or "HOST:PORT". It connects with the first call. Within the process calls wait until the
// other side is there or their deadline passes; over TCP a call to nobody fails with fault.Unavailable, and one to a peer that is back finds it within 5 s.
func (n *Network) Dial(addr string, o ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithChainUnaryInterceptor(clientUnary), grpc.WithChainStreamInterceptor(clientStream),
		grpc.WithStatsHandler(clientStats(n.o)), grpc.WithConnectParams(connects),
	}
	target := addr
	if name, ok := strings.CutPrefix(addr, InprocPrefix); ok {
		target = "passthrough:///" + name // else gRPC asks DNS
		opts = append(opts, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.pipes.get(name).DialContext(ctx) }))
	} else {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}))
	}
	cc, err := grpc.NewClient(target, append(opts, o...)...)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "ADDRESS_INVALID", "%q is not an address like dns:///host:7002 or inproc:name", addr)
	}
	return cc, nil
}
