//go:build cgo

package gpu_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"nullius.dev/services/executor/internal/gpu"
)

func TestNVML_ListsTheDevicesOfServers(t *testing.T) {
	for name, s := range map[string]*server.Server{"A100": dgxa100.New(), "H100": dgxh100.New(), "H200": dgxh200.New(), "B200": dgxb200.New()} {
		t.Run(name, func(t *testing.T) {
			devices, note := gpu.NVML(s).Devices(t.Context())
			if note != "" || len(devices) != 8 {
				t.Fatalf("%d devices, %q", len(devices), note)
			}
			uuids, nodes := map[string]bool{}, map[string]bool{}
			for i, d := range devices {
				uuids[d.UUID], nodes[d.Nodes()[3]] = true, true
				if d.MemoryBytes < 30<<30 || d.Model == "" || d.Driver == "" || d.Nodes()[3] != fmt.Sprintf("/dev/nvidia%d", i) {
					t.Errorf("%+v", d)
				}
			}
			if len(uuids) != 8 || len(nodes) != 8 {
				t.Errorf("%d UUIDs, %d device nodes", len(uuids), len(nodes))
			}
		})
	}
}

// device gives a mocked device what the mock of a server leaves out.
func device(s *server.Server, i int) *server.Device {
	d := s.Devices[i].(*server.Device)
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 80, Memory: 30}, nvml.SUCCESS }
	d.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) { return 12_000, nvml.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 300_000, nvml.SUCCESS }
	d.GetClockInfoFunc = func(nvml.ClockType) (uint32, nvml.Return) { return 1980, nvml.SUCCESS }
	d.GetCurrentClocksEventReasonsFunc = func() (uint64, nvml.Return) { return nvml.ClocksEventReasonSwPowerCap | 1, nvml.SUCCESS }
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
	d.GetTotalEccErrorsFunc = func(k nvml.MemoryErrorType, _ nvml.EccCounterType) (uint64, nvml.Return) {
		return uint64(k), nvml.SUCCESS
	}
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.SUCCESS }
	d.GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return { return nvml.SUCCESS }
	d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 42, UsedGpuMemory: 1 << 30}}, nvml.SUCCESS
	}
	return d
}

func TestNVML_ReadsADevice(t *testing.T) {
	s := dgxh100.New()
	d := device(s, 3)
	b := gpu.NVML(s)
	uuid := d.UUID
	r, err := b.Read(uuid)
	if err != nil || r.Utilization != 80 || r.MemoryUtilization != 30 || r.EnergyMillijoules == nil || *r.EnergyMillijoules != 12_000 ||
		r.ClockMHz != 1980 || fmt.Sprint(r.Throttled) != "[sw_power_cap]" || r.Celsius != 61 || r.ECCUncorrected != 1 || r.ECCCorrected != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if p, err := b.Processes(uuid); err != nil || len(p) != 1 || p[0].PID != 42 {
		t.Errorf("%v, %v", p, err)
	}
	for name, c := range map[string]struct {
		change func()
		want   gpu.Recovery
	}{
		"healthy": {func() {}, gpu.RecoveryNone},
		"a pending remap": {func() {
			d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 1, true, false, nvml.SUCCESS }
		}, gpu.RecoveryNeeded},
		"a reset": {func() {
			d.GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return {
				binary.NativeEndian.PutUint32(v[0].Value[:4], uint32(nvml.GPU_RECOVERY_ACTION_GPU_RESET))
				return nvml.SUCCESS
			}
		}, gpu.RecoveryNeeded},
		"an old driver": {func() { d.GetFieldValuesFunc = func([]nvml.FieldValue) nvml.Return { return nvml.ERROR_NOT_SUPPORTED } }, gpu.RecoveryUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			device(s, 3)
			c.change()
			if got, err := b.Recovery(uuid); err != nil || got != c.want {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
	d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
	if _, err := b.Read(uuid); !errors.Is(err, gpu.ErrLost) {
		t.Errorf("a lost device: %v", err)
	}
	if _, err := b.Read("GPU-none"); !errors.Is(err, gpu.ErrLost) {
		t.Errorf("no device: %v", err)
	}
}

func TestNVML_TellsErrorsByDevice(t *testing.T) {
	s := dgxh100.New()
	d := device(s, 5)
	registered := 0
	for i := range s.Devices {
		s.Devices[i].(*server.Device).RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { registered++; return nvml.SUCCESS }
	}
	answers := []nvml.Return{nvml.SUCCESS, nvml.ERROR_TIMEOUT}
	set := &mock.EventSet{WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
		ret := answers[0]
		answers = answers[1:]
		return nvml.EventData{Device: d, EventType: nvml.EventTypeXidCriticalError, EventData: 79}, ret
	}}
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
	b := gpu.NVML(s)
	b.Devices(t.Context())
	got, err := b.Wait(t.Context(), time.Second)
	if err != nil || len(got) != 1 || got[0].XID != 79 || got[0].UUID != d.UUID || registered != 8 {
		t.Errorf("%v, %v; %d devices are watched", got, err, registered)
	}
	if got, err := b.Wait(t.Context(), time.Second); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestClassify_SortsAsTheTableSays(t *testing.T) {
	for xid, want := range map[uint32]gpu.Class{13: gpu.Application, 31: gpu.Application, 94: gpu.Application, 48: gpu.Reset, 120: gpu.Reset, 79: gpu.Hardware, 999: gpu.Unknown} {
		if got := gpu.Classify(xid, nil); got != want {
			t.Errorf("XID %d is %v, want %v", xid, got, want)
		}
	}
	if got := gpu.Classify(79, map[uint32]gpu.Class{79: gpu.Application}); got != gpu.Application {
		t.Errorf("an operator's class counts: %v", got)
	}
}
