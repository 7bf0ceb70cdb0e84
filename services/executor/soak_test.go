package executor_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
	"nullius.dev/services/executor"
)

// size chooses between the short form of a test and its long one.
func size(short, soak int) int {
	if os.Getenv("NULLIUS_SOAK") != "" {
		return soak
	}
	return short
}

// newKillable is a cluster whose broker is a process of its own, on an address
// that it has again after a restart.
func newKillable(t *testing.T) (*cluster, func() *exec.Cmd) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &cluster{world: &world{t: t}, url: "nats://" + address, dir: dir}
	broker := func() *exec.Cmd {
		return c.child(t, childOrders{Broker: true, NATS: address, State: "nats", Node: "broker"})
	}
	return c, broker
}

func (c *cluster) connect(t *testing.T) {
	t.Helper()
	conn, err := bus.Connect(t.Context(), c.url, bus.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	blobs, err := store.OpenDir(filepath.Join(c.dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	c.bus, c.blobs = conn, blobs
	cfg := quick(t.TempDir())
	cfg.Pools = []string{"none"}
	c.client, _ = c.start(cfg, executor.Shared{Sandbox: box(t)})
}

// persist repeats a call while the broker is away.
func persist(t *testing.T, call func() error) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; {
		err := call()
		if err == nil {
			return
		}
		if !errors.Is(err, fault.Unavailable) && !strings.Contains(err.Error(), "deadline") || time.Now().After(until) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ends counts the ends that each job has had, by their attempt and node.
type ends struct {
	mu  sync.Mutex
	all map[string]map[string]bool
}

func (e *ends) see(r *executorv1.JobRecord) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := r.GetJob().GetJobId()
	if e.all[id] == nil {
		e.all[id] = map[string]bool{}
	}
	e.all[id][fmt.Sprintf("%d %s %s %s", r.GetAttempt(), r.GetResult().GetNode(), r.GetResult().GetEndReason(), r.GetResult().GetSnapshot())] = true
}

func TestSoak_JobsUnderRandomKillsHaveOneEndEach(t *testing.T) {
	jobs := size(40, 10_000)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	c, broker := newKillable(t)
	children := []*exec.Cmd{broker()}
	c.connect(t)
	// A kill may come to the same job more than twice, which is not its doing.
	again := []func() *exec.Cmd{broker}
	for _, name := range []string{"a", "b"} {
		again = append(again, func() *exec.Cmd {
			return c.child(t, childOrders{State: name, Node: name, Poison: 1000, DrainMillis: 20_000})
		})
		children = append(children, again[len(again)-1]())
	}
	mark := fmt.Sprintf("soak-%d", os.Getpid())
	base := c.snapshot(map[string]string{"x": "x"})
	job := func(i int) *executorv1.Job {
		return &executorv1.Job{
			JobId: fmt.Sprintf("soak/idea/job-%d", i), Snapshot: base, OutDir: "run_1", Outputs: []*executorv1.Output{{Glob: "run_1/n", Required: true}},
			Argv: []string{"sh", "-c", "echo $0 > run_1/n; : " + mark, fmt.Sprint(i)},
		}
	}
	seen := &ends{all: map[string]map[string]bool{}}
	tokens := make(chan struct{}, 100) // jobs in flight
	var group sync.WaitGroup
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range jobs {
			tokens <- struct{}{}
			group.Go(func() {
				defer func() { <-tokens }()
				persist(t, func() error {
					_, err := c.client.Submit(t.Context(), &executorv1.SubmitRequest{Job: job(i)})
					return err
				})
				for ended := false; !ended; time.Sleep(time.Duration(size(50, 500)) * time.Millisecond) { // a hundred ask
					persist(t, func() error {
						r, err := c.client.Get(t.Context(), &executorv1.GetRequest{JobId: job(i).GetJobId()})
						if ended = err == nil && r.GetRecord().GetState() == executorv1.State_ENDED; ended {
							seen.see(r.GetRecord())
						}
						return err
					})
				}
			})
		}
		group.Wait()
	}()
	kills := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(time.Duration(1500+rnd.IntN(2500)) * time.Millisecond): // the moment of the kill is the test
			which := rnd.IntN(len(children))
			kill(t, children[which])
			children[which] = again[which]()
			if kills++; kills%50 == 0 {
				seen.mu.Lock()
				t.Logf("%s: %d kills, %d jobs ended", time.Now().Format(time.TimeOnly), kills, len(seen.all))
				seen.mu.Unlock()
			}
		}
	}
	t.Logf("%d kills", kills)
	queueIsEmpty(t, c.world)
	for i := range jobs {
		id := job(i).GetJobId()
		r, err := c.client.Get(t.Context(), &executorv1.GetRequest{JobId: id})
		if err != nil {
			t.Fatal(err)
		}
		seen.see(r.GetRecord())
		if n := len(seen.all[id]); n != 1 {
			t.Errorf("job %d has %d ends: %v", i, n, seen.all[id])
		}
		res := r.GetRecord().GetResult()
		if res.GetEndReason() != executorv1.EndReason_SUCCEEDED {
			t.Errorf("job %d: %v", i, res)
			continue
		}
		got, err := store.ReadFile(t.Context(), c.blobs, store.Digest(res.GetSnapshot()), "run_1/n", 100)
		if err != nil || string(got) != fmt.Sprintf("%d\n", i) {
			t.Errorf("job %d's result: %q, %v", i, got, err)
		}
	}
	c.nodesUp(t, 3) // the last kill may have been a moment ago
	for _, child := range children[1:] {
		if err := child.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := child.Wait(); err != nil {
			t.Errorf("an orderly stop: %v", err)
		}
	}
	left, err := filepath.Glob(filepath.Join(c.dir, "[ab]", "[jw]*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if n := marked(mark); n > 0 {
		t.Errorf("%d processes are left", n)
	}
	dead, err := c.bus.JS.Stream(t.Context(), subject.StreamJobsDead)
	if err != nil || dead.CachedInfo().State.Msgs > 0 {
		t.Errorf("dead letters: %v, %v", dead.CachedInfo().State.Msgs, err)
	}
}

// nodesUp waits until so many nodes have announced themselves.
func (c *cluster) nodesUp(t *testing.T, want int) {
	t.Helper()
	kittest.Eventually(t, 20*time.Second, func() error {
		n, err := c.client.ListNodes(t.Context(), &executorv1.ListNodesRequest{})
		if err == nil && len(n.GetNodes()) != want {
			err = fmt.Errorf("%d nodes", len(n.GetNodes()))
		}
		return err
	})
}

// TestSoak_AZombieHasNoSay freezes the executor of a job past its claim, and
// thaws it before or after the second one has ended, as the seed says.
func TestSoak_AZombieHasNoSay(t *testing.T) {
	c := newCluster(t)
	children := map[string]*exec.Cmd{}
	for _, name := range []string{"a", "b"} {
		children[name] = c.child(t, childOrders{State: name, Node: name})
	}
	for seed := range uint64(size(2, 200)) {
		late := seed%2 == 1 // both orders
		rnd := rand.New(rand.NewPCG(seed, 8))
		t.Logf("seed %d: thawed after the other's end: %t", seed, late)
		j := c.job(fmt.Sprintf("zombie-%d", seed), "import time\ntime.sleep(1)\n"+good)
		j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
		c.submit(c.client, j)
		first := c.until(t, j.GetJobId(), 20*time.Second, running(1)).GetNode()
		time.Sleep(time.Duration(rnd.IntN(900)) * time.Millisecond) // where in the run it is frozen
		if err := children[first].Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		thaw := func() {
			if err := children[first].Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		second := func(r *executorv1.JobRecord) bool { return r.GetAttempt() == 2 || ended(r) }
		if r := c.until(t, j.GetJobId(), 30*time.Second, second); late && r.GetAttempt() == 2 {
			c.until(t, j.GetJobId(), 30*time.Second, ended)
		} else {
			time.Sleep(time.Duration(rnd.IntN(900)) * time.Millisecond)
		}
		thaw()
		end := c.until(t, j.GetJobId(), 30*time.Second, ended).GetResult()
		if end.GetEndReason() != executorv1.EndReason_SUCCEEDED || end.GetAttempt() == 2 && end.GetNode() == first {
			t.Errorf("seed %d: frozen %s, %v", seed, first, end)
		}
		kittest.Eventually(t, 30*time.Second, func() error { // the loser stops and is of use again
			nodes, err := c.client.ListNodes(t.Context(), &executorv1.ListNodesRequest{})
			if err != nil {
				return err
			}
			for _, n := range nodes.GetNodes() {
				for _, s := range n.GetSlots() {
					if s.GetJobId() != "" {
						return fmt.Errorf("%s still has %s", n.GetName(), s.GetJobId())
					}
				}
			}
			if len(nodes.GetNodes()) != 3 {
				return fmt.Errorf("%d nodes", len(nodes.GetNodes()))
			}
			return nil
		})
		if again := c.until(t, j.GetJobId(), time.Second, ended).GetResult(); again.GetNode() != end.GetNode() || again.GetAttempt() != end.GetAttempt() {
			t.Errorf("seed %d: the outcome changed: %v, %v", seed, end, again)
		}
	}
	queueIsEmpty(t, c.world)
}
