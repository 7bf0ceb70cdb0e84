package executor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
	"syscall"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/services/executor/internal/collect"
	"nullius.dev/services/executor/internal/results"
)

const (
	resultsFile    = "final_info.json"
	maxOutputNames = 200
	maxRecord      = 512 << 10
)

// result says how the program ended, before its files were looked at.
func (a *attempt) result(box sandbox.Result, began time.Time) *executorv1.JobResult {
	res := a.base(began)
	res.ExitCode, res.Signal, res.Forced = int32(box.ExitCode), int32(box.Signal), box.Forced
	res.Level, res.ProbeDigest, res.MemoryWall = box.Level, box.ProbeDigest, box.MemoryWall
	res.Cpu, res.Wall = durationpb.New(box.CPU), durationpb.New(box.Wall)
	res.PeakMemoryBytes = box.PeakMemoryBytes
	res.Io, res.Stalled = ioOf(box.IO), stallsOf(box.Stalled)
	l := box.Limits
	res.Limits = &executorv1.Limits{
		Wall: durationpb.New(l.Wall), MemoryBytes: l.MemoryBytes, DiskBytes: l.DiskBytes, FileBytes: l.FileBytes,
		Processes: uint32(l.Processes), OpenFiles: uint32(l.OpenFiles), Inodes: l.Inodes,
	}
	switch box.End {
	case sandbox.TimedOut:
		res.EndReason, res.Message = executorv1.EndReason_TIMEOUT, fmt.Sprintf("stopped after its time limit of %s", l.Wall)
	case sandbox.OutOfMemory:
		res.EndReason, res.Message = executorv1.EndReason_OOM, fmt.Sprintf("stopped at its memory limit of %d MiB", l.MemoryBytes>>20)
	case sandbox.DiskFull:
		res.EndReason, res.Message = executorv1.EndReason_DISK,
			fmt.Sprintf("stopped at its disk limit of %d MiB or %d files", l.DiskBytes>>20, l.Inodes)
	case sandbox.Cancelled:
		res.EndReason, res.Message = executorv1.EndReason_CANCELLED, "cancelled"
	default:
		res.EndReason, res.Message = executorv1.EndReason_SUCCEEDED, ""
		if box.Signal != 0 || box.ExitCode != 0 {
			res.EndReason, res.Message = executorv1.EndReason_FAILED, a.failure(box)
		}
	}
	return res
}

// failure names the exit and what the program said last.
func (a *attempt) failure(box sandbox.Result) string {
	text := fmt.Sprintf("exit code %d", box.ExitCode)
	if box.Signal != 0 {
		text = fmt.Sprintf("ended by signal %d (%s)", box.Signal, syscall.Signal(box.Signal))
	}
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(a.errs.last(2048), "?")), "\n")
	last := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // nor what turns the direction of a text
			return ' '
		}
		return r
	}, lines[len(lines)-1])
	if len(last) > 200 {
		last = strings.ToValidUTF8(last[:200], "") + "…"
	}
	if strings.TrimSpace(last) != "" {
		text += ": " + strings.TrimSpace(last)
	}
	return text
}

// collect takes the outputs, makes the result's snapshot and reads the
// measurements. Nothing of the job runs any more.
func (a *attempt) collect(ctx context.Context, res *executorv1.JobResult) error {
	blobs := a.n.s.d.Blobs
	base, err := store.LoadManifest(ctx, blobs, store.Digest(a.job.GetSnapshot()))
	if err != nil {
		return err
	}
	taken, err := a.take(ctx)
	if err != nil {
		return err
	}
	a.judgeFiles(res, base, &taken)
	files := map[string]store.File{}
	for _, f := range base {
		if !a.own(f.Path) {
			files[f.Path] = f
		}
	}
	for _, f := range taken.Files {
		files[f.Path] = f
		if len(res.Outputs) < maxOutputNames {
			res.Outputs = append(res.Outputs, &executorv1.CollectedOutput{Path: f.Path, SizeBytes: uint64(f.Size)})
		}
	}
	manifest := make(store.Manifest, 0, len(files))
	for _, f := range files {
		manifest = append(manifest, f)
	}
	snapshot, err := store.PutManifest(ctx, blobs, manifest)
	if err != nil && !errors.Is(err, fault.Invalid) && fault.ReasonOf(err) != "PAYLOAD_TOO_LARGE" {
		return err
	}
	if err != nil {
		// Twins that differ in case only, or too many files: the job's doing, and its files are refused.
		taken.Refused = append(taken.Refused, collect.Refused{Path: a.job.GetOutDir(), Reason: err.Error()})
		taken.Files, res.Outputs, snapshot = nil, nil, store.Digest(a.job.GetSnapshot())
	}
	res.Snapshot = string(snapshot)
	for _, r := range taken.Refused {
		if len(res.Refused) < 50 {
			res.Refused = append(res.Refused, &executorv1.RefusedOutput{Path: r.Path, Reason: r.Reason})
		}
	}
	if res.GetEndReason() == executorv1.EndReason_SUCCEEDED {
		a.demand(res, taken)
	}
	if a.job.GetMeasure() {
		a.measure(ctx, res, taken)
	}
	shrink(res)
	return nil
}

// own holds for files of the run's own folder.
func (a *attempt) own(p string) bool {
	out := a.job.GetOutDir()
	return out != "" && (p == out || strings.HasPrefix(p, out+"/"))
}

