package edit

import "strings"

// Languages of fences that hold commands or output rather than a file, unless a script is named.
var shellFences = map[string]bool{"bash": true, "sh": true, "shell": true, "zsh": true, "console": true, "shell-session": true,
	"output": true, "powershell": true, "bat": true, "cmd": true}

var pythonFences = map[string]bool{"python": true, "py": true, "python3": true, "py3": true}

// listings finds whole files: a fence under a line that is a path, or with the path in its info.
// Fences that lie around or inside a block are none.
func (p *parser) listings(blocks []span) ([]op, *parseError) {
	var ops []op
	for i := 0; i < len(p.lines); i++ {
		if b := spanAt(blocks, i); b >= 0 {
			i = blocks[b].to
			continue
		}
		f, ok := parseFence(p.lines[i])
		if !ok {
			continue
		}
		name := p.infoPath(f.info)
		if name == "" {
			name = p.pathLineAbove(i)
		}
		lang := language(f.info)
		end, closed := p.listingEnd(i, f, pythonFences[lang] || strings.HasSuffix(strings.ToLower(name), ".py"))
		if p.work > maxWork {
			return nil, &parseError{line: p.at(i), msg: "too many code fences open and never close"}
		}
		if holdsBlock(blocks, i, end) {
			continue // its lines are looked at one by one
		}
		if name == "" || shellFences[lang] && !scriptName(name) {
			if closed {
				i = end
			}
			continue
		}
		if !closed {
			return nil, &parseError{line: p.at(i), msg: "the listing of " + name + " is not closed; its fence must end it", cut: true}
		}
		ops = append(ops, op{kind: opListing, format: "listing", line: p.at(i), name: name, replace: dedent(p.lines[i+1:end], indentOf(p.lines[i]))})
		i = end
	}
	return ops, nil
}

func language(info string) string {
	word, _, _ := strings.Cut(info, " ")
	word, _, _ = strings.Cut(word, ":")
	return strings.ToLower(strings.Trim(word, "{}."))
}

func scriptName(name string) bool {
	for _, ext := range []string{".sh", ".bash", ".zsh", ".ps1", ".bat", ".cmd"} {
		if strings.HasSuffix(strings.ToLower(name), ext) {
			return true
		}
	}
	return false
}

func (p *parser) pathLineAbove(i int) string {
	i--
	if i >= 0 && isBlank(p.lines[i]) {
		i--
	}
	if i < 0 {
		return ""
	}
	if _, ok := parseFence(p.lines[i]); ok {
		return ""
	}
	if bare := bareName(p.lines[i]); p.pathLike(bare) {
		return bare
	}
	return ""
}

// listingEnd finds the closing fence. A fence with a language opens a level; in Python a fence within
// a string in three quotes is text.
func (p *parser) listingEnd(from int, f fence, python bool) (int, bool) {
	depth := 0
	quotes := tripleQuotes{}
	for i := from + 1; i < len(p.lines) && p.work <= maxWork; i++ {
		p.work++
		l := p.lines[i]
		g, ok := parseFence(l)
		if python && quotes.open != "" && ok && p.closesLater(i, f) {
			quotes.feed(l)
			continue
		}
		if ok && g.char == f.char && g.count >= f.count {
			if g.info != "" {
				depth++
				continue
			}
			if depth == 0 {
				return i, true
			}
			depth--
			continue
		}
		if python {
			quotes.feed(l)
		}
	}
	return len(p.lines), false
}

func (p *parser) closesLater(i int, f fence) bool {
	for j := i + 1; j < len(p.lines); j++ {
		p.work++
		if f.closes(p.lines[j]) {
			return true
		}
	}
	return false
}

// tripleQuotes follows whether a line of Python ends inside a string in three quotes.
type tripleQuotes struct{ open string }

func (q *tripleQuotes) feed(l string) {
	for i := 0; i < len(l); {
		rest := l[i:]
		switch {
		case q.open != "" && strings.HasPrefix(rest, "\\"):
			i += 2
		case q.open != "" && strings.HasPrefix(rest, q.open):
			q.open = ""
			i += 3
		case q.open != "":
			i++
		case strings.HasPrefix(rest, `"""`) || strings.HasPrefix(rest, `'''`):
			q.open = rest[:3]
			i += 3
		case rest[0] == '#':
			return
		case rest[0] == '"' || rest[0] == '\'':
			i += shortString(rest)
		default:
			i++
		}
	}
}

// shortString gives the length of a string in single quotes, to the end of the line when it is open.
func shortString(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == s[0] {
			return i + 1
		}
	}
	return len(s)
}

func spanAt(blocks []span, i int) int {
	for k, b := range blocks {
		if i >= b.from && i <= b.to {
			return k
		}
	}
	return -1
}

func holdsBlock(blocks []span, from, to int) bool {
	for _, b := range blocks {
		if b.from > from && b.from < to {
			return true
		}
	}
	return false
}
