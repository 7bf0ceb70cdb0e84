package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"nullius.dev/services/executor/internal/gpu"
)

// errGPUFault ends an attempt whose GPU is not to be trusted.
var errGPUFault = errors.New("a GPU of the job failed")

const (
	cleanEvery = 250 * time.Millisecond
	// cleanSlack is by how much a device's idle memory may differ: the driver
	// keeps some of its own.
	cleanSlack = 64 << 20
	// settle is how long a failed program's GPU is given to report why.
	settle = 500 * time.Millisecond
)

// gpuWatch watches the GPUs of a node: their errors, who uses them, whether a
// job has left them clean.
type gpuWatch struct {
	n      *node
	b      gpu.Backend
	locks  *gpuLocks
	checks sync.WaitGroup
	over   map[uint32]gpu.Class
}

func newGPUWatch(n *node) *gpuWatch {
	w := &gpuWatch{n: n, b: n.s.d.GPUs, locks: newGPULocks(n.s.cfg.GPU.Locks), over: n.s.cfg.GPU.classes()}
	return w
}

// run watches until ctx ends. The first look comes before any job.
func (w *gpuWatch) run(ctx context.Context) {
	defer w.locks.close()
	defer w.checks.Wait()
	if len(w.n.slots.gpus()) == 0 {
		<-ctx.Done()
		return
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for ctx.Err() == nil {
			events, err := w.b.Wait(ctx, time.Second)
			if err != nil && ctx.Err() == nil {
				w.n.s.log.DebugContext(ctx, "GPU events", "error", err)
			}
			for _, e := range events {
				w.event(ctx, e)
			}
		}
	})
	poll := time.NewTicker(w.n.s.cfg.GPU.Poll)
	defer poll.Stop()
	orders := time.NewTicker(min(time.Second, w.n.s.cfg.GPU.Poll))
	defer orders.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			w.look(ctx)
		case <-orders.C:
			for _, uuid := range w.n.state.releases() {
				w.release(ctx, uuid)
			}
		}
	}
}

// event acts on a driver's error.
func (w *gpuWatch) event(ctx context.Context, e gpu.Event) {
	x := w.n.slots.gpus()[e.UUID]
	if x == nil {
		return
	}
	class := gpu.Classify(e.XID, w.over)
	w.n.s.log.WarnContext(ctx, "a GPU reports an error", "gpu", e.UUID, "xid", e.XID, "class", class.String())
	if a := w.n.on(x); a != nil {
		a.noteXID(e)
	}
	if class != gpu.Application {
		w.fault(ctx, x, class, fmt.Sprintf("XID %d (%s)", e.XID, class))
	}
}

// fault puts a slot into quarantine and ends the attempt that uses it.
func (w *gpuWatch) fault(ctx context.Context, x *slot, class gpu.Class, why string) {
	q := quarantine{UUID: x.id, Class: class.String(), Reason: why, Since: time.Now(), Recheck: time.Now().Add(w.n.s.cfg.GPU.Recheck)}
	if err := w.n.state.quarantine(q); err != nil {
		w.n.s.log.ErrorContext(ctx, "note a quarantine", "gpu", x.id, "error", err)
	}
	if w.n.slots.mark(x, slotQuarantined, why, nil, q.Recheck) {
		w.n.s.log.ErrorContext(ctx, "GPU in quarantine", "gpu", x.id, "reason", why, "next", "executor slots release "+x.id)
		w.n.tellSoon(ctx)
	}
	if a := w.n.on(x); a != nil {
		a.stop(fmt.Errorf("%w: %s: %s", errGPUFault, x.id, why))
	}
}

// look reads all devices and puts their slots right.
func (w *gpuWatch) look(ctx context.Context) {
	devices, _ := w.b.Devices(ctx)
	there := map[string]gpu.Device{}
	for _, d := range devices {
		there[d.UUID] = d
	}
	for uuid, x := range w.n.slots.gpus() {
		before := w.n.slots.look(x).trouble
		d, ok := there[uuid]
		if !ok {
			w.lost(ctx, x, "the driver does not list it any more")
		} else {
			w.n.slots.renew(x, d)
			w.lookAt(ctx, x, d)
		}
		if w.n.slots.look(x).trouble != before {
			w.n.tellSoon(ctx)
		}
	}
}

func (w *gpuWatch) lost(ctx context.Context, x *slot, why string) {
	if w.n.slots.look(x).trouble != slotQuarantined {
		w.fault(ctx, x, gpu.Hardware, why)
	}
}

