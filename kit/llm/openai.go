package llm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// adaptation is what the door has learned about an endpoint's parameters.
type adaptation struct {
	drop   map[string]bool
	rename bool  // max_tokens goes by its other name than the table says
	most   int64 // tokens of output that the endpoint allows; 0: not known
	window int64 // of prompt and output together, as it told; 0: it did not
}

// cap is what may be asked for of an output.
func (a adaptation) cap(out int64) int64 {
	if a.most > 0 {
		return min(out, a.most)
	}
	return out
}

// answer is a reply as a provider gave it.
type answer struct {
	text       string
	finish     Finish
	usage      Usage
	hasUsage   bool
	cost       int64 // the provider's own, pico-dollars
	hasCost    bool
	served, id string
	firstByte  time.Duration
	chars      int
	prompt     int64 // of a prompt that is too long: its tokens as the provider told; 0: it did not
	window     int64 // and how many it may have
}

// wireFields are the fields of a request's body that go-openai cannot say as they are wanted.
func wireFields(m Model, r Request, out int64, ad adaptation) map[string]any {
	set := map[string]any{}
	tokens := "max_tokens"
	if (m.Rename["max_tokens"] == "max_completion_tokens") != ad.rename {
		tokens = "max_completion_tokens"
	}
	set[tokens] = out
	if r.Temperature != nil && m.Supports["temperature"] {
		set["temperature"] = *r.Temperature
	}
	if r.Seed != nil && m.Supports["seed"] {
		set["seed"] = *r.Seed
	}
	if len(r.Stop) > 0 && m.Supports["stop"] {
		set["stop"] = r.Stop
	}
	if r.Effort != "" && m.Supports["effort"] {
		set["reasoning_effort"] = r.Effort
	}
	if len(r.Schema) > 0 {
		switch {
		case m.Supports["schema"] && !ad.drop["json_schema"]:
			if s, ok := strictSubset(r.Schema); ok {
				set["response_format"] = map[string]any{"type": "json_schema",
					"json_schema": map[string]any{"name": "answer", "strict": true, "schema": s}}
			} else {
				set["response_format"] = map[string]any{"type": "json_object"}
			}
		case m.Supports["schema"], m.Supports["json"]:
			set["response_format"] = map[string]any{"type": "json_object"}
		}
	}
	if m.Extra["stream_options"] {
		set["stream_options"] = map[string]any{"include_usage": true}
	}
	if m.Extra["usage"] {
		set["usage"] = map[string]any{"include": true}
	}
	if m.Extra["prompt_cache_key"] {
		set["prompt_cache_key"] = clip(r.Origin.Study()+"."+r.Origin.Idea()+"."+stageOf(r.Origin), 64)
	}
	for k := range ad.drop {
		delete(set, k)
	}
	return set
}

// notesOf says what the model cannot take of a request.
func notesOf(m Model, r Request) []string {
	var notes []string
	drop := func(asked bool, ability string) {
		if asked && !m.Supports[ability] {
			notes = append(notes, ability+" dropped")
		}
	}
	drop(r.Temperature != nil, "temperature")
	drop(r.Seed != nil, "seed")
	drop(len(r.Stop) > 0, "stop")
	drop(r.Effort != "", "effort")
	images := false
	for _, msg := range r.Messages {
		for _, p := range msg.Parts {
			images = images || len(p.Image) > 0
		}
	}
	drop(images, "images")
	return notes
}

// wireMessages are a request's messages in go-openai's form.
func wireMessages(m Model, r Request) []openai.ChatCompletionMessage {
	var out []openai.ChatCompletionMessage
	system := join(r.System)
	messages := r.Messages
	if system != "" && m.Supports["system"] {
		out = append(out, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleSystem, Content: system})
		system = ""
	}
	for i, msg := range messages {
		role := openai.ChatMessageRoleUser
		if msg.Role == Assistant {
			role = openai.ChatMessageRoleAssistant
		}
		parts := msg.Parts
		if i == 0 && system != "" {
			parts = append([]Part{Text(system + "\n\n")}, parts...)
		}
		out = append(out, wireMessage(role, parts, m.Supports["images"]))
	}
	return out
}

