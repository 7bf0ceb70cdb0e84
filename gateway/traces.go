package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/telemetry"
	"nullius.dev/proto/subject"
)

// traces keeps the spans of all processes, a file a trace in <data folder>/traces, so that a trace is there without a back end.
type traces struct {
	dir string
	js  jetstream.JetStream
	mu  sync.Mutex
}

var traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// maxTrace bounds one trace's file.
const maxTrace = 64 << 20

func newTraces(ctx context.Context, d Deps, dataDir string) (*traces, error) {
	dir := filepath.Join(dataDir, "traces")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Precondition, "STORAGE_UNUSABLE", "the folder %s cannot be made", dir)
	}
	_, err := telemetry.OpenStream(ctx, d.Bus)
	return &traces{dir: dir, js: d.Bus.JS}, err
}

// run follows the stream of spans until ctx ends.
func (t *traces) run(ctx context.Context) error {
	cons, err := t.js.OrderedConsumer(ctx, subject.StreamSpans, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "spans cannot be read")
	}
	cc, err := cons.Consume(func(m jetstream.Msg) { t.keep(m.Subject()[len("nullius.spans."):], m.Data()) })
	if err != nil {
		return err
	}
	defer cc.Stop()
	<-ctx.Done()
	return nil
}

// keep appends a span to its trace's file. A span that cannot be kept is dropped: traces are for looking, nothing depends on them.
func (t *traces) keep(id string, data []byte) {
	if !traceID.MatchString(id) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	path := filepath.Join(t.dir, id+".jsonl")
	if st, err := os.Stat(path); err == nil && st.Size() > maxTrace {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(append(slices.Clone(data), '\n'))
}

// read gives a trace's spans by start, each once. An unknown trace has none.
func (t *traces) read(id string) ([]telemetry.Span, error) {
	if !traceID.MatchString(id) {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(t.dir, id+".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	seen := map[string]bool{}
	var out []telemetry.Span
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var s telemetry.Span
		if json.Unmarshal(in.Bytes(), &s) == nil && !seen[s.SpanID] { // a line cut by a crash is left out
			seen[s.SpanID] = true
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b telemetry.Span) int { return int(max(-1, min(1, a.Start-b.Start))) })
	return extendRoot(out), in.Err()
}

// extendRoot lets the root, which is written when the machine is accepted, last as long as what it holds.
func extendRoot(spans []telemetry.Span) []telemetry.Span {
	last := int64(0)
	for _, s := range spans {
		last = max(last, s.End)
	}
	for i := range spans {
		if spans[i].ParentID == "" {
			spans[i].End = max(spans[i].End, last)
		}
	}
	return spans
}
