package result_test

import (
	"strings"
	"testing"

	"nullius.dev/gateway/internal/result"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

func TestReport_tellsAnswersToOtherRequests(t *testing.T) {
	answer := func(replayed bool, notes ...string) ledger.Entry {
		return ledger.Entry{Record: ledger.Record{State: ledger.Done, FromRecord: replayed, Notes: notes}}
	}
	for name, tc := range map[string]struct {
		calls []ledger.Entry
		want  string
	}{
		"a model's answers":    {[]ledger.Entry{answer(false)}, ""},
		"a faithful replay":    {[]ledger.Entry{answer(true), answer(true)}, ""},
		"a replay that strays": {[]ledger.Entry{answer(true), answer(true, recording.Note), answer(true)}, "Note: 1 of 3 answers were recorded for other requests"},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := result.Build(t.Context(), result.Input{Blobs: kittest.Blobs(t), Study: "s", Idea: &gatewayv1.Idea{}, Calls: tc.calls})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if f.Path != "report.md" {
					continue
				}
				if tc.want == "" && strings.Contains(string(f.Data), "recorded for other") || !strings.Contains(string(f.Data), tc.want) {
					t.Errorf("want %q in\n%s", tc.want, f.Data)
				}
				return
			}
			t.Error("no report.md")
		})
	}
}
