package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// Bounds of what an idea's page carries; the whole is a link away.
const (
	maxLogs     = 12
	logTail     = 8 << 10
	maxPageRows = 60
)

type eventRow struct {
	N                           int64
	Time, Kind, Step, Text, Who string
}

// eventRows are a machine's events, newest first, and how many there are.
func (s *Service) eventRows(k journal.Key) (rows []eventRow, total int) {
	s.journal.View(k, func(m *journal.Machine) {
		total = len(m.Events)
		for i := total - 1; i >= 0 && len(rows) < maxPageRows; i-- {
			e := publicEvent(k, m.Events[i])
			text := e.GetText()
			for _, more := range []string{e.GetReason(), e.GetOutcome()} {
				if more != "" && more != "UNSPECIFIED" {
					text = strings.TrimSpace(more + " " + text)
				}
			}
			rows = append(rows, eventRow{e.GetN(), seconds(e.GetTime()), e.GetKind(), or(e.GetStep(), e.GetStage()), text, e.GetActor()})
		}
	})
	return rows, total
}

// liveLog is what the running step has printed so far.
type liveLog struct{ Step, Href, Body, Command string }

// runningLog shows the open step's output, when it runs a program; nil: it does not.
func (s *Service) runningLog(k journal.Key, base string) *liveLog {
	open := ""
	s.journal.View(k, func(m *journal.Machine) {
		if m.Core().Ended == nil {
			open = m.Core().Open
		}
	})
	if open == "" {
		return nil
	}
	body := s.live.tail(k, open)
	if body == "" && !strings.HasPrefix(s.live.word(k, open).GetPhase(), phaseRunning) {
		return nil
	}
	return &liveLog{open, base + "/log", body, "nullius logs " + k.String() + " -f"}
}

// log serves what the running step has printed, as text: a page asks again when lines come.
func (p *pageSet) log(w http.ResponseWriter, r *http.Request) {
	k, err := parseIdea(ideaOf(r))
	if err == nil && !p.s.journal.View(k, func(*journal.Machine) {}) {
		err = unknownMachine(k)
	}
	if err != nil {
		failJSON(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if l := p.s.runningLog(k, ""); l != nil {
		w.Header().Set("X-Step", l.Step)
		_, _ = io.WriteString(w, l.Body)
	}
}

type logRow struct {
	Step, Outcome, Stream, Href, Size, Body string
	Cut, Bad                                bool
}

// logRows are the ends of what the latest executions wrote, newest first.
func (p *pageSet) logRows(ctx context.Context, base string, steps []*gatewayv1.StepView) (rows []logRow, total int) {
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		for _, b := range []struct{ name, digest string }{{"standard error", s.GetStderrDigest()}, {"standard output", s.GetStdoutDigest()}} {
			if b.digest == "" {
				continue
			}
			if total++; len(rows) == maxLogs {
				continue
			}
			n, err := p.s.d.Blobs.Stat(ctx, store.Digest(b.digest))
			if err != nil || n == 0 {
				total--
				continue
			}
			body, err := p.part(ctx, store.Digest(b.digest), max(0, n-logTail), logTail)
			if err != nil {
				p.s.log.WarnContext(ctx, "read a log", "step", s.GetStep(), "error", err)
				continue
			}
			rows = append(rows, logRow{s.GetStep(), stepState(s).Text, b.name, "/v1" + base + "/blobs/" + b.digest, size(n), body, n > logTail, s.GetBad()})
		}
	}
	return rows, total
}

// part reads some bytes of a blob as text.
func (p *pageSet) part(ctx context.Context, d store.Digest, from, most int64) (string, error) {
	rc, err := p.s.d.Blobs.Get(ctx, d)
	if err != nil {
		return "", err
	}
	defer rc.Close() //nolint:errcheck // only read
	if _, err := io.CopyN(io.Discard, rc, from); err != nil {
		return "", fmt.Errorf("skip to byte %d: %w", from, err)
	}
	b, err := io.ReadAll(io.LimitReader(rc, most))
	return strings.ToValidUTF8(string(b), "\uFFFD"), err
}
