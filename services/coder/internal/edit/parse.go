package edit

import (
	"fmt"
	"strings"
)

// parseError makes a whole reply malformed.
type parseError struct {
	line   int // in the reply, from 1; 0: the reply as such
	number int // of the block, 0: none
	msg    string
	cut    bool // the reply ends where more was due
}

func (e *parseError) Error() string {
	switch {
	case e.number > 0:
		return fmt.Sprintf("block %d, line %d of the reply: %s", e.number, e.line, e.msg)
	case e.line > 0:
		return fmt.Sprintf("line %d of the reply: %s", e.line, e.msg)
	}
	return e.msg
}

// parser walks the lines of one reply.
type parser struct {
	lines  []string
	offset int // lines of the reply before lines[0]
	known  func(string) bool
	ours   func(string) bool // whether a path may be written
	work   int               // lines looked at for the ends of fences
}

// maxWork bounds the search for closing fences: a reply of nothing but fences would cost its square.
const maxWork = 4 << 20

func (p *parser) at(i int) int { return p.offset + i + 1 }

// parse finds the operations of a reply. known says whether a string is a path that exists or may be written, ours whether it may be written.
func parse(reply string, known, ours func(string) bool) ([]op, *parseError) {
	if len(reply) > MaxReply {
		return nil, &parseError{msg: fmt.Sprintf("the reply is longer than %d bytes", MaxReply)}
	}
	reply = strings.TrimPrefix(reply, bom)
	reply = strings.ReplaceAll(reply, "\r\n", "\n")
	reply, skipped, perr := dropReasoning(reply)
	if perr != nil {
		return nil, perr
	}
	p := &parser{lines: strings.Split(reply, "\n"), offset: skipped, known: known, ours: ours}
	ops, perr := p.all()
	if perr != nil {
		return nil, perr
	}
	if len(ops) > MaxBlocks {
		return nil, &parseError{msg: fmt.Sprintf("%d blocks are more than the %d that one reply may hold", len(ops), MaxBlocks)}
	}
	for i := range ops {
		ops[i].number = i + 1
		if n := max(len(ops[i].search), len(ops[i].replace), len(ops[i].body)); ops[i].kind == opBlock && n > MaxBlockLines {
			return nil, &parseError{number: i + 1, line: ops[i].line, msg: fmt.Sprintf("%d lines are more than the %d that a block may hold", n, MaxBlockLines)}
		}
	}
	return ops, nil
}

// all picks the syntax: patch envelope, blocks, fenced diffs, listings.
func (p *parser) all() ([]op, *parseError) {
	head, patch := -1, -1
	for i, l := range p.lines {
		if patch < 0 && strings.TrimSpace(l) == "*** Begin Patch" {
			patch = i
		}
		if _, ok := parseHead(l); ok {
			head = i
			break
		}
	}
	switch {
	case patch >= 0 && (head < 0 || patch < head):
		return p.patch(patch)
	case head >= 0:
		return p.blocksAndListings()
	}
	if ops, perr := p.udiff(); perr != nil || len(ops) > 0 {
		return ops, perr
	}
	ops, perr := p.listings(nil)
	if perr != nil || len(ops) > 0 {
		return ops, perr
	}
	for i, l := range p.lines {
		if c, ok := parseClose(l); ok && c.indent == "" {
			return nil, &parseError{line: p.at(i), msg: "a closing marker without a block; a block begins with <<<<<<< SEARCH"}
		}
	}
	return nil, nil
}

// dropReasoning removes a leading <think> section and says how many lines went with it.
func dropReasoning(s string) (rest string, lines int, perr *parseError) {
	trimmed := strings.TrimLeft(s, " \t\n")
	for _, tag := range []string{"think", "thinking"} {
		open, end := "<"+tag+">", "</"+tag+">"
		if !strings.HasPrefix(trimmed, open) {
			continue
		}
		i := strings.Index(s, end)
		if i < 0 {
			return "", 0, &parseError{line: 1, msg: "the reasoning section " + open + " is never closed", cut: true}
		}
		return s[i+len(end):], strings.Count(s[:i], "\n"), nil
	}
	return s, 0, nil
}

// fence is an opening code fence.
type fence struct {
	char  byte
	count int
	info  string
}

func parseFence(l string) (fence, bool) {
	t := strings.TrimLeft(l, " \t")
	if len(t) < 3 || t[0] != '`' && t[0] != '~' {
		return fence{}, false
	}
	n := 0
	for n < len(t) && t[n] == t[0] {
		n++
	}
	if n < 3 {
		return fence{}, false
	}
	info := strings.TrimSpace(t[n:])
	if t[0] == '`' && strings.Contains(info, "`") {
		return fence{}, false
	}
	return fence{char: t[0], count: n, info: info}, true
}

// closes says whether l ends the fence.
func (f fence) closes(l string) bool {
	g, ok := parseFence(l)
	return ok && g.char == f.char && g.count >= f.count && g.info == ""
}

// WithoutReasoning drops a leading reasoning section; one that is never closed is all there is.
func WithoutReasoning(reply string) string {
	rest, _, perr := dropReasoning(strings.TrimPrefix(strings.ReplaceAll(reply, "\r\n", "\n"), bom))
	if perr != nil {
		return ""
	}
	return rest
}

// Prose makes plain text of a reply that was to hold nothing else: without reasoning, without a fence
// around it all; of blocks only what they were to write.
func Prose(reply string) string {
	s := strings.TrimSpace(WithoutReasoning(reply))
	if ops, perr := parse(s, never, never); perr == nil {
		var out []string
		for _, o := range ops {
			if o.format == "block" && len(o.dividers) == 0 {
				out = append(out, strings.Join(o.replace, "\n"))
			}
		}
		if len(out) > 0 {
			s = strings.TrimSpace(strings.Join(out, "\n\n"))
		}
	}
	lines := strings.Split(s, "\n")
	if f, ok := parseFence(lines[0]); ok && len(lines) > 2 && f.closes(lines[len(lines)-1]) {
		s = strings.TrimSpace(strings.Join(lines[1:len(lines)-1], "\n"))
	}
	return s
}

func never(string) bool { return false }
