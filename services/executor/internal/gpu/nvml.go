//go:build cgo

package gpu

import (
	"context"
	"errors"
	"os"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// System returns the finder of this build.
func System() Finder { return library{nvml.New()} }

// library asks the driver's management library, opened at run time.
type library struct{ lib nvml.Interface }

// Devices implements Finder. Every look opens and closes the library, since a
// driver may come and go under a long-lived process.
func (l library) Devices(context.Context) ([]Device, string) {
	if ret := l.lib.Init(); ret != nvml.SUCCESS {
		return nil, "no GPU: " + reason(ret)
	}
	defer l.lib.Shutdown()
	n, ret := l.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, "no GPU: " + reason(ret)
	}
	var all []Device
	var failed error
	for i := range n {
		d, err := l.device(i)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
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

func (l library) device(i int) (Device, error) {
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
	return Device{UUID: uuid, Model: name, MemoryBytes: memory.Total, Minor: minor}, nil
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
