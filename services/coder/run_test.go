package coder

import "testing"

func TestPlanFrom(t *testing.T) {
	tests := []struct {
		name, in string
		want     []PlannedRun
	}{
		{"an object with runs", `{"runs":[{"name":"a","change":"b","expected":"c"}]}`, []PlannedRun{{"a", "b", "c"}}},
		{"a bare list in a fence with prose", "Here it is:\n```json\n[\"first\", {\"title\":\"t\",\"description\":\"d\"}]\n```\n", []PlannedRun{{"", "first", ""}, {"t", "d", ""}}},
		{"another word for the list", `{"plan":[{"change":"x"}]}`, []PlannedRun{{"", "x", ""}}},
		{"runs beyond the limit are left out", `{"runs":[{"change":"1"},{"change":"2"},{"change":"3"}]}`, []PlannedRun{{Change: "1"}, {Change: "2"}}},
		{"items of other kinds are passed over", `{"runs":[1,null,{"change":"y"},{"name":"z"}]}`, []PlannedRun{{Change: "y"}}},
		{"prose is no plan", "I cannot plan {this}.", nil},
		{"nothing is no plan", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := planFrom([]byte(tt.in), 2)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}
