package llm_test

import (
	"slices"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

func TestDoor_span_tells_of_the_call(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	s := llmfault.New(t, llmfault.Error(500, "", "oops"), llmfault.Answer("hello"))
	d := lab(t, s, func(_ *llm.Config, d *llm.Deps) { d.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)) })
	r := ask("Say.")
	r.Prompt = "implement v3"
	if _, err := d.Chat(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 1 || got[0].Name != "chat lab/m-1" || len(got[0].Events) != 2 || got[0].Events[0].Name != "try failed" || got[0].Events[1].Name != "try answered" {
		t.Fatalf("got %+v", got)
	}
	attrs := map[string]string{}
	var keys []string
	for _, a := range got[0].Attributes {
		attrs[string(a.Key)] = a.Value.String()
		keys = append(keys, string(a.Key))
	}
	for k, want := range map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "lab", "gen_ai.request.model": "lab/m-1", "gen_ai.request.max_tokens": "200", "gen_ai.response.id": "chat-1",
		"gen_ai.response.model": "served-1", "gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": "10", "nullius.step": "experiments/run-1/implement", "nullius.call": "plan",
		"nullius.prompt": "implement v3", "nullius.source": "provider", "nullius.tries": "2", "nullius.cost_usd": "0.00035", "server.address": "127.0.0.1",
	} {
		if attrs[k] != want {
			t.Errorf("%s is %q, want %q", k, attrs[k], want)
		}
	}
	if !slices.Contains(keys, "gen_ai.response.time_to_first_chunk") || !slices.Contains(keys, "gen_ai.response.finish_reasons") {
		t.Errorf("got %q", keys)
	}
}
