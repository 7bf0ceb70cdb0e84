package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/collect"
)

var (
	jobID      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*){0,7}$`)
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	moduleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
)

func isJobID(s string) bool { return len(s) <= 200 && jobID.MatchString(s) }

// poolGPU is the queue of all jobs that want a GPU.
const poolGPU = "gpu"

// reserved are names below /nullius that are the sandbox's own, and where data is mounted.
var reserved = map[string]bool{"bin": true, "data": true, "environment": true}

// Bounds of a job's lists: each mount takes time at the start of the program, and each glob at its end, for each file.
const (
	maxMounts = 64
	maxGlobs  = 512
)

// refusedEnv would change which code runs, or which device it sees.
var refusedEnv = map[string]bool{
	"PYTHONPATH": true, "PYTHONHOME": true, "PATH": true,
	"CUDA_VISIBLE_DEVICES": true, "TRACEPARENT": true,
}

// Submit queues a job; the same job again is the same record.
func (s *Service) Submit(ctx context.Context, job *executorv1.Job) (*executorv1.JobRecord, error) {
	if job == nil {
		return nil, fault.New(fault.Invalid, ReasonField, "job: is missing").WithField("job", "is missing")
	}
	job, err := accept(job)
	if err != nil {
		return nil, err
	}
	digest, err := specDigest(job)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, reasonDamaged, "the job cannot be encoded")
	}
	r := &record{JobRecord: &executorv1.JobRecord{
		Job: job, SpecDigest: digest, State: executorv1.State_QUEUED, Submitted: timestamppb.New(time.Now().Truncate(time.Millisecond)),
	}}
	data, err := r.encode()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, reasonDamaged, "the job cannot be encoded")
	}
	_, err = s.jobs.state.Create(ctx, job.GetJobId(), data)
	if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return nil, busFault(err, "write a job")
	}
	known, err := s.jobs.get(ctx, job.GetJobId())
	if err != nil {
		return nil, err
	}
	if known.GetSpecDigest() != digest {
		return nil, fault.New(fault.Exists, ReasonDiffers, "job %s exists with other content: %s there, %s here",
			job.GetJobId(), known.GetSpecDigest(), digest).
			WithMeta("existing", known.GetSpecDigest()).WithMeta("submitted", digest)
	}
	if known.GetState() == executorv1.State_QUEUED {
		// Also for a job that was there: its first message may have been lost
		// between the record and the queue. A double is dropped or harmless.
		if err := s.jobs.enqueue(ctx, job.GetPool(), job.GetJobId(), job.GetJobId()+"@"+digest[7:23]); err != nil {
			return nil, err
		}
	}
	return s.whole(ctx, known)
}

// accept gives a job as it is kept and run: complete, checked, and without
// fields that this version does not know, which the broker would not give back.
func accept(job *executorv1.Job) (*executorv1.Job, error) {
	job = proto.Clone(job).(*executorv1.Job)
	normalize(job)
	if err := validate(job); err != nil { // its work is bounded by the size of a message
		return nil, err
	}
	text, err := protojson.Marshal(job)
	if len(text) > maxJob {
		return nil, fault.New(fault.Invalid, "PAYLOAD_TOO_LARGE", "the job has %d bytes as JSON, allowed are %d", len(text), maxJob)
	}
	known := &executorv1.Job{}
	if err == nil {
		err = protojson.Unmarshal(text, known)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, ReasonField, "job: cannot be kept: %v", err).WithField("job", "cannot be kept")
	}
	return known, nil
}

func normalize(j *executorv1.Job) {
	if j.GetPool() == "" {
		j.Pool = "cpu"
		if j.GetGpu().GetCount() > 0 {
			j.Pool = poolGPU
		}
	}
	if j.GetMount() == "" {
		j.Mount = "work"
	}
	if len(j.GetWritable()) == 0 && j.GetOutDir() != "" {
		j.Writable = []string{j.GetOutDir()}
	}
	if len(j.GetOutputs()) == 0 && j.GetOutDir() != "" {
		j.Outputs = []*executorv1.Output{
			{Glob: path.Join(j.GetOutDir(), "final_info.json"), Required: true}, {Glob: path.Join(j.GetOutDir(), "**")},
		}
	}
}

// specDigest covers everything but labels.
func specDigest(j *executorv1.Job) (string, error) {
	c := proto.Clone(j).(*executorv1.Job)
	c.Labels = nil
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// validate checks a job by hand: it decides what runs.
func validate(j *executorv1.Job) error {
	bad := func(field, format string, a ...any) error {
		msg := fmt.Sprintf(format, a...)
		return fault.New(fault.Invalid, ReasonField, "job.%s: %s", field, msg).WithField("job."+field, msg)
	}
	if !isJobID(j.GetJobId()) {
		return bad("job_id", "%.80q is not <study>/<idea>/<step> of letters, digits, - and _", j.GetJobId())
	}
	if !poolName.MatchString(j.GetPool()) {
		return bad("pool", "%.40q is not a pool name", j.GetPool())
	}
	if !store.Digest(j.GetSnapshot()).Valid() {
		return bad("snapshot", "%.80q is not a digest", j.GetSnapshot())
	}
	if len(j.GetArgv()) == 0 || len(j.GetArgv()) > 256 || j.GetArgv()[0] == "" {
		return bad("argv", "needs 1 to 256 words")
	}
	for _, a := range j.GetArgv() {
		if strings.ContainsRune(a, 0) {
			return bad("argv", "holds a zero byte")
		}
	}
	for k, v := range j.GetEnv() {
		switch {
		case !envName.MatchString(k) || strings.ContainsRune(v, 0):
			return bad("env", "%.80q is not a variable", k)
		case refusedEnv[k] || strings.HasPrefix(k, "NVIDIA_") || strings.HasPrefix(k, "LD_"):
			return bad("env", "%s may not be set by a job", k)
		}
	}
	for _, m := range j.GetEnvironment().GetModules() {
		if !moduleName.MatchString(m) {
			return bad("environment.modules", "%.80q is not the name of a module", m)
		}
	}
	if r := j.GetEnvironment().GetRequirements(); r != "" && !store.Digest(r).Valid() {
		return bad("environment.requirements", "%.80q is not a digest", r)
	}
	switch j.GetMinIsolation() {
	case "", "strict", "landlock", "none":
	default:
		return bad("min_isolation", "%.40q is not a level that this version has", j.GetMinIsolation())
	}
	switch n := j.GetGpu().GetCount(); {
	case n > 64:
		return bad("gpu.count", "%d is more than 64", n)
	case n > 0 && j.GetPool() != poolGPU:
		return bad("pool", "%q has no GPUs: they are in pool %q", j.GetPool(), poolGPU)
	}
	if w := j.GetLimits().GetWall(); w != nil && (w.CheckValid() != nil || w.AsDuration() < 0) {
		return bad("limits.wall", "is not a time that can pass")
	}
	if e := j.GetEnvironment().GetInterpreter(); e != "" && (!path.IsAbs(e) || path.Clean(e) != e || strings.ContainsRune(e, 0)) {
		return bad("environment.interpreter", "%.80q is not a clean absolute path", e)
	}
	return validatePaths(j, bad)
}

func validatePaths(j *executorv1.Job, bad func(string, string, ...any) error) error {
	paths := map[string][]string{"mount": {j.GetMount()}}
	if j.GetOutDir() != "" {
		paths["out_dir"] = []string{j.GetOutDir()}
	}
	for _, w := range j.GetWritable() {
		if w != "." {
			paths["writable"] = append(paths["writable"], w)
		}
	}
	if reserved[strings.Split(j.GetMount(), "/")[0]] {
		return bad("mount", "%.80q is not free: the sandbox has bin, data and environment there", j.GetMount())
	}
	for field, n := range map[string]int{"data": len(j.GetData()), "writable": len(j.GetWritable())} {
		if n > maxMounts {
			return bad(field, "has %d paths, allowed are %d", n, maxMounts)
		}
	}
	for field, n := range map[string]int{"outputs": len(j.GetOutputs()), "protected": len(j.GetProtected())} {
		if n > maxGlobs {
			return bad(field, "has %d globs, allowed are %d", n, maxGlobs)
		}
	}
	for i, d := range j.GetData() {
		for k, other := range j.GetData() {
			if i != k && (d.GetPath() == other.GetPath() || strings.HasPrefix(d.GetPath(), other.GetPath()+"/")) {
				return bad("data", "%.80q is hidden by or hides %.80q", d.GetPath(), other.GetPath())
			}
		}
		paths["data"] = append(paths["data"], d.GetPath())
		if !store.Digest(d.GetDigest()).Valid() {
			return bad("data", "%.80q is not a digest", d.GetDigest())
		}
	}
	for field, list := range paths {
		for _, p := range list {
			if err := store.CheckPath(p); err != nil {
				return fault.Wrap(err, fault.Invalid, ReasonPath, "job.%s: %.80q is not a clean relative path", field, p).
					WithField("job."+field, "not a clean relative path")
			}
		}
	}
	for _, o := range j.GetOutputs() {
		if err := collect.GlobError(o.GetGlob()); err != nil {
			return bad("outputs", "%v", err)
		}
	}
	for _, g := range j.GetProtected() {
		if err := collect.GlobError(g); err != nil {
			return bad("protected", "%v", err)
		}
	}
	if j.GetMeasure() && j.GetOutDir() == "" {
		return bad("out_dir", "is needed to measure")
	}
	return nil
}

// Get returns a job, and what it waits for.
func (s *Service) Get(ctx context.Context, id string) (*executorv1.JobRecord, error) {
	r, err := s.jobs.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.whole(ctx, r)
}

// Cancel asks that a job end and returns the state it found.
func (s *Service) Cancel(ctx context.Context, id string, force bool) (executorv1.State_Value, error) {
	var found executorv1.State_Value
	r, err := s.jobs.change(ctx, id, func(r *record) (bool, error) {
		found = r.GetState()
		switch {
		case r.ended(), r.GetCancelRequested() && (r.Force || !force):
			return false, nil
		case r.GetState() == executorv1.State_QUEUED:
			r.CancelRequested = true
			r.end(executorv1.EndReason_CANCELLED, "cancelled before it ran")
		default:
			r.CancelRequested, r.Force = true, r.Force || force
		}
		return true, nil
	})
	if err == nil && r.ended() && found != executorv1.State_ENDED {
		if err := s.jobs.tell(ctx, r.JobRecord); err != nil { // whoever gets its message tells it again
			s.log.WarnContext(ctx, "a job's end is not told yet", "job_id", id, "error", err)
		}
		if err := s.jobs.unfetchedOf(ctx, r.GetJob().GetPool()); err != nil { // pruning does it later
			s.log.DebugContext(ctx, "remove messages that nobody fetches", "error", err)
		}
	}
	return found, err
}
