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
)

type watchOptions struct {
	quiet   bool // say nothing: only wait for the end
	journal bool
	logs    bool
	fromNow bool
	stage   string
}

// watch follows a study or idea until it ends or waits for a person, over reconnects: nothing is lost, nothing told twice.
func (c *cli) watch(ctx context.Context, cl *client, r ref, o watchOptions) error {
	token := ""
	for {
		err := c.watchOnce(ctx, cl, r, o, &token)
		switch {
		case err == nil:
			done, derr := c.settled(ctx, cl, r)
			if derr != nil || done {
				return derr
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fault.Unavailable), errors.Is(err, io.ErrUnexpectedEOF):
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		case errors.Is(err, errSettled):
			return nil
		default:
			return err
		}
	}
}

// errSettled ends a watch: what is watched moves no further by itself.
var errSettled = errors.New("settled")

func (c *cli) watchOnce(ctx context.Context, cl *client, r ref, o watchOptions, token *string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := cl.WatchStudy(ctx, &gatewayv1.WatchStudyRequest{Name: r.name(), ResumeToken: *token, Journal: o.journal, Logs: o.logs, FromNow: o.fromNow && *token == ""})
	if err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if t := m.GetResumeToken(); t != "" {
			*token = t
		}
		if !o.quiet {
			c.tell(m, o)
		}
		if k := m.GetEvent().GetKind(); k == "waiting" || k == "idea-ended" {
			if done, err := c.settled(ctx, cl, r); err != nil || done {
				return errors.Join(err, errSettled)
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
	if c.output != "table" {
		if b, err := protojson.Marshal(m); err == nil && (m.GetEvent() != nil || m.GetLog() != nil) {
			fmt.Fprintf(c.out, "%s\n", b)
		}
		return
	}
	if l := m.GetLog(); l != nil {
		fmt.Fprintf(c.out, "%s %s | %s\n", l.GetIdea(), l.GetStep(), clean(l.GetText()))
		return
	}
	e := m.GetEvent()
	if e == nil || e.GetKind() == "claimed" || (o.stage != "" && e.GetStage() != o.stage) {
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
	case "waiting":
		what = "WAITING " + e.GetReason()
	case "ended":
		what = "ended " + e.GetState().String()
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
