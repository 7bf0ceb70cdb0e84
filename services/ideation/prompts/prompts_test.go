package prompts_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/services/ideation/prompts"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func TestGoldens(t *testing.T) {
	draft := prompts.Draft{
		Task: "Find what lowers the error.", Code: "print('x')\n", Runs: 3, Time: "5 minutes", Hardware: "2 CPU cores, no GPU", Modules: "numpy, scipy", OpenEnded: true,
		Archive: []prompts.Archived{{Name: "a_seed", Title: "A seed", Plan: "Try it."}, {Name: "b", Title: "B", Score: "4"}}, Hidden: 2,
	}
	novelty := prompts.Novelty{
		Idea: "{\n  \"Name\": \"a\"\n}", Task: "Find what lowers the error.", Round: 3, Rounds: 10, Repeated: "same words",
		Queries: []prompts.Query{{Round: 1, Text: "first words", Happened: "2 papers"}, {Round: 2, Text: "more words", Used: "words", Happened: "no engine answered, which tells nothing"}},
		Papers: []prompts.Paper{{Number: 2, Title: "Two", Authors: "Ada Example", Venue: "Conf", Year: "2020", Cited: "7", Digest: "We study.", Retracted: true},
			{Number: 3, Title: "Three", Authors: "unknown authors", Year: "no year"}},
		Earlier: []prompts.Paper{{Number: 1, Title: "One", Year: "1999"}},
	}
	last := prompts.Novelty{Idea: "{}", Task: "T", Round: 10, Rounds: 10, Last: true}
	for name, render := range map[string]func() (string, error){
		"idea_system":    prompts.IdeaSystem,
		"novelty_system": prompts.NoveltySystem,
		"draft":          func() (string, error) { return prompts.DraftIdea(draft) },
		"draft_first":    func() (string, error) { return prompts.DraftIdea(prompts.Draft{Task: "T", Code: "c", Runs: 5}) },
		"reflect":        func() (string, error) { return prompts.ReflectIdea(prompts.Reflect{Round: 2, Rounds: 3}) },
		"reflect_last": func() (string, error) {
			return prompts.ReflectIdea(prompts.Reflect{Round: 3, Rounds: 3, Last: true, Problem: "it has the same Name as a_seed"})
		},
		"duplicate": func() (string, error) {
			return prompts.DuplicateIdea(prompts.Duplicate{Name: "a_seed", Title: "A seed", Why: "it has the same Name"})
		},
		"novelty":      func() (string, error) { return prompts.NoveltyRound(novelty) },
		"novelty_last": func() (string, error) { return prompts.NoveltyRound(last) },
		"again":        func() (string, error) { return prompts.Again("the idea has no Title") },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
			if strings.Contains(got, "\n\n\n") {
				t.Error("two empty lines in a row")
			}
		})
	}
}
