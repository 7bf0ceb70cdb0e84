// Package bus is the suite's way to tell things: NATS JetStream behind a connection that carries traces, names streams' messages and runs handlers.
package bus

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.opentelemetry.io/otel/propagation"

	"nullius.dev/kit/fault"
)

// Conn is a connection to the broker. Its fields are for what this package does not wrap.
type Conn struct {
	NC *nats.Conn
	JS jetstream.JetStream
}

// Options of a connection.
type Options struct {
	Name        string                     // shown by the broker
	InProcess   nats.InProcessConnProvider // embedded broker; nil: by URL
	Credentials string                     // file with a user's JWT and seed, read at each connect; empty: none
	Timeout     time.Duration              // of the first connect; 0: 10 s
	Log         *slog.Logger               // told of lost and regained connections; nil: nobody
}

// Connect connects to a broker and fails within the timeout when there is none; afterwards it reconnects for ever.
func Connect(ctx context.Context, address string, o Options) (*Conn, error) {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	opts := []nats.Option{
		nats.Name(o.Name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.Timeout(o.Timeout),
		nats.ReconnectBufSize(-1), // a publish while the broker is away fails at once instead of lying in a buffer
	}
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	if o.Credentials != "" {
		if err := readable(o.Credentials); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(o.Credentials))
	}
	lost := newLink(ctx)
	opts = append(opts, watch(o.Log, lost)...)
	nc, err := connect(ctx, address, o.Timeout, opts)
	if refused(err) {
		return nil, fault.Wrap(err, fault.Unauthenticated, "BUS_REFUSED", "the NATS server at %s refuses the user, the password, the token or the credentials", redacted(address)).
			WithNext("look at the user and password in the setting nats, or at the file in nats_credentials")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "no NATS server answers at %s", redacted(address)).WithNext("nullius serve nats")
	}
	js, err := jetstream.New(nc)
	if err == nil {
		err = enabled(ctx, js, o.Timeout)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Conn{NC: nc, JS: streams{js, lost}}, nil
}

// readable checks a credentials file, since the client would take a broken one for a server that is away.
func readable(file string) error {
	data, err := os.ReadFile(file)
	if err == nil {
		var seed nkeys.KeyPair
		if seed, err = nkeys.ParseDecoratedUserNKey(data); err == nil {
			seed.Wipe()
		}
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	if err != nil {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the credentials file %s cannot be used: %v", file, err).
			WithNext("write one with nsc generate creds, and name it in nats_credentials")
	}
	return nil
}

// refused tells a server that does not want us from one that is not there.
func refused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// redacted is an address, or several, without passwords.
func redacted(addresses string) string {
	all := strings.Split(addresses, ",")
	for i, a := range all {
		if u, err := url.Parse(strings.TrimSpace(a)); err == nil {
			all[i] = u.Redacted()
		} else {
			all[i] = "(an address that cannot be read)"
		}
	}
	return strings.Join(all, ",")
}

// enabled waits until the broker keeps streams; one that never will is told apart from one that is starting.
func enabled(ctx context.Context, js jetstream.JetStream, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		_, err := js.AccountInfo(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
			return fault.Wrap(err, fault.Precondition, "BUS_UNSUITABLE", "the NATS server keeps no streams: JetStream is off").WithNext("nullius serve nats")
		case ctx.Err() != nil:
			return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the NATS server answers, but its streams do not")
		}
		wait(ctx, 200*time.Millisecond)
	}
}

// watch tells of the connection's fate; without it the client writes to standard error.
func watch(log *slog.Logger, l *link) []nats.Option {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.lose()
			if err != nil { // nil: closed by us
				log.Warn("broker connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("broker connection regained", "url", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("broker connection", "error", err) }),
	}
}

// connect tries until the timeout, since services and broker start in any order.
func connect(ctx context.Context, address string, timeout time.Duration, opts []nats.Option) (*nats.Conn, error) {
	for until := time.Now().Add(timeout); ; {
		nc, err := nats.Connect(address, opts...)
		if err == nil || refused(err) || time.Now().After(until) {
			return nc, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close drains nothing: consumers are stopped by their owners before.
func (c *Conn) Close() { c.NC.Close() }

// carrier writes trace context into headers in lower case, as it is written in W3C's text; NATS headers keep their case.
type carrier nats.Header

func (c carrier) Get(k string) string {
	if v := c[k]; len(v) > 0 {
		return v[0]
	}
	return ""
}
func (c carrier) Set(k, v string) { c[k] = []string{v} }
func (c carrier) Keys() []string {
	out := make([]string, 0, len(c))
	for k := range c {
		out = append(out, k)
	}
	return out
}

// Inject writes ctx's trace into headers.
func Inject(ctx context.Context, h nats.Header) { propagation.TraceContext{}.Inject(ctx, carrier(h)) }

// Extract puts the trace that a message carries into ctx.
func Extract(ctx context.Context, h nats.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier(h))
}

// Headers of every message beside the trace and the message id.
const (
	headerType   = "Nullius-Type"
	headerSchema = "Nullius-Schema"
)

// Publish publishes a message to a stream and waits for the acknowledgement. msgID drops repeats within the stream's window; it derives from
// what the message is about, never from chance. typ and schema version 1 travel as headers.
func (c *Conn) Publish(ctx context.Context, subject, msgID, typ string, data []byte) (*jetstream.PubAck, error) {
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	m.Header.Set(headerType, typ)
	m.Header.Set(headerSchema, "1")
	Inject(ctx, m.Header)
	var opts []jetstream.PublishOpt
	if msgID != "" {
		opts = append(opts, jetstream.WithMsgID(msgID))
	}
	ack, err := c.JS.PublishMsg(ctx, m, opts...)
	if err != nil {
		return nil, Fault(err, "publish to "+subject)
	}
	return ack, nil
}

// JetStream's codes that the client names no constants for.
const (
	errMaximumBytes = 10077 // a stream is at its quota
	errStorage      = 10047 // the server has no room for a new stream's quota on disk
	errMemory       = 10028 // the same in memory
)

// Fault gives a broker's error its meaning: a full stream is STORAGE_FULL, a lost compare-and-set CONFLICT, all else BUS_UNAVAILABLE.
func Fault(err error, doing string) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout):
		return err
	case errors.Is(err, jetstream.ErrKeyExists), errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return fault.Wrap(err, fault.Conflict, "CONFLICT", "%s: somebody else wrote first", doing)
	case errors.As(err, &api) && (api.ErrorCode == errStorage || api.ErrorCode == errMemory):
		return fault.Wrap(err, fault.Exhausted, "STORAGE_FULL", "%s: the broker's quota has no room left for it", doing).WithNext("nullius doctor")
	case errors.As(err, &api) && api.ErrorCode == errMaximumBytes:
		return fault.Wrap(err, fault.Exhausted, "STORAGE_FULL", "%s: the stream's quota is used up", doing).WithNext("nullius doctor")
	}
	return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "%s: the broker does not answer", doing).WithRetry(2 * time.Second)
}

// KV opens a bucket, making it when it is missing.
func (c *Conn) KV(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := c.JS.CreateOrUpdateKeyValue(ctx, cfg)
	return kv, Fault(err, "open bucket "+cfg.Bucket)
}

// Stream opens a stream, making it or bringing its configuration up to date.
func (c *Conn) Stream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := c.JS.CreateOrUpdateStream(ctx, cfg)
	return s, Fault(err, "open stream "+cfg.Name)
}
