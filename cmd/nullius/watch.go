package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

type watchOptions struct {
	quiet   bool // say nothing: only wait for the end
	journal bool
	logs    bool
	fromNow bool
	stage   string
	since   time.Time // only later events
	jobs    bool      // show where jobs ended, which the ends of their steps tell again
	view    viewer    // nil: a line per message
}

// viewer shows what a watch receives.
type viewer interface {
	message(*gatewayv1.WatchStudyResponse)
	lost(since time.Time) // the server is gone; told once
	back()                // it is there again
}

// lineView prints a line per event.
type lineView struct {
	c *cli
	o watchOptions
}

func (v lineView) message(m *gatewayv1.WatchStudyResponse) {
	if !v.o.quiet {
		v.c.tell(m, v.o)
	}
}

func (v lineView) lost(since time.Time) {
	if !v.o.quiet {
		fmt.Fprintf(v.c.err, "the server at %s is gone, trying again since %s\n", v.c.address, since.Format(time.TimeOnly))
	}
}

func (v lineView) back() {
	if !v.o.quiet {
		fmt.Fprintf(v.c.err, "the server at %s is back\n", v.c.address)
	}
}

// idleLimit is how long a stream may be silent, heartbeats of 15 s counted (interface.md section 7).
const idleLimit = 45 * time.Second

// watch follows a study or idea until it ends or waits for a person, over reconnects: nothing is lost, nothing told twice.
func (c *cli) watch(ctx context.Context, cl *client, r ref, o watchOptions) error {
	if o.view == nil {
		o.view = lineView{c, o}
	}
	token, lost := "", false
	for {
		err := c.watchOnce(ctx, cl, r, o, &token)
		if err == nil {
			var done bool
			if done, err = c.settled(ctx, cl, r); done {
				return nil
			}
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case gone(err):
			if !lost {
				o.view.lost(time.Now())
			}
			if lost = !c.again(ctx, cl, r); !lost {
				o.view.back()
				if done, err := c.settled(ctx, cl, r); err == nil && done {
					return c.rest(ctx, cl, r, o, &token)
				}
			}
		case errors.Is(err, errSettled):
			return nil
		default:
			return err
		}
	}
}

// gone tells a server that went away or stops from one that refuses.
func gone(err error) bool {
	return errors.Is(err, fault.Unavailable) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// again waits a second and asks whether the server is back.
func (c *cli) again(ctx context.Context, cl *client, r ref) bool {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return false
	}
	cl.conn.ResetConnectBackoff() // which grows to minutes
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + r.study})
	return err == nil || !gone(err)
}

// rest shows what is left of a watch whose study came to a halt while the server was away: what was missed comes at once.
func (c *cli) rest(ctx context.Context, cl *client, r ref, o watchOptions, token *string) error {
	rctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := c.watchOnce(rctx, cl, r, o, token)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case rctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, errSettled):
		return nil
	}
	return err
}

// errSettled ends a watch: what is watched moves no further by itself.
var errSettled = errors.New("settled")

// settleAfter is how long the stream is silent before a watch ends whose study or idea came to a halt: what happened before may still be on its way, which
// is all of it in a watch from the beginning.
const settleAfter = 300 * time.Millisecond

func (c *cli) watchOnce(ctx context.Context, cl *client, r ref, o watchOptions, token *string) error {
	if o.view == nil {
		o.view = lineView{c, o}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := cl.WatchStudy(ctx, &gatewayv1.WatchStudyRequest{Name: r.name(), ResumeToken: *token, Journal: o.journal, Logs: o.logs, FromNow: o.fromNow && *token == ""})
	if err != nil {
		return err
	}
	idle := time.AfterFunc(idleLimit, func() { cancel(io.ErrUnexpectedEOF) })
	defer idle.Stop()
	halt, halting := time.AfterFunc(idleLimit, func() { cancel(errSettled) }), false
	halt.Stop()
	defer halt.Stop()
	for {
		m, err := s.Recv()
		idle.Reset(idleLimit)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if cause := context.Cause(ctx); cause == io.ErrUnexpectedEOF || cause == errSettled {
				return cause
			}
			return err
		}
		if halting && m.GetHeartbeat() == nil {
			halt.Reset(settleAfter)
		}
		if t := m.GetResumeToken(); t != "" {
			*token = t
		}
		o.view.message(m)
		// A heartbeat asks too: the end may have come before a watch that begins with what comes.
		if k := m.GetEvent().GetKind(); k == "waiting" || k == "idea-ended" || k == "ended" || m.GetHeartbeat() != nil {
			if halting, err = c.settled(ctx, cl, r); err != nil {
				return err
			}
			if halt.Stop(); halting {
				halt.Reset(settleAfter)
			}
		}
	}
}

