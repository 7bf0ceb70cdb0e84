package failure

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Output beyond these bounds is not looked at: the head and the tail tell what happened.
const (
	maxOutput = 1 << 20
	maxLine   = 500
)

var (
	ansiRE  = regexp.MustCompile("\x1b(?:\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\-_])")
	digitRE = regexp.MustCompile(`\d+`)
)

// clean gives the lines of an output without terminal codes, with progress bars in their last state and
// repeated warnings once.
func clean(b []byte) []string {
	if len(b) > maxOutput {
		b = b[len(b)-maxOutput:]
	}
	b = ansiRE.ReplaceAll(b, nil)
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte("?"))
	}
	var out []string
	seen := map[string]bool{}
	for _, l := range strings.Split(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(l, "\r"), '\r'); i >= 0 {
			l = l[i+1:]
		}
		l = strings.Map(func(r rune) rune {
			if r < 0x20 && r != '\t' || r == 0x7f {
				return -1
			}
			return r
		}, l)
		l = strings.TrimRight(l, " ")
		if l == "" {
			continue
		}
		if strings.Contains(l, "Warning") {
			key := digitRE.ReplaceAllString(l, "#")
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		out = append(out, clip(l, maxLine))
	}
	return out
}

// tail gives the last lines within a number of bytes; equal neighbours once.
func tail(lines []string, n, size int) string {
	from := max(0, len(lines)-n)
	kept := lines[from:]
	for len(kept) > 1 && length(kept) > size {
		kept = kept[1:]
	}
	var b strings.Builder
	for i, l := range kept {
		if i > 0 && kept[i-1] == l {
			continue
		}
		b.WriteString("  " + clip(l, size) + "\n")
	}
	return b.String()
}

func length(lines []string) int {
	n := 0
	for _, l := range lines {
		n += len(l) + 3
	}
	return n
}
