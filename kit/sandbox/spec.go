package sandbox

import (
	"context"
	"io"
	"time"

	"nullius.dev/kit/fault"
)

// Reasons of the faults of this package.
const (
	ReasonTooWeak     = "SANDBOX_TOO_WEAK" // the host cannot hold the wall
	ReasonBroken      = "SANDBOX_BROKEN"   // the sandbox failed to start a program
	ReasonSpecInvalid = "SANDBOX_SPEC_INVALID"
	ReasonNoPython    = "PYTHON_UNSUITABLE" // no interpreter has the declared modules
)

// Levels of isolation, as stamped on results.
const (
	LevelStrict   = "strict"   // namespaces by bubblewrap
	LevelLandlock = "landlock" // Landlock and a system call filter; see the package comment
)

// AtLeast tells whether a level is as strong as another; an empty minimum asks
// for nothing.
func AtLeast(level, min string) bool { return strength(level) >= strength(min) }

func strength(level string) int {
	switch level {
	case LevelStrict:
		return 2
	case LevelLandlock:
		return 1
	}
	return 0
}

// Isolation chooses the level.
type Isolation struct {
	// Level is the only one to offer; empty: the strongest that this host can hold.
	Level string `yaml:"level"`
	// Min is the weakest to offer; empty: strict. Nothing below it ever runs.
	Min string `yaml:"min"`
}

func (i Isolation) candidates() ([]string, error) {
	least := i.Min
	if least == "" {
		least = LevelStrict
	}
	for field, level := range map[string]string{"level": i.Level, "min": i.Min} {
		if level != "" && strength(level) == 0 {
			return nil, fault.New(fault.Invalid, ReasonSpecInvalid, "isolation.%s: %.40q is neither strict nor landlock", field, level).
				WithField("isolation."+field, "neither strict nor landlock")
		}
	}
	if i.Level != "" {
		if !AtLeast(i.Level, least) {
			return nil, fault.New(fault.Precondition, ReasonTooWeak, "isolation.level %s is below isolation.min %s", i.Level, least).
				WithNext("set isolation.min to " + i.Level + " if what it leaves open may be open")
		}
		return []string{i.Level}, nil
	}
	if least == LevelLandlock {
		return []string{LevelStrict, LevelLandlock}, nil
	}
	return []string{LevelStrict}, nil
}

// Memory walls, as stamped on results.
const (
	WallCgroup2  = "cgroup2"
	WallCgroup1  = "cgroup1"
	WallWatchdog = "watchdog"
)

// Bind shows a host file or folder inside the sandbox. Sources may lie under
// folders that only the caller can enter. A writable folder is given to the
// sandbox's user, so it must hold nothing that others need to own.
type Bind struct {
	Source   string // absolute, never a symbolic link
	Target   string // absolute, clean path inside
	Writable bool
}

// Limits of one run; a zero field takes the default of Config.Limits.
type Limits struct {
	Wall        time.Duration
	MemoryBytes uint64
	FileBytes   uint64 // largest single file
	DiskBytes   uint64 // growth of the writable binds
	Processes   int    // threads count as well
	OpenFiles   int
	TmpBytes    uint64 // size of /tmp
	ShmBytes    uint64 // size of /dev/shm
	CPUs        float64
	Inodes      uint64 // growth of the writable binds
}

// Spec is one run.
type Spec struct {
	Argv    []string // no shell; the first is looked up in PATH of Env
	Env     []string // exactly the program's environment, NAME=value
	Dir     string   // working folder inside
	Binds   []Bind
	TeX     bool    // adds what a TeX installation keeps outside /usr
	Python  *Python // what python and python3 are inside; nil: the system's
	Limits  Limits
	Stdout  io.Writer
	Stderr  io.Writer
	Grace   time.Duration // between SIGTERM and SIGKILL; zero: the default
	Devices []string      // device nodes of the host, such as those of a GPU
	// Network gives the run the host's network, at the strict level only. It is
	// for installing packages; no run that sees a study's files may have it.
	Network bool
	// Kill, when closed, ends the run at once, as a cancel without grace.
	Kill <-chan struct{}
	// OnStart is called once, with the host's id of the sandbox's first process.
	OnStart func(pid int)
	// OnUsage is called about once a second while the program runs, not before the first second. It must not block.
	OnUsage func(Usage)
}

