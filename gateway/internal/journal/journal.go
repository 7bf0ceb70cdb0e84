// Package journal keeps the journals of studies and ideas in the stream JOURNAL, and folds all of them into a projection that answers every read.
// There is no second store: whoever wants to know a state asks the projection, whoever wants to change one appends.
package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// maxEvents and maxBytes bound one machine's journal (reliability.md section 7).
const (
	maxEvents = 20_000
	maxBytes  = 20 << 20
)

// Key names a machine: an idea, or with Idea "_" a study.
type Key struct{ Study, Idea string }

func (k Key) String() string { return k.Study + "/" + k.Idea }

// IsStudy tells whether the machine is a study.
func (k Key) IsStudy() bool { return k.Idea == subject.StudyItself }

// Machine is one journal and what it folds to. Read it only inside View.
type Machine struct {
	Key     Key
	Events  []*gatewayv1.JournalEvent
	Study   *pipeline.StudyState // set for a study
	Idea    *pipeline.IdeaState  // set for an idea
	Damaged error                // the journal cannot be folded further
	lastSeq uint64
	lastSum string
	bytes   int
}

// Core is the common part of the machine's state.
func (m *Machine) Core() *pipeline.Core {
	if m.Study != nil {
		return &m.Study.Core
	}
	return &m.Idea.Core
}

// Decide gives the machine's next action.
func (m *Machine) Decide() pipeline.Action {
	if m.Study != nil {
		return m.Study.Decide()
	}
	return m.Idea.Decide()
}

// Store appends to journals and keeps the projection.
type Store struct {
	js       jetstream.JetStream
	log      *slog.Logger
	now      func() time.Time
	mu       sync.Mutex
	machines map[Key]*Machine
	order    []Key // by first event
	seq      uint64
	waiters  map[chan struct{}]uint64 // closed when seq reaches the value
	subs     map[chan struct{}]Key    // what to wake for: a machine; without an idea all of a study, without a study all
}

// Open declares the stream and folds what is there; it returns when the projection is as new as the stream was.
func Open(ctx context.Context, b *bus.Conn, log *slog.Logger, maxStream int64) (*Store, error) {
	_, err := b.Stream(ctx, jetstream.StreamConfig{
		Name: subject.StreamJournal, Subjects: []string{subject.JournalAll}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardNew, MaxBytes: maxStream, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &Store{
		js: b.JS, log: log, now: time.Now, machines: map[Key]*Machine{}, waiters: map[chan struct{}]uint64{}, subs: map[chan struct{}]Key{},
	}, nil
}

// Run follows the stream until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	cons, err := s.js.OrderedConsumer(ctx, subject.StreamJournal, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the journal cannot be read")
	}
	cc, err := cons.Consume(func(msg jetstream.Msg) {
		md, err := msg.Metadata()
		if err != nil {
			s.log.ErrorContext(ctx, "journal message without metadata", "error", err)
			return
		}
		s.fold(ctx, msg.Subject(), md.Sequence.Stream, msg.Data())
	})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the journal cannot be read")
	}
	defer cc.Stop()
	<-ctx.Done()
	return nil
}

