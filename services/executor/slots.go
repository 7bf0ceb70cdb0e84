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

// States of a slot. All but the first two are of GPUs.
const (
	slotFree        = "FREE"
	slotBusy        = "BUSY"
	slotChecking    = "CHECKING"    // a job has left it; its memory is not seen to be free yet
	slotLeaked      = "LEAKED"      // a job has left it, and something of it stays
	slotForeign     = "FOREIGN"     // somebody else uses the device
	slotQuarantined = "QUARANTINED" // the device is not to be trusted
)

// reasonGPUs is the refusal of a node whose GPUs are all in quarantine; it
// concerns jobs that want one.
const reasonGPUs = "GPUS_QUARANTINED"

// slot is a place for one job: a share of the processor, or a GPU. The mutex
// of its slots guards all but its identity; who holds it may read its device.
type slot struct {
	id, kind string
	device   gpu.Device

	held    bool // by a fetch or by a job
	job     string
	since   time.Time
	trouble string // a state other than free and busy; empty: none
	reason  string
	recheck time.Time
	pids    []uint32
	idle    uint64 // bytes of memory in use before the last job came; 0: not known
}

// slots are a node's; whoever takes one holds it until its release.
type slots struct {
	mu      sync.Mutex
	all     []*slot
	changed chan struct{} // closed and made anew when one may have come free
	// left is told of GPUs that a job has left, which are CHECKING then.
	left func(*slot)
}

func newSlots(cpus int, devices []gpu.Device) *slots {
	s := &slots{changed: make(chan struct{})}
	for i := range cpus {
		s.all = append(s.all, &slot{id: fmt.Sprintf("cpu-%d", i), kind: "cpu"})
	}
	for _, d := range devices {
		s.all = append(s.all, &slot{id: d.UUID, kind: "gpu", device: d})
	}
	return s
}

// wake tells those who wait; the caller holds mu.
func (s *slots) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// take waits for a free slot.
func (s *slots) take(ctx context.Context, kind string) (*slot, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if x := s.idle(kind); x != nil {
			return x, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// idle takes a free slot; nil: there is none now.
func (s *slots) idle(kind string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if x.kind == kind && !x.held && x.trouble == "" {
			x.held = true
			return x
		}
	}
	return nil
}

// more takes what else a job needs beside the slot it was fetched with, and
// says whether the node could ever hold it. Where it cannot now, the held slot
// is free again.
func (s *slots) more(held *slot, want *executorv1.Gpu) (set []*slot, ok, ever bool) {
	count := int(want.GetCount())
	if count == 0 {
		return []*slot{held}, true, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held.kind != "gpu" { // a pool named gpu on a node without any
		held.held = false
		s.wake()
		return nil, false, false
	}
	fits := 0
	held.held = false
	for _, x := range s.all {
		if x.kind != "gpu" || !gpuFits(want, x.device.Model, x.device.MemoryBytes) {
			continue
		}
		fits++
		if len(set) < count && !x.held && x.trouble == "" {
			set = append(set, x)
		}
	}
	if len(set) < count {
		s.wake()
		return nil, false, fits >= count
	}
	for _, x := range set {
		x.held = true
	}
	if !held.held {
		s.wake()
	}
	return set, true, true
}

func (s *slots) assign(set []*slot, job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range set {
		x.job, x.since = job, time.Now()
	}
}

// release gives slots back. A GPU that a job had is free only after it was
// seen to be clean.
func (s *slots) release(set []*slot) {
	var check []*slot
	s.mu.Lock()
	for _, x := range set {
		if x.kind == "gpu" && x.job != "" && s.left != nil {
			if x.trouble == "" {
				x.trouble, x.reason = slotChecking, "looked at after a job"
			}
			check = append(check, x)
		}
		x.held, x.job, x.since = false, "", time.Now()
	}
	s.wake()
	s.mu.Unlock()
	for _, x := range check {
		s.left(x)
	}
}

// mark puts a slot into a state of trouble, or out of it; it tells whether
// that is news.
func (s *slots) mark(x *slot, trouble, reason string, pids []uint32, recheck time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := x.trouble != trouble
	if news {
		x.since = time.Now()
	}
	x.trouble, x.reason, x.pids, x.recheck = trouble, reason, pids, recheck
	s.wake()
	return news
}

// renew notes what the driver says of a device now: its node may have another number after the driver was loaded again. Who holds the slot was given
// the former one, so it is renewed when nobody does.
func (s *slots) renew(x *slot, d gpu.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !x.held {
		x.device = d
	}
}

// look is a copy of a slot.
func (s *slots) look(x *slot) slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *x
}

// gpus are the slots of GPUs by UUID.
func (s *slots) gpus() map[string]*slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]*slot{}
	for _, x := range s.all {
		if x.kind == "gpu" {
			out[x.id] = x
		}
	}
	return out
}

// count tells how many slots of a kind are in a state of trouble.
func (s *slots) count(kind, trouble string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, x := range s.all {
		if x.kind == kind && x.trouble == trouble {
			n++
		}
	}
	return n
}

func (s *slots) describe() []*executorv1.Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*executorv1.Slot
	for _, x := range s.all {
		p := &executorv1.Slot{
			Id: x.id, Kind: x.kind, State: slotFree, Model: x.device.Model, MemoryBytes: x.device.MemoryBytes, JobId: x.job,
			Reason: x.reason, Pids: x.pids,
		}
		switch {
		case x.trouble != "":
			p.State = x.trouble
		case x.job != "":
			p.State = slotBusy
		}
		if p.State != slotFree {
			p.Since = timestamppb.New(x.since)
		}
		if !x.recheck.IsZero() {
			p.Recheck = timestamppb.New(x.recheck)
		}
		out = append(out, p)
	}
	return out
}
