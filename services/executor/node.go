package executor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/pyenv"
)

var (
	errCancelled = errors.New("cancelled")
	errDrain     = errors.New("the node stops")
	errLeaseLost = errors.New("another attempt has taken over")
	errBusLost   = errors.New("the broker was away for longer than node_ttl, and on_bus_lost is kill")
)

// node runs jobs on this machine.
type node struct {
	s        *Service
	instance string
	state    *stateDir
	slots    *slots
	pools    map[string]string // pool: kind of its slots
	gpuNote  string
	memory   uint64 // of one slot
	total    uint64
	started  time.Time

	mu        sync.Mutex
	draining  bool
	lowDisk   bool
	running   map[string]*attempt
	handling  map[string]bool // jobs of which a message is being handled
	finishing map[string]bool // jobs that have left their slots and are not committed
	tell      announcements
	gpus      *gpuWatch
	envs      *pyenv.Store
}

// Run runs this machine's node until ctx ends, then drains it.
func (s *Service) Run(ctx context.Context) error {
	n, err := s.newNode(ctx)
	if err != nil {
		return err
	}
	defer n.state.close()
	rest, err := n.recover(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // told to stop before it had begun; the next start recovers
	}
	if err != nil {
		return err
	}
	stopGauge, err := s.metrics.observe(n.slots)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "INTERNAL", "the executor's metrics cannot be made")
	}
	defer stopGauge()
	// Attempts outlive the order to stop: draining lets them end.
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var group errgroup.Group
	// What attends to the attempts outlives them, also those that a late drain stops.
	beat, quiet := context.WithCancel(context.WithoutCancel(ctx))
	defer quiet()
	group.Go(func() error { n.heartbeats(beat); return nil })
	group.Go(func() error { n.pruning(beat); return nil })
	group.Go(func() error { n.reconnects(beat); return nil })
	group.Go(func() error { return n.listen(beat) })
	n.gpus.restore(ctx)
	n.slots.left = func(x *slot) { n.gpus.left(beat, x) }
	group.Go(func() error { n.gpus.run(beat); return nil })
	if err := n.announce(ctx); err != nil {
		s.log.WarnContext(ctx, "announce node", "error", err)
	}
	n.namesake(ctx)
	var fetchers errgroup.Group
	for _, do := range rest {
		fetchers.Go(func() error { do(work); return nil })
	}
	if s.d.Sandbox != nil {
		for pool, kind := range n.pools {
			fetchers.Go(func() error { n.fetchLoop(ctx, work, pool, kind); return nil })
		}
	}
	<-ctx.Done()
	n.drain(work, stop, &fetchers)
	quiet()
	_ = group.Wait()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = s.jobs.nodes.Delete(bye, n.instance)
	return nil
}

// drain lets attempts end and stops those that take too long.
func (n *node) drain(work context.Context, stop context.CancelCauseFunc, fetchers *errgroup.Group) {
	n.mu.Lock()
	n.draining = true
	left := len(n.running)
	n.mu.Unlock()
	n.s.log.InfoContext(work, "draining", "jobs", left, "timeout", n.s.cfg.DrainTimeout.String())
	if err := n.announce(work); err != nil {
		n.s.log.DebugContext(work, "announce node", "error", err)
	}
	late := time.AfterFunc(n.s.cfg.DrainTimeout, func() { stop(errDrain) })
	defer late.Stop()
	ended := make(chan struct{})
	var hurry sync.WaitGroup
	hurry.Go(func() {
		select {
		case <-n.s.d.Hurry: // nil: never
			n.s.log.WarnContext(work, "told to hurry: interrupting what runs")
			stop(errDrain)
		case <-ended:
		}
	})
	_ = fetchers.Wait() // each waits for its attempts
	close(ended)
	hurry.Wait()
}

