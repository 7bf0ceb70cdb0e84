package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// Progress of steps that run a job: it waits for a slot, or runs on the node that is named behind it.
const (
	phaseQueued  = "queued for a slot"
	phaseRunning = "running on "
)

// deadNode is the age of a heartbeat from which a node's word is not trusted: it beats every few seconds.
const deadNode = 30 * time.Second

type nodeRow struct {
	Name, Pools, Level, Slots, Memory, GPUNote string
	State                                      stateView
	Heartbeat                                  ageView
	Refusals                                   []*executorv1.Refusal
	Jobs                                       []jobLink
}

type slotRow struct {
	ID, Node, Model, Memory string
	State                   stateView
	Held                    ageView
	Job                     jobLink
}

// jobLink leads from a job to the step that it runs for.
type jobLink struct{ Text, Href string }

type queueRow struct {
	Job jobLink
	Why string
	For ageView
}

func jobOf(id string) jobLink {
	p := strings.SplitN(id, "/", 3)
	if len(p) != 3 {
		return jobLink{Text: id}
	}
	if p[1] == "_" {
		return jobLink{id, "/studies/" + p[0]}
	}
	return jobLink{id, "/studies/" + p[0] + "/ideas/" + p[1] + "?step=" + p[2] + "#step"}
}

func nodeState(n *executorv1.Node) stateView {
	switch {
	case time.Since(n.GetHeartbeat().AsTime()) > deadNode:
		return stateView{"failed", "LOST", "no heartbeat; its jobs go to others"}
	case n.GetDraining():
		return stateView{"waiting", "DRAINING", "ends its jobs and takes no new ones"}
	case len(n.GetSlots()) == 0 || len(n.GetPools()) == 0:
		return stateView{"failed", "NOT READY", "takes no jobs"}
	}
	return stateView{"ok", "READY", ""}
}

func slotState(s *executorv1.Slot) stateView {
	switch s.GetState() {
	case "FREE":
		return stateView{"pending", "FREE", ""}
	case "BUSY":
		return stateView{"running", "BUSY", ""}
	case "FOREIGN":
		return stateView{"waiting", "FOREIGN", "a program that is not ours holds it"}
	}
	return stateView{"failed", s.GetState(), ""}
}

func gibibytes(n uint64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

type nodesPage struct {
	frame
	Readings  []reading
	Nodes     []nodeRow
	GPUs      []slotRow
	Queue     []queueRow
	Elsewhere int // jobs in the queue that no step here waits for
	Failed    string
}

func (p *pageSet) nodes(w http.ResponseWriter, r *http.Request) {
	d := nodesPage{frame: p.frame("Nodes", "nodes", "nullius nodes")}
	d.Events, d.Poll = p.events(r.Context(), ""), 5
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	list, err := p.s.workers.executor.ListNodes(ctx, &executorv1.ListNodesRequest{})
	if err != nil {
		d.Failed = or(fault.ReasonOf(err), "SERVICE_UNAVAILABLE") + ": " + messageOf(err)
	}
	ready := 0
	for _, n := range list.GetNodes() {
		row := nodeRow{
			Name: n.GetName(), Pools: strings.Join(n.GetPools(), ", "), Level: or(n.GetLevel(), "none"), Memory: gibibytes(n.GetMemoryBytes()), GPUNote: n.GetGpuNote(),
			State: nodeState(n), Heartbeat: ageOf(n.GetHeartbeat()), Refusals: n.GetRefusals(),
		}
		busy := 0
		for _, s := range n.GetSlots() {
			if s.GetState() != "FREE" {
				busy++
			}
			if s.GetJobId() != "" {
				row.Jobs = append(row.Jobs, jobOf(s.GetJobId()))
			}
			if s.GetKind() == "gpu" {
				d.GPUs = append(d.GPUs, slotRow{s.GetId(), n.GetName(), or(s.GetModel(), "unknown"), gibibytes(s.GetMemoryBytes()), slotState(s), ageOf(s.GetSince()), jobOf(s.GetJobId())})
			}
		}
		row.Slots = fmt.Sprintf("%d of %d", busy, len(n.GetSlots()))
		if row.State.Text == "READY" {
			ready++
		}
		d.Nodes = append(d.Nodes, row)
	}
	d.Queue = p.queue()
	d.Elsewhere = max(0, int(list.GetQueued())-len(d.Queue))
	d.Readings = nodeReadings(list, ready, err != nil)
	p.render(w, "nodes", http.StatusOK, d)
}

func nodeReadings(list *executorv1.ListNodesResponse, ready int, failed bool) []reading {
	if failed {
		return []reading{{"Nodes ready", "unknown", "", ""}, {"CPU slots busy", "unknown", "", ""}, {"GPU slots busy", "unknown", "", ""}, {"Queued", "unknown", "", ""}}
	}
	cpu, cpus := slotsOf(list.GetNodes(), "cpu")
	gpu, gpus := slotsOf(list.GetNodes(), "gpu")
	oldest := "nothing waits for a slot"
	if t := list.GetOldestQueued(); t != nil {
		oldest = "oldest " + ageOf(t).Text
	}
	gpuText, gpuNote := fmt.Sprintf("%d of %d", gpu, gpus), ""
	if gpus == 0 {
		gpuText, gpuNote = "none", "no node has a GPU"
	}
	return []reading{
		{"Nodes ready", fmt.Sprintf("%d of %d", ready, len(list.GetNodes())), "#executors", ""}, {"CPU slots busy", fmt.Sprintf("%d of %d", cpu, cpus), "", ""},
		{"GPU slots busy", gpuText, "#gpus", gpuNote}, {"Queued", count(int64(list.GetQueued())), "#queue", oldest},
	}
}

// queue lists the steps whose jobs wait for a slot, the oldest first.
func (p *pageSet) queue() (out []queueRow) {
	type open struct {
		key   journal.Key
		step  string
		since time.Time
	}
	var steps []open
	p.s.journal.Each(func(m *journal.Machine) {
		if c := m.Core(); c.Ended == nil && c.Open != "" {
			steps = append(steps, open{m.Key, c.Open, c.Steps[c.Open].StartedAt})
		}
	})
	for _, o := range steps {
		if w := p.s.live.word(o.key, o.step); w.GetPhase() == phaseQueued {
			out = append(out, queueRow{jobOf(o.key.String() + "/" + o.step), or(w.GetDetail(), "the executor gives no reason"), ageOf(timestamppb.New(o.since))})
		}
	}
	return out
}
