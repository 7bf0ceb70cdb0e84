package prompts_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"nullius.dev/services/reviewer/forms"
	"nullius.dev/services/reviewer/prompts"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func TestPrompts_match_their_goldens(t *testing.T) {
	set, err := forms.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := set.Get("")
	iclr, _ := set.Get("iclr-2022")
	tests := map[string]func() (string, error){
		"system":    prompts.System,
		"form":      func() (string, error) { return prompts.Form(f) },
		"form-iclr": func() (string, error) { return prompts.Form(iclr) },
		"example":   func() (string, error) { return prompts.Example(1, "Text.", `{"Summary": "…"}`) },
		"paper":     func() (string, error) { return prompts.Paper("Text {{.Open}}.", "latex") },
		"review":    func() (string, error) { return prompts.Review(f) },
		"merge":     func() (string, error) { return prompts.Merge(f, []string{`{"a":1}`, `{"b":2}`}) },
		"reflect":   func() (string, error) { return prompts.Reflect(f, `{"a":1}`, []string{"a lost quote"}, 1, 4) },
	}
	for name, ask := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFenceOf_cannot_be_closed_by_the_text(t *testing.T) {
	first := prompts.FenceOf("PAPER", "x")
	text := first.Close
	if f := prompts.FenceOf("PAPER", text); strings.Contains(text, f.Close) {
		t.Errorf("the text holds its own fence %q", f.Close)
	}
	if prompts.FenceOf("PAPER", "x") != first {
		t.Error("the same text got another fence")
	}
}