func (w *gpuWatch) lookAt(ctx context.Context, x *slot, d gpu.Device) {
	s := w.n.slots.look(x)
	if s.trouble == slotQuarantined {
		if !time.Now().Before(s.recheck) {
			w.recheck(ctx, x)
		}
		return
	}
	if _, err := w.b.Read(x.id); errors.Is(err, gpu.ErrLost) {
		w.lost(ctx, x, err.Error())
		return
	}
	if r, err := w.b.Recovery(x.id); err == nil && r == gpu.RecoveryNeeded {
		w.fault(ctx, x, gpu.Reset, "it waits for a reset or for rows of its memory to be remapped")
		return
	}
	if missing := missingNode(d); missing != "" && s.job == "" {
		w.fault(ctx, x, gpu.Reset, missing+" is missing: the driver's set-uid helper cannot make it for a job; run nvidia-modprobe -u -c=0")
		return
	}
	if s.job != "" || s.trouble == slotChecking {
		return
	}
	if !w.locks.take(x.id) {
		w.n.slots.mark(x, slotForeign, "another executor of this host uses it", nil, time.Time{})
		return
	}
	clean, pids := w.clean(x, s.trouble == slotLeaked)
	switch {
	case clean:
		w.n.slots.mark(x, "", "", nil, time.Time{})
	case s.trouble == slotLeaked:
		w.n.slots.mark(x, slotLeaked, s.reason, pids, time.Time{})
	default:
		w.n.slots.mark(x, slotForeign, "processes that are no job's use it", pids, time.Time{})
	}
}

// missingNode names a device file that a job would need and that is not there.
func missingNode(d gpu.Device) string {
	for _, f := range d.Nodes() {
		if st, err := os.Stat(f); err != nil || st.Mode()&os.ModeCharDevice == 0 {
			return f
		}
	}
	return ""
}

// clean tells whether nobody uses a device, and who does. After a job its
// memory has to be back where it was, too.
func (w *gpuWatch) clean(x *slot, memory bool) (bool, []uint32) {
	list, err := w.b.Processes(x.id)
	if err != nil {
		return false, nil
	}
	var pids []uint32
	for _, p := range list {
		pids = append(pids, p.PID)
	}
	if len(pids) > 0 {
		slices.Sort(pids)
		return false, pids
	}
	idle := w.n.slots.look(x).idle
	if !memory || idle == 0 { // no job of this process has had it
		return true, nil
	}
	r, err := w.b.Read(x.id)
	return err == nil && r.MemoryUsed <= idle+cleanSlack, nil
}

// left looks at a GPU that a job has left, until it is clean or time is up.
func (w *gpuWatch) left(ctx context.Context, x *slot) {
	w.checks.Go(func() {
		for until := time.Now().Add(w.n.s.cfg.GPU.Clean); ; {
			if w.n.slots.look(x).trouble != slotChecking {
				return // quarantined in the meantime
			}
			clean, pids := w.clean(x, true)
			if clean {
				w.n.slots.mark(x, "", "", nil, time.Time{})
				w.n.tellSoon(ctx)
				return
			}
			if time.Now().After(until) {
				w.n.slots.mark(x, slotLeaked, "a job has left it, but it is not free", pids, time.Time{})
				w.n.s.metrics.leaked.Add(ctx, 1)
				w.n.s.log.ErrorContext(ctx, "a GPU is not free after its job", "gpu", x.id, "pids", pids)
				w.n.tellSoon(ctx)
				return
			}
			if !pause(ctx, cleanEvery) {
				return
			}
		}
	})
}

// recheck looks whether a quarantine can end.
func (w *gpuWatch) recheck(ctx context.Context, x *slot) {
	s := w.n.slots.look(x)
	_, err := w.b.Read(x.id)
	r, rerr := w.b.Recovery(x.id)
	q, known := w.n.state.quarantined(x.id)
	sure := r == gpu.RecoveryNone || r == gpu.RecoveryUnknown && known && q.Class == gpu.Unknown.String()
	if err != nil || rerr != nil || !sure {
		w.n.slots.mark(x, slotQuarantined, s.reason, nil, time.Now().Add(w.n.s.cfg.GPU.Recheck))
		return
	}
	w.release(ctx, x.id)
}

// release ends a quarantine; the slot is free once it is seen to be clean.
func (w *gpuWatch) release(ctx context.Context, uuid string) {
	w.n.state.unquarantine(uuid)
	x := w.n.slots.gpus()[uuid]
	if x == nil || w.n.slots.look(x).trouble != slotQuarantined {
		return
	}
	w.n.s.log.InfoContext(ctx, "GPU out of quarantine", "gpu", uuid)
	w.n.slots.mark(x, slotChecking, "looked at after a quarantine", nil, time.Time{})
	w.left(ctx, x)
}

// restore puts slots into the quarantine that a former instance left, and takes
// a first look, before there are jobs.
func (w *gpuWatch) restore(ctx context.Context) {
	for uuid, x := range w.n.slots.gpus() {
		if q, ok := w.n.state.quarantined(uuid); ok {
			w.n.slots.mark(x, slotQuarantined, q.Reason, nil, q.Recheck)
		}
	}
	w.look(ctx)
}

// on is the attempt that uses a slot.
func (n *node) on(x *slot) *attempt {
	id := n.slots.look(x).job
	n.mu.Lock()
	defer n.mu.Unlock()
	if id == "" {
		return nil
	}
	return n.running[id]
}

// tellSoon announces the node, for a change that nobody waits for.
func (n *node) tellSoon(ctx context.Context) {
	if err := n.announce(ctx); err != nil {
		n.s.log.DebugContext(ctx, "announce node", "error", err)
	}
}