func wireMessage(role string, parts []Part, images bool) openai.ChatCompletionMessage {
	var list []openai.ChatMessagePart
	has := false
	for _, p := range parts {
		switch {
		case len(p.Image) > 0 && images:
			has = true
			list = append(list, openai.ChatMessagePart{Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{
				URL: "data:" + p.MIME + ";base64," + base64.StdEncoding.EncodeToString(p.Image)}})
		case p.Text != "":
			list = append(list, openai.ChatMessagePart{Type: openai.ChatMessagePartTypeText, Text: p.Text})
		}
	}
	if !has {
		return openai.ChatCompletionMessage{Role: role, Content: join(parts)}
	}
	return openai.ChatCompletionMessage{Role: role, MultiContent: list}
}

func join(parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// send makes one try. Its context ends with the try's deadline only.
func send(ctx context.Context, x *exchange, m Model, r Request, out int64, ad adaptation) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, x.times.Try, context.DeadlineExceeded)
	defer stop()
	x.cancel, out = cancel, ad.cap(out)
	switch m.local.API {
	case apiAnthropic, apiBedrock, apiVertex:
		return x.claude(ctx, m, r, out, ad)
	}
	x.set = wireFields(m, r, out, ad)
	return x.openAI(ctx, m, r)
}

// openAI asks an endpoint in the shape of OpenAI's chat completions.
func (x *exchange) openAI(ctx context.Context, m Model, r Request) (answer, error) {
	cfg := openai.DefaultConfig("") // the exchange adds the key
	cfg.BaseURL, cfg.HTTPClient = m.BaseURL, x
	s, err := openai.NewClientWithConfig(cfg).CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model: m.wire, Messages: wireMessages(m, r),
	})
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = s.Close() }() // a body that was read to its end or is given up
	var a answer
	var text, refused strings.Builder
	for {
		c, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return answer{}, err
		}
		if c.Model != "" {
			a.served = c.Model
		}
		if c.ID != "" {
			a.id = c.ID
		}
		for _, ch := range c.Choices {
			if ch.Index != 0 {
				continue
			}
			text.WriteString(ch.Delta.Content)
			refused.WriteString(ch.Delta.Refusal)
		}
	}
	a.text, a.firstByte, a.chars = text.String(), x.firstByte, x.chars
	var cut bool
	if a.finish, cut = finishOf(x.finish); cut {
		return answer{}, io.ErrUnexpectedEOF
	}
	if x.refusal && a.text == "" {
		a.finish, a.text = Refused, refused.String()
	}
	readUsage(x.usage, m, &a)
	return a, nil
}

func tell(x *exchange, progress func(Progress)) func(int) {
	if progress == nil {
		return nil
	}
	begun, last := false, 0
	return func(int) {
		if !begun {
			begun = true
			progress(Progress{Kind: FirstByte})
		}
		if x.chars-last >= 1024 {
			last = x.chars
			progress(Progress{Kind: Tokens, Tokens: int64(x.chars+3) / 4})
		}
	}
}

