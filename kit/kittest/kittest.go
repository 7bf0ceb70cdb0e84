// Package kittest gives tests the real thing in small: an embedded broker, a blob store, the gRPC stack on pipes, and polling instead of sleeping.
package kittest

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
)

// NATS starts an embedded broker in a folder of its own and gives a connection to it.
func NATS(t testing.TB) *bus.Conn {
	t.Helper()
	s, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxBytes: 2 << 30})
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatalf("connect to NATS: %v", err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Stop(); err != nil {
			t.Errorf("stop NATS: %v", err)
		}
	})
	return c
}

// Blobs opens an empty blob store.
func Blobs(t testing.TB) store.Blobs {
	t.Helper()
	b, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatalf("open blob store: %v", err)
	}
	return b
}

// Host makes a host whose log is dropped; it is stopped with the test.
func Host(t testing.TB) *app.Host {
	t.Helper()
	h := app.NewHost(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Errorf("stop host: %v", err)
		}
	})
	return h
}

// Network makes a network of pipes.
func Network(t testing.TB) *rpc.Network {
	t.Helper()
	return rpc.NewNetwork(rpc.Options{})
}

// Serve serves on a pipe with the suite's interceptors and gives a connection to it.
func Serve(t testing.TB, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	n := Network(t)
	if err := rpc.Serve(Host(t), n, "inproc:test", register); err != nil {
		t.Fatalf("serve: %v", err)
	}
	c, err := n.Dial("inproc:test")
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// NoLeaks runs a package's tests and fails when goroutines outlive them: func TestMain(m *testing.M) { kittest.NoLeaks(m) }.
func NoLeaks(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// Eventually polls until cond gives nil, and fails the test with its last error when that takes longer than d.
func Eventually(t testing.TB, d time.Duration, cond func() error) {
	t.Helper()
	var err error
	for until := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
		if time.Now().After(until) {
			break
		}
	}
	t.Fatalf("after %v: %v", d, err)
}
