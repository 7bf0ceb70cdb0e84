package ideation_test

import (
	"errors"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"

	"nullius.dev/services/ideation"
)

func TestReadIdeas(t *testing.T) {
	w := start(t, nil, nil)
	c := ideationv1.NewIdeationServiceClient(w.conn)
	archive := []*recordv1.Idea{{Name: "seed_one", Title: "Ridge penalties per width", Experiment: "Try a grid of penalties for every width."}}
	read := func(json string) (*ideationv1.ReadIdeasResponse, error) {
		return c.ReadIdeas(t.Context(), &ideationv1.ReadIdeasRequest{Json: json, Archive: archive})
	}
	got, err := read(`[{"Name": "My Idea!", "Title": "Noise as a penalty", "Experiment": "Add noise.", "novel": false, "Score": "6.5", "Feasibility": "7/10", "Own": 1},
		{"title": "Ridge penalties per width", "plan": "Try a grid of penalties for every width."},
		{"Name": "again", "Title": "Noise as a penalty", "Experiment": "Add noise."}]`)
	if err != nil {
		t.Fatal(err)
	}
	first := got.GetIdeas()[0]
	if first.GetIdea().GetName() != "my_idea" || first.GetIdea().GetScore() != 6.5 || first.GetIdea().GetFeasibility() != 7 || first.GetNovel() != ideationv1.Novel_NO || first.GetNear() != "" {
		t.Errorf("the first came out as %v", first)
	}
	if got.GetIdeas()[1].GetNear() != "seed_one" || got.GetIdeas()[2].GetNear() != "my_idea" || got.GetIdeas()[2].GetWhy() == "" {
		t.Errorf("what is the same was not seen: %v", got.GetIdeas()[1:])
	}
	back, err := c.WriteIdeas(t.Context(), &ideationv1.WriteIdeasRequest{Ideas: []*ideationv1.WrittenIdea{{Idea: first.GetIdea(), Novel: ideationv1.Novel_YES}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Name": "my_idea"`, `"novel": true`, `"Score": 6.5`, `"Own": 1`} {
		if !strings.Contains(back.GetJson(), want) {
			t.Errorf("%s is not in\n%s", want, back.GetJson())
		}
	}
	for name, json := range map[string]string{
		"nothing": "", "no JSON": "ideas", "an empty list": "[]", "a number": "[1]", "no title": `[{"Name": "x", "Experiment": "y"}]`, "no plan": `{"Title": "x"}`,
	} {
		if _, err := read(json); !errors.Is(err, fault.Invalid) || fault.ReasonOf(err) != "FIELD_INVALID" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := read(`[{"Title": "` + strings.Repeat("x", 1<<20) + `"}]`); fault.ReasonOf(err) != "PAYLOAD_TOO_LARGE" {
		t.Errorf("too large: got %v", err)
	}
}

// FuzzReadIdeas: whatever a file holds, what is read is an idea, and what is written is read again.
func FuzzReadIdeas(f *testing.F) {
	f.Add(`[{"Name": "a", "Title": "T", "Experiment": "E", "Score": 3, "x": {"y": [1]}}]`)
	f.Add(`{"title": "T", "plan": ["a", "b"], "PlannedRuns": {"run_1": "x"}}`)
	f.Fuzz(func(t *testing.T, data string) {
		ideas, err := ideation.ReadIdeas([]byte(data))
		if err != nil {
			return
		}
		again, err := ideation.ReadIdeas(ideation.WriteIdeas(ideas, nil))
		if err != nil || len(again) != len(ideas) {
			t.Fatalf("%d ideas became %d: %v", len(ideas), len(again), err)
		}
		for i := range ideas {
			if ideas[i].GetTitle() == "" || ideas[i].GetName() != again[i].GetName() || ideas[i].GetTitle() != again[i].GetTitle() {
				t.Fatalf("%v became %v", ideas[i], again[i])
			}
		}
	})
}
