package coder_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"nullius.dev/kit/llm/llmtest"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	"nullius.dev/services/coder"
)

// points gives each point of the counters as "name{attributes} value", sorted.
func points(t *testing.T, r *sdkmetric.ManualReader) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			d, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				t.Errorf("%s is no counter", m.Name)
			}
			for _, p := range d.DataPoints {
				var by []string
				for _, kv := range p.Attributes.ToSlice() {
					by = append(by, string(kv.Key)+"="+label(kv))
				}
				out[fmt.Sprintf("%s{%s} %d", strings.TrimPrefix(m.Name, "nullius_coder_"), strings.Join(by, ","), p.Value)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(out))
}

func label(kv attribute.KeyValue) string { return kv.Value.String() }

// The counters say what the reports of three instructions say: one that needs a retry and a name's correction, one cut off, one that ends without a change.
func TestService_Counts(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	run := func(prefill bool, replies ...string) *coderv1.Edited {
		l := newLabWith(t, always(replies...), func(s *llmtest.Script) coder.Deps {
			return coder.Deps{Models: door{s, prefill, false}, Meter: meter}
		})
		return l.implement(t)
	}
	wrong := strings.Replace(goodEdit, "RATE = 0.1", "SPEED = 9", 1)
	outcomes := []coderv1.Edited_Outcome{
		run(false, wrong, strings.Replace(goodEdit, "experiment.py", "Experiment.py", 1)).GetOutcome(),
		run(true, "!length "+cutHead, cutTail).GetOutcome(),
		run(false, "I would double it.").GetOutcome(),
	}
	if !slices.Equal(outcomes, []coderv1.Edited_Outcome{coderv1.Edited_CHANGED, coderv1.Edited_CHANGED, coderv1.Edited_NO_CHANGE}) {
		t.Fatal(outcomes)
	}
	got := points(t, reader)
	for _, want := range []string{
		"instructions_total{first_reply=false,kind=run,outcome=changed} 1", "instructions_total{first_reply=true,kind=run,outcome=changed} 1",
		"instructions_total{first_reply=false,kind=run,outcome=no change} 1",
		"retries_total{why=format} 1", "retries_total{why=cut_off} 1", "retries_total{why=empty} 2",
		"rungs_total{rung=L1_exact} 3", "corrections_total{by=name} 1", "applied_lines_total{} 6", "runs_without_change_total{} 0",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("the counters lack %q:\n%s", want, strings.Join(got, "\n"))
		}
	}
}
