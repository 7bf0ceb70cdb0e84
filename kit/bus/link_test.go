package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/natsd"
)

// wire is a way to a broker that can swallow its answers and can be cut.
type wire struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	deaf  bool
}

func newWire(t *testing.T, broker string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", broker)
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			all.Go(func() { _, _ = io.Copy(far, near); _ = far.Close() })
			all.Go(func() { _, _ = io.Copy(answers{near, w}, far); _ = near.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); w.cut(); all.Wait() })
	return w
}

// answers drops what the broker says while the wire is deaf.
type answers struct {
	net.Conn
	w *wire
}

func (a answers) Write(p []byte) (int, error) {
	a.w.mu.Lock()
	deaf := a.w.deaf
	a.w.mu.Unlock()
	if deaf {
		return len(p), nil
	}
	return a.Conn.Write(p)
}

func (w *wire) setDeaf(deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = deaf
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func TestALostConnectionEndsWhatWaitsForItsAnswer(t *testing.T) {
	broker, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = broker.Stop() }()
	direct, err := broker.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	w := newWire(t, strings.TrimPrefix(broker.URL(), "nats://"))
	c, err := bus.Connect(t.Context(), "nats://"+w.Addr().String(), bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st, err := c.Stream(t.Context(), jetstream.StreamConfig{Name: "FACTS", Subjects: []string{"facts"}})
	if err != nil {
		t.Fatal(err)
	}
	kv, err := c.KV(t.Context(), jetstream.KeyValueConfig{Bucket: "KEYS"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := kv.Create(t.Context(), "known", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := direct.JS.KeyValue(t.Context(), "KEYS")
	if err != nil {
		t.Fatal(err)
	}
	has := func(key, value string) func() error {
		return func() error {
			e, err := keys.Get(t.Context(), key)
			if err == nil && string(e.Value()) != value {
				err = fmt.Errorf("%s is %q", key, e.Value())
			}
			return err
		}
	}
	for _, tt := range []struct {
		name    string
		request func(ctx context.Context) error
		arrived func() error
	}{
		{"publish", func(ctx context.Context) error {
			_, err := c.Publish(ctx, "facts", "1", "fact", []byte("x"))
			return err
		}, func() error {
			facts, err := direct.JS.Stream(t.Context(), "FACTS")
			if err == nil && facts.CachedInfo().State.Msgs == 0 {
				err = errors.New("nothing was stored")
			}
			return err
		}},
		{"create", func(ctx context.Context) error {
			_, err := kv.Create(ctx, "new", []byte("1"))
			return bus.Fault(err, "create")
		}, has("new", "1")},
		{"update", func(ctx context.Context) error {
			_, err := kv.Update(ctx, "known", []byte("2"), first)
			return bus.Fault(err, "update")
		}, has("known", "2")},
		{"put", func(ctx context.Context) error {
			_, err := kv.Put(ctx, "known", []byte("3"))
			return bus.Fault(err, "put")
		}, has("known", "3")},
		{"get", func(ctx context.Context) error { _, err := kv.Get(ctx, "known"); return bus.Fault(err, "get") }, nil},
		{"delete", func(ctx context.Context) error { return bus.Fault(kv.Delete(ctx, "known"), "delete") }, func() error {
			if _, err := keys.Get(t.Context(), "known"); !errors.Is(err, jetstream.ErrKeyNotFound) {
				return fmt.Errorf("it is there: %v", err)
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.setDeaf(true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // longer than the test: only the loss can end the request
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- tt.request(ctx) }()
			if tt.arrived != nil {
				kittest.Eventually(t, 10*time.Second, tt.arrived)
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended without an answer: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			w.setDeaf(false)
			w.cut()
			select {
			case err := <-ended:
				if fault.ReasonOf(err) != "BUS_UNAVAILABLE" || !errors.Is(err, fault.Unavailable) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it waits on though the connection is lost")
			}
			kittest.Eventually(t, 20*time.Second, func() error { _, err := st.Info(t.Context()); return err }) // connected anew
			if _, err := kv.Put(t.Context(), "after", nil); err != nil {
				t.Errorf("on the next connection: %v", err)
			}
		})
	}
}

func TestARequestThatItsCallerLeavesIsCanceled(t *testing.T) {
	c := kittest.NATS(t)
	kv, err := c.KV(t.Context(), jetstream.KeyValueConfig{Bucket: "KEYS"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kv.Get(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
