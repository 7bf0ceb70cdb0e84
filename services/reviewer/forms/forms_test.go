package forms_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"nullius.dev/services/reviewer/forms"
)

func load(t *testing.T) *forms.Set {
	t.Helper()
	set, err := forms.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestLoad_ships_the_two_forms(t *testing.T) {
	set := load(t)
	if len(set.All()) != 2 {
		t.Fatalf("%d forms", len(set.All()))
	}
	neurips, ok := set.Get("")
	if !ok || neurips.ID != forms.Default {
		t.Fatalf("the default form is %v", neurips)
	}
	want := "Summary Strengths Weaknesses Originality Quality Clarity Significance Questions Limitations Ethical Concerns Soundness Presentation Contribution Overall Confidence Decision"
	var names []string
	for _, it := range neurips.Items {
		names = append(names, it.Name)
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("items are %q, want %q", got, want)
	}
	for _, f := range set.All() {
		for _, it := range f.Of(forms.Score) {
			for _, v := range it.Allowed() {
				if it.Values[v] == "" {
					t.Errorf("%s: %s %d has no meaning", f.ID, it.Name, v)
				}
			}
		}
	}
}

func TestItem_Allows_only_the_steps_of_the_form(t *testing.T) {
	f, _ := load(t).Get("iclr-2022")
	overall, _ := f.Item(f.Overall)
	steps := map[int]bool{1: true, 3: true, 5: true, 6: true, 8: true, 10: true}
	for v := -1; v <= 12; v++ {
		if got := overall.Allows(v); got != steps[v] {
			t.Errorf("Allows(%d) = %v", v, got)
		}
	}
}

func TestLoad_names_what_is_wrong_with_a_form(t *testing.T) {
	good := "id: x\nversion: 1\noverall: O\nthreshold: 2\nitems:\n  - {name: O, type: score, minimum: 1, maximum: 3, meaning: m}\n"
	tests := []struct{ name, file, body, want string }{
		{"an unknown key", "x.yaml", good + "colour: red\n", "colour"},
		{"an empty file", "x.yaml", "", "empty"},
		{"an id unlike the file's name", "y.yaml", good, "must be called x.yaml"},
		{"an overall item that is missing", "x.yaml", strings.Replace(good, "overall: O", "overall: P", 1), "must name an item"},
		{"a threshold out of range", "x.yaml", strings.Replace(good, "threshold: 2", "threshold: 9", 1), "outside"},
		{"a range upside down", "x.yaml", strings.Replace(good, "maximum: 3", "maximum: 0", 1), "minimum must be below"},
		{"an item without meaning", "x.yaml", strings.Replace(good, "meaning: m", "meaning: ''", 1), "no meaning"},
		{"an unknown type", "x.yaml", strings.Replace(good, "type: score", "type: stars", 1), "stars"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := forms.Load(fstest.MapFS{tt.file: {Data: []byte(tt.body)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
	if set, err := forms.Load(fstest.MapFS{"x.yaml": {Data: []byte(good)}}); err != nil || len(set.All()) != 3 {
		t.Errorf("a sound extra form gave %v", err)
	}
}
