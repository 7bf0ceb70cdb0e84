package executor_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor"
)

const results = `
import json, os, sys, time, signal
def done(v=0.5): open("run_1/final_info.json", "w").write(json.dumps({"d": {"means": {"loss": v}, "stderrs": {"loss": 0.1}}}))
`

// hostileFiles leave traps where their results are looked for: each ends with a reason, nothing of the host is in the result, and the slot runs the next job.
var hostileFiles = []struct {
	id, name, code string
	want           executorv1.EndReason_Value
	message        string
	refused        string // a reason among the refused outputs
	change         func(*executorv1.Job)
}{
	{"A10", "a sparse artifact of 64 GiB", "done()\nos.truncate(os.open('run_1/x.bin', os.O_CREAT | os.O_RDWR), 3 << 30)", executorv1.EndReason_SUCCEEDED, "", "allowed are",
		func(j *executorv1.Job) { j.Outputs[1].MaxBytes = 1 << 20 }},
	{"A44", "results that are a link to a secret", "os.symlink(SECRET, 'run_1/final_info.json')", executorv1.EndReason_OUTPUT, "refused", "not a regular file", nil},
	{"A44", "results behind a folder that is a link", "done(); os.rename('run_1/final_info.json', 'run_1/f'); os.symlink('/proc/self/root', 'run_1/deep'); os.symlink('.', 'run_1/loop'); os.symlink('f', 'run_1/final_info.json')",
		executorv1.EndReason_OUTPUT, "refused", "not a regular file", nil},
	{"A44", "a run folder that is a link, in a tree of its own", "os.rename('run_1', 'gone'); os.symlink('/etc', 'run_1')", executorv1.EndReason_OUTPUT, "", "", whole},
	{"A45", "results with a second name", "done(); os.link('run_1/final_info.json', 'run_1/again')", executorv1.EndReason_OUTPUT, "refused", "names", nil},
	{"A46", "results that are a pipe", "os.mkfifo('run_1/final_info.json')", executorv1.EndReason_OUTPUT, "refused", "not a regular file", nil},
	{"A46", "results that are a pipe somebody writes", "os.mkfifo('run_1/final_info.json')\nif os.fork() == 0: os.setsid(); open('run_1/final_info.json', 'w').write('x')", executorv1.EndReason_OUTPUT, "refused", "not a regular file", nil},
	{"A46", "results that are a socket", "import socket; os.chdir('run_1'); socket.socket(socket.AF_UNIX).bind('final_info.json')", executorv1.EndReason_OUTPUT, "refused", "not a regular file", nil},
	{"A46", "results that are a folder", "os.mkdir('run_1/final_info.json')", executorv1.EndReason_OUTPUT, "wrote no run_1/final_info.json", "", nil},
	{"A47", "odd names, set-uid bits and depth", `done()
for n in (b"new\nline", b"\xff\xfe", b"tab\t", b"back\\slash", "e\u0301".encode(), b"-rf", b"a" * 255, b"\x1b[2J", b"$(id)"):
    open(b"run_1/" + n, "w").write("x")
os.chmod("run_1/-rf", 0o6777)
os.chdir("run_1")
for i in range(400): os.mkdir("d"); os.chdir("d")
open("bottom", "w").write("x")`, executorv1.EndReason_SUCCEEDED, "", "folders deep", nil},
	{"A47", "ten thousand outputs", "for i in range(10000): open('run_1/%d' % i, 'w')\ndone()", executorv1.EndReason_SUCCEEDED, "", "entries", nil},
	{"A47", "a pipe at the end of a long path in letters of several bytes", "done(); d = 'run_1'\nfor i in range(3): d += '/' + 'x' * i + '\u00e9' * 120; os.mkdir(d)\nos.mkfifo(d + '/p')",
		executorv1.EndReason_SUCCEEDED, "", "not a regular file", nil},
	{"A15", "last words that turn the direction of a text", "done(); os.write(2, 'ended \u202ewell\u2066 \u009b2J\u2028now'.encode()); os._exit(4)", executorv1.EndReason_FAILED, "exit code 4: ended  well   2J now", "", nil},
	{"A36", "the tree's files blown up", "open('evaluate.py', 'r+').truncate(1 << 31); done()", executorv1.EndReason_SUCCEEDED, "", "", whole},
	{"A47", "twins that differ in case", "done(); open('run_1/Notes', 'w'); open('run_1/notes', 'w')", executorv1.EndReason_UNSPECIFIED, "", "", nil},
	{"A47", "folders closed to everybody", "done()\nos.mkdir('run_1/dark'); open('run_1/dark/x', 'w'); os.chmod('run_1/dark', 0); os.chmod('run_1', 0)", executorv1.EndReason_UNSPECIFIED, "", "", nil},
	{"A48", "a writer that goes on", "done()\nif os.fork() == 0:\n    os.setsid()\n    while True: open('run_1/final_info.json', 'w').write('{'); done()", executorv1.EndReason_UNSPECIFIED, "", "", nil},
	{"A49", "names that the executor might write", "done()\nfor n in ('stdout.log', 'stderr.log', 'manifest.json', 'result.json'):\n    for d in ('', 'run_1/'):\n        try: os.symlink(SECRET, d + n)\n        except OSError: pass",
		executorv1.EndReason_SUCCEEDED, "", "", whole},
	{"A50", "an exit code like a kill's", "done(); os._exit(137)", executorv1.EndReason_FAILED, "exit code 137", "", nil},
	{"A50", "a kill by its own hand", "done(); os.kill(os.getpid(), 9)", executorv1.EndReason_FAILED, "signal 9", "", nil},
	{"A50", "results nested without end", "open('run_1/final_info.json', 'w').write('[' * 100000)", executorv1.EndReason_OUTPUT, "final_info.json", "", nil},
	{"A50", "results of 64 MiB", "open('run_1/final_info.json', 'w').write('{\"d\": {\"means\": {\"loss\": 1}}}' + ' ' * (64 << 20))", executorv1.EndReason_OUTPUT, "allowed are", "", nil},
	{"A50", "a hundred thousand numbers", "json.dump({'d': {'means': {'m%d' % i: i for i in range(100000)}}}, open('run_1/final_info.json', 'w'))", executorv1.EndReason_OUTPUT, "", "", nil},
	{"A50", "numbers that are none", "open('run_1/final_info.json', 'w').write('{\"d\": {\"means\": {\"loss\": NaN, \"x\": 1e999, \"y\": -Infinity}}}')", executorv1.EndReason_SUCCEEDED, "", "", nil},
	{"A50", "results in UTF-16", "open('run_1/final_info.json', 'w', encoding='utf-16').write('{}')", executorv1.EndReason_OUTPUT, "UTF-8", "", nil},
	{"A14", "a flood on both outputs", "done()\nfor i in range(FLOOD):\n    os.write(1, b'x' * (1 << 20)); os.write(2, b'y' * (1 << 20))", executorv1.EndReason_SUCCEEDED, "", "", nil},
	{"A15", "a line without end, in no encoding, with orders to a terminal", "done(); os.write(2, b'\\xff\\x00\\x1b]0;x\\x07' * (1 << 20)); os._exit(4)", executorv1.EndReason_FAILED, "exit code 4", "", nil},
	{"A22", "a daemon that holds the outputs", "done()\nif os.fork() == 0: os.setsid(); time.sleep(300)", executorv1.EndReason_SUCCEEDED, "", "", nil},
	{"A07", "a chain of folders longer than any path", "done(); os.chdir('run_1')\nfor i in range(30000): os.mkdir('d'); os.chdir('d')\ntime.sleep(9)", executorv1.EndReason_DISK, "disk limit", "", nil},
	{"A60", "an isolation that this node has not", "done()", executorv1.EndReason_SUCCEEDED, "", "", func(j *executorv1.Job) { j.MinIsolation = "strict" }},
}

