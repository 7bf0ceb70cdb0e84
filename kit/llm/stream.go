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
	part  []byte                  // of an event whose data goes on in the next line
	bad   error                   // why part is no event by itself
	lone  []byte                  // lines that carriage returns alone end
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
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if len(line) > 0 && line[0] == '{' && json.Valid(line) { // an error that a gateway puts into a stream as it is
		data, ok = line, true
	}
	switch {
	case ok && (err == nil || err == io.EOF):
		if s.data(bytes.TrimSpace(data)) {
			return
		}
	case len(line) == 0 && s.bad != nil: // the event is over
		s.err = s.bad
		return
	}
	switch {
	case err == io.EOF && s.bad != nil && s.x.finish == "":
		s.err = s.bad
	case err != nil:
		s.end(err)
	}
}

// data takes a data line in and reports whether the stream ends with it. Most events are one line; an event may be several, joined by line feeds.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
func (s *stream) data(line []byte) bool {
	switch {
	case len(line) == 0:
		return false
	case string(line) == "[DONE]":
		if s.bad != nil && s.x.finish == "" {
			s.err = s.bad
		} else {
			s.end(io.EOF)
		}
		return true
	}
	if len(s.part) > 0 {
		line = append(append(s.part, '\n'), line...)
	}
	take := s.take
	if take == nil {
		take = s.frame
	}
	err := take(line)
	s.part, s.bad = nil, nil
	if g := (*garbageError)(nil); errors.As(err, &g) && len(line) < maxLine {
		s.part, s.bad = bytes.Clone(line), err
		return false
	}
	s.err = err
	return err != nil
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

// line gives the next line, which a line feed ends, a carriage return or both.
func (s *stream) line() ([]byte, error) {
	if len(s.lone) > 0 {
		line, rest, _ := bytes.Cut(s.lone, []byte("\r"))
		s.lone = rest
		return line, nil
	}
	var line []byte
	for {
		part, err := s.lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, &garbageError{"a line of more than 8 MiB"}
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line = bytes.TrimRight(line, "\r\n")
		if i := bytes.IndexByte(line, '\r'); i >= 0 && (err == nil || err == io.EOF) {
			s.lone = append(line[i+1:], '\r')
			return line[:i:i], nil // the end comes again
		}
		return line, err
	}
}

const byteOrderMark = "\xef\xbb\xbf"

// head passes over a byte order mark and blank lines, and gives the beginning of what follows without taking it.
func (s *stream) head() []byte {
	for _, blank := range []string{byteOrderMark[:1], byteOrderMark[1:2], byteOrderMark[2:]} {
		if c, err := s.lines.Peek(1); err != nil || string(c) != blank {
			break
		}
		_, _ = s.lines.Discard(1) // it is there
	}
	for {
		c, err := s.lines.Peek(1)
		if err != nil || strings.IndexByte(" \t\r\n", c[0]) < 0 {
			break
		}
		_, _ = s.lines.Discard(1) // it is there
	}
	head, _ := s.lines.Peek(len("event:")) // a shorter body is no stream
	return head
}

// isStream reports whether a body is a stream of events, whatever its content type says: some servers name another one, or none, and some name that of
// a stream for a reply or an error in one piece.
func (s *stream) isStream(resp *http.Response) bool {
	head := s.head()
	if len(head) > 0 && strings.IndexByte("{[<", head[0]) >= 0 {
		return false
	}
	if mediaType(resp) == eventStream {
		return true
	}
	for _, field := range []string{"data:", "event:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(head, []byte(field)) {
			return true
		}
	}
	return false
}

// whole reads a body that is no event stream: an error, a reply in one piece, or garbage.
func (s *stream) whole(resp *http.Response) (*http.Response, error) {
	defer func() { _ = s.Close() }() // everything wanted was read
	body, err := io.ReadAll(s.lines)
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
	for i := range c.Choices { // dressed as a stream of one frame
		c.Choices[i].Delta = c.Choices[i].Message
	}
	s.x.take(c)
	if s.x.finish == "" {
		return nil, io.ErrUnexpectedEOF
	}
	line, err := c.plain()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader("data: " + string(line) + "\n\ndata: [DONE]\n\n"))
	return resp, nil
}
