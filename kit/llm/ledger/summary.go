package ledger

import (
	"sort"
	"strings"
)

// Cost sums entries.
type Cost struct {
	Calls     int
	Usage     Usage
	Cost      int64 // pico-dollars
	WouldCost int64 // pico-dollars, of replayed recordings
	Lost      int   // tries that were possibly paid
	Unpriced  int   // calls whose cost is unknown
}

func (c *Cost) add(r Record) {
	c.Calls++
	c.Usage = c.Usage.Add(r.Usage)
	c.Cost += r.Cost
	c.WouldCost += r.WouldCost
	c.Lost += r.Lost
	if r.Unpriced {
		c.Unpriced++
	}
}

// Group is a line of a cost table.
type Group struct {
	Idea, Stage, Model string
	Cost
}

// Summarize sums the DONE model calls by idea, stage and model, sorted in that order. The stage is the step's first part
// without its try: writing-2/draft belongs to writing.
func Summarize(entries []Entry) []Group {
	type id struct{ idea, stage, model string }
	groups := map[id]*Group{}
	for _, e := range entries {
		if e.State != Done || e.Kind() != "model" {
			continue
		}
		k := id{e.Origin.Idea(), Stage(e.Origin.Step), e.Model}
		g := groups[k]
		if g == nil {
			g = &Group{Idea: k.idea, Stage: k.stage, Model: k.model}
			groups[k] = g
		}
		g.add(e.Record)
	}
	out := make([]Group, 0, len(groups))
	for _, g := range groups {
		out = append(out, *g)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Idea != b.Idea {
			return a.Idea < b.Idea
		}
		if a.Stage != b.Stage {
			return a.Stage < b.Stage
		}
		return a.Model < b.Model
	})
	return out
}

// Total sums the DONE model calls.
func Total(entries []Entry) Cost {
	var c Cost
	for _, e := range entries {
		if e.State == Done && e.Kind() == "model" {
			c.add(e.Record)
		}
	}
	return c
}

// Stage is the first part of a step's name, without its try.
func Stage(step string) string {
	stage, _ := SplitTry(step)
	stage, _, _ = strings.Cut(stage, "/")
	return stage
}

// SplitTry takes the try out of a step's name: writing-2/draft becomes writing/draft, 2; the first try has no number.
func SplitTry(step string) (string, int) {
	stage, rest, more := strings.Cut(step, "/")
	i := strings.LastIndexByte(stage, '-')
	if i <= 0 || i == len(stage)-1 || len(stage)-i > 6 {
		return step, 1
	}
	n := 0
	for _, c := range stage[i+1:] {
		if c < '0' || c > '9' {
			return step, 1
		}
		n = n*10 + int(c-'0')
	}
	if n < 2 {
		return step, 1
	}
	if !more {
		return stage[:i], n
	}
	return stage[:i] + "/" + rest, n
}
