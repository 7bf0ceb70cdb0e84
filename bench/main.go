// Command bench measures what Nullius itself costs, with a model that is played by a program on this machine: it answers at once, or after the same time
// each time. docs/benchmarks.md holds the figures, their aims and what each word means. Run it in the repository as
//
//	go run ./bench [-nullius bin/nullius] [-latency 0s,1s] [-runs 3]
//	go run ./bench -ideas 10,100 [-latency 200ms]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options of a measurement.
type options struct {
	binary      string
	keep        string // folder that keeps the data of each study; empty: none is kept
	runs        int
	calls       bool // list each call
	maxRuns     int  // experiments of an idea
	improvement bool // revise the paper after its review, and review it again
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.binary, "nullius", "bin/nullius", "binary to measure; make build makes it")
	flag.IntVar(&o.runs, "runs", 1, "how often each study is run; the least of each figure is shown, since what shares the machine only adds")
	flag.StringVar(&o.keep, "keep", "", "folder that keeps the data of each study; empty: none")
	flag.BoolVar(&o.calls, "calls", false, "list each call of the model")
	flag.BoolVar(&o.improvement, "improvement", true, "revise the paper after its review, and review it again")
	flag.IntVar(&o.maxRuns, "max-runs", 0, "experiments of an idea in flight (default as in a study)")
	latencies := flag.String("latency", "0s,1s", "what the model takes for an answer, comma-separated")
	ideas := flag.String("ideas", "", "ideas in flight at once, comma-separated; empty: one idea, measured closely")
	flag.Parse()
	if err := run(ctx, o, *latencies, *ideas, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, latencies, ideas string, out io.Writer) (err error) {
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	if o.runs < 1 {
		return errors.New("-runs needs 1 or more")
	}
	var waits []time.Duration
	for s := range strings.SplitSeq(latencies, ",") {
		d, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		waits = append(waits, d)
	}
	if ideas == "" {
		return one(ctx, o, waits, out)
	}
	var counts []int
	for s := range strings.SplitSeq(ideas, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("-ideas: %q is no count of ideas", s)
		}
		counts = append(counts, n)
	}
	return flights(ctx, o, waits[0], counts, out)
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }
