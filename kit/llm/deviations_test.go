package llm_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// outcome is a call's reason and sentence, whether it came as a fault or as a reply, and what it counted.
func outcome(t *testing.T, d *llm.Door, r llm.Request) (reason, sentence, next string, rep llm.Reply) {
	t.Helper()
	rep, err := d.Chat(t.Context(), r)
	if err != nil {
		return fault.ReasonOf(err), err.Error(), fault.NextOf(err), rep
	}
	reason, sentence, next = rep.Outcome(r.Origin)
	return reason, sentence, next, rep
}

// TestDoor_Chat_tells_errors_apart_by_their_words: one status means many things, and providers say which in words of their own.
// Limits and money: https://platform.openai.com/docs/guides/rate-limits https://openrouter.ai/docs/api-reference/limits https://docs.x.ai/docs/guides/errors
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
// Windows: https://ai.google.dev/gemini-api/docs/tokens https://docs.mistral.ai/api https://huggingface.co/docs/text-generation-inference/basic_tutorials/launcher
// https://platform.moonshot.ai/docs/api/chat https://help.aliyun.com/zh/model-studio/error-code https://docs.sglang.ai
func TestDoor_Chat_tells_errors_apart_by_their_words(t *testing.T) {
	body := func(status int, body string) llmfault.Play { return llmfault.Play{Status: status, Body: body} }
	said := func(status int, code, message string) llmfault.Play { return llmfault.Error(status, code, message) }
	const (
		rate   = "Lab limits this key and asks to wait "
		credit = "Lab says this account has no credit left; after a top-up the idea goes on"
		long   = "The prompt of experiments/run-1/implement "
	)
	soon := strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)
	for name, tc := range map[string]struct {
		play                   llmfault.Play
		reason, sentence, next string
	}{
		"a limit that advertises billing": {said(429, "rate_limit_exceeded", "Rate limit reached for gpt-4o on requests per min. Limit: 3 / min. Please try again in 6m0s. Visit https://platform.openai.com/account/billing to add a payment method."),
			"PROVIDER_UNAVAILABLE", rate + "6 min", "nullius status"},
		"a limit that advertises credits": {body(429, `{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"`+soon+`"}}}}`),
			"PROVIDER_UNAVAILABLE", rate + "60 min", "nullius status"},
		"a limit in seconds in its sentence": {said(429, "429", "Requests have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 300 seconds."), "PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"a reset in seconds":                 {said(429, "429", "Too many").With("x-ratelimit-remaining-requests", "0").With("x-ratelimit-reset-requests", "300"), "PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"a reset by the draft of the IETF":   {said(429, "", "Too many").With("RateLimit-Remaining", "0").With("RateLimit-Reset", "300"), "PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"a reset as a time":                  {said(429, "", "Too many").With("x-ratelimit-remaining", "0").With("x-ratelimit-reset", strconv.FormatInt(time.Now().Unix()+300, 10)), "PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"Gemini's limit without its details": {body(429, `[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 333.480110667s.","status":"RESOURCE_EXHAUSTED"}}]`), "PROVIDER_UNAVAILABLE", rate + "6 min", "nullius status"},
		"a date by a clock an hour ahead": {said(429, "", "Too many").With("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)).With("Retry-After", time.Now().Add(time.Hour+5*time.Minute).UTC().Format(http.TimeFormat)),
			"PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"milliseconds go before seconds":      {said(429, "", "Too many").With("retry-after-ms", "300000").With("Retry-After", "7"), "PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"a quota that says when to try again": {said(429, "insufficient_quota", "You exceeded your current quota. Please try again in 1s.").With("Retry-After", "1"), "PROVIDER_UNAVAILABLE", credit, "nullius status"},
		"a limit of spending":                 {body(400, `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC."}}`), "PROVIDER_UNAVAILABLE", credit, "nullius status"},
		"an account that is not active":       {said(429, "billing_not_active", "Your account is not active, please check your billing details on our website."), "PROVIDER_UNAVAILABLE", credit, "nullius status"},
		"AWS's quota as a 400":                {body(400, `{"message":"Your request exceeds the service quota for your account"}`).With("x-amzn-errortype", "ServiceQuotaExceededException").With("Retry-After", "300"), "PROVIDER_UNAVAILABLE", rate + "5 min", "nullius status"},
		"more than a minute may have": {said(429, "rate_limit_exceeded", "Request too large for gpt-4o-2024-08-06 (for limit gpt-4o) in organization org-123 on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully."),
			"CONTEXT_TOO_LONG", long + "has about 40,000 tokens; lab/m-1 takes 30,000.", "nullius retry s-1/idea-1"},

		"Gemini's window":    {body(400, `[{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]`), "CONTEXT_TOO_LONG", long + "has about 1,200,000 tokens; lab/m-1 takes 1,048,576.", "nullius retry s-1/idea-1"},
		"xAI's window":       {body(400, `{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 200000 tokens."}`), "CONTEXT_TOO_LONG", long + "has about 200,000 tokens; lab/m-1 takes 131,072.", "nullius retry s-1/idea-1"},
		"Claude's window":    {body(400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 215000 tokens > 200000 maximum"}}`), "CONTEXT_TOO_LONG", long + "has about 215,000 tokens; lab/m-1 takes 200,000.", "nullius retry s-1/idea-1"},
		"Mistral's window":   {body(400, `{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","code":"3051"}`), "CONTEXT_TOO_LONG", long + "has about 40,000 tokens; lab/m-1 takes 32,768.", "nullius retry s-1/idea-1"},
		"SGLang's window":    {said(400, "", "The input (5000 tokens) is longer than the model's context length (4096 tokens)."), "CONTEXT_TOO_LONG", long + "has about 5,000 tokens; lab/m-1 takes 4,096.", "nullius retry s-1/idea-1"},
		"TGI's window":       {said(422, "", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4900 `inputs` tokens and 1000 `max_new_tokens`"), "CONTEXT_TOO_LONG", long + "has about 4,900 tokens; lab/m-1 takes 4,096.", "nullius retry s-1/idea-1"},
		"Moonshot's window":  {said(400, "", "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"), "CONTEXT_TOO_LONG", long + "has about 9,000 tokens; lab/m-1 takes 8,192.", "nullius retry s-1/idea-1"},
		"DashScope's window": {said(400, "invalid_parameter_error", "Range of input length should be [1, 30720]"), "CONTEXT_TOO_LONG", long + "is too long for lab/m-1.", "nullius retry s-1/idea-1"},

		"OpenAI's prompt filter":  {said(400, "invalid_prompt", "Invalid prompt: your prompt was flagged as potentially violating our usage policy."), "LLM_REFUSED", "the provider's filter stopped it", "nullius retry s-1/idea-1"},
		"DeepSeek's filter":       {said(400, "invalid_request_error", "Content Exists Risk"), "LLM_REFUSED", "the provider's filter stopped it", "nullius retry s-1/idea-1"},
		"DashScope's filter":      {said(400, "data_inspection_failed", "Input data may contain inappropriate content."), "LLM_REFUSED", "the provider's filter stopped it", "nullius retry s-1/idea-1"},
		"DeepSeek's unknown name": {said(400, "invalid_request_error", "Model Not Exist"), "MODEL_UNKNOWN", "Lab has no model m-1 (400)", "nullius models"},
		"OpenRouter's":            {body(400, `{"error":{"message":"foo/bar is not a valid model ID","code":400}}`), "MODEL_UNKNOWN", "Lab has no model m-1 (400)", "nullius models"},
		"Mistral's":               {body(400, `{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}`), "MODEL_UNKNOWN", "Lab has no model m-1 (400)", "nullius models"},
		"a 404 of another kind":   {body(404, `{"error":{"message":"No endpoints found matching your data policy.","code":404}}`), "MODEL_UNKNOWN", "Lab has no model m-1 (404); it says: No endpoints found matching your data policy.", "nullius models"},
		"xAI's refused key":       {body(400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xx***yy. You can obtain an API key from https://console.x.ai."}`), "KEY_REFUSED", "Lab refused the key from LAB_API_KEY (400)", "nullius models test lab/m-1"},
		"a parameter by chance":   {said(400, "", "Your usage tier is too low for this"), "PROVIDER_REJECTED", "Lab rejected the request (400: Your usage tier is too low for this)", "nullius models test lab/m-1"},
		"a status of its own":     {said(498, "", "capacity exceeded"), "PROVIDER_REJECTED", "Lab rejected the request (498: capacity exceeded)", "nullius models test lab/m-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := llmfault.New(t, tc.play)
			d := lab(t, s)
			reason, sentence, next, _ := outcome(t, d, ask("Say."))
			if reason != tc.reason || !strings.Contains(sentence, tc.sentence) || next != tc.next || s.Count() != 1 {
				t.Errorf("got %s %q, next %q after %d calls\nwant %s %q, next %q", reason, sentence, next, s.Count(), tc.reason, tc.sentence, tc.next)
			}
			if acc, err := d.Budgets().Read(t.Context(), "s-1"); err != nil || len(acc.Open) > 0 || acc.Used().Pico > 0 {
				t.Errorf("account %+v, %v", acc, err)
			}
		})
	}
}

// TestDoor_Chat_asks_for_the_output_that_fits: where prompt and output together are too many and the prompt alone is not, the request is sent
// again with what is left, and later ones are measured by the window that was told.
func TestDoor_Chat_asks_for_the_output_that_fits(t *testing.T) {
	for name, text := range map[string]string{
		"vLLM":        "'max_tokens' or 'max_completion_tokens' is too large: 200. This model's maximum context length is 4096 tokens and your request has 3700 input tokens (200 > 4096 - 3700).",
		"vLLM of old": "This model's maximum context length is 4096 tokens. However, you requested 4700 tokens (3700 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.",
		"OpenRouter":  "This endpoint's maximum context length is 4096 tokens. However, you requested about 4700 tokens (3700 of text input, 1000 in the output). Please reduce the length of either one.",
		"SGLang":      "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 4700 tokens: 3700 tokens from the input messages and 1000 tokens for the completion.",
		"TGI":         "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3700 `inputs` tokens and 1000 `max_new_tokens`",
		"Claude":      "input length and `max_tokens` exceed context limit: 3700 + 1000 > 4096, decrease input length or `max_tokens` and try again",
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, llmfault.Error(400, "", text), llmfault.Answer("ok"))
			d := lab(t, s)
			r := ask(strings.Repeat("word ", 2800))
			r.MaxTokens = 1000
			if _, _, _, rep := outcome(t, d, r); rep.Text != "ok" {
				t.Fatalf("got %+v", rep)
			}
			r.Origin.Call = "next"
			if _, _, _, rep := outcome(t, d, r); rep.Text != "ok" {
				t.Fatalf("got %+v", rep)
			}
			got := s.Requests()
			if len(got) != 3 || got[0].Body["max_tokens"] != 1000.0 || got[1].Body["max_tokens"] != 396.0 || got[2].Body["max_tokens"].(float64) > 396 {
				t.Errorf("%d requests, asked for %v", len(got), got[len(got)-1].Body["max_tokens"])
			}
		})
	}
	t.Run("a server that does not keep to it", func(t *testing.T) {
		s := llmfault.New(t, llmfault.Error(400, "", "maximum context length is 4096 tokens and your request has 3700 input tokens"))
		reason, sentence, _, _ := outcome(t, lab(t, s), ask("Say."))
		if reason != "CONTEXT_TOO_LONG" || s.Count() != 2 {
			t.Errorf("got %s %q after %d calls", reason, sentence, s.Count())
		}
	})
}

// TestDoor_Chat_knows_every_word_for_the_end: Gemini passes its own reasons on, alone or behind another; DeepSeek, Mistral and vLLM have their own.
func TestDoor_Chat_knows_every_word_for_the_end(t *testing.T) {
	for word, want := range map[string]llm.Finish{
		"STOP": llm.Stop, "eos": llm.Stop, "tool_calls": llm.Stop, "MAX_TOKENS": llm.Length, "model_length": llm.Length, "content_filter: PROHIBITED_CONTENT": llm.Filtered,
		"SAFETY": llm.Filtered, "RECITATION": llm.Filtered, "IMAGE_SAFETY": llm.Filtered, "sensitive": llm.Filtered,
		"insufficient_system_resource": "", "abort": "", "error": "", "network_error": "",
	} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			s := llmfault.New(t, llmfault.Stream(llmfault.Chunk("he"), llmfault.Finish(word), llmfault.Usage(100, 10), llmfault.Done()))
			reason, sentence, _, rep := outcome(t, lab(t, s), ask("Say."))
			if want == "" && (reason != "PROVIDER_UNAVAILABLE" || !strings.Contains(sentence, "broke its stream off, 5 times")) || rep.Finish != want {
				t.Errorf("got %s, %s %q; want %q", rep.Finish, reason, sentence, want)
			}
		})
	}
}

// TestDoor_Chat_reads_bodies_that_are_not_what_they_are_called: gateways put errors, pages and whole replies where a stream was announced.
func TestDoor_Chat_reads_bodies_that_are_not_what_they_are_called(t *testing.T) {
	hello, stop, use, done := llmfault.Chunk("hello"), llmfault.Finish("stop"), llmfault.Usage(100, 10), llmfault.Done()
	lines := func(end string) string {
		var b strings.Builder
		for _, e := range []llmfault.Event{hello, stop, use, done} {
			b.WriteString("data: " + e.Data + end + end)
		}
		return b.String()
	}
	whole := `{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":10}}`
	stream := func(body string) llmfault.Play { return llmfault.Play{Type: "text/event-stream", Body: body} }
	ok := "hello"
	for name, tc := range map[string]struct {
		play     llmfault.Play
		sentence string // or the text
		calls    int
	}{
		"a reply in one piece":          {stream("\n" + whole), ok, 1},
		"an error in one piece":         {stream(`{"error":{"message":"Insufficient credits","code":402}}`), "Lab says this account has no credit left; after a top-up the idea goes on", 1},
		"a page":                        {stream("<html><title>Gateway</title></html>"), "Lab answered with an HTML page: Gateway, 5 times (possibly paid); the idea goes on by itself", 5},
		"an error as it is":             {llmfault.Stream(hello, llmfault.Event{Raw: `{"error":{"message":"Insufficient credits","code":402}}` + "\n"}), "Lab says this account has no credit left; after a top-up the idea goes on", 1},
		"blank lines before a stream":   {llmfault.Play{Body: "\n\n \r\n" + lines("\n")}, ok, 1},
		"carriage returns alone":        {stream(lines("\r")), ok, 1},
		"both ends of lines":            {stream(lines("\r\n")), ok, 1},
		"a mark and carriage returns":   {stream("\xef\xbb\xbf" + lines("\r")), ok, 1},
		"another status of success":     {llmfault.Play{Status: 201, Events: []llmfault.Event{hello, stop, use, done}}, ok, 1},
		"no content":                    {llmfault.Play{Status: 204}, "Lab answered with an empty body, 5 times (possibly paid); the idea goes on by itself", 5},
		"zeros after the usage":         {llmfault.Stream(hello, stop, use, llmfault.Usage(0, 0), done), ok, 1},
		"usage by other names":          {llmfault.Stream(hello, stop, llmfault.Event{Data: `{"choices":[],"usage":{"input_tokens":100,"output_tokens":10}}`}, done), ok, 1},
		"an error that is false":        {llmfault.Stream(llmfault.Event{Data: `{"error":false,"choices":[{"index":0,"delta":{"content":"hello"}}]}`}, stop, use, done), ok, 1},
		"no choices in the first":       {llmfault.Stream(llmfault.Event{Data: `{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}`}, hello, stop, use, done), ok, 1},
		"thought beside the text":       {llmfault.Stream(llmfault.Event{Data: `{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}`}, hello, stop, use, done), ok, 1},
		"a length that is not the body": {llmfault.Play{Type: "text/event-stream", Header: map[string]string{"Content-Length": "99999"}, Body: lines("\n")}, ok, 1},
		"a length that cuts the body":   {llmfault.Play{Header: map[string]string{"Content-Length": "99999"}, Body: whole}, "Lab broke its stream off, 5 times (possibly paid); the idea goes on by itself", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := llmfault.New(t, tc.play)
			_, sentence, _, rep := outcome(t, lab(t, s), ask("Say."))
			if got := sentence + rep.Text; got != tc.sentence || s.Count() != tc.calls {
				t.Errorf("got %q after %d calls, want %q after %d", got, s.Count(), tc.sentence, tc.calls)
			}
			if want := (llm.Usage{Input: 100, Output: 10}); tc.sentence == ok && rep.Usage != want {
				t.Errorf("usage is %+v", rep.Usage)
			}
		})
	}
}

// TestDoor_Chat_reads_Claude_whatever_it_is_called: gateways in front of Claude rename bodies too.
func TestDoor_Chat_reads_Claude_whatever_it_is_called(t *testing.T) {
	body := func(p llmfault.Play) string {
		var b strings.Builder
		for _, e := range p.Events {
			b.WriteString(e.Raw)
		}
		return b.String()
	}
	const stream, json, bytes = "text/event-stream", "application/json", "application/octet-stream"
	events := body(llmfault.Claude(llmfault.ClaudeReply("hello")...))
	whole := `{"id":"m","type":"message","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":100,"output_tokens":10}}`
	bare := strings.ReplaceAll(regexp.MustCompile(`(?m)^event: .*\n`).ReplaceAllString(events, ""), "data: ", "data:")
	for name, tc := range map[string]struct {
		front      int
		kind, body string
		want       string
	}{
		"carriage returns alone":         {0, stream, strings.ReplaceAll(events, "\n", "\r"), "hello"},
		"both ends of lines, and a mark": {0, stream, "\xef\xbb\xbf" + strings.ReplaceAll(events, "\n", "\r\n"), "hello"},
		"no names and no spaces":         {0, stream, bare, "hello"},
		"another type":                   {0, bytes, "\n\n" + events, "hello"},
		"a reply in one piece":           {0, stream, whole, "hello"},
		"and with a mark":                {0, json, "\xef\xbb\xbf" + whole, "hello"},
		"an error in one piece":          {0, stream, llmfault.ClaudeError("rate_limit_error", "slow"), "Anthropic keeps limiting this key; the idea goes on by itself"},
		"an error as it is":              {0, stream, "event: message_start\ndata: " + llmfault.ClaudeStart(7, 0, 0) + "\n\n" + llmfault.ClaudeError("invalid_request_error", "Your credit balance is too low") + "\n", "Anthropic says this account has no credit left; after a top-up the idea goes on"},
		"a page":                         {0, stream, "<html><title>Gateway</title>", "Anthropic answered with an HTML page: Gateway, 2 times (possibly paid); the idea goes on by itself"},
		"frames of another type":         {1, bytes, body(llmfault.Bedrock(llmfault.ClaudeReply("hello")...)), "hello"},
		"frames of no type":              {1, "", body(llmfault.Bedrock(llmfault.ClaudeReply("hello")...)), "hello"},
		"an exception among them":        {1, bytes, body(llmfault.Bedrock(llmfault.ClaudeStart(7, 0, 0)).Exception("validationException", "odd")), "Bedrock rejected the request (400: odd)"},
		"an empty frame among them":      {1, bytes, llmfault.Frame("", ":message-type", "event", ":event-type", "initial-response") + body(llmfault.Bedrock(llmfault.ClaudeReply("hello")...)), "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fronts(t, "http://127.0.0.1:1")[tc.front]
			s := llmfault.New(t, llmfault.Play{Type: tc.kind, Body: tc.body})
			r := ask("Say.")
			r.Model = f.name
			_, sentence, _, rep := outcome(t, claudeDoor(t, s, f.env, func(c *llm.Config, _ *llm.Deps) { c.Times.Tries = 2 }), r)
			if got := sentence + rep.Text; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if want := (llm.Usage{Input: 100, Output: 10}); tc.want == "hello" && rep.Usage != want {
				t.Errorf("usage %+v", rep.Usage)
			}
		})
	}
}

