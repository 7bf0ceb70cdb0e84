package rpc_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"nullius.dev/kit/app"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/rpc"
)

type (
	request  = healthpb.HealthCheckRequest
	response = healthpb.HealthCheckResponse
)

// echo is a service of two methods, whose bodies are the test's.
type echo struct {
	once func(ctx context.Context, in *request) (*response, error)
	many func(in *request, out grpc.ServerStream) error
}

func (e echo) register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: "nullius.test.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Once", Handler: func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			in := &request{}
			if err := dec(in); err != nil {
				return nil, err
			}
			return i(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: onceMethod}, func(ctx context.Context, in any) (any, error) { return e.once(ctx, in.(*request)) })
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Many", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			in := &request{}
			if err := s.RecvMsg(in); err != nil {
				return err
			}
			return e.many(in, s)
		}}},
	}, e)
}

const (
	onceMethod = "/nullius.test.Echo/Once"
	manyMethod = "/nullius.test.Echo/Many"
)

func callOnce(ctx context.Context, c *grpc.ClientConn, name string) error {
	return c.Invoke(ctx, onceMethod, &request{Service: name}, &response{})
}

// callMany opens the stream; recv gives its next error.
func callMany(ctx context.Context, t *testing.T, c *grpc.ClientConn) (recv func() error) {
	t.Helper()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, manyMethod)
	if err == nil {
		err = s.SendMsg(&request{})
	}
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() error { return s.RecvMsg(&response{}) }
}

func ok(context.Context, *request) (*response, error) { return &response{}, nil }

