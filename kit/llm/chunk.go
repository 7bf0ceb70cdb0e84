package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// chunk is what matters in a frame of the OpenAI family: https://platform.openai.com/docs/api-reference/chat-streaming
type chunk struct {
	ID      any             `json:"id"`
	Model   any             `json:"model"`
	Error   json.RawMessage `json:"error"`
	Object  string          `json:"object"`
	Message json.RawMessage `json:"message"`
	Usage   json.RawMessage `json:"usage"`
	Choices []struct {
		Index        int             `json:"index"`
		FinishReason *string         `json:"finish_reason"`
		Delta        delta           `json:"delta"`
		Message      delta           `json:"message"` // of a reply that was not streamed
		Usage        json.RawMessage `json:"usage"`   // Moonshot puts it here
	} `json:"choices"`
}

type delta struct {
	Content   said `json:"content"`
	Refusal   said `json:"refusal"`
	Reasoning said `json:"reasoning_content"`
	Thinking  said `json:"reasoning"`
}

// said is text in any of the forms in which servers send it: a string, null, or a list of parts as Mistral's magistral does,
// of which only those of type text are the answer: https://docs.mistral.ai/capabilities/reasoning
type said struct {
	text string
	size int // of all that came, thinking too
}

// UnmarshalJSON reads any JSON value.
func (t *said) UnmarshalJSON(data []byte) error {
	t.size = 0
	var s string
	if json.Unmarshal(data, &s) == nil { // null too
		t.text, t.size = s, len(s)
		return nil
	}
	t.size = len(data)
	var parts []struct {
		Type string          `json:"type"`
		Text json.RawMessage `json:"text"`
	}
	if json.Unmarshal(data, &parts) != nil {
		return nil // an object: something of the server's own
	}
	var b strings.Builder
	for _, p := range parts {
		var s string
		if (p.Type == "text" || p.Type == "output_text" || p.Type == "") && json.Unmarshal(p.Text, &s) == nil {
			b.WriteString(s)
		}
	}
	t.text = b.String()
	return nil
}

// MarshalJSON writes the text.
func (t said) MarshalJSON() ([]byte, error) { return json.Marshal(t.text) }

// plain is a frame with what matters alone, in the form that go-openai reads.
func (c chunk) plain() ([]byte, error) {
	type choice struct {
		Index  int     `json:"index"`
		Finish *string `json:"finish_reason"`
		Delta  struct {
			Content said `json:"content"`
			Refusal said `json:"refusal"`
		} `json:"delta"`
	}
	out := struct {
		ID      string   `json:"id"`
		Object  string   `json:"object"`
		Model   string   `json:"model"`
		Choices []choice `json:"choices"`
	}{text(c.ID), "chat.completion.chunk", text(c.Model), make([]choice, len(c.Choices))}
	for i, ch := range c.Choices {
		out.Choices[i].Index, out.Choices[i].Finish = ch.Index, ch.FinishReason
		out.Choices[i].Delta.Content, out.Choices[i].Delta.Refusal = ch.Delta.Content, ch.Delta.Refusal
	}
	return json.Marshal(out)
}

func (s *stream) frame(data []byte) error {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return &garbageError{fmt.Sprintf("not JSON (%d bytes)", len(data))}
	}
	s.alive()
	if isError(c) {
		return &statusError{status: http.StatusOK, header: s.x.got, body: bytes.Clone(data), inside: true}
	}
	s.x.take(c)
	plain, err := c.plain()
	if err != nil {
		return err
	}
	s.out.WriteString("data: ")
	s.out.Write(plain)
	s.out.WriteString("\n\n")
	return nil
}

func isError(c chunk) bool {
	none := false
	switch strings.TrimSpace(string(c.Error)) {
	case "", "null", `""`, "{}", "[]", "false", "0":
		none = true
	}
	return !none || c.Object == "error" || len(c.Choices) == 0 && len(c.Message) > 0
}

func (x *exchange) take(c chunk) {
	counts := []json.RawMessage{c.Usage}
	n := 0
	for _, ch := range c.Choices {
		if ch.FinishReason != nil && *ch.FinishReason != "" {
			x.finish = *ch.FinishReason
		}
		for _, t := range []said{ch.Delta.Content, ch.Delta.Refusal, ch.Delta.Reasoning, ch.Delta.Thinking} {
			n += t.size
		}
		x.refusal = x.refusal || ch.Delta.Refusal.text != ""
		counts = append(counts, ch.Usage)
	}
	for _, u := range counts {
		if _, ok := parseUsage(u); ok { // zeros that follow are no counts
			x.usage = bytes.Clone(u)
		}
	}
	x.chars += n
	if x.onData != nil {
		x.onData(n)
	}
}
