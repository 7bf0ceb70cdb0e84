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
	Counts  counters `json:"counts"`
}

// counters are what one instruction adds to a model's statistics.
type counters struct {
	Calls         int            `json:"calls"`
	FirstReply    bool           `json:"first_reply"` // the first reply was applied
	FormatRetries int            `json:"format_retries"`
	SyntaxRetries int            `json:"syntax_retries"`
	EmptyRetries  int            `json:"empty_retries"`
	LazyRetries   int            `json:"lazy_retries"`
	OtherFormat   int            `json:"other_format"`
	Questions     int            `json:"questions"` // asked once about sound edits
	CutOff        int            `json:"cut_off"`   // replies that were gone on with
	Corrections   int            `json:"corrections"`
	ByContent     int            `json:"by_content,omitempty"` // of the corrections
	Rungs         map[string]int `json:"rungs,omitempty"`      // of the reply that was applied
	Lines         int            `json:"lines"`                // added and removed
	OutputTokens  int64          `json:"output_tokens"`        // of all calls
	TokensPerLine float64        `json:"tokens_per_line,omitempty"`
}

// count sums an instruction up.
func (t *talk) count(e edited, lines int) counters {
	c := counters{
		Calls: t.calls, FirstReply: t.counts.WellFormed > 0 && e.result == Changed, FormatRetries: t.format, SyntaxRetries: t.syntax, EmptyRetries: t.empty,
		LazyRetries: t.lazy, OtherFormat: t.other, Questions: t.checked, CutOff: t.goneOn, Lines: lines, OutputTokens: t.usage.Output,
	}
	for _, r := range t.report.Rounds {
		for _, b := range r.Blocks {
			if b.Corrected {
				c.Corrections++
			}
			if b.ByContent {
				c.ByContent++
			}
		}
	}
	if e.result != Changed || len(t.report.Rounds) == 0 {
		return c
	}
	c.Rungs = map[string]int{}
	for _, b := range t.report.Rounds[len(t.report.Rounds)-1].Blocks {
		for _, g := range b.Rungs {
			c.Rungs[g]++
		}
	}
	if lines > 0 {
		c.TokensPerLine = float64(c.OutputTokens) / float64(lines)
	}
	return c
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
