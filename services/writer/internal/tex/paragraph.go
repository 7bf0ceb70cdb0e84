package tex

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Paragraphs cuts a body at blank lines that stand outside environments and groups. Joined by a blank line they are the body again.
func Paragraphs(body string) []string {
	masked := Mask(body)
	var out []string
	depth, groups, start := 0, 0, 0
	flush := func(end int) {
		if t := strings.Trim(body[start:end], "\n \t\r"); t != "" {
			out = append(out, t)
		}
	}
	for i := 0; i < len(masked); {
		switch c := masked[i]; c {
		case '\\':
			name, end := CommandAt(masked, i)
			switch name {
			case "begin":
				depth++
			case "end":
				depth = max(0, depth-1)
			}
			i = end
		case '{':
			groups++
			i++
		case '}':
			groups = max(0, groups-1)
			i++
		case '\n':
			j := i + 1
			for j < len(masked) && (masked[j] == ' ' || masked[j] == '\t' || masked[j] == '\r') && body[j] == masked[j] {
				j++
			}
			if j < len(masked) && masked[j] == '\n' && depth == 0 && groups == 0 {
				flush(i)
				start = j
			}
			i = j
		default:
			i++
		}
	}
	flush(len(body))
	return out
}

// Join is the inverse of Paragraphs.
func Join(paragraphs []string) string {
	var kept []string
	for _, p := range paragraphs {
		if p = strings.Trim(p, "\n \t\r"); p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "\n\n")
}

// Number shows a body with its paragraph ids, as mends name them.
func Number(r Role, body string) string {
	var b strings.Builder
	for i, p := range Paragraphs(body) {
		fmt.Fprintf(&b, "%%%%%% %s.%d\n%s\n", r, i+1, p)
	}
	return b.String()
}

// Change is one part of a reply that names paragraphs.
type Change struct {
	Role   Role
	Number int  // 0: the whole part
	Op     byte // '=' replace, '+' add after, '-' delete
	Text   string
}

var changeMark = regexp.MustCompile(`(?m)^[ \t]*%%%+[ \t]*([A-Za-z]+)(?:\.(\d{1,4}))?[ \t]*([+-]?)[ \t]*\r?$`)

// Changes reads a reply in the form
//
//	%%% results.4
//	new text
//
// Text before the first mark is talk and left out. No mark: no change.
func Changes(reply string) []Change {
	marks := changeMark.FindAllStringSubmatchIndex(reply, -1)
	var out []Change
	for i, m := range marks {
		end := len(reply)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		c := Change{Role: Role(strings.ToLower(reply[m[2]:m[3]])), Op: '=', Text: strings.TrimSpace(reply[m[1]:end])}
		if m[4] >= 0 {
			c.Number, _ = strconv.Atoi(reply[m[4]:m[5]])
		}
		if m[6] < m[7] {
			c.Op = reply[m[6]]
		}
		out = append(out, c)
	}
	return out
}

// Apply carries out the changes of one part. Unknown numbers void their change and are returned.
func Apply(r Role, body string, changes []Change) (string, []Change) {
	ps := Paragraphs(body)
	added := make([][]string, len(ps)+1)
	var void []Change
	for _, c := range changes {
		switch {
		case c.Role != r:
		case c.Number == 0 && c.Op == '=' && c.Text != "" && (r == Title || r == Abstract):
			ps, added = []string{c.Text}, make([][]string, 2)
		case c.Op == '+' && c.Number >= 0 && c.Number <= len(ps):
			added[c.Number] = append(added[c.Number], c.Text)
		case c.Number < 1 || c.Number > len(ps):
			void = append(void, c)
		case c.Op == '-':
			ps[c.Number-1] = ""
		case c.Text == "":
			void = append(void, c)
		default:
			ps[c.Number-1] = c.Text
		}
	}
	var out []string
	out = append(out, added[0]...)
	for i, p := range ps {
		out = append(append(out, p), added[i+1]...)
	}
	return Join(out), void
}