func (s *Service) newNode(ctx context.Context) (*node, error) {
	var id [12]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	st, err := openState(s.cfg.State)
	if err != nil {
		return nil, err
	}
	cpus := s.cfg.Slots
	if cpus == 0 {
		cpus = max(1, runtime.NumCPU())
	}
	devices, note := s.d.GPUs.Devices(ctx)
	if note != "" {
		s.log.InfoContext(ctx, "gpu slots", "found", len(devices), "note", note)
	}
	n := &node{
		s: s, instance: hex.EncodeToString(id[:]), state: st, slots: newSlots(cpus, devices), gpuNote: note,
		pools: map[string]string{}, total: hostMemory(), started: time.Now(), running: map[string]*attempt{}, handling: map[string]bool{}, finishing: map[string]bool{},
	}
	n.memory = n.total / uint64(cpus)
	n.gpus = newGPUWatch(n)
	if s.d.Sandbox != nil {
		if n.envs, err = pyenv.Open(st.path("environments"), s.cfg.Environments, s.d.Sandbox); err != nil {
			st.close()
			return nil, fault.Wrap(err, fault.Precondition, "STATE_UNUSABLE", "the executor's folder of environments cannot be used: %v", err)
		}
	}
	for _, p := range s.cfg.Pools {
		n.pools[p] = "cpu"
	}
	if len(devices) > 0 {
		n.pools[poolGPU] = "gpu"
	}
	return n, nil
}

// fetchLoop reserves a slot, then fetches one message, and so on.
func (n *node) fetchLoop(ctx, work context.Context, pool, kind string) {
	var attempts errgroup.Group
	defer func() { _ = attempts.Wait() }()
	consumer, err := n.openConsumer(ctx, pool)
	if err != nil {
		return // ctx ended
	}
	for ctx.Err() == nil {
		if !n.roomOnDisk(ctx) {
			continue
		}
		held, err := n.slots.take(ctx, kind)
		if err != nil {
			return
		}
		msg := n.fetch(ctx, consumer)
		if msg == nil {
			n.slots.release([]*slot{held})
			continue
		}
		// The next slot is taken only when this job has what it needs: else a
		// loop that waits with one GPU would keep it from a job that needs all.
		chosen := make(chan struct{})
		attempts.Go(func() error { n.handle(work, msg, held, sync.OnceFunc(func() { close(chosen) })); return nil })
		<-chosen
	}
}

func (n *node) openConsumer(ctx context.Context, pool string) (jetstream.Consumer, error) {
	for {
		c, err := n.s.jobs.consumer(ctx, pool)
		if err == nil {
			return c, nil
		}
		n.s.log.WarnContext(ctx, "open consumer", "pool", pool, "error", err)
		if !pause(ctx, time.Second) {
			return nil, ctx.Err()
		}
	}
}

// fetch waits for one message; nil: none came, or the node stops.
func (n *node) fetch(ctx context.Context, c jetstream.Consumer) jetstream.Msg {
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	batch, err := c.Fetch(1, jetstream.FetchContext(wait))
	if err != nil {
		pause(ctx, 500*time.Millisecond)
		return nil
	}
	var msg jetstream.Msg
	for m := range batch.Messages() {
		msg = m
	}
	if msg == nil {
		if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			n.s.log.DebugContext(ctx, "fetch", "error", err)
			pause(ctx, 200*time.Millisecond)
		}
		return nil
	}
	if ctx.Err() != nil {
		_ = msg.Nak()
		return nil
	}
	if m, err := msg.Metadata(); err == nil && m.NumDelivered > 1 {
		n.s.metrics.redelivered.Add(ctx, 1)
	}
	return msg
}

// pause returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// roomOnDisk holds the queue off while the disk is nearly full.
func (n *node) roomOnDisk(ctx context.Context) bool {
	var fs unix.Statfs_t
	low := unix.Statfs(n.state.dir, &fs) == nil && fs.Bavail*uint64(fs.Bsize) < n.s.cfg.MinFreeBytes
	n.mu.Lock()
	changed := low != n.lowDisk
	n.lowDisk = low
	n.mu.Unlock()
	if changed {
		n.s.log.WarnContext(ctx, "free disk space", "low", low, "folder", n.state.dir)
		_ = n.announce(ctx)
	}
	if low {
		pause(ctx, time.Second)
	}
	return !low
}

