package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/kit/fault"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/natsd"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// line is the gateway's line to its broker. It counts what the gateway writes there (journal, public events, queue, acks, budgets) and is cut for good at
// one of these writes: to the broker, that is a gateway that was killed there.
type line struct {
	addr  string
	at    int  // the write at which the line is cut; 0: never
	after bool // the broker still gets that write, its answer is lost

	mu     sync.Mutex
	writes []string // subjects
	dead   bool
	cut    chan struct{}
}

// InProcessConn dials the broker, as bus.Options.InProcess.
func (l *line) InProcessConn() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return nil, errors.New("the line is cut")
	}
	c, err := net.Dial("tcp", l.addr)
	return &wire{Conn: c, line: l}, err
}

// wire is one connection; it follows the client's protocol: PUB SUBJECT [REPLY] SIZE and HPUB SUBJECT [REPLY] HEADERS SIZE, each with a payload.
type wire struct {
	net.Conn
	line *line
	rest []byte
}

func (w *wire) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		n, subject, whole := frame(w.rest)
		if !whole {
			return len(p), nil
		}
		send, cut := w.line.passes(subject)
		if send {
			if _, err := w.Conn.Write(w.rest[:n]); err != nil {
				return 0, err
			}
		}
		if cut {
			return 0, errors.Join(errors.New("the line was cut"), w.Conn.Close())
		}
		w.rest = w.rest[n:]
	}
}

// frame measures the first whole frame of b, and names the subject of a publish that changes something.
func frame(b []byte) (n int, subject string, whole bool) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0, "", false
	}
	n = end + 2
	f := strings.Fields(string(b[:end]))
	if len(f) > 2 && (f[0] == "PUB" || f[0] == "HPUB") {
		size, err := strconv.Atoi(f[len(f)-1])
		if err != nil {
			panic(fmt.Sprintf("not a publish: %q", b[:end]))
		}
		n += size + 2
		if s := f[1]; strings.HasPrefix(s, "nullius.") || strings.HasPrefix(s, "$KV.") || strings.HasPrefix(s, "$JS.ACK.") {
			subject = s
		}
	}
	return n, subject, n <= len(b)
}

func (l *line) passes(subject string) (send, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false, true
	}
	if subject == "" {
		return true, false
	}
	l.writes = append(l.writes, subject)
	if len(l.writes) != l.at {
		return true, false
	}
	l.dead = true
	close(l.cut)
	return l.after, true
}

// arm cuts the line at a write from now on; the writes before do not count.
func (l *line) arm(at int, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.after, l.writes = at, after, nil
}

func (l *line) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes
}

