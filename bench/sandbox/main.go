// Command sandbox measures what isolation adds to the start of a program: bare, at landlock and at strict in turn, so that all see the same load.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"time"

	"nullius.dev/kit/sandbox"
)

// goals are what executor.md allows a level to add at the median and the 95th percentile; zero: nothing said.
var goals = map[string][2]time.Duration{
	sandbox.LevelStrict:   {30 * time.Millisecond, 50 * time.Millisecond},
	sandbox.LevelLandlock: {0, 25 * time.Millisecond},
}

// way is one way to start a program; it returns how long the program took from order to end.
type way struct {
	name  string
	start func(context.Context) error
	took  []time.Duration
}

func main() {
	sandbox.Main()
	n := flag.Int("n", 200, "starts of each kind")
	program := flag.String("program", "/usr/bin/true", "program to start, without arguments")
	flag.Parse()
	if err := measure(context.Background(), *n, *program); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, n int, program string) error {
	ways := []*way{{name: "bare", start: func(ctx context.Context) error { return exec.CommandContext(ctx, program).Run() }}}
	for _, level := range []string{sandbox.LevelLandlock, sandbox.LevelStrict} {
		cfg := sandbox.DefaultConfig()
		cfg.RequireHardMemory = false
		cfg.Isolation = sandbox.Isolation{Level: level, Min: sandbox.LevelLandlock}
		box, err := sandbox.New(ctx, cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			fmt.Printf("%s: not measured: %v\n", level, err)
			continue
		}
		defer func() { _ = box.Close() }()
		fmt.Printf("%s: memory wall %s, probe %v\n", level, box.Probe().MemoryWall, box.Probe().Took.Round(time.Millisecond))
		ways = append(ways, &way{name: level, start: func(ctx context.Context) error { return run(ctx, box, program) }})
	}
	for range n {
		for _, w := range ways {
			began := time.Now()
			if err := w.start(ctx); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.took = append(w.took, time.Since(began))
		}
	}
	report(ways)
	return nil
}

func run(ctx context.Context, box *sandbox.Sandbox, program string) error {
	dir, err := os.MkdirTemp("", "nullius-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := box.Run(ctx, sandbox.Spec{Argv: []string{program}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/work",
		Binds: []sandbox.Bind{{Source: dir, Target: "/work", Writable: true}}})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit code %d, signal %d, %s", r.ExitCode, r.Signal, r.End)
	}
	return err
}

func report(ways []*way) {
	fmt.Printf("%-10s %9s %9s %9s %9s   %s\n", "", "min", "p50", "p95", "max", "added at p50, p95")
	for _, w := range ways {
		slices.Sort(w.took)
		at := func(q float64) time.Duration { return w.took[min(len(w.took)-1, int(q*float64(len(w.took))))] }
		line := fmt.Sprintf("%-10s", w.name)
		for _, q := range []float64{0, 0.5, 0.95, 1} {
			line += fmt.Sprintf(" %8.1fms", float64(at(q).Microseconds())/1000)
		}
		if w != ways[0] {
			bare := func(q float64) time.Duration { return ways[0].took[min(len(w.took)-1, int(q*float64(len(w.took))))] }
			p50, p95 := at(0.5)-bare(0.5), at(0.95)-bare(0.95)
			line += fmt.Sprintf("   %.1fms %.1fms", float64(p50.Microseconds())/1000, float64(p95.Microseconds())/1000)
			if g := goals[w.name]; g[0] > 0 && p50 > g[0] || p95 > g[1] {
				line += "  OVER ITS GOAL"
			}
		}
		fmt.Println(line)
	}
}
