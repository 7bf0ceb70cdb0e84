package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// baselineFlags are those of template baseline.
type baselineFlags struct {
	size  string
	fresh bool // measure though it was measured
	write bool // write what was measured as expected
}

// measured is a baseline with what the run took.
type measured struct {
	run    *recordv1.Run
	memory uint64    // peak, in bytes; 0: unknown
	at     time.Time // zero: now
}

// baselineCommand measures run_0 through the executor and compares it with what template.yaml expects.
func (c *cli) baselineCommand() *cobra.Command {
	f := &baselineFlags{}
	cmd := &cobra.Command{
		Use: "baseline DIR|NAME", Short: "Measure a template's run_0 in the sandbox", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.baseline(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.size, "size", "", "smoke, lite or full (default the template's)")
	cmd.Flags().BoolVar(&f.fresh, "fresh", false, "measure again what was measured already")
	cmd.Flags().BoolVar(&f.write, "write-expected", false, "write the numbers into template.yaml as what is expected at this size")
	return cmd
}

func (c *cli) baseline(ctx context.Context, arg string, f *baselineFlags) error {
	src, err := c.findSource(ctx, arg)
	if err != nil {
		return err
	}
	defer func() { _ = src.remove() }()
	t, findings := template.Load(os.DirFS(src.dir), template.Options{Name: src.name})
	if t == nil {
		return src.refusal(template.Errors(findings))
	}
	if f.write && (!isFolder(arg) || t.Foreign) {
		return usage("--write-expected needs a folder with template.yaml; nullius template init DIR --from %s makes one", shellWord(arg))
	}
	if f.size == "" {
		f.size = t.DefaultSize()
	}
	kept, err := baselinePlace(src.dir, t, f.size)
	if err != nil {
		return err
	}
	b, known := keptBaseline(kept)
	if !known || f.fresh {
		if b, err = c.measureHere(ctx, src, f.size); err != nil {
			return err
		}
		if err := keepBaseline(kept, b); err != nil {
			return err
		}
	}
	if err := c.judgeBaseline(t, f.size, b, f.write); err != nil || !f.write {
		return err
	}
	return c.writeExpected(src.dir, t, f.size, b.run)
}

// baselinePlace is where the baseline of these files, size and pool is kept.
func baselinePlace(dir string, t *template.Template, size string) (string, error) {
	digest, err := template.Digest(os.DirFS(dir))
	return cacheFolder("baselines", digest+"-"+size+"-"+t.PoolFor(size)+".json"), err
}

// measureHere measures on the server at --address, or on one in this process with a data folder that goes away.
func (c *cli) measureHere(ctx context.Context, src source, size string) (*measured, error) {
	if c.dataDir == "" {
		tmp, err := os.MkdirTemp("", "nullius-baseline-*")
		if err != nil {
			return nil, err
		}
		c.dataDir, c.address = tmp, "127.0.0.1:0"
		defer func() { _ = os.RemoveAll(tmp) }()
	}
	var b *measured
	err := c.hosted(ctx, false, func(cl *client, _ bool) (err error) {
		b, err = c.measure(ctx, cl, src, size)
		return err
	})
	return b, err
}

// keptRecord is a baseline on disk.
type keptRecord struct {
	Run    json.RawMessage `json:"run"`
	Memory uint64          `json:"peak_memory_bytes"`
	At     time.Time       `json:"measured"`
}

// keptBaseline reads a baseline that was measured earlier; one that cannot be read is measured again.
func keptBaseline(path string) (*measured, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	var k keptRecord
	b := &measured{run: &recordv1.Run{}}
	if json.Unmarshal(data, &k) != nil || protojson.Unmarshal(k.Run, b.run) != nil {
		return nil, false
	}
	b.memory, b.at = k.Memory, k.At
	return b, true
}

func keepBaseline(path string, b *measured) error {
	run, err := protojson.Marshal(b.run)
	if err != nil {
		return err
	}
	data, err := json.Marshal(keptRecord{Run: run, Memory: b.memory, At: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return unkept(err)
	}
	if err := writeWhole(path, data); err != nil {
		return unkept(err)
	}
	return nil
}

// measure starts a study that stops before its first idea, so nothing is paid for, and gives its run_0.
func (c *cli) measure(ctx context.Context, cl *client, src source, size string) (*measured, error) {
	src = c.besideAdded(ctx, cl, src)
	if _, err := cl.upload(ctx, src); err != nil {
		return nil, err
	}
	st, err := cl.StartStudy(ctx, &gatewayv1.StartStudyRequest{Template: "templates/" + src.name, RequestId: uuid.NewString(), Settings: &gatewayv1.StudySettings{
		Model: "recording/" + strings.Repeat("0", 64), Skip: []string{"ideation"}, Size: size, FreshBaseline: true}})
	if err != nil {
		return nil, err
	}
	r := ref{study: strings.TrimPrefix(st.GetStudy().GetName(), "studies/")}
	var used jobMemory
	if err := c.watch(ctx, cl, r, watchOptions{quiet: true, journal: true, view: &used}); err != nil && !errors.Is(err, errSettled) {
		return nil, err
	}
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
	if err != nil {
		return nil, err
	}
	b := got.GetStudy().GetBaseline()
	if b == nil {
		return nil, fault.New(fault.Precondition, "BASELINE_FAILED", "%s", got.GetStudy().GetMessage()).WithNext("nullius template check " + shellWord(first(src.arg, src.name)))
	}
	return &measured{run: b, memory: used.peak}, nil
}

// jobMemory is a viewer that notes how much memory the jobs of a study took.
type jobMemory struct{ peak uint64 }

func (v *jobMemory) message(m *gatewayv1.WatchStudyResponse) {
	v.peak = max(v.peak, m.GetEvent().GetJournal().GetStepEnded().GetJob().GetPeakMemoryBytes())
}

func (v *jobMemory) lost(time.Time) {}
func (v *jobMemory) back()          {}

// judgeBaseline prints the numbers beside what template.yaml expects at their size, and fails when one is not as expected, unless that is to be rewritten.
func (c *cli) judgeBaseline(t *template.Template, size string, b *measured, rewriting bool) error {
	values := map[string]float64{}
	for _, m := range b.run.GetMeasurements() {
		values[m.GetDataset()+"/"+m.GetMetric()] = m.GetValue()
	}
	err := c.emit(b.run, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "DATASET\tMETRIC\tVALUE\tSTANDARD ERROR\tN\tEXPECTED")
		for _, m := range b.run.GetMeasurements() {
			se, want := "unknown", "not told"
			if m.StandardError != nil {
				se = fmt.Sprintf("%.4g", m.GetStandardError())
			}
			if e, ok := t.Expected[size][m.GetDataset()+"/"+m.GetMetric()]; ok {
				want = e.String()
				if !e.Holds(m.GetValue()) {
					want += ": not so"
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%.6g\t%s\t%d\t%s\n", m.GetDataset(), m.GetMetric(), m.GetValue(), se, m.GetN(), want)
		}
		fmt.Fprintf(w, "took %.2f s", b.run.GetWall().AsDuration().Seconds())
		if b.memory > 0 {
			fmt.Fprintf(w, " and %d MiB", (b.memory+1<<20-1)>>20)
		}
		if !b.at.IsZero() {
			fmt.Fprintf(w, ", measured %s; --fresh measures again", b.at.Format(time.DateTime))
		}
		fmt.Fprintln(w)
	})
	if err != nil || rewriting {
		return err
	}
	return template.Refusal(t.Name, t.CheckExpected(size, values))
}

// writeExpected puts what was measured into template.yaml.
func (c *cli) writeExpected(dir string, t *template.Template, size string, run *recordv1.Run) error {
	expected := map[string]map[string]template.Expected{}
	for s, values := range t.Expected {
		expected[s] = values
	}
	if size == "" {
		return usage("--write-expected needs sizes in template.yaml")
	}
	now := map[string]template.Expected{}
	for _, m := range run.GetMeasurements() {
		if id := m.GetDataset() + "/" + m.GetMetric(); !m.GetNotFinite() {
			now[id] = expected[size][id].Now(m.GetValue())
		}
	}
	expected[size] = now
	path := filepath.Join(dir, "template.yaml")
	settings, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	rewritten := template.SetExpected(settings, expected)
	if bytes.Equal(settings, rewritten) {
		fmt.Fprintf(c.err, "%s expects this already\n", path)
		return nil
	}
	if err := writeWhole(path, rewritten); err != nil {
		return fault.Wrap(err, fault.Precondition, template.ReasonWrite, "%s cannot be written: %v", path, err)
	}
	fmt.Fprintf(c.err, "%s: %d numbers are expected at size %s\n", path, len(now), size)
	return nil
}