// rawUsage is every usage shape of the OpenAI family.
type rawUsage struct {
	Prompt     float64  `json:"prompt_tokens"`
	Completion float64  `json:"completion_tokens"`
	Total      float64  `json:"total_tokens"`
	CacheHit   float64  `json:"prompt_cache_hit_tokens"`
	CachedFlat float64  `json:"cached_tokens"` // Moonshot's
	Cost       *float64 `json:"cost"`
	Input      float64  `json:"input_tokens"` // some name them as the API of responses does
	Output     float64  `json:"output_tokens"`
	InToo      struct {
		Cached float64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	OutToo struct {
		Reasoning float64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	In struct {
		Cached  float64 `json:"cached_tokens"`
		Written float64 `json:"cache_write_tokens"` // OpenRouter's: https://openrouter.ai/docs/use-cases/usage-accounting
	} `json:"prompt_tokens_details"`
	Out struct {
		Reasoning float64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// parseUsage reads counts; ok is false where there are none.
func parseUsage(raw json.RawMessage) (u rawUsage, ok bool) {
	if len(raw) == 0 || json.Unmarshal(raw, &u) != nil {
		return rawUsage{}, false
	}
	if u.Prompt == 0 && u.Completion == 0 {
		u.Prompt, u.Completion, u.In.Cached, u.Out.Reasoning = u.Input, u.Output, u.InToo.Cached, u.OutToo.Reasoning
	}
	sound := u.Prompt >= 0 && u.Prompt <= 1e12 && u.Completion >= 0 && u.Completion <= 1e12
	return u, sound && u.Prompt+u.Completion > 0
}

func readUsage(raw json.RawMessage, m Model, a *answer) {
	u, ok := parseUsage(raw)
	if !ok {
		return
	}
	cached := min(max(u.In.Cached, u.CacheHit, u.CachedFlat, 0), u.Prompt)
	out := u.Completion
	if m.Provider == "gemini" && u.Total < 1e12 {
		out = max(out, u.Total-u.Prompt) // thinking is in the total only
	}
	if u.Out.Reasoning > 0 && u.Total == u.Prompt+u.Completion+u.Out.Reasoning {
		out = u.Completion + u.Out.Reasoning // xAI's and others' completion is without it, which the total tells
	}
	reasoning := min(max(u.Out.Reasoning, 0), out)
	written := min(max(u.In.Written, 0), u.Prompt-cached)
	a.usage = Usage{Input: int64(u.Prompt - cached - written), CacheRead: int64(cached), CacheWrite: int64(written), Output: int64(out), Reasoning: int64(reasoning)}
	a.hasUsage = true
	if u.Cost != nil && *u.Cost >= 0 && *u.Cost < 1e6 && m.Extra["usage"] {
		a.cost, a.hasCost = int64(math.Round(*u.Cost*1e12)), true
	}
}

// strictSubset rewrites a schema to what providers enforce: all keys required, none extra, no bounds. Schemas beyond it are
// left to the validator.
func strictSubset(raw json.RawMessage) (map[string]any, bool) {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil, false
	}
	m, ok := v.(map[string]any)
	if !ok || !strict(m, 0) || m["type"] != "object" {
		return nil, false
	}
	return m, true
}

var strictKeys = map[string]bool{"type": true, "properties": true, "items": true, "enum": true, "const": true, "description": true,
	"anyOf": true, "required": true, "additionalProperties": true}

func strict(m map[string]any, depth int) bool {
	if depth > 5 {
		return false
	}
	for k := range m {
		switch k {
		case "$ref", "$defs", "allOf", "oneOf", "not", "patternProperties", "if", "prefixItems":
			return false
		}
		if !strictKeys[k] {
			delete(m, k)
		}
	}
	if props, ok := m["properties"].(map[string]any); ok {
		required := []any{}
		for k, p := range props {
			pm, ok := p.(map[string]any)
			if !ok || !strict(pm, depth+1) {
				return false
			}
			required = append(required, k)
		}
		if have, _ := m["required"].([]any); len(have) != len(required) {
			return false // an optional key would become required
		}
		m["additionalProperties"] = false
	} else if m["type"] == "object" {
		return false // free keys cannot be enforced
	}
	if items, ok := m["items"].(map[string]any); ok && !strict(items, depth+1) {
		return false
	}
	if list, ok := m["anyOf"].([]any); ok {
		for _, it := range list {
			im, ok := it.(map[string]any)
			if !ok || !strict(im, depth+1) {
				return false
			}
		}
	}
	return true
}
