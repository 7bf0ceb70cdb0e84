package ideation_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
)

// The local list finds papers for these words; the played OpenAlex decides what the verdict rests on.
var known = []string{"double descent", "ridge regression", "random forests"}

func TestAssessNovelty_WhatTheLocalListFindsIsNoEvidenceOfNovelty(t *testing.T) {
	replies := map[string][]string{"round-4": {novel}}
	for i, q := range known {
		replies[fmt.Sprintf("round-%d", i+1)] = []string{search(q)}
	}
	nothing := func(w http.ResponseWriter) { fmt.Fprint(w, `{"meta":{"count":0},"results":[]}`) }
	down := func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) }
	tests := []struct {
		name    string
		answers []func(http.ResponseWriter) // by query, in order of known; the last one stands for the rest
		reason  string
	}{
		{"OpenAlex is down throughout", []func(http.ResponseWriter){down}, "ONLY_LOCAL"},
		{"OpenAlex knows nothing throughout", []func(http.ResponseWriter){nothing}, "TOO_FEW"},
		{"OpenAlex knows nothing once and is down then", []func(http.ResponseWriter){nothing, down}, "TOO_FEW"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, replies, func(rw http.ResponseWriter, r *http.Request) {
				at := 0
				for i, q := range known {
					if strings.Contains(r.URL.Query().Get("search"), strings.Fields(q)[0]) {
						at = i
					}
				}
				tt.answers[min(at, len(tt.answers)-1)](rw)
			})
			res := w.assess(t, "auto")
			w.model.Unused()
			if res.GetVerdict() != ideationv1.AssessNoveltyResult_UNDECIDED || res.GetReason() != tt.reason {
				t.Errorf("got %v %s %q, want UNDECIDED %s", res.GetVerdict(), res.GetReason(), res.GetExplanation(), tt.reason)
			}
			if len(res.GetPapers()) == 0 {
				t.Error("the local list found nothing, so this shows nothing")
			}
		})
	}
}

func TestGenerateIdea_BytesThatAreNoTextPassTheWire(t *testing.T) {
	draft := "```json\n{\"Name\": \"odd\", \"Title\": \"A \xff title\", \"Experiment\": \"Vary \xc3 the width.\", \"Extra\": \"\xfe\"}\n```"
	w := start(t, map[string][]string{"draft": {draft}, "draft/retry-1": {"\xff"}}, nil)
	res, err := w.generate(t, func(r *ideationv1.GenerateIdeaRequest) { r.Reflections = 1 })
	if err != nil {
		t.Fatal(err)
	}
	if res.GetOutcome() == ideationv1.GenerateIdeaResult_UNSPECIFIED {
		t.Errorf("got %v", res)
	}
}
