package rpc_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/rpc"
)

// TestAPeerThatComesBackIsFoundWithinFiveSeconds takes a server away for longer and longer: however long it was, the client must not have lost its patience.
func TestAPeerThatComesBackIsFoundWithinFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kittest.Host(t)
		var server atomic.Pointer[bufconn.Listener] // nil: away
		c, err := rpc.NewNetwork(rpc.Options{}).Dial("dns:///127.0.0.1:7002", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if l := server.Load(); l != nil {
				return l.DialContext(ctx)
			}
			return nil, errors.New("connection refused")
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, away := range []time.Duration{0, 10 * time.Second, 10 * time.Minute} {
			for until := time.Now().Add(away); time.Now().Before(until); time.Sleep(time.Second) {
				if err := callOnce(t.Context(), c, "x"); !errors.Is(err, fault.Unavailable) {
					t.Fatalf("a call to nobody gave %v", err)
				}
			}
			l := bufconn.Listen(1 << 16)
			server.Store(l)
			s := rpc.NewServer(h, echo{once: ok}.register)
			go func() { _ = s.Serve(l) }()
			back := time.Now()
			for callOnce(t.Context(), c, "x") != nil && time.Since(back) < 10*time.Minute {
				time.Sleep(100 * time.Millisecond)
			}
			if took := time.Since(back); took > 5*time.Second {
				t.Errorf("after %v away it was found %v after its return", away, took)
			}
			s.Stop()
			server.Store(nil)
		}
	})
}
