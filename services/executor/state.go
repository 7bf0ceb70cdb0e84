package executor

import (
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
	// What a successor needs to collect the results of a program that had
	// ended; empty: it had not.
	Result  json.RawMessage `json:"result,omitempty"`  // without what is collected
	Dir     string          `json:"dir,omitempty"`     // of the attempt, below work
	Resumed bool            `json:"resumed,omitempty"` // a successor has begun with it
	Boot    string          `json:"boot,omitempty"`    // of the host: files that were not synced outlive a process, not a crash of the host
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
		if st, err := os.Lstat(d); err != nil || st.Mode()&os.ModeSymlink != 0 {
			return nil, fault.New(fault.Precondition, "STATE_UNUSABLE", "the executor's folder %s is a symbolic link, which may lead elsewhere tomorrow", d).
				WithNext("set state to the folder that it leads to")
		}
	}
	if err := ownPlace(dir); err != nil {
		return nil, err
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

// ownPlace refuses a folder that other users of the host could exchange for
// one of theirs: itself or a folder above it is writable by all. The sticky bit,
// as of /tmp, keeps them from what is not theirs.
func ownPlace(dir string) error {
	at, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be found: %v", err)
	}
	for first := true; ; first = false {
		st, err := os.Stat(at)
		if err != nil {
			return fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be looked at: %v", err)
		}
		if st.Mode()&0o002 != 0 && (first || st.Mode()&os.ModeSticky == 0) {
			return fault.New(fault.Precondition, "STATE_UNUSABLE", "every user of this host may write in %s, so the executor's folder %s is not safe", at, dir).
				WithNext("chmod o-w " + at)
		}
		up := filepath.Dir(at)
		if up == at {
			return nil
		}
		at = up
	}
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