// whole gives a job its private tree.
func whole(j *executorv1.Job) { j.Writable = []string{"."} }

func TestExecutor_TakesNothingFromTraps(t *testing.T) {
	w := newWorld(t)
	state := t.TempDir()
	w.client, _ = w.start(quick(state), executor.Shared{Sandbox: box(t)})
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(home, ".nullius-trap")
	if err := os.WriteFile(secret, []byte("planted-in-the-home"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(secret) })
	flood := "12"
	if os.Getenv("NULLIUS_SOAK") == "1" {
		flood = "1024"
	}
	for i, c := range hostileFiles {
		t.Run(c.id+" "+c.name, func(t *testing.T) {
			code := strings.NewReplacer("SECRET", fmt.Sprintf("%q", secret), "FLOOD", flood).Replace(results + c.code)
			j := w.job(fmt.Sprintf("trap-%d", i), code)
			j.Outputs = []*executorv1.Output{{Glob: "run_1/final_info.json", Required: true}, {Glob: "run_1/**"}}
			if c.change != nil {
				c.change(j)
			}
			if c.id == "A44" && len(j.GetWritable()) > 0 || c.id == "A49" || c.id == "A36" {
				j.Argv = []string{"sh", "-c", "mkdir -p run_1; exec python experiment.py"}
			}
			r := w.run(j)
			if c.want != executorv1.EndReason_UNSPECIFIED && r.GetEndReason() != c.want || !strings.Contains(r.GetMessage(), c.message) {
				t.Errorf("%s: %s; want %s: %s", r.GetEndReason(), r.GetMessage(), c.want, c.message)
			}
			if r.GetEndReason() == executorv1.EndReason_UNSPECIFIED || r.GetEndReason() != executorv1.EndReason_SUCCEEDED && r.GetMessage() == "" {
				t.Errorf("no reason: %v", r)
			}
			if c.refused != "" && !strings.Contains(fmt.Sprint(r.GetRefused()), c.refused) {
				t.Errorf("refused: %v; want %s", r.GetRefused(), c.refused)
			}
			if r.GetLevel() == "" || r.GetProbeDigest() == "" {
				t.Errorf("not stamped: %v", r)
			}
			w.clean(t, r)
		})
	}
	kittest.Eventually(t, 60*time.Second, func() error { // a job's tree goes when its result has been committed
		left, err := os.ReadDir(filepath.Join(state, "work"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left in the work folder: %v", left)
		}
		return err
	})
	good := w.job("after-all", results+"done()")
	if r := w.run(good); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
		t.Errorf("the next job: %v", r)
	}
}

