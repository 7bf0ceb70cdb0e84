package gateway

import (
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/proto/subject"
)

// live tells what running steps say: progress and log lines. It goes over plain NATS subjects, since nobody needs it later; the latest word of each
// machine is kept for pages and for the CLI's tree.
type live struct {
	nc     *nats.Conn
	mu     sync.Mutex
	latest map[journal.Key]*gatewayv1.LiveProgress
}

func newLive(nc *nats.Conn) *live {
	return &live{nc: nc, latest: map[journal.Key]*gatewayv1.LiveProgress{}}
}

func (l *live) teller(k journal.Key, step string) func(*recordv1.Progress) {
	return func(p *recordv1.Progress) { l.tell(k, step, p) }
}

func (l *live) tell(k journal.Key, step string, p *recordv1.Progress) {
	lp := &gatewayv1.LiveProgress{Idea: k.Idea, Step: step, Progress: p}
	l.mu.Lock()
	l.latest[k] = lp
	l.mu.Unlock()
	l.send(k, &gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Progress{Progress: lp}})
}

// word is the latest progress of a machine's step; nil: none was told.
func (l *live) word(k journal.Key, step string) *recordv1.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.latest[k]; p.GetStep() == step {
		return proto.Clone(p.GetProgress()).(*recordv1.Progress)
	}
	return nil
}

func (l *live) log(k journal.Key, step string, c *executorv1.LogChunk) {
	stream := "stdout"
	if c.GetStream() == executorv1.LogChunk_STDERR {
		stream = "stderr"
	}
	for line := range strings.Lines(strings.ToValidUTF8(string(c.GetData()), "\uFFFD")) {
		l.send(k, &gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Log{Log: &gatewayv1.LogLine{
			Idea: k.Idea, Step: step, Stream: stream, Text: strings.TrimRight(line, "\r\n")}}})
	}
}

func (l *live) send(k journal.Key, m *gatewayv1.WatchStudyResponse) {
	if b, err := protojson.Marshal(m); err == nil {
		_ = l.nc.Publish(subject.Progress(k.Study, k.Idea), b) // live words may be lost
	}
}