// both runs a test over a pipe and over TCP, since nothing may differ.
func both(t *testing.T, e echo, validate rpc.Validator, test func(t *testing.T, c *grpc.ClientConn)) {
	t.Helper()
	for name, addr := range map[string]string{"in process": "inproc:echo", "over tcp": freeAddress(t)} {
		t.Run(name, func(t *testing.T) {
			n := rpc.NewNetwork(rpc.Options{})
			if err := rpc.Serve(kittest.Host(t), n, addr, e.register, validate); err != nil {
				t.Fatal(err)
			}
			test(t, dial(t, n, addr))
		})
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := rpc.NewNetwork(rpc.Options{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func dial(t *testing.T, n *rpc.Network, addr string) *grpc.ClientConn {
	t.Helper()
	c, err := n.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAFaultEndsAStreamAndKeepsItsMeaning(t *testing.T) {
	e := echo{many: func(_ *request, out grpc.ServerStream) error {
		if err := out.SendMsg(&response{}); err != nil {
			return err
		}
		return fault.New(fault.Exhausted, "BUDGET_EXCEEDED", "the budget is spent").WithNext("nullius retry IDEA --budget 10")
	}}
	both(t, e, nil, func(t *testing.T, c *grpc.ClientConn) {
		recv := callMany(t.Context(), t, c)
		if err := recv(); err != nil {
			t.Fatal(err)
		}
		err := recv()
		if !errors.Is(err, fault.Exhausted) || fault.ReasonOf(err) != "BUDGET_EXCEEDED" || fault.NextOf(err) != "nullius retry IDEA --budget 10" {
			t.Errorf("got %v", err)
		}
	})
}

func TestAStreamEndsWithEOF(t *testing.T) {
	both(t, echo{many: func(*request, grpc.ServerStream) error { return nil }}, nil, func(t *testing.T, c *grpc.ClientConn) {
		if err := callMany(t.Context(), t, c)(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAPanicInAStreamIsAnInternalErrorWithAnId(t *testing.T) {
	both(t, echo{many: func(*request, grpc.ServerStream) error { panic("secret") }}, nil, func(t *testing.T, c *grpc.ClientConn) {
		err := callMany(t.Context(), t, c)()
		e, ok := fault.As(err)
		if !ok || e.Kind != fault.Internal || e.Meta["error_id"] == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestsAreChecked(t *testing.T) {
	e := echo{once: ok, many: func(*request, grpc.ServerStream) error { return nil }}
	validate := func(req any) error {
		if r, ok := req.(*request); ok && r.GetService() == "" {
			return fault.New(fault.Invalid, "FIELD_INVALID", "service is empty").WithField("service", "is empty")
		}
		return nil
	}
	both(t, e, validate, func(t *testing.T, c *grpc.ClientConn) {
		if err := callOnce(t.Context(), c, "x"); err != nil {
			t.Errorf("a good request: %v", err)
		}
		for _, err := range []error{callOnce(t.Context(), c, ""), callMany(t.Context(), t, c)()} {
			e, _ := fault.As(err)
			if !errors.Is(err, fault.Invalid) || len(e.Violations) != 1 || e.Violations[0].Field != "service" {
				t.Errorf("a bad request: %v", err)
			}
		}
	})
}

func TestBytesThatAreNoMessageAreNoFaultOfTheServer(t *testing.T) {
	log := &strings.Builder{}
	h := app.NewHost(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
	n := rpc.NewNetwork(rpc.Options{})
	if err := rpc.Serve(h, n, "inproc:echo", echo{}.register); err != nil {
		t.Fatal(err)
	}
	s, err := dial(t, n, "inproc:echo").NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, manyMethod)
	if err != nil {
		t.Fatal(err)
	}
	raw := &response{}
	raw.ProtoReflect().SetUnknown([]byte{0x0a, 0x05, 'x'}) // field 1 says that it has five bytes
	if err := errors.Join(s.SendMsg(raw), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&response{}); err == nil || !strings.HasPrefix(err.Error(), "grpc: ") {
		t.Errorf("got %v", err)
	}
	if err := h.Stop(); err != nil || strings.Contains(log.String(), "ERROR") {
		t.Errorf("%v; the log has %s", err, log)
	}
}

func TestADeadlineIsShavedAtEachHop(t *testing.T) {
	var left time.Duration
	e := echo{once: func(ctx context.Context, _ *request) (*response, error) {
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return &response{}, nil
	}}
	both(t, e, nil, func(t *testing.T, c *grpc.ClientConn) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := callOnce(ctx, c, ""); err != nil {
			t.Fatal(err)
		}
		if left > 10*time.Second-20*time.Millisecond {
			t.Errorf("%v left of 10s", left)
		}
	})
}

func TestWorkThatCannotEndInTimeIsNotBegun(t *testing.T) {
	e := echo{once: func(context.Context, *request) (*response, error) { return nil, errors.New("begun") }}
	both(t, e, nil, func(t *testing.T, c *grpc.ClientConn) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Millisecond)
		defer cancel()
		if err := callOnce(ctx, c, ""); !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

func TestACallerThatLeavesIsCanceled(t *testing.T) {
	e := echo{many: func(_ *request, out grpc.ServerStream) error { <-out.Context().Done(); return out.Context().Err() }}
	both(t, e, nil, func(t *testing.T, c *grpc.ClientConn) {
		ctx, cancel := context.WithCancel(t.Context())
		recv := callMany(ctx, t, c)
		cancel()
		if err := recv(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLargeMessagesPass(t *testing.T) {
	both(t, echo{once: ok}, nil, func(t *testing.T, c *grpc.ClientConn) {
		if err := callOnce(t.Context(), c, strings.Repeat("x", 25<<20)); err != nil {
			t.Error(err)
		}
		if err := callOnce(t.Context(), c, strings.Repeat("x", 33<<20)); !errors.Is(err, fault.Exhausted) {
			t.Errorf("over the limit: %v", err)
		}
	})
}

func TestHealthAndReflectionAreThere(t *testing.T) {
	both(t, echo{once: ok}, nil, func(t *testing.T, c *grpc.ClientConn) {
		h, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nullius.test.Echo"})
		if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health: %v, %v", h, err)
		}
		s, err := reflectionpb.NewServerReflectionClient(c).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Recv()
		if err != nil || !strings.Contains(r.String(), "nullius.test.Echo") {
			t.Errorf("reflection: %v, %v", r, err)
		}
	})
}

func TestInProcessACallWaitsForItsServer(t *testing.T) {
	n := rpc.NewNetwork(rpc.Options{})
	c := dial(t, n, "inproc:late")
	got := make(chan error, 1)
	go func() { got <- callOnce(t.Context(), c, "") }()
	if err := rpc.Serve(kittest.Host(t), n, "inproc:late", echo{once: ok}.register); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestAServerMayComeBackUnderItsName(t *testing.T) {
	n := rpc.NewNetwork(rpc.Options{})
	c := dial(t, n, "inproc:again")
	for range 2 {
		h := app.NewHost(t.Context(), slog.New(slog.DiscardHandler))
		if err := rpc.Serve(h, n, "inproc:again", echo{once: ok}.register); err != nil {
			t.Fatal(err)
		}
		kittest.Eventually(t, 5*time.Second, func() error { return callOnce(t.Context(), c, "") })
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyOverTCPIsUnavailable(t *testing.T) {
	c := dial(t, rpc.NewNetwork(rpc.Options{}), freeAddress(t))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := callOnce(ctx, c, ""); !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestAddressesThatCannotBeUsedAreToldWithTheNextCommand(t *testing.T) {
	n := rpc.NewNetwork(rpc.Options{})
	l, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct{ name, addr, reason string }{
		{"a port in use", l.Addr().String(), "ADDRESS_IN_USE"},
		{"every interface", ":0", "ADDRESS_EXPOSED"},
		{"an address of another network", "192.0.2.1:7000", "ADDRESS_EXPOSED"},
		{"no address", "127.0.0.1", "ADDRESS_INVALID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := n.Listen(tt.addr); fault.ReasonOf(err) != tt.reason {
				t.Errorf("got %v", err)
			}
		})
	}
	l2, err := rpc.NewNetwork(rpc.Options{Exposed: true}).Listen(":0")
	if err != nil {
		t.Fatalf("with a yes: %v", err)
	}
	l2.Close()
}

func TestAStopCutsAStreamThatDoesNotEnd(t *testing.T) {
	cut := make(chan struct{})
	begun := make(chan struct{})
	e := echo{many: func(_ *request, out grpc.ServerStream) error {
		close(begun)
		<-out.Context().Done()
		close(cut)
		return out.Context().Err()
	}}
	n := rpc.NewNetwork(rpc.Options{})
	s := rpc.NewServer(kittest.Host(t), e.register)
	l, err := n.Listen("inproc:cut")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	recv := callMany(t.Context(), t, dial(t, n, "inproc:cut"))
	<-begun
	s.StopWithin(20 * time.Millisecond)
	<-cut
	if err := recv(); err == nil {
		t.Error("the stream went on")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOneTraceSpansBothSides(t *testing.T) {
	spans := map[string]*tracetest.SpanRecorder{"caller": tracetest.NewSpanRecorder(), "callee": tracetest.NewSpanRecorder()}
	host := kittest.Host(t)
	host.SetTelemetry(func(name string) (trace.TracerProvider, metric.MeterProvider) {
		return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans[name])), metricnoop.NewMeterProvider()
	})
	n := rpc.NewNetwork(rpc.Options{})
	if err := rpc.Serve(host.Component("callee"), n, "inproc:traced", echo{once: ok}.register); err != nil {
		t.Fatal(err)
	}
	if err := callOnce(t.Context(), dial(t, n.For(host.Component("caller")), "inproc:traced"), ""); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, 5*time.Second, func() error {
		if len(spans["caller"].Ended()) != 1 || len(spans["callee"].Ended()) != 1 {
			return errors.New("spans are missing")
		}
		return nil
	})
	client, server := spans["caller"].Ended()[0], spans["callee"].Ended()[0]
	if server.Parent().SpanID() != client.SpanContext().SpanID() || server.SpanContext().TraceID() != client.SpanContext().TraceID() {
		t.Errorf("server span %v is no child of client span %v", server.Parent(), client.SpanContext())
	}
}