func (s *Store) fold(ctx context.Context, subj string, seq uint64, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.advance(seq)
	parts := strings.Split(strings.TrimPrefix(subj, "nullius.journal."), ".")
	if len(parts) != 2 {
		s.log.ErrorContext(ctx, "foreign subject in the journal", "subject", subj)
		return
	}
	k := Key{parts[0], parts[1]}
	m := s.machines[k]
	if m == nil {
		m = &Machine{Key: k}
		if k.IsStudy() {
			m.Study = pipeline.NewStudy(k.Study)
		} else {
			m.Idea = pipeline.NewIdea(k.Study, k.Idea)
		}
		s.machines[k] = m
		s.order = append(s.order, k)
	}
	if m.Damaged == nil {
		m.Damaged = m.apply(data)
		if m.Damaged != nil {
			s.log.ErrorContext(ctx, "journal is damaged", "study_id", k.Study, "idea_id", k.Idea, "error", m.Damaged)
		}
	}
	m.lastSeq = seq
	for ch, of := range s.subs {
		if (of.Study == "" || of.Study == k.Study) && (of.Idea == "" || of.Idea == k.Idea) {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

func (m *Machine) apply(data []byte) error {
	e := &gatewayv1.JournalEvent{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, e); err != nil {
		return fmt.Errorf("event %d is not JSON of a journal event: %w", len(m.Events)+1, err)
	}
	if e.GetPrevious() != m.lastSum {
		return fmt.Errorf("event %d does not follow the one before it: its digest differs", e.GetN())
	}
	var err error
	if m.Study != nil {
		err = m.Study.Apply(e)
	} else {
		err = m.Idea.Apply(e)
	}
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	m.Events, m.lastSum, m.bytes = append(m.Events, e), hex.EncodeToString(sum[:]), m.bytes+len(data)
	return nil
}

func (s *Store) advance(seq uint64) {
	s.seq = max(s.seq, seq)
	for ch, want := range s.waiters {
		if want <= s.seq {
			close(ch)
			delete(s.waiters, ch)
		}
	}
}

// wait blocks until the projection has folded the stream's sequence seq.
func (s *Store) wait(ctx context.Context, seq uint64) error {
	s.mu.Lock()
	if s.seq >= seq {
		s.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	s.waiters[ch] = seq
	s.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.waiters, ch)
		s.mu.Unlock()
		return ctx.Err()
	}
}

// Sync waits until the projection is as new as the stream is now.
func (s *Store) Sync(ctx context.Context) error {
	st, err := s.js.Stream(ctx, subject.StreamJournal)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the journal cannot be read")
	}
	return s.wait(ctx, st.CachedInfo().State.LastSeq)
}

// View calls f with a machine under the projection's lock; it reports false for one that is unknown. f must not block or keep the machine.
func (s *Store) View(k Key, f func(*Machine)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[k]
	if m == nil {
		return false
	}
	f(m)
	return true
}

// Each calls f for every machine in order of their first events, as View does.
func (s *Store) Each(f func(*Machine)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.order {
		f(s.machines[k])
	}
}

// Subscribe gives a channel that gets a value after changes of a machine; without an idea of all in a study, without a study of all. Values are merged;
// call stop when done.
func (s *Store) Subscribe(of Key) (ch <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	s.subs[c] = of
	s.mu.Unlock()
	return c, func() {
		s.mu.Lock()
		delete(s.subs, c)
		s.mu.Unlock()
	}
}

// Append appends an event after event number last of the machine, as the projection shows it: a compare-and-set. The event gets its number, chain and
// time here. It returns when the projection shows it. A lost race is fault.Conflict; the caller re-reads.
func (s *Store) Append(ctx context.Context, k Key, last int64, e *gatewayv1.JournalEvent) error {
	var seq uint64
	var n int64
	var full error
	s.View(k, func(m *Machine) {
		n, seq, e.Previous = int64(len(m.Events)), m.lastSeq, m.lastSum
		switch {
		case m.Damaged != nil:
			full = fault.New(fault.Precondition, "QUARANTINE", "the journal of %s is damaged: %v", k, m.Damaged)
		case n >= maxEvents || m.bytes >= maxBytes:
			full = fault.New(fault.Exhausted, "QUOTA_EXCEEDED", "the journal of %s is full (%d events, %d bytes)", k, n, m.bytes)
		}
	})
	if full != nil {
		return full
	}
	if n != last {
		return fault.New(fault.Conflict, "CONFLICT", "the journal of %s is at event %d, not %d", k, n, last)
	}
	e.N, e.Time = n+1, timestamppb.New(s.now())
	data, err := protojson.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode journal event: %w", err)
	}
	msg := &nats.Msg{Subject: subject.Journal(k.Study, k.Idea), Data: data, Header: nats.Header{}}
	ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(seq))
	if err != nil {
		return s.published(ctx, k, data, err)
	}
	return s.wait(ctx, ack.Sequence)
}

// published finds out what became of a publish that returned an error: a timeout is "unknown", so the last message decides.
func (s *Store) published(ctx context.Context, k Key, data []byte, cause error) error {
	var api *jetstream.APIError
	if errors.As(cause, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return fault.New(fault.Conflict, "CONFLICT", "somebody else appended to the journal of %s", k)
	}
	if errors.As(cause, &api) && api.ErrorCode == 10077 { // maximum bytes exceeded
		return fault.Wrap(cause, fault.Exhausted, "STORAGE_FULL", "the journal's quota is used up").WithNext("nullius doctor")
	}
	st, err := s.js.Stream(ctx, subject.StreamJournal)
	if err == nil {
		var last *jetstream.RawStreamMsg
		if last, err = st.GetLastMsgForSubject(ctx, subject.Journal(k.Study, k.Idea)); err == nil && string(last.Data) == string(data) {
			return s.wait(ctx, last.Sequence)
		}
	}
	return fault.Wrap(cause, fault.Unavailable, "BUS_UNAVAILABLE", "the journal cannot be written")
}
