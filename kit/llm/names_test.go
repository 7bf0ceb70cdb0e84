package llm_test

import (
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

func plainDoor(t *testing.T, env map[string]string) *llm.Door {
	t.Helper()
	d, err := llm.New(llm.Config{}, llm.Deps{Env: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDoor_Model_resolves_every_name(t *testing.T) {
	d := plainDoor(t, map[string]string{"AZURE_OPENAI_ENDPOINT": "https://lab.example/"})
	same := func(provider string, names ...string) map[string]string {
		m := map[string]string{}
		for _, n := range names {
			m[n] = provider + "/" + n
		}
		return m
	}
	for _, table := range []map[string]string{
		same("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "gpt-4.1", "gpt-4.1-mini",
			"gpt-4.1-nano", "gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14", "gpt-4.1-nano-2025-04-14", "o1", "o1-2024-12-17",
			"o1-preview-2024-09-12", "o1-mini", "o1-mini-2024-09-12", "o3-mini", "o3-mini-2025-01-31"),
		same("anthropic", "claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022"),
		{
			"bedrock/anthropic.claude-3-sonnet-20240229-v1:0":   "bedrock/anthropic.claude-3-sonnet-20240229-v1:0",
			"bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0": "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
			"bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0": "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0",
			"bedrock/anthropic.claude-3-haiku-20240307-v1:0":    "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
			"bedrock/anthropic.claude-3-opus-20240229-v1:0":     "bedrock/anthropic.claude-3-opus-20240229-v1:0",
			"vertex_ai/claude-3-opus@20240229":                  "vertex/claude-3-opus@20240229",
			"vertex_ai/claude-3-5-sonnet@20240620":              "vertex/claude-3-5-sonnet@20240620",
			"vertex_ai/claude-3-5-sonnet-v2@20241022":           "vertex/claude-3-5-sonnet-v2@20241022",
			"vertex_ai/claude-3-sonnet@20240229":                "vertex/claude-3-sonnet@20240229",
			"vertex_ai/claude-3-haiku@20240307":                 "vertex/claude-3-haiku@20240307",
		},
		same("deepseek", "deepseek-chat", "deepseek-coder", "deepseek-reasoner"),
		same("gemini", "gemini-1.5-flash", "gemini-1.5-pro", "gemini-2.0-flash", "gemini-2.0-flash-lite",
			"gemini-2.0-flash-thinking-exp-01-21", "gemini-2.5-pro-preview-03-25", "gemini-2.5-pro-exp-03-25"),
		{
			"llama3.1-405b":                                      "openrouter/meta-llama/llama-3.1-405b-instruct",
			"llama-3-1-405b-instruct":                            "openrouter/meta-llama/llama-3.1-405b-instruct",
			"meta-llama/llama-3.1-405b-instruct":                 "openrouter/meta-llama/llama-3.1-405b-instruct",
			"openai/gpt-5.1":                                     "openai/gpt-5.1",
			"openrouter/anthropic/claude-opus-5":                 "openrouter/anthropic/claude-opus-5",
			"ollama/qwen3:8b":                                    "ollama/qwen3:8b",
			"azure/my-deployment":                                "azure/my-deployment",
			"recording/" + strings.Repeat("a", 64):               "recording/" + strings.Repeat("a", 64),
			"openai-compatible/org/name@v2@http://gpu7:8000/v1/": "openai-compatible/org/name@v2@http://gpu7:8000/v1",
		},
	} {
		for name, want := range table {
			m, err := d.Model(name)
			if err != nil || m.Name != want {
				t.Errorf("%s: got %s, %v; want %s", name, m.Name, err, want)
			}
			if !m.Known && m.Provider != "recording" {
				t.Errorf("%s is unknown to the table", name)
			}
		}
	}
}

func TestDoor_Model_refuses_clearly(t *testing.T) {
	d := plainDoor(t, nil)
	for name, say := range map[string]string{
		"gpt4":                "the nearest name is ",
		"":                    "there is no model",
		"opnai/gpt-4o":        "the nearest name is openai/gpt-4o",
		"recording/xyz":       "64 hex digits",
		"openai/":             "want provider/model",
		"openai/a b":          "want provider/model",
		"openai-compatible/m": "want openai-compatible/NAME@URL",
		"openai-compatible/m@http://user:pw@host/v1": "without user",
		"openai-compatible/m@http://host/v1?x=1":     "without user",
		"openai-compatible/@http://host/v1":          "want openai-compatible/NAME@URL",
		"openai-compatible/m@httpx://host":           "not an http",
		"openai/" + strings.Repeat("x", 5000):        "want provider/model",
	} {
		_, err := d.Model(name)
		if fault.ReasonOf(err) != "MODEL_UNKNOWN" || !strings.Contains(err.Error(), say) || fault.NextOf(err) != "nullius models" || len(err.Error()) > 600 {
			t.Errorf("%s: got %v", short(name), err)
		}
	}
}

func TestDoor_Model_knows_limits_and_abilities(t *testing.T) {
	d := plainDoor(t, map[string]string{"OLLAMA_HOST": "box:9"})
	o1, err := d.Model("o1-mini")
	if err != nil || o1.Supports["temperature"] || o1.Supports["system"] || o1.Rename["max_tokens"] != "max_completion_tokens" || o1.Reasoning == 0 {
		t.Errorf("o1-mini: %+v, %v", o1, err)
	}
	gpt, err := d.Model("gpt-4o")
	if err != nil || !gpt.Supports["schema"] || !gpt.Supports["images"] || !gpt.Priced() {
		t.Errorf("gpt-4o: %+v, %v", gpt, err)
	}
	local, err := d.Model("ollama/qwen3")
	if err != nil || !local.Priced() || local.BaseURL != "http://box:9/v1" {
		t.Errorf("ollama: %+v, %v", local, err)
	}
	odd, err := d.Model("openrouter/some/new-model")
	if err != nil || odd.Priced() {
		t.Errorf("openrouter: %+v, %v", odd, err)
	}
}

func TestModel_Cost_is_exact(t *testing.T) {
	d := lab(t, llmfault.New(t, llmfault.Answer("ok")))
	m, err := d.Model("lab/m-1")
	if err != nil {
		t.Fatal(err)
	}
	pico, asOf, ok := m.Cost(llm.Usage{Input: 812, CacheRead: 100, Output: 240}, time.Now())
	if !ok || asOf != "2026-01-01" || pico != 812*2_500_000+100*1_250_000+240*10_000_000 {
		t.Errorf("got %d, %s, %v", pico, asOf, ok)
	}
}

func TestDollars(t *testing.T) {
	for pico, want := range map[int64]string{
		0: "$0", 10e12: "$10", 400e9: "$0.40", 1_200_000_000: "$0.0012", 81_000_000: "$0.000081", 1: "$0.000000000001", 1_000_000_000: "$0.001", 9_999_000_000: "$0.01", 9.999e12: "$10.00", 1_005_000_000_000: "$1.01", -1e12: "-$1",
	} {
		if got := llm.Dollars(pico); got != want {
			t.Errorf("%d: got %s, want %s", pico, got, want)
		}
	}
}
