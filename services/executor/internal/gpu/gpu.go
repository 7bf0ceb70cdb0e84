// Package gpu finds the GPUs of a node. The back ends are NVML, where the
// binary is built with cgo, and a fake for tests.
package gpu

import (
	"context"
	"fmt"
	"path/filepath"
)

// Device is one GPU.
type Device struct {
	UUID        string
	Model       string
	MemoryBytes uint64
	Minor       int // of its device node, which is not NVML's index
}

// Nodes are the device files that a job on this GPU gets.
func (d Device) Nodes() []string {
	return []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", filepath.Join("/dev", fmt.Sprintf("nvidia%d", d.Minor))}
}

// Finder lists the GPUs; with none, note says why.
type Finder interface {
	Devices(ctx context.Context) (devices []Device, note string)
}

// Fake is a fixed answer.
type Fake struct {
	List []Device
	Note string
}

// Devices implements Finder.
func (f Fake) Devices(context.Context) ([]Device, string) { return f.List, f.Note }
