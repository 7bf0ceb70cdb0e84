package executor

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

const (
	logHead    = 1 << 20
	logTail    = 4 << 20
	logChunk   = 16 << 10 // at most in one message, so no line is longer
	logEvery   = 100 * time.Millisecond
	logPerTick = 256 << 10 // what watchers get at most in one interval
)

func logSubject(id string) string { return subject.JobLog(logKey(id)) }

func logKey(id string) string { return strings.ReplaceAll(id, "/", ".") }

// logStream takes one output stream of a program: the first and last bytes are
// kept, and what watchers can follow is published.
type logStream struct {
	publish func([]byte)
	attempt int32
	which   executorv1.LogChunk_Stream

	mu      sync.Mutex
	head    []byte
	tail    []byte // ring once it is full
	next    int    // where the ring goes on
	total   uint64
	pending []byte // published at the next tick
	offset  uint64 // of pending
	waited  bool   // a line without its end has waited for one tick
	budget  int
}

func newLogStream(publish func([]byte), attempt int32, which executorv1.LogChunk_Stream) *logStream {
	return &logStream{publish: publish, attempt: attempt, which: which, budget: logPerTick}
}

// Write never fails: the program must not feel that its reader is slow.
func (l *logStream) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(p)
	l.queue(p)
	l.total += uint64(len(p))
	return len(p), nil
}

func (l *logStream) keep(p []byte) {
	if room := logHead - len(l.head); room > 0 {
		n := min(room, len(p))
		l.head = append(l.head, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		if len(l.tail) < logTail {
			n := min(logTail-len(l.tail), len(p))
			l.tail = append(l.tail, p[:n]...)
			p = p[n:]
			continue
		}
		n := copy(l.tail[l.next:], p)
		l.next = (l.next + n) % logTail
		p = p[n:]
	}
}

// queue drops what is over the interval's budget; watchers see a gap.
func (l *logStream) queue(p []byte) {
	n := min(l.budget, len(p))
	if n == 0 {
		return
	}
	if len(l.pending) > 0 && l.offset+uint64(len(l.pending)) != l.total {
		l.flush(len(l.pending))
	}
	if len(l.pending) == 0 {
		l.offset = l.total
	}
	l.pending = append(l.pending, p[:n]...)
	l.budget -= n
	for len(l.pending) > logChunk {
		l.flush(cut(l.pending))
	}
}

// cut is where a message ends that begins with p: after a whole line, if there is one, since watchers see each message's lines by themselves.
func cut(p []byte) int {
	if n := bytes.LastIndexByte(p[:min(logChunk, len(p))], '\n') + 1; n > 0 {
		return n
	}
	return min(logChunk, len(p))
}

// flush publishes the first bytes of what is pending.
func (l *logStream) flush(size int) {
	for size > 0 {
		n := cut(l.pending[:size])
		c := &executorv1.LogChunk{Attempt: l.attempt, Stream: l.which, Offset: l.offset, Data: l.pending[:n]}
		if b, err := proto.Marshal(c); err == nil {
			l.publish(b)
		}
		l.offset += uint64(n)
		l.pending = l.pending[n:]
		size -= n
	}
	if len(l.pending) == 0 {
		l.pending = nil
	}
}

// tick publishes the whole lines that are pending. One that has not ended may wait for its end, but not twice.
func (l *logStream) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := bytes.LastIndexByte(l.pending, '\n') + 1
	if n == 0 && l.waited {
		n = len(l.pending)
	}
	l.waited = n < len(l.pending)
	l.flush(n)
	l.budget = logPerTick
}

// last returns the end of what was written.
func (l *logStream) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := append([]byte{}, l.kept()...)
	return string(b[max(0, len(b)-n):])
}

func (l *logStream) kept() []byte {
	out := append(append([]byte{}, l.head...), l.tail[l.next:]...)
	return append(out, l.tail[:l.next]...)
}

// store keeps the log as a blob.
func (l *logStream) store(ctx context.Context, b store.Blobs) (*executorv1.LogDigest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush(len(l.pending))
	d := &executorv1.LogDigest{TotalBytes: l.total}
	if l.total == 0 {
		return d, nil
	}
	kept := l.kept()
	digest, err := store.PutBytes(ctx, b, kept)
	if err != nil {
		return nil, err
	}
	d.Digest, d.DroppedBytes = string(digest), l.total-uint64(len(kept))
	return d, nil
}
