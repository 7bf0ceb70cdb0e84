package executor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/gpu"
)

// slot is a place for one job: a share of the processor, or a GPU.
type slot struct {
	id, kind string
	device   gpu.Device
	job      string
	since    time.Time
}

// slots are a node's; whoever takes one from its channel holds it.
type slots struct {
	mu   sync.Mutex
	all  []*slot
	free map[string]chan *slot // by kind
}

func newSlots(cpus int, devices []gpu.Device) *slots {
	s := &slots{free: map[string]chan *slot{"cpu": make(chan *slot, cpus), "gpu": make(chan *slot, len(devices))}}
	for i := range cpus {
		s.add(&slot{id: fmt.Sprintf("cpu-%d", i), kind: "cpu"})
	}
	for _, d := range devices {
		s.add(&slot{id: d.UUID, kind: "gpu", device: d})
	}
	return s
}

func (s *slots) add(x *slot) {
	s.all = append(s.all, x)
	s.free[x.kind] <- x
}

// take waits for a free slot.
func (s *slots) take(ctx context.Context, kind string) (*slot, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case x := <-s.free[kind]:
		return x, nil
	}
}

// more takes what else a job needs beside the slot it was fetched with, and
// says whether the node could ever hold it.
func (s *slots) more(held *slot, want *executorv1.Gpu) (set []*slot, ok, ever bool) {
	count := int(want.GetCount())
	if held.kind != "gpu" || count == 0 {
		return []*slot{held}, true, true
	}
	pool := []*slot{held}
	for drained := false; !drained; {
		select {
		case x := <-s.free["gpu"]:
			pool = append(pool, x)
		default:
			drained = true
		}
	}
	for _, x := range pool {
		if len(set) < count && gpuFits(want, x.device.Model, x.device.MemoryBytes) {
			set = append(set, x)
		} else {
			s.free["gpu"] <- x
		}
	}
	if len(set) == count {
		return set, true, true
	}
	for _, x := range set {
		s.free["gpu"] <- x
	}
	fits := 0
	for _, x := range s.all {
		if x.kind == "gpu" && gpuFits(want, x.device.Model, x.device.MemoryBytes) {
			fits++
		}
	}
	return nil, false, fits >= count
}

func (s *slots) assign(set []*slot, job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range set {
		x.job, x.since = job, time.Now()
	}
}

func (s *slots) release(set []*slot) {
	s.assign(set, "")
	for _, x := range set {
		s.free[x.kind] <- x
	}
}

func (s *slots) describe() []*executorv1.Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*executorv1.Slot
	for _, x := range s.all {
		p := &executorv1.Slot{Id: x.id, Kind: x.kind, State: "FREE", Model: x.device.Model, MemoryBytes: x.device.MemoryBytes, JobId: x.job}
		if x.job != "" {
			p.State = "BUSY"
			p.Since = timestamppb.New(x.since)
		}
		out = append(out, p)
	}
	return out
}
