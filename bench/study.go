package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"nullius.dev/bench/foreign"
)

// sampleEvery is how often the process is looked at. Stretches in which a foreign program runs are known to about this long.
const sampleEvery = 4 * time.Millisecond

// figures of one study.
type figures struct {
	wall     time.Duration // of the process, from its start to its end
	beside   time.Duration // wall while neither an experiment nor LaTeX ran
	own      time.Duration // CPU of the process itself
	children time.Duration // CPU of experiments, LaTeX and sandboxes
	peak     int64         // resident bytes of the process itself
	first    time.Duration // from the start of the process to the first call, beside the baseline's run
	whole    time.Duration // the same with it
	row      int           // longest chain of calls, one after the other
	calls    []call
	spans    []span
	sent     int64 // bytes of prompts
}

// one measures one idea for each latency.
func one(ctx context.Context, o options, waits []time.Duration, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "latency\twall\town wall\town CPU\tchildren's CPU\tpeak memory\tfirst call\twith baseline\tcalls\tin a row\tprompt tokens")
	var last figures
	for _, d := range waits {
		var best figures
		for i := range o.runs {
			f, err := measure(ctx, o, d)
			if err != nil {
				return err
			}
			if i == 0 {
				best = f
			}
			best = least(best, f)
		}
		fmt.Fprintf(w, "%v\t%s\t%s\t%s\t%s\t%d MiB\t%s\t%s\t%d\t%d\t%d\n", d, round(best.wall), round(best.beside), round(best.own), round(best.children),
			best.peak>>20, round(best.first), round(best.whole), len(best.calls), best.row, best.sent/bytesPerToken)
		last = best
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return prompts(last, o.calls, out)
}

// least takes the lesser of each figure: what else runs on the machine only adds.
func least(a, b figures) figures {
	b.wall, b.beside, b.own, b.children = min(a.wall, b.wall), min(a.beside, b.beside), min(a.own, b.own), min(a.children, b.children)
	b.peak, b.first, b.whole, b.row = min(a.peak, b.peak), min(a.first, b.first), min(a.whole, b.whole), min(a.row, b.row)
	return b
}

// prompts tells the tokens of prompts by stage, and how many lie in beginnings that a provider can cache.
func prompts(f figures, list bool, out io.Writer) error {
	named, cached := name(f.calls, f.spans), shares(f.calls)
	by, order, all := map[string]share{}, []string{}, share{}
	for i, c := range f.calls {
		stage, _, _ := strings.Cut(named[i].text("nullius.step"), "/")
		if _, ok := by[stage]; !ok {
			order = append(order, stage)
		}
		by[stage] = by[stage].with(c, cached[i])
		all = all.with(c, cached[i])
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nstage\tcalls\tprompt tokens\tin cacheable prefixes")
	for _, stage := range order {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.0f %%\n", or(stage, "?"), by[stage].calls, by[stage].tokens, by[stage].percent())
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%.0f %%\n", all.calls, all.tokens, all.percent())
	if list && len(f.calls) > 0 {
		fmt.Fprintln(w, "\nbegan\tended\tprompt tokens\tcacheable\tstep\tcall")
		began := f.calls[0].begin
		for i, c := range f.calls {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", round(c.begin.Sub(began)), round(c.end.Sub(began)), len(c.prompt)/bytesPerToken, cached[i],
				named[i].text("nullius.step"), named[i].text("nullius.call"))
		}
	}
	return w.Flush()
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// play serves a model on a port of this machine until stop is called.
func play(h http.Handler) (model string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	return "openai-compatible/foreign@http://" + l.Addr().String() + "/v1", func() error {
		err := srv.Close()
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// folder makes a folder for a study's data; remove keeps it when that was asked for.
func (o options) folder() (dir string, remove func() error, err error) {
	if o.keep == "" {
		dir, err = os.MkdirTemp("", "nullius-bench-*")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if err = os.MkdirAll(o.keep, 0o700); err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp(o.keep, "study-*")
	return dir, func() error { return nil }, err
}

// measure runs one idea in a process of its own.
func measure(ctx context.Context, o options, latency time.Duration) (_ figures, err error) {
	model := foreign.New()
	model.Latency = latency
	served := &recorder{next: model, texts: true}
	name, stop, err := play(served)
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	dir, remove, err := o.folder()
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(ctx, o.binary, "run", "bandit_lite", "--data-dir", data, "--results", filepath.Join(dir, "results"), "--address", "127.0.0.1:0",
		"--engine", "local", "--size", "smoke", "--improvement="+strconv.FormatBool(o.improvement), "--model", name)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	p, busy, err := follow(cmd)
	end := time.Now()
	if err != nil {
		return figures{}, fmt.Errorf("%w\n%s", err, said.String())
	}
	if n := model.Unknown(); n > 0 {
		return figures{}, fmt.Errorf("the played model did not know %d prompts", n)
	}
	f := figures{wall: end.Sub(start), own: p.own, peak: p.peak, calls: served.all(), sent: served.bytes()}
	f.beside = f.wall - within(busy, end)
	f.children = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() - f.own
	f.row = inARow(f.calls)
	if len(f.calls) > 0 {
		first := f.calls[0].begin
		f.whole = first.Sub(start)
		f.first = f.whole - within(busy, first)
	}
	f.spans, err = spansOf(data)
	return f, err
}

// follow waits for a process, and tells what it used and when foreign programs ran below it.
func follow(cmd *exec.Cmd) (process, []interval, error) {
	p := process{pid: cmd.Process.Pid}
	var busy []interval
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	before, was := time.Now(), false
	for {
		select {
		case <-tick.C:
			p.sample()
			now, is := time.Now(), p.busy()
			if is && was {
				busy[len(busy)-1].to = now
			} else if is {
				busy = append(busy, interval{now.Add(-now.Sub(before) / 2), now}) // it began somewhere since the last look
			}
			before, was = now, is
		case err := <-done:
			return p, busy, err
		}
	}
}
