package llm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// stream watches a body: its silence, its size, its frames.
type stream struct {
	x     *exchange
	ctx   context.Context // of the exchange, which this stream is a part of
	body  io.ReadCloser
	first *time.Timer
	gap   *time.Timer // without a byte
	idle  *time.Timer // without data
	lines *bufio.Reader
	total int
	out   bytes.Buffer
	err   error
	take  func(data []byte) error // of a data line; nil: frame
}

// Read reads from the network and winds the timers.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if n > 0 {
		if s.gap == nil {
			s.first.Stop()
			s.x.firstByte = time.Since(s.x.started)
			t := s.x.times
			s.gap = time.AfterFunc(t.Gap, func() { s.x.cancel(&hangError{after: t.Gap}) })
			s.idle = time.AfterFunc(t.KeepAlive, func() { s.x.cancel(&hangError{after: t.KeepAlive}) })
		}
		s.gap.Reset(s.x.times.Gap)
		s.total += n
		if s.total > maxStream {
			return 0, &garbageError{"larger than 64 MiB"}
		}
	}
	if err != nil && err != io.EOF {
		err = cause(s.ctx, err)
	}
	return n, err
}

// Close stops the timers and the body.
func (s *stream) Close() error {
	s.first.Stop()
	if s.gap != nil {
		s.gap.Stop()
		s.idle.Stop()
	}
	return s.body.Close()
}

// filtered is the body as go-openai may see it: data lines only, ended by [DONE].
func (s *stream) filtered() io.ReadCloser { return filteredBody{s} }

type filteredBody struct{ s *stream }

func (f filteredBody) Close() error { return f.s.Close() }

func (f filteredBody) Read(p []byte) (int, error) {
	s := f.s
	for s.out.Len() == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.step()
	}
	return s.out.Read(p)
}

// step takes one line in.
func (s *stream) step() {
	line, err := s.line()
	if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && err == nil || ok && err == io.EOF {
		data = bytes.TrimSpace(data)
		switch {
		case len(data) == 0:
		case string(data) == "[DONE]":
			s.end(io.EOF)
			return
		default:
			take := s.take
			if take == nil {
				take = s.frame
			}
			if e := take(data); e != nil {
				s.err = e
				return
			}
		}
	}
	if err != nil {
		s.end(err)
	}
}

// alive says that something else than a keep-alive came.
func (s *stream) alive() { s.idle.Reset(s.x.times.KeepAlive) }

// end closes the stream: it is whole only if a finish reason came.
func (s *stream) end(err error) {
	switch {
	case s.x.finish != "": // what breaks after the finish is only the usage
		s.out.WriteString("data: [DONE]\n\n")
		s.err = io.EOF
	case err == io.EOF && s.total == 0:
		s.err = &garbageError{"an empty body"}
	case err == io.EOF:
		s.err = io.ErrUnexpectedEOF
	default:
		s.err = err
	}
}

func (s *stream) line() ([]byte, error) {
	var line []byte
	for {
		part, err := s.lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, &garbageError{"a line of more than 8 MiB"}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// chunk is what matters in a frame.
type chunk struct {
	Error   json.RawMessage `json:"error"`
	Object  string          `json:"object"`
	Message json.RawMessage `json:"message"`
	Usage   json.RawMessage `json:"usage"`
	Choices []struct {
		FinishReason *string `json:"finish_reason"`
		Delta        delta   `json:"delta"`
		Message      delta   `json:"message"` // of a reply that was not streamed
	} `json:"choices"`
}

type delta struct {
	Content   *string `json:"content"`
	Refusal   *string `json:"refusal"`
	Reasoning *string `json:"reasoning_content"`
	Thinking  *string `json:"reasoning"`
}

func (s *stream) frame(data []byte) error {
	s.alive()
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return &garbageError{fmt.Sprintf("not JSON (%d bytes)", len(data))}
	}
	if isError(c) {
		return &statusError{status: http.StatusOK, header: s.x.got, body: bytes.Clone(data), inside: true}
	}
	s.x.take(c)
	s.out.WriteString("data: ")
	s.out.Write(data)
	s.out.WriteString("\n\n")
	return nil
}

func isError(c chunk) bool {
	e := strings.TrimSpace(string(c.Error))
	return e != "" && e != "null" && e != `""` && e != "{}" || c.Object == "error" || len(c.Choices) == 0 && len(c.Message) > 0
}

func (x *exchange) take(c chunk) {
	if u := bytes.TrimSpace(c.Usage); len(u) > 0 && string(u) != "null" {
		x.usage = bytes.Clone(u)
	}
	n := 0
	for _, ch := range c.Choices {
		if ch.FinishReason != nil && *ch.FinishReason != "" {
			x.finish = *ch.FinishReason
		}
		for _, t := range []*string{ch.Delta.Content, ch.Delta.Refusal, ch.Delta.Reasoning, ch.Delta.Thinking} {
			if t != nil {
				n += len(*t)
			}
		}
		x.refusal = x.refusal || ch.Delta.Refusal != nil && *ch.Delta.Refusal != ""
	}
	x.chars += n
	if x.onData != nil {
		x.onData(n)
	}
}

// whole reads a body that is no event stream: an error, a reply in one piece, or garbage.
func (s *stream) whole(resp *http.Response) (*http.Response, error) {
	defer func() { _ = s.Close() }() // everything wanted was read
	body, err := io.ReadAll(s)
	if err != nil {
		return nil, err
	}
	trimmed := bytes.TrimSpace(body)
	var c chunk
	switch {
	case len(trimmed) == 0:
		return nil, &garbageError{"an empty body"}
	case looksLikeHTML(trimmed):
		return nil, &garbageError{"an HTML page" + title(trimmed)}
	case trimmed[0] == '[':
		return nil, &statusError{status: http.StatusOK, header: resp.Header, body: body, inside: true}
	case json.Unmarshal(trimmed, &c) != nil:
		return nil, &garbageError{fmt.Sprintf("not JSON (%d bytes)", len(body))}
	case isError(c):
		return nil, &statusError{status: http.StatusOK, header: resp.Header, body: body, inside: true}
	case len(c.Choices) == 0:
		return nil, &garbageError{"JSON without choices"}
	}
	return s.asStream(resp, trimmed, c)
}

// asStream dresses a reply in one piece as a stream of one frame.
func (s *stream) asStream(resp *http.Response, body []byte, c chunk) (*http.Response, error) {
	for i := range c.Choices {
		c.Choices[i].Delta = c.Choices[i].Message
	}
	s.x.take(c)
	if s.x.finish == "" {
		return nil, io.ErrUnexpectedEOF
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, &garbageError{"not a JSON object"}
	}
	choices, _ := m["choices"].([]any)
	for _, ch := range choices {
		if o, ok := ch.(map[string]any); ok {
			o["delta"] = o["message"]
			delete(o, "message")
		}
	}
	line, err := json.Marshal(m)
	if err != nil {
		return nil, &garbageError{"not a JSON object"}
	}
	resp.Body = io.NopCloser(strings.NewReader("data: " + string(line) + "\n\ndata: [DONE]\n\n"))
	return resp, nil
}