func (a *attempt) take(ctx context.Context) (collect.Taken, error) {
	var rules []collect.Rule
	for _, o := range a.job.GetOutputs() {
		limit := o.GetMaxBytes()
		if limit == 0 || limit > a.limits.FileBytes {
			limit = a.limits.FileBytes
		}
		rules = append(rules, collect.Rule{Glob: o.GetGlob(), MaxBytes: limit})
	}
	var all collect.Taken
	seen := map[string]bool{}
	for _, w := range a.job.GetWritable() {
		if a.withinWritable(w) {
			continue
		}
		under := w
		if w == "." {
			under = ""
		}
		t, err := collect.From(ctx, a.n.s.d.Blobs, a.tree(), under, rules, a.limits.DiskBytes)
		if err != nil {
			return collect.Taken{}, err
		}
		for _, f := range t.Files {
			if !seen[f.Path] {
				seen[f.Path] = true
				all.Files = append(all.Files, f)
			}
		}
		all.Refused = append(all.Refused, t.Refused...)
		all.Others = append(all.Others, t.Others...)
	}
	return all, nil
}

// withinWritable tells whether a writable path lies in another one, and is collected with it.
func (a *attempt) withinWritable(p string) bool {
	for _, w := range a.job.GetWritable() {
		if w == "." && p != "." || strings.HasPrefix(p, w+"/") {
			return true
		}
	}
	return false
}

// judgeFiles counts what is dropped and lists protected files that were
// touched. A protected output is not taken.
func (a *attempt) judgeFiles(res *executorv1.JobResult, base store.Manifest, taken *collect.Taken) {
	touched := map[string]bool{}
	kept := taken.Files[:0]
	there := map[string]bool{}
	for _, f := range taken.Files {
		there[f.Path] = true
		if a.protected(f.Path) {
			if old, ok := base.Find(f.Path); !ok || old.Digest != f.Digest {
				touched[f.Path] = true
				taken.Refused = append(taken.Refused, collect.Refused{Path: f.Path, Reason: "the file is protected"})
			}
			continue
		}
		kept = append(kept, f)
	}
	taken.Files = kept
	for _, p := range taken.Others {
		there[p] = true
		old, ok := base.Find(p)
		if ok && !a.own(p) {
			if collect.Same(a.tree(), old) {
				continue
			}
		}
		res.DroppedChanges++
		if a.protected(p) {
			touched[p] = true
		}
	}
	if contains(a.job.GetWritable(), ".") {
		for _, f := range base {
			if there[f.Path] || a.own(f.Path) {
				continue
			}
			res.DroppedChanges++ // it was removed, or is no file any more
			if a.protected(f.Path) {
				touched[f.Path] = true
			}
		}
	}
	for p := range touched {
		res.ProtectedTouched = append(res.ProtectedTouched, p)
	}
	sort.Strings(res.ProtectedTouched)
	if len(res.ProtectedTouched) > 50 {
		res.ProtectedTouched = res.ProtectedTouched[:50]
	}
}

func (a *attempt) protected(p string) bool {
	if a.own(p) {
		return false
	}
	for _, g := range a.job.GetProtected() {
		if collect.Match(g, p) {
			return true
		}
	}
	return false
}

// demand turns a success without its required outputs into OUTPUT.
func (a *attempt) demand(res *executorv1.JobResult, taken collect.Taken) {
	for _, o := range a.job.GetOutputs() {
		if !o.GetRequired() {
			continue
		}
		found := false
		for _, f := range taken.Files {
			found = found || collect.Match(o.GetGlob(), f.Path)
		}
		if found {
			continue
		}
		res.EndReason = executorv1.EndReason_OUTPUT
		res.Message = fmt.Sprintf("the program ended well but wrote no %s", o.GetGlob())
		for _, r := range taken.Refused {
			if collect.Match(o.GetGlob(), r.Path) {
				res.Message = fmt.Sprintf("the output %s was refused: %s", r.Path, r.Reason)
			}
		}
		return
	}
}

// measure reads the run's numbers; without them a success is none.
func (a *attempt) measure(ctx context.Context, res *executorv1.JobResult, taken collect.Taken) {
	fail := func(text string) {
		if res.GetEndReason() == executorv1.EndReason_SUCCEEDED {
			res.EndReason, res.Message = executorv1.EndReason_OUTPUT, text
		}
	}
	name := path.Join(a.job.GetOutDir(), resultsFile)
	for _, f := range taken.Files {
		if f.Path != name {
			continue
		}
		if f.Size > results.MaxBytes {
			fail(fmt.Sprintf("%s has %d bytes, allowed are %d", name, f.Size, results.MaxBytes))
			return
		}
		data, err := store.GetBytes(ctx, a.n.s.d.Blobs, f.Digest, results.MaxBytes)
		if err != nil {
			fail(fmt.Sprintf("%s cannot be read: %v", name, err))
			return
		}
		read, err := results.Parse(data)
		if err != nil {
			fail(err.Error())
			return
		}
		res.RefusedMeasurements = read.Refused
		for _, m := range read.Measurements {
			res.Measurements = append(res.Measurements, &recordv1.Measurement{
				Dataset: m.Dataset, Metric: m.Metric, Value: m.Value, NotFinite: m.NotFinite, StandardError: m.StandardError,
				N: int32(m.N), PerSeed: m.PerSeed, Size: a.job.GetSize(),
			})
		}
		return
	}
	fail(fmt.Sprintf("the program ended well but wrote no %s", name))
}

// shrink keeps a record small enough for the broker: lists of seeds go first.
func shrink(res *executorv1.JobResult) {
	if proto.Size(res) <= maxRecord {
		return
	}
	for _, m := range res.Measurements {
		m.PerSeed = nil
	}
	if proto.Size(res) > maxRecord && len(res.Measurements) > 2000 {
		res.RefusedMeasurements = append(res.RefusedMeasurements, fmt.Sprintf("only 2000 of %d numbers are kept", len(res.Measurements)))
		res.Measurements = res.Measurements[:2000]
	}
}
