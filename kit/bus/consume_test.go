package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
)

// queue is a work queue with a consumer and a dead-letter stream.
type queue struct {
	c    *bus.Conn
	work jetstream.Stream
	dead jetstream.Stream
	cons jetstream.Consumer
}

func newQueue(t *testing.T, ackWait time.Duration) queue {
	t.Helper()
	c := kittest.NATS(t)
	q := queue{c: c}
	var err error
	if q.work, err = c.Stream(t.Context(), jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.>"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	if q.dead, err = c.Stream(t.Context(), jetstream.StreamConfig{Name: "DEAD", Subjects: []string{"dead.>"}}); err != nil {
		t.Fatal(err)
	}
	if q.cons, err = q.work.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "w", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait}); err != nil {
		t.Fatal(err)
	}
	return q
}

// consume runs the loop until the test ends.
func (q queue) consume(t *testing.T, h bus.Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- q.c.Consume(ctx, q.cons, bus.ConsumeOptions{Retry: 10 * time.Millisecond, MaxTries: 2, DeadSubject: "dead.work"}, h)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("consume: %v", err)
		}
	})
}

func (q queue) counts(t *testing.T) (left, dead uint64) {
	t.Helper()
	w, err := q.work.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := q.dead.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w.State.Msgs, d.State.Msgs
}

func TestAHandlersErrorDecidesTheFateOfAMessage(t *testing.T) {
	tests := []struct {
		name        string
		answers     []error // of the deliveries in turn; the last is repeated
		calls       int
		left, dead  uint64
		panicsFirst bool
	}{
		{name: "nil acknowledges", answers: []error{nil}, calls: 1},
		{name: "unavailable is tried again", answers: []error{fault.New(fault.Unavailable, "PROVIDER_UNAVAILABLE", "down"), nil}, calls: 2},
		{name: "exhausted waits as it says", answers: []error{fault.New(fault.Exhausted, "RATE_LIMITED", "slow").WithRetry(20 * time.Millisecond), nil}, calls: 2},
		{name: "invalid goes to the dead letters at once", answers: []error{fault.New(fault.Invalid, "FIELD_INVALID", "bad\nline")}, calls: 1, dead: 1},
		{name: "not found goes to the dead letters", answers: []error{fault.New(fault.NotFound, "BLOB_UNKNOWN", "gone")}, calls: 1, dead: 1},
		{name: "a precondition goes to the dead letters", answers: []error{fault.New(fault.Precondition, "MISSING_BLOB", "lost")}, calls: 1, dead: 1},
		{name: "conflict leaves the message to its owner", answers: []error{fault.New(fault.Conflict, "CONFLICT", "not mine")}, calls: 1, left: 1},
		{name: "a bug is tried and then given up", answers: []error{errors.New("bug")}, calls: 2, dead: 1},
		{name: "a panic is caught and tried again", answers: []error{nil, nil}, calls: 2, panicsFirst: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := newQueue(t, time.Minute)
			if _, err := q.c.Publish(t.Context(), "work.a", "id-1", "test.Job", []byte("data")); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			calls := 0
			q.consume(t, func(_ context.Context, m bus.Message) error {
				mu.Lock()
				defer mu.Unlock()
				calls++
				if m.ID != "id-1" || m.Type != "test.Job" || string(m.Data) != "data" || m.Delivered != uint64(calls) {
					t.Errorf("delivery %d is %+v", calls, m)
				}
				if tt.panicsFirst && calls == 1 {
					panic("oh")
				}
				return tt.answers[min(calls, len(tt.answers))-1]
			})
			kittest.Eventually(t, 5*time.Second, func() error {
				mu.Lock()
				defer mu.Unlock()
				left, dead := q.counts(t)
				if calls != tt.calls || left != tt.left || dead != tt.dead {
					return fmt.Errorf("%d calls, %d left, %d dead", calls, left, dead)
				}
				return nil
			})
		})
	}
}

func TestADeadLetterSaysWhereItCameFromAndWhy(t *testing.T) {
	q := newQueue(t, time.Minute)
	if _, err := q.c.Publish(t.Context(), "work.a", "id-1", "test.Job", []byte("data")); err != nil {
		t.Fatal(err)
	}
	q.consume(t, func(context.Context, bus.Message) error {
		return fault.New(fault.Invalid, "FIELD_INVALID", "line\nbreak")
	})
	kittest.Eventually(t, 5*time.Second, func() error {
		m, err := q.dead.GetLastMsgForSubject(t.Context(), "dead.work")
		if err != nil {
			return err
		}
		for k, want := range map[string]string{"Nullius-Dead-Subject": "work.a", "Nullius-Dead-Reason": "FIELD_INVALID", "Nullius-Dead-Error": "line break", "Nullius-Type": "test.Job"} {
			if got := m.Header.Get(k); got != want {
				return fmt.Errorf("%s is %q, want %q", k, got, want)
			}
		}
		return nil
	})
}

