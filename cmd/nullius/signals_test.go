package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"nullius.dev/gateway/template"
)

// stopped stops the all-in-one in order in the middle of a job and of a model's call. Nothing is left running, and the next start goes on.
func (w *world) stopped(t *testing.T) {
	w.f.Reset()
	h, address := newHome(t), freePort(t)
	server := h.serve(t, w.bin, address)
	name := begin(t, address, w.template, w.f)
	allowed := map[string]int{}
	for _, s := range []struct {
		step string
		sig  syscall.Signal
		is   func() error
	}{
		{"experiments/run-1/execute-", syscall.SIGTERM, func() error { _, _, err := busy(t, address); return err }},
		{"writing/draft", syscall.SIGINT, func() error {
			if len(w.f.Flying(0)) == 0 {
				return errors.New("no call is in flight")
			}
			return nil
		}},
	} {
		eventually(t, time.Minute, func() error { return stepAt(t, address, name+"/ideas/idea-1", s.step, 1) })
		eventually(t, time.Minute, s.is)
		began := time.Now()
		server.stops(s.sig, exitDone)
		for id, n := range w.f.Flying(250*time.Millisecond + time.Since(began)) {
			allowed[id] += n
		}
		t.Logf("%s in %s: stopped after %s", s.sig, s.step, time.Since(began).Round(time.Millisecond))
		h.nothingLeft(t)
		server = h.serve(t, w.bin, address)
	}
	finish(t, address, name, 3*time.Minute)
	outcomeOf(t, address, name).same(t, w.want)
	w.notTwice(t, allowed)
	server.stop()
	h.audit(t)
}

// sleeping finds a baseline's job in what nodes says.
var sleeping = regexp.MustCompile(`"jobId": *"[^"]*baseline`)

// sleeper makes a template whose baseline is still running when a signal comes, and that a signal may not end.
func sleeper(t *testing.T, stubborn bool) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "sleeper")
	if err := template.Init(dir); err != nil {
		t.Fatal(err)
	}
	code := "import argparse, signal, time\n"
	if stubborn {
		code += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
	}
	put("experiment.py", code+"parser = argparse.ArgumentParser()\nparser.add_argument('--out_dir')\nparser.parse_args()\nprint('asleep', flush=True)\ntime.sleep(600)\n")(t, dir)
	return dir
}

// TestSignals: run ends in order by SIGTERM and by the second Ctrl-C, and serve and run end at once by a further signal, whatever an experiment does about it.
func TestSignals(t *testing.T) {
	t.Parallel()
	bin, m := filepath.Join(binaries(t), "nullius"), newModel(t)
	run := func(t *testing.T, h home, address string, stubborn bool) *child {
		t.Helper()
		return spawn(t, "run", h.env(), bin, "run", sleeper(t, stubborn), "--data-dir", h.data, "--address", address, "--model", m.name, "--results", filepath.Join(h.root, "results"))
	}
	asleep := func(t *testing.T, address string) {
		t.Helper()
		eventually(t, time.Minute, func() error {
			code, out, errOut := nullius(t, "nodes", "--address", address, "-o", "json")
			if code != exitDone || !sleeping.MatchString(out) {
				return fmt.Errorf("no baseline runs: exit code %d, %s%s", code, out, errOut)
			}
			return nil
		})
	}
	for name, signals := range map[string][]syscall.Signal{"run, SIGTERM": {syscall.SIGTERM}, "run, Ctrl-C twice": {syscall.SIGINT, syscall.SIGINT}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, address := newHome(t), freePort(t)
			c := run(t, h, address, false)
			asleep(t, address)
			if len(signals) > 1 {
				if err := c.cmd.Process.Signal(signals[0]); err != nil {
					t.Fatal(err)
				}
				c.says("Ctrl-C again stops it in order; nullius serve continues it")
			}
			c.stops(signals[0], exitInterrupted)
			c.says("stopping in order")
			h.nothingLeft(t)
			server := h.serve(t, filepath.Dir(bin), address) // it goes on by itself
			asleep(t, address)
			server.stop()
		})
	}
	for name, signals := range map[string][2]syscall.Signal{"SIGTERM": {syscall.SIGTERM, syscall.SIGTERM}, "SIGINT and SIGTERM": {syscall.SIGINT, syscall.SIGTERM}} {
		t.Run("serve, at once by "+name, func(t *testing.T) {
			t.Parallel()
			h, address := newHome(t), freePort(t)
			server := h.serve(t, filepath.Dir(bin), address)
			begun := run(t, h, address, true)
			asleep(t, address)
			if err := server.cmd.Process.Signal(signals[0]); err != nil {
				t.Fatal(err)
			}
			server.says("stopping in order")
			server.stops(signals[1], -1)
			begun.kill()
			server = h.serve(t, filepath.Dir(bin), address) // what was left is cleared away
			asleep(t, address)
			server.kill()
		})
	}
}
