// Package literature asks engines for papers: what was asked before comes from the ledger or the cache, what is new goes to
// one engine after the other at the pace that each allows. A failing engine is data, never an error.
package literature

import (
	"context"
	"time"

	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// Causes of a failure.
const (
	RateLimit  = "RATE_LIMIT"
	Quota      = "QUOTA"
	KeyMissing = "KEY_MISSING"
	KeyRefused = "KEY_REFUSED"
	Timeout    = "TIMEOUT"
	Outage     = "OUTAGE"
	BadAnswer  = "BAD_ANSWER"
	Rejected   = "REJECTED"
	Offline    = "OFFLINE"
	Coverage   = "COVERAGE"
)

// Results of asking an engine.
const (
	Answered = "ANSWERED"
	Empty    = "EMPTY"
	Failed   = "FAILED"
	Skipped  = "SKIPPED"
)

// Outcomes of a search.
const (
	FoundPapers = "FOUND"
	Nothing     = "NOTHING"
	Unavailable = "UNAVAILABLE"
)

// Outcomes of resolving a reference.
const (
	Found             = "FOUND"
	FoundOther        = "FOUND_WITH_OTHER_METADATA"
	NotFound          = "NOT_FOUND"
	EngineUnavailable = "ENGINE_UNAVAILABLE"
)

// Asked is what one engine said. Its JSON is part of what is pinned and recorded.
type Asked struct {
	Engine     string        `json:"engine"`
	Result     string        `json:"result"`
	Cause      string        `json:"cause,omitempty"`
	Detail     string        `json:"detail,omitempty"`
	Request    string        `json:"request,omitempty"`
	Rung       int           `json:"rung,omitempty"`
	Total      int64         `json:"total,omitempty"`
	Cached     bool          `json:"cached,omitempty"`
	AsOf       time.Time     `json:"as_of,omitzero"`
	CostUSD    string        `json:"cost_usd,omitempty"`
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
	Next       string        `json:"next,omitempty"` // what a person can do
}

// Answer is what one request to an engine came to. Without a failure, no papers means that the engine knows none.
type Answer struct {
	Papers  []paper.Paper
	Total   int64
	Request string // what was asked, without keys
	CostUSD string
	Failure *Failure
	Unable  bool // the engine has no way to ask for this, so nothing was asked
}

// Failure is why an engine gave no answer.
type Failure struct {
	Cause      string
	Detail     string // one sentence for people
	RetryAfter time.Duration
	Next       string // what a person can do
}

// Progress is told while one waits.
type Progress struct {
	Phase  string
	Detail string
	Until  time.Time
}

// Tell receives progress; it must not block.
type Tell func(Progress)

// Call is how an engine is asked.
type Call struct {
	Lane    string // the study, so that many of one do not starve another
	Patient bool   // wait for an engine that is left alone for a while, since no other one will be asked
	Tell    Tell
}

// Search is one query to one engine.
type Search struct {
	Rung     query.Rung
	From, To int // years; 0: open
	Limit    int
}

// ID is what a paper is known by; one of both at least.
type ID struct{ DOI, ArXiv string }

// Engine finds papers. Its methods never fail otherwise than by Answer.Failure, and end with ctx.
type Engine interface {
	Name() string
	Title() string // for people
	Online() bool
	Missing() string // the variable of the key without which auto passes the engine over; empty: none is missing
	Ladder() query.Shape
	Search(ctx context.Context, s Search, call Call) Answer
	ByID(ctx context.Context, id ID, call Call) Answer
	ByTitle(ctx context.Context, title string, call Call) Answer
}

// Query is a search.
type Query struct {
	Text   string
	Limit  int
	From   int
	To     int
	Engine string
	MaxAge time.Duration
}

// SearchResult is what a search found. Its JSON is what is pinned and recorded.
type SearchResult struct {
	Outcome   string        `json:"outcome"`
	Papers    []paper.Paper `json:"papers"`
	Asked     []Asked       `json:"asked"`
	QueryUsed string        `json:"query_used"`
	Rung      int           `json:"rung"`
	Sentence  string        `json:"sentence,omitempty"` // of NOTHING and UNAVAILABLE
	Next      string        `json:"next,omitempty"`     // what a person can do then
}

// Resolve asks for the record of a cited paper.
type Resolve struct {
	Reference match.Reference
	Engine    string
	MaxAge    time.Duration
}

// ResolveResult says whether a cited paper exists. Its JSON is what is pinned and recorded.
type ResolveResult struct {
	Outcome     string             `json:"outcome"`
	Paper       *paper.Paper       `json:"paper,omitempty"`
	Differences []match.Difference `json:"differences,omitempty"`
	Weak        bool               `json:"weak,omitempty"`
	Nearest     []match.Candidate  `json:"nearest,omitempty"`
	Asked       []Asked            `json:"asked"`
	Sentence    string             `json:"sentence,omitempty"` // of NOT_FOUND and ENGINE_UNAVAILABLE
	Next        string             `json:"next,omitempty"`     // what a person can do then
}
