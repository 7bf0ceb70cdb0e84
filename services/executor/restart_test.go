package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
	"nullius.dev/services/executor"
)

// childVar holds the orders of a test binary that is to be an executor.
const childVar = "NULLIUS_TEST_EXECUTOR"

type childOrders struct {
	NATS, State, Blobs, Node string
	Sole                     bool
	DrainMillis              int
	Poison                   int
	OnBusLost                string
	// Broker makes the child a broker on the address NATS, in the folder State.
	Broker bool
}

// childMain makes the test binary an executor of its own if it was started as
// one.
func childMain() {
	text := os.Getenv(childVar)
	if text == "" {
		return
	}
	var o childOrders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := childRun(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func childRun(ctx context.Context, o childOrders) error {
	if o.Broker {
		s, err := natsd.Start(natsd.Config{Dir: o.State, Listen: o.NATS, MaxBytes: 2 << 30})
		if err != nil {
			return err
		}
		<-ctx.Done()
		return s.Stop()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	conn, err := bus.Connect(ctx, o.NATS, bus.Options{Name: "executor"})
	if err != nil {
		return err
	}
	blobs, err := store.OpenDir(o.Blobs)
	if err != nil {
		return err
	}
	box, err := sandbox.New(ctx, sandbox.DefaultConfig(), log)
	if err != nil {
		return err
	}
	h := app.NewHost(ctx, log)
	cfg := quick(o.State)
	cfg.Poison, cfg.OnBusLost = o.Poison, o.OnBusLost
	cfg.Node, cfg.SoleOwner, cfg.DrainTimeout = o.Node, o.Sole, time.Duration(o.DrainMillis)*time.Millisecond
	if err := executor.Attach(h, rpc.NewNetwork(rpc.Options{}), cfg, executor.Shared{Bus: conn, Blobs: blobs, Sandbox: box}); err != nil {
		return err
	}
	return h.Wait(ctx)
}

// cluster is a broker that other processes reach, with a client's executor
// that runs nothing.
type cluster struct {
	*world
	url, dir string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	s, err := natsd.Start(natsd.Config{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", MaxBytes: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	blobs, err := store.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{world: &world{t: t, bus: conn, blobs: blobs}, url: s.URL(), dir: dir}
	cfg := quick(t.TempDir())
	cfg.Pools = []string{"none"}
	c.client, _ = c.start(cfg, executor.Shared{Sandbox: box(t)})
	return c
}

func (c *cluster) child(t *testing.T, o childOrders) *exec.Cmd {
	t.Helper()
	if o.NATS == "" {
		o.NATS = c.url
	}
	o.Blobs = filepath.Join(c.dir, "blobs")
	o.State = filepath.Join(c.dir, o.State)
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+string(b))
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("executor %s:\n%s", o.Node, log.String())
		}
	})
	return cmd
}

func (c *cluster) until(t *testing.T, id string, d time.Duration, ok func(*executorv1.JobRecord) bool) *executorv1.JobRecord {
	t.Helper()
	var last *executorv1.JobRecord
	kittest.Eventually(t, d, func() error {
		r, err := c.client.Get(t.Context(), &executorv1.GetRequest{JobId: id})
		if err != nil {
			return err
		}
		if last = r.GetRecord(); !ok(last) {
			return fmt.Errorf("job is %s, attempt %d on %s", last.GetState(), last.GetAttempt(), last.GetNode())
		}
		return nil
	})
	return last
}

func running(attempt int32) func(*executorv1.JobRecord) bool {
	return func(r *executorv1.JobRecord) bool {
		return r.GetState() == executorv1.State_RUNNING && r.GetAttempt() == attempt
	}
}

func ended(r *executorv1.JobRecord) bool { return r.GetState() == executorv1.State_ENDED }

// slow is a good experiment that takes two seconds and marks its process.
func slow(mark string) string {
	return "import time\ntime.sleep(2) # " + mark + "\n" + good
}

// marked counts processes of the host that run a job of this test.
func marked(mark string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	n := 0
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(mark)) {
			n++
		}
	}
	return n
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// label marks the processes of a job of this test.
func (c *cluster) label(id string) string { return fmt.Sprintf("mark-%s-%d", id, os.Getpid()) }

