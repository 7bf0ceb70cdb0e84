package llm_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// familyDoor is a door on which a shipped provider of OpenAI's family is the server.
func familyDoor(t *testing.T, provider string, s *llmfault.Server, env map[string]string, change ...func(*llm.Config, *llm.Deps)) *llm.Door {
	t.Helper()
	cfg := llm.Config{Component: "coder", Times: quick()}
	all := map[string]string{"OPENAI_API_KEY": testKey, "AZURE_OPENAI_API_KEY": testKey, "DEEPSEEK_API_KEY": testKey, "OPENROUTER_API_KEY": testKey, "GEMINI_API_KEY": testKey,
		"AZURE_OPENAI_ENDPOINT": strings.TrimSuffix(s.URL, "/v1"), "OLLAMA_HOST": strings.TrimPrefix(s.URL, "http://")}
	for k, v := range env {
		all[k] = v
	}
	if provider != "azure" && provider != "ollama" && provider != "openai-compatible" {
		cfg.ModelsFile = filepath.Join(t.TempDir(), "models.yaml")
		if err := os.WriteFile(cfg.ModelsFile, fmt.Appendf(nil, "version: 1\nproviders: {%s: {base_url: %q}}\n", provider, s.URL), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deps := llm.Deps{Env: func(k string) string { return all[k] }}
	for _, f := range change {
		f(&cfg, &deps)
	}
	d, err := llm.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close the door: %v", err)
		}
	})
	return d
}

