// Command executor measures the executor on this machine: how soon a queued job
// starts, how fast logs and results are taken, and whether GPUs stay busy while
// jobs wait. GPUs are played by a scenario; jobs on them sleep. Run it with
//
//	go run ./executor [-jobs 200] [-gpu-jobs 200] [-gpu-seconds 3]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"nullius.dev/kit/app"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
)

type options struct {
	jobs, gpuJobs, gpuSeconds int
}

func main() {
	sandbox.Main()
	var o options
	flag.IntVar(&o.jobs, "jobs", 200, "jobs for the time from queue to start")
	flag.IntVar(&o.gpuJobs, "gpu-jobs", 200, "jobs queued on two nodes of eight played GPUs")
	flag.IntVar(&o.gpuSeconds, "gpu-seconds", 3, "how long they sleep, a quarter more or less")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "nullius-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h := app.NewHost(ctx, log)
	defer func() { err = errors.Join(err, h.Stop()) }()
	b, err := open(h, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%d CPUs, Go %s, load %s\n", runtime.NumCPU(), runtime.Version(), load())
	for _, measure := range []func(context.Context, options) error{b.start, b.logs, b.collect, b.gpus} {
		if err := measure(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return string(b[:min(len(b), 14)])
}

type bench struct {
	client   executorv1.ExecutorServiceClient
	blobs    store.Blobs
	snapshot string
	nodes    func() error // adds two nodes of eight GPUs
}

func open(h *app.Host, dir string) (*bench, error) {
	s, err := natsd.Start(natsd.Config{Dir: filepath.Join(dir, "nats"), MaxBytes: 2 << 30})
	if err != nil {
		return nil, err
	}
	h.OnStop("broker", 5*time.Second, func(context.Context) error { return s.Stop() })
	conn, err := s.Connect(h.Context())
	if err != nil {
		return nil, err
	}
	h.OnStop("bus", time.Second, func(context.Context) error { conn.Close(); return nil })
	blobs, err := store.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, err
	}
	box, err := sandbox.New(h.Context(), sandbox.DefaultConfig(), h.Log())
	if err != nil {
		return nil, err
	}
	h.OnStop("sandbox", time.Second, func(context.Context) error { return box.Close() })
	net := rpc.NewNetwork(rpc.Options{})
	attach := func(name, scenario string) error {
		c := executor.DefaultConfig()
		c.Listen, c.State, c.Node, c.DrainTimeout = "inproc:"+name, filepath.Join(dir, name), name, time.Second
		c.GPU.Scenario, c.GPU.Locks = scenario, dir
		if scenario != "" {
			c.Pools, c.Slots = []string{"none"}, 8
		}
		return executor.Attach(h.Component(name), net, c, executor.Shared{Bus: conn, Blobs: blobs, Sandbox: box})
	}
	if err := attach("cpu", ""); err != nil {
		return nil, err
	}
	cc, err := net.Dial("inproc:cpu")
	if err != nil {
		return nil, err
	}
	h.OnStop("client", time.Second, func(context.Context) error { return cc.Close() })
	d, err := store.Edit(h.Context(), blobs, "", map[string][]byte{"x": []byte("x")}, nil)
	if err != nil {
		return nil, err
	}
	b := &bench{client: executorv1.NewExecutorServiceClient(cc), blobs: blobs, snapshot: string(d)}
	b.nodes = func() error {
		for _, name := range []string{"gpus-1", "gpus-2"} {
			file := filepath.Join(dir, name+".json")
			if err := scenario(file, name); err != nil {
				return err
			}
			if err := attach(name, file); err != nil {
				return err
			}
		}
		return nil
	}
	return b, nil
}

// scenario plays eight GPUs that do nothing.
func scenario(file, node string) error {
	var devices []map[string]any
	for i := range 8 {
		devices = append(devices, map[string]any{
			"uuid": fmt.Sprintf("GPU-%s-%d", node, i), "model": "NVIDIA H100", "memory_bytes": uint64(80) << 30, "minor": i, "nodes": []string{}, "recovery": "none",
		})
	}
	b, err := json.Marshal(map[string]any{"devices": devices})
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func (b *bench) job(id string, argv ...string) *executorv1.Job {
	return &executorv1.Job{
		JobId: "bench/executor/" + id, Snapshot: b.snapshot, Argv: argv, OutDir: "run_1", Outputs: []*executorv1.Output{{Glob: "run_1/**"}},
	}
}

// do runs a job to its end; collecting is the time from the program's end to the result.
func (b *bench) do(ctx context.Context, j *executorv1.Job) (res *executorv1.JobResult, collecting time.Duration, err error) {
	if _, err := b.client.Submit(ctx, &executorv1.SubmitRequest{Job: j}); err != nil {
		return nil, 0, err
	}
	return b.follow(ctx, j)
}

func (b *bench) follow(ctx context.Context, j *executorv1.Job) (*executorv1.JobResult, time.Duration, error) {
	stream, err := b.client.Watch(ctx, &executorv1.WatchRequest{JobId: j.GetJobId()})
	if err != nil {
		return nil, 0, err
	}
	var since time.Time
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, 0, fmt.Errorf("watch %s: %w", j.GetJobId(), err)
		}
		if m.GetState().GetState() == executorv1.State_COLLECTING {
			since = time.Now()
		}
		if r := m.GetResult(); r != nil {
			if r.GetResult().GetEndReason() != executorv1.EndReason_SUCCEEDED {
				return nil, 0, fmt.Errorf("%s: %s", j.GetJobId(), r.GetResult())
			}
			if since.IsZero() { // it was over before we could see it
				return r.GetResult(), 0, nil
			}
			return r.GetResult(), time.Since(since), nil
		}
	}
}

// start measures an idle node: one job at a time.
func (b *bench) start(ctx context.Context, o options) error {
	var waits []time.Duration
	for i := range o.jobs {
		res, _, err := b.do(ctx, b.job(fmt.Sprintf("start-%d", i), "/usr/bin/true"))
		if err != nil {
			return err
		}
		waits = append(waits, res.GetQueueWait().AsDuration())
	}
	slices.Sort(waits)
	n := len(waits)
	fmt.Printf("queue to start, idle node, %d jobs: p50 %.1f ms, p99 %.1f ms (aim: p99 50 ms)\n", n, ms(waits[n/2]), ms(waits[(n*99+99)/100-1]))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (b *bench) logs(ctx context.Context, _ options) error {
	const mib = 512
	res, _, err := b.do(ctx, b.job("logs", "head", "-c", fmt.Sprint(mib<<20), "/dev/zero"))
	if err != nil {
		return err
	}
	if got := res.GetStdout().GetTotalBytes(); got != mib<<20 {
		return fmt.Errorf("%d bytes of log arrived", got)
	}
	wall := res.GetWall().AsDuration()
	fmt.Printf("log of %d MiB: %.0f MiB/s, %d bytes kept\n", mib, mib/wall.Seconds(), res.GetStdout().GetTotalBytes()-res.GetStdout().GetDroppedBytes())
	return nil
}

func (b *bench) collect(ctx context.Context, _ options) error {
	_, small, err := b.do(ctx, b.job("small", "sh", "-c", "for i in $(seq 1000); do echo $i > run_1/$i; done"))
	if err != nil {
		return err
	}
	// Not of zeros: a file with holes would be quicker.
	_, large, err := b.do(ctx, b.job("large", "sh", "-c", "head -c 16M /dev/urandom > /tmp/r; for i in $(seq 64); do cat /tmp/r; done > run_1/large"))
	if err != nil {
		return err
	}
	fmt.Printf("collection: 1,000 small files in %.2f s; one of 1 GiB in %.2f s (%.0f MiB/s)\n", small.Seconds(), large.Seconds(), 1024/large.Seconds())
	return nil
}

// gpus measures how busy sixteen GPUs are from the first start to the last: as long as the queue is not empty.
func (b *bench) gpus(ctx context.Context, o options) error {
	var jobs []*executorv1.Job
	for i := range o.gpuJobs {
		// Not all of one length: sixteen programs that end in the same moment measure this machine's cores.
		j := b.job(fmt.Sprintf("gpu-%d", i), "sleep", fmt.Sprintf("%.2f", float64(o.gpuSeconds)*(0.75+0.05*float64(i*7%11))))
		j.Pool, j.Gpu = "gpu", &executorv1.Gpu{Count: 1}
		if _, err := b.client.Submit(ctx, &executorv1.SubmitRequest{Job: j}); err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	if err := b.nodes(); err != nil {
		return err
	}
	type span struct{ from, to time.Time }
	var spans []span
	of := map[string][]span{} // by GPU
	for _, j := range jobs {
		res, _, err := b.follow(ctx, j)
		if err != nil {
			return err
		}
		from := res.GetStarted().AsTime()
		run := span{from, from.Add(res.GetWall().AsDuration())}
		spans, of[res.GetGpuUuids()[0]] = append(spans, run), append(of[res.GetGpuUuids()[0]], run)
	}
	first, last := spans[0].from, spans[0].from
	for _, s := range spans {
		if s.from.Before(first) {
			first = s.from
		}
		if s.from.After(last) {
			last = s.from
		}
	}
	var busy time.Duration
	for _, s := range spans {
		if s.to.After(last) {
			s.to = last
		}
		busy += s.to.Sub(s.from)
	}
	fmt.Printf("%d jobs of %d s on 2 nodes of 8 played GPUs: programs ran on %.1f %% of the slots' time while the queue was not empty (aim: 95 %%)\n",
		len(jobs), o.gpuSeconds, 100*busy.Seconds()/(16*last.Sub(first).Seconds()))
	var gaps []time.Duration
	for _, on := range of {
		slices.SortFunc(on, func(a, b span) int { return a.from.Compare(b.from) })
		for i := 1; i < len(on); i++ {
			gaps = append(gaps, on[i].from.Sub(on[i-1].to))
		}
	}
	if n := len(gaps); n > 0 {
		slices.Sort(gaps)
		fmt.Printf("from a program's end to the start of the next one on its GPU: p50 %.0f ms, p90 %.0f ms, p99 %.0f ms; load %s\n",
			ms(gaps[n/2]), ms(gaps[n*9/10]), ms(gaps[(n*99+99)/100-1]), load())
	}
	return nil
}
