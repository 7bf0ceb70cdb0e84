package coder_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
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
