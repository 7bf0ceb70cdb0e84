package executor

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/bus"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

func busFault(err error, doing string) error { return bus.Fault(err, doing) }

// listNodes reads the nodes whose heartbeat has not run out.
func (j *jobs) listNodes(ctx context.Context) ([]*executorv1.Node, error) {
	keys, err := j.nodes.ListKeys(ctx)
	if err != nil {
		return nil, busFault(err, "list nodes")
	}
	var names []string
	for k := range keys.Keys() {
		names = append(names, k)
	}
	var all []*executorv1.Node
	for _, k := range names {
		n, err := j.node(ctx, k)
		if err != nil {
			return nil, err
		}
		if n != nil {
			all = append(all, n)
		}
	}
	sort.Slice(all, func(a, b int) bool {
		if all[a].GetName() != all[b].GetName() {
			return all[a].GetName() < all[b].GetName()
		}
		return all[a].GetInstance() < all[b].GetInstance()
	})
	return all, nil
}

// nodesAge is how old a list of nodes may be that only explains why a job waits: every queued job asks again and again.
const nodesAge = time.Second

// recentNodes are the nodes as they were at most nodesAge ago; who asks together reads once. Nobody may change them.
func (j *jobs) recentNodes(ctx context.Context) ([]*executorv1.Node, error) {
	j.recent.mu.Lock()
	defer j.recent.mu.Unlock()
	if time.Since(j.recent.at) < nodesAge {
		return j.recent.nodes, nil
	}
	nodes, err := j.listNodes(ctx)
	if err == nil {
		j.recent.nodes, j.recent.at = nodes, time.Now()
	}
	return nodes, err
}

// node reads one node; nil if it is gone.
func (j *jobs) node(ctx context.Context, instance string) (*executorv1.Node, error) {
	e, err := j.nodes.Get(ctx, instance)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, busFault(err, "read a node")
	}
	n := &executorv1.Node{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(e.Value(), n); err != nil {
		return nil, nil
	}
	n.Heartbeat = timestamppb.New(e.Created()) // by the broker's clock: the nodes' own may be wrong
	return n, nil
}

// holds tells whether a node lives and says that it runs a job.
func (j *jobs) holds(ctx context.Context, instance, id string) (bool, error) {
	n, err := j.node(ctx, instance)
	if err != nil || n == nil {
		return false, err
	}
	for _, s := range n.GetSlots() {
		if s.GetJobId() == id {
			return true, nil
		}
	}
	return contains(n.GetFinishing(), id), nil
}

// namesake warns of another live node with this one's name. Both work, but
// people cannot tell them apart, and a job that failed on one avoids both.
func (n *node) namesake(ctx context.Context) {
	nodes, err := n.s.jobs.listNodes(ctx)
	if err != nil {
		return // it was only to be kind
	}
	for _, other := range nodes {
		if other.GetName() == n.s.name && other.GetInstance() != n.instance {
			n.s.log.WarnContext(ctx, "another executor has this node's name: set node in its configuration", "node", n.s.name, "instance", other.GetInstance())
			return
		}
	}
}

// ListNodes tells of every node and of the queue.
func (s *Service) ListNodes(ctx context.Context) (*executorv1.ListNodesResponse, error) {
	nodes, err := s.jobs.listNodes(ctx)
	if err != nil {
		return nil, err
	}
	out := &executorv1.ListNodesResponse{Nodes: nodes}
	info, err := s.jobs.stream.Info(ctx)
	if err != nil {
		return nil, busFault(err, "read the queue")
	}
	busy := uint64(0)
	for _, n := range nodes {
		busy += uint64(len(n.GetFinishing()))
		for _, sl := range n.GetSlots() {
			if sl.GetJobId() != "" {
				busy++
			}
		}
	}
	if info.State.Msgs > busy { // a message stays until its job has ended
		out.Queued = info.State.Msgs - busy
		out.OldestQueued = timestamppb.New(info.State.FirstTime)
	}
	return out, nil
}

// explain says why a queued job waits. It never fails: the record matters more.
func (s *Service) explain(ctx context.Context, r *record) *executorv1.JobRecord {
	out := proto.Clone(r.JobRecord).(*executorv1.JobRecord)
	if r.Full != "" {
		out.WaitingFor = r.Full
		return out
	}
	if r.GetState() != executorv1.State_QUEUED {
		return out
	}
	nodes, err := s.jobs.recentNodes(ctx)
	if err != nil {
		return out
	}
	out.WaitingFor = waitReason(r.GetJob(), nodes)
	return out
}

func waitReason(job *executorv1.Job, nodes []*executorv1.Node) string {
	pool, want := job.GetPool(), int(job.GetGpu().GetCount())
	var refusals []string
	ready := 0
	for _, n := range nodes {
		if !contains(n.GetPools(), pool) {
			continue
		}
		if text := refusal(n, want); text != "" {
			refusals = append(refusals, n.GetName()+": "+text)
			continue
		}
		if n.GetDraining() || want > 0 && fitting(job.GetGpu(), n.GetSlots()) < want {
			continue
		}
		ready++
	}
	switch {
	case ready > 0 && want > 0:
		return fmt.Sprintf("%s in pool %s", gpus(want), pool)
	case ready > 0:
		return "a free slot in pool " + pool
	case len(refusals) > 0:
		return "no node in pool " + pool + " takes jobs: " + strings.Join(refusals, "; ")
	case want > 0:
		return fmt.Sprintf("no node in pool %s fits %s", pool, gpus(want))
	}
	return "no node takes jobs of pool " + pool
}

// refusal is why a node takes no job of so many GPUs; empty: it does.
func refusal(n *executorv1.Node, gpus int) string {
	for _, r := range n.GetRefusals() {
		if gpus > 0 || r.GetReason() != reasonGPUs {
			return r.GetText()
		}
	}
	return ""
}

func gpus(n int) string {
	if n == 1 {
		return "1 GPU"
	}
	return fmt.Sprintf("%d GPUs", n)
}

func fitting(want *executorv1.Gpu, slots []*executorv1.Slot) int {
	n := 0
	for _, s := range slots {
		if s.GetKind() == "gpu" && gpuFits(want, s.GetModel(), s.GetMemoryBytes()) {
			n++
		}
	}
	return n
}

func gpuFits(want *executorv1.Gpu, model string, memory uint64) bool {
	return memory >= want.GetMinMemoryBytes() && strings.Contains(strings.ToLower(model), strings.ToLower(want.GetModel()))
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
