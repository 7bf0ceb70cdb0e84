package executor_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

// many measures 1,500 numbers and leaves 300 files.
const many = `
import json
for i in range(300): open("run_1/%d-%s" % (i, "x" * 60), "w").write("x")
json.dump({"d": {"means": {"metric_%d_%s" % (i, "y" * 40): i / 7 for i in range(1500)}}}, open("run_1/final_info.json", "w"))
`

func TestExecutor_ALongResultLeavesItsRecordSmall(t *testing.T) {
	w := open(t)
	j := w.job("long", many)
	s := w.watchOf(j)
	res := s.record.GetResult()
	if res.GetEndReason() != executorv1.EndReason_SUCCEEDED || len(res.GetMeasurements()) != 1500 || res.GetMeasurements()[1499].GetValue() == 0 || len(res.GetOutputs()) != 200 {
		t.Fatalf("%s, %d numbers, %d outputs", res.GetEndReason(), len(res.GetMeasurements()), len(res.GetOutputs()))
	}
	kv, err := w.bus.JS.KeyValue(t.Context(), subject.BucketJobState)
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(t.Context(), j.GetJobId())
	if err != nil || len(e.Value()) > 64<<10 {
		t.Errorf("the record has %d bytes, %v", len(e.Value()), err)
	}
	r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
	if err != nil || !proto.Equal(r.GetRecord().GetResult(), res) {
		t.Errorf("Get has another result: %v", err)
	}
	if again := w.submit(w.client, j); !proto.Equal(again.GetResult(), res) {
		t.Error("Submit has another result")
	}
}

// watchOf submits a job and watches it.
func (w *world) watchOf(j *executorv1.Job) seen {
	w.t.Helper()
	w.submit(w.client, j)
	return w.watch(w.client, j.GetJobId())
}

// TestExecutor_TheLargestJobLeavesItsRecordSmall: a job and a result that are as large as they may be.
func TestExecutor_TheLargestJobLeavesItsRecordSmall(t *testing.T) {
	w := open(t)
	j := w.job("large", strings.ReplaceAll(many, "1500", "180"))
	j.Env = map[string]string{"X": strings.Repeat("\x01", 5000)}
	res := w.watchOf(j).record.GetResult()
	if res.GetEndReason() != executorv1.EndReason_SUCCEEDED || len(res.GetMeasurements()) != 180 {
		t.Fatalf("%s, %d numbers", res.GetEndReason(), len(res.GetMeasurements()))
	}
	kv, err := w.bus.JS.KeyValue(t.Context(), subject.BucketJobState)
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(t.Context(), j.GetJobId())
	if err != nil || len(e.Value()) > 64<<10 {
		t.Errorf("the record has %d bytes, %v", len(e.Value()), err)
	}
}

func TestExecutor_ADamagedRecordHoldsNothingUp(t *testing.T) {
	w := open(t)
	kv, err := w.bus.JS.KeyValue(t.Context(), subject.BucketJobState)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"", "{", `{"record":{"state":"NONSENSE"}}`, `{"record":7}`} {
		id := fmt.Sprintf("damaged/idea/%d", i)
		if _, err := kv.Put(t.Context(), id, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.bus.JS.Publish(t.Context(), subject.Jobs("cpu"), []byte(id)); err != nil {
			t.Fatal(err)
		}
	}
	queueIsEmpty(t, w)
	if _, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: "damaged/idea/1"}); fault.ReasonOf(err) != "JOB_DAMAGED" {
		t.Errorf("a damaged record: %v", err)
	}
}
