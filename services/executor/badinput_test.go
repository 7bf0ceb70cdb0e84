package executor_test

import (
	"math"
	"strings"
	"testing"

	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// TestExecutor_EndsWhatOnlyTheNodeCanJudge has jobs that look right, and name
// what is not there or cannot be.
func TestExecutor_EndsWhatOnlyTheNodeCanJudge(t *testing.T) {
	w := open(t)
	none := "sha256:" + strings.Repeat("0", 64)
	garbage, err := store.PutBytes(t.Context(), w.blobs, []byte("no manifest"))
	if err != nil {
		t.Fatal(err)
	}
	hollow, err := store.PutManifest(t.Context(), w.blobs, store.Manifest{{Path: "experiment.py", Digest: store.Digest(none), Size: 3, Mode: 0o644}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*executorv1.Job)
		want   executorv1.EndReason_Value
	}{
		"a-snapshot-that-is-no-manifest":  {func(j *executorv1.Job) { j.Snapshot = string(garbage) }, executorv1.EndReason_REJECTED},
		"a-snapshot-whose-file-is-gone":   {func(j *executorv1.Job) { j.Snapshot = string(hollow) }, executorv1.EndReason_REJECTED},
		"data-that-is-not-there":          {func(j *executorv1.Job) { j.Data = []*executorv1.DataMount{{Digest: none, Path: "d"}} }, executorv1.EndReason_REJECTED},
		"data-that-is-no-manifest":        {func(j *executorv1.Job) { j.Data = []*executorv1.DataMount{{Digest: string(garbage), Path: "d"}} }, executorv1.EndReason_REJECTED},
		"a-file-as-out-dir":               {func(j *executorv1.Job) { j.Writable = []string{"evaluate.py"} }, executorv1.EndReason_REJECTED},
		"requirements-that-are-not-there": {func(j *executorv1.Job) { j.Environment = &executorv1.Environment{Requirements: none} }, executorv1.EndReason_REJECTED},
		"an-interpreter-that-is-not-there": {func(j *executorv1.Job) {
			j.Environment = &executorv1.Environment{Interpreter: "/nowhere/python"}
			j.Environment.Modules = []string{"nullius_none"}
		}, executorv1.EndReason_ENVIRONMENT},
		"a-program-that-is-not-there": {func(j *executorv1.Job) { j.Argv = []string{"no-such-program"} }, executorv1.EndReason_FAILED},
		"limits-beyond-all-bounds": {func(j *executorv1.Job) {
			j.Limits = &executorv1.Limits{MemoryBytes: math.MaxUint64, DiskBytes: math.MaxUint64, Processes: math.MaxUint32, OpenFiles: math.MaxUint32, Inodes: math.MaxUint64, FileBytes: math.MaxUint64}
		}, executorv1.EndReason_SUCCEEDED},
		"words-that-look-like-options-of-sh": {func(j *executorv1.Job) { j.Argv = []string{"/usr/bin/printf", "%s", "--$(touch /tmp/x);`id`"} }, executorv1.EndReason_SUCCEEDED},
	} {
		t.Run(name, func(t *testing.T) {
			j := w.job(strings.ReplaceAll(name, " ", "-"), good)
			j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
			j.Measure, j.Outputs = false, []*executorv1.Output{{Glob: "run_1/**"}}
			c.change(j)
			r := w.run(j)
			if r.GetEndReason() != c.want || c.want != executorv1.EndReason_SUCCEEDED && r.GetMessage() == "" {
				t.Errorf("%s: %q, want %s", r.GetEndReason(), r.GetMessage(), c.want)
			}
		})
	}
}
