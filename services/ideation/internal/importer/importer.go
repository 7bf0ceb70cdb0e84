// Package importer reads files of papers in the forms that people have them: BibTeX, CSL-JSON, works of OpenAlex, records and
// data set lines of Semantic Scholar, the snapshot of arXiv, and the form of the bundled list. What a file is shows in its
// content, so its name does not matter; gzip is undone.
package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"nullius.dev/services/ideation/internal/bibtex"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// Bounds of what is read.
const (
	maxLine   = 10 << 20
	maxIssues = 20
	batch     = 5000 // papers of a transaction
)

// Issue is a line or entry that was dropped or mended.
type Issue struct {
	Line int
	Text string
}

// Report says what a file held.
type Report struct {
	Forms   map[string]int // papers by form
	Dropped int            // entries that could not be read
	Issues  []Issue        // the first 20
}

// Sink takes papers, many at a time, and abstracts that came apart from them by their record's name.
type Sink interface {
	Papers(ctx context.Context, papers []paper.Paper) error
	Abstracts(ctx context.Context, of map[string]string) error
}

// reader is a file being read.
type reader struct {
	ctx       context.Context
	sink      Sink
	out       Report
	papers    []paper.Paper
	abstracts map[string]string
}

// Read reads a file. An error is one of reading or of the sink; what is wrong with the content is in the report.
func Read(ctx context.Context, in io.Reader, sink Sink) (Report, error) {
	r := &reader{ctx: ctx, sink: sink, out: Report{Forms: map[string]int{}}, abstracts: map[string]string{}}
	b := bufio.NewReaderSize(in, 1<<16)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return r.out, fmt.Errorf("it looks like gzip and is not: %w", err)
		}
		b = bufio.NewReaderSize(z, 1<<16)
	}
	if err := r.read(b); err != nil {
		return r.out, err
	}
	return r.out, r.flush()
}

func (r *reader) read(b *bufio.Reader) error {
	first, err := begin(b)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case first == '[':
		return r.list(b)
	case first == '{':
		return r.lines(b)
	}
	data, err := io.ReadAll(io.LimitReader(b, bibtex.MaxFile+1))
	if err != nil {
		return err
	}
	if len(data) > bibtex.MaxFile {
		return fmt.Errorf("a BibTeX file of more than %d MB is not read: split it", bibtex.MaxFile>>20)
	}
	return r.bibtex(data)
}

// begin skips white space and a byte order mark, and gives the first byte of the content.
func begin(b *bufio.Reader) (byte, error) {
	if mark, err := b.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		if _, err := b.Discard(3); err != nil {
			return 0, err
		}
	}
	for {
		c, err := b.ReadByte()
		if err != nil {
			return 0, err
		}
		if !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, b.UnreadByte()
		}
	}
}

func (r *reader) issue(line int, format string, a ...any) {
	if len(r.out.Issues) < maxIssues {
		r.out.Issues = append(r.out.Issues, Issue{line, text.ClipRunes(fmt.Sprintf(format, a...), 200)})
	}
}

func (r *reader) drop(line int, format string, a ...any) {
	r.out.Dropped++
	r.issue(line, format, a...)
}

func (r *reader) take(form string, p paper.Paper) error {
	r.out.Forms[form]++
	r.papers = append(r.papers, p)
	if len(r.papers) >= batch {
		return r.flush()
	}
	return nil
}

func (r *reader) flush() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if len(r.papers) > 0 {
		if err := r.sink.Papers(r.ctx, r.papers); err != nil {
			return err
		}
		r.papers = r.papers[:0]
	}
	if len(r.abstracts) > 0 {
		if err := r.sink.Abstracts(r.ctx, r.abstracts); err != nil {
			return err
		}
		r.abstracts = map[string]string{}
	}
	return nil
}

func (r *reader) bibtex(data []byte) error {
	if bytes.IndexByte(data, 0) >= 0 {
		r.drop(1, "this is no text in UTF-8 or Latin-1")
		return nil
	}
	if bytes.IndexByte(data, '@') < 0 {
		r.drop(1, "this is neither BibTeX nor JSON")
		return nil
	}
	res := bibtex.Parse(data)
	for _, i := range res.Issues {
		r.issue(i.Line, "%s", i.Text)
	}
	r.out.Dropped += res.Dropped
	for _, e := range res.Entries {
		p := e.Paper()
		if text.Norm(p.Title) == "" {
			r.drop(e.Line, "entry %q has no title", e.Key)
			continue
		}
		if err := r.take("BibTeX", named(p, e.Key)); err != nil {
			return err
		}
	}
	return nil
}

// named says which record of the user's a paper came from.
func named(p paper.Paper, record string) paper.Paper {
	p.Origins = []paper.Origin{{Engine: paper.Local, Record: text.ClipRunes(text.OneLine(record), 100)}}
	return p.Clean()
}

// list reads a JSON list, one element at a time.
func (r *reader) list(b *bufio.Reader) error {
	d := json.NewDecoder(b)
	if _, err := d.Token(); err != nil {
		r.drop(1, "the list cannot be read: %v", err)
		return nil
	}
	for n := 1; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			r.drop(n, "element %d and all after it cannot be read: %v", n, err)
			return nil
		}
		if err := r.object(n, raw); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		r.drop(0, "the list breaks off")
	}
	return nil
}

// lines reads JSON objects, one a line, or values over several lines, as a single one often is.
func (r *reader) lines(b *bufio.Reader) error {
	for n := 1; ; n++ {
		line, err := readLine(b)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := errors.Is(err, io.EOF)
		switch trimmed := bytes.TrimSpace(line); {
		case len(trimmed) == 0:
		case n == 1 && !end && strings.IndexByte("{[,", trimmed[len(trimmed)-1]) >= 0:
			return r.values(io.MultiReader(bytes.NewReader(line), b))
		case len(line) > maxLine:
			r.drop(n, "a line of more than %d MB", maxLine>>20)
		case !json.Valid(trimmed):
			r.drop(n, "no JSON object: %s", clip(trimmed))
		default:
			if err := r.object(n, trimmed); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
}

// values reads JSON values one after the other, up to the first that is broken.
func (r *reader) values(in io.Reader) error {
	d := json.NewDecoder(in)
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			r.drop(n, "value %d and all after it cannot be read: %v", n, err)
			return nil
		}
		if err := r.object(n, raw); err != nil {
			return err
		}
	}
}

func clip(b []byte) string {
	return strings.ToValidUTF8(string(b[:min(len(b), 60)]), "")
}

// readLine reads a line with its end; one that is longer than the limit is cut.
func readLine(b *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := b.ReadSlice('\n')
		if len(out) <= maxLine {
			out = append(out, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return out, err
		}
	}
}

// object reads one JSON object by the form it has, or the papers that it holds.
func (r *reader) object(line int, raw json.RawMessage) error {
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	form, p, err := parse(raw)
	var apart *abstractOnly
	var many *container
	switch {
	case errors.As(err, &apart):
		r.abstracts[apart.record] = apart.text
		r.out.Forms["abstracts"]++
		if len(r.abstracts) >= batch {
			return r.flush()
		}
		return nil
	case errors.As(err, &many):
		for _, inner := range many.items {
			if err := r.object(line, inner); err != nil {
				return err
			}
		}
		return nil
	case err != nil:
		r.drop(line, "%v", err)
		return nil
	}
	return r.take(form, p)
}
