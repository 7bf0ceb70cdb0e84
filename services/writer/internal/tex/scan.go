// Package tex reads LaTeX well enough to cut a paper into sections and paragraphs and to put text back in. It never runs TeX.
package tex

import "strings"

// verbatimEnvironments hold text that TeX does not interpret.
var verbatimEnvironments = []string{"verbatim*", "verbatim", "lstlisting", "filecontents*", "filecontents"}

// Mask blanks comments and uninterpreted text, keeping every byte offset and line break.
func Mask(s string) string {
	b := []byte(s)
	for i := 0; i < len(b); {
		switch b[i] {
		case '\\':
			if name, end := verbatimAt(s, i); name != "" {
				blank(b[i:end])
				i = end
				continue
			}
			i += 2
		case '%':
			end := strings.IndexByte(s[i:], '\n')
			if end < 0 {
				end = len(s) - i
			}
			blank(b[i : i+end])
			i += end
		default:
			i++
		}
	}
	return string(b)
}

func blank(b []byte) {
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
}

// verbatimAt names the uninterpreted environment that begins at i and says where it ends.
func verbatimAt(s string, i int) (name string, end int) {
	rest := s[i:]
	if !strings.HasPrefix(rest, `\begin{`) {
		return "", 0
	}
	for _, n := range verbatimEnvironments {
		if !strings.HasPrefix(rest[len(`\begin{`):], n+"}") {
			continue
		}
		closing := `\end{` + n + "}"
		if j := strings.Index(rest, closing); j >= 0 {
			return n, i + j + len(closing)
		}
		return n, len(s)
	}
	return "", 0
}

// IsLetter says whether c may stand in a command's name.
func IsLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// CommandAt reads the command that begins with the backslash at i: its name and the offset behind it.
func CommandAt(s string, i int) (name string, end int) {
	j := i + 1
	for j < len(s) && IsLetter(s[j]) {
		j++
	}
	if j == i+1 && j < len(s) {
		j++
		for j < len(s) && s[j]&0xC0 == 0x80 {
			j++
		}
	}
	return s[i+1 : j], j
}

// SkipSpace returns the offset of the first byte from i on that is no blank; one line break is skipped too, a blank line is not.
func SkipSpace(s string, i int) int {
	lines := 0
	for j := i; j < len(s); j++ {
		switch s[j] {
		case ' ', '\t', '\r':
		case '\n':
			if lines++; lines > 1 {
				return i
			}
		default:
			return j
		}
	}
	return i
}

// Group reads the balanced group opened by the byte at i ('{' or '['). It returns what is inside and the offset behind the closing byte; ok is
// false if it never closes.
func Group(s string, i int) (inside string, end int, ok bool) {
	if i >= len(s) {
		return "", i, false
	}
	open := s[i]
	closing := byte('}')
	if open == '[' {
		closing = ']'
	} else if open != '{' {
		return "", i, false
	}
	depth := 0
	for j := i; j < len(s); j++ {
		switch c := s[j]; {
		case c == '\\':
			j++
		case c == '{' && open == '{', c == '{' && j > i:
			depth++
		case c == '}' && open == '[':
			if depth == 0 {
				return "", i, false
			}
			depth--
		case c == closing && open == '[' && depth == 0 && j > i:
			return s[i+1 : j], j + 1, true
		case c == '}':
			if depth--; depth == 0 {
				return s[i+1 : j], j + 1, true
			}
		}
	}
	return "", i, false
}

// Call is one use of a command with its arguments.
type Call struct {
	Name       string
	Start, End int // of the whole use in the text
	Option     string
	HasOption  bool
	Args       []string
	ArgStart   []int // offset of each argument's text
}

// ReadCall reads a command at i that takes n groups. Missing groups are left out of Args.
func ReadCall(s string, i, n int) Call {
	name, end := CommandAt(s, i)
	c := Call{Name: name, Start: i, End: end}
	if end < len(s) && s[end] == '*' {
		end++
		c.End = end
	}
	if j := SkipSpace(s, end); j < len(s) && s[j] == '[' {
		if inside, e, ok := Group(s, j); ok {
			c.Option, c.HasOption, c.End, end = inside, true, e, e
		}
	}
	for len(c.Args) < n {
		j := SkipSpace(s, end)
		if j >= len(s) || s[j] != '{' {
			break
		}
		inside, e, ok := Group(s, j)
		if !ok {
			break
		}
		c.Args = append(c.Args, inside)
		c.ArgStart = append(c.ArgStart, j+1)
		c.End, end = e, e
	}
	return c
}

// Calls finds the uses of the commands in arity (name to number of groups), in order, outside comments and uninterpreted text. Uses inside the
// arguments of another found use are not listed.
func Calls(s string, arity map[string]int) []Call {
	masked := Mask(s)
	var out []Call
	for i := 0; i < len(masked); {
		if masked[i] != '\\' {
			i++
			continue
		}
		name, end := CommandAt(masked, i)
		n, ok := arity[name]
		if !ok {
			i = end
			continue
		}
		c := ReadCall(masked, i, n)
		for k := range c.Args { // comments inside arguments are blank already; keep the bytes
			c.Args[k] = s[c.ArgStart[k] : c.ArgStart[k]+len(c.Args[k])]
		}
		out = append(out, c)
		i = max(c.End, end)
	}
	return out
}

// Replace rewrites the uses of the commands in arity by what edit returns.
func Replace(s string, arity map[string]int, edit func(Call) string) string {
	var b strings.Builder
	last := 0
	for _, c := range Calls(s, arity) {
		b.WriteString(s[last:c.Start])
		b.WriteString(edit(c))
		last = c.End
	}
	b.WriteString(s[last:])
	return b.String()
}
