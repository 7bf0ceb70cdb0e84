package result_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/result"
	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

func TestTheLogTellsWhatHappened(t *testing.T) {
	blobs := kittest.Blobs(t)
	put := func(text string) *executorv1.LogDigest {
		d, _, err := blobs.Put(t.Context(), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return &executorv1.LogDigest{Digest: string(d)}
	}
	var long strings.Builder
	for n := range 9000 {
		fmt.Fprintf(&long, "step %d\n", n)
	}
	at := timestamppb.New(time.Date(2026, 3, 1, 10, 20, 30, 0, time.UTC))
	job := func(stdout, stderr string) *gatewayv1.JournalEvent {
		return &gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_StepEnded{StepEnded: &gatewayv1.StepEnded{Outcome: &gatewayv1.StepEnded_Job{Job: &executorv1.JobResult{
			EndReason: executorv1.EndReason_FAILED, Stdout: put(stdout), Stderr: put(stderr)}}}}}
	}
	files, err := result.Build(t.Context(), result.Input{
		Blobs: blobs, Study: "s", Idea: &gatewayv1.Idea{},
		Story: []*gatewayv1.StudyEvent{
			{Time: at, Kind: "claimed", Text: "taken up by vm"},
			{Time: at, Kind: "step-started", Step: "experiments/run-1/execute-1", Attempt: 1},
			{Time: at, Kind: "step-ended", Step: "experiments/run-1/execute-1", Outcome: "FAILED", Text: "ValueError:\nbad \x1b[31mshape"},
			{Time: at, Kind: "step-ended", Step: "experiments/run-1/execute-2", Outcome: "FAILED", Text: "exit 1"},
			{Time: at, Kind: "step-started", Step: "writing/draft", Attempt: 2},
			{Time: at, Kind: "waiting", Reason: "BUDGET", Text: "$5.00 are spent"},
			{Time: at, Kind: "ended", State: gatewayv1.IdeaState_FAILED, Reason: "NO_SUCCESSFUL_RUN", Text: "no run succeeded"},
		},
		Events: []*gatewayv1.JournalEvent{{}, {}, job("loss 3\n", "Traceback\n  \x1b]0;x\x07boom\r\n"), job(long.String(), "\n"), {}, {}, {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, f := range files {
		if f.Path == "log.txt" {
			got = string(f.Data)
		}
	}
	for n, want := range []string{
		"2026-03-01 10:20:30  experiments/run-1/execute-1      began",
		"2026-03-01 10:20:30  experiments/run-1/execute-1      FAILED  ValueError: bad [31mshape",
		"    | Traceback", "    |   ]0;xboom",
		"2026-03-01 10:20:30  experiments/run-1/execute-2      FAILED  exit 1",
		"    | step 8960",
	} {
		if lines := strings.Split(got, "\n"); lines[n] != want {
			t.Errorf("line %d is %q, want %q", n, lines[n], want)
		}
	}
	for _, want := range []string{
		"    | step 8999\n2026-03-01 10:20:30  writing/draft                    began, attempt 2\n",
		"WAITING BUDGET  $5.00 are spent\n", "ended FAILED NO_SUCCESSFUL_RUN  no run succeeded\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, not := range []string{"taken up", "step 8959", "loss 3", "\x1b", "\x07", "\r"} {
		if strings.Contains(got, not) {
			t.Errorf("the log holds %q:\n%s", not, got)
		}
	}
}
