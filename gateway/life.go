package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// lifeBeat is how often a process notes that it lives.
const lifeBeat = time.Second

// life is a file that outlives the process: its first line names the owner, its time is the owner's last sign of life, and what follows is the
// runtime's report if the process crashed. So the next owner can tell a process that was killed from one that a step has killed.
type life struct {
	file   *os.File // nil: another process uses the file, or it cannot be written; deaths then tell nothing
	before former
}

// former is what is known of the process before.
type former struct {
	owner   string
	seen    time.Time
	crashed bool
}

// openLife reads what the process before left in dir, and begins this one's file.
func openLife(dir, owner string) (*life, error) {
	if dir == "" {
		return &life{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &life{}, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "gateway.life"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return &life{}, err
	}
	l := &life{file: f}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return &life{}, f.Close() // a gateway of the same folder lives
	}
	text, err := os.ReadFile(f.Name())
	st, serr := f.Stat()
	if err := errors.Join(err, serr); err != nil {
		return &life{}, errors.Join(err, f.Close())
	}
	name, report, _ := bytes.Cut(text, []byte("\n"))
	l.before = former{owner: string(name), seen: st.ModTime(), crashed: len(bytes.TrimSpace(report)) > 0}
	if l.before.crashed { // kept for people, until the next crash
		err = os.WriteFile(filepath.Join(dir, "gateway.crash"), report, 0o600)
	}
	if err := errors.Join(err, f.Truncate(0)); err != nil {
		return &life{}, errors.Join(err, f.Close())
	}
	if _, err := f.WriteString(owner + "\n"); err != nil {
		return &life{}, errors.Join(err, f.Close())
	}
	return l, debug.SetCrashOutput(f, debug.CrashOptions{})
}

// beat notes that the process lives, until ctx ends.
func (l *life) beat(ctx context.Context, log *slog.Logger) error {
	if l.file == nil {
		return nil
	}
	defer l.close()
	tick := time.NewTicker(lifeBeat)
	defer tick.Stop()
	for {
		now := time.Now()
		if err := os.Chtimes(l.file.Name(), now, now); err != nil {
			log.WarnContext(ctx, "note that the process lives", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// close frees the file for another gateway of this process.
func (l *life) close() {
	_ = errors.Join(debug.SetCrashOutput(nil, debug.CrashOptions{}), l.file.Close()) // nothing is buffered
}

// tell adds to a claim what is known of the death of the owner before, who had started the open step at a time.
func (f former) tell(c *gatewayv1.Claimed, owner string, started time.Time) {
	if owner == "" || f.owner != owner {
		return
	}
	c.Crashed = f.crashed
	c.Lived = durationpb.New(max(0, f.seen.Sub(started)))
}
