package coder_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/sandbox"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	"nullius.dev/services/coder"
)

// watched tells which interpreters runs were given.
type watched struct {
	*sandbox.Sandbox
	mu    sync.Mutex
	paths []string
}

func (w *watched) Run(ctx context.Context, s sandbox.Spec) (sandbox.Result, error) {
	path := ""
	if s.Python != nil {
		path = s.Python.Path
	}
	w.mu.Lock()
	w.paths = append(w.paths, path)
	w.mu.Unlock()
	return w.Sandbox.Run(ctx, s)
}

// Code is checked by the interpreter that runs it, since each version of Python takes other code; where no interpreter has the modules, by the system's.
func TestService_ChecksWithTheInterpreterOfTheRuns(t *testing.T) {
	venv := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Fatalf("%v (apt-get install python3-venv): %s", err, out)
	}
	own := filepath.Join(venv, "bin", "python3")
	for _, c := range []struct {
		name, configured string
		modules          []string
		want             string
	}{
		{"the configured one", own, []string{"json"}, own},
		{"the first with the modules", "", []string{"json"}, "/usr/bin/python3"},
		{"none has them", "", []string{"json", "no_such_module_anywhere"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, map[string][]string{"plan": {planReply}, "edit": {goodEdit}})
			w := &watched{Sandbox: box}
			cfg := coder.DefaultConfig()
			cfg.Python = c.configured
			svc, err := coder.New(cfg, coder.Deps{Models: l.model, Blobs: l.blobs, Sandbox: w})
			if err != nil {
				t.Fatal(err)
			}
			client := coderv1.NewCoderServiceClient(kittest.Serve(t, func(r grpc.ServiceRegistrar) { coder.Register(r, svc) }))
			f := l.frame("experiments/run-1/implement")
			f.Modules = c.modules
			s, err := client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			if got := last(t, s, err, (*coderv1.ImplementRunResponse).GetResult); got.GetOutcome() != coderv1.Edited_CHANGED {
				t.Errorf("outcome %s: %s", got.GetOutcome(), got.GetFeedback())
			}
			if len(w.paths) != 1 || w.paths[0] != c.want {
				t.Errorf("checked with %q, want %q", w.paths, c.want)
			}
		})
	}
}

// No more checks run at a time than are configured, however many ask, and each gets its own answer.
func TestService_ChecksAreFew(t *testing.T) {
	script := map[string][]string{"plan": {}, "edit": {}}
	for range 8 {
		script["plan"], script["edit"] = append(script["plan"], planReply), append(script["edit"], goodEdit)
	}
	l := newLab(t, script)
	c := &counted{Sandbox: box}
	cfg := coder.DefaultConfig()
	cfg.Checks = 2
	svc, err := coder.New(cfg, coder.Deps{Models: l.model, Blobs: l.blobs, Sandbox: c})
	if err != nil {
		t.Fatal(err)
	}
	client := coderv1.NewCoderServiceClient(kittest.Serve(t, func(r grpc.ServiceRegistrar) { coder.Register(r, svc) }))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			f := l.frame("experiments/run-1/implement")
			f.Step = fmt.Sprintf("s/idea-%d/experiments/run-1/implement", i+1)
			s, err := client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			for err == nil {
				var m *coderv1.ImplementRunResponse
				if m, err = s.Recv(); m.GetResult() != nil && m.GetResult().GetOutcome() != coderv1.Edited_CHANGED {
					t.Errorf("outcome %s: %s", m.GetResult().GetOutcome(), m.GetResult().GetFeedback())
				}
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := c.most.Load(); n < 1 || n > 2 {
		t.Errorf("%d checks at a time", n)
	}
}

// counted tells how many runs there were at a time.
type counted struct {
	*sandbox.Sandbox
	now, most atomic.Int32
}

func (c *counted) Run(ctx context.Context, s sandbox.Spec) (sandbox.Result, error) {
	defer c.now.Add(-1)
	for n := c.now.Add(1); ; {
		if m := c.most.Load(); n <= m || c.most.CompareAndSwap(m, n) {
			return c.Sandbox.Run(ctx, s)
		}
	}
}

// Programs that are made to break whoever reads them end as any other: they are refused, or let go in the end as what they are.
func TestService_HostilePrograms(t *testing.T) {
	for _, c := range []struct {
		name, program string
		want          coderv1.Edited_Outcome
	}{
		{"parentheses without end", "x = " + strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000) + "\n", coderv1.Edited_NO_CHANGE},
		{"signs without end", "x = " + strings.Repeat("-", 200_000) + "1\n", coderv1.Edited_NO_CHANGE},
		{"a sum of 900", "x = " + strings.Repeat("1 + ", 900) + "1\nprint(x)\n", coderv1.Edited_CHANGED},
		{"indents without end", func() string {
			var b strings.Builder
			for i := range 120 {
				b.WriteString(strings.Repeat(" ", i) + "if 1:\n")
			}
			return b.String() + strings.Repeat(" ", 120) + "print(1)\n"
		}(), coderv1.Edited_NO_CHANGE},
		{"a number of a megabyte", "x = " + strings.Repeat("9", 900_000) + "\nprint(x)\n", coderv1.Edited_NO_CHANGE},
		{"an encoding that is none", "# coding: no-such-code\nprint(1)\n", coderv1.Edited_NO_CHANGE},
		{"an encoding that is one", "# coding: latin-1\nprint('é')\n", coderv1.Edited_CHANGED},
		{"half a character", "print('\\ud800')\n", coderv1.Edited_CHANGED},
		{"a form feed and a tab", "if 1:\n\f\tprint(1)\n", coderv1.Edited_CHANGED},
		{"30,000 assignments", strings.Repeat("x = 1\n", 30_000) + "print(x)\n", coderv1.Edited_CHANGED},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, always("experiment.py\n```python\n"+c.program+"```\n"))
			got := l.implement(t)
			if got.GetOutcome() != c.want || got.GetUsage().GetCalls() > 6 || len(got.GetFeedback()) > 12_000 {
				t.Errorf("outcome %s after %d calls: %.600s", got.GetOutcome(), got.GetUsage().GetCalls(), got.GetFeedback())
			}
		})
	}
}
