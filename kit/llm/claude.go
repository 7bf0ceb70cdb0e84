package llm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Claude's requests: https://platform.claude.com/docs/en/api/messages. Bedrock and Vertex AI take the same body without the
// model's name, which stands in the path there:
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
// https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
const (
	claudeVersion  = "2023-06-01"
	bedrockVersion = "bedrock-2023-05-31"
	vertexVersion  = "vertex-2023-10-16"
)

type claudeRequest struct {
	Model       string          `json:"model,omitempty"`
	Version     string          `json:"anthropic_version,omitempty"`
	MaxTokens   int64           `json:"max_tokens"`
	System      []claudeBlock   `json:"system,omitempty"`
	Messages    []claudeMessage `json:"messages"`
	Temperature *float64        `json:"temperature,omitempty"`
	Stop        []string        `json:"stop_sequences,omitempty"`
	Output      *claudeOutput   `json:"output_config,omitempty"`
	Stream      bool            `json:"stream,omitempty"`
}

type claudeMessage struct {
	Role    string        `json:"role"`
	Content []claudeBlock `json:"content"`
}

type claudeBlock struct {
	Type   string        `json:"type"`
	Text   string        `json:"text,omitempty"`
	Source *claudeSource `json:"source,omitempty"`
	Cache  *claudeMark   `json:"cache_control,omitempty"`
}

type claudeSource struct {
	Type  string `json:"type"`
	Media string `json:"media_type"`
	Data  string `json:"data"`
}

type claudeMark struct {
	Type string `json:"type"`
}

type claudeOutput struct {
	Effort string        `json:"effort,omitempty"`
	Format *claudeFormat `json:"format,omitempty"`
}

type claudeFormat struct {
	Type   string         `json:"type"`
	Schema map[string]any `json:"schema"`
}

// claude asks a model by Anthropic's messages, streamed.
func (x *exchange) claude(ctx context.Context, m Model, r Request, out int64, ad adaptation) (answer, error) {
	body, err := json.Marshal(claudeBody(m, r, out, ad))
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, claudeURL(m, x.cred.project), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	switch m.local.API {
	case apiAnthropic:
		req.Header.Set("Anthropic-Version", claudeVersion)
		req.Header.Set("Accept", eventStream)
	case apiBedrock:
		req.Header.Set("Accept", awsStream)
	}
	resp, s, err := x.open(req, body)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = s.Close() }() // a body that was read to its end or is given up
	return s.claudeReply(resp)
}

func claudeURL(m Model, project string) string {
	switch m.local.API {
	case apiBedrock:
		return m.BaseURL + "/model/" + url.QueryEscape(m.wire) + "/invoke-with-response-stream"
	case apiVertex:
		return m.BaseURL + "/v1/projects/" + url.PathEscape(project) + "/locations/" + m.region + "/publishers/anthropic/models/" + url.PathEscape(m.wire) + ":streamRawPredict"
	}
	return m.BaseURL + "/v1/messages"
}

// claudeBody is a request without what the model does not take.
func claudeBody(m Model, r Request, out int64, ad adaptation) claudeRequest {
	body := claudeRequest{Model: m.wire, MaxTokens: out, Stream: true}
	switch m.local.API {
	case apiBedrock:
		body.Model, body.Version, body.Stream = "", bedrockVersion, false // the path says both
	case apiVertex:
		body.Model, body.Version = "", vertexVersion
	}
	if r.Temperature != nil && m.Supports["temperature"] && !ad.drop["temperature"] {
		body.Temperature = Ptr(min(*r.Temperature, 1)) // Claude's scale ends there
	}
	if m.Supports["stop"] && !ad.drop["stop_sequences"] {
		for _, s := range r.Stop {
			if strings.TrimSpace(s) != "" { // others are refused
				body.Stop = append(body.Stop, s)
			}
		}
	}
	if c := claudeOutputOf(m, r, ad); c != (claudeOutput{}) {
		body.Output = &c
	}
	marks := m.Supports["cache"] && !ad.drop["cache_control"]
	body.System = claudeBlocks(r.System, m, marks)
	for i, msg := range r.Messages {
		role, parts := "user", msg.Parts
		if msg.Role == Assistant {
			role = "assistant"
			if i == len(r.Messages)-1 {
				if !m.Supports["prefill"] || ad.drop["prefill"] {
					continue
				}
				parts = trimEnd(parts)
			}
		}
		body.Messages = append(body.Messages, claudeMessage{role, claudeBlocks(parts, m, marks)})
	}
	lastMarks(&body)
	return body
}

func claudeOutputOf(m Model, r Request, ad adaptation) claudeOutput {
	var c claudeOutput
	if r.Effort != "" && m.Supports["effort"] && !ad.drop["effort"] && !ad.drop["output_config"] {
		c.Effort = r.Effort
	}
	if len(r.Schema) > 0 && m.Supports["schema"] && !ad.drop["json_schema"] && !ad.drop["response_format"] && !ad.drop["output_config"] {
		if s, ok := strictSubset(r.Schema); ok {
			c.Format = &claudeFormat{"json_schema", s}
		}
	}
	return c
}

func claudeBlocks(parts []Part, m Model, marks bool) []claudeBlock {
	var out []claudeBlock
	for _, p := range parts {
		var b claudeBlock
		switch {
		case len(p.Image) > 0 && m.Supports["images"]:
			b = claudeBlock{Type: "image", Source: &claudeSource{"base64", p.MIME, base64.StdEncoding.EncodeToString(p.Image)}}
		case strings.TrimSpace(p.Text) != "": // empty blocks are refused
			b = claudeBlock{Type: "text", Text: p.Text}
		default:
			continue
		}
		if p.Cache && marks {
			b.Cache = &claudeMark{"ephemeral"}
		}
		out = append(out, b)
	}
	return out
}

// trimEnd drops the spaces at the end of a prefix, which Claude refuses.
func trimEnd(parts []Part) []Part {
	out := append([]Part(nil), parts...)
	if n := len(out); n > 0 {
		out[n-1].Text = strings.TrimRight(out[n-1].Text, " \n\t")
	}
	return out
}

// lastMarks keeps the last four cache marks, as many as a request may have.
func lastMarks(r *claudeRequest) {
	left := 4
	drop := func(blocks []claudeBlock) {
		for i := len(blocks) - 1; i >= 0; i-- {
			if blocks[i].Cache == nil {
				continue
			}
			if left--; left < 0 {
				blocks[i].Cache = nil
			}
		}
	}
	for i := len(r.Messages) - 1; i >= 0; i-- {
		drop(r.Messages[i].Content)
	}
	drop(r.System)
}
