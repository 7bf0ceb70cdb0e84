package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// span is a line of a trace's file in the data folder.
type span struct {
	Name       string         `json:"name"`
	Start      int64          `json:"start_ns"`
	End        int64          `json:"end_ns"`
	Attributes map[string]any `json:"attributes"`
}

func (s span) text(key string) string { t, _ := s.Attributes[key].(string); return t }

// spansOf reads the spans of all traces in a data folder, by start.
func spansOf(dataDir string) ([]span, error) {
	files, err := filepath.Glob(filepath.Join(dataDir, "traces", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var out []span
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		in := bufio.NewScanner(f)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			var s span
			if json.Unmarshal(in.Bytes(), &s) == nil {
				out = append(out, s)
			}
		}
		f.Close()
		if err := in.Err(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b span) int { return int(max(-1, min(1, a.Start-b.Start))) })
	return out, nil
}

// name gives each call the span of the model call within which it was made, so that it has its step and name. Of calls that flew together each gets
// another span; which of them may be mixed up, but not their step.
func name(calls []call, spans []span) []span {
	out, taken := make([]span, len(calls)), make([]bool, len(spans))
	for i, c := range calls {
		best := -1
		for j, s := range spans {
			if taken[j] || s.text("nullius.step") == "" || s.Start > c.begin.UnixNano() || s.End < c.end.UnixNano() {
				continue
			}
			if best < 0 || s.End < spans[best].End {
				best = j
			}
		}
		if best >= 0 {
			out[i], taken[best] = spans[best], true
		}
	}
	return out
}

// interval is a stretch of time.
type interval struct{ from, to time.Time }

// within is how much of the stretches lies before a time.
func within(all []interval, until time.Time) time.Duration {
	var sum time.Duration
	for _, i := range all {
		if i.from.Before(until) {
			end := i.to
			if end.After(until) {
				end = until
			}
			sum += end.Sub(i.from)
		}
	}
	return sum
}
