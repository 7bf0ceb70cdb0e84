package check

import (
	"regexp"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

var (
	headingLine = regexp.MustCompile(`\\(?:section|chapter)\*?\s*\{`)
	markLine    = regexp.MustCompile(`(?m)^[ \t]*%%%+[ \t]*[A-Za-z]+(?:\.\d+)?[+-]?[ \t]*$`)
)

// Body takes the text of one section out of a reply: of a whole document its section, its own heading dropped, a foreign one ends it.
func (l *List) Body(reply string, role tex.Role) string {
	s := l.unpack(reply)
	masked := tex.Mask(s)
	if strings.Contains(masked, `\begin{document}`) || strings.Contains(masked, `\documentclass`) {
		d := tex.Parse(s)
		if p := d.Part(role); p != nil {
			l.mended("F02", "of a whole document its section was taken")
			return strings.TrimSpace(p.Body)
		}
	}
	if role == tex.Abstract {
		d := tex.Parse(s)
		if p := d.Part(tex.Abstract); p != nil {
			return strings.TrimSpace(p.Body)
		}
	}
	s = markLine.ReplaceAllString(s, "")
	if m := ownHead.FindStringSubmatch(s); m != nil && tex.RoleOf(m[1]) == role {
		l.mended("F04", "the section's own heading was removed")
		s = s[len(m[0]):]
	}
	heads := headingLine.FindAllStringIndex(tex.Mask(s), -1)
	for _, h := range heads {
		c := tex.ReadCall(s, h[0], 1)
		if len(c.Args) == 0 {
			continue
		}
		if r := tex.RoleOf(c.Args[0]); r == role {
			rest := s[c.End:]
			if next := headingLine.FindStringIndex(tex.Mask(rest)); next != nil {
				l.mended("E05", "text under the heading of another section was left out")
				rest = rest[:next[0]]
			}
			return strings.TrimSpace(leadingLabel.ReplaceAllString(rest, ""))
		}
	}
	if len(heads) > 0 && tex.Words(s[:heads[0][0]]) > 30 { // text, then a foreign heading
		l.mended("E05", "text under the heading of another section was left out")
		s = s[:heads[0][0]]
	}
	return strings.TrimSpace(s)
}

var ownHead = regexp.MustCompile(`^\s*#{1,6}[ \t]+([^\n]{1,80})\n`) // in Markdown

var leadingLabel = regexp.MustCompile(`^\s*\\label\s*\{[^{}]*\}`)

// Clean runs every mend that needs nothing but the text. A second run changes nothing.
func (l *List) Clean(s string, own Known) string {
	s = l.Surface(s)
	s = l.Structure(s, own)
	s = l.repeats(s)
	return strings.TrimSpace(tidy.ReplaceAllString(s, "\n\n"))
}

var tidy = regexp.MustCompile(`\n[ \t]*\n(?:[ \t]*\n)+`)

// repeats cuts a long sentence that stands three times.
func (l *List) repeats(s string) string {
	seen := map[string]int{}
	for p := range strings.SplitSeq(s, "\n\n") {
		if len(p) > 80 {
			seen[p]++
		}
	}
	for p, n := range seen {
		if n >= 3 {
			first := strings.Index(s, p) + len(p)
			s = s[:first] + strings.ReplaceAll(s[first:], "\n\n"+p, "")
			l.mended("F09", "a paragraph that stood three times was cut")
		}
	}
	return s
}