func (c *cluster) slowJob(id string) *executorv1.Job {
	mark := c.label(id)
	j := c.job(id, slow(mark))
	j.Argv = append(j.Argv, mark)
	j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
	return j
}

func (c *cluster) mark(j *executorv1.Job) string { return j.GetArgv()[len(j.GetArgv())-1] }

func TestRestart_AKilledExecutorGoesOnAtOnce(t *testing.T) {
	for _, sole := range []bool{true, false} {
		t.Run(fmt.Sprintf("sole owner %t", sole), func(t *testing.T) {
			c := newCluster(t)
			first := c.child(t, childOrders{State: "a", Node: "a", Sole: sole})
			j := c.slowJob("killed")
			c.submit(c.client, j)
			c.until(t, j.GetJobId(), 20*time.Second, running(1))
			kill(t, first)
			kittest.Eventually(t, 5*time.Second, func() error {
				if n := marked(c.mark(j)); n > 0 {
					return fmt.Errorf("%d processes outlived the executor", n)
				}
				return nil
			})
			c.child(t, childOrders{State: "a", Node: "a", Sole: sole})
			c.until(t, j.GetJobId(), 5*time.Second, running(2))
			r := c.until(t, j.GetJobId(), 20*time.Second, ended).GetResult()
			if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetAttempt() != 2 || len(r.GetEarlier()) != 1 || r.GetEarlier()[0].GetEnd() != "LOST" {
				t.Errorf("%v", r)
			}
			kittest.Eventually(t, 5*time.Second, func() error {
				work, _ := os.ReadDir(filepath.Join(c.dir, "a", "work"))
				notes, _ := os.ReadDir(filepath.Join(c.dir, "a", "journal"))
				if len(work)+len(notes) > 0 {
					return fmt.Errorf("left: %v, %v", work, notes)
				}
				return nil
			})
		})
	}
}

func TestRestart_AnotherExecutorTakesALostJob(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.child(t, childOrders{State: "a", Node: "a"})
	j := c.slowJob("lost")
	c.submit(c.client, j)
	c.until(t, j.GetJobId(), 20*time.Second, running(1))
	c.child(t, childOrders{State: "b", Node: "b"})
	kill(t, first)
	r := c.until(t, j.GetJobId(), 30*time.Second, ended).GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetNode() != "b" || r.GetAttempt() != 2 {
		t.Errorf("%v", r)
	}
}

func TestRestart_AJobThatKillsItsExecutorIsDead(t *testing.T) {
	c := newCluster(t)
	j := c.slowJob("poison")
	c.submit(c.client, j)
	for attempt := range int32(2) {
		child := c.child(t, childOrders{State: "a", Node: "a"})
		c.until(t, j.GetJobId(), 20*time.Second, running(attempt+1))
		kill(t, child)
	}
	c.child(t, childOrders{State: "a", Node: "a"})
	r := c.until(t, j.GetJobId(), 20*time.Second, ended).GetResult()
	if r.GetEndReason() != executorv1.EndReason_DEAD || len(r.GetEarlier()) != 2 {
		t.Errorf("%v", r)
	}
	queueIsEmpty(t, c.world)
	dead, err := c.bus.JS.Stream(t.Context(), subject.StreamJobsDead)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := dead.GetLastMsgForSubject(t.Context(), subject.JobDead("cpu"))
	if err != nil || !bytes.Contains(letter.Data, []byte("soon after the program began")) {
		t.Errorf("the dead letter: %v, %v", letter, err)
	}
}