// TestDoor_Chat_helps_where_a_model_is_missing: the address without its version, and a model that Ollama has not fetched.
func TestDoor_Chat_helps_where_a_model_is_missing(t *testing.T) {
	s := llmfault.NewFunc(t, func(r llmfault.Request) llmfault.Play {
		if strings.HasPrefix(r.Path, "/openai/") {
			return llmfault.Play{Status: 404, Body: `{"error":{"code":"404","message":"Resource not found"}}`}
		}
		if !strings.HasPrefix(r.Path, "/v1/") {
			return llmfault.Play{Status: 404, Body: `{"detail":"Not Found"}`}
		}
		return llmfault.Play{Status: 404, Body: `{"error":{"message":"model \"qwen9\" not found, try pulling it first","type":"api_error"}}`}
	})
	host := strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), "/v1")
	for model, want := range map[string]string{
		"openai-compatible/m@http://" + host: host + " has no model m (404); does its address end in /v1 ?",
		"azure/gpt-4o":                       "Azure OpenAI has no model gpt-4o (404); is AZURE_OPENAI_ENDPOINT the address of the resource?",
		"ollama/qwen9":                       "Ollama has no model qwen9 (404); ollama pull qwen9 fetches it",
	} {
		r := ask("Say.")
		r.Model = model
		provider, _, _ := strings.Cut(model, "/")
		if reason, sentence, _, _ := outcome(t, familyDoor(t, provider, s, nil), r); reason != "MODEL_UNKNOWN" || sentence != want {
			t.Errorf("got %s %q, want %q", reason, sentence, want)
		}
	}
}

