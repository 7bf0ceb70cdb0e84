package llmfault

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// Claude's events as https://platform.claude.com/docs/en/build-with-claude/streaming shows them, and as Bedrock frames them:
// https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html

// ClaudeStart is the event that begins a message, with the tokens of its input.
func ClaudeStart(input, cacheRead, cacheWrite int) string {
	return fmt.Sprintf(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"served-claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":0},"output_tokens":1,"service_tier":"standard"}}}`, input, cacheWrite, cacheRead, cacheWrite)
}

// ClaudeText is a piece of text.
func ClaudeText(text string) string {
	return fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%s}}`, quote(text))
}

// ClaudeThinking is a piece of thinking.
func ClaudeThinking(text string) string {
	return fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":%s}}`, quote(text))
}

// ClaudeEnd is the event with the reason and all tokens of the output.
func ClaudeEnd(reason string, output int) string {
	return fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":%s,"stop_sequence":null},"usage":{"output_tokens":%d}}`, quote(reason), output)
}

// The events without content.
const (
	ClaudePing       = `{"type": "ping"}`
	ClaudeBlock      = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	ClaudeBlockStop  = `{"type":"content_block_stop","index":0}`
	ClaudeStop       = `{"type":"message_stop"}`
	claudeErrorEvent = `{"type":"error","error":{"type":%s,"message":%s}}`
)

// ClaudeError is an error event, and the body of an error.
func ClaudeError(kind, message string) string {
	return fmt.Sprintf(claudeErrorEvent, quote(kind), quote(message))
}

// ClaudeReply is a sound reply of 100 tokens in and 10 out.
func ClaudeReply(text string) []string {
	return []string{ClaudeStart(100, 0, 0), ClaudeBlock, ClaudePing, ClaudeText(text), ClaudeBlockStop, ClaudeEnd("end_turn", 10), ClaudeStop}
}

// Claude streams events as Anthropic and Vertex AI do.
func Claude(events ...string) Play {
	p := Play{Type: "text/event-stream; charset=utf-8", Header: map[string]string{"request-id": "req_1"}}
	for _, e := range events {
		p.Events = append(p.Events, Event{Raw: "event: " + typeOf(e) + "\ndata: " + e + "\n\n"})
	}
	return p
}

func typeOf(event string) string {
	var e struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal([]byte(event), &e) // events of tests may be broken on purpose
	return e.Type
}

// Bedrock streams events in AWS's binary frames.
func Bedrock(events ...string) Play {
	p := Play{Type: "application/vnd.amazon.eventstream", Header: map[string]string{"x-amzn-requestid": "req-2"}}
	for _, e := range events {
		payload := fmt.Sprintf(`{"bytes":%q,"p":"abcdef"}`, base64.StdEncoding.EncodeToString([]byte(e)))
		p.Events = append(p.Events, Event{Raw: Frame(payload, ":message-type", "event", ":event-type", "chunk", ":content-type", "application/json")})
	}
	return p
}

// Exception adds an exception frame after a stream's events.
func (p Play) Exception(kind, message string) Play {
	frame := Frame(fmt.Sprintf(`{"message":%s}`, quote(message)), ":message-type", "exception", ":exception-type", kind, ":content-type", "application/json")
	p.Events = append(p.Events[:len(p.Events):len(p.Events)], Event{Raw: frame})
	return p
}

// Frame is one binary frame with string headers.
func Frame(payload string, headers ...string) string {
	var h eventstream.Headers
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], eventstream.StringValue(headers[i+1]))
	}
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: h, Payload: []byte(payload)}); err != nil {
		panic(err) // only headers that are too long cannot be encoded
	}
	return b.String()
}
