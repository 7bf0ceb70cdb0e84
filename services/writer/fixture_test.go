package writer_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
	"nullius.dev/services/writer"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

var (
	once   sync.Once
	shared *sandbox.Sandbox
	broken error
)

// box opens one sandbox for all tests of the package.
func box(t testing.TB) sandbox.Runner {
	t.Helper()
	once.Do(func() {
		shared, broken = sandbox.New(context.Background(), sandbox.DefaultConfig(), slog.New(slog.DiscardHandler))
	})
	if broken != nil {
		t.Fatalf("%v (install: sudo apt-get install -y bubblewrap)", broken)
	}
	return shared
}

// chatFunc is a model written as a function.
type chatFunc func(r llm.Request) (llm.Reply, error)

func (f chatFunc) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	if err := ctx.Err(); err != nil {
		return llm.Reply{}, err
	}
	rep, err := f(r)
	if rep.Finish == "" {
		rep.Finish = llm.Stop
	}
	return rep, err
}

// book answers by call name; unknown calls get NONE.
type book struct {
	mu      sync.Mutex
	replies map[string]string
	asked   []llm.Request
}

func (b *book) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, r)
	text, ok := b.replies[r.Origin.Call]
	if !ok {
		text = "NONE"
	}
	return llm.Reply{Text: text, Finish: llm.Stop, Model: r.Model, Usage: llm.Usage{Input: llm.Estimate(r), Output: int64(len(text) / 4)}}, ctx.Err()
}

func (b *book) calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, r := range b.asked {
		out = append(out, r.Origin.Call)
	}
	return out
}

