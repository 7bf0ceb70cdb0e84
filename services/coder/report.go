package coder

import (
	"encoding/json"

	"nullius.dev/services/coder/internal/edit"
)

// report is the transcript of an instruction: what each reply asked for and what became of it.
type report struct {
	Step    string   `json:"step"`
	Outcome string   `json:"outcome"`
	Rounds  []*round `json:"rounds"`
}

// round is one reply.
type round struct {
	Call     int                `json:"call"` // 1 is the first
	Finish   string             `json:"finish"`
	Status   edit.Class         `json:"status"`
	Problem  string             `json:"problem,omitempty"`
	Blocks   []edit.BlockReport `json:"blocks,omitempty"`
	Rungs    []string           `json:"rungs,omitempty"`
	Warnings []string           `json:"warnings,omitempty"`
	Checks   []string           `json:"checks,omitempty"`
	Diff     string             `json:"diff,omitempty"`
	Feedback string             `json:"feedback,omitempty"`
}

func (r *report) add(call int, finish string, rep edit.Report, c edit.Changes) *round {
	const maxDiff = 64 << 10
	n := &round{
		Call: call, Finish: finish, Status: rep.Status, Problem: rep.Problem, Blocks: rep.Blocks,
		Rungs: rep.Rungs(), Warnings: rep.Warnings, Diff: headOf(text(c.Diff()), maxDiff),
	}
	r.Rounds = append(r.Rounds, n)
	return n
}

// warnings of the last round: those of the edits that stand.
func (r *report) warnings() []string {
	if len(r.Rounds) == 0 {
		return nil
	}
	return r.Rounds[len(r.Rounds)-1].Warnings
}

func (r *report) encode() []byte {
	out, err := json.MarshalIndent(r, "", " ")
	if err != nil { // strings and numbers only
		return []byte("{}")
	}
	return append(out, '\n')
}

// String names a result in lower case.
func (r Result) String() string {
	switch r {
	case Changed:
		return "changed"
	case Finished:
		return "finished"
	case NoChange:
		return "no change"
	case Refused:
		return "refused"
	case TooLong:
		return "too long"
	}
	return "unknown"
}