// TestDoor_Chat_estimates_a_prompt_that_is_not_counted: Ollama leaves the tokens out that were in its cache, which is no prompt that was cut.
// https://github.com/ollama/ollama/issues/3427
func TestDoor_Chat_estimates_a_prompt_that_is_not_counted(t *testing.T) {
	s := llmfault.New(t, llmfault.Stream(llmfault.Chunk("ok"), llmfault.Finish("stop"), llmfault.Usage(0, 10), llmfault.Done()))
	for _, model := range []string{"ollama/qwen3", "openai-compatible/m@" + s.URL} {
		r := ask(strings.Repeat("word ", 2000))
		r.Model = model
		provider, _, _ := strings.Cut(model, "/")
		_, _, _, rep := outcome(t, familyDoor(t, provider, s, nil), r)
		if want := (llm.Usage{Input: llm.Estimate(r), Output: 10, Estimated: true}); rep.Finish != llm.Stop || rep.Usage != want {
			t.Errorf("%s: %s, %+v; want %+v", model, rep.Finish, rep.Usage, want)
		}
	}
}

// TestDoor_Check_tells_a_refused_key_from_one_that_may_not_list: Gemini refuses keys with 400; OpenAI's restricted keys may call models and not list them.
func TestDoor_Check_tells_a_refused_key_from_one_that_may_not_list(t *testing.T) {
	for name, tc := range map[string]struct {
		model  string
		list   llmfault.Play
		reason string
	}{
		"Gemini":            {"gemini/gemini-2.5-pro", llmfault.Play{Status: 400, Body: `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`}, "KEY_REFUSED"},
		"a restricted key":  {"openai/gpt-4o", llmfault.Play{Status: 403, Body: `{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: api.model.read."}}`}, ""},
		"another 403":       {"openai/gpt-4o", llmfault.Play{Status: 403, Body: `{"error":{"message":"Country, region, or territory not supported"}}`}, "KEY_REFUSED"},
		"a list of a page":  {"openai/gpt-4o", llmfault.Play{Type: "text/html", Body: "<html></html>"}, ""},
		"a list that fails": {"openai/gpt-4o", llmfault.Play{Status: 502, Body: "bad gateway"}, "PROVIDER_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, llmfault.Answer("ok"))
			s.List(tc.list)
			provider, _, _ := strings.Cut(tc.model, "/")
			seen, err := familyDoor(t, provider, s, nil).Check(t.Context(), tc.model)
			if fault.ReasonOf(err) != tc.reason || seen != llm.SeenNothing || s.Count() != 0 {
				t.Errorf("got %v, %v after %d calls", seen, err, s.Count())
			}
			if strings.Contains(fmt.Sprint(err), testKey) {
				t.Errorf("the key shows: %v", err)
			}
		})
	}
}
