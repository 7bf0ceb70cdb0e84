// Package recording reads and writes recordings: folders of a study's answers that people can read, review and replay.
//
// A recording is index.jsonl, with a header and a line for each answer, and a file for each reply. Opened from a snapshot it
// stands where a provider would. The package links no model SDK.
package recording

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"path"
	"sort"
	"strings"
	"sync"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/store"
)

// IndexFile is the name of a recording's index.
const IndexFile = "index.jsonl"

const (
	maxIndex = 32 << 20
	maxReply = 16 << 20
)

// Header is the first line of an index.
type Header struct {
	Recording int    `json:"recording"` // 1
	Template  string `json:"template,omitempty"`
}

// Line is an answer in the index.
type Line struct {
	Idea    string       `json:"idea"`
	Step    string       `json:"step"`
	Call    string       `json:"call"`
	Kind    string       `json:"kind"` // model, literature
	Model   string       `json:"model,omitempty"`
	Digest  string       `json:"digest,omitempty"` // of the request; empty in one written by hand
	Finish  string       `json:"finish,omitempty"` // empty: stop
	Usage   ledger.Usage `json:"usage"`
	CostUSD string       `json:"cost_usd,omitempty"`
	File    string       `json:"file"`
}

// Cost is CostUSD in pico-dollars; 0 if it is empty or no number.
func (l Line) Cost() int64 {
	r, ok := new(big.Rat).SetString(l.CostUSD)
	if !ok || r.Sign() < 0 {
		return 0
	}
	r.Mul(r, big.NewRat(1_000_000_000_000, 1))
	q := new(big.Int).Quo(r.Num(), r.Denom())
	if !q.IsInt64() {
		return 0
	}
	return q.Int64()
}

func (l Line) name() name { return name{l.Idea, l.Step, l.Call, l.Kind} }

type name struct{ idea, step, call, kind string }

// Recording answers by idea, step and call.
type Recording struct {
	Header Header
	Digest store.Digest // of the snapshot

	blobs store.Blobs
	files store.Manifest
	lines map[name]Line
}

// Open reads a recording's index from its snapshot.
func Open(ctx context.Context, blobs store.Blobs, snapshot store.Digest) (*Recording, error) {
	files, err := store.LoadManifest(ctx, blobs, snapshot)
	if err != nil {
		return nil, err
	}
	data, err := store.ReadFile(ctx, blobs, snapshot, IndexFile, maxIndex)
	if err != nil {
		return nil, err
	}
	h, lines, err := ParseIndex(data)
	if err != nil {
		return nil, err
	}
	r := &Recording{Header: h, Digest: snapshot, blobs: blobs, files: files, lines: make(map[name]Line, len(lines))}
	for _, l := range lines {
		if _, ok := files.Find(l.File); !ok {
			return nil, invalid("index.jsonl: %s %s %s names the file %s, which the recording lacks", l.Idea, l.Step, l.Call, l.File)
		}
		r.lines[l.name()] = l
	}
	return r, nil
}

func invalid(format string, a ...any) error {
	return fault.New(fault.Invalid, "FIELD_INVALID", "the recording: %s", fmt.Sprintf(format, a...)).WithNext("make recordings")
}

// ParseIndex reads an index.
func ParseIndex(data []byte) (Header, []Line, error) {
	var h Header
	var lines []Line
	seen := map[name]bool{}
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for n := 1; sc.Scan(); n++ {
		text := bytes.TrimSpace(sc.Bytes())
		if len(text) == 0 {
			continue
		}
		if h.Recording == 0 {
			if err := strict(text, &h); err != nil || h.Recording != 1 {
				return Header{}, nil, invalid("index.jsonl line %d: want the header {\"recording\":1}", n)
			}
			continue
		}
		var l Line
		if err := strict(text, &l); err != nil {
			return Header{}, nil, invalid("index.jsonl line %d: %v", n, err)
		}
		if l.Kind == "" {
			l.Kind = "model"
		}
		if err := check(l); err != nil {
			return Header{}, nil, invalid("index.jsonl line %d: %v", n, err)
		}
		if seen[l.name()] {
			return Header{}, nil, invalid("index.jsonl line %d: %s %s %s stands there twice", n, l.Idea, l.Step, l.Call)
		}
		seen[l.name()] = true
		lines = append(lines, l)
	}
	if err := sc.Err(); err != nil {
		return Header{}, nil, invalid("index.jsonl: %v", err)
	}
	if h.Recording == 0 {
		return Header{}, nil, invalid("index.jsonl is empty")
	}
	return h, lines, nil
}

