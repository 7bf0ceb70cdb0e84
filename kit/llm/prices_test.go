package llm_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"nullius.dev/kit/llm"
)

// TestModel_Cost_by_date: a price holds from the begin of its first day to that of the day it ends, by universal time, so that machines in different
// zones book the same.
func TestModel_Cost_by_date(t *testing.T) {
	file := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(file, []byte(`version: 1
models:
  - match: "ollama/m"
    price:
      - {as_of: 2026-01-01, source: test, input: "1", output: "2", until: 2026-03-01}
      - {as_of: 2026-03-01, source: test, input: "3", output: "4", from: 2026-03-01, until: 2026-06-01}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := llm.New(llm.Config{ModelsFile: file}, llm.Deps{Env: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.Model("ollama/m")
	if err != nil {
		t.Fatal(err)
	}
	m.Free = false // as the shipped line for this provider has it
	change := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		at    time.Time
		pico  int64
		asOf  string
		known bool
	}{
		{change.Add(-time.Hour), 3_000_000, "2026-01-01", true},
		{change.Add(-time.Nanosecond), 3_000_000, "2026-01-01", true},
		{change, 7_000_000, "2026-03-01", true},
		{change.Add(time.Hour).In(time.FixedZone("west", -8*3600)), 7_000_000, "2026-03-01", true},
		{change.AddDate(0, 3, 0).Add(-time.Hour), 7_000_000, "2026-03-01", true},
		{change.AddDate(0, 3, 0), 0, "", false},
	} {
		pico, asOf, ok := m.Cost(llm.Usage{Input: 1, Output: 1}, tt.at)
		if pico != tt.pico || asOf != tt.asOf || ok != tt.known {
			t.Errorf("%s: %d, %q, %v; want %d, %q, %v", tt.at, pico, asOf, ok, tt.pico, tt.asOf, tt.known)
		}
	}
}
