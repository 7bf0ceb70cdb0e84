package llm

import (
	"context"
	"encoding/json"
	"time"

	"nullius.dev/kit/llm/ledger"
)

// Origin says who asks; see ledger.Origin.
type Origin = ledger.Origin

// Usage counts tokens; see ledger.Usage.
type Usage = ledger.Usage

// OriginOf splits a full step name, "<study>/<idea>/<step…>", at its first two slashes.
func OriginOf(fullStep, call string) (Origin, error) { return ledger.OriginOf(fullStep, call) }

// Chatter is the part of a Door that most callers use.
type Chatter interface {
	Chat(ctx context.Context, r Request) (Reply, error)
}

// Request is one question to a model.
type Request struct {
	Model       string // any name of models.yaml, or provider/model
	Origin      Origin
	System      []Part
	Messages    []Message       // alternating; a last Assistant one is a prefix to continue
	Schema      json.RawMessage // of the one JSON object wanted; nil: text
	MaxTokens   int             // visible output; the door adds reasoning. 0: the model's limit
	Temperature *float64        // nil: provider's default; 0 is sent as 0
	Seed        *int64
	Stop        []string
	Effort      string         // "", low, medium, high
	Prompt      string         // name, version: for the span, not digested
	Progress    func(Progress) // must not block; not digested
}

// Role is who said a message.
type Role uint8

// The roles of a conversation.
const (
	User Role = iota
	Assistant
)

// Message is one turn of a conversation.
type Message struct {
	Role  Role
	Parts []Part
}

// Part is a piece of a message: text or an image.
type Part struct {
	Text  string // UTF-8, else FIELD_INVALID
	Image []byte
	MIME  string // image/png or image/jpeg
	Cache bool   // a cache mark ends here; the last 4 count
}

// Text is a part of text.
func Text(s string) Part { return Part{Text: s} }

// Say is a message of one text.
func Say(r Role, s string) Message { return Message{Role: r, Parts: []Part{{Text: s}}} }

// Ptr is a pointer to v, for Temperature and Seed.
func Ptr[T any](v T) *T { return &v }

// Reply is what a model did with a sound request, also when it was cut, refused, filtered or too long.
type Reply struct {
	Text         string
	Finish       Finish
	Usage        Usage
	Cost         int64 // pico-dollars
	WouldCost    int64 // of a recording: what the recorded call cost
	Unpriced     bool
	PossiblyPaid bool
	Model        string // resolved name
	Served       string // what the provider says it was
	Source       Source
	Notes        []string // "temperature dropped", "digest differs"

	id        string // that the provider gave the call
	tries     int
	firstByte time.Duration // 0: this caller did not make the call
}

// PrefillDropped is the note of a reply whose model turned out not to take a last Assistant message: it answered without having seen it.
const PrefillDropped = "prefill dropped"

// BudgetLow begins the note of a reply before which 80 % of an account was used.
const BudgetLow = "budget: "

// Finish is why a reply ended.
type Finish string

// The ways a reply ends.
const (
	Stop     Finish = "stop"
	Length   Finish = "length"
	Refused  Finish = "refused"
	Filtered Finish = "filtered"
	TooLong  Finish = "too_long"
)

// Source is where a reply came from.
type Source string

// The sources of replies.
const (
	FromProvider  Source = "provider"
	FromLedger    Source = "ledger"
	FromRecording Source = "recording"
)

// Progress tells a caller what a call is doing.
type Progress struct {
	Kind   ProgressKind
	Why    string    // of Waiting: one sentence
	Until  time.Time // of Waiting: when it goes on, zero if unknown
	Tokens int64     // of Tokens: received so far, estimated
}

// ProgressKind is what a progress message tells.
type ProgressKind uint8

// The kinds of progress.
const (
	Waiting   ProgressKind = iota
	FirstByte              // a hit in the ledger too
	Tokens
)

// Estimate is the size of a request in tokens: bytes/4, 4 a message, an image by its area.
func Estimate(r Request) int64 {
	var bytes, extra int64
	count := func(parts []Part) {
		extra += 4
		for _, p := range parts {
			bytes += int64(len(p.Text))
			if len(p.Image) > 0 {
				extra += imageTokens(p.Image)
			}
		}
	}
	if len(r.System) > 0 {
		count(r.System)
	}
	for _, m := range r.Messages {
		count(m.Parts)
	}
	bytes += int64(len(r.Schema))
	return (bytes+3)/4 + extra
}
