package executor

import (
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

// FuzzSubmit takes a job from the wire, as a client in any language may send
// it. What is accepted can be neither a path, a subject nor a variable of
// anybody else's, and is the same job after it has lain in the broker.
func FuzzSubmit(f *testing.F) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	whole := func() *executorv1.Job {
		return &executorv1.Job{
			JobId: "s/i/experiments/run-1/execute-1", Labels: map[string]string{"study": "s"}, Pool: "gpu", Snapshot: digest, Argv: []string{"python", "x.py"},
			Env: map[string]string{"A": "b"}, OutDir: "run_1", Writable: []string{"run_1", "."}, Outputs: []*executorv1.Output{{Glob: "run_1/**", Required: true, MaxBytes: 9}},
			Protected: []string{"run_*/**"}, Data: []*executorv1.DataMount{{Digest: digest, Path: "d/e"}},
			Environment: &executorv1.Environment{Modules: []string{"numpy.linalg"}, Interpreter: "/usr/bin/python3", Requirements: digest},
			Limits:      &executorv1.Limits{Wall: durationpb.New(1e9), MemoryBytes: 1}, Gpu: &executorv1.Gpu{Count: 2, Model: "H100"}, MinIsolation: "strict",
			Mount: "results/t/i", Size: "lite", Measure: true,
		}
	}
	add := func(change func(*executorv1.Job)) {
		j := whole()
		change(j)
		b, err := proto.Marshal(j)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	add(func(j *executorv1.Job) { j.ProtoReflect().SetUnknown([]byte("\xfa\x3f\x01x")) }) // a field of a later version
	add(func(*executorv1.Job) {})
	for _, evil := range []string{"../x", "/etc", "a/../../b", "a//b", "a/./b", "*", ">", "a b", "a\x00b", "a\nb", "\u202e", ".", "..", "~", "$HOME", "-rf", "a\\b", strings.Repeat("a/", 200) + "a", "CON", "é"} {
		add(func(j *executorv1.Job) { j.JobId = evil })
		add(func(j *executorv1.Job) { j.Pool, j.Gpu = evil, nil })
		add(func(j *executorv1.Job) { j.OutDir, j.Writable, j.Outputs = evil, nil, nil })
		add(func(j *executorv1.Job) { j.Mount = evil })
		add(func(j *executorv1.Job) { j.Writable = []string{evil} })
		add(func(j *executorv1.Job) { j.Data[0].Path = evil })
		add(func(j *executorv1.Job) { j.Outputs[0].Glob = evil })
		add(func(j *executorv1.Job) { j.Protected = []string{evil} })
		add(func(j *executorv1.Job) { j.Env = map[string]string{evil: evil} })
		add(func(j *executorv1.Job) { j.Argv = []string{evil} })
		add(func(j *executorv1.Job) { j.Environment.Interpreter = evil })
		add(func(j *executorv1.Job) { j.Environment.Modules = []string{evil} })
		add(func(j *executorv1.Job) { j.Snapshot = evil })
		add(func(j *executorv1.Job) { j.Size = evil })
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		j := &executorv1.Job{}
		if proto.Unmarshal(wire, j) != nil {
			return
		}
		j, err := accept(j)
		if err != nil {
			return
		}
		paths := append([]string{j.GetMount()}, j.GetWritable()...)
		for _, d := range j.GetData() {
			paths = append(paths, d.GetPath())
		}
		if j.GetOutDir() != "" {
			paths = append(paths, j.GetOutDir())
		}
		for _, p := range paths {
			if !filepath.IsLocal(p) || strings.ContainsAny(p, "\x00\n\\") || filepath.Clean(p) != p {
				t.Errorf("the path %q was accepted", p)
			}
		}
		for _, s := range []string{logSubject(j.GetJobId()), subject.Jobs(j.GetPool())} {
			if strings.ContainsAny(s, "*> \t\r\n\x00") || strings.Contains(s, "..") || strings.HasSuffix(s, ".") {
				t.Errorf("the subject %q was accepted", s)
			}
		}
		for k, v := range j.GetEnv() {
			if strings.HasPrefix(k, "LD_") || strings.HasPrefix(k, "NVIDIA_") || k == "PATH" || k == "PYTHONPATH" || strings.ContainsAny(k, "= \x00") || strings.Contains(v, "\x00") {
				t.Errorf("the variable %q was accepted", k)
			}
		}
		if len(j.GetArgv()) == 0 || !store.Digest(j.GetSnapshot()).Valid() || proto.Size(j) > 64<<10 {
			t.Errorf("%d words, snapshot %q, %d bytes were accepted", len(j.GetArgv()), j.GetSnapshot(), proto.Size(j))
		}
		same(t, j)
	})
}

// same checks that a job is itself when it comes back from the broker, and
// that labels are no part of it.
func same(t *testing.T, j *executorv1.Job) {
	t.Helper()
	before, err := specDigest(j)
	if err != nil {
		t.Fatal(err)
	}
	data, err := (&record{JobRecord: &executorv1.JobRecord{Job: j, SpecDigest: before}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeRecord(data, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.Job.Labels = map[string]string{"other": "label"}
	if after, err := specDigest(r.GetJob()); err != nil || after != before {
		t.Errorf("the job came back as another: %v, %v, %v", j, r.GetJob(), err)
	}
}
