package main

import (
	"bytes"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

func TestNodesTable_tells_what_an_operator_asks(t *testing.T) {
	ago := timestamppb.New(time.Now().Add(-90 * time.Second))
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	nodesTable(w, &executorv1.ListNodesResponse{Queued: 3, OldestQueued: ago, Nodes: []*executorv1.Node{
		{Name: "rack-1", Instance: "aaaaaabbbb", Pools: []string{"cpu", "gpu"}, Level: "strict", Draining: true, Finishing: []string{"s/i/x"}, Slots: []*executorv1.Slot{
			{Id: "cpu-0", State: "FREE"}, {Id: "GPU-5d3f", State: "QUARANTINED", Since: ago, Reason: "XID 79 (hardware)"}}},
		{Name: "rack-1", Instance: "ccccccdddd", Pools: []string{"cpu"}, Level: "strict", GpuNote: "no GPU: NVIDIA driver not found", Slots: []*executorv1.Slot{
			{Id: "cpu-0", State: "BUSY", Since: ago, JobId: "s/i/y"}}},
		{Name: "rack-2", Pools: []string{"cpu"}, Slots: []*executorv1.Slot{{Id: "cpu-0", State: "FREE"}},
			Refusals: []*executorv1.Refusal{{Reason: "SANDBOX_TOO_WEAK", Text: "bubblewrap is not installed", Remedy: "sudo apt-get install -y bubblewrap"}}},
	}})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		got = append(got, strings.Join(strings.Fields(l), " "))
	}
	want := []string{
		"NODE STATE POOLS SANDBOX SLOT SLOT STATE JOB",
		"rack-1 (aaaaaa) DRAINING cpu,gpu strict cpu-0 FREE",
		"rack-1 (aaaaaa) DRAINING cpu,gpu strict GPU-5d3f QUARANTINED 1m30s",
		"rack-1 (cccccc) READY cpu strict cpu-0 BUSY 1m30s s/i/y",
		"rack-2 REFUSES cpu none cpu-0 FREE",
		"rack-1 (aaaaaa) GPU-5d3f: QUARANTINED: XID 79 (hardware)",
		"rack-1 (aaaaaa) stores the results of s/i/x",
		"rack-1 (cccccc): no GPU: NVIDIA driver not found",
		"rack-2 refuses (SANDBOX_TOO_WEAK): bubblewrap is not installed; next: sudo apt-get install -y bubblewrap",
		"queued: 3, the oldest for 1m30s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
