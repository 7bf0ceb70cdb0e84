package results_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/services/executor/internal/results"
)

func num(f float64) *float64 { return &f }

func TestParse_ReadsEveryShape(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []results.Measurement
		refused  int
	}{
		{"means alone", `{"d": {"means": {"a": 1.5, "b": -2e3}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", Value: 1.5}, {Dataset: "d", Metric: "b", Value: -2000}}, 0},
		{"a bare mean with stds", `{"d": {"means": 0.5, "stds": 0.1}}`,
			[]results.Measurement{{Dataset: "d", Metric: "value", Value: 0.5}}, 0},
		{"nested means with texts", `{"d": {"means": {"x": {"y": 1, "unit": "s", "z": {"w": 2}}, "name": "m"}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "x.y", Value: 1}, {Dataset: "d", Metric: "x.z.w", Value: 2}}, 0},
		{"stderrs under equal keys", `{"d": {"means": {"a": 1}, "stderrs": {"a": 0.25}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", Value: 1, StandardError: num(0.25)}}, 0},
		{"a pair of mean and stderr", `{"d": {"means": {"a_mean": 1}, "stderrs": {"a_stderr": 0.25}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a_mean", Value: 1, StandardError: num(0.25)}}, 0},
		{"a pair inside means", `{"d": {"means": {"a_mean": 1, "a_stderr": 0.25}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", Value: 1, StandardError: num(0.25)}}, 0},
		{"a zero error with one value is unknown", `{"d": {"means": {"a": 1}, "stderrs": {"a": 0}, "final_info_dict": {"a": [1]}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", Value: 1, N: 1, PerSeed: []float64{1}}}, 0},
		{"seeds give n and the error", `{"d": {"means": {"a": 2}, "final_info_dict": {"a": [1, 2, 3], "t": ["x"]}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", Value: 2, N: 3, PerSeed: []float64{1, 2, 3}, StandardError: num(1 / math.Sqrt(3))}}, 0},
		{"an error that divides by n is noted", `{"d": {"means": {"a": 2}, "stderrs": {"a": 0.4714}, "final_info_dict": {"a": [1, 2, 3]}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", Value: 2, N: 3, PerSeed: []float64{1, 2, 3}, StandardError: num(1 / math.Sqrt(3))}}, 1},
		{"not finite", `{"d": {"means": {"a": NaN, "b": -Infinity, "c": 1}}}`,
			[]results.Measurement{{Dataset: "d", Metric: "a", NotFinite: true}, {Dataset: "d", Metric: "b", NotFinite: true}, {Dataset: "d", Metric: "c", Value: 1}}, 2},
		{"other keys and slashes", `{"a/b": {"solution": [[1, 2]], "means": {"x/y": 3}}, "e": 5}`,
			[]results.Measurement{{Dataset: "a:b", Metric: "x:y", Value: 3}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := results.Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got.Measurements); d != "" {
				t.Error(d)
			}
			if len(got.Refused) != c.refused {
				t.Errorf("refused %q, want %d", got.Refused, c.refused)
			}
		})
	}
}

func TestParse_RefusesWithPosition(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", ``, "line 1, column 1: ends too early"},
		{"a list", `[]`, "not an object"},
		{"cut", "{\"d\": {\"means\":\n {\"a\": 1", "line 2, column 9"},
		{"a doubled key", `{"d": {"means": {"a": 1, "a": 2}}}`, `"a" comes twice`},
		{"too deep", strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), "more than 16 levels"},
		{"too many numbers", `{"d": {"means": {}, "x": [` + strings.Repeat("1,", 10_001) + `1]}}`, "more than 10000 numbers"},
		{"too many empty lists", `{"d": {"means": {"a": 1}, "x": [` + strings.Repeat("[],", 100_001) + `[]]}}`, "more than 100000 values"},
		{"too many empty texts", `{"d": {"means": {"a": 1}, "x": [` + strings.Repeat(`"",`, 100_001) + `""]}}`, "more than 100000 values"},
		{"too large", strings.Repeat(" ", results.MaxBytes+1), "more than 8388608 bytes"},
		{"not UTF-8", "{\"d\": \"\xff\"}", "column 8: not UTF-8"},
		{"no numbers", `{"d": {"means": {"a": "x"}}}`, "no dataset has a number"},
		{"text after the end", `{"d": {"means": 1}} x`, "text after the end"},
		{"half an exponent", `{"d": {"means": 1e}}`, "not a value"},
		{"an odd number", `{"d": {"means": 01}}`, "not a value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := results.Parse([]byte(c.in))
			var s *results.SyntaxError
			if !errors.As(err, &s) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestParse_manyLongNames reads as many numbers as are allowed, in a time that grows with the file.
func TestParse_manyLongNames(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"d": {"means": {"first": 1`)
	for i := range results.MaxNumbers - 1 {
		fmt.Fprintf(&b, `, "%d%s_stderr": 1`, i, strings.Repeat("m", 700))
	}
	b.WriteString("}}}")
	r, err := results.Parse([]byte(b.String()))
	if err != nil || len(r.Measurements) != results.MaxNumbers {
		t.Errorf("%d measurements, %v", len(r.Measurements), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"d": {"means": {"a": 1}}}`, `{"d": {"means": NaN}}`, `{"a":"\u00e9\\"}`, "[1e5,-0.1,true,null]", `{"d":{"means":{"a_mean":1,"a_stderr":1e999}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := results.Parse(b)
		if err != nil {
			return
		}
		for _, m := range r.Measurements {
			if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || strings.Contains(m.Metric, "/") {
				t.Errorf("%+v", m)
			}
		}
	})
}
