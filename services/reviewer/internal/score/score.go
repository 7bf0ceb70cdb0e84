// Package score is the arithmetic of a review: how several opinions become one
// number, and how that number becomes a decision. Models take no part in it.
package score

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Summary is what several reviewers gave for one item.
type Summary struct {
	Mean    float64
	SD      float64 // sample standard deviation; 0 for fewer than two values
	Min     float64
	Max     float64
	N       int // values that counted
	Dropped int // values that the form does not allow
}

// Summarise averages the allowed values and counts the others. The order of the
// values makes no difference to any bit of the result.
func Summarise(values []int, allowed func(int) bool) Summary {
	var s Summary
	var used []int
	for _, v := range values {
		if !allowed(v) {
			s.Dropped++
			continue
		}
		used = append(used, v)
	}
	s.N = len(used)
	if s.N == 0 {
		return s
	}
	slices.Sort(used)
	sum := 0
	for _, v := range used {
		sum += v
	}
	s.Min, s.Max = float64(used[0]), float64(used[s.N-1])
	s.Mean = float64(sum) / float64(s.N)
	if s.N > 1 {
		squares := 0.0
		for _, v := range used {
			d := float64(v) - s.Mean
			squares += d * d
		}
		s.SD = math.Sqrt(squares / float64(s.N-1))
	}
	return s
}

// Move shifts a score towards wanted by at most one, inside the form's range.
func Move(current, wanted, minimum, maximum float64) float64 {
	if math.IsNaN(wanted) || math.IsInf(wanted, 0) {
		return current
	}
	next := min(max(wanted, current-1), current+1)
	return min(max(next, minimum), maximum)
}

// Verdict is a decision.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota
	Accept
	Reject
	NeedsPerson
)

// String names the verdict as AI-Scientist's files do.
func (v Verdict) String() string {
	return [...]string{"", "Accept", "Reject", "Needs a person"}[v]
}

// Policy turns a score into a decision.
type Policy struct {
	Threshold float64 // accept from here
	// A band of scores that a person must decide; both 0: none.
	PersonFrom, PersonTo float64
}

// Decide applies the policy. Forced names the checks that demand a rejection.
func (p Policy) Decide(item string, value float64, forced []string) (Verdict, string) {
	said := item + " " + Show(value)
	switch {
	case len(forced) > 0:
		return Reject, fmt.Sprintf("%s, but the check %q forces a rejection", said, forced[0])
	case p.PersonTo > 0 && value >= p.PersonFrom && value <= p.PersonTo:
		return NeedsPerson, fmt.Sprintf("%s lies between %s and %s: a person decides", said, Show(p.PersonFrom), Show(p.PersonTo))
	case value >= p.Threshold:
		return Accept, fmt.Sprintf("%s reaches %s", said, Show(p.Threshold))
	default:
		return Reject, fmt.Sprintf("%s is under %s", said, Show(p.Threshold))
	}
}

// Show prints a score for people: as many decimals as are needed, at most two. It
// rounds towards zero, so that a printed value never reaches a threshold that the
// value itself missed.
func Show(v float64) string {
	whole := math.Trunc(v*100+math.Copysign(1e-9, v)) / 100
	return strconv.FormatFloat(whole, 'f', -1, 64)
}