// TestDoor_Chat_knows_the_errors_of_each_provider: bodies as the providers' pages and trackers show them.
// https://platform.openai.com/docs/guides/error-codes https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
// https://api-docs.deepseek.com/quick_start/error_codes https://openrouter.ai/docs/api-reference/errors
// https://ai.google.dev/gemini-api/docs/troubleshooting https://docs.ollama.com/api/errors
// https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html https://github.com/ggml-org/llama.cpp/tree/master/tools/server
func TestDoor_Chat_knows_the_errors_of_each_provider(t *testing.T) {
	body := func(status int, body string) llmfault.Play { return llmfault.Play{Status: status, Body: body} }
	stream := llmfault.Stream
	data := func(s string) llmfault.Event { return llmfault.Event{Data: s} }
	for name, tc := range map[string]struct {
		model  string
		play   llmfault.Play
		reason string
		say    string
		calls  int
	}{
		"OpenAI's refused key": {"gpt-4o", body(401, `{"error":{"message":"Incorrect API key provided: `+testKey+`.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`), "KEY_REFUSED",
			"OpenAI refused the key from OPENAI_API_KEY (401)", 1},
		"OpenAI's unknown model": {"gpt-4o", body(404, `{"error":{"message":"The model does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`), "MODEL_UNKNOWN",
			"OpenAI has no model gpt-4o (404)", 1},
		"OpenAI's retired model": {"o1", body(404, `{"error":{"message":"gone","code":"model_not_found"}}`), "MODEL_UNKNOWN", "OpenAI has no model o1 (404); retired 2026-10-23", 1},
		"OpenAI's quota":         {"gpt-4o", body(429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`), "PROVIDER_UNAVAILABLE", "no credit left", 1},
		"OpenAI's rate":          {"gpt-4o", body(429, `{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM)","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`).With("x-ratelimit-remaining-tokens", "0").With("x-ratelimit-reset-tokens", "6m0s"), "PROVIDER_UNAVAILABLE", "asks to wait 6 min", 1},
		"OpenAI's error frame":   {"gpt-4o", stream(llmfault.Chunk("he"), data(`{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`)), "PROVIDER_UNAVAILABLE", "OpenAI fails", 5},
		"OpenAI's window": {"gpt-4o", body(400, `{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 215000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`), "CONTEXT_TOO_LONG",
			"The prompt of experiments/run-1/implement has about 215,000 tokens; openai/gpt-4o takes 128,000.", 1},
		"Azure's refused key":       {"azure/gpt-4o", body(401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`), "KEY_REFUSED", "Azure OpenAI refused the key from AZURE_OPENAI_API_KEY (401)", 1},
		"Azure's deployment":        {"azure/mine", body(404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`), "MODEL_UNKNOWN", "Azure OpenAI has no model mine (404)", 1},
		"Azure's filter":            {"azure/gpt-4o", body(400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`), "LLM_REFUSED", "azure/gpt-4o refused plan", 1},
		"Azure's rate":              {"azure/gpt-4o", body(429, `{"error":{"code":"429","message":"Requests have exceeded token rate limit of your current OpenAI S0 pricing tier."}}`).With("retry-after-ms", "1"), "PROVIDER_UNAVAILABLE", "Azure OpenAI keeps limiting this key", 5},
		"DeepSeek's balance":        {"deepseek-chat", body(402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`), "PROVIDER_UNAVAILABLE", "DeepSeek says this account has no credit left", 1},
		"DeepSeek's load":           {"deepseek-chat", body(503, `{"error":{"message":"Service is too busy"}}`), "PROVIDER_UNAVAILABLE", "DeepSeek is overloaded (503, 5 tries)", 5},
		"DeepSeek's parameters":     {"deepseek-chat", body(422, `{"error":{"message":"Invalid messages order","type":"invalid_request_error"}}`), "PROVIDER_REJECTED", "DeepSeek rejected the request (422: Invalid messages order)", 1},
		"OpenRouter's credits":      {"llama3.1-405b", body(402, `{"error":{"code":402,"message":"Insufficient credits"}}`), "PROVIDER_UNAVAILABLE", "OpenRouter says this account has no credit left", 1},
		"OpenRouter's 200":          {"llama3.1-405b", body(0, `{"error":{"code":502,"message":"Provider returned error","metadata":{"provider_name":"X"}}}`), "PROVIDER_UNAVAILABLE", "OpenRouter fails (502, 5 tries: Provider returned error)", 5},
		"OpenRouter's frame":        {"llama3.1-405b", stream(llmfault.Event{Raw: ": OPENROUTER PROCESSING\n\n"}, data(`{"id":"gen-1","error":{"code":"server_error","message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`)), "PROVIDER_UNAVAILABLE", "Provider disconnected", 5},
		"OpenRouter's moderation":   {"llama3.1-405b", body(403, `{"error":{"code":403,"message":"meta-llama requires moderation on X. Your input was flagged","metadata":{"reasons":["violence"]}}}`), "LLM_REFUSED", "refused plan", 1},
		"Gemini's refused key":      {"gemini-2.5-pro", body(400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]`), "KEY_REFUSED", "Gemini refused the key from GEMINI_API_KEY (400)", 1},
		"Gemini's quota":            {"gemini-2.5-pro", body(429, `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"400s"}]}}]`), "PROVIDER_UNAVAILABLE", "Gemini limits this key and asks to wait 7 min", 1},
		"Gemini's unknown model":    {"gemini-2.5-pro", body(404, `[{"error":{"code":404,"message":"models/x is not found for API version v1main","status":"NOT_FOUND"}}]`), "MODEL_UNKNOWN", "Gemini has no model gemini-2.5-pro (404)", 1},
		"Ollama's unknown model":    {"ollama/qwen9", body(404, `{"error":{"message":"model \"qwen9\" not found, try pulling it first","type":"api_error","param":null,"code":null}}`), "MODEL_UNKNOWN", "Ollama has no model qwen9 (404)", 1},
		"vLLM's window":             {"openai-compatible/m@", body(400, `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4800 in the messages, 200 in the completion).","type":"BadRequestError","param":null,"code":400}`), "CONTEXT_TOO_LONG", "has about 4,800 tokens", 1},
		"vLLM's unknown model":      {"openai-compatible/m@", body(404, "{\"object\":\"error\",\"message\":\"The model `m` does not exist.\",\"type\":\"NotFoundError\",\"param\":null,\"code\":404}"), "MODEL_UNKNOWN", "has no model m (404)", 1},
		"llama.cpp's window":        {"openai-compatible/m@", body(400, `{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}`), "CONTEXT_TOO_LONG", "has about 5,000 tokens", 1},
		"llama.cpp while loading":   {"openai-compatible/m@", body(503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`), "PROVIDER_UNAVAILABLE", "is overloaded (503, 5 tries)", 5},
		"a server that wants a key": {"openai-compatible/m@", body(401, `{"detail":"Unauthorized"}`), "KEY_REFUSED", "wants a key (401: Unauthorized)", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := llmfault.New(t, tc.play)
			provider, _, _ := strings.Cut(tc.model, "/")
			r := ask("Say.")
			r.Model = tc.model
			if strings.HasSuffix(tc.model, "@") {
				r.Model += s.URL
			}
			logs := &strings.Builder{}
			d := familyDoor(t, providerOf(provider), s, nil, withLog(logs))
			rep, err := d.Chat(t.Context(), r)
			reason, sentence := fault.ReasonOf(err), fmt.Sprint(err)
			if err == nil {
				reason, sentence, _ = rep.Outcome(r.Origin)
			}
			if reason != tc.reason || !strings.Contains(sentence, tc.say) || s.Count() != tc.calls {
				t.Errorf("got %s %q after %d calls\nwant %s %q after %d", reason, sentence, s.Count(), tc.reason, tc.say, tc.calls)
			}
			if strings.Contains(sentence+logs.String(), testKey) {
				t.Errorf("the key shows: %s\n%s", sentence, logs)
			}
		})
	}
}

func providerOf(name string) string {
	switch name {
	case "gpt-4o", "o1":
		return "openai"
	case "deepseek-chat":
		return "deepseek"
	case "llama3.1-405b":
		return "openrouter"
	case "gemini-2.5-pro":
		return "gemini"
	}
	return name
}

func TestDoor_Chat_reaches_Azure_at_both_of_its_addresses(t *testing.T) {
	for name, tc := range map[string]struct {
		suffix, version string
		path, query     string
	}{
		"as v1":                         {"", "", "/openai/v1/chat/completions", ""},
		"as v1 with a slash":            {"/", "", "/openai/v1/chat/completions", ""},
		"with the path of v1":           {"/openai/v1/", "", "/openai/v1/chat/completions", ""},
		"by a version":                  {"", "2024-10-21", "/openai/deployments/my-gpt/chat/completions", "api-version=2024-10-21"},
		"by a version, from the portal": {"/openai/deployments/x/chat/completions?api-version=old", "2024-10-21", "/openai/deployments/my-gpt/chat/completions", "api-version=2024-10-21"},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, llmfault.Answer("ok"))
			d := familyDoor(t, "azure", s, map[string]string{"AZURE_OPENAI_ENDPOINT": strings.TrimSuffix(s.URL, "/v1") + tc.suffix, "AZURE_OPENAI_API_VERSION": tc.version})
			r := ask("Say.")
			r.Model = "azure/my-gpt"
			if _, err := d.Chat(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			got := s.Requests()[0]
			if got.Path != tc.path || got.Query != tc.query || got.Header.Get("Api-Key") != testKey || got.Header.Get("Authorization") != "" || got.Body["model"] != "my-gpt" {
				t.Errorf("got %s?%s with %v", got.Path, got.Query, got.Header)
			}
		})
	}
}

func TestDoor_Chat_takes_the_cost_that_OpenRouter_tells(t *testing.T) {
	s := llmfault.New(t, llmfault.Stream(llmfault.Chunk("ok"), llmfault.Finish("stop"),
		llmfault.Event{Data: `{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"cost":0.00042}}`}, llmfault.Done()))
	r := ask("Say.")
	r.Model = "llama3.1-405b"
	rep, err := familyDoor(t, "openrouter", s, nil).Chat(t.Context(), r)
	if err != nil || rep.Cost != 420_000_000 || rep.Unpriced {
		t.Errorf("got %+v, %v", rep, err)
	}
	if usage, _ := s.Requests()[0].Body["usage"].(map[string]any); usage["include"] != true {
		t.Errorf("sent %v", s.Requests()[0].Body)
	}
}

func TestDoor_Chat_learns_how_much_output_a_model_allows(t *testing.T) {
	for name, text := range map[string]string{
		"OpenAI":   "max_tokens is too large: 200. This model supports at most 64 completion tokens, whereas you provided 200.",
		"Claude":   "max_tokens: 200 > 64, which is the maximum allowed number of output tokens for claude-x",
		"DeepSeek": "Invalid max_tokens value, the valid range of max_tokens is [1, 64]",
		"Bedrock":  "The maximum tokens you requested exceeds the model limit of 64. Try again with a lower value.",
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, llmfault.Param("max_tokens", text), llmfault.Answer("ok"))
			d := lab(t, s)
			for _, call := range []string{"first", "next"} {
				r := ask("Say.")
				r.Origin.Call = call
				if _, err := d.Chat(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.Requests(); len(got) != 3 || got[1].Body["max_tokens"] != 64.0 || got[2].Body["max_tokens"] != 64.0 {
				t.Errorf("%d requests, the last with %v", len(got), got[len(got)-1].Body["max_tokens"])
			}
		})
	}
}
