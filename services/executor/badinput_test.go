package executor_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
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

func TestExecutor_RefusesABadJob(t *testing.T) {
	w := newWorld(t)
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Refusal: errors.New("none")})
	for name, change := range map[string]func(*executorv1.Job){
		"an id with dots":        func(j *executorv1.Job) { j.JobId = "a/../b" },
		"an id with a star":      func(j *executorv1.Job) { j.JobId = "a.*" },
		"no command":             func(j *executorv1.Job) { j.Argv = nil },
		"an absolute mount":      func(j *executorv1.Job) { j.Mount = "/etc" },
		"an escaping run folder": func(j *executorv1.Job) { j.OutDir = "../x" },
		"a preload":              func(j *executorv1.Job) { j.Env = map[string]string{"LD_PRELOAD": "x"} },
		"a device choice":        func(j *executorv1.Job) { j.Env = map[string]string{"NVIDIA_VISIBLE_DEVICES": "all"} },
		"no digest":              func(j *executorv1.Job) { j.Snapshot = "x" },
		"an escaping output":     func(j *executorv1.Job) { j.Outputs = []*executorv1.Output{{Glob: "../*"}} },
		"code as a module":       func(j *executorv1.Job) { j.Environment = &executorv1.Environment{Modules: []string{"os; x"}} },
		"an empty id":            func(j *executorv1.Job) { j.JobId = "" },
		"a long id":              func(j *executorv1.Job) { j.JobId = strings.Repeat("x", 201) },
		"an id with a newline":   func(j *executorv1.Job) { j.JobId = "a/b\nc" },
		"an id that climbs":      func(j *executorv1.Job) { j.JobId = "../../etc/passwd" },
		"an id with wildcards":   func(j *executorv1.Job) { j.JobId = "a/>" },
		"a right-to-left id":     func(j *executorv1.Job) { j.JobId = "a/\u202eb" },
		"a pool of wildcards":    func(j *executorv1.Job) { j.Pool = "*" },
		"a pool with a dot":      func(j *executorv1.Job) { j.Pool = "cpu.x" },
		"GPUs in a CPU's pool":   func(j *executorv1.Job) { j.Pool, j.Gpu = "cpu", &executorv1.Gpu{Count: 1} },
		"65 GPUs":                func(j *executorv1.Job) { j.Gpu = &executorv1.Gpu{Count: 65} },
		"an empty word":          func(j *executorv1.Job) { j.Argv = []string{""} },
		"a zero byte":            func(j *executorv1.Job) { j.Argv = []string{"sh", "a\x00b"} },
		"257 words":              func(j *executorv1.Job) { j.Argv = make([]string, 257); j.Argv[0] = "x" },
		"a variable's bad name":  func(j *executorv1.Job) { j.Env = map[string]string{"A=B": "x"} },
		"a variable's zero byte": func(j *executorv1.Job) { j.Env = map[string]string{"A": "x\x00"} },
		"an own search path":     func(j *executorv1.Job) { j.Env = map[string]string{"PATH": "/tmp"} },
		"code by the loader":     func(j *executorv1.Job) { j.Env = map[string]string{"LD_LIBRARY_PATH": "/tmp"} },
		"code by Python's path":  func(j *executorv1.Job) { j.Env = map[string]string{"PYTHONPATH": "/tmp"} },
		"the choice of a device": func(j *executorv1.Job) { j.Env = map[string]string{"CUDA_VISIBLE_DEVICES": "0"} },
		"a short digest":         func(j *executorv1.Job) { j.Snapshot = "sha256:abc" },
		"an upper-case digest":   func(j *executorv1.Job) { j.Snapshot = "sha256:" + strings.Repeat("A", 64) },
		"a bad data digest":      func(j *executorv1.Job) { j.Data = []*executorv1.DataMount{{Digest: "x", Path: "d"}} },
		"data that climbs":       func(j *executorv1.Job) { j.Data = []*executorv1.DataMount{{Digest: j.GetSnapshot(), Path: "../d"}} },
		"data mounted twice": func(j *executorv1.Job) {
			j.Data = []*executorv1.DataMount{{Digest: j.GetSnapshot(), Path: "d"}, {Digest: j.GetSnapshot(), Path: "d"}}
		},
		"a writable host folder":   func(j *executorv1.Job) { j.Writable = []string{"/"} },
		"a writable parent":        func(j *executorv1.Job) { j.Writable = []string{"run_1/../.."} },
		"an absolute output":       func(j *executorv1.Job) { j.Outputs = []*executorv1.Output{{Glob: "/etc/*"}} },
		"a protected host path":    func(j *executorv1.Job) { j.Protected = []string{"../*"} },
		"a level that is not":      func(j *executorv1.Job) { j.MinIsolation = "loose" },
		"a negative time":          func(j *executorv1.Job) { j.Limits = &executorv1.Limits{Wall: durationpb.New(-time.Second)} },
		"an impossible time":       func(j *executorv1.Job) { j.Limits = &executorv1.Limits{Wall: &durationpb.Duration{Seconds: 1 << 62}} },
		"a relative interpreter":   func(j *executorv1.Job) { j.Environment = &executorv1.Environment{Interpreter: "python3"} },
		"an interpreter by detour": func(j *executorv1.Job) { j.Environment = &executorv1.Environment{Interpreter: "/usr/../tmp/x"} },
		"requirements by name":     func(j *executorv1.Job) { j.Environment = &executorv1.Environment{Requirements: "numpy"} },
		"data within data": func(j *executorv1.Job) {
			j.Data = []*executorv1.DataMount{{Digest: j.GetSnapshot(), Path: "d"}, {Digest: j.GetSnapshot(), Path: "d/x.txt"}}
		},
		"data over data": func(j *executorv1.Job) {
			j.Data = []*executorv1.DataMount{{Digest: j.GetSnapshot(), Path: "d/e"}, {Digest: j.GetSnapshot(), Path: "d"}}
		},
		"a mount over the interpreters":  func(j *executorv1.Job) { j.Mount = "bin" },
		"a mount within the data":        func(j *executorv1.Job) { j.Mount = "data/d" },
		"a mount within the packages":    func(j *executorv1.Job) { j.Mount = "environment/lib" },
		"writable paths without number":  func(j *executorv1.Job) { j.Writable = numbered(1000) },
		"protected globs without number": func(j *executorv1.Job) { j.Protected = numbered(5000) },
		"outputs without number": func(j *executorv1.Job) {
			for _, g := range numbered(5000) {
				j.Outputs = append(j.Outputs, &executorv1.Output{Glob: g})
			}
		},
		"the tree as run folder":                        func(j *executorv1.Job) { j.OutDir = "." },
		"a glob that does not close":                    func(j *executorv1.Job) { j.Outputs = []*executorv1.Output{{Glob: "run_1/[a"}} },
		"a glob that takes forever":                     func(j *executorv1.Job) { j.Protected = []string{strings.Repeat("**/", 40) + "x"} },
		"control characters, which take six bytes each": func(j *executorv1.Job) { j.Env = map[string]string{"X": strings.Repeat("\x01", 8000)} },
		"a too large job":                               func(j *executorv1.Job) { j.Argv = []string{strings.Repeat("x", 70_000)} },
	} {
		j := w.job("bad", good)
		change(j)
		if _, err := w.client.Submit(t.Context(), &executorv1.SubmitRequest{Job: j}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.client.Submit(t.Context(), &executorv1.SubmitRequest{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("nothing at all: %v", err)
	}
}

func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("w%d", i)
	}
	return list
}

