package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// recover clears what a former instance in the same folder left: its claims,
// its messages, its key and its files. Its programs died with it. What they had
// finished before is collected: rest does that.
func (n *node) recover(ctx context.Context) (rest []func(context.Context), err error) {
	former, err := os.ReadFile(n.state.path("instance"))
	if err == nil {
		if id := strings.TrimSpace(string(former)); id != "" {
			if err := n.s.jobs.nodes.Delete(ctx, id); err != nil {
				return nil, busFault(err, "forget the former instance")
			}
		}
	}
	kept := map[string]bool{}
	for _, note := range n.state.notes() {
		do, err := n.resume(ctx, note)
		if err != nil {
			return nil, err
		}
		if do != nil {
			rest = append(rest, do)
			kept[filepath.Join("work", note.Dir)], kept[filepath.Join("journal", noteName(note.Job))] = true, true
			continue
		}
		if err := n.release(ctx, note); err != nil {
			return nil, err
		}
	}
	for _, folder := range []string{"journal", "work"} { // a note may be there under the name it had before it was whole
		entries, _ := os.ReadDir(n.state.path(folder))
		for _, e := range entries {
			if at := filepath.Join(folder, e.Name()); !kept[at] {
				removeAll(n.state.path(at))
			}
		}
	}
	if err := syncFile(n.state.path("instance"), []byte(n.instance+"\n")); err != nil {
		return nil, fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be written: %v", err)
	}
	return rest, nil
}

// release gives a former instance's job back to the queue.
func (n *node) release(ctx context.Context, note note) error {
	_, err := n.s.jobs.change(ctx, note.Job, func(r *record) (bool, error) {
		if !note.holds(r) {
			return false, nil
		}
		r.lose(endLost)
		return true, nil
	})
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	n.s.log.InfoContext(ctx, "released the claim of a former instance", "job_id", note.Job, "attempt", note.Attempt)
	if note.Reply != "" {
		_ = former{n.s.d.Bus.NC, note.Reply}.Nak()
	}
	return nil
}

// holds tells whether the claim that a note speaks of still stands.
func (t note) holds(r *record) bool {
	return !r.ended() && r.Instance == t.Instance && r.GetAttempt() == t.Attempt
}

// resume takes over the claim of an attempt whose program had ended, and
// returns what is left to do of it; nil: there is nothing to go on with. It is
// done once: collecting may be what kills this process.
func (n *node) resume(ctx context.Context, note note) (func(context.Context), error) {
	res := &executorv1.JobResult{}
	if len(note.Result) == 0 || note.Resumed || n.s.d.Sandbox == nil || note.Boot == "" || note.Boot != bootID() || filepath.Base(note.Dir) != note.Dir ||
		protojson.Unmarshal(note.Result, res) != nil {
		return nil, nil
	}
	dir := n.state.path("work", note.Dir)
	if st, err := os.Lstat(dir); err != nil || !st.IsDir() {
		return nil, nil
	}
	r, err := n.s.jobs.get(ctx, note.Job)
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !note.holds(r) || !n.finish(note.Job) {
		return nil, nil
	}
	// As with a claim: the node has the job before it says so, and notes it.
	note.Instance, note.Resumed, r.Instance = n.instance, true, n.instance
	err = n.announce(ctx)
	if err == nil {
		err = n.state.write(note)
	}
	if err == nil {
		err = n.s.jobs.put(ctx, r)
	}
	if errors.Is(err, fault.Conflict) { // somebody has given it up for lost
		n.finished(note.Job)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n.begin(note.Job)
	return func(ctx context.Context) {
		defer n.done(note.Job)
		defer func() {
			n.finished(note.Job)
			n.tellSoon(ctx)
		}()
		a := n.newAttempt(former{n.s.d.Bus.NC, note.Reply}, r, nil, func() {})
		a.dir, a.limits = dir, n.limits(a.job)
		n.s.log.InfoContext(ctx, "collecting what a former instance had run", "job_id", a.id, "attempt", a.number)
		n.attempt(ctx, a, func(ctx context.Context) (*executorv1.JobResult, error) { return a.reap(ctx, res, nil) })
	}, nil
}

// noteEnd notes that the program has ended, with all that is known but what is
// to be collected from its folder.
func (a *attempt) noteEnd(res *executorv1.JobResult) error {
	text, err := protojson.Marshal(res)
	if err != nil {
		return err
	}
	reply := ""
	if m, ok := a.msg.(jetstream.Msg); ok {
		reply = m.Reply()
	}
	return a.n.state.write(note{
		Job: a.id, Attempt: a.number, Reply: reply, Instance: a.n.instance, Result: text, Dir: filepath.Base(a.dir), Boot: bootID(),
	})
}

// bootID names this run of the kernel; empty: it has no name.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// former is a message that another process was given: all that is known of it
// is where its acknowledgement goes
// (https://docs.nats.io/reference/reference-protocols/nats_api_reference#acknowledging-messages).
type former struct {
	nc    *nats.Conn
	reply string
}

var errNoMetadata = errors.New("the message was given to another process")

func (f former) Metadata() (*jetstream.MsgMetadata, error) { return nil, errNoMetadata }
func (f former) InProgress() error                         { return f.nc.Publish(f.reply, []byte("+WPI")) }
func (f former) Nak() error                                { return f.nc.Publish(f.reply, []byte("-NAK")) }
func (f former) NakWithDelay(d time.Duration) error {
	return f.nc.Publish(f.reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, d.Nanoseconds()))
}

// DoubleAck waits for the broker's answer, as a message's own does.
func (f former) DoubleAck(ctx context.Context) error {
	_, err := f.nc.RequestWithContext(ctx, f.reply, []byte("+ACK"))
	return err
}
