package executor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/durationpb"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/gpu"
)

// encoder writes attributes in their order.
type encoder struct{}

func (encoder) ID() attribute.EncoderID { return attribute.NewEncoderID() }

func (encoder) Encode(it attribute.Iterator) string {
	var all []string
	for it.Next() {
		kv := it.Attribute()
		all = append(all, string(kv.Key)+"="+kv.Value.String())
	}
	return "{" + strings.Join(all, ",") + "}"
}

// read gives each metric's points as text.
func read(t *testing.T, r *sdkmetric.ManualReader) map[string]string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					out[m.Name+p.Attributes.Encoded(encoder{})] = fmt.Sprint(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					out[m.Name+p.Attributes.Encoded(encoder{})] = fmt.Sprint(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					out[m.Name+p.Attributes.Encoded(encoder{})] = fmt.Sprintf("%d: %g", p.Count, p.Sum)
				}
			}
		}
	}
	return out
}

func TestMetrics_TellOfSlotsAndJobs(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	m, err := newMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	s := newSlots(3, []gpu.Device{{UUID: "GPU-a"}, {UUID: "GPU-b"}})
	stop, err := m.observe(s)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	x, err := s.take(t.Context(), "cpu")
	if err != nil {
		t.Fatal(err)
	}
	s.assign([]*slot{x}, "a/b/c")
	s.mark(s.gpus()["GPU-b"], slotLeaked, "", nil, time.Time{})
	m.ended(t.Context(), "cpu", &executorv1.JobResult{
		EndReason: executorv1.EndReason_TIMEOUT, Wall: durationpb.New(3 * time.Second), QueueWait: durationpb.New(2 * time.Second),
		Stdout: &executorv1.LogDigest{DroppedBytes: 5}, Stderr: &executorv1.LogDigest{DroppedBytes: 6},
	})
	m.lost(t.Context(), endSuperseded)
	m.lost(t.Context(), endGPUFault)
	got := read(t, reader)
	for name, want := range map[string]string{
		"nullius_executor_slots{kind=cpu,state=FREE}":                    "2",
		"nullius_executor_slots{kind=cpu,state=BUSY}":                    "1",
		"nullius_executor_slots{kind=gpu,state=FREE}":                    "1",
		"nullius_executor_slots{kind=gpu,state=LEAKED}":                  "1",
		"nullius_executor_jobs_ended_total{pool=cpu,reason=TIMEOUT}":     "1",
		"nullius_executor_run_seconds{pool=cpu,reason=TIMEOUT}":          "1: 3",
		"nullius_executor_queue_wait_seconds{pool=cpu}":                  "1: 2",
		"nullius_executor_log_dropped_bytes_total{}":                     "11",
		"nullius_executor_leases_lost_total{}":                           "1",
		"nullius_executor_attempts_without_result_total{end=GPU_FAULT}":  "1",
		"nullius_executor_attempts_without_result_total{end=SUPERSEDED}": "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q; all: %v", name, got[name], want, got)
		}
	}
}
