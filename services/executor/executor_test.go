package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/kit/app"
	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	childMain()
	os.Exit(m.Run())
}

var sharedBox = sync.OnceValues(func() (*sandbox.Sandbox, error) {
	return sandbox.New(context.Background(), sandbox.DefaultConfig(), slog.New(slog.DiscardHandler))
})

func box(t testing.TB) *sandbox.Sandbox {
	t.Helper()
	b, err := sharedBox()
	if err != nil {
		t.Fatalf("%v (install: sudo apt-get install -y bubblewrap)", err)
	}
	return b
}

func quick(state string) executor.Config {
	c := executor.DefaultConfig()
	c.Listen, c.State, c.Node, c.Slots = "inproc:executor", state, "test", 2
	c.Heartbeat, c.NodeTTL, c.AckWait, c.BusyDelay = 200*time.Millisecond, time.Second, 2*time.Second, 500*time.Millisecond
	c.Grace, c.DrainTimeout = 500*time.Millisecond, 0
	return c
}

type world struct {
	t      testing.TB
	bus    *bus.Conn
	blobs  store.Blobs
	client executorv1.ExecutorServiceClient
}

// start attaches an executor; the returned function stops it.
func (w *world) start(cfg executor.Config, s executor.Shared) (executorv1.ExecutorServiceClient, func()) {
	w.t.Helper()
	s.Bus, s.Blobs = w.bus, w.blobs
	net := kittest.Network(w.t)
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() && os.Getenv("NULLIUS_SOAK") == "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h := app.NewHost(context.WithoutCancel(w.t.Context()), log)
	if err := executor.Attach(h, net, cfg, s); err != nil {
		w.t.Fatal(err)
	}
	c, err := net.Dial(cfg.Listen)
	if err != nil {
		w.t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = c.Close()
		if err := h.Stop(); err != nil {
			w.t.Errorf("stop: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return executorv1.NewExecutorServiceClient(c), stop
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{t: t, bus: kittest.NATS(t), blobs: kittest.Blobs(t)}
}

func open(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Sandbox: box(t)})
	return w
}

func (w *world) snapshot(files map[string]string) string {
	w.t.Helper()
	set := map[string][]byte{}
	for p, s := range files {
		set[p] = []byte(s)
	}
	d, err := store.Edit(w.t.Context(), w.blobs, "", set, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(d)
}

// job runs experiment.py with the given code.
func (w *world) job(id, code string) *executorv1.Job {
	return &executorv1.Job{
		JobId: "study-1/idea-1/" + id, Snapshot: w.snapshot(map[string]string{"experiment.py": code, "evaluate.py": "x = 1\n"}),
		Argv: []string{"python", "experiment.py", "--out_dir=run_1"}, OutDir: "run_1", Mount: "results/t/idea-1",
		Protected: []string{"run_*/**", "evaluate.py"}, Measure: true, Size: "lite",
		Limits: &executorv1.Limits{Wall: durationpb.New(20 * time.Second), MemoryBytes: 256 << 20},
	}
}

func (w *world) submit(c executorv1.ExecutorServiceClient, j *executorv1.Job) *executorv1.JobRecord {
	w.t.Helper()
	r, err := c.Submit(w.t.Context(), &executorv1.SubmitRequest{Job: j})
	if err != nil {
		w.t.Fatalf("submit %s: %v", j.GetJobId(), err)
	}
	return r.GetRecord()
}

type seen struct {
	record *executorv1.JobRecord
	out    string
	errs   string
	states []string
	gaps   int
	used   []*executorv1.Sample
}

func (w *world) watch(c executorv1.ExecutorServiceClient, id string) seen {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	stream, err := c.Watch(ctx, &executorv1.WatchRequest{JobId: id})
	if err != nil {
		w.t.Fatal(err)
	}
	var s seen
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			w.t.Fatalf("watch %s: %v after %v", id, err, s.states)
		}
		switch e := m.GetEvent().(type) {
		case *executorv1.WatchResponse_State:
			s.states = append(s.states, e.State.GetState().String())
		case *executorv1.WatchResponse_Log:
			if e.Log.GetStream() == executorv1.LogChunk_STDOUT {
				s.out += string(e.Log.GetData())
			} else {
				s.errs += string(e.Log.GetData())
			}
		case *executorv1.WatchResponse_Gap:
			s.gaps++
		case *executorv1.WatchResponse_Sample:
			if s.record != nil {
				w.t.Errorf("a sample after the result of %s", id)
			}
			s.used = append(s.used, e.Sample)
		case *executorv1.WatchResponse_Result:
			s.record = e.Result
		}
	}
}

