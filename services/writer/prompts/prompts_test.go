package prompts_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"nullius.dev/services/writer/prompts"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func TestSet(t *testing.T) {
	s := prompts.New()
	for name, got := range map[string]string{
		"rules": s.Rules(),
		"record": s.Record(prompts.Record{Fence: "=====ab=====", Idea: "Title: A", Template: "toy", Task: "Study it.", Runs: []string{"run_0 (baseline), succeeded", "run_1 \"x\", FAILED after 4 tries: boom"},
			Measurements: "d/m minimize n=3 | 0: 1±0.1\n", Counts: "runs=1 (runs)", Settings: "lr=0.1", Figures: []string{"a.png: what it shows"}}),
		"record-bare":    s.Record(prompts.Record{Fence: "=====ab====="}),
		"code":           s.Code(prompts.Code{Fence: "=====ab=====", Diff: "-a\n+b", Baseline: "a", Notes: "n"}),
		"outline":        s.Outline(20, "- key: A Paper"),
		"citations":      s.Citations([]prompts.Need{{Number: 1, Query: "words", Why: "because", Hits: []string{"key: A Paper"}}}),
		"draft":          s.Draft("results", "700 to 1100", "a.png"),
		"closing":        s.Closing(),
		"refine":         s.Refine("results", []string{"N01 results.1: typed"}, "%%% results.1\nText.\n"),
		"refine-closing": s.RefineClosing(nil, "%%% abstract.1\nText.\n"),
		"paper":          s.Paper(nil, "%%% results.1\nText.\n"),
		"mend":           s.Mend([]string{"N01 results.1: typed"}, "%%% results.1\nText.\n"),
		"map":            s.Map("=====ab=====", "1. weak", "%%% results.1\nText.\n"),
		"revise":         s.Revise("results", []string{"edit: weak"}, "%%% results.1\nText.\n"),
		"again":          s.Again("it is empty"),
		"continue":       s.Continue(),
	} {
		t.Run(name, func(t *testing.T) {
			path := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(path, []byte(got+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (go test ./prompts -update writes it)", err)
			}
			if got+"\n" != string(want) {
				t.Errorf("the prompt differs from %s; go test ./prompts -update rewrites it\n%s", path, got)
			}
			if strings.Contains(got, "<no value>") || strings.HasPrefix(got, "prompt ") {
				t.Error("a hole in the prompt")
			}
		})
	}
}