// brokenWorld is a world whose gateway's first line to the broker can be cut.
func brokenWorld(t *testing.T) (w *world, first *line, revive func()) {
	t.Helper()
	s, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	dial := func() (*bus.Conn, *line) {
		l := &line{addr: strings.TrimPrefix(s.URL(), "nats://"), cut: make(chan struct{})}
		b, err := bus.Connect(t.Context(), s.URL(), bus.Options{InProcess: l})
		if err != nil {
			t.Fatal(err)
		}
		return b, l
	}
	b, first := dial()
	t.Cleanup(func() { // after the world's own, which stops the gateway
		w.bus.Close()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	w = newWorldOn(t, b)
	if _, err := w.upload("toy", toy()); err != nil {
		t.Fatal(err)
	}
	return w, first, func() {
		b.Close() // else the dead waits for answers
		_ = w.host.Stop()
		w.bus, _ = dial()
		w.start()
	}
}

// killed runs a study whose gateway is killed at a write, and a new gateway to its end; 0: an undisturbed one. A person starts the study, opens its gate,
// and asks again for what was not confirmed. It gives what the study came to and what the first gateway wrote.
func killed(t *testing.T, at int, after bool) (outcome string, writes []string) {
	t.Helper()
	w, first, revive := brokenWorld(t)
	w.w.fail = func(job string) bool { return strings.HasSuffix(job, "run-1/execute-1") }
	first.arm(at, after)
	alive := true
	var state gatewayv1.IdeaState_Value
	kittest.Eventually(t, 60*time.Second, func() (err error) {
		select {
		case <-first.cut:
			if alive {
				revive()
			}
			alive = false
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if state, err = w.attend(ctx); err != nil || state != gatewayv1.IdeaState_SUCCEEDED {
			return fmt.Errorf("the study is %v: %w", state, err)
		}
		return nil
	})
	if at > 0 && alive {
		t.Fatalf("the gateway never came to write %d: %v", at, first.seen())
	}
	for step, n := range w.w.counts() {
		if n > 2 || n > 1 && at == 0 {
			t.Errorf("%s was asked for %d times", step, n)
		}
	}
	if last := w.public("studies/s"); last != "_ ended" {
		t.Errorf("the last public event is %s", last)
	}
	return w.outcome("studies/s"), first.seen()
}

// attend does what the study needs of a person, and gives its state.
func (w *world) attend(ctx context.Context) (gatewayv1.IdeaState_Value, error) {
	r, err := w.api.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/s"})
	if errors.Is(err, fault.NotFound) {
		_, err = w.api.StartStudy(ctx, &gatewayv1.StartStudyRequest{Template: "templates/toy", StudyId: "s", RequestId: "start",
			Settings: &gatewayv1.StudySettings{Model: "scripted", Ideas: 1, Improvement: true, Gates: []string{"writing"}}})
		return 0, err
	}
	for _, i := range r.GetStudy().GetIdeas() {
		if i.GetWaitReason() == gatewayv1.WaitReason_APPROVAL {
			_, err = w.api.ApproveIdea(ctx, &gatewayv1.ApproveIdeaRequest{Name: i.GetName(), RequestId: "approve"})
		}
	}
	return r.GetStudy().GetState(), err
}

func (w *workers) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := map[string]int{}
	for _, s := range w.seen {
		n[s]++
	}
	return n
}

// outcome is what a study came to, without what differs between two runs of it: times, attempts, who did it.
func (w *world) outcome(study string) string {
	w.t.Helper()
	var b strings.Builder
	st, err := w.api.GetStudy(w.t.Context(), &gatewayv1.GetStudyRequest{Name: study})
	if err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintln(&b, st.GetStudy().GetState(), st.GetStudy().GetReason(), st.GetStudy().GetMessage(), st.GetStudy().GetIdeasFailed())
	r, err := w.api.GetIdea(w.t.Context(), &gatewayv1.GetIdeaRequest{Name: study + "/ideas/idea-1"})
	if err != nil {
		w.t.Fatal(err)
	}
	i := r.GetIdea()
	for _, s := range i.GetSteps() {
		fmt.Fprintln(&b, s.GetStep(), s.GetState(), s.GetOutcome(), s.GetText(), s.GetSnapshotIn(), s.GetSnapshotOut())
	}
	for _, run := range i.GetRuns() {
		fmt.Fprintln(&b, "run", run.GetNumber(), run.GetOutcome(), run.GetReason(), run.GetTries(), run.GetMeasurements())
	}
	fmt.Fprintln(&b, i.GetSummary().GetState(), i.GetSummary().GetMessage(), i.GetSnapshot(), i.GetFigures(), i.GetPaper(), i.GetImprovedPaper(), i.GetReview(), i.GetSecondReview(), i.GetWarnings())
	return b.String()
}

// public gives the public events of a study without a gap or a repeat.
func (w *world) public(study string) (last string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	s, err := w.api.WatchStudy(ctx, &gatewayv1.WatchStudyRequest{Name: study})
	if err != nil {
		w.t.Fatal(err)
	}
	n := map[string]int64{}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		if err != nil {
			w.t.Errorf("the watch did not end with the study, but with %v, after %s", err, last)
			return last
		}
		if e := m.GetEvent(); e.GetN() > 0 {
			if n[e.GetIdea()] != e.GetN()-1 {
				w.t.Errorf("public event %d of %s comes after %d", e.GetN(), e.GetIdea(), n[e.GetIdea()])
			}
			n[e.GetIdea()] = e.GetN()
			last = e.GetIdea() + " " + e.GetKind()
		}
	}
}

// TestAGatewayKilledAtAnyWriteEndsWithTheSameResult kills it before and after each of its writes to the broker; the short form takes a dozen of them.
func TestAGatewayKilledAtAnyWriteEndsWithTheSameResult(t *testing.T) {
	want, writes := killed(t, 0, false)
	step := max(1, len(writes)/12)
	if os.Getenv("NULLIUS_SOAK") != "" {
		step = 1
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	kill := func(at int, after bool) {
		t.Run(fmt.Sprintf("write %d, after %t", at, after), func(t *testing.T) {
			t.Parallel()
			got, seen := killed(t, at, after)
			if got != want {
				t.Errorf("killed at %s:\n%s\nundisturbed:\n%s", seen[len(seen)-1], got, want)
			}
		})
	}
	for from := 1; from <= len(writes)-step; from += step { // the very last ones need not come in each run
		after := rng.IntN(2) == 0
		kill(from+rng.IntN(step), after)
		if step == 1 {
			kill(from, !after)
		}
	}
}
