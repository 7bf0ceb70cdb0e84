package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kaptinlin/jsonrepair"
)

const maxDepth = 200

// candidates lists the JSON objects in a reply, the likeliest last: the last fence whose text is one, else the balanced
// {…} at top level. A leading <think> or <thinking> section is dropped.
func candidates(text string) []string {
	text = dropThinking(text)
	var fenced []string
	for _, f := range fences(text) {
		if objs := balanced(f); len(objs) > 0 {
			fenced = append(fenced, objs[len(objs)-1])
		}
	}
	if len(fenced) > 0 {
		return fenced
	}
	return balanced(text)
}

// dropThinking takes away a leading section of the kinds that open models think in.
func dropThinking(s string) string {
	t := strings.TrimSpace(s)
	for _, tag := range []string{"think", "thinking"} {
		if rest, ok := strings.CutPrefix(t, "<"+tag+">"); ok {
			_, rest, _ = strings.Cut(rest, "</"+tag+">") // empty: it never stopped
			return rest
		}
	}
	return s
}

// fences lists what stands between lines of three backticks. A last one without end is taken too.
func fences(s string) []string {
	var out []string
	var cur []string
	open := false
	for _, line := range strings.Split(s, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			if open {
				out = append(out, strings.Join(cur, "\n"))
			}
			open, cur = !open, nil
			continue
		}
		if open {
			cur = append(cur, line)
		}
	}
	if open && len(cur) > 0 {
		out = append(out, strings.Join(cur, "\n"))
	}
	return out
}

// balanced lists the {…} at top level, with braces in strings not counted. One that never closes is given as far as it goes.
func balanced(s string) []string {
	var out []string
	depth, start := 0, 0
	inString, escaped := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case depth == 0:
			if c == '{' {
				depth, start, inString, escaped = 1, i, false, false
			}
		case inString:
			switch {
			case escaped:
				escaped = false
			case c == '\\':
				escaped = true
			case c == '"':
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{':
			depth++
		case c == '}':
			depth--
			if depth == 0 {
				out = append(out, s[start:i+1])
			}
		}
	}
	if depth > 0 {
		out = append(out, s[start:])
	}
	return out
}

// latexAfter lists, by the letter that JSON would read as a control character, the LaTeX commands that begin with it.
var latexAfter = map[byte][]string{
	't': {"text", "textbf", "textit", "texttt", "textsc", "times", "theta", "tau", "tfrac", "tilde", "to", "top", "toprule",
		"triangle", "title", "tag", "today", "thanks", "tableofcontents", "tabular", "tiny", "tan", "tanh", "therefore",
		"thicksim", "thickapprox", "textwidth", "textheight", "textsuperscript", "textsubscript", "textrm", "textsf", "textcolor"},
	'r': {"ref", "rho", "right", "rightarrow", "rangle", "rceil", "rfloor", "rule", "raggedright", "raisebox", "renewcommand",
		"resizebox", "rotatebox", "rm", "rVert", "rvert", "root"},
	'n': {"nabla", "ne", "neq", "neg", "newcommand", "newline", "newpage", "newtheorem", "nu", "noindent", "nonumber", "not",
		"notin", "norm", "normalsize", "nocite", "nolinkurl", "num", "nsubseteq", "ngeq", "nleq", "nearrow", "natural"},
}

// fixBackslashes doubles the backslashes of LaTeX commands in the strings of a JSON text, before JSON makes control
// characters of them: \f and \b before a letter, \t, \r and \n at the start of a known command, and whatever is no escape.
func fixBackslashes(s string) string {
	var b strings.Builder
	inString := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			inString = !inString
		}
		if !inString || c != '\\' || i+1 >= len(s) {
			b.WriteByte(c)
			continue
		}
		next := s[i+1]
		if latex(s[i+1:]) {
			b.WriteString(`\\`)
			continue // the letter is written by the next round
		}
		b.WriteByte(c)
		b.WriteByte(next)
		i++
	}
	return b.String()
}

// latex reports whether what follows a backslash is a LaTeX command rather than an escape.
func latex(s string) bool {
	word := 0
	for word < len(s) && (s[word] >= 'a' && s[word] <= 'z' || s[word] >= 'A' && s[word] <= 'Z') {
		word++
	}
	switch s[0] {
	case '"', '\\', '/':
		return false
	case 'u':
		return len(s) < 5 || !hex4(s[1:5])
	case 'f', 'b':
		return word > 1
	case 't', 'r', 'n':
		for _, w := range latexAfter[s[0]] {
			if s[:word] == w {
				return true
			}
		}
		return false
	}
	return true // \alpha, \$, \{: no escape of JSON
}

func hex4(s string) bool {
	for i := 0; i < 4; i++ {
		c := s[i] | 0x20
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// parseObject reads one JSON object; a damaged one is repaired once.
func parseObject(s string) (json.RawMessage, any, error) {
	s = fixBackslashes(s)
	raw, v, err := strictObject(s)
	if err == nil {
		return raw, v, nil
	}
	if errors.Is(err, errDuplicate) || !repairable(s) {
		return nil, nil, err
	}
	fixed, rerr := repair(s)
	if rerr != nil {
		return nil, nil, err
	}
	raw, v, ferr := strictObject(fixed)
	if ferr != nil {
		return nil, nil, err
	}
	return raw, v, nil
}

// The repairer recurses, and takes a time that grows with the cube of the quotes that stand in the wrong place: texts that
// would keep it busy for long are not given to it.
const (
	maxRepair   = 96 << 10
	maxBrackets = 4000
	maxStray    = 80
	maxSingle   = 800
)

func repairable(s string) bool {
	if len(s) > maxRepair {
		return false
	}
	depth, deepest, opened, stray, single := 0, 0, 0, 0, 0
	var before byte // last character that is no space
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case ' ', '\n', '\t', '\r':
			continue
		case '{', '[':
			depth++
			opened++
			deepest = max(deepest, depth)
		case '}', ']':
			depth = max(0, depth-1)
		case '\'':
			single++
		case '"':
			if !strings.ContainsRune("{[,:", rune(before)) && !strings.ContainsRune(",:}]", rune(after(s[i+1:]))) {
				stray++
			}
		}
		before = c
	}
	return deepest <= maxDepth && opened <= maxBrackets && stray <= maxStray && single <= maxSingle
}

// after is the first character that is no space; a closing brace at the end.
func after(s string) byte {
	for i := 0; i < len(s) && i < 200; i++ {
		if c := s[i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return '}'
}

// repair guards against a panic of the repairer: its input is hostile.
func repair(s string) (out string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("repair failed: %v", p)
		}
	}()
	return jsonrepair.Repair(s)
}

var errDuplicate = errors.New("a key stands twice")

func strictObject(s string) (json.RawMessage, any, error) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	v, err := value(dec, 0)
	if err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("text follows the object")
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, nil, errors.New("not a JSON object")
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(s)); err != nil {
		return nil, nil, err
	}
	return b.Bytes(), v, nil
}

// value reads a JSON value and refuses doubled keys, of which the decoder would keep the last in silence.
func value(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	d, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if d == '[' {
		out := []any{}
		for dec.More() {
			v, err := value(dec, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err := dec.Token()
		return out, err
	}
	out := map[string]any{}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := k.(string)
		if !ok {
			return nil, errors.New("a key is not a string")
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%w: %q", errDuplicate, clip(key, 60))
		}
		v, err := value(dec, depth+1)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	_, err = dec.Token()
	return out, err
}
