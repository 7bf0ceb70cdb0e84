// Command bench measures what Nullius itself costs: wall time, CPU and memory of the serving process for one idea on bandit_lite, with a model that answers
// at once and with one that takes a second. Run it in the repository as
//
//	go run ./bench [-nullius bin/nullius] [-latency 0s,1s]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nullius.dev/bench/foreign"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	binary := flag.String("nullius", "bin/nullius", "binary to measure; make build makes it")
	latencies := flag.String("latency", "0s,1s", "what the model takes for an answer, comma-separated")
	flag.Parse()
	if err := run(ctx, *binary, strings.Split(*latencies, ","), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, latencies []string, out io.Writer) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "latency  wall     own CPU  all CPU  peak memory  calls  prompt KiB  first call")
	for _, text := range latencies {
		d, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		r, err := measure(ctx, binary, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-8s %-8s %-8s %-8s %-12s %-6d %-11d %s\n", text, round(r.wall), round(r.own), round(r.all), fmt.Sprintf("%d MiB", r.peak>>20), r.calls, r.sent>>10, round(r.first))
	}
	return nil
}

func round(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// figures of one study.
type figures struct {
	wall  time.Duration
	own   time.Duration // CPU of the process itself
	all   time.Duration // with experiments and LaTeX
	peak  int64         // resident bytes of the process itself
	calls int
	sent  int64         // bytes of prompts
	first time.Duration // from the start of the process to the first call
}

// measure runs one idea in a process of its own.
func measure(ctx context.Context, binary string, latency time.Duration) (_ figures, err error) {
	model := foreign.New()
	model.Latency = latency
	served := &counter{next: model}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return figures{}, err
	}
	srv := &http.Server{Handler: served, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Close())
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	dir, err := os.MkdirTemp("", "nullius-bench-*")
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.CommandContext(ctx, binary, "run", "bandit_lite", "--data-dir", filepath.Join(dir, "data"), "--results", filepath.Join(dir, "results"), "--address", "127.0.0.1:0",
		"--engine", "local", "--size", "smoke", "--improvement", "--model", "openai-compatible/foreign@http://"+l.Addr().String()+"/v1")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	f := figures{}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.sample(cmd.Process.Pid)
		case err := <-done:
			f.wall, f.all = time.Since(start), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
			f.calls, f.sent, f.first = model.Calls(), served.bytes(), time.Unix(0, served.first.Load()).Sub(start)
			if err != nil {
				return f, fmt.Errorf("%w\n%s", err, said.String())
			}
			return f, nil
		}
	}
}

// sample reads the process's own CPU and peak memory; what cannot be read, since the process is ending, stays as it was.
func (f *figures) sample(pid int) {
	proc := "/proc/" + strconv.Itoa(pid)
	if stat, err := os.ReadFile(proc + "/stat"); err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		if v := strings.Fields(rest); len(v) > 13 {
			user, _ := strconv.ParseInt(v[11], 10, 64) // the kernel writes digits
			system, _ := strconv.ParseInt(v[12], 10, 64)
			f.own = time.Duration(user+system) * 10 * time.Millisecond // 100 ticks a second on Linux
		}
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if v := strings.Fields(line); len(v) > 1 && v[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(v[1], 10, 64)
			f.peak = kib << 10
		}
	}
}
