package edit

import (
	"fmt"
	"strconv"
	"strings"
)

// marker is a line that opens or closes a block.
type marker struct {
	indent string
	count  int
	hint   int
}

// parseHead reads "<<<<<<< SEARCH", its siblings and an optional line=N.
func parseHead(l string) (marker, bool) {
	m, rest, ok := runOf(l, '<', '-')
	if !ok {
		return marker{}, false
	}
	word, hint, _ := strings.Cut(rest, " ")
	word = strings.TrimSuffix(word, ">")
	if word != "SEARCH" && word != "ORIGINAL" {
		return marker{}, false
	}
	hint = strings.TrimSpace(hint)
	if hint == "" || hint == ">" {
		return m, true
	}
	digits, ok := strings.CutPrefix(strings.TrimSuffix(hint, ">"), "line=")
	if !ok {
		return marker{}, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 {
		return marker{}, false
	}
	m.hint = n
	return m, true
}

// parseClose reads ">>>>>>> REPLACE" and its siblings.
func parseClose(l string) (marker, bool) {
	m, rest, ok := runOf(l, '>', '+')
	rest = strings.TrimSuffix(rest, ">")
	return m, ok && (rest == "REPLACE" || rest == "UPDATED")
}

// parseDivider reads "=======", also with a stray ">".
func parseDivider(l string) (m marker, stray, ok bool) {
	m, rest, ok := runOf(l, '=', '=')
	return m, rest == ">", ok && (rest == "" || rest == ">")
}

// MarkerLike says whether a file holds a line that could be taken for a marker, so that blocks need longer ones.
func MarkerLike(data []byte) bool {
	for l := range strings.Lines(string(data)) {
		l = strings.TrimRight(l, "\r\n")
		_, head := parseHead(l)
		_, end := parseClose(l)
		if _, _, divider := parseDivider(l); head || end || divider || strings.HasPrefix(l, "<<<<<<<") || strings.HasPrefix(l, ">>>>>>>") {
			return true
		}
	}
	return false
}

// runOf reads an indent, 5 to 9 of one of two characters and the trimmed rest.
func runOf(l string, a, b byte) (marker, string, bool) {
	indent := indentOf(l)
	t := l[len(indent):]
	if t == "" || t[0] != a && t[0] != b {
		return marker{}, "", false
	}
	n := 0
	for n < len(t) && t[n] == t[0] {
		n++
	}
	if n < 5 || n > 9 {
		return marker{}, "", false
	}
	return marker{indent: indent, count: n}, strings.Trim(t[n:], " \t\r"), true
}

// span is a block's place in the reply: head and close line.
type span struct{ from, to int }

func (p *parser) blocksAndListings() ([]op, *parseError) {
	blocks, spans, perr := p.blocks()
	if perr != nil {
		return nil, perr
	}
	listings, perr := p.listings(spans)
	if perr != nil {
		return nil, perr
	}
	// Beside blocks a listing counts only for a file without a block; unnamed blocks may be for any.
	named := map[string]bool{}
	for _, b := range blocks {
		named[cleanName(b.name)] = true
	}
	out := blocks
	for _, l := range listings {
		if !named[cleanName(l.name)] {
			out = append(out, l)
		}
	}
	return out, nil
}

func (p *parser) blocks() ([]op, []span, *parseError) {
	var ops []op
	var spans []span
	prev := -1 // last line of the block before
	for i := 0; i < len(p.lines); i++ {
		if _, ok := parseClose(p.lines[i]); ok {
			return nil, nil, &parseError{line: p.at(i), msg: "a closing marker outside a block; the line before it should belong to a block that begins with <<<<<<< SEARCH"}
		}
		head, ok := parseHead(p.lines[i])
		if !ok {
			continue
		}
		number := len(ops) + 1
		end, perr := p.blockEnd(i, head, number)
		if perr != nil {
			return nil, nil, perr
		}
		o, perr := p.block(i, end, head, number)
		if perr != nil {
			return nil, nil, perr
		}
		o.name, o.names = p.nameAbove(i, prev)
		ops = append(ops, o)
		spans = append(spans, span{i, end})
		prev, i = end, end
	}
	return ops, spans, nil
}

// blockEnd finds the close. Markers as long as the head count; only when there is none of that
// length before the next such head does any length serve.
func (p *parser) blockEnd(from int, head marker, number int) (int, *parseError) {
	limit, loose := len(p.lines), -1
	for i := from + 1; i < len(p.lines); i++ {
		if h, ok := parseHead(p.lines[i]); ok && h.indent == head.indent && h.count == head.count {
			limit = i
			break
		}
		c, ok := parseClose(p.lines[i])
		if !ok || c.indent != head.indent {
			continue
		}
		if c.count == head.count {
			return i, nil
		}
		if loose < 0 {
			loose = i
		}
	}
	if loose >= 0 {
		return loose, nil
	}
	if limit < len(p.lines) {
		return 0, &parseError{number: number, line: p.at(from), msg: fmt.Sprintf("the block has no closing marker before the next one begins on line %d; it must end with >>>>>>> REPLACE", p.at(limit))}
	}
	return 0, &parseError{number: number, line: p.at(from), msg: "the block is not closed; it must end with >>>>>>> REPLACE", cut: true}
}

// block reads what lies between head and close.
func (p *parser) block(from, end int, head marker, number int) (op, *parseError) {
	body := p.lines[from+1 : end]
	var same, loose, stray []int
	for i, l := range body {
		d, odd, ok := parseDivider(l)
		switch {
		case !ok || d.indent != head.indent:
		case odd:
			stray = append(stray, i)
		case d.count == head.count:
			same = append(same, i)
		default:
			loose = append(loose, i)
		}
	}
	for _, weaker := range [][]int{loose, stray} {
		if len(same) == 0 {
			same = weaker
		}
	}
	o := op{kind: opBlock, format: "block", line: p.at(from), hint: head.hint}
	switch len(same) {
	case 0:
		return o, &parseError{number: number, line: p.at(from), msg: "the block has no divider; ======= must stand between the old and the new lines"}
	case 1:
		o.search = dedent(body[:same[0]], head.indent)
		o.replace = dedent(body[same[0]+1:], head.indent)
	default:
		o.body, o.dividers = dedent(body, head.indent), same
	}
	return o, nil
}

// dedent takes the head's indent off when every line that is not blank has it.
func dedent(lines []string, indent string) []string {
	if indent == "" {
		return lines
	}
	for _, l := range lines {
		if !isBlank(l) && !strings.HasPrefix(l, indent) {
			return lines
		}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimPrefix(l, indent)
	}
	return out
}
