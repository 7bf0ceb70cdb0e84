package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

const (
	watchLimit     = 30 * time.Minute
	heartbeatEvery = 15 * time.Second
)

func tokenOf(seq uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("e" + strconv.FormatUint(seq, 10)))
}

func seqOf(token string) (uint64, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	n, ok := strings.CutPrefix(string(b), "e")
	seq, perr := strconv.ParseUint(n, 10, 64)
	if err != nil || !ok || perr != nil {
		return 0, fault.New(fault.Invalid, "FIELD_INVALID", "the resume token is not one of ours").WithField("resume_token", "unknown form")
	}
	return seq, nil
}

// everyStudy is the name under which all studies are watched together; ListIdeas knows it too.
const everyStudy = "studies/-"

// Watch sends what happens in a study or idea until it ends, ctx ends or 30 minutes are over. The name "studies/-" stands for all studies.
func (s *Service) Watch(ctx context.Context, req *gatewayv1.WatchStudyRequest, send func(*gatewayv1.WatchStudyResponse) error) error {
	return s.watch(ctx, req, func() {}, send)
}

// watch is Watch that calls opened when the request is legal and events will come.
func (s *Service) watch(ctx context.Context, req *gatewayv1.WatchStudyRequest, opened func(), send func(*gatewayv1.WatchStudyResponse) error) error {
	k, err := parseStudy(req.GetName())
	only := ""
	if req.GetName() == everyStudy {
		k = journal.Key{Study: "*", Idea: subject.StudyItself}
	} else if err != nil {
		if k, err = parseIdea(req.GetName()); err != nil {
			return nameInvalid("name", req.GetName(), "studies/{study} or studies/{study}/ideas/{idea}")
		}
		only = k.Idea
		if _, err := s.GetIdea(ctx, k); err != nil {
			return err
		}
	} else if !s.journal.View(k, func(*journal.Machine) {}) {
		return unknownMachine(k)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, watchLimit, errWatchOver)
	defer cancel()
	events, stop, err := s.follow(ctx, k.Study, only, req)
	if err != nil {
		return err
	}
	defer stop()
	live := make(chan *nats.Msg, 1024)
	if sub, err := s.d.Bus.NC.ChanSubscribe(subject.Progress(k.Study, or(only, "*")), live); err == nil {
		defer func() { _ = sub.Unsubscribe() }()
	}
	opened()
	return s.stream(ctx, k, req, events, live, send)
}

var errWatchOver = fmt.Errorf("the stream has lasted %v", watchLimit)

// follow opens a consumer on the public events behind a resume token.
func (s *Service) follow(ctx context.Context, study, only string, req *gatewayv1.WatchStudyRequest) (<-chan jetstream.Msg, func(), error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject.EventsOf(study, only)}, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case req.GetResumeToken() != "":
		seq, err := seqOf(req.GetResumeToken())
		if err != nil {
			return nil, nil, err
		}
		st, err := s.d.Bus.JS.Stream(ctx, subject.StreamEvents)
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "events cannot be read")
		}
		if first := st.CachedInfo().State.FirstSeq; seq+1 < first {
			return nil, nil, fault.New(fault.Expired, "RESUME_TOKEN_EXPIRED", "events after this token are no longer kept: begin again with GetStudy and a watch without a token")
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, seq+1
	case req.GetFromNow():
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	cons, err := s.d.Bus.JS.OrderedConsumer(ctx, subject.StreamEvents, cfg)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "events cannot be read")
	}
	ch := make(chan jetstream.Msg, 256)
	cc, err := cons.Consume(func(m jetstream.Msg) {
		select {
		case ch <- m:
		case <-ctx.Done():
		}
	})
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "events cannot be read")
	}
	return ch, cc.Stop, nil
}

func (s *Service) stream(ctx context.Context, k journal.Key, req *gatewayv1.WatchStudyRequest, events <-chan jetstream.Msg, live <-chan *nats.Msg,
	send func(*gatewayv1.WatchStudyResponse) error) error {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	last := req.GetResumeToken()
	check := time.NewTicker(time.Second) // an ended machine has no further event to wake us
	defer check.Stop()
	for {
		select {
		case m := <-events:
			out, seq, err := s.eventMessage(m, req.GetJournal())
			if err != nil {
				return err
			}
			last = tokenOf(seq)
			out.ResumeToken = last
			if err := send(out); err != nil {
				return err
			}
			if e := out.GetEvent(); e.GetKind() == "ended" && e.GetIdea() == k.Idea && s.ended(k, e.GetN()) {
				return nil
			}
		case m := <-live:
			if out := liveMessage(m, req.GetLogs()); out != nil {
				if err := send(out); err != nil {
					return err
				}
			}
		case <-check.C:
			if len(events) == 0 && s.ended(k, 0) && s.drained(ctx, k, last) {
				return nil
			}
		case <-beat.C:
			if err := send(&gatewayv1.WatchStudyResponse{ResumeToken: last, Update: &gatewayv1.WatchStudyResponse_Heartbeat{
				Heartbeat: &gatewayv1.Heartbeat{Time: timestamppb.New(time.Now())}}}); err != nil {
				return err
			}
		case <-ctx.Done():
			if context.Cause(ctx) == errWatchOver {
				return nil
			}
			return ctx.Err()
		}
	}
}

// drained tells whether the reader has seen the machine's last event.
func (s *Service) drained(ctx context.Context, k journal.Key, token string) bool {
	st, err := s.d.Bus.JS.Stream(ctx, subject.StreamEvents)
	if err != nil {
		return false
	}
	only := k.Idea
	if k.IsStudy() {
		only = ""
	}
	msg, err := st.GetLastMsgForSubject(ctx, subject.EventsOf(k.Study, only))
	if err != nil {
		return true
	}
	seq, err := seqOf(token)
	return err == nil && seq >= msg.Sequence
}

// ended tells whether the machine has ended, with event n as its last when n is not 0.
func (s *Service) ended(k journal.Key, n int64) bool {
	over := false
	s.journal.View(k, func(m *journal.Machine) { over = m.Core().Ended != nil && (n == 0 || m.Core().N == n) })
	return over
}

func (s *Service) eventMessage(m jetstream.Msg, withJournal bool) (*gatewayv1.WatchStudyResponse, uint64, error) {
	md, err := m.Metadata()
	if err != nil {
		return nil, 0, err
	}
	e := &gatewayv1.StudyEvent{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(m.Data(), e); err != nil {
		return nil, 0, fmt.Errorf("event %d: %w", md.Sequence.Stream, err)
	}
	if e.GetKind() == subject.KindJob {
		e.Stage = pipeline.StageOf(e.GetStep()) // the executor knows nothing of stages
	}
	if withJournal {
		s.journal.View(journal.Key{Study: e.GetStudy(), Idea: e.GetIdea()}, func(mach *journal.Machine) {
			if n := int(e.GetN()); n >= 1 && n <= len(mach.Events) {
				e.Journal = proto.CloneOf(mach.Events[n-1])
			}
		})
	}
	return &gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Event{Event: e}}, md.Sequence.Stream, nil
}

func liveMessage(m *nats.Msg, logs bool) *gatewayv1.WatchStudyResponse {
	out := &gatewayv1.WatchStudyResponse{}
	if protojson.Unmarshal(m.Data, out) != nil || (out.GetLog() != nil && !logs) {
		return nil
	}
	return out
}