func TestRestart_ClearsWhatAKilledExecutorLeft(t *testing.T) {
	c := newCluster(t)
	left := map[string]string{ // of the kill while a note was written, of one that cannot be read, of a run
		"journal/78.json.new": `{"job":"x","attempt":1,"reply":"","instance":"dead"}`, "journal/79.json": `{"job"`, "work/attempt-1/tree/f": "x",
	}
	for name, text := range left {
		path := filepath.Join(c.dir, "a", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.child(t, childOrders{State: "a", Node: "a"})
	j := c.slowJob("after")
	c.submit(c.client, j)
	c.until(t, j.GetJobId(), 20*time.Second, running(1))
	files, err := filepath.Glob(filepath.Join(c.dir, "a", "[jw]*", "*"))
	if err != nil || len(files) != 2 { // the note and the tree of the job that runs
		t.Errorf("%v, %v", files, err)
	}
}

func TestRestart_AStoppedExecutorGivesItsJobBack(t *testing.T) {
	c := newCluster(t)
	first := c.child(t, childOrders{State: "a", Node: "a", DrainMillis: 10})
	j := c.slowJob("interrupted")
	c.submit(c.client, j)
	c.until(t, j.GetJobId(), 20*time.Second, running(1))
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("an orderly stop: %v", err)
	}
	c.child(t, childOrders{State: "b", Node: "b"})
	r := c.until(t, j.GetJobId(), 20*time.Second, ended).GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || len(r.GetEarlier()) != 1 || r.GetEarlier()[0].GetEnd() != "INTERRUPTED" {
		t.Errorf("%v", r)
	}
}

func TestRestart_AZombieExecutorIsSuperseded(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.child(t, childOrders{State: "a", Node: "a"})
	j := c.slowJob("zombie")
	c.submit(c.client, j)
	c.until(t, j.GetJobId(), 20*time.Second, running(1))
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.child(t, childOrders{State: "b", Node: "b"})
	c.until(t, j.GetJobId(), 20*time.Second, running(2))
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r := c.until(t, j.GetJobId(), 20*time.Second, ended).GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetNode() != "b" || r.GetAttempt() != 2 {
		t.Errorf("%v", r)
	}
	// The zombie is of use again, and the outcome stays.
	next := c.slowJob("next")
	c.submit(c.client, next)
	c.until(t, next.GetJobId(), 20*time.Second, ended)
	if again := c.until(t, j.GetJobId(), time.Second, ended).GetResult(); again.GetNode() != "b" {
		t.Errorf("the outcome changed: %v", again)
	}
	kittest.Eventually(t, 10*time.Second, func() error {
		if n := marked(c.mark(j)); n > 0 {
			return fmt.Errorf("%d processes are left", n)
		}
		return nil
	})
}

func TestRestart_TwoExecutorsShareTheQueue(t *testing.T) {
	c := newCluster(t)
	c.child(t, childOrders{State: "a", Node: "a"})
	c.child(t, childOrders{State: "b", Node: "b"})
	c.nodesUp(t, 3)
	nodes := map[string]int{}
	var ids []string
	for i := range 4 {
		j := c.slowJob(fmt.Sprintf("shared-%d", i))
		c.submit(c.client, j)
		ids = append(ids, j.GetJobId())
	}
	for _, id := range ids {
		r := c.until(t, id, 40*time.Second, ended).GetResult()
		if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetAttempt() != 1 {
			t.Errorf("%v", r)
		}
		nodes[r.GetNode()]++
	}
	if nodes["a"] == 0 || nodes["b"] == 0 {
		t.Errorf("jobs per node: %v", nodes)
	}
}

func TestRestart_RandomKillsLoseNothing(t *testing.T) {
	c := newCluster(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var jobs []*executorv1.Job
	for i := range 6 {
		j := c.job(fmt.Sprintf("kills-%d", i), "import time\ntime.sleep(0.4)\n"+good)
		j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
		c.submit(c.client, j)
		jobs = append(jobs, j)
	}
	for range 6 {
		child := c.child(t, childOrders{State: "a", Node: "a", Sole: true})
		time.Sleep(time.Duration(100+rnd.IntN(700)) * time.Millisecond) // the moment of the kill is the test
		kill(t, child)
	}
	c.child(t, childOrders{State: "a", Node: "a", Sole: true})
	var snapshot string
	for _, j := range jobs {
		r := c.until(t, j.GetJobId(), 30*time.Second, ended).GetResult()
		if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || snapshot != "" && snapshot != r.GetSnapshot() {
			t.Errorf("%v", r)
		}
		snapshot = r.GetSnapshot()
	}
	queueIsEmpty(t, c.world)
}

func TestRestart_TwoProcessesCannotShareAStateFolder(t *testing.T) {
	c := newCluster(t)
	c.child(t, childOrders{State: "a", Node: "a"})
	kittest.Eventually(t, 20*time.Second, func() error {
		_, err := os.Stat(filepath.Join(c.dir, "a", "instance"))
		return err
	})
	second := c.child(t, childOrders{State: "a", Node: "a"})
	if err := second.Wait(); err == nil {
		t.Error("the second one ran")
	}
}

func TestRestart_AJobOutlivesABrokerThatIsAway(t *testing.T) {
	t.Parallel()
	c, broker := newKillable(t)
	b := broker()
	c.connect(t)
	c.child(t, childOrders{State: "a", Node: "a"})
	j := c.slowJob("away")
	c.submit(c.client, j)
	c.until(t, j.GetJobId(), 20*time.Second, running(1))
	kill(t, b)
	time.Sleep(3 * time.Second) // past the node's TTL, and past the program's end
	broker()
	r := c.until(t, j.GetJobId(), 20*time.Second, ended).GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetAttempt() != 1 {
		t.Errorf("%v", r)
	}
	next := c.slowJob("next") // what the broker had in memory is there again
	c.submit(c.client, next)
	if s := c.watch(c.client, next.GetJobId()); s.record.GetResult().GetEndReason() != executorv1.EndReason_SUCCEEDED || s.out != "hello lite\n" {
		t.Errorf("%v, %q", s.record, s.out)
	}
	queueIsEmpty(t, c.world)
}

func TestRestart_ASecondSignalHurriesADrain(t *testing.T) {
	w := newWorld(t)
	cfg := quick(t.TempDir())
	cfg.DrainTimeout = time.Hour
	hurry := make(chan struct{})
	client, stop := w.start(cfg, executor.Shared{Sandbox: box(t), Hurry: hurry})
	w.client = client
	j := w.job("drained", "import time; time.sleep(60)")
	w.submit(client, j)
	get := func() *executorv1.JobRecord {
		e, err := w.bus.JS.KeyValue(t.Context(), subject.BucketJobState)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Get(t.Context(), j.GetJobId())
		if err != nil {
			t.Fatal(err)
		}
		var s struct{ Record json.RawMessage }
		r := &executorv1.JobRecord{}
		if err := json.Unmarshal(v.Value(), &s); err != nil {
			t.Fatal(err)
		}
		if err := protojson.Unmarshal(s.Record, r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	wait := func(s executorv1.State_Value) {
		kittest.Eventually(t, 20*time.Second, func() error {
			if r := get(); r.GetState() != s {
				return fmt.Errorf("is %s", r.GetState())
			}
			return nil
		})
	}
	wait(executorv1.State_RUNNING)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("the drain did not wait")
	case <-time.After(time.Second):
	}
	close(hurry)
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		t.Fatal("the drain did not hurry")
	}
	wait(executorv1.State_QUEUED)
}

func TestRestart_AJobEndsWithItsBrokerWhereThatIsWanted(t *testing.T) {
	c, broker := newKillable(t)
	b := broker()
	c.connect(t)
	c.child(t, childOrders{State: "a", Node: "a", OnBusLost: "kill"})
	j := c.job("bus-lost", "import time\ntime.sleep(60) # "+c.label("bus-lost"))
	j.Argv = append(j.Argv, c.label("bus-lost"))
	c.submit(c.client, j)
	kittest.Eventually(t, 20*time.Second, func() error {
		if marked(c.label("bus-lost")) == 0 {
			return errors.New("the program does not run")
		}
		return nil
	})
	kill(t, b)
	kittest.Eventually(t, 20*time.Second, func() error {
		if n := marked(c.label("bus-lost")); n > 0 {
			return fmt.Errorf("%d processes go on without a broker", n)
		}
		return nil
	})
	broker()
	r := c.until(t, j.GetJobId(), 30*time.Second, running(2))
	if r.GetResult() != nil {
		t.Errorf("%v", r)
	}
	persist(t, func() error {
		_, err := c.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: j.GetJobId(), Force: true})
		return err
	})
	res := c.until(t, j.GetJobId(), 20*time.Second, ended).GetResult()
	if res.GetEndReason() != executorv1.EndReason_CANCELLED || len(res.GetEarlier()) != 1 || res.GetEarlier()[0].GetEnd() != "INFRA" {
		t.Errorf("%v", res)
	}
}