// clean looks at what was collected: plain names and modes, nothing of the host, logs within their caps.
func (w *world) clean(t *testing.T, r *executorv1.JobResult) {
	t.Helper()
	files, err := store.LoadManifest(t.Context(), w.blobs, store.Digest(r.GetSnapshot()))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Mode != 0o644 && f.Mode != 0o755 || store.CheckPath(f.Path) != nil {
			t.Errorf("%q has mode %o", f.Path, f.Mode)
		}
		if f.Size > 1<<20 {
			continue
		}
		if b, err := store.GetBytes(t.Context(), w.blobs, f.Digest, 1<<20); err != nil || strings.Contains(string(b), "planted-in-the-home") || strings.Contains(string(b), "root:x:0") {
			t.Errorf("%q holds something of the host, %v", f.Path, err)
		}
	}
	for _, l := range []*executorv1.LogDigest{r.GetStdout(), r.GetStderr()} {
		if kept := l.GetTotalBytes() - l.GetDroppedBytes(); kept > 5<<20 {
			t.Errorf("%d bytes of a log are kept", kept)
		}
	}
}

// A landlock node runs jobs with the same results, and refuses one that asks for more.
func TestExecutor_AWeakerNodeSaysSo(t *testing.T) {
	cfg := sandbox.DefaultConfig()
	cfg.Isolation = sandbox.Isolation{Level: sandbox.LevelLandlock, Min: sandbox.LevelLandlock}
	weak, err := sandbox.New(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("%v (needs Linux 6.12 with Landlock)", err)
	}
	t.Cleanup(func() { _ = weak.Close() })
	w := newWorld(t)
	w.client, _ = w.start(quick(t.TempDir()), executor.Shared{Sandbox: weak})
	j := w.job("plain", results+"print(open('../../../data/set/x.txt').read()); done(); open('evaluate.py', 'w')")
	j.Data = []*executorv1.DataMount{{Digest: w.snapshot(map[string]string{"x.txt": "the data"}), Path: "set"}}
	r := w.run(j)
	if r.GetEndReason() != executorv1.EndReason_FAILED || !strings.Contains(r.GetMessage(), "Permission denied: 'evaluate.py'") || r.GetLevel() != "landlock" {
		t.Errorf("%s: %s at %q", r.GetEndReason(), r.GetMessage(), r.GetLevel())
	}
	j = w.job("plain-2", results+"done()")
	if r := w.run(j); r.GetEndReason() != executorv1.EndReason_SUCCEEDED || len(r.GetMeasurements()) != 1 {
		t.Errorf("%v", r)
	}
	j = w.job("strict", results+"done()")
	j.MinIsolation = "strict"
	if r := w.run(j); r.GetEndReason() != executorv1.EndReason_REJECTED || !strings.Contains(r.GetMessage(), "offers landlock") {
		t.Errorf("%v", r)
	}
}

// TestExecutor_ManyThreadsLeaveNeighboursTheirShare is A18: a job with 64 busy threads gets no more than its slot's share of the processors.
func TestExecutor_ManyThreadsLeaveNeighboursTheirShare(t *testing.T) {
	b := box(t)
	if b.Probe().MemoryWall == sandbox.WallWatchdog {
		t.Log("not run: no cgroup on this host")
		return
	}
	w := newWorld(t)
	cfg := quick(t.TempDir())
	cfg.Slots = 64 // so that a share is one processor
	w.client, _ = w.start(cfg, executor.Shared{Sandbox: b})
	j := w.job("busy", "import os, time\nfor i in range(4):\n    if os.fork() == 0:\n        while True: pass\ntime.sleep(60)")
	j.Limits.Wall = durationpb.New(3 * time.Second)
	r := w.run(j)
	if cpu := r.GetCpu().AsDuration(); r.GetEndReason() != executorv1.EndReason_TIMEOUT || cpu > r.GetWall().AsDuration()*5/4+time.Second/2 {
		t.Errorf("%s: %v of the processors in %v", r.GetEndReason(), cpu, r.GetWall().AsDuration())
	}
}
