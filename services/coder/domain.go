package coder

import (
	"nullius.dev/kit/store"
)

// Direction says whether a larger or a smaller value of a metric is better.
type Direction int

// Directions of metrics.
const (
	Unknown Direction = iota
	Minimize
	Maximize
	Descriptive
)

// Metric names one metric of one dataset.
type Metric struct {
	Dataset, Name string
	Direction     Direction
	Label, Unit   string
}

// PlannedRun is one intended run of an idea.
type PlannedRun struct{ Name, Change, Expected string }

// Idea is the hypothesis that the code is to test.
type Idea struct {
	Name, Title, Experiment, Hypothesis, Risks string
	Primary                                    *Metric
	Planned                                    []PlannedRun
}

// Measurement is a number with its origin; the executor wrote it.
type Measurement struct {
	Dataset, Metric string
	Value           float64
	NotFinite       bool
	StdErr          *float64 // nil: unknown, which is not zero
	N               int
}

// Outcome of a run.
type Outcome int

// Outcomes of runs.
const (
	RunUnknown Outcome = iota
	RunSucceeded
	RunFailed
	RunSkipped
)

// Run is one execution of the experiment.
type Run struct {
	Number       int
	Label, Plan  string
	Outcome      Outcome
	Reason       string
	Measurements []Measurement
	Snapshot     store.Digest // with the code as it was run; of a failed run the last try's
}

// Figure is an image in the root of a snapshot.
type Figure struct {
	Path, Description string
	Size              int64
}

// Exchange is an earlier round of this idea.
type Exchange struct {
	Step        string
	Reply, Diff store.Digest
}

// Frame is what all requests carry.
type Frame struct {
	Step      string // full name
	Snapshot  store.Digest
	Idea      Idea
	Model     string
	PlanModel string   // empty: Model
	Editable  []string // globs; empty: the usual files
	Protected []string // globs beside the built-in ones
	Task      string
	Command   string
	TimeLimit string
	Hardware  string
	Modules   []string
	Runs      []Run
	Plan      []PlannedRun
	History   []Exchange
	Counts    Counts
	Primary   *Metric
}

// Counts of replies, and of those that could be applied at once.
type Counts struct{ Replies, WellFormed int }

// Failure is how a try ended.
type Failure struct {
	EndReason      string
	ExitCode       int
	Stdout, Stderr store.Digest
	Message        string
	Smoke          bool
	Signature      string
	Diff           store.Digest // what the repair of that try changed
	MissingKeys    []string
}

// Implement asks for one run's change.
type Implement struct {
	Frame   Frame
	Number  int
	MaxRuns int
}

// Repair asks to mend a failed try.
type Repair struct {
	Frame     Frame
	Number    int
	Good      store.Digest
	Failure   Failure
	Earlier   []Failure
	TriesLeft int
}

// Plots asks for plot.py.
type Plots struct {
	Frame    Frame
	Failure  *Failure
	Findings []string
}

// Describe asks for text: a run's note, or what the figures show.
type Describe struct {
	Frame   Frame
	Number  int
	Figures []Figure
}

// Result is how a call ended.
type Result int

// Results of calls.
const (
	Changed Result = iota + 1
	Finished
	NoChange
	Refused
	TooLong
)

// Edited is the result of every call.
type Edited struct {
	Result         Result
	Snapshot       store.Digest
	Reply          store.Digest
	Plan           []PlannedRun
	Report, Diff   store.Digest
	Feedback       string
	Signature      string
	Text           string
	Figures        []Figure
	Added, Removed int
	Restored       bool
	Counts         Counts
	Usage          Usage
	Warnings       []Warning
}

// Usage sums paid answers.
type Usage struct {
	Input, CacheRead, CacheWrite, Output, Reasoning int64
	Calls                                           int
	Cost, WouldCost                                 int64 // pico-dollars
	Estimated, Unpriced                             bool
	Low                                             string // what the last call said of an account that is nearly used up
}

// Warning is something a person should know about an outcome that stands.
type Warning struct{ Code, Text string }

// Note is what is said while a call works.
type Note struct {
	Phase, Detail string
	Tokens        int64
	Wait          string
}

// Progress receives notes; nil: nobody listens.
type Progress func(Note)
