package executor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/fault"
	"nullius.dev/services/executor/internal/gpu"
)

// GPU is the part of the configuration that concerns GPUs.
type GPU struct {
	Poll    time.Duration `yaml:"poll"`    // between looks at each device, beside the driver's own messages
	Recheck time.Duration `yaml:"recheck"` // before a device in quarantine is looked at again
	Clean   time.Duration `yaml:"clean"`   // that a device may take to be free after a job
	Locks   string        `yaml:"locks"`   // folder of lock files that all executors of the host share; empty: /run/lock
	// XIDs replaces the class of driver errors: application, reset, hardware or
	// unknown, by number.
	XIDs map[uint32]string `yaml:"xids"`
	// Scenario is a file of JSON that plays the GPUs, for tests and trials.
	Scenario string `yaml:"scenario"`
}

func defaultGPU() GPU {
	return GPU{Poll: 10 * time.Second, Recheck: 10 * time.Minute, Clean: 30 * time.Second}
}

func (g GPU) validate(bad func(string, string, ...any) error) error {
	if g.Poll <= 0 || g.Recheck <= 0 || g.Clean <= 0 {
		return bad("gpu", "poll, recheck and clean must be positive")
	}
	for xid, c := range g.XIDs {
		if _, ok := gpu.ParseClass(c); !ok {
			return bad("gpu.xids", "%q of XID %d is not application, reset, hardware or unknown", c, xid)
		}
	}
	return nil
}

func (g GPU) classes() map[uint32]gpu.Class {
	out := map[uint32]gpu.Class{}
	for xid, c := range g.XIDs {
		out[xid], _ = gpu.ParseClass(c)
	}
	return out
}

// quarantine is a note in the state folder about a device that is not to be
// trusted; it outlives the process.
type quarantine struct {
	UUID    string    `json:"uuid"`
	Class   string    `json:"class"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Recheck time.Time `json:"recheck"`
}

var uuidName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,79}$`)

func (s *stateDir) slotFile(uuid, kind string) string { return s.path("slots", uuid+kind) }

func (s *stateDir) quarantine(q quarantine) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return syncFile(s.slotFile(q.UUID, ".json"), b)
}

func (s *stateDir) quarantined(uuid string) (quarantine, bool) {
	var q quarantine
	b, err := os.ReadFile(s.slotFile(uuid, ".json"))
	return q, err == nil && json.Unmarshal(b, &q) == nil && q.UUID == uuid
}

func (s *stateDir) unquarantine(uuid string) {
	_ = os.Remove(s.slotFile(uuid, ".json"))
	_ = os.Remove(s.slotFile(uuid, ".release"))
}

// releases are the slots that an operator wants back.
func (s *stateDir) releases() []string {
	files, _ := filepath.Glob(s.path("slots", "*.release"))
	var all []string
	for _, f := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(f), ".release"))
	}
	return all
}

// Quarantined is a GPU that takes no jobs, as an operator sees it.
type Quarantined struct {
	UUID, Class, Reason string
	Since, Recheck      time.Time
}

// Quarantines lists what lies in the state folder of an executor on this host,
// whether it runs or not.
func Quarantines(state string) []Quarantined {
	s := &stateDir{dir: state}
	files, _ := filepath.Glob(s.path("slots", "*.json"))
	var all []Quarantined
	for _, f := range files {
		if q, ok := s.quarantined(strings.TrimSuffix(filepath.Base(f), ".json")); ok {
			all = append(all, Quarantined(q))
		}
	}
	return all
}

// ReleaseSlot tells the executor of a state folder that a GPU may be used
// again. A running one looks within a second, one that starts at its start.
func ReleaseSlot(state, uuid string) error {
	s := &stateDir{dir: state}
	if !uuidName.MatchString(uuid) {
		return fault.New(fault.Invalid, ReasonField, "%.80q is not the UUID of a GPU", uuid).WithField("uuid", "not a UUID")
	}
	if _, ok := s.quarantined(uuid); !ok {
		return fault.New(fault.Invalid, ReasonField, "%s is not in quarantine, as %s tells", uuid, state).
			WithField("uuid", "not in quarantine").WithNext("executor slots list")
	}
	f, err := os.OpenFile(s.slotFile(uuid, ".release"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder cannot be written: %v", err)
	}
	return f.Close()
}

// gpuLocks are lock files, one for each device, that executors of a host share.
type gpuLocks struct {
	dir  string
	held map[string]*os.File
}

func newGPULocks(dir string) *gpuLocks {
	if dir == "" {
		dir = "/run/lock"
		if unix.Access(dir, unix.W_OK) != nil {
			dir = os.TempDir()
		}
	}
	return &gpuLocks{dir: dir, held: map[string]*os.File{}}
}

// take tells whether the device is this process's. It is called by one
// goroutine at a time.
func (l *gpuLocks) take(uuid string) bool {
	if l.held[uuid] != nil {
		return true
	}
	if !uuidName.MatchString(uuid) {
		return false
	}
	// Executors of several users share the file: whoever came first made it, and who may only read it can lock it all the same. In a folder that
	// everybody writes, the kernel lets nobody open another's file with O_CREAT (proc(5), protected_regular).
	at := filepath.Join(l.dir, "nullius-gpu-"+uuid+".lock")
	f, err := os.OpenFile(at, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_ = f.Chmod(0o644) // whatever the umask is
	} else if errors.Is(err, os.ErrExist) {
		f, err = os.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return false
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		_ = f.Close()
		return false
	}
	l.held[uuid] = f
	return true
}

func (l *gpuLocks) close() {
	for _, f := range l.held {
		_ = f.Close()
	}
}
