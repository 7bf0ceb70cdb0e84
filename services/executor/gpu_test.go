package executor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
	"nullius.dev/services/executor/internal/gpu"
)

func TestExecutor_GivesGPUsToJobs(t *testing.T) {
	w := newWorld(t)
	fake := gpu.Fake{List: []gpu.Device{
		{UUID: "GPU-a", Model: "NVIDIA H100", MemoryBytes: 80 << 30, DeviceNodes: []string{}}, {UUID: "GPU-b", Model: "NVIDIA H100", MemoryBytes: 80 << 30, Minor: 1, DeviceNodes: []string{}},
		{UUID: "GPU-c", Model: "NVIDIA T4", MemoryBytes: 16 << 30, Minor: 2, DeviceNodes: []string{}},
	}}
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Sandbox: box(t), GPUs: fake})
	job := func(id string, want *executorv1.Gpu) *executorv1.Job {
		j := w.job(id, good)
		j.Pool, j.Gpu, j.Measure, j.Outputs = "gpu", want, false, []*executorv1.Output{{Glob: "run_1/**"}}
		j.Argv = []string{"sh", "-c", "echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"}
		return j
	}
	for _, c := range []struct {
		name string
		want *executorv1.Gpu
		out  []string
	}{
		{"two of a model", &executorv1.Gpu{Count: 2, Model: "h100"}, []string{"GPU-a,GPU-b PCI_BUS_ID\n", "GPU-b,GPU-a PCI_BUS_ID\n"}},
		{"one with much memory", &executorv1.Gpu{Count: 1, MinMemoryBytes: 40 << 30}, []string{"GPU-a PCI_BUS_ID\n", "GPU-b PCI_BUS_ID\n"}},
		{"all three", &executorv1.Gpu{Count: 3}, nil},
		{"one by name", &executorv1.Gpu{Count: 1, Model: "T4"}, []string{"GPU-c PCI_BUS_ID\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := job(strings.ReplaceAll(c.name, " ", "-"), c.want)
			w.submit(w.client, j)
			s := w.watch(w.client, j.GetJobId())
			r := s.record.GetResult()
			if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || len(r.GetGpuUuids()) != int(c.want.GetCount()) {
				t.Errorf("%v", r)
			}
			if c.out != nil && !strings.Contains(strings.Join(c.out, ""), s.out) {
				t.Errorf("devices %q, want one of %q", s.out, c.out)
			}
		})
	}
	t.Run("too many wait with a reason", func(t *testing.T) {
		j := job("too-many", &executorv1.Gpu{Count: 3, Model: "H100"})
		w.submit(w.client, j)
		kittest.Eventually(t, 10*time.Second, func() error {
			r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
			if err == nil && r.GetRecord().GetWaitingFor() != "no node in pool gpu fits 3 GPUs" {
				err = fmt.Errorf("waits for %q", r.GetRecord().GetWaitingFor())
			}
			return err
		})
	})
}
