package executor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
	"nullius.dev/services/executor/internal/gpu"
)

// gpuHost is an executor whose GPUs do what a scenario's file says.
type gpuHost struct {
	*world
	cfg  executor.Config
	file string
	gpu.State
	stop func()
}

func newGPUHost(t *testing.T, count int) *gpuHost {
	t.Helper()
	dir := t.TempDir()
	h := &gpuHost{world: newWorld(t), cfg: quick(t.TempDir()), file: filepath.Join(dir, "gpus.json")}
	for i := range count {
		h.State.Devices = append(h.State.Devices, gpu.StateDevice{
			Device:   gpu.Device{UUID: fmt.Sprintf("GPU-%d", i), Model: "NVIDIA H100", MemoryBytes: 80 << 30, Minor: i, DeviceNodes: []string{}},
			Recovery: "none", Reading: gpu.Reading{MemoryUsed: 400 << 20, Utilization: 50, PowerMilliwatts: 200_000},
		})
	}
	h.write(func(*gpu.State) {})
	h.cfg.GPU.Scenario, h.cfg.GPU.Locks = h.file, dir
	h.cfg.GPU.Poll, h.cfg.GPU.Clean, h.cfg.GPU.Recheck = 50*time.Millisecond, 600*time.Millisecond, time.Hour
	return h
}

func (h *gpuHost) open() *gpuHost {
	h.client, h.stop = h.start(h.cfg, executor.Shared{Sandbox: box(h.t)})
	return h
}