func TestASlowHandlerKeepsItsMessageByHeartbeats(t *testing.T) {
	const ackWait = 300 * time.Millisecond
	q := newQueue(t, ackWait)
	if _, err := q.c.Publish(t.Context(), "work.a", "id-1", "test.Job", nil); err != nil {
		t.Fatal(err)
	}
	deliveries := make(chan uint64, 10)
	q.consume(t, func(ctx context.Context, m bus.Message) error {
		deliveries <- m.Delivered
		select {
		case <-time.After(3 * ackWait):
		case <-ctx.Done():
		}
		return nil
	})
	kittest.Eventually(t, 10*time.Second, func() error {
		if left, _ := q.counts(t); left != 0 {
			return errors.New("not done")
		}
		return nil
	})
	close(deliveries)
	var got []uint64
	for d := range deliveries {
		got = append(got, d)
	}
	if !slices.Equal(got, []uint64{1}) {
		t.Errorf("deliveries %v, want one", got)
	}
}

func TestAShutdownGivesTheMessageBackAtOnce(t *testing.T) {
	q := newQueue(t, time.Minute)
	if _, err := q.c.Publish(t.Context(), "work.a", "id-1", "test.Job", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := q.c.Consume(ctx, q.cons, bus.ConsumeOptions{}, func(hctx context.Context, _ bus.Message) error {
		cancel()
		<-hctx.Done()
		return hctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := q.cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Fatalf("the message is not back: %v", err)
	}
	if meta, _ := again.Metadata(); meta.NumDelivered != 2 {
		t.Errorf("delivery %d", meta.NumDelivered)
	}
}

func TestATraceTravelsInLowerCaseAndIsReadBack(t *testing.T) {
	q := newQueue(t, time.Minute)
	tid, _ := trace.TraceIDFromHex("0123456789abcdef0123456789abcdef")
	sid, _ := trace.SpanIDFromHex("0123456789abcdef")
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: tid, SpanID: sid, TraceFlags: trace.FlagsSampled}))
	if _, err := q.c.Publish(ctx, "work.a", "id-1", "test.Job", nil); err != nil {
		t.Fatal(err)
	}
	m, err := q.cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Headers()["traceparent"]) != 1 {
		t.Errorf("headers %v", m.Headers())
	}
	if got := trace.SpanContextFromContext(bus.Extract(t.Context(), m.Headers())); got.TraceID() != tid || !got.IsRemote() {
		t.Errorf("got %v", got)
	}
}

func TestARepeatedMessageIdIsStoredOnce(t *testing.T) {
	q := newQueue(t, time.Minute)
	for i := range 2 {
		ack, err := q.c.Publish(t.Context(), "work.a", "id-1", "test.Job", nil)
		if err != nil || ack.Duplicate != (i == 1) {
			t.Errorf("publish %d: %+v, %v", i, ack, err)
		}
	}
}

func TestBrokerErrorsHaveTheirMeaning(t *testing.T) {
	c := kittest.NATS(t)
	ctx := t.Context()
	kv, err := c.KV(ctx, jetstream.KeyValueConfig{Bucket: "B"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(ctx, "k", []byte("1")); err != nil {
		t.Fatal(err)
	}
	_, err = kv.Update(ctx, "k", []byte("2"), 99)
	if got := bus.Fault(err, "update"); !errors.Is(got, fault.Conflict) {
		t.Errorf("lost compare-and-set: %v", got)
	}
	_, err = c.Stream(ctx, jetstream.StreamConfig{Name: "HUGE", Subjects: []string{"huge"}, MaxBytes: 1 << 40})
	if fault.ReasonOf(err) != "STORAGE_FULL" {
		t.Errorf("a stream over the quota: %v", err)
	}
	if _, err = c.Stream(ctx, jetstream.StreamConfig{Name: "TINY", Subjects: []string{"tiny"}, MaxBytes: 200, Discard: jetstream.DiscardNew}); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Publish(ctx, "tiny", "1", "t", make([]byte, 400)); fault.ReasonOf(err) != "STORAGE_FULL" {
		t.Errorf("a full stream: %v", err)
	}
}

func TestNobodyAtTheAddressIsUnavailableWithinTheTimeout(t *testing.T) {
	_, err := bus.Connect(t.Context(), "nats://127.0.0.1:1", bus.Options{Timeout: 50 * time.Millisecond})
	if !errors.Is(err, fault.Unavailable) || fault.NextOf(err) == "" {
		t.Errorf("got %v", err)
	}
}
