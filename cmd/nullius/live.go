package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"nullius.dev/cmd/nullius/internal/screen"
	"nullius.dev/cmd/nullius/internal/tree"
	"nullius.dev/kit/telemetry"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

const (
	refreshEvery = 5 * time.Second        // without news, so that what stands still says so in time
	refreshPause = 250 * time.Millisecond // between two readings of a study
	lastLines    = 40                     // of a failing output (interface.md section 3)
)

// view shows a study or idea until it ends, waits for a person, or Ctrl-C closes the view. Its error is the exit code of what came of it, as run's.
func (c *cli) view(ctx context.Context, cl *client, r ref, o watchOptions) error {
	view, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	told, err := c.show(view, cl, r, o)
	switch {
	case view.Err() != nil && ctx.Err() == nil:
		fmt.Fprintf(c.err, "view closed; study %s goes on. nullius watch %s\n", r.study, r)
		return exit(exitInterrupted)
	case err != nil:
		return err
	case told == nil && c.output == "table":
		if err := c.sayFailures(ctx, cl, r); err != nil {
			return err
		}
	}
	return c.outcome(ctx, cl, r)
}

// show watches with a live tree where the output is a terminal that can show one, with lines elsewhere. told has the ideas whose end the tree has told; nil: lines.
func (c *cli) show(ctx context.Context, cl *client, r ref, o watchOptions) (told map[string]bool, err error) {
	if c.output != "table" || !screen.Usable(c.out) {
		return nil, c.watch(ctx, cl, r, o)
	}
	l := &live{cl: cl, ref: r, state: tree.New(r.study, r.idea), news: make(chan struct{}, 1), colour: screen.Colour(true)}
	l.screen = screen.Open(c.out.(*os.File), l.colour, l.frame)
	restore := aside(c.err, l.screen)
	o.view = l
	reading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { l.read(reading) })
	err = c.watch(ctx, cl, r, o)
	stop()
	wg.Wait()
	if err == nil {
		l.last(ctx)
	}
	restore()
	if cerr := l.screen.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		c.sayStudyEnd(ctx, l)
	}
	return l.state.WasTold(), err
}

// sayStudyEnd says below the last frame what it does not of a study that failed.
func (c *cli) sayStudyEnd(ctx context.Context, l *live) {
	from, output := l.cl.baselineOutput(ctx, l.ref.study)
	for _, line := range l.paint(l.state.StudyEnd(l.width, from, output)) {
		c.say("%s\n", line)
	}
}

// live is a tree on a screen.
type live struct {
	cl     *client
	ref    ref
	screen *screen.Screen
	colour bool
	news   chan struct{} // a snapshot is to be read

	mu    sync.Mutex
	state *tree.State
	width int
}

func (l *live) message(m *gatewayv1.WatchStudyResponse) {
	if g := m.GetLog(); g != nil {
		l.screen.Above([]string{logText(g)})
		return
	}
	l.mu.Lock()
	news := l.state.Message(m)
	l.mu.Unlock()
	if news {
		l.wake()
	}
}

func (l *live) wake() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *live) lost(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Lost(since)
}

func (l *live) back() {
	l.lost(time.Time{})
	l.wake()
}

// frame is called by the screen for each redraw.
func (l *live) frame(width, height int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.width = width
	return append(l.paint(l.state.Frame(time.Now(), width, height)), "") // the cursor stays below
}

func (l *live) paint(lines []tree.Line) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = line.Paint(l.colour)
	}
	return out
}

// read reads snapshots when there is news, and now and then without.
func (l *live) read(ctx context.Context) {
	slow := time.NewTicker(refreshEvery)
	defer slow.Stop()
	for {
		l.refresh(ctx)
		select {
		case <-time.After(refreshPause):
		case <-ctx.Done():
			return
		}
		select {
		case <-l.news:
		case <-slow.C:
		case <-ctx.Done():
			return
		}
	}
}

// last reads what came at the end, so that what stays on the terminal is how it ended.
func (l *live) last(ctx context.Context) {
	for range 3 {
		l.refresh(ctx)
		l.mu.Lock()
		left := len(l.state.Wanted())
		l.mu.Unlock()
		if left == 0 {
			return
		}
	}
}

// refresh reads the study and the ideas that changed, and tells of those that ended. Without a server it changes nothing: the watch says so.
func (l *live) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := l.cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + l.ref.study})
	if err != nil {
		return
	}
	l.mu.Lock()
	l.state.Study(got.GetStudy())
	wanted := l.state.Wanted()
	l.mu.Unlock()
	for _, id := range wanted {
		i, err := l.cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: ref{l.ref.study, id}.name()})
		if err != nil {
			return
		}
		l.mu.Lock()
		l.state.Idea(i.GetIdea())
		l.mu.Unlock()
	}
	l.mu.Lock()
	over := l.state.Over()
	l.mu.Unlock()
	for _, id := range over {
		l.end(ctx, id)
	}
}

