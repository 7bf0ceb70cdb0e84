package llm_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// TestDoor_Chat_books_to_the_token_what_each_provider_counts: each provider's own usage of a call with an image, cached and thought tokens, and what its
// page says that this costs. Images are counted within the prompt by all of them.
// https://platform.openai.com/docs/api-reference/chat/object https://platform.claude.com/docs/en/build-with-claude/prompt-caching
// https://api-docs.deepseek.com/guides/kv_cache https://openrouter.ai/docs/use-cases/usage-accounting https://ai.google.dev/gemini-api/docs/openai
// https://docs.x.ai/developers/advanced-api-usage/prompt-caching/usage-and-pricing
func TestDoor_Chat_books_to_the_token_what_each_provider_counts(t *testing.T) {
	google := newTokens(t)
	var figure bytes.Buffer
	if err := png.Encode(&figure, image.NewGray(image.Rect(0, 0, 640, 480))); err != nil {
		t.Fatal(err)
	}
	claude := func(f int, usage string) (front, llmfault.Play) {
		fr := fronts(t, google.URL)[f]
		start := `{"type":"message_start","message":{"id":"m","type":"message","model":"served","content":[],"usage":` + usage + `}}`
		return fr, fr.stream(start, llmfault.ClaudeThinking("hm"), llmfault.ClaudeText("ok"),
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":80,"output_tokens_details":{"thinking_tokens":30}}}`, llmfault.ClaudeStop)
	}
	const cached = `"prompt_tokens_details":{"cached_tokens":512,"image_tokens":425,"text_tokens":575},"completion_tokens_details":{"reasoning_tokens":30}`
	for name, tc := range map[string]struct {
		model string
		claud int // front, +1
		usage string
		want  llm.Usage
		pico  int64 // at the shipped price, millionths of a dollar for a million tokens; -1: unpriced
	}{
		"OpenAI":           {"openai/gpt-4o", 0, `{"prompt_tokens":1000,"completion_tokens":80,"total_tokens":1080,` + cached + `}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80, Reasoning: 30}, 488*2_500_000 + 512*1_250_000 + 80*10_000_000},
		"OpenAI's writes":  {"openai/gpt-5.6", 0, `{"prompt_tokens":1000,"completion_tokens":80,"prompt_tokens_details":{"cached_tokens":512,"cache_write_tokens":400}}`, llm.Usage{Input: 88, CacheRead: 512, CacheWrite: 400, Output: 80}, 88*4_000_000 + 512*400_000 + 400*5_000_000 + 80*20_000_000},
		"OpenAI above":     {"openai/gpt-5.4", 0, `{"prompt_tokens":300000,"completion_tokens":80,"prompt_tokens_details":{"cached_tokens":100000}}`, llm.Usage{Input: 200_000, CacheRead: 100_000, Output: 80}, 200_000*5_000_000 + 100_000*500_000 + 80*22_500_000},
		"Azure OpenAI":     {"azure/gpt-4o", 0, `{"prompt_tokens":1000,"completion_tokens":80,"total_tokens":1080,` + cached + `}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80, Reasoning: 30}, 488*2_500_000 + 512*1_250_000 + 80*10_000_000},
		"DeepSeek":         {"deepseek/deepseek-reasoner", 0, `{"prompt_tokens":1000,"completion_tokens":80,"total_tokens":1080,"prompt_cache_hit_tokens":512,"prompt_cache_miss_tokens":488,"completion_tokens_details":{"reasoning_tokens":30}}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80, Reasoning: 30}, -2},
		"OpenRouter":       {"openrouter/anthropic/claude-x", 0, `{"prompt_tokens":1000,"completion_tokens":80,"cost":0.0123,"cost_details":{"upstream_inference_cost":19},"prompt_tokens_details":{"cached_tokens":512,"cache_write_tokens":100}}`, llm.Usage{Input: 388, CacheRead: 512, CacheWrite: 100, Output: 80}, 12_300_000_000},
		"Gemini":           {"gemini/gemini-2.5-pro", 0, `{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1080,"prompt_tokens_details":{"cached_tokens":512}}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80}, 488*1_250_000 + 512*125_000 + 80*10_000_000},
		"Gemini's details": {"gemini/gemini-2.5-pro", 0, `{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1080,` + cached + `}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80, Reasoning: 30}, 488*1_250_000 + 512*125_000 + 80*10_000_000},
		"Ollama":           {"ollama/llava", 0, `{"prompt_tokens":1000,"completion_tokens":80,"total_tokens":1080}`, llm.Usage{Input: 1000, Output: 80}, 0},
		"xAI":              {"openai-compatible/grok@", 0, `{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1080,` + cached + `}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80, Reasoning: 30}, -1},
		"by other names":   {"openai-compatible/m@", 0, `{"input_tokens":1000,"output_tokens":80,"input_tokens_details":{"cached_tokens":512},"output_tokens_details":{"reasoning_tokens":30}}`, llm.Usage{Input: 488, CacheRead: 512, Output: 80, Reasoning: 30}, -1},
		"Anthropic": {"", 1, `{"input_tokens":88,"cache_read_input_tokens":512,"cache_creation_input_tokens":400,"cache_creation":{"ephemeral_5m_input_tokens":300,"ephemeral_1h_input_tokens":100},"output_tokens":1}`,
			llm.Usage{Input: 88, CacheRead: 512, CacheWrite: 400, CacheWrite1h: 100, Output: 80, Reasoning: 30}, 88*5_000_000 + 512*500_000 + 300*6_250_000 + 100*10_000_000 + 80*25_000_000},
		"Bedrock": {"", 2, `{"input_tokens":88,"cache_read_input_tokens":512,"cache_creation_input_tokens":400,"output_tokens":1}`,
			llm.Usage{Input: 88, CacheRead: 512, CacheWrite: 400, Output: 80, Reasoning: 30}, -2},
		"Vertex AI": {"", 3, `{"input_tokens":88,"cache_read_input_tokens":512,"cache_creation_input_tokens":400,"output_tokens":1}`,
			llm.Usage{Input: 88, CacheRead: 512, CacheWrite: 400, Output: 80, Reasoning: 30}, -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ask("What does the figure show?")
			r.Messages[0].Parts = append(r.Messages[0].Parts, llm.Part{Image: figure.Bytes(), MIME: "image/png"})
			var d *llm.Door
			if tc.claud > 0 {
				f, play := claude(tc.claud-1, tc.usage)
				d, r.Model = claudeDoor(t, llmfault.New(t, play), f.env), f.name
			} else {
				s := llmfault.New(t, llmfault.Stream(llmfault.Chunk("ok"), llmfault.Finish("stop"), llmfault.Event{Data: `{"choices":[],"usage":` + tc.usage + `}`}, llmfault.Done()))
				provider, _, _ := strings.Cut(tc.model, "/")
				if r.Model = tc.model; strings.HasSuffix(r.Model, "@") {
					r.Model += s.URL
				}
				d = familyDoor(t, provider, s, nil)
			}
			rep, err := d.Chat(t.Context(), r)
			if err != nil || rep.Text != "ok" {
				t.Fatalf("got %+v, %v", rep, err)
			}
			if diff := cmp.Diff(tc.want, rep.Usage); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			want := tc.pico
			if want == -2 { // at whatever price is shipped, each kind of token by its own
				m, err := d.Model(r.Model)
				p, ok := m.Prices(time.Now())
				if err != nil || !ok || p.CacheRead >= p.Input {
					t.Fatalf("prices %+v, %v", p, err)
				}
				u := tc.want
				want = u.Input*p.Input + u.CacheRead*p.CacheRead + u.CacheWrite*p.CacheWrite + u.Output*p.Output
			}
			if rep.Unpriced != (want < 0) || rep.Cost != max(want, 0) {
				t.Errorf("cost %d, unpriced %v; want %d", rep.Cost, rep.Unpriced, want)
			}
			entries, err := d.Ledger().List(t.Context(), "s-1", "idea-1")
			if err != nil || len(entries) != 1 || entries[0].Usage != tc.want || entries[0].Cost != rep.Cost {
				t.Errorf("ledger %+v, %v", entries, err)
			}
			again, err := d.Chat(t.Context(), r) // settled by now, and from the ledger
			acc, err2 := d.Budgets().Read(t.Context(), "s-1.idea-1")
			if err != nil || err2 != nil || again.Source != llm.FromLedger || acc.Spent.Pico != rep.Cost || acc.Spent.Tokens != tc.want.Total() || len(acc.Open) != 0 {
				t.Errorf("again from %s, %v; account %+v, %v", again.Source, err, acc, err2)
			}
			if got := fmt.Sprint(again.Usage, again.Cost); got != fmt.Sprint(rep.Usage, rep.Cost) {
				t.Errorf("again %s", got)
			}
		})
	}
}