// TestExecutor_RunsWhatLooksOdd has jobs that are strange and allowed: each ends at its first attempt, with a reason of its own.
func TestExecutor_RunsWhatLooksOdd(t *testing.T) {
	w := open(t)
	data := w.snapshot(map[string]string{"x.txt": "x"})
	type reason = executorv1.EndReason_Value
	for name, c := range map[string]struct {
		change func(*executorv1.Job)
		want   reason
	}{
		"a-moment":              {func(j *executorv1.Job) { j.Limits.Wall = durationpb.New(1) }, executorv1.EndReason_TIMEOUT},
		"a-byte-of-disk":        {func(j *executorv1.Job) { j.Limits.DiskBytes = 1 }, executorv1.EndReason_DISK},
		"a-file-of-a-byte":      {func(j *executorv1.Job) { j.Limits.FileBytes = 1 }, executorv1.EndReason_OUTPUT},
		"one-process":           {func(j *executorv1.Job) { j.Limits.Processes = 1 }, executorv1.EndReason_SUCCEEDED},
		"one-open-file":         {func(j *executorv1.Job) { j.Limits.OpenFiles = 1 }, executorv1.EndReason_FAILED},
		"one-inode":             {func(j *executorv1.Job) { j.Limits.Inodes = 1 }, executorv1.EndReason_DISK},
		"a-mount-of-many-words": {func(j *executorv1.Job) { j.Mount = "a b/c\"d/é/" + strings.Repeat("m", 200) }, executorv1.EndReason_SUCCEEDED},
		"a-mount-like-the-data": {func(j *executorv1.Job) {
			j.Mount = "database"
			j.Data = []*executorv1.DataMount{{Digest: data, Path: "d"}, {Digest: data, Path: "dd"}}
		}, executorv1.EndReason_SUCCEEDED},
		"a-deep-run-folder":      {func(j *executorv1.Job) { j.OutDir = strings.Repeat("d/", 20) + "d" }, executorv1.EndReason_SUCCEEDED},
		"a-file-as-run-folder":   {func(j *executorv1.Job) { j.OutDir = "evaluate.py" }, executorv1.EndReason_SUCCEEDED},
		"writable-within-itself": {func(j *executorv1.Job) { j.Writable = []string{"run_1/sub", "run_1", "run_1"} }, executorv1.EndReason_SUCCEEDED},
		"writable-beside":        {func(j *executorv1.Job) { j.Writable = []string{"run_1/sub"} }, executorv1.EndReason_FAILED},
		"writable-below-a-file":  {func(j *executorv1.Job) { j.Writable = []string{"experiment.py/x"} }, executorv1.EndReason_REJECTED},
		"a-home-nowhere": {func(j *executorv1.Job) {
			j.Env = map[string]string{"HOME": "/nowhere", "TMPDIR": "/nowhere", "LANG": "\x1b[2J", "BASH_FUNC_x": "() { :; }; exit 9"}
		}, executorv1.EndReason_SUCCEEDED},
		"a-command-of-two-lines": {func(j *executorv1.Job) { j.Argv = []string{"a\nb"} }, executorv1.EndReason_FAILED},
		"everything-protected":   {func(j *executorv1.Job) { j.Protected = []string{"**"} }, executorv1.EndReason_SUCCEEDED},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := w.job(name, good)
			c.change(j)
			if len(j.GetArgv()) > 2 {
				j.Argv[2] = "--out_dir=" + j.GetOutDir()
			}
			if j.Env == nil {
				j.Env = map[string]string{}
			}
			j.Env["NULLIUS_SIZE"] = "lite"
			r := w.run(j)
			if r.GetLevel() == "" || r.GetProbeDigest() == "" || r.GetMemoryWall() == "" {
				t.Errorf("not stamped: %v", r)
			}
			if r.GetEndReason() != c.want || r.GetAttempt() != 1 || c.want != executorv1.EndReason_SUCCEEDED && r.GetMessage() == "" {
				t.Errorf("%s at attempt %d: %q, want %s", r.GetEndReason(), r.GetAttempt(), r.GetMessage(), c.want)
			}
		})
	}
}

