package coder

import (
	"context"
	"strings"

	"nullius.dev/services/coder/internal/edit"
)

// remember gives the engine what the files looked like before, as far as the request names it: a block that fits only there is told so.
func (s *Service) remember(ctx context.Context, f Frame, w *workspace) error {
	w.tree.Older = map[string][]edit.Version{}
	for i := len(f.History) - 1; i >= 0; i-- {
		diff, err := s.readBlob(ctx, f.History[i].Diff)
		if err != nil {
			return err
		}
		for path, old := range oldSides(text(diff)) {
			w.tree.Older[path] = append(w.tree.Older[path], edit.Version{Label: "before " + shortStep(f.History[i].Step), Data: []byte(old)})
		}
	}
	return nil
}

// oldSides gives for each file of a unified diff the lines that its hunks show of the old state; a form feed parts the hunks.
func oldSides(diff string) map[string]string {
	out := map[string]string{}
	path := ""
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "--- a/"):
			path = strings.TrimSpace(strings.TrimPrefix(line, "--- a/"))
		case strings.HasPrefix(line, "--- "):
			path = ""
		case path == "" || strings.HasPrefix(line, "+") || strings.HasPrefix(line, "\\"):
		case strings.HasPrefix(line, "@@"):
			out[path] += "\f\n"
		case strings.HasPrefix(line, " "), strings.HasPrefix(line, "-"):
			out[path] += line[1:]
		}
	}
	return out
}

// needed finds the functions of a long file that a text mentions, with the numbers of their lines: its outline alone is too little to edit them.
func needed(file, mentions string, room int) string {
	lines := strings.Split(file, "\n")
	var b strings.Builder
	for i, l := range lines {
		name := definedName(l)
		if name == "" || len(name) < 3 || !mentionsWord(mentions, name) {
			continue
		}
		end := i + 1
		depth := indent(l)
		for end < len(lines) && (strings.TrimSpace(lines[end]) == "" || indent(lines[end]) > depth) {
			end++
		}
		part := strings.TrimRight(strings.Join(lines[i:end], "\n"), "\n ") + "\n"
		if b.Len()+len(part) > room {
			continue
		}
		b.WriteString(part + "\n")
	}
	return b.String()
}

func indent(l string) int { return len(l) - len(strings.TrimLeft(l, " \t")) }

// definedName is the name that a line of Python defines; "": none.
func definedName(l string) string {
	l = strings.TrimPrefix(strings.TrimLeft(l, " \t"), "async ")
	for _, word := range []string{"def ", "class "} {
		if rest, ok := strings.CutPrefix(l, word); ok {
			return rest[:len(rest)-len(strings.TrimLeftFunc(rest, isWord))]
		}
	}
	return ""
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x7f
}

func mentionsWord(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		from = i + len(word)
		before, after := text[:i], text[from:]
		if strings.TrimRightFunc(before, isWord) == before && strings.TrimLeftFunc(after, isWord) == after {
			return true
		}
	}
}
