package score_test

import (
	"math"
	"testing"

	"nullius.dev/services/reviewer/internal/score"
	"pgregory.net/rapid"
)

func inTen(v int) bool { return v >= 1 && v <= 10 }

func TestSummarise(t *testing.T) {
	tests := []struct {
		name   string
		values []int
		want   score.Summary
	}{
		{"nothing given", nil, score.Summary{}},
		{"one value has no spread", []int{6}, score.Summary{Mean: 6, Min: 6, Max: 6, N: 1}},
		{"the mean is not rounded", []int{5, 6, 6, 6}, score.Summary{Mean: 5.75, SD: 0.5, Min: 5, Max: 6, N: 4}},
		{"values out of range are dropped and counted", []int{0, 4, 11, 4}, score.Summary{Mean: 4, Min: 4, Max: 4, N: 2, Dropped: 2}},
		{"only values out of range leave nothing", []int{42}, score.Summary{Dropped: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := score.Summarise(tt.values, inTen); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSummarise_does_not_depend_on_order_and_stays_in_range(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.IntRange(-3, 14)).Draw(t, "values")
		a := score.Summarise(values, inTen)
		b := score.Summarise(rapid.Permutation(values).Draw(t, "shuffled"), inTen)
		if a != b {
			t.Fatalf("%+v is not %+v", a, b)
		}
		if a.N+a.Dropped != len(values) {
			t.Fatalf("%d counted and %d dropped of %d", a.N, a.Dropped, len(values))
		}
		if a.N > 0 && (a.Mean < a.Min || a.Mean > a.Max || a.SD < 0) {
			t.Fatalf("impossible summary %+v", a)
		}
	})
}

func TestMove_changes_a_score_by_at_most_one_inside_the_range(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Float64Range(1, 10).Draw(t, "from")
		got := score.Move(from, rapid.Float64().Draw(t, "wanted"), 1, 10)
		if math.Abs(got-from) > 1+1e-12 || got < 1 || got > 10 {
			t.Fatalf("%v became %v", from, got)
		}
	})
	if got := score.Move(5, math.NaN(), 1, 10); got != 5 {
		t.Errorf("a move to no number gave %v", got)
	}
}

func TestPolicy_Decide(t *testing.T) {
	plain := score.Policy{Threshold: 6}
	band := score.Policy{Threshold: 6, PersonFrom: 5, PersonTo: 6.5}
	tests := []struct {
		name   string
		policy score.Policy
		value  float64
		forced []string
		want   score.Verdict
		reason string
	}{
		{"at the threshold it is an accept", plain, 6, nil, score.Accept, "Overall 6 reaches 6"},
		{"just below it is a reject, and is not printed as 6", plain, 5.999, nil, score.Reject, "Overall 5.99 is under 6"},
		{"a band asks for a person", band, 5.5, nil, score.NeedsPerson, "Overall 5.5 lies between 5 and 6.5: a person decides"},
		{"above the band it is an accept", band, 7, nil, score.Accept, "Overall 7 reaches 6"},
		{"a check forces a reject", plain, 9.4, []string{"numbers"}, score.Reject, `Overall 9.4, but the check "numbers" forces a rejection`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, reason := tt.policy.Decide("Overall", tt.value, tt.forced)
			if got != tt.want || reason != tt.reason {
				t.Errorf("got %v %q, want %v %q", got, reason, tt.want, tt.reason)
			}
		})
	}
}
