package main

import (
	"bytes"
	"strings"
	"testing"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

func TestTell_showsAJobsEndWhereItIsAskedFor(t *testing.T) {
	m := &gatewayv1.WatchStudyResponse{Update: &gatewayv1.WatchStudyResponse_Event{Event: &gatewayv1.StudyEvent{
		Study: "s", Idea: "idea-1", Kind: subject.KindJob, Step: "experiments/run-1/execute-1", Attempt: 2, Outcome: "LOST", Text: "on gpu-1 in 3s"}}}
	for _, c := range []struct {
		o    watchOptions
		want string
	}{{watchOptions{}, ""}, {watchOptions{jobs: true}, "job LOST, attempt 2  on gpu-1 in 3s\n"}} {
		var out bytes.Buffer
		(&cli{out: &out, output: "table"}).tell(m, c.o)
		if got := out.String(); !strings.HasSuffix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}
