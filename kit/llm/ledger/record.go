package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"nullius.dev/kit/store"
)

// Literature is the kind of an entry, and stands where a model's name stands, for answers of literature engines.
const Literature = "literature"

// State is how far an entry has come.
type State string

// The states of an entry, in order.
const (
	Claimed State = "CLAIMED"
	Started State = "STARTED"
	Done    State = "DONE"
)

// Usage counts the tokens of a call.
type Usage struct {
	Input      int64 `json:"input,omitempty"` // not from a cache
	CacheRead  int64 `json:"cache_read,omitempty"`
	CacheWrite int64 `json:"cache_write,omitempty"`
	// CacheWrite1h is the part of CacheWrite that is kept for an hour instead of five minutes.
	CacheWrite1h int64 `json:"cache_write_1h,omitempty"`
	Output       int64 `json:"output,omitempty"` // with Reasoning
	Reasoning    int64 `json:"reasoning,omitempty"`
	Estimated    bool  `json:"estimated,omitempty"`
}

// Total is every token that counts against a limit.
func (u Usage) Total() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.Output }

// Add sums two usages.
func (u Usage) Add(o Usage) Usage {
	return Usage{
		Input: u.Input + o.Input, CacheRead: u.CacheRead + o.CacheRead, CacheWrite: u.CacheWrite + o.CacheWrite, CacheWrite1h: u.CacheWrite1h + o.CacheWrite1h,
		Output: u.Output + o.Output, Reasoning: u.Reasoning + o.Reasoning, Estimated: u.Estimated || o.Estimated,
	}
}

// Record is the value of an entry. It stays under 4 KiB; request and reply are blobs.
type Record struct {
	State      State        `json:"state"`
	Owner      string       `json:"owner"`
	Beat       int64        `json:"beat"`            // Unix milliseconds of this revision; for people, never compared
	Began      int64        `json:"began,omitempty"` // of the claim
	Model      string       `json:"model"`           // resolved name, or "literature"
	Served     string       `json:"served,omitempty"`
	Digest     string       `json:"digest"`            // of what was asked
	Request    store.Digest `json:"request,omitempty"` // blob
	Reply      store.Digest `json:"reply,omitempty"`   // blob: the reply's text as it came
	Finish     string       `json:"finish,omitempty"`
	Usage      Usage        `json:"usage"`
	Cost       int64        `json:"cost,omitempty"`          // pico-dollars
	WouldCost  int64        `json:"would_cost,omitempty"`    // pico-dollars, of a replayed recording
	PriceAsOf  string       `json:"price_as_of,omitempty"`   // empty: no price, or the provider's own cost
	Unpriced   bool         `json:"unpriced,omitempty"`      // the cost is unknown
	Tries      int          `json:"tries,omitempty"`         // sent so far
	Lost       int          `json:"possibly_paid,omitempty"` // tries whose outcome nobody knows
	RequestID  string       `json:"provider_request_id,omitempty"`
	Prompt     string       `json:"prompt,omitempty"`
	FromRecord bool         `json:"recorded,omitempty"` // the answer came from a recording
	Notes      []string     `json:"notes,omitempty"`
}

// Key is where the answer to a request is kept: <study>.<idea>.<step>=<call>=<32 hex>.
func Key(o Origin, model, digest string) string {
	h := sha256.Sum256([]byte(model + "\n" + digest))
	return strings.Join(o.Scope, ".") + "." + o.Step + "=" + o.Call + "=" + hex.EncodeToString(h[:16])
}

// Entry is a record with what its key says.
type Entry struct {
	Key    string
	Origin Origin
	Record
}

// Kind is "model" or "literature".
func (e Entry) Kind() string {
	if e.Model == Literature {
		return Literature
	}
	return "model"
}

func parseKey(key string) (Origin, error) {
	head, rest, ok := strings.Cut(key, "=")
	call, _, ok2 := strings.Cut(rest, "=")
	parts := strings.SplitN(head, ".", 3)
	if !ok || !ok2 || len(parts) != 3 {
		return Origin{}, fmt.Errorf("ledger key %q is damaged", short(key))
	}
	return Origin{Scope: parts[:2:2], Step: parts[2], Call: call}, nil
}

// most bytes of a record's free text, so that a record stays under 4 KiB
const (
	maxNotes = 12
	maxNote  = 120
)

func (r Record) encode() ([]byte, error) {
	if len(r.Notes) > maxNotes {
		r.Notes = append(r.Notes[:maxNotes-1:maxNotes-1], "more notes were dropped")
	}
	notes := make([]string, len(r.Notes))
	for i, n := range r.Notes {
		notes[i] = clip(n, maxNote)
	}
	r.Notes = notes
	r.Served, r.RequestID, r.Prompt = clip(r.Served, maxNote), clip(r.RequestID, maxNote), clip(r.Prompt, maxNote)
	return json.Marshal(r)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

func decode(key string, value []byte) (Entry, error) {
	o, err := parseKey(key)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Key: key, Origin: o}
	if err := json.Unmarshal(value, &e.Record); err != nil {
		return Entry{}, fmt.Errorf("ledger entry %s is damaged: %w", key, err)
	}
	return e, nil
}
