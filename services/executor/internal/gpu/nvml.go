//go:build cgo

package gpu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// System returns the back end of this build.
func System() Backend { return NVML(nvml.New()) }

// NVML asks the driver's management library, opened at run time.
func NVML(lib nvml.Interface) Backend { return &library{lib: lib} }

// library keeps NVML open from the first device on.
type library struct {
	lib nvml.Interface

	mu     sync.Mutex
	open   bool
	events nvml.EventSet
}

// Devices implements Backend. Without a device the library is closed again,
// since a driver may come and go under a long-lived process.
func (l *library) Devices(context.Context) ([]Device, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		if ret := l.lib.Init(); ret != nvml.SUCCESS {
			return nil, "no GPU: " + reason(ret)
		}
		l.open = true
	}
	all, note := l.list()
	if len(all) == 0 && l.events == nil {
		_ = l.lib.Shutdown()
		l.open = false
	}
	return all, note
}

func (l *library) list() ([]Device, string) {
	n, ret := l.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, "no GPU: " + reason(ret)
	}
	driver, _ := l.lib.SystemGetDriverVersion() // for the records only
	var all []Device
	var failed error
	for i := range n {
		d, err := l.device(i)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		d.Driver = driver
		all = append(all, d)
	}
	switch {
	case failed != nil:
		return all, "a GPU cannot be used: " + failed.Error()
	case len(all) == 0:
		return nil, "no GPU: the driver is loaded but has no device"
	}
	return all, ""
}

func (l *library) device(i int) (Device, error) {
	h, ret := l.lib.DeviceGetHandleByIndex(i)
	if ret != nvml.SUCCESS {
		return Device{}, errors.New(reason(ret))
	}
	uuid, r1 := h.GetUUID()
	name, r2 := h.GetName()
	minor, r3 := h.GetMinorNumber()
	memory, r4 := h.GetMemoryInfo()
	for _, r := range []nvml.Return{r1, r2, r3, r4} {
		if r != nvml.SUCCESS {
			return Device{}, errors.New(reason(r))
		}
	}
	if current, _, ret := h.GetMigMode(); ret == nvml.SUCCESS && current == nvml.DEVICE_MIG_ENABLE {
		return Device{}, fmt.Errorf("%s is split into MIG devices, which this version does not use", uuid)
	}
	return Device{UUID: uuid, Model: name, MemoryBytes: memory.Total, Minor: minor}, nil
}

func (l *library) handle(uuid string) (nvml.Device, error) {
	h, ret := l.lib.DeviceGetHandleByUUID(uuid)
	return h, fault(ret)
}

func fault(ret nvml.Return) error {
	switch ret {
	case nvml.SUCCESS:
		return nil
	case nvml.ERROR_GPU_IS_LOST, nvml.ERROR_NOT_FOUND, nvml.ERROR_INVALID_ARGUMENT, nvml.ERROR_RESET_REQUIRED:
		return fmt.Errorf("%w: %s", ErrLost, reason(ret))
	}
	return errors.New(reason(ret))
}

// throttles are the bits of NVML's nvmlClocksEventReasons that slow a device down.
var throttles = map[uint64]string{
	nvml.ClocksEventReasonSwPowerCap: "sw_power_cap", nvml.ClocksThrottleReasonHwSlowdown: "hw_slowdown",
	nvml.ClocksEventReasonSwThermalSlowdown: "sw_thermal", nvml.ClocksThrottleReasonHwThermalSlowdown: "hw_thermal",
	nvml.ClocksThrottleReasonHwPowerBrakeSlowdown: "hw_power_brake",
}

// Read implements Backend. What a device does not count stays zero.
func (l *library) Read(uuid string) (Reading, error) {
	h, err := l.handle(uuid)
	if err != nil {
		return Reading{}, err
	}
	var r Reading
	memory, ret := h.GetMemoryInfo()
	if err := fault(ret); err != nil {
		return Reading{}, err
	}
	r.MemoryUsed = memory.Used
	if u, ret := h.GetUtilizationRates(); ret == nvml.SUCCESS {
		r.Utilization, r.MemoryUtilization = u.Gpu, u.Memory
	}
	if e, ret := h.GetTotalEnergyConsumption(); ret == nvml.SUCCESS {
		r.EnergyMillijoules = &e
	}
	if p, ret := h.GetPowerUsage(); ret == nvml.SUCCESS {
		r.PowerMilliwatts = p
	}
	if c, ret := h.GetClockInfo(nvml.CLOCK_SM); ret == nvml.SUCCESS {
		r.ClockMHz = c
	}
	if bits, ret := h.GetCurrentClocksEventReasons(); ret == nvml.SUCCESS {
		for bit, name := range throttles {
			if bits&bit != 0 {
				r.Throttled = append(r.Throttled, name)
			}
		}
	}
	if t, ret := h.GetTemperature(nvml.TEMPERATURE_GPU); ret == nvml.SUCCESS {
		r.Celsius = t
	}
	if n, ret := h.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.VOLATILE_ECC); ret == nvml.SUCCESS {
		r.ECCCorrected = n
	}
	if n, ret := h.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC); ret == nvml.SUCCESS {
		r.ECCUncorrected = n
	}
	return r, nil
}