// TestExecutor_UnknownIdsHarmNobody: what is no id of a job is unknown, and the connection to the broker outlives the question.
func TestExecutor_UnknownIdsHarmNobody(t *testing.T) {
	w := open(t)
	for _, id := range []string{"", ">", "*", "a.*", "a b", "../x", "a/../../b", "a\x00b", "\n", "$KV.JOB_STATE.x", ".", "…", strings.Repeat("x", 5000), strings.Repeat("a/", 3000) + "b", "a\r\nPUB x 0\r\n\r\n"} {
		_, got := w.client.Get(t.Context(), &executorv1.GetRequest{JobId: id})
		_, cancelled := w.client.Cancel(t.Context(), &executorv1.CancelRequest{JobId: id})
		stream, watched := w.client.Watch(t.Context(), &executorv1.WatchRequest{JobId: id, Attempt: math.MinInt32, StdoutOffset: math.MaxUint64})
		if watched == nil {
			_, watched = stream.Recv()
		}
		for _, err := range []error{got, cancelled, watched} {
			if fault.ReasonOf(err) != executor.ReasonUnknown {
				t.Errorf("%.40q: %.200v", id, err)
			}
		}
	}
	j := w.job("after", good)
	j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
	if r := w.run(j); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
		t.Errorf("%v", r)
	}
	for _, attempt := range []int32{math.MinInt32, 0, 1, 2, math.MaxInt32} {
		stream, err := w.client.Watch(t.Context(), &executorv1.WatchRequest{JobId: j.GetJobId(), Attempt: attempt, StdoutOffset: math.MaxUint64, StderrOffset: 3})
		if err != nil {
			t.Fatal(err)
		}
		var last *executorv1.WatchResponse
		for m, err := stream.Recv(); err == nil; m, err = stream.Recv() {
			last = m
		}
		if last.GetResult().GetResult().GetEndReason() != executorv1.EndReason_SUCCEEDED {
			t.Errorf("from attempt %d: %v", attempt, last)
		}
	}
}