func (w *world) run(j *executorv1.Job) *executorv1.JobResult {
	w.t.Helper()
	w.submit(w.client, j)
	return w.watch(w.client, j.GetJobId()).record.GetResult()
}

const good = `
import json, os, sys
out = sys.argv[1].split("=")[1]
os.makedirs(out, exist_ok=True)
print("hello", os.environ["NULLIUS_SIZE"])
print("to the other", file=sys.stderr)
json.dump({"d": {"means": {"loss": 0.5, "bad": float("nan")}, "stderrs": {"loss": 0.1}}}, open(out + "/final_info.json", "w"))
open(out + "/notes.txt", "w").write("kept")
`

func TestExecutor_RunsAJobAndMeasures(t *testing.T) {
	w := open(t)
	j := w.job("experiments/run-1/execute-1", good)
	j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
	rec := w.submit(w.client, j)
	again := w.submit(w.client, j)
	if rec.GetSpecDigest() != again.GetSpecDigest() {
		t.Errorf("the same job is another: %s, %s", rec.GetSpecDigest(), again.GetSpecDigest())
	}
	s := w.watch(w.client, j.GetJobId())
	r := s.record.GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || r.GetAttempt() != 1 || r.GetLevel() != "strict" || r.GetMemoryWall() == "" {
		t.Fatalf("%v", r)
	}
	if s.out != "hello lite\n" || s.errs != "to the other\n" {
		t.Errorf("logs %q, %q", s.out, s.errs)
	}
	if len(r.GetMeasurements()) != 2 || r.GetMeasurements()[0].GetValue() != 0.5 || r.GetMeasurements()[0].GetStandardError() != 0.1 ||
		!r.GetMeasurements()[1].GetNotFinite() || r.GetMeasurements()[0].GetSize() != "lite" {
		t.Errorf("measurements %v", r.GetMeasurements())
	}
	got, err := store.ReadFile(t.Context(), w.blobs, store.Digest(r.GetSnapshot()), "run_1/notes.txt", 100)
	if err != nil || string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
	log, err := store.GetBytes(t.Context(), w.blobs, store.Digest(r.GetStdout().GetDigest()), 100)
	if err != nil || string(log) != "hello lite\n" {
		t.Errorf("%q, %v", log, err)
	}
	j.Argv = append(j.Argv, "--other")
	if _, err := w.client.Submit(t.Context(), &executorv1.SubmitRequest{Job: j}); fault.ReasonOf(err) != executor.ReasonDiffers {
		t.Errorf("another job under the same id: %v", err)
	}
	if late := w.watch(w.client, j.GetJobId()); late.record.GetResult().GetSnapshot() != r.GetSnapshot() || late.out != s.out {
		t.Errorf("a late watcher sees %+v", late)
	}
}

func TestExecutor_APrivateTreeKeepsProtectedFiles(t *testing.T) {
	w := open(t)
	j := w.job("plot", "open('a.png','w').write('png')\nopen('evaluate.py','w').write('forged')\nopen('x.txt','w')\nimport os; os.makedirs('run_9'); open('run_9/final_info.json','w')")
	j.OutDir, j.Measure, j.Writable = "", false, []string{"."}
	j.Outputs = []*executorv1.Output{{Glob: "*.png", Required: true}}
	j.Argv = []string{"python", "experiment.py"}
	r := w.run(j)
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || fmt.Sprint(r.GetProtectedTouched()) != "[evaluate.py run_9/final_info.json]" || r.GetDroppedChanges() != 3 {
		t.Errorf("%v", r)
	}
	m, err := store.LoadManifest(t.Context(), w.blobs, store.Digest(r.GetSnapshot()))
	if err != nil || len(m) != 3 {
		t.Errorf("%v, %v", m, err)
	}
	if got, err := store.ReadFile(t.Context(), w.blobs, store.Digest(r.GetSnapshot()), "evaluate.py", 100); err != nil || string(got) != "x = 1\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExecutor_CancelEndsAJobOnce(t *testing.T) {
	w := open(t)
	j := w.job("sleep", "print('up', flush=True)\nimport time; time.sleep(60)")
	w.submit(w.client, j)
	kittest.Eventually(t, 20*time.Second, func() error {
		r, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: j.GetJobId()})
		if err == nil && r.GetRecord().GetState() != executorv1.State_RUNNING {
			err = fmt.Errorf("is %s", r.GetRecord().GetState())
		}
		return err
	})
	for range 2 {
		if _, err := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: j.GetJobId()}); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.watch(w.client, j.GetJobId()).record.GetResult(); r.GetEndReason() != executorv1.EndReason_CANCELLED {
		t.Errorf("%v", r)
	}
	c, err := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: j.GetJobId()})
	if err != nil || c.GetFound() != executorv1.State_ENDED {
		t.Errorf("a late cancel: %v, %v", c, err)
	}
	if _, err := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: "no/such/job"}); !errors.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

