package executor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// poisonWithin is how soon after the start of a program the loss of its node
// counts against the job: executor.md, section 9.3.
const poisonWithin = 30 * time.Second

// stateDir is a node's folder: a lock, the name of the instance that used it
// last, a note per running attempt, and the attempts' trees.
type stateDir struct {
	dir  string
	lock *os.File
}

// note is what recovery needs of an attempt.
type note struct {
	Job      string `json:"job"`
	Attempt  int32  `json:"attempt"`
	Reply    string `json:"reply"` // acknowledgement subject of its message
	Instance string `json:"instance"`
}

func openState(dir string) (*stateDir, error) {
	if dir == "" {
		return nil, fault.New(fault.Invalid, ReasonField, "executor: state: names no folder").WithField("state", "names no folder")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "STATE_UNUSABLE", "the executor's folder cannot be named")
	}
	for _, d := range []string{dir, filepath.Join(dir, "journal"), filepath.Join(dir, "work"), filepath.Join(dir, "slots")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be made: %v", err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be locked: %v", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.Wrap(err, fault.Precondition, "STATE_LOCKED", "another executor uses %s", dir).
			WithNext("give each executor its own state folder")
	}
	return &stateDir{dir: dir, lock: f}, nil
}

func (s *stateDir) close() { s.lock.Close() }

func (s *stateDir) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func noteName(job string) string { return hex.EncodeToString([]byte(job)) + ".json" }

// write keeps a note before the program begins; it must survive a crash.
func (s *stateDir) write(n note) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return syncFile(s.path("journal", noteName(n.Job)), b)
}

func (s *stateDir) forget(job string) { _ = os.Remove(s.path("journal", noteName(job))) }

func syncFile(name string, data []byte) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func (s *stateDir) notes() []note {
	entries, _ := os.ReadDir(s.path("journal"))
	var all []note
	for _, e := range entries {
		b, err := os.ReadFile(s.path("journal", e.Name()))
		if err != nil {
			continue
		}
		var n note
		if json.Unmarshal(b, &n) == nil && n.Job != "" {
			all = append(all, n)
		} else {
			_ = os.Remove(s.path("journal", e.Name()))
		}
	}
	return all
}

// recover clears what a former instance in the same folder left: its claims,
// its messages, its key and its files. Its programs died with it.
func (n *node) recover(ctx context.Context) error {
	former, err := os.ReadFile(n.state.path("instance"))
	if err == nil {
		if id := strings.TrimSpace(string(former)); id != "" {
			if err := n.s.jobs.nodes.Delete(ctx, id); err != nil {
				return busFault(err, "forget the former instance")
			}
		}
	}
	for _, note := range n.state.notes() {
		if err := n.release(ctx, note); err != nil {
			return err
		}
	}
	for _, folder := range []string{"journal", "work"} { // a note may be there under the name it had before it was whole
		entries, _ := os.ReadDir(n.state.path(folder))
		for _, e := range entries {
			removeAll(n.state.path(folder, e.Name()))
		}
	}
	if err := syncFile(n.state.path("instance"), []byte(n.instance+"\n")); err != nil {
		return fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be written: %v", err)
	}
	return nil
}

func (n *node) release(ctx context.Context, note note) error {
	_, err := n.s.jobs.change(ctx, note.Job, func(r *record) (bool, error) {
		if r.ended() || r.Instance != note.Instance || r.GetAttempt() != note.Attempt {
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
		_ = n.s.d.Bus.NC.Publish(note.Reply, []byte("-NAK"))
	}
	return nil
}

// removeAll removes a tree in which a hostile program has written. What cannot
// be removed is tried again at the next start.
func removeAll(dir string) { _ = sandbox.RemoveTree(dir) }

func sortProbes(p []*executorv1.Probe) {
	sort.Slice(p, func(i, j int) bool { return p[i].GetName() < p[j].GetName() })
}

func parseUint(s string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	return n, err == nil
}
