package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/internal/kv"
	"nullius.dev/kit/store"
)

// MaxReply bounds a stored reply.
const MaxReply = 64 << 20

// Config holds the ledger's times; zero fields take the defaults.
type Config struct {
	Beat      time.Duration // between an owner's rewrites: 5 s
	Stale     time.Duration // without a new revision until a takeover: 20 s
	Poll      time.Duration // between looks at someone else's record: 200 ms
	Write     time.Duration // limit of one write: 10 s
	SoleOwner bool          // the holder of the data folder's lock: what is not this process's was left by a dead one
	Process   string        // stands in records before a random name, which all ledgers of a process share
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Beat, 5*time.Second)
	def(&c.Stale, 20*time.Second)
	def(&c.Poll, 200*time.Millisecond)
	def(&c.Write, 10*time.Second)
	return c
}

// Ledger looks answers up before they are asked for, and keeps those that were.
type Ledger struct {
	bucket kv.Bucket
	blobs  store.Blobs
	cfg    Config
	owner  string // of this ledger; begins with the process's name

	mu      sync.Mutex
	flights map[string]*flight
	watched map[string]watch
	wg      sync.WaitGroup
}

// New makes a ledger. A nil bucket keeps the entries in memory, nil blobs their contents.
func New(bucket jetstream.KeyValue, blobs store.Blobs, cfg Config) *Ledger {
	if blobs == nil {
		blobs = newMemoryBlobs()
	}
	cfg.Process += "@" + processName() // a fixed name alone would take a dead process's records for our own
	return &Ledger{
		bucket: kv.Of(bucket), blobs: blobs, cfg: cfg.withDefaults(),
		owner: cfg.Process + "/" + newOwner(), flights: map[string]*flight{}, watched: map[string]watch{},
	}
}

// processName is fixed once: several ledgers of a process must know each other's records as alive.
var processName = sync.OnceValue(newOwner)

func newOwner() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Blobs is where requests and replies lie.
func (l *Ledger) Blobs() store.Blobs { return l.blobs }

// Do returns the recorded answer to a request, or makes the call and records what it gives. An error of the call is
// returned and not recorded.
func (l *Ledger) Do(ctx context.Context, o Origin, kind, digest string, call func(context.Context) ([]byte, error)) ([]byte, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if kind == "" || digest == "" {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "an entry of the ledger needs a kind and a digest")
	}
	work := func(ctx context.Context, c *Claim) error {
		answer, err := call(ctx)
		if err != nil {
			return err
		}
		d, err := store.PutBytes(context.WithoutCancel(ctx), l.blobs, answer) // an answer that came is kept
		if err != nil {
			return err
		}
		return c.Done(ctx, func(r *Record) { r.Reply, r.Finish, r.Tries = d, "stop", 1 })
	}
	e, _, err := l.Run(ctx, Key(o, kind, digest), Record{Model: kind, Digest: digest}, work)
	if err != nil {
		return nil, err
	}
	return l.Reply(ctx, e)
}

// Reply reads the reply of a DONE entry.
func (l *Ledger) Reply(ctx context.Context, e Entry) ([]byte, error) {
	return store.GetBytes(ctx, l.blobs, e.Record.Reply, MaxReply)
}

// Request reads what was asked, as JSON; see llm.StoredRequest for its form.
func (l *Ledger) Request(ctx context.Context, e Entry) ([]byte, error) {
	return store.GetBytes(ctx, l.blobs, e.Record.Request, MaxReply)
}

// Get looks an entry up.
func (l *Ledger) Get(ctx context.Context, key string) (Entry, bool, error) {
	it, err := l.bucket.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, busFault(err)
	}
	e, err := decode(key, it.Value)
	return e, err == nil, err
}

// List returns the entries of an idea, or of a whole study if idea is empty, sorted by key.
func (l *Ledger) List(ctx context.Context, study, idea string) ([]Entry, error) {
	prefix := study + "."
	if idea != "" {
		prefix += idea + "."
	}
	items, err := l.bucket.List(ctx, prefix)
	if err != nil {
		return nil, busFault(err)
	}
	out := make([]Entry, 0, len(items))
	for _, it := range items {
		e, err := decode(it.Key, it.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Wait waits for the calls in flight.
func (l *Ledger) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with the last flight
		l.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func busFault(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the ledger cannot be reached").WithNext("nullius status")
}

// Gone looks an entry up and says whether its owner is dead, as far as this process can tell: it must have seen the same
// revision for the stale time, unless it is the sole owner.
func (l *Ledger) Gone(ctx context.Context, key string) (e Entry, found, gone bool, err error) {
	it, err := l.bucket.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return Entry{}, false, false, nil
	}
	if err != nil {
		return Entry{}, false, false, busFault(err)
	}
	if e, err = decode(key, it.Value); err != nil || e.State == Done {
		return e, err == nil, false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ours := l.flights[key]; ours {
		return e, true, false, nil
	}
	w, ok := l.watched[key]
	if !ok || w.rev != it.Revision {
		w = watch{it.Revision, time.Now()}
		if len(l.watched) > 10_000 {
			clear(l.watched)
		}
		l.watched[key] = w
	}
	return e, true, l.dead(e.Record, w.since), nil
}

type watch struct {
	rev   uint64
	since time.Time
}

// Bucket is how the bucket LEDGER is made. It keeps one revision: blobs hold what was said.
func Bucket() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: "LEDGER", Description: "paid and outside answers", History: 1, MaxValueSize: 16 << 10, Storage: jetstream.FileStorage,
	}
}