// Processes implements Backend.
func (l *library) Processes(uuid string) ([]Process, error) {
	h, err := l.handle(uuid)
	if err != nil {
		return nil, err
	}
	list, ret := h.GetComputeRunningProcesses()
	if err := fault(ret); err != nil {
		return nil, err
	}
	var all []Process
	for _, p := range list {
		all = append(all, Process{PID: p.Pid, MemoryBytes: p.UsedGpuMemory})
	}
	return all, nil
}

// Recovery implements Backend, by the driver's recommended action where it has
// one and else by rows of memory that wait to be remapped.
func (l *library) Recovery(uuid string) (Recovery, error) {
	h, err := l.handle(uuid)
	if err != nil {
		return RecoveryUnknown, err
	}
	if _, _, pending, failed, ret := h.GetRemappedRows(); ret == nvml.SUCCESS && (pending || failed) {
		return RecoveryNeeded, nil
	}
	values := []nvml.FieldValue{{FieldId: nvml.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	if ret := h.GetFieldValues(values); ret != nvml.SUCCESS || nvml.Return(values[0].NvmlReturn) != nvml.SUCCESS {
		return RecoveryUnknown, nil
	}
	if binary.NativeEndian.Uint32(values[0].Value[:4]) != uint32(nvml.GPU_RECOVERY_ACTION_NONE) {
		return RecoveryNeeded, nil
	}
	return RecoveryNone, nil
}

// Wait implements Backend.
func (l *library) Wait(ctx context.Context, atMost time.Duration) ([]Event, error) {
	set, err := l.subscribe()
	if err != nil {
		sleep(ctx, atMost)
		return nil, err
	}
	data, ret := set.Wait(uint32(min(atMost, time.Second).Milliseconds()))
	if ret == nvml.ERROR_TIMEOUT {
		return nil, ctx.Err()
	}
	if ret != nvml.SUCCESS {
		sleep(ctx, atMost)
		return nil, errors.New(reason(ret))
	}
	if data.EventType != nvml.EventTypeXidCriticalError {
		return nil, nil
	}
	uuid, ret := data.Device.GetUUID()
	if ret != nvml.SUCCESS {
		return nil, errors.New(reason(ret))
	}
	return []Event{{UUID: uuid, XID: uint32(data.EventData)}}, nil
}

// subscribe asks once for the errors of all devices.
func (l *library) subscribe() (nvml.EventSet, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events != nil {
		return l.events, nil
	}
	if !l.open {
		return nil, errors.New("NVML is not open")
	}
	set, ret := l.lib.EventSetCreate()
	if ret != nvml.SUCCESS {
		return nil, errors.New(reason(ret))
	}
	n, ret := l.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, errors.New(reason(ret))
	}
	for i := range n {
		h, ret := l.lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue // a lost one; the poll tells
		}
		if ret := h.RegisterEvents(nvml.EventTypeXidCriticalError, set); ret != nvml.SUCCESS && ret != nvml.ERROR_NOT_SUPPORTED {
			_ = set.Free()
			return nil, errors.New(reason(ret))
		}
	}
	l.events = set
	return set, nil
}

func reason(ret nvml.Return) string {
	switch ret {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		if _, err := os.Stat("/proc/driver/nvidia/version"); err == nil {
			return "the NVIDIA driver is loaded but libnvidia-ml.so.1 is not installed"
		}
		return "NVIDIA driver not found"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "the NVIDIA driver is installed but not loaded"
	case nvml.ERROR_NO_PERMISSION:
		return "no permission to talk to the NVIDIA driver"
	case nvml.ERROR_NOT_FOUND:
		return "no device"
	}
	return "the NVIDIA driver answers: " + ret.Error()
}
