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

// Bounds of what is kept of running steps' output: the whole lies with the executor, and with the step when it has ended.
const (
	maxTail  = 16 << 10 // bytes, of a machine
	maxTails = 256      // machines
)

// live tells what running steps say: progress and log lines. It goes over plain NATS subjects, since nobody needs it later; the latest word of each
// machine is kept for pages and for the CLI's tree, and the end of what its step has printed for pages.
type live struct {
	nc     *nats.Conn
	mu     sync.Mutex
	latest map[journal.Key]*gatewayv1.LiveProgress
	tails  map[journal.Key]*tail
}

// tail is the end of a running step's output.
type tail struct {
	step    string
	attempt int32 // of the job: another begins anew
	text    string
}

func newLive(nc *nats.Conn) *live {
	return &live{nc: nc, latest: map[journal.Key]*gatewayv1.LiveProgress{}, tails: map[journal.Key]*tail{}}
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
	l.keep(k, step, c)
	for line := range strings.Lines(strings.ToValidUTF8(string(c.GetData()), "\uFFFD")) {
		l.send(k, &gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Log{Log: &gatewayv1.LogLine{
			Idea: k.Idea, Step: step, Stream: stream, Text: strings.TrimRight(line, "\r\n")}}})
	}
}

// keep adds a chunk to the end of the step's output.
func (l *live) keep(k journal.Key, step string, c *executorv1.LogChunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tails[k]
	if t == nil && len(l.tails) >= maxTails {
		for other := range l.tails {
			delete(l.tails, other) // any: a tail is a convenience
			break
		}
	}
	if t == nil || t.step != step || t.attempt != c.GetAttempt() {
		t = &tail{step: step, attempt: c.GetAttempt()}
		l.tails[k] = t
	}
	t.text += string(c.GetData())
	if over := len(t.text) - maxTail; over > 0 {
		t.text = t.text[over:]
		if _, rest, ok := strings.Cut(t.text, "\n"); ok {
			t.text = rest // from the beginning of a line
		}
	}
}

// tail is the end of what a machine's running step has printed.
func (l *live) tail(k journal.Key, step string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tails[k]; t != nil && t.step == step {
		return strings.ToValidUTF8(t.text, "\uFFFD")
	}
	return ""
}

func (l *live) send(k journal.Key, m *gatewayv1.WatchStudyResponse) {
	if b, err := protojson.Marshal(m); err == nil {
		_ = l.nc.Publish(subject.Progress(k.Study, k.Idea), b) // live words may be lost
	}
}
