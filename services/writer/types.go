package writer

import (
	"context"
	"time"

	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/numbers"
)

// Idea is what of an idea the writer reads.
type Idea struct {
	Name, Title, Experiment, Hypothesis, Risks string
	Planned                                    []string
}

// Figure is an image in the root of the snapshot.
type Figure struct{ Path, Description string }

// Paper is a paper's record from the literature service.
type Paper struct {
	ID, Key, Title string
	Authors        []string
	Year           int
	Venue          string
	Abstract       string
	DOI, ArXiv     string
	BibTeX         string
}

// Record is what a paper is written from.
type Record struct {
	Idea       Idea
	Runs       []numbers.Run
	Metrics    []numbers.Metric
	Figures    []Figure
	Literature []Paper
	Task       string
	Template   string
	Created    time.Time
	TraceID    string
	Usage      Usage
	Paired     bool
}

// Settings of a call.
type Settings struct {
	Model, Critic string
	Engine        string
	CiteRounds    int
	Venue         string
	PageLimit     int
	Anonymous     bool
	Authors       []string
	MendRounds    int
}

// Comment is one weakness that a review names.
type Comment struct {
	Claim, Severity, Item string
	Quotes                []string
}

// Criticism is what of a review the writer sees.
type Criticism struct {
	Summary   string
	Comments  []Comment
	Questions []string
}

// Request is one call. Review is set for a revision only.
type Request struct {
	Step     string
	Snapshot store.Digest
	Record   Record
	Settings Settings
	Review   *Criticism
	Round    int
}

// Outcome says what became of a paper.
type Outcome string

// The outcomes; all are results.
const (
	Compiled          Outcome = "COMPILED"
	LaTeXUncompilable Outcome = "LATEX_UNCOMPILABLE"
	NotCompiled       Outcome = "NOT_COMPILED"
	NoSuccessfulRun   Outcome = "NO_SUCCESSFUL_RUN"
	OutputInvalid     Outcome = "LLM_OUTPUT_INVALID"
	LLMRefused        Outcome = "LLM_REFUSED"
	ContextTooLong    Outcome = "CONTEXT_TOO_LONG"
)

// Usage sums paid answers.
type Usage struct {
	Input, CacheRead, CacheWrite, Output, Reasoning int64
	Calls                                           int
	CostPico, WouldCostPico                         int64
	Estimated, Unpriced                             bool
}

// Warning is something a person should know about a result that stands.
type Warning struct{ Code, Text string }

// Result is a paper.
type Result struct {
	Outcome          Outcome
	Reason           string
	Snapshot         store.Digest
	PDFPath          string
	PDFDigest        store.Digest
	BodyPages, Pages int
	Findings         []check.Finding
	Measured         int
	Unexplained      int
	Citations        int
	VerificationPath string
	Title            string
	Usage            Usage
	Warnings         []Warning
}

// Event is progress; it must not block.
type Event struct {
	Phase, Detail string
	Done, Total   int
	Tokens        int64
	Until         time.Time
}

// Progress receives events.
type Progress func(Event)

// Asked is what came of asking an engine, in a word for the record.
type Asked struct {
	Papers      []Paper
	Unavailable bool
	Engine      string
}

// Resolved is what the literature service says of one reference.
type Resolved struct {
	Outcome string // FOUND, OTHER, NOT_FOUND, UNAVAILABLE
	Weak    bool
	Paper   Paper
}

// Literature is the part of the literature service that the writer uses.
type Literature interface {
	Search(ctx context.Context, step, call, engine, query string, limit int) (Asked, error)
	Resolve(ctx context.Context, step, call, engine, bibtex string) (Resolved, error)
}
