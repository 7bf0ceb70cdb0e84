package executor_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// TestExecutor_VariablesAreTheJobs: what a job names is there, over the defaults, and nothing of the executor's own.
func TestExecutor_VariablesAreTheJobs(t *testing.T) {
	w := open(t)
	t.Setenv("OPENBLAS_CORETYPE", "Zen")
	t.Setenv("NULLIUS_CANARY", "in-the-parent")
	run := func(id string, env map[string]string) map[string]string {
		j := w.job(id, "import json, os; print(json.dumps(dict(os.environ)))")
		j.Measure, j.Env, j.Outputs = false, env, []*executorv1.Output{{Glob: "run_1/**"}}
		w.submit(w.client, j)
		s := w.watch(w.client, j.GetJobId())
		var got map[string]string
		if err := json.Unmarshal([]byte(s.out), &got); err != nil {
			t.Fatalf("%v: %s", err, s.errs)
		}
		return got
	}
	plain := run("plain", nil)
	if plain["OMP_NUM_THREADS"] != "1" || plain["OPENBLAS_NUM_THREADS"] != "1" || plain["MPLBACKEND"] != "Agg" || plain["HOME"] != "/tmp" {
		t.Errorf("defaults: %v", plain)
	}
	allowed := []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "MPLBACKEND",
		"CUBLAS_WORKSPACE_CONFIG", "LC_ALL", "TZ", "HOME", "USER", "TMPDIR", "PATH", "TRACEPARENT"}
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		if !slices.Contains(allowed, name) {
			t.Errorf("%s=%s came from somewhere", name, plain[name])
		}
	}
	// What numeric libraries read: https://github.com/OpenMathLib/OpenBLAS/wiki, numpy and MKL documentation.
	want := map[string]string{"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE", "NPY_DISABLE_CPU_FEATURES": "AVX512F", "GLIBC_TUNABLES": "x", "ONEDNN_MAX_CPU_ISA": "AVX2"}
	got := run("own", want)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

// TestExecutor_DigitsAreThoseOfTheShell: with the same choice of a processor's kernel, a sum comes out of the sandbox as it does outside.
func TestExecutor_DigitsAreThoseOfTheShell(t *testing.T) {
	const code = `
import numpy as np
r = np.random.default_rng(7); a = r.standard_normal((301, 307)); b = r.standard_normal((307, 303))
print(float((a @ b).sum()).hex(), float(np.linalg.norm(np.linalg.solve(a[:300, :300], b[:300, 0]))).hex())`
	w := open(t)
	for _, kernel := range []string{"Haswell", "Prescott"} {
		cmd := exec.Command("/usr/bin/python3", "-c", code)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "OPENBLAS_CORETYPE=" + kernel, "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"}
		shell, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v (install: sudo apt-get install -y python3-numpy libopenblas0-pthread)", err)
		}
		j := w.job("digits-"+strings.ToLower(kernel), code)
		j.Measure, j.Env, j.Outputs = false, map[string]string{"OPENBLAS_CORETYPE": kernel}, []*executorv1.Output{{Glob: "run_1/**"}}
		w.submit(w.client, j)
		if s := w.watch(w.client, j.GetJobId()); s.out != string(shell) {
			t.Errorf("%s: %q inside, %q outside; %s", kernel, s.out, shell, s.errs)
		}
	}
}
