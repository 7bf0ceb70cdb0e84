package edit

import (
	"regexp"
	"strconv"
	"strings"
)

var hunkRE = regexp.MustCompile(`^@@ -(\d{1,7})(?:,\d{1,7})? \+\d{1,7}(?:,\d{1,7})? @@`)

// udiff finds unified diffs in fences that say so, or without a fence when the whole shape is there.
func (p *parser) udiff() ([]op, *parseError) {
	var ops []op
	for i := 0; i < len(p.lines); i++ {
		f, ok := parseFence(p.lines[i])
		if !ok || !diffLanguage(language(f.info)) {
			continue
		}
		end := i + 1
		indent := indentOf(p.lines[i]) // a fence among the context lines has a blank before it
		for end < len(p.lines) && (!f.closes(p.lines[end]) || indentOf(p.lines[end]) != indent) {
			end++
		}
		if end == len(p.lines) {
			return nil, &parseError{line: p.at(i), msg: "the diff is not closed; its fence must end it", cut: true}
		}
		name := p.infoPath(f.info)
		if name == "" {
			name = p.pathLineAbove(i)
		}
		copy(p.lines[i+1:end], dedent(p.lines[i+1:end], indent)) // a fence in a list
		more, perr := p.diffBody(i+1, end, name)
		if perr != nil {
			return nil, perr
		}
		ops = append(ops, more...)
		i = end
	}
	if len(ops) > 0 {
		return ops, nil
	}
	for i := 0; i+2 < len(p.lines); i++ {
		if _, fenced := parseFence(p.lines[i]); fenced {
			return nil, nil // diffs in other fences are quotes
		}
		if p.fileHeader(i) && strings.HasPrefix(p.lines[i+2], "@@") {
			return p.diffBody(i, p.proseAfter(i), "")
		}
	}
	return nil, nil
}

// proseAfter finds where a diff without a fence ends: at a blank line that no line of a diff follows.
func (p *parser) proseAfter(from int) int {
	end := from
	for i := from; i < len(p.lines); i++ {
		switch l := p.lines[i]; {
		case isBlank(l):
		case end < i && !strings.ContainsRune(" +-@\\", rune(l[0])) && !strings.HasPrefix(l, "diff --git ") && !strings.HasPrefix(l, "Index: "):
			return end
		default:
			end = i + 1
		}
	}
	return end
}

func diffLanguage(l string) bool { return l == "diff" || l == "patch" || l == "udiff" }

func (p *parser) fileHeader(i int) bool {
	return i+1 < len(p.lines) && strings.HasPrefix(p.lines[i], "--- ") && strings.HasPrefix(p.lines[i+1], "+++ ")
}

// diffBody reads file headers and hunks. name is what a line above the fence said.
func (p *parser) diffBody(from, to int, name string) ([]op, *parseError) {
	var ops []op
	var cur *op
	deleting, open := false, false
	flush := func() {
		if cur != nil && (len(cur.search) > 0 || len(cur.replace) > 0) {
			ops = append(ops, *cur)
		}
		cur = nil
	}
	for i := from; i < to; i++ {
		l := p.lines[i]
		switch {
		case p.fileHeader(i) && i+1 < to:
			flush()
			var create bool
			name, create, deleting = p.diffNames(l[4:], p.lines[i+1][4:])
			if deleting {
				ops = append(ops, op{kind: opDelete, format: "diff", line: p.at(i), name: name})
			}
			open = !deleting
			cur = nil
			if create {
				cur = &op{kind: opBlock, format: "diff", line: p.at(i), name: name, create: true}
			}
			i++
		case cur == nil && untextual(l) != "":
			return nil, &parseError{line: p.at(i), msg: untextual(l)}
		case deleting:
		case strings.HasPrefix(l, "@@"):
			if cur == nil || !cur.create {
				flush()
				cur = &op{kind: opBlock, format: "diff", line: p.at(i), name: name}
			}
			if m := hunkRE.FindStringSubmatch(l); m != nil {
				cur.hint, _ = strconv.Atoi(m[1])
			}
			open = true
		case strings.HasPrefix(l, "diff --git "), strings.HasPrefix(l, "Index: ") && i+1 < to && strings.HasPrefix(p.lines[i+1], "====="):
			flush()
			open = false // up to the names stand modes, digests and lines of equals signs
		case open || strings.HasPrefix(l, "-") || strings.HasPrefix(l, "+"):
			if cur == nil {
				cur = &op{kind: opBlock, format: "diff", line: p.at(i), name: name}
			}
			open = true
			cur.hunkLine(l)
		}
	}
	flush()
	return ops, nil
}

// untextual says why a line of git's between the headers and the hunks asks for what edits cannot do, or "".
func untextual(l string) string {
	switch {
	case l == "GIT binary patch", strings.HasPrefix(l, "Binary files ") && strings.HasSuffix(l, " differ"):
		return "a diff of a binary file; only lines of text can be changed"
	case strings.HasPrefix(l, "rename from "), strings.HasPrefix(l, "copy from "):
		return "files cannot be renamed or copied by a diff; make the new file with its lines"
	}
	return ""
}

// diffNames reads the two file lines of a diff.
func (p *parser) diffNames(old, new string) (name string, create, deleted bool) {
	clean := func(s, prefix string) string {
		s, _, _ = strings.Cut(s, "\t")
		s = strings.Trim(strings.TrimSpace(s), "\"")
		if rest, ok := strings.CutPrefix(s, prefix); ok && !p.known(cleanName(s)) {
			return rest
		}
		return s
	}
	o, n := clean(old, "a/"), clean(new, "b/")
	switch {
	case n == "/dev/null":
		return o, false, true
	case o == "/dev/null":
		return n, true, false
	}
	return n, false, false
}

// hunkLine adds a line of a diff or patch to search and replace.
func (o *op) hunkLine(l string) {
	switch {
	case l == "":
		o.search, o.replace = append(o.search, ""), append(o.replace, "")
	case l[0] == '-':
		o.search = append(o.search, l[1:])
	case l[0] == '+':
		o.replace = append(o.replace, l[1:])
	case l[0] == '\\':
	case l[0] == ' ':
		o.search, o.replace = append(o.search, l[1:]), append(o.replace, l[1:])
	default: // a context line whose leading space was forgotten
		o.search, o.replace = append(o.search, l), append(o.replace, l)
	}
}
