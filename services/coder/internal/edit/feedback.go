package edit

import (
	"fmt"
	"strings"
)

// Bounds of what the model is told.
const (
	maxBlockFeedback = 2500
	maxFeedback      = 10000
)

// Feedback tells the model why nothing was written and what to send. It quotes the files, never scolds.
func Feedback(r Report, t Tree, p Policy) string {
	var b strings.Builder
	if r.Problem != "" || len(r.Blocks) == 0 {
		fmt.Fprintf(&b, "Nothing was written: %s.\n", r.Problem)
		switch {
		case r.Cut && len(r.kept) > 0:
			fmt.Fprintf(&b, "The reply seems to be cut off. The %d complete blocks before that are kept; go on with the one that was cut off.\n", len(r.kept))
		case r.Cut:
			b.WriteString("The reply seems to be cut off. Send the whole answer again, with fewer or shorter blocks.\n")
		}
		return clip(b.String(), maxFeedback)
	}
	var good, bad []string
	for _, k := range r.Blocks {
		if k.Status.Failed() {
			bad = append(bad, fmt.Sprint(k.Number))
		} else {
			good = append(good, fmt.Sprint(k.Number))
		}
	}
	if len(good) > 0 {
		fmt.Fprintf(&b, "Nothing was written; %s kept, send only what is needed in place of %s.\n", count("block", good, " is", " are"), count("block", bad, "", ""))
	} else {
		fmt.Fprintf(&b, "Nothing was written. Send %s again, mended.\n", count("block", bad, "", ""))
	}
	shown := 0
	for _, k := range r.Blocks {
		if !k.Status.Failed() {
			continue
		}
		file := ""
		if k.Path != "" {
			file = " (" + clip(k.Path, 200) + ")"
		}
		text := fmt.Sprintf("\nBlock %d%s: %s: %s.\n", k.Number, file, k.Status, k.Cause)
		if k.Status == ForbiddenPath || k.Path == "" {
			text += "Files that may be edited: " + p.Editable(t) + ".\n"
		}
		if k.Hint != "" && shown < maxHints {
			text += k.Hint + "\n"
			shown++
		}
		text = shorten(text, maxBlockFeedback)
		if b.Len()+len(text) > maxFeedback {
			b.WriteString("\nFurther blocks failed too.\n")
			break
		}
		b.WriteString(text)
	}
	for i, w := range r.Warnings { // what was read otherwise than written
		if note := "\nNote: " + clip(w, 400) + ".\n"; i < maxHints && b.Len()+len(note) <= maxFeedback {
			b.WriteString(note)
		}
	}
	return b.String()
}

// shorten cuts a text at the end of a line and closes a fence that it cuts open.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const room = 40
	s = clip(s, n-room)
	if i := strings.LastIndexByte(s, '\n'); i > 0 {
		s = s[:i]
	}
	open := ""
	for l := range strings.Lines(s) {
		l = strings.TrimRight(l, "\n")
		switch f, ok := parseFence(l); {
		case open == "" && ok && indentOf(l) == "":
			open = strings.Repeat(string(f.char), f.count)
		case open != "" && l == open:
			open = ""
		}
	}
	s += "\n[… cut]\n"
	if open != "" && len(open) < room-20 {
		s += open + "\n"
	}
	return s
}

func count(noun string, numbers []string, one, many string) string {
	if len(numbers) == 1 {
		return noun + " " + numbers[0] + one
	}
	return noun + "s " + strings.Join(numbers, ", ") + many
}
