package result

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

const (
	tailLines = 40       // of a failed run's output (interface.md section 3)
	tailBytes = 16 << 10 // at most
)

// log adds log.txt: what happened, a line each, and below a run that failed the end of what it printed.
func (b *builder) log(ctx context.Context) error {
	var buf bytes.Buffer
	for i, e := range b.in.Story {
		if e.GetKind() == "claimed" {
			continue // which process did it is in events.jsonl
		}
		line := fmt.Sprintf("%s  %-32s %s", e.GetTime().AsTime().UTC().Format(time.DateTime), e.GetStep(), whatHappened(e))
		if e.GetText() != "" {
			line += "  " + plain(oneLine(e.GetText()))
		}
		buf.WriteString(strings.TrimRight(line, " ") + "\n")
		end := b.in.Events[i].GetStepEnded()
		if _, _, bad := pipeline.OutcomeOf(end); !bad || end.GetJob() == nil {
			continue
		}
		lines, err := b.tail(ctx, end.GetJob())
		if err != nil {
			return err
		}
		for _, l := range lines {
			buf.WriteString("    | " + plain(l) + "\n")
		}
	}
	b.bytes("log.txt", buf.Bytes())
	return nil
}

// whatHappened is an event in a word or a few.
func whatHappened(e *gatewayv1.StudyEvent) string {
	switch e.GetKind() {
	case "step-started":
		if e.GetAttempt() > 1 {
			return fmt.Sprintf("began, attempt %d", e.GetAttempt())
		}
		return "began"
	case "step-ended":
		return e.GetOutcome()
	case "step-failed":
		return "FAILED " + e.GetReason()
	case "waiting":
		return "WAITING " + e.GetReason()
	case "ended":
		return strings.TrimSpace("ended " + e.GetState().String() + " " + e.GetReason())
	}
	return strings.TrimSpace(strings.ReplaceAll(e.GetKind(), "-", " ") + " " + e.GetStage())
}

// tail gives the last lines of a job's errors, or where it printed none of its output.
func (b *builder) tail(ctx context.Context, j *executorv1.JobResult) ([]string, error) {
	for _, digest := range []string{j.GetStderr().GetDigest(), j.GetStdout().GetDigest()} {
		if digest == "" {
			continue
		}
		end, err := lastBytes(ctx, b.in.Blobs, store.Digest(digest), tailBytes)
		if err != nil {
			return nil, err
		}
		if text := strings.TrimRight(string(end), "\r\n \t"); text != "" {
			lines := strings.Split(text, "\n")
			return lines[max(0, len(lines)-tailLines):], nil
		}
	}
	return nil, nil
}

// lastBytes reads the last n bytes of a blob.
func lastBytes(ctx context.Context, blobs store.Blobs, d store.Digest, n int) (end []byte, err error) {
	r, err := blobs.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	chunk := make([]byte, n)
	for {
		k, err := io.ReadFull(r, chunk)
		end = append(end, chunk[:k]...)
		end = append([]byte(nil), end[max(0, len(end)-n):]...)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return end, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// plain drops what a terminal would obey: the text is a model's or a program's.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || (!unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r)) {
			return r
		}
		return -1
	}, s)
}
