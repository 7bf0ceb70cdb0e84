package bus

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link ends what waits for an answer of the broker as soon as the connection is lost, since that answer never comes: the client alone would wait for the
// whole limit of the request (5 s), though it knows. What became of such a request is unknown, as after a missed deadline.
type link struct {
	mu   sync.Mutex
	ctx  context.Context // of the connection that stands, or of the next one
	lost context.CancelCauseFunc
}

func newLink(ctx context.Context) *link {
	l := &link{}
	l.ctx, l.lost = context.WithCancelCause(context.WithoutCancel(ctx)) // the connection outlives whoever made it
	return l
}

// lose tells all who wait that the connection is gone; later requests are of the next one.
func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost(nats.ErrDisconnected)
	l.ctx, l.lost = context.WithCancelCause(context.WithoutCancel(l.ctx))
}

// ask makes a request that ends with the connection, as nats.ErrDisconnected.
func ask[T any](ctx context.Context, l *link, request func(context.Context) (T, error)) (T, error) {
	l.mu.Lock()
	stands := l.ctx
	l.mu.Unlock()
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stands, cancel)()
	v, err := request(rctx)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil && stands.Err() != nil {
		err = context.Cause(stands)
	}
	return v, err
}

// streams is JetStream whose publishes, and whose buckets, do not outwait a lost connection.
type streams struct {
	jetstream.JetStream
	link *link
}

func (s streams) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return ask(ctx, s.link, func(ctx context.Context) (*jetstream.PubAck, error) { return s.JetStream.PublishMsg(ctx, m, o...) })
}

func (s streams) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	return ask(ctx, s.link, func(ctx context.Context) (jetstream.Stream, error) { return s.JetStream.Stream(ctx, name) })
}

func (s streams) KeyValue(ctx context.Context, name string) (jetstream.KeyValue, error) {
	kv, err := ask(ctx, s.link, func(ctx context.Context) (jetstream.KeyValue, error) { return s.JetStream.KeyValue(ctx, name) })
	return s.bucket(kv, err)
}

func (s streams) CreateOrUpdateKeyValue(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := ask(ctx, s.link, func(ctx context.Context) (jetstream.KeyValue, error) {
		return s.JetStream.CreateOrUpdateKeyValue(ctx, cfg)
	})
	return s.bucket(kv, err)
}

func (s streams) bucket(kv jetstream.KeyValue, err error) (jetstream.KeyValue, error) {
	if err != nil {
		return nil, err
	}
	return bucket{kv, s.link}, nil
}

type bucket struct {
	jetstream.KeyValue
	link *link
}

func (b bucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return ask(ctx, b.link, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return b.KeyValue.Get(ctx, key) })
}

func (b bucket) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return ask(ctx, b.link, func(ctx context.Context) (uint64, error) { return b.KeyValue.Put(ctx, key, value) })
}

func (b bucket) Create(ctx context.Context, key string, value []byte, o ...jetstream.KVCreateOpt) (uint64, error) {
	return ask(ctx, b.link, func(ctx context.Context) (uint64, error) { return b.KeyValue.Create(ctx, key, value, o...) })
}

func (b bucket) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	return ask(ctx, b.link, func(ctx context.Context) (uint64, error) { return b.KeyValue.Update(ctx, key, value, last) })
}

func (b bucket) Delete(ctx context.Context, key string, o ...jetstream.KVDeleteOpt) error {
	_, err := ask(ctx, b.link, func(ctx context.Context) (struct{}, error) { return struct{}{}, b.KeyValue.Delete(ctx, key, o...) })
	return err
}
