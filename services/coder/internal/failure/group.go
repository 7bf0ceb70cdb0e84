package failure

import (
	"fmt"
	"regexp"
	"strings"
)

// Exception groups are printed with a margin (PEP 654): "  + Exception Group Traceback …", "  | …", "  +-+---- 1 ----".
var (
	groupHeadRE = regexp.MustCompile(`^\s*\+ Exception Group ` + regexp.QuoteMeta(traceHead) + `$`)
	marginRE    = regexp.MustCompile(`^\s*[|+]`)
	partRE      = regexp.MustCompile(`^\s*\+[-+]+ (\d+|\.\.\.) -+$`)
)

// ungroup takes the margin off an exception group, so that it reads like any other traceback. Its parts become lines of the message.
func ungroup(lines []string) []string {
	var out []string
	for i := 0; i < len(lines); i++ {
		if !groupHeadRE.MatchString(lines[i]) {
			out = append(out, lines[i])
			continue
		}
		out = append(out, traceHead)
		from := i + 1
		for i+1 < len(lines) && marginRE.MatchString(lines[i+1]) {
			i++
		}
		out = append(out, groupLines(lines[from:i+1])...)
	}
	return out
}

func groupLines(lines []string) []string {
	var out, part []string
	inPart, number := false, 0
	flush := func() {
		if s := summary(part); s != "" {
			out = append(out, fmt.Sprintf("[%d] %s", number, s))
		}
		part = nil
	}
	for _, l := range lines {
		if partRE.MatchString(l) {
			flush()
			inPart, number = true, number+1
			continue
		}
		l = strings.TrimLeft(l, " ")
		l = strings.TrimPrefix(strings.TrimPrefix(l, "|"), " ")
		if inPart {
			part = append(part, strings.TrimLeft(l, "|+ "))
			continue
		}
		out = append(out, l)
	}
	flush()
	return out
}

// summary is the exception of a part, with its deepest frame.
func summary(part []string) string {
	frame, exception := "", ""
	for _, l := range part {
		if m := frameRE.FindStringSubmatch(" " + l); m != nil {
			frame = fmt.Sprintf(" (%s line %s, in %s)", m[1], m[2], m[3])
			exception = ""
			continue
		}
		if m := exceptionRE.FindStringSubmatch(l); m != nil && strings.ContainsAny(l, ":") && (exception == "" || frame == "") {
			exception = l
		}
	}
	if exception == "" {
		return ""
	}
	return exception + frame
}
