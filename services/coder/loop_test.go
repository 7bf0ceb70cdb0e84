package coder_test

import (
	"strings"
	"testing"

	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
)

const planReply = `{"runs":[{"name":"double","change":"Double the rate.","expected":"Lower loss."}]}`

func TestService_ImplementRunWithForeignReplies(t *testing.T) {
	block := func(search, replace string) string {
		return "experiment.py\n```python\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n```\n"
	}
	tests := []struct {
		name    string
		script  map[string][]string
		outcome coderv1.Edited_Outcome
		holds   string // experiment.py, when it was changed
	}{
		{
			name:    "a bare list is a plan",
			script:  map[string][]string{"plan": {"Here:\n```json\n[{\"title\":\"a\",\"description\":\"b\"}]\n```"}, "plan/retry-1": {"[{\"title\":\"a\",\"description\":\"b\"}]"}, "edit": {goodEdit}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.2",
		},
		{
			name:    "a question about sound edits that is answered KEEP keeps them",
			script:  map[string][]string{"plan": {planReply}, "edit": {block("RATE = 0.1", "RATE = missing_name")}, "edit/retry-1": {"KEEP, it is meant so."}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = missing_name",
		},
		{
			name: "a comment that speaks of code left out is asked about",
			script: map[string][]string{"plan": {planReply}, "edit": {block("RATE = 0.1", "RATE = 0.2\n# rest of the code unchanged")},
				"edit/retry-1": {block("RATE = 0.2\n# rest of the code unchanged", "RATE = 0.2\nSTEPS = 3")}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.2\nSTEPS = 3",
		},
		{
			name:    "a file that would not parse is mended by a further block",
			script:  map[string][]string{"plan": {planReply}, "edit": {block("RATE = 0.1", "RATE = (0.2")}, "edit/retry-1": {block("RATE = (0.2", "RATE = (0.2)")}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = (0.2)",
		},
		{
			name:    "a file that would not parse is mended by the same block sent again",
			script:  map[string][]string{"plan": {planReply}, "edit": {block("RATE = 0.1", "RATE = (0.2")}, "edit/retry-1": {block("RATE = 0.1", "RATE = 0.25")}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.25",
		},
		{
			name:    "prose three times is no change",
			script:  map[string][]string{"plan": {planReply}, "edit": {"I would do it."}, "edit/retry-1": {""}, "edit/retry-2": {"Sure!"}},
			outcome: coderv1.Edited_NO_CHANGE,
		},
		{
			name:    "edits that never fit end within the limits",
			script:  map[string][]string{"plan": {planReply}, "edit": {block("nope", "x")}, "edit/retry-1": {block("nope", "x")}, "edit/retry-2": {block("nope", "x")}},
			outcome: coderv1.Edited_NO_CHANGE,
		},
		{
			name:    "a protected file is refused and the right one taken",
			script:  map[string][]string{"plan": {planReply}, "edit": {strings.ReplaceAll(block("{}", "{1}"), "experiment.py", "run_0/final_info.json")}, "edit/retry-1": {block("RATE = 0.1", "RATE = 0.3")}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.3",
		},
		{
			name:    "a reply that was cut off is not applied and goes on from its whole blocks",
			script:  map[string][]string{"plan": {planReply}, "edit": {"!length " + goodEdit + "experiment.py\n<<<<<<< SEARCH\nmain()"}, "edit/retry-1": {block("    print(args.out_dir, RATE)", "    print(RATE)")}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.2",
		},
		{
			name: "a reply that was cut off inside a line goes on from that line",
			script: map[string][]string{"plan": {planReply}, "edit": {"!length experiment.py\n<<<<<<< SEARCH\nRATE = 0.1\n=======\nRATE = 0."},
				"edit/retry-1": {"RATE = 0.25\n>>>>>>> REPLACE\n"}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.25",
		},
		{
			name:    "a cut reply is never applied though it happens to parse",
			script:  map[string][]string{"plan": {planReply}, "edit": {"!length " + goodEdit}, "edit/retry-1": {"That was all."}, "edit/retry-2": {block("main()\n", "main()  # twice\n")}},
			outcome: coderv1.Edited_CHANGED, holds: "main()  # twice",
		},
		{
			name:    "a refusal is an outcome",
			script:  map[string][]string{"plan": {planReply}, "edit": {"!refused I cannot."}},
			outcome: coderv1.Edited_LLM_REFUSED,
		},
		{
			name:    "a stop line before any run needs a reason",
			script:  map[string][]string{"plan": {planReply}, "edit": {"ALL_COMPLETED"}, "edit/retry-1": {goodEdit}},
			outcome: coderv1.Edited_CHANGED, holds: "RATE = 0.2",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, tt.script)
			out := l.implement(t)
			if out.GetOutcome() != tt.outcome {
				t.Fatalf("outcome %s, want %s; feedback: %s", out.GetOutcome(), tt.outcome, out.GetFeedback())
			}
			if out.GetOutcome() != coderv1.Edited_CHANGED {
				if out.GetSnapshot() != l.tree {
					t.Error("the tree changed without a change")
				}
				return
			}
			data, err := store.ReadFile(t.Context(), l.blobs, store.Digest(out.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || !strings.Contains(string(data), tt.holds) {
				t.Errorf("experiment.py lacks %q: %v\n%s", tt.holds, err, data)
			}
		})
	}
}