// write changes the scenario.
func (h *gpuHost) write(change func(*gpu.State)) {
	h.t.Helper()
	change(&h.State)
	b, err := json.Marshal(h.State)
	if err == nil {
		err = os.WriteFile(h.file+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(h.file+".new", h.file)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// gpuJob runs a shell command on so many GPUs.
func (h *gpuHost) gpuJob(id string, count uint32, sh string) *executorv1.Job {
	j := h.job(id, good)
	j.Pool, j.Gpu, j.Measure, j.Outputs = "gpu", &executorv1.Gpu{Count: count}, false, []*executorv1.Output{{Glob: "run_1/**"}}
	j.Argv = []string{"sh", "-c", sh}
	return j
}

// slot waits for a slot's state.
func (h *gpuHost) slot(id, state string) *executorv1.Slot {
	h.t.Helper()
	var last *executorv1.Slot
	kittest.Eventually(h.t, 15*time.Second, func() error {
		nodes, err := h.client.ListNodes(h.t.Context(), &executorv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		for _, n := range nodes.GetNodes() {
			for _, s := range n.GetSlots() {
				if s.GetId() == id {
					last = s
				}
			}
		}
		if last.GetState() != state {
			return fmt.Errorf("slot %s is %s (%s), want %s", id, last.GetState(), last.GetReason(), state)
		}
		return nil
	})
	return last
}

func (h *gpuHost) until(id string, ok func(*executorv1.JobRecord) bool) *executorv1.JobRecord {
	h.t.Helper()
	var last *executorv1.JobRecord
	kittest.Eventually(h.t, 20*time.Second, func() error {
		r, err := h.client.Get(h.t.Context(), &executorv1.GetRequest{JobId: id})
		if last = r.GetRecord(); err == nil && !ok(last) {
			err = fmt.Errorf("job is %v", last)
		}
		return err
	})
	return last
}

func TestGPU_AnApplicationsErrorFailsTheJobAlone(t *testing.T) {
	h := newGPUHost(t, 1).open()
	j := h.gpuJob("illegal-access", 1, "sleep 0.6; exit 1")
	h.submit(h.client, j)
	h.until(j.GetJobId(), running(1))
	h.write(func(s *gpu.State) { s.Events = append(s.Events, gpu.Event{UUID: "GPU-0", XID: 31}) })
	r := h.watch(h.client, j.GetJobId()).record.GetResult()
	if r.GetEndReason() != executorv1.EndReason_FAILED || r.GetGpuXid() != 31 || fmt.Sprint(r.GetGpus()[0].GetXids()) != "[31]" {
		t.Errorf("%v", r)
	}
	h.slot("GPU-0", "FREE")
}

func TestGPU_AFaultMovesTheJobAndQuarantinesTheSlot(t *testing.T) {
	t.Parallel()
	for name, break_ := range map[string]func(*gpu.State){
		"hardware":   func(s *gpu.State) { s.Events = append(s.Events, gpu.Event{UUID: "GPU-0", XID: 79}) },
		"a reset":    func(s *gpu.State) { s.Events = append(s.Events, gpu.Event{UUID: "GPU-0", XID: 48}) },
		"unknown":    func(s *gpu.State) { s.Events = append(s.Events, gpu.Event{UUID: "GPU-0", XID: 4711}) },
		"lost":       func(s *gpu.State) { s.Devices[0].Lost = true },
		"remap rows": func(s *gpu.State) { s.Devices[0].Recovery = "needed" },
	} {
		t.Run(name, func(t *testing.T) {
			h := newGPUHost(t, 2)
			h.write(func(s *gpu.State) { s.Devices[1].Processes = []gpu.Process{{PID: 7}} }) // so that the job gets the first
			h.open()
			h.slot("GPU-1", "FOREIGN")
			j := h.gpuJob("moves", 1, "sleep 1; echo $CUDA_VISIBLE_DEVICES")
			h.submit(h.client, j)
			h.until(j.GetJobId(), running(1))
			h.write(func(s *gpu.State) { break_(s); s.Devices[1].Processes = nil })
			seen := h.watch(h.client, j.GetJobId())
			r := seen.record.GetResult()
			if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetAttempt() != 2 || r.GetEarlier()[0].GetEnd() != "GPU_FAULT" || !strings.HasSuffix(seen.out, "GPU-1\n") {
				t.Errorf("%v; %q", r, seen.out)
			}
			if s := h.slot("GPU-0", "QUARANTINED"); s.GetReason() == "" || s.GetRecheck() == nil {
				t.Errorf("%v", s)
			}
		})
	}
}

func TestGPU_AQuarantineOutlivesTheExecutorUntilItsRelease(t *testing.T) {
	h := newGPUHost(t, 1).open()
	h.write(func(s *gpu.State) { s.Events = append(s.Events, gpu.Event{UUID: "GPU-0", XID: 79}) })
	h.slot("GPU-0", "QUARANTINED")
	nodes, err := h.client.ListNodes(t.Context(), &executorv1.ListNodesRequest{})
	if err != nil || len(nodes.GetNodes()[0].GetRefusals()) != 1 || nodes.GetNodes()[0].GetRefusals()[0].GetReason() != "GPUS_QUARANTINED" {
		t.Errorf("%v, %v", nodes, err)
	}
	j := h.gpuJob("waits", 1, "true")
	h.submit(h.client, j)
	h.until(j.GetJobId(), func(r *executorv1.JobRecord) bool {
		return strings.Contains(r.GetWaitingFor(), "all its GPUs are in quarantine")
	})
	h.stop()
	h.write(func(s *gpu.State) { s.Events = nil })
	h.open()
	h.slot("GPU-0", "QUARANTINED")
	if q := executor.Quarantines(h.cfg.State); len(q) != 1 || q[0].Reason != "XID 79 (hardware)" {
		t.Errorf("%+v", q)
	}
	if err := executor.ReleaseSlot(h.cfg.State, "GPU-0"); err != nil {
		t.Fatal(err)
	}
	h.slot("GPU-0", "FREE")
	if r := h.watch(h.client, j.GetJobId()).record.GetResult(); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
		t.Errorf("%v", r)
	}
	for _, uuid := range []string{"GPU-0", "GPU-none", "../../etc/passwd"} {
		if err := executor.ReleaseSlot(h.cfg.State, uuid); err == nil {
			t.Errorf("%s was released", uuid)
		}
	}
}

func TestGPU_AQuarantineIsLookedAtAgain(t *testing.T) {
	h := newGPUHost(t, 1)
	h.cfg.GPU.Recheck = 300 * time.Millisecond
	h.write(func(s *gpu.State) { s.Devices[0].Recovery = "needed" })
	h.open()
	h.slot("GPU-0", "QUARANTINED")
	time.Sleep(700 * time.Millisecond) // some rechecks
	h.slot("GPU-0", "QUARANTINED")
	h.write(func(s *gpu.State) { s.Devices[0].Recovery = "none" })
	h.slot("GPU-0", "FREE")
}

func TestGPU_ALeakHoldsTheSlotUntilItIsClean(t *testing.T) {
	for name, leak := range map[string]func(*gpu.State){
		"by a process": func(s *gpu.State) { s.Devices[0].Processes = []gpu.Process{{PID: 4242, MemoryBytes: 1 << 30}} },
		"of memory":    func(s *gpu.State) { s.Devices[0].Reading.MemoryUsed = 9 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newGPUHost(t, 1).open()
			j := h.gpuJob("leaks", 1, "sleep 0.5")
			h.submit(h.client, j)
			h.until(j.GetJobId(), running(1))
			h.write(leak)
			if r := h.watch(h.client, j.GetJobId()).record.GetResult(); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
				t.Errorf("%v", r)
			}
			s := h.slot("GPU-0", "LEAKED")
			if name == "by a process" && fmt.Sprint(s.GetPids()) != "[4242]" {
				t.Errorf("%v", s)
			}
			h.write(func(s *gpu.State) { s.Devices[0].Processes, s.Devices[0].Reading.MemoryUsed = nil, 401<<20 })
			h.slot("GPU-0", "FREE")
		})
	}
}

func TestGPU_TwoExecutorsOfAHostShareNoGPU(t *testing.T) {
	h := newGPUHost(t, 1).open()
	h.slot("GPU-0", "FREE")
	other := h.cfg
	other.State, other.Node = t.TempDir(), "other"
	_, stop := h.start(other, executor.Shared{Sandbox: box(t)})
	kittest.Eventually(t, 10*time.Second, func() error {
		nodes, err := h.client.ListNodes(t.Context(), &executorv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		states := ""
		for _, n := range nodes.GetNodes() {
			for _, s := range n.GetSlots() {
				if s.GetKind() == "gpu" {
					states += n.GetName() + " " + s.GetState() + "; "
				}
			}
		}
		if states != "other FOREIGN; test FREE; " {
			return fmt.Errorf("%s", states)
		}
		return nil
	})
	stop()
}

func TestGPU_AJobSeesItsOwnDeviceNodesOnly(t *testing.T) {
	h := newGPUHost(t, 3)
	var nodes []string
	for i := range 3 {
		f := fmt.Sprintf("/dev/nullius-test-%d-%d", os.Getpid(), i)
		if err := unix.Mknod(f, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			if !errors.Is(err, unix.EPERM) {
				t.Fatal(err)
			}
			t.Skip("not run: making a device node needs root")
		}
		t.Cleanup(func() { os.Remove(f) })
		if err := os.Chmod(f, 0o666); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, f)
	}
	h.write(func(s *gpu.State) {
		for i := range s.Devices {
			s.Devices[i].DeviceNodes = nodes[i : i+1]
		}
	})
	h.open()
	for count := range 3 {
		j := h.gpuJob(fmt.Sprintf("devices-%d", count+1), uint32(count+1), "ls /dev; for f in /dev/nullius-test-*; do echo x > $f || exit 9; done")
		h.submit(h.client, j)
		seen := h.watch(h.client, j.GetJobId())
		r := seen.record.GetResult()
		if r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
			t.Fatalf("%v: %s", r, seen.errs)
		}
		for i, f := range nodes {
			granted := contains(r.GetGpuUuids(), fmt.Sprintf("GPU-%d", i))
			if visible := strings.Contains(seen.out, filepath.Base(f)+"\n"); visible != granted {
				t.Errorf("with %d GPUs: node of GPU %d visible %t, granted %t", count+1, i, visible, granted)
			}
		}
	}
	// A driver that was loaded again gives other numbers: the next look learns them.
	h.write(func(s *gpu.State) {
		s.Devices[0].DeviceNodes, s.Devices[1].DeviceNodes = nodes[1:2], nodes[:1]
	})
	moved := map[string]string{"GPU-0": nodes[1], "GPU-1": nodes[0], "GPU-2": nodes[2]}
	try := 0
	kittest.Eventually(t, 20*time.Second, func() error {
		try++
		j := h.gpuJob(fmt.Sprintf("moved-%d", try), 1, "ls /dev")
		h.submit(h.client, j)
		seen := h.watch(h.client, j.GetJobId())
		for _, id := range seen.record.GetResult().GetGpuUuids() {
			if !strings.Contains(seen.out, filepath.Base(moved[id])+"\n") {
				return fmt.Errorf("%s has another's node: %s", id, seen.out)
			}
		}
		return nil
	})
	h.write(func(s *gpu.State) { s.Devices[2].DeviceNodes = []string{"/dev/nullius-test-none"} })
	if s := h.slot("GPU-2", "QUARANTINED"); !strings.Contains(s.GetReason(), "/dev/nullius-test-none is missing") {
		t.Errorf("%v", s)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestGPU_RecordsWhatAJobUsed(t *testing.T) {
	h := newGPUHost(t, 1)
	start := uint64(1_000_000)
	h.write(func(s *gpu.State) {
		s.Devices[0].Driver = "550.54.15"
		s.Devices[0].Reading.EnergyMillijoules = &start
	})
	h.open()
	j := h.gpuJob("uses", 1, "sleep 2.2")
	h.submit(h.client, j)
	h.until(j.GetJobId(), running(1))
	time.Sleep(300 * time.Millisecond) // past the first sample
	end := start + 42_000
	h.write(func(s *gpu.State) {
		s.Devices[0].Reading = gpu.Reading{Utilization: 90, MemoryUsed: 401 << 20, EnergyMillijoules: &end, ClockMHz: 1980, Throttled: []string{"sw_power_cap"}, Celsius: 70, ECCCorrected: 3}
	})
	r := h.watch(h.client, j.GetJobId()).record.GetResult()
	if len(r.GetGpus()) != 1 {
		t.Fatalf("%v", r)
	}
	u := r.GetGpus()[0]
	if u.GetEnergyJoules() != 42 || u.GetEnergyEstimated() || u.GetUtilizationP95() != 90 || u.GetUtilizationMean() <= 50 || u.GetUtilizationMean() > 90 ||
		u.GetPeakMemoryBytes() != 401<<20 || u.GetTemperatureMaxCelsius() != 70 || u.GetEccCorrected() != 3 || u.GetDriver() != "550.54.15" ||
		u.GetThrottledSeconds()["sw_power_cap"] < 0.5 || u.GetHeld().AsDuration() < 2*time.Second {
		t.Errorf("%v", u)
	}
}
