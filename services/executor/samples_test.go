package executor_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
	"nullius.dev/services/executor/internal/gpu"
)

// TestExecutor_TellsWhatAJobUses while it runs, by another replica than the one that runs it, and in its result.
func TestExecutor_TellsWhatAJobUses(t *testing.T) {
	w := newWorld(t)
	fake := gpu.Fake{List: []gpu.Device{{UUID: "GPU-a", Model: "NVIDIA H100", MemoryBytes: 80 << 30, DeviceNodes: []string{}}}}
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Sandbox: box(t), GPUs: fake})
	idle := quick(t.TempDir())
	idle.Listen, idle.Node, idle.Pools = "inproc:other", "other", []string{"elsewhere"}
	other, _ := w.start(idle, executor.Shared{Sandbox: box(t)})
	j := w.job("uses", results+`
b = bytearray(40 << 20)
with open("run_1/big", "wb") as f: f.write(b"x" * (8 << 20)); f.flush(); os.fsync(f.fileno())
until = time.monotonic() + 3.2
while time.monotonic() < until: pass
done()`)
	j.Pool, j.Gpu = "gpu", &executorv1.Gpu{Count: 1}
	w.submit(w.client, j)
	s := w.watch(other, j.GetJobId())
	r := s.record.GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
		t.Fatalf("%v", r)
	}
	if n := len(s.used); n < 2 || n > int(r.GetWall().AsDuration()/time.Second)+1 {
		t.Fatalf("%d samples in %v", n, r.GetWall().AsDuration())
	}
	last := s.used[len(s.used)-1]
	if last.GetAttempt() != 1 || last.GetCpu().AsDuration() <= 0 || last.GetMemoryBytes() < 40<<20 || last.GetPeakMemoryBytes() > r.GetPeakMemoryBytes() ||
		last.GetAt().AsTime().Before(r.GetStarted().AsTime()) {
		t.Errorf("%v", last)
	}
	if len(last.GetGpus()) != 1 || last.GetGpus()[0].GetUuid() != "GPU-a" {
		t.Errorf("%v", last.GetGpus())
	}
	if r.GetIo() == nil {
		t.Error("what was written is not told")
	}
	if r.GetMemoryWall() != "cgroup2" && (r.GetStalled() != nil || last.GetIo() != nil) {
		t.Errorf("with %s: %v, %v", r.GetMemoryWall(), r.GetStalled(), last.GetIo())
	}
	got, err := other.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
	if err != nil || !proto.Equal(got.GetRecord().GetResult().GetIo(), r.GetIo()) {
		t.Errorf("%v, %v", got.GetRecord().GetResult().GetIo(), err)
	}
}