func picture(t testing.TB, w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for x := range w {
		for y := range h {
			img.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(128 + 80*math.Sin(float64(x)/20)), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const experiment = `import argparse
RIDGE = 0.001
N_TRAIN = 100
SEEDS = 10
WIDTHS = [5, 10, 20, 50, 100, 1000]
def fit(x, y, ridge=RIDGE):
    return x
parser = argparse.ArgumentParser()
parser.add_argument("--out_dir", default="run_0")
`

type fixture struct {
	blobs    store.Blobs
	snapshot store.Digest
	record   *writerv1.Record
}

func template(t testing.TB) string {
	data, err := os.ReadFile("testdata/template.tex")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newFixture(t testing.TB, change func(files map[string][]byte)) fixture {
	t.Helper()
	f := fixture{blobs: kittest.Blobs(t)}
	files := map[string][]byte{
		"experiment.py": []byte(experiment), "plot.py": []byte("pass\n"), "notes.txt": []byte("# Notes\nRun 1 helped.\n"),
		"latex/template.tex": []byte(template(t)), "test_error.png": picture(t, 640, 320), "threshold.png": picture(t, 480, 320),
	}
	if change != nil {
		change(files)
	}
	var err error
	if f.snapshot, err = store.Edit(t.Context(), f.blobs, "", files, nil); err != nil {
		t.Fatal(err)
	}
	f.record = &writerv1.Record{
		Idea: &recordv1.Idea{Name: "ridge_peak", Title: "A tiny ridge removes the peak", Hypothesis: "Regularisation removes the error peak at p = n.",
			Experiment: "Change fit() to use ridge regression and early stopping on noise_0.3.", PrimaryMetric: &recordv1.Metric{Dataset: "noise_0.3", Name: "log10_mse_threshold",
				Direction: recordv1.Direction_MINIMIZE, Label: "log error at threshold"}},
		Metrics:  []*recordv1.Metric{{Name: "mse_widest", Direction: recordv1.Direction_MINIMIZE}, {Name: "mse_narrow", Direction: recordv1.Direction_MINIMIZE}},
		Figures:  []*recordv1.Figure{{Path: "test_error.png", Description: "Test error against width for every run."}, {Path: "threshold.png", Description: "Error at the threshold."}},
		Template: "double_descent", Created: timestamppb.New(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)), TraceId: "4bf92f3577b34da6a3ce929d0e0e4736",
		TaskDescription: "Study double descent.", PairedSeeds: true,
	}
	values := [][]float64{{2.21, 0.58, 0.339, 0.019, 0.509, 0.019}, {0.15, 0.03, 0.331, 0.018, 0.505, 0.019}, {-0.51, 0.02, 0.230, 0.012, 0.325, 0.013}, nil, {1.92, 0.31, 0.224, 0.011, 0.326, 0.012}}
	labels := []string{"minimum norm", "ridge 0.001", "ridge 0.1", "mean of draws", "tanh features"}
	for i, v := range values {
		run := &recordv1.Run{Number: int32(i), Label: labels[i], Plan: "use " + labels[i], Outcome: recordv1.Run_Outcome_SUCCEEDED, Snapshot: string(f.snapshot), Tries: 1, CodeDigest: string(f.snapshot)}
		if v == nil {
			run.Outcome, run.Reason, run.Tries = recordv1.Run_Outcome_FAILED, "ValueError: shapes (100,20) and (5,) not aligned", 4
		}
		for k, name := range []string{"log10_mse_threshold", "mse_widest", "mse_narrow"} {
			if v == nil {
				break
			}
			m := &recordv1.Measurement{Dataset: "noise_0.3", Metric: name, Value: v[2*k] + 0.00123, StandardError: &v[2*k+1], N: 10, Size: "lite"}
			for s := range 10 {
				m.PerSeed = append(m.PerSeed, v[2*k]+v[2*k+1]*math.Sin(float64(s+i*3)))
			}
			run.Measurements = append(run.Measurements, m)
		}
		f.record.Runs = append(f.record.Runs, run)
	}
	return f
}

// dial serves a writer over the real gRPC stack.
func dial(t testing.TB, f fixture, models writer.Chatter, lit writer.Literature, sb sandbox.Runner) writerv1.WriterServiceClient {
	return dialWith(t, writer.DefaultConfig(), f, models, lit, sb)
}

func dialWith(t testing.TB, cfg writer.Config, f fixture, models writer.Chatter, lit writer.Literature, sb sandbox.Runner) writerv1.WriterServiceClient {
	t.Helper()
	svc, err := writer.New(cfg, writer.Deps{Log: slog.New(slog.DiscardHandler), Models: models, Blobs: f.blobs, Sandbox: sb, Literature: lit, Temp: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return writerv1.NewWriterServiceClient(kittest.Serve(t, func(r grpc.ServiceRegistrar) { writer.Register(r, svc) }))
}

func write(t testing.TB, c writerv1.WriterServiceClient, f fixture, s *writerv1.Settings) (*writerv1.Paper, error) {
	t.Helper()
	if s == nil {
		s = &writerv1.Settings{}
	}
	s.Model = "openai/gpt-4o"
	stream, err := c.WritePaper(t.Context(), &writerv1.WritePaperRequest{Step: "study-1/idea-1/writing/draft", Snapshot: string(f.snapshot), Record: f.record, Settings: s})
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if r := m.GetResult(); r != nil {
			return r, nil
		}
	}
}

func file(t testing.TB, f fixture, snapshot, path string) string {
	t.Helper()
	data, err := store.ReadFile(t.Context(), f.blobs, store.Digest(snapshot), path, 64<<20)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(data)
}

// keep writes a file for a person to look at, if NULLIUS_KEEP names a folder.
func keep(t testing.TB, name, data string) {
	if dir := os.Getenv("NULLIUS_KEEP"); dir != "" {
		if err := os.WriteFile(dir+"/"+name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func findings(p *writerv1.Paper, openOnly bool) string {
	var b strings.Builder
	for _, f := range p.GetFindings() {
		if !openOnly || f.GetMendedBy() == "" {
			b.WriteString(f.GetId() + " " + f.GetSeverity().String() + " " + f.GetSection() + " " + f.GetText() + " <" + f.GetMendedBy() + ">\n")
		}
	}
	return b.String()
}