// heartbeats keeps the node's key, its messages and its jobs' logs alive.
func (n *node) heartbeats(ctx context.Context) {
	beat := time.NewTicker(n.s.cfg.Heartbeat)
	defer beat.Stop()
	heard := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		if err := n.announce(ctx); err != nil {
			n.s.log.WarnContext(ctx, "heartbeat", "error", err)
		} else {
			heard = time.Now()
		}
		lost := n.s.cfg.OnBusLost == busLostKill && time.Since(heard) > n.s.cfg.NodeTTL
		n.mu.Lock()
		for _, a := range n.running {
			_ = a.msg.InProgress()
			if lost {
				a.stop(errBusLost)
			}
		}
		n.mu.Unlock()
	}
}

// reconnects puts right what a broker that was away has forgotten: the nodes
// and the logs lie in its memory.
func (n *node) reconnects(ctx context.Context) {
	back := n.s.d.Bus.NC.StatusChanged(nats.CONNECTED)
	defer n.s.d.Bus.NC.RemoveStatusListener(back)
	for {
		select {
		case <-ctx.Done():
			return
		case <-back:
		}
		for {
			_, err := n.s.jobs.declare(ctx)
			if err == nil {
				err = n.announce(ctx)
			}
			if err == nil {
				break
			}
			n.s.log.DebugContext(ctx, "after the broker's return", "error", err)
			if !pause(ctx, 500*time.Millisecond) {
				return
			}
		}
		n.s.log.InfoContext(ctx, "the broker is back")
	}
}

func (n *node) describe() *executorv1.Node {
	n.mu.Lock()
	draining, low := n.draining, n.lowDisk
	finishing := slices.Sorted(maps.Keys(n.finishing))
	n.mu.Unlock()
	p := &executorv1.Node{
		Name: n.s.name, Instance: n.instance, Slots: n.slots.describe(), GpuNote: n.gpuNote, Draining: draining, Finishing: finishing,
		Heartbeat: timestamppb.Now(), Started: timestamppb.New(n.started), MemoryBytes: n.total, Cpus: uint32(runtime.NumCPU()),
	}
	for pool := range n.pools {
		p.Pools = append(p.Pools, pool)
	}
	if n.s.d.Sandbox == nil {
		text := "there is no sandbox"
		if n.s.d.Refusal != nil {
			text = n.s.d.Refusal.Error()
		}
		p.Refusals = append(p.Refusals, &executorv1.Refusal{
			Reason: sandbox.ReasonTooWeak, Text: text, Remedy: fault.NextOf(n.s.d.Refusal),
		})
		return p
	}
	if low {
		p.Refusals = append(p.Refusals, &executorv1.Refusal{
			Reason: "DISK_LOW", Text: "the disk is nearly full", Remedy: "free space on the disk of " + n.state.dir,
		})
	}
	if gpus := n.slots.gpus(); len(gpus) > 0 && n.slots.count("gpu", slotQuarantined) == len(gpus) {
		p.Refusals = append(p.Refusals, &executorv1.Refusal{
			Reason: reasonGPUs, Text: "all its GPUs are in quarantine", Remedy: "executor slots list, then executor slots release UUID",
		})
	}
	probe := n.s.d.Sandbox.Probe()
	p.Level, p.ProbeDigest = probe.Level, probe.Digest
	for name, how := range probe.Attacks {
		p.Probes = append(p.Probes, &executorv1.Probe{Name: name, Held: true, Detail: how})
	}
	sortProbes(p.Probes)
	return p
}

// hostMemory is what this machine, or the container we are in, has.
func hostMemory() uint64 {
	var info unix.Sysinfo_t
	total := uint64(4 << 30)
	if unix.Sysinfo(&info) == nil {
		total = uint64(info.Totalram) * uint64(info.Unit)
	}
	for _, f := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		if n, ok := readNumber(filepath.Join("/sys/fs/cgroup", f)); ok && n < total {
			total = n
		}
	}
	return total
}

func readNumber(file string) (uint64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	return parseUint(string(b))
}
