// Package gpu knows the GPUs of a node: which there are, what they do, which of
// their errors mean what. The back ends are NVML, where the binary is built with
// cgo, and a fake that reads a JSON scenario.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrLost is of a device that does not answer any more.
var ErrLost = errors.New("the device does not answer")

// Device is one GPU. Its key is the UUID: an index changes when a device is
// lost, a UUID does not.
type Device struct {
	UUID        string `json:"uuid"`
	Model       string `json:"model"`
	MemoryBytes uint64 `json:"memory_bytes"`
	Minor       int    `json:"minor"` // of its device node, which is not NVML's index
	Driver      string `json:"driver"`
	// DeviceNodes replaces the files that Nodes would name; for fakes.
	DeviceNodes []string `json:"nodes"`
}

// Nodes are the device files that a job on this GPU gets, and no others: they
// are the wall between jobs, CUDA_VISIBLE_DEVICES is only advice.
func (d Device) Nodes() []string {
	if d.DeviceNodes != nil {
		return d.DeviceNodes
	}
	return []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", fmt.Sprintf("/dev/nvidia%d", d.Minor)}
}

// Process uses a GPU.
type Process struct {
	PID         uint32 `json:"pid"`
	MemoryBytes uint64 `json:"memory_bytes"`
}

// Reading is what a GPU does now. Counters count since the driver was loaded.
type Reading struct {
	Utilization       uint32   `json:"utilization"`        // percent
	MemoryUtilization uint32   `json:"memory_utilization"` // percent of time in which memory was read or written
	MemoryUsed        uint64   `json:"memory_used"`        // bytes
	EnergyMillijoules *uint64  `json:"energy_millijoules"` // nil: the device has no counter
	PowerMilliwatts   uint32   `json:"power_milliwatts"`
	ClockMHz          uint32   `json:"clock_mhz"`
	Throttled         []string `json:"throttled"` // reasons
	Celsius           uint32   `json:"celsius"`
	ECCCorrected      uint64   `json:"ecc_corrected"`
	ECCUncorrected    uint64   `json:"ecc_uncorrected"`
}

// Recovery says what a device needs before it can be used again.
type Recovery int

// Recoveries.
const (
	RecoveryUnknown Recovery = iota // the driver does not tell
	RecoveryNone
	RecoveryNeeded // a reset or a reboot, which the executor never does
)

// Event is an error that the driver reports: https://docs.nvidia.com/deploy/xid-errors/.
type Event struct {
	UUID string `json:"uuid"`
	XID  uint32 `json:"xid"`
}

// Backend is what a driver tells. All but Wait return within milliseconds.
type Backend interface {
	// Devices lists the GPUs; where some are missing, note says why.
	Devices(ctx context.Context) (devices []Device, note string)
	// Read says what a GPU does. A device that is gone is ErrLost.
	Read(uuid string) (Reading, error)
	// Processes lists who uses a GPU.
	Processes(uuid string) ([]Process, error)
	// Recovery says whether a GPU waits for a reset.
	Recovery(uuid string) (Recovery, error)
	// Wait returns the errors of all devices that came in the meantime, after
	// at most the given time.
	Wait(ctx context.Context, atMost time.Duration) ([]Event, error)
}