// end tells of an idea's end, above the region.
func (l *live) end(ctx context.Context, id string) {
	l.mu.Lock()
	detail := l.state.Detail(id)
	l.mu.Unlock()
	from, output := l.cl.failedOutput(ctx, ref{l.ref.study, id}, detail)
	l.mu.Lock()
	lines := l.paint(l.state.End(id, l.width, from, output))
	l.state.Told(id)
	l.mu.Unlock()
	l.screen.Above(append(lines, ""))
}

// sayFailures prints of every failed idea that r names, and of a failed study, what the lines of events do not say.
func (c *cli) sayFailures(ctx context.Context, cl *client, r ref) error {
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + r.study})
	if err != nil {
		return err
	}
	for _, i := range got.GetStudy().GetIdeas() {
		if id := i.GetName()[strings.LastIndexByte(i.GetName(), '/')+1:]; i.GetState() == gatewayv1.IdeaState_FAILED && (r.idea == "" || r.idea == id) {
			c.say("\n%s  FAILED  %s: %s\n", id, i.GetReason(), clean(i.GetMessage()))
			c.sayFailure(ctx, cl, ref{r.study, id}, i.GetNext())
		}
	}
	if st := got.GetStudy(); st.GetState() == gatewayv1.IdeaState_FAILED && r.idea == "" {
		c.say("\n%s  FAILED  %s: %s\n", r.study, st.GetReason(), clean(st.GetMessage()))
		c.sayStudyFailure(ctx, cl, st)
	}
	return nil
}

// sayFailure prints the last output, the next command and the trace of a failed idea.
func (c *cli) sayFailure(ctx context.Context, cl *client, r ref, next string) {
	got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
	if err != nil {
		c.say("    next: %s\n", next)
		return
	}
	from, output := cl.failedOutput(ctx, r, got.GetIdea())
	c.sayLines(tree.Failure(1<<16, from, output, next, got.GetIdea().GetTraceId()))
}

func (c *cli) sayStudyFailure(ctx context.Context, cl *client, st *gatewayv1.Study) {
	from, output := cl.baselineOutput(ctx, strings.TrimPrefix(st.GetName(), "studies/"))
	c.sayLines(tree.Failure(1<<16, from, output, st.GetNext(), st.GetTraceId()))
}

func (c *cli) sayLines(lines []tree.Line) {
	colour := screen.Colour(telemetry.IsTerminal(c.out))
	for _, l := range lines {
		c.say("%s\n", l.Paint(colour))
	}
}

// failedOutput gives the last lines of what made an idea fail, and the step that wrote them; none when it did not fail or no program's output was the cause.
func (cl *client) failedOutput(ctx context.Context, r ref, i *gatewayv1.Idea) (from string, lines []string) {
	if i.GetSummary().GetState() != gatewayv1.IdeaState_FAILED {
		return "", nil
	}
	steps := i.GetSteps()
	for k := len(steps) - 1; k >= 0; k-- {
		if s := steps[k]; s.GetBad() && s.GetStage() == i.GetSummary().GetStage() {
			return cl.tail(ctx, r, s.GetStep(), s.GetStderrDigest(), s.GetStdoutDigest())
		}
	}
	return "", nil
}

// baselineOutput gives the last lines of a study's failed baseline; none when it did not fail.
func (cl *client) baselineOutput(ctx context.Context, study string) (from string, lines []string) {
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + study})
	if err != nil || got.GetStudy().GetReason() != "BASELINE_FAILED" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := cl.WatchStudy(ctx, &gatewayv1.WatchStudyRequest{Name: "studies/" + study, Journal: true}) // ends by itself: the study has ended
	if err != nil {
		return "", nil
	}
	var stderr, stdout string
	for {
		m, err := s.Recv()
		if err != nil {
			break
		}
		if e := m.GetEvent().GetJournal().GetStepEnded(); e.GetJob() != nil {
			from, stderr, stdout = e.GetStep(), e.GetJob().GetStderr().GetDigest(), e.GetJob().GetStdout().GetDigest()
		}
	}
	return cl.tail(ctx, ref{study, "_"}, from, stderr, stdout)
}

// tail reads the last lines of the first output that holds any.
func (cl *client) tail(ctx context.Context, r ref, step string, digests ...string) (from string, lines []string) {
	for _, d := range digests {
		var b bytes.Buffer
		if d == "" || cl.read(ctx, r.name()+"/blobs/"+d, &b) != nil {
			continue
		}
		if text := strings.TrimSpace(b.String()); text != "" {
			all := strings.Split(strings.TrimRight(b.String(), "\n "), "\n")
			return step, all[max(0, len(all)-lastLines):]
		}
	}
	return "", nil
}

// shared is a writer that can be led elsewhere for a while: what the services of this process log goes above the tree while there is one.
type shared struct {
	mu       sync.Mutex
	own, now io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Write(p)
}

// Terminal tells whether what is written ends up on a terminal.
func (s *shared) Terminal() bool { return telemetry.IsTerminal(s.own) }

func (s *shared) lead(to io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = to
}

// aside leads a shared writer that is on a terminal to another one, until restore is called.
func aside(w io.Writer, to io.Writer) (restore func()) {
	s, ok := w.(*shared)
	if !ok || !s.Terminal() {
		return func() {}
	}
	s.lead(to)
	return func() { s.lead(s.own) }
}