func TestExecutor_AFloodOfOutputIsKeptAtBothEnds(t *testing.T) {
	w := open(t)
	j := w.job("flood", "import sys\nprint('first')\nfor i in range(12): sys.stdout.write('x' * (1 << 20))\nprint('\\nlast')")
	j.Measure, j.Outputs = false, []*executorv1.Output{{Glob: "run_1/**"}}
	r := w.run(j)
	log := r.GetStdout()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || log.GetTotalBytes() < 12<<20 || log.GetDroppedBytes() == 0 {
		t.Fatalf("%v", r)
	}
	b, err := store.GetBytes(t.Context(), w.blobs, store.Digest(log.GetDigest()), 8<<20)
	if err != nil || !strings.HasPrefix(string(b), "first\n") || !strings.HasSuffix(string(b), "\nlast\n") || len(b) != 5<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestExecutor_SaysWhyAJobWaits(t *testing.T) {
	w := open(t)
	j := w.job("gpu", good)
	j.Pool, j.Gpu = "gpu", &executorv1.Gpu{Count: 2}
	if r := w.submit(w.client, j); r.GetWaitingFor() != "no node in pool gpu fits 2 GPUs" {
		t.Errorf("waits for %q", r.GetWaitingFor())
	}
	kittest.Eventually(t, 10*time.Second, func() error {
		nodes, err := w.client.ListNodes(t.Context(), &executorv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		if len(nodes.GetNodes()) != 1 || nodes.GetQueued() != 1 {
			return fmt.Errorf("%v", nodes)
		}
		n := nodes.GetNodes()[0]
		if n.GetLevel() != "strict" || len(n.GetProbes()) < 10 || len(n.GetSlots()) < 2 || len(n.GetRefusals()) != 0 {
			t.Errorf("%v", n)
		}
		if !strings.HasPrefix(n.GetGpuNote(), "no GPU: ") && len(n.GetSlots()) == 2 {
			t.Errorf("note %q", n.GetGpuNote())
		}
		return nil
	})
	if _, err := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: j.GetJobId()}); err != nil {
		t.Error(err)
	}
	if r := w.watch(w.client, j.GetJobId()).record.GetResult(); r.GetEndReason() != executorv1.EndReason_CANCELLED {
		t.Errorf("%v", r)
	}
}

func TestExecutor_WithoutASandboxRunsNothing(t *testing.T) {
	w := newWorld(t)
	why := fault.New(fault.Precondition, sandbox.ReasonTooWeak, "the wall does not hold").WithNext("mend it")
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Refusal: why})
	kittest.Eventually(t, 10*time.Second, func() error {
		r := w.submit(w.client, w.job("waits", good))
		if want := "no node in pool cpu takes jobs: test: the wall does not hold"; r.GetWaitingFor() != want {
			return fmt.Errorf("waits for %q", r.GetWaitingFor())
		}
		return nil
	})
	nodes, err := w.client.ListNodes(t.Context(), &executorv1.ListNodesRequest{})
	if err != nil || nodes.GetNodes()[0].GetRefusals()[0].GetRemedy() != "mend it" {
		t.Errorf("%v, %v", nodes, err)
	}
}
