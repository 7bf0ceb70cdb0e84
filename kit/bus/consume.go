package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"nullius.dev/kit/fault"
)

// Message is a delivery.
type Message struct {
	Subject   string
	ID        string // message id; the same at each delivery
	Type      string
	Data      []byte
	Header    nats.Header
	Sequence  uint64
	Delivered uint64 // 1 for the first delivery
}

// Handler handles a message. Its error decides what becomes of the message; see Consume.
type Handler func(ctx context.Context, m Message) error

// ConsumeOptions of a handler loop.
type ConsumeOptions struct {
	Workers     int                  // handlers at a time; 0: 1
	Retry       time.Duration        // first delay after a failure that names none, doubled at each delivery up to a minute; 0: 2 s
	MaxTries    uint64               // deliveries of a message whose handler panics or has a bug; 0: 5
	DeadSubject string               // where messages go that nothing can be done with; empty: nowhere
	Log         *slog.Logger         // nil: none
	Tracer      trace.TracerProvider // nil: none
}

const (
	fetchFor = 5 * time.Second
	maxRetry = time.Minute
)

// Consume hands each message of a pull consumer to handle until ctx ends; it returns when the handlers have. A worker fetches one message at a time, so
// that none waits behind another in a buffer, and heartbeats while it is handled. The message is
//
//   - acknowledged after nil;
//   - given back, with a delay, after Unavailable, Exhausted or a missed deadline;
//   - left alone after Conflict: another owner has the work;
//   - copied to the dead-letter subject and ended after Invalid, NotFound, Precondition and the other kinds that no repeat mends;
//   - given back and at last dead-lettered after anything else, a panic included, which is a bug;
//   - given back at once when ctx has ended.
func (c *Conn) Consume(ctx context.Context, cons jetstream.Consumer, o ConsumeOptions, handle Handler) error {
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Retry == 0 {
		o.Retry = 2 * time.Second
	}
	if o.MaxTries == 0 {
		o.MaxTries = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider()
	}
	l := &loop{c: c, cons: cons, o: o, handle: handle, ackWait: cons.CachedInfo().Config.AckWait}
	g, gctx := errgroup.WithContext(ctx)
	for range o.Workers {
		g.Go(func() error { return l.work(gctx) })
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

type loop struct {
	c       *Conn
	cons    jetstream.Consumer
	o       ConsumeOptions
	handle  Handler
	ackWait time.Duration
}

// work fetches and handles until ctx ends or the consumer is gone.
func (l *loop) work(ctx context.Context) error {
	for ctx.Err() == nil {
		msg, err := l.fetch(ctx)
		switch {
		case err == nil:
			l.serve(ctx, msg)
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound):
			return Fault(err, "fetch from "+l.cons.CachedInfo().Name)
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoMessages), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		default:
			l.o.Log.WarnContext(ctx, "fetch message", "consumer", l.cons.CachedInfo().Name, "error", err)
			wait(ctx, time.Second)
		}
	}
	return nil
}

func (l *loop) fetch(ctx context.Context) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	return l.cons.Next(jetstream.FetchContext(ctx))
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serve handles one message and settles it.
func (l *loop) serve(ctx context.Context, msg jetstream.Msg) {
	m := Message{Subject: msg.Subject(), Data: msg.Data(), Header: msg.Headers(), ID: msg.Headers().Get(nats.MsgIdHdr), Type: msg.Headers().Get(headerType), Delivered: 1}
	if meta, err := msg.Metadata(); err == nil {
		m.Sequence, m.Delivered = meta.Sequence.Stream, meta.NumDelivered
	}
	hctx, span := l.o.Tracer.Tracer("nullius.dev/kit/bus").Start(Extract(ctx, m.Header), "handle "+m.Type, trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	hctx, cancel := context.WithCancel(hctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.beat(hctx, msg)
	}()
	err := l.guarded(hctx, m)
	cancel()
	<-done
	if err != nil {
		span.SetStatus(codes.Error, fault.KindOf(err).Error())
	}
	if serr := l.settle(ctx, msg, m, err); serr != nil {
		l.o.Log.WarnContext(ctx, "settle message", "subject", m.Subject, "id", m.ID, "error", serr)
	}
}

// beat tells the broker that the work goes on, at a third of what it waits for.
func (l *loop) beat(ctx context.Context, msg jetstream.Msg) {
	if l.ackWait <= 0 {
		return
	}
	t := time.NewTicker(l.ackWait / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			_ = msg.InProgress() // a lost beat leads to a redelivery, which the compare-and-set on commit fences
		}
	}
}

func (l *loop) guarded(ctx context.Context, m Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.o.Log.ErrorContext(ctx, "panic in a handler", "subject", m.Subject, "id", m.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "INTERNAL", "the handler panicked: %v", p)
		}
	}()
	return l.handle(ctx, m)
}

func (l *loop) settle(ctx context.Context, msg jetstream.Msg, m Message, err error) error {
	if err == nil {
		return msg.Ack()
	}
	if ctx.Err() != nil {
		return msg.Nak()
	}
	log := l.o.Log.With("subject", m.Subject, "id", m.ID, "delivered", m.Delivered, "error", err)
	switch kind := fault.KindOf(err); {
	case errors.Is(err, context.DeadlineExceeded), kind == fault.Unavailable, kind == fault.Exhausted:
		log.WarnContext(ctx, "message is tried again")
		return msg.NakWithDelay(l.delay(m, err))
	case kind == fault.Conflict:
		log.InfoContext(ctx, "message has another owner")
		return nil
	case kind == fault.Internal && m.Delivered < l.o.MaxTries:
		log.ErrorContext(ctx, "handler failed")
		return msg.NakWithDelay(l.delay(m, err))
	}
	log.ErrorContext(ctx, "message is given up")
	if err := l.bury(ctx, m, err); err != nil {
		return errors.Join(err, msg.NakWithDelay(l.delay(m, err)))
	}
	return msg.TermWithReason(fault.ReasonOf(err))
}

func (l *loop) delay(m Message, err error) time.Duration {
	if d := fault.RetryAfterOf(err); d > 0 {
		return d
	}
	return min(l.o.Retry<<min(m.Delivered-1, 10), maxRetry)
}

// bury copies a message to the dead letters, once however often it is tried.
func (l *loop) bury(ctx context.Context, m Message, why error) error {
	if l.o.DeadSubject == "" {
		return nil
	}
	dead := &nats.Msg{Subject: l.o.DeadSubject, Data: m.Data, Header: nats.Header{}}
	for k, v := range m.Header {
		if k != nats.MsgIdHdr {
			dead.Header[k] = v
		}
	}
	dead.Header.Set("Nullius-Dead-Subject", m.Subject)
	dead.Header.Set("Nullius-Dead-Reason", fault.ReasonOf(why))
	dead.Header.Set("Nullius-Dead-Error", oneLine(why.Error()))
	_, err := l.c.JS.PublishMsg(ctx, dead, jetstream.WithMsgID(fmt.Sprintf("dead.%s.%d", l.cons.CachedInfo().Stream, m.Sequence)))
	return Fault(err, "publish to "+l.o.DeadSubject)
}

// oneLine makes text fit for a header.
func oneLine(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r < ' ' {
			out[i] = ' '
		}
	}
	return string(out[:min(len(out), 500)])
}