// settled tells whether a study or idea has ended, or moves no further until a person acts.
func (c *cli) settled(ctx context.Context, cl *client, r ref) (bool, error) {
	if r.idea != "" {
		i, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
		return err == nil && standsStill(i.GetIdea().GetSummary().GetState(), i.GetIdea().GetSummary().GetWaitReason()), err
	}
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
	if err != nil {
		return false, err
	}
	st := got.GetStudy()
	if ended(st.GetState()) || standsStill(st.GetState(), st.GetWaitReason()) {
		return true, nil
	}
	if st.GetStep() != "" || len(st.GetIdeas()) == 0 {
		return false, nil
	}
	waits := false
	for _, i := range st.GetIdeas() {
		if !standsStill(i.GetState(), i.GetWaitReason()) {
			return false, nil
		}
		waits = waits || i.GetState() == gatewayv1.IdeaState_WAITING
	}
	return waits, nil // with none waiting the study's own end is about to come
}

// outcome is the exit code of a study or idea that moves no further by itself; nil: something came of it.
func (c *cli) outcome(ctx context.Context, cl *client, r ref) error {
	if r.idea == "" {
		got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
		if err != nil {
			return err
		}
		return outcomeOfStudy(got.GetStudy())
	}
	got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
	if err != nil {
		return err
	}
	return outcomeOfState(got.GetIdea().GetSummary().GetState())
}

// outcomeOfStudy: a study that went through counts by its ideas (interface.md, exit codes).
func outcomeOfStudy(st *gatewayv1.Study) error {
	if s := st.GetState(); s == gatewayv1.IdeaState_WAITING || s == gatewayv1.IdeaState_FAILED {
		return outcomeOfState(s)
	}
	best := error(exit(exitUnwanted))
	for _, i := range st.GetIdeas() {
		switch i.GetState() {
		case gatewayv1.IdeaState_WAITING:
			return exit(exitWaiting)
		case gatewayv1.IdeaState_SUCCEEDED:
			best = nil
		}
	}
	return best
}

func outcomeOfState(s gatewayv1.IdeaState_Value) error {
	switch s {
	case gatewayv1.IdeaState_SUCCEEDED:
		return nil
	case gatewayv1.IdeaState_WAITING:
		return exit(exitWaiting)
	}
	return exit(exitUnwanted)
}

func ended(s gatewayv1.IdeaState_Value) bool {
	switch s {
	case gatewayv1.IdeaState_SUCCEEDED, gatewayv1.IdeaState_REJECTED, gatewayv1.IdeaState_FAILED, gatewayv1.IdeaState_CANCELLED:
		return true
	}
	return false
}

func standsStill(s gatewayv1.IdeaState_Value, w gatewayv1.WaitReason_Value) bool {
	if s != gatewayv1.IdeaState_WAITING {
		return ended(s)
	}
	return w == gatewayv1.WaitReason_APPROVAL || w == gatewayv1.WaitReason_BUDGET || w == gatewayv1.WaitReason_QUARANTINE
}

// tell prints one message as a line.
func (c *cli) tell(m *gatewayv1.WatchStudyResponse, o watchOptions) {
	if e := m.GetEvent(); e != nil && e.GetTime().AsTime().Before(o.since) {
		return
	}
	if c.output != "table" {
		if b, err := protojson.Marshal(m); err == nil && (m.GetEvent() != nil || m.GetLog() != nil) {
			fmt.Fprintf(c.out, "%s\n", b)
		}
		return
	}
	if l := m.GetLog(); l != nil {
		fmt.Fprintln(c.out, logText(l))
		return
	}
	e := m.GetEvent()
	if e == nil || e.GetKind() == "claimed" || (e.GetKind() == subject.KindJob && !o.jobs) || (o.stage != "" && e.GetStage() != o.stage) {
		return
	}
	what := e.GetKind()
	switch e.GetKind() {
	case "step-started":
		what = "began"
		if e.GetAttempt() > 1 {
			what = fmt.Sprintf("began, attempt %d", e.GetAttempt())
		}
	case "step-ended":
		what = e.GetOutcome()
	case "step-failed":
		what = "FAILED " + e.GetReason()
	case subject.KindJob:
		what = "job " + e.GetOutcome()
		if e.GetAttempt() > 1 {
			what += fmt.Sprintf(", attempt %d", e.GetAttempt())
		}
	case "waiting":
		what = "WAITING " + e.GetReason()
	case "ended":
		what = strings.TrimSpace("ended " + e.GetState().String() + " " + e.GetReason())
	}
	name := e.GetIdea()
	if name == "_" {
		name = e.GetStudy()
	}
	line := fmt.Sprintf("%s  %-16s %-28s %s", e.GetTime().AsTime().Local().Format("15:04:05"), name, e.GetStep(), what)
	if e.GetText() != "" {
		line += "  " + clean(e.GetText())
	}
	fmt.Fprintln(c.out, strings.TrimRight(line, " "))
}

// logText is a line of a running job with where it comes from; steps of the study itself need no idea before them.
func logText(l *gatewayv1.LogLine) string {
	return clean(strings.TrimPrefix(l.GetIdea()+" "+l.GetStep(), "_ ") + " | " + l.GetText())
}

// clean makes text from models and programs safe for a terminal, on one line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < 32 || r == 127 || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
	if r := []rune(s); len(r) > 200 {
		s = string(r[:199]) + "…"
	}
	return s
}
