package numbers_test

import (
	"testing"

	"nullius.dev/services/writer/internal/numbers"
)

func TestReadSettings_takesTuplesApart(t *testing.T) {
	for code, want := range map[string]map[string]float64{
		"BASE, GAP = 0.5, 0.1\n":         {"BASE": 0.5, "GAP": 0.1},
		"    a, b = (1, 2)\n":            {"a": 1, "b": 2},
		"a, b = f(3)\n":                  {},
		"a, b = 1, x\nc = 4\n":           {"a": 1, "c": 4},
		"first, rest = 7, 8, 9\nd = 2\n": {"d": 2},
		"if a == 3:\n    e = 5\n":        {"e": 5},
	} {
		got := map[string]float64{}
		for _, s := range numbers.ReadSettings(code) {
			got[s.ID] = s.Value
		}
		if len(got) != len(want) {
			t.Errorf("%q: got %v, want %v", code, got, want)
		}
		for id, v := range want {
			if got[id] != v {
				t.Errorf("%q: %s is %v, want %v", code, id, got[id], v)
			}
		}
	}
}