func strict(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func check(l Line) error {
	if l.Kind != "model" && l.Kind != ledger.Literature {
		return fmt.Errorf("kind %q is unknown, want model or literature", l.Kind)
	}
	o := ledger.Origin{Scope: []string{"study", l.Idea}, Step: l.Step, Call: l.Call}
	if err := o.Validate(); err != nil {
		return err
	}
	return store.CheckPath(l.File)
}

// Answer is a recorded reply.
type Answer struct {
	Line
	Text []byte
}

// Lookup finds the answer to a call. A step of a later try (writing-2/draft) that has none takes that of the first
// (writing/draft). A missing answer is RECORDING_MISSING.
func (r *Recording) Lookup(ctx context.Context, o ledger.Origin, kind string) (Answer, error) {
	l, ok := r.find(o, kind)
	if !ok {
		return Answer{}, fault.New(fault.NotFound, "RECORDING_MISSING", "the recording has no answer for %s, %s, %s", o.Idea(), o.Step, o.Call).
			WithMeta("idea", o.Idea()).WithMeta("step", o.Step).WithMeta("call", o.Call).WithNext("make recordings")
	}
	f, _ := r.files.Find(l.File) // Open checked it
	text, err := store.GetBytes(ctx, r.blobs, f.Digest, maxReply)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Line: l, Text: text}, nil
}

func (r *Recording) find(o ledger.Origin, kind string) (Line, bool) {
	if l, ok := r.lines[name{o.Idea(), o.Step, o.Call, kind}]; ok {
		return l, true
	}
	step, try := ledger.SplitTry(o.Step)
	if try == 1 {
		return Line{}, false
	}
	l, ok := r.lines[name{o.Idea(), step, o.Call, kind}]
	return l, ok
}

// Has reports whether the recording has any answer of a kind.
func (r *Recording) Has(kind string) bool {
	for n := range r.lines {
		if n.kind == kind {
			return true
		}
	}
	return false
}

// Unused lists the answers that none of the entries, a replay's ledger, asked for. Kinds that are not named do not count.
func (r *Recording) Unused(entries []ledger.Entry, kinds ...string) []Line {
	used := map[name]bool{}
	for _, e := range entries {
		if l, ok := r.find(e.Origin, e.Kind()); ok && e.State == ledger.Done {
			used[l.name()] = true
		}
	}
	var out []Line
	for n, l := range r.lines {
		if used[n] {
			continue
		}
		for _, k := range kinds {
			if n.kind == k {
				out = append(out, l)
			}
		}
	}
	sortLines(out)
	return out
}

// Note is what a reply says whose request was not the recorded one.
const Note = "digest differs"

// Differing counts the replayed answers whose request was not the recorded one, and all replayed ones.
func Differing(entries []ledger.Entry) (differ, replayed int) {
	for _, e := range entries {
		if !e.FromRecord || e.State != ledger.Done {
			continue
		}
		replayed++
		for _, n := range e.Notes {
			if n == Note {
				differ++
				break
			}
		}
	}
	return differ, replayed
}

func sortLines(s []Line) {
	sort.Slice(s, func(i, j int) bool {
		a, b := s[i], s[j]
		if a.Idea != b.Idea {
			return a.Idea < b.Idea
		}
		if a.Step != b.Step {
			return a.Step < b.Step
		}
		if a.Call != b.Call {
			return a.Call < b.Call
		}
		return a.Kind < b.Kind
	})
}

// Shelf opens recordings once.
type Shelf struct {
	blobs store.Blobs

	mu   sync.Mutex
	open map[store.Digest]*Recording
}

// NewShelf makes a shelf of the recordings in a store.
func NewShelf(blobs store.Blobs) *Shelf {
	return &Shelf{blobs: blobs, open: map[store.Digest]*Recording{}}
}

// Open opens the recording of a name, recording/<64 hex>, or gives the one that is open.
func (s *Shelf) Open(ctx context.Context, model string) (*Recording, error) {
	d := store.Digest("sha256:" + strings.TrimPrefix(model, "recording/"))
	s.mu.Lock()
	r := s.open[d]
	s.mu.Unlock()
	if r != nil {
		return r, nil
	}
	if s.blobs == nil || !d.Valid() {
		return nil, fault.New(fault.NotFound, "MODEL_UNKNOWN", "%s cannot be opened: there is no store of recordings here", model).WithNext("nullius doctor")
	}
	r, err := Open(ctx, s.blobs, d)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= 64 {
		clear(s.open)
	}
	s.open[d] = r
	return r, nil
}

// fileOf is where a reply lies in a recording.
func fileOf(l Line) string {
	ext := ".txt"
	if l.Kind == ledger.Literature {
		ext = ".json"
	}
	return path.Join(l.Idea, l.Step, l.Call+ext)
}
