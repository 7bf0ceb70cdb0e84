package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// awsStream frames events in binary: https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html
const awsStream = "application/vnd.amazon.eventstream"

// claudeEvent is every event of a stream, and a reply in one piece, whose type is message.
// https://platform.claude.com/docs/en/build-with-claude/streaming
type claudeEvent struct {
	Type    string          `json:"type"`
	Error   json.RawMessage `json:"error"`
	Message *claudeEvent    `json:"message"` // of message_start
	Delta   struct {
		Text     string         `json:"text"`
		Thinking string         `json:"thinking"`
		JSON     string         `json:"partial_json"`
		Stop     string         `json:"stop_reason"`
		Details  *claudeRefusal `json:"stop_details"`
	} `json:"delta"`
	Block *claudeText `json:"content_block"`

	ID      string         `json:"id"`
	Model   string         `json:"model"`
	Content []claudeText   `json:"content"`
	Stop    string         `json:"stop_reason"`
	Details *claudeRefusal `json:"stop_details"`
	Usage   *claudeUsage   `json:"usage"`
}

type claudeText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type claudeRefusal struct {
	Explanation string `json:"explanation"`
}

// claudeUsage counts input without what was read from or written to the cache.
type claudeUsage struct {
	Input  *int64 `json:"input_tokens"`
	Read   *int64 `json:"cache_read_input_tokens"`
	Write  *int64 `json:"cache_creation_input_tokens"`
	Output *int64 `json:"output_tokens"`
	ByTTL  struct {
		Hour int64 `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	Details struct {
		Thinking int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// claudeAnswer gathers a reply from its events.
type claudeAnswer struct {
	s    *stream
	text strings.Builder
	why  string // of a refusal
	a    answer
}

func (s *stream) claudeReply(resp *http.Response) (answer, error) {
	c := &claudeAnswer{s: s}
	kind := mediaType(resp)
	c.a.id = resp.Header.Get("request-id")
	if id := resp.Header.Get("x-amzn-requestid"); id != "" {
		c.a.id = id
	}
	switch {
	case kind == awsStream, bytes.HasPrefix(s.head(), []byte{0}): // a frame begins with its length, which is under 16 MiB
		c.binary()
	case s.isStream(resp):
		s.take = c.event
		for s.err == nil {
			s.step()
		}
	default:
		c.whole()
	}
	if !errors.Is(s.err, io.EOF) {
		return answer{}, s.err
	}
	return c.answer(), nil
}

// event takes one event in.
func (c *claudeAnswer) event(data []byte) error {
	var e claudeEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return &garbageError{fmt.Sprintf("not JSON (%d bytes)", len(data))}
	}
	if e.Type == "error" || len(e.Error) > 0 && string(e.Error) != "null" {
		return &statusError{status: http.StatusOK, header: c.s.x.got, body: bytes.Clone(data), inside: true}
	}
	if e.Type == "ping" {
		return nil
	}
	c.s.alive()
	switch e.Type {
	case "message_start":
		if m := e.Message; m != nil {
			c.a.served = m.Model
			if m.ID != "" {
				c.a.id = m.ID
			}
			c.usage(m.Usage)
		}
	case "content_block_start":
		if b := e.Block; b != nil && b.Type == "text" {
			c.say(b.Text)
		}
	case "content_block_delta":
		c.say(e.Delta.Text)
		c.count(len(e.Delta.Thinking) + len(e.Delta.JSON))
	case "message_delta":
		c.stop(e.Delta.Stop, e.Delta.Details)
		c.usage(e.Usage)
	case "message_stop":
		if c.s.x.finish == "" {
			c.s.x.finish = "end_turn" // it is over, whatever the reason was
		}
		c.s.end(io.EOF)
	}
	return nil
}

func (c *claudeAnswer) say(text string) {
	c.text.WriteString(text)
	c.count(len(text))
}

func (c *claudeAnswer) count(n int) {
	c.s.x.chars += n
	if n > 0 && c.s.x.onData != nil {
		c.s.x.onData(n)
	}
}

func (c *claudeAnswer) stop(reason string, why *claudeRefusal) {
	if reason != "" {
		c.s.x.finish = reason
	}
	if why != nil {
		c.why = why.Explanation
	}
}

// usage takes counts in; later ones are of the whole reply and replace earlier ones.
func (c *claudeAnswer) usage(u *claudeUsage) {
	if u == nil {
		return
	}
	set := func(dst *int64, v *int64) {
		if v != nil && *v >= 0 && *v < 1e12 && (*v > 0 || *dst == 0) {
			*dst = *v
			c.a.hasUsage = c.a.hasUsage || *v > 0
		}
	}
	a := &c.a.usage
	set(&a.Input, u.Input)
	set(&a.CacheRead, u.Read)
	set(&a.CacheWrite, u.Write)
	set(&a.Output, u.Output)
	set(&a.CacheWrite1h, &u.ByTTL.Hour)
	set(&a.Reasoning, &u.Details.Thinking)
	a.CacheWrite1h, a.Reasoning = min(a.CacheWrite1h, a.CacheWrite), min(a.Reasoning, a.Output)
}

func (c *claudeAnswer) answer() answer {
	a := c.a
	a.text, a.firstByte, a.chars = c.text.String(), c.s.x.firstByte, c.s.x.chars
	switch c.s.x.finish {
	case "max_tokens":
		a.finish = Length
	case "refusal":
		a.finish = Refused
		if a.text == "" {
			a.text = c.why
		}
	case "model_context_window_exceeded":
		a.finish = TooLong
	default:
		a.finish = Stop
	}
	return a
}

// whole reads a body that is no stream: a reply in one piece, an error, or garbage.
func (c *claudeAnswer) whole() {
	s := c.s
	body, err := io.ReadAll(s.lines)
	trimmed := bytes.TrimSpace(body)
	var e claudeEvent
	switch {
	case err != nil:
		s.err = err
	case len(trimmed) == 0:
		s.err = &garbageError{"an empty body"}
	case looksLikeHTML(trimmed):
		s.err = &garbageError{"an HTML page" + title(trimmed)}
	case trimmed[0] == '[':
		s.err = &statusError{status: http.StatusOK, header: s.x.got, body: body, inside: true}
	case json.Unmarshal(trimmed, &e) != nil:
		s.err = &garbageError{fmt.Sprintf("not JSON (%d bytes)", len(body))}
	case e.Type == "error" || len(e.Error) > 0 && string(e.Error) != "null":
		s.err = &statusError{status: http.StatusOK, header: s.x.got, body: body, inside: true}
	case e.Stop == "":
		s.err = &garbageError{"JSON without a stop reason"}
	default:
		for _, b := range e.Content {
			if b.Type == "text" {
				c.say(b.Text)
			}
		}
		c.a.served = e.Model
		if e.ID != "" {
			c.a.id = e.ID
		}
		c.stop(e.Stop, e.Details)
		c.usage(e.Usage)
		s.err = io.EOF
	}
}

// binary reads AWS's frames: chunks hold Claude's events, exceptions are errors by their type.
func (c *claudeAnswer) binary() {
	s := c.s
	dec := eventstream.NewDecoder()
	for s.err == nil {
		msg, err := dec.Decode(s.lines, nil)
		if err != nil {
			if err != io.EOF && !isBroken(err) {
				err = &garbageError{"a damaged frame"}
			}
			s.end(err)
			return
		}
		if err := c.message(msg); err != nil {
			s.err = err
		}
	}
}

// isBroken reports whether the connection ended within a frame or the door cut it.
func isBroken(err error) bool {
	var garbage *garbageError
	var hang *hangError
	var checksum eventstream.ChecksumError
	if errors.As(err, &checksum) {
		return false
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &garbage) || errors.As(err, &hang) || isNetwork(err)
}

func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, syscall.ECONNRESET)
}

func (c *claudeAnswer) message(msg eventstream.Message) error {
	header := func(name string) string {
		if v := msg.Headers.Get(name); v != nil {
			return v.String()
		}
		return ""
	}
	failed := func(kind, text string) error {
		body, err := json.Marshal(map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": text}})
		if err != nil {
			return err
		}
		return &statusError{status: http.StatusOK, header: c.s.x.got, body: body, inside: true}
	}
	switch header(eventstreamapi.MessageTypeHeader) {
	case eventstreamapi.ExceptionMessageType:
		return failed(header(eventstreamapi.ExceptionTypeHeader), readError(msg.Payload).message)
	case eventstreamapi.ErrorMessageType:
		return failed(header(eventstreamapi.ErrorCodeHeader), header(eventstreamapi.ErrorMessageHeader))
	}
	if len(msg.Payload) == 0 {
		return nil
	}
	var chunk struct {
		Bytes []byte `json:"bytes"`
	}
	if err := json.Unmarshal(msg.Payload, &chunk); err != nil {
		return &garbageError{"a frame that is not JSON"}
	}
	if len(bytes.TrimSpace(chunk.Bytes)) == 0 {
		return nil // an event that is not ours
	}
	return c.event(chunk.Bytes)
}