// End says why a run ended; the first cause wins.
type End uint8

// Ends.
const (
	Exited      End = iota // by itself: ExitCode and Signal are its own
	TimedOut               // wall time
	OutOfMemory            // memory limit
	DiskFull               // byte or inode limit
	Cancelled              // the caller's context
)

// String names the end in lower case.
func (e End) String() string {
	names := [...]string{"exited", "timed out", "out of memory", "disk full", "cancelled"}
	if int(e) < len(names) {
		return names[e]
	}
	return "unknown"
}

// Result is what really happened.
type Result struct {
	End             End
	ExitCode        int  // -1 when a signal ended the program
	Signal          int  // 0 when it exited
	Forced          bool // it outlived the grace of a stop and was killed
	CPU             time.Duration
	PeakMemoryBytes uint64
	IO              *IO     // nil: nobody counted, as of a program killed with its helper where no cgroup of version 2 counts
	Stalled         *Stalls // nil: the kernel does not tell, as without cgroups of version 2
	Wall            time.Duration
	Level           string
	ProbeDigest     string
	MemoryWall      string
	Limits          Limits // as applied
}

// Runner runs one program at a time per call; calls may overlap. An error
// means that the sandbox is broken or the spec invalid: a program that fails
// is a Result.
type Runner interface {
	Run(ctx context.Context, s Spec) (Result, error)
}

// Config of a Sandbox.
type Config struct {
	Bubblewrap string `yaml:"bubblewrap"` // path; empty: found in the usual places
	// RequireHardMemory refuses hosts on which only the watchdog limits memory. Services do by default, a person's own run, demo and serve do not.
	RequireHardMemory bool          `yaml:"require_hard_memory"`
	Isolation         Isolation     `yaml:"isolation"`
	Grace             time.Duration `yaml:"grace"`
	Limits            Limits        `yaml:"-"`
	// UIDBase and UIDCount are the real user ids that root drops to.
	UIDBase  int `yaml:"uid_base"`
	UIDCount int `yaml:"uid_count"`
}

const (
	kib = uint64(1) << 10
	mib = kib << 10
	gib = mib << 10
)

// DefaultConfig returns what executor.md calls the defaults.
func DefaultConfig() Config {
	return Config{
		RequireHardMemory: true,
		Grace:             30 * time.Second,
		UIDBase:           1_900_000_000,
		UIDCount:          1024,
		Limits: Limits{
			Wall: 2 * time.Hour, MemoryBytes: 4 * gib, FileBytes: 4 * gib, DiskBytes: 10 * gib,
			Processes: 512, OpenFiles: 1024, TmpBytes: gib, ShmBytes: gib, Inodes: 200_000,
		},
	}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Grace <= 0 {
		c.Grace = d.Grace
	}
	if c.UIDBase <= 0 {
		c.UIDBase = d.UIDBase
	}
	if c.UIDCount <= 0 {
		c.UIDCount = d.UIDCount
	}
	c.Limits = c.Limits.or(d.Limits)
	return c
}

func (l Limits) or(d Limits) Limits {
	l.Wall = first(l.Wall, d.Wall)
	l.MemoryBytes = first(l.MemoryBytes, d.MemoryBytes)
	l.FileBytes = first(l.FileBytes, d.FileBytes)
	l.DiskBytes = first(l.DiskBytes, d.DiskBytes)
	l.Processes = first(l.Processes, d.Processes)
	l.OpenFiles = first(l.OpenFiles, d.OpenFiles)
	l.TmpBytes = first(l.TmpBytes, d.TmpBytes)
	l.ShmBytes = first(l.ShmBytes, d.ShmBytes)
	l.CPUs = first(l.CPUs, d.CPUs)
	l.Inodes = first(l.Inodes, d.Inodes)
	return l
}

func first[T ~int | ~int64 | ~uint64 | ~float64](a, b T) T {
	if a > 0 {
		return a
	}
	return b
}
