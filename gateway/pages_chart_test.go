package gateway

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// measuredRun is a run with one value; a negative error is an unknown one.
func measuredRun(n int32, value, stdErr float64) *recordv1.Run {
	m := &recordv1.Measurement{Dataset: "d", Metric: "loss", Value: value}
	if stdErr >= 0 {
		m.StandardError = proto.Float64(stdErr)
	}
	return &recordv1.Run{Number: n, Label: "label", Outcome: recordv1.Run_Outcome_SUCCEEDED, Measurements: []*recordv1.Measurement{m}}
}

var loss = &recordv1.Metric{Name: "loss", Direction: recordv1.Direction_MINIMIZE}

func TestAChartComparesRunsWithTheBaseline(t *testing.T) {
	cs := chartsOf(loss, []*recordv1.Run{measuredRun(0, 2, 0.5), measuredRun(1, 1, 0.1), measuredRun(2, 3, -1)})
	if len(cs) != 1 {
		t.Fatalf("%d charts", len(cs))
	}
	c := cs[0]
	if c.Band == nil || c.Band.W == "" || len(c.Points) != 3 || len(c.Ticks) < 3 || len(c.Ticks) > 8 {
		t.Fatalf("got %+v", c)
	}
	if !c.Points[1].Best || c.Points[0].Best || c.Points[2].Best || c.Points[1].From == "" || c.Points[2].From != "" {
		t.Errorf("points %+v", c.Points)
	}
	for _, want := range []string{"lower is better", "run_1 with 1.00\u00a0±\u00a00.10", "baseline has 2.00\u00a0±\u00a00.50", "where it is known"} {
		if !strings.Contains(c.Caption, want) {
			t.Errorf("caption %q lacks %q", c.Caption, want)
		}
	}
}

func TestWhatCannotBeDrawnHonestlyIsNotDrawn(t *testing.T) {
	for name, runs := range map[string][]*recordv1.Run{
		"nothing":            nil,
		"one run":            {measuredRun(0, 1, 1)},
		"a span of infinity": {measuredRun(0, -math.MaxFloat64, 0), measuredRun(1, math.MaxFloat64, 0)},
		"not a number":       {measuredRun(0, math.NaN(), 0), measuredRun(1, 1, 0)},
		"an infinite error":  {measuredRun(0, 1, math.Inf(1)), measuredRun(1, 2, 0)},
		"failed runs":        {{Outcome: recordv1.Run_Outcome_FAILED, Measurements: measuredRun(0, 1, 0).Measurements}, {Number: 1}},
	} {
		if cs := chartsOf(loss, runs); len(cs) != 0 {
			t.Errorf("%s: %+v", name, cs)
		}
	}
	if cs := chartsOf(nil, []*recordv1.Run{measuredRun(0, 1, 0), measuredRun(1, 1, 0)}); cs != nil {
		t.Errorf("no metric: %+v", cs)
	}
	if cs := chartsOf(loss, []*recordv1.Run{measuredRun(0, 1, 0), measuredRun(1, 1, 0)}); len(cs) != 1 || len(cs[0].Ticks) == 0 {
		t.Errorf("equal values: %+v", cs)
	}
}

func TestValuesAreRoundedByTheirErrors(t *testing.T) {
	for want, r := range map[string]*recordv1.Run{
		"17.80\u00a0±\u00a00.23": measuredRun(0, 17.8, 0.2299),
		"−0.13\u00a0±\u00a00.34": measuredRun(0, -0.1333, 0.339),
		"1.235":                  measuredRun(0, 1.23456, -1),
		"5\u00a0±\u00a00":        measuredRun(0, 5, 0),
		"1e+10\u00a0±\u00a00.5":  measuredRun(0, 1e10, 0.5),
	} {
		if got := plusMinus(r.GetMeasurements()[0]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// drawer is a sandbox in which pdftoppm writes what it is told to.
type drawer struct {
	out  []byte
	res  sandbox.Result
	runs int
}

func (d *drawer) Run(_ context.Context, s sandbox.Spec) (sandbox.Result, error) {
	d.runs++
	_, err := s.Stdout.Write(d.out)
	return d.res, err
}

func picture(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAPageIsDrawnOnceAndOnlyAsAPNG(t *testing.T) {
	blobs := kittest.Blobs(t)
	tree, err := store.Edit(t.Context(), blobs, "", map[string][]byte{"p.pdf": []byte("%PDF-1.5")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &gatewayv1.PaperView{PdfPath: "p.pdf", Pages: 2, Snapshot: string(tree)}
	good := &drawer{out: picture(t, 9)}
	g := newPageImages(good, blobs)
	for range 2 {
		if b, err := g.get(t.Context(), v, 1); err != nil || !bytes.Equal(b, good.out) {
			t.Fatalf("%v, %d bytes", err, len(b))
		}
	}
	if good.runs != 1 {
		t.Errorf("drawn %d times", good.runs)
	}
	for name, d := range map[string]*drawer{
		"a script":   {out: []byte("<script>alert(1)</script>")},
		"too large":  {out: picture(t, maxPagePixels+2)},
		"a failure":  {out: good.out, res: sandbox.Result{ExitCode: 1}},
		"a time-out": {out: good.out, res: sandbox.Result{End: sandbox.TimedOut}},
	} {
		if _, err := newPageImages(d, blobs).get(t.Context(), v, 1); fault.ReasonOf(err) != "PDF_UNREADABLE" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newPageImages(nil, blobs).get(t.Context(), v, 1); fault.ReasonOf(err) != "FILE_UNKNOWN" {
		t.Errorf("without a sandbox: %v", err)
	}
}
