package check

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"nullius.dev/services/writer/internal/tex"
)

// MaxBody is how much text of one reply is read.
const MaxBody = 60_000

var (
	thinkBlock = regexp.MustCompile(`(?s)^\s*<think(?:ing)?>.*?</think(?:ing)?>`)
	fenceBlock = regexp.MustCompile("(?s)```[a-zA-Z]*[ \t]*\n(.*?)(?:\n[ \t]*```|$)")
	fenceLine  = regexp.MustCompile("(?m)^[ \t]*(```|~~~).*$")
	greeting   = regexp.MustCompile(`(?i)^\s*(sure|certainly|of course|okay|ok|absolutely|great|here(?:'s| is| are)\b|below is|as requested|i have|i've|i will|let me|thank you|thanks)[^\n]{0,300}(?:[:.!])\s*\n`)
	farewell   = regexp.MustCompile(`(?is)\n\s*(let me know|i hope|feel free|please let me|if you (?:need|would|want)|would you like|this (?:section|draft) (?:now|should))[^\n]*\s*$`)
	leadIn     = regexp.MustCompile(`^\s*[^\n\\$%]{1,300}[:：]\s*\n[ \t]*\n\s*`)     // in any language
	leadsTo    = regexp.MustCompile(`^(?:\\begin\b|\\\[|\$\$|[-*+] |\d{1,2}[.)] )`) // what a text's own colon leads to
	parting    = regexp.MustCompile(`\n[ \t]*\n[ \t]*[^\n\\$%]{1,300}[!！][^\n\\$%]{0,300}\s*$`)
	toolBlock  = regexp.MustCompile(`(?s)<(tool_calls?|tool_use|function_calls?|scratchpad|reasoning|analysis)>.*?</(?:tool_calls?|tool_use|function_calls?|scratchpad|reasoning|analysis)>`)
	tagLine    = regexp.MustCompile(`(?m)^[ \t]*</?[A-Za-z][\w-]{1,40}>[ \t]*(?:\n|$)`)
	refusal    = regexp.MustCompile(`(?i)^\s*(i'?m sorry|i am sorry|sorry,|i cannot|i can't|i'm unable|i am unable|as an ai|i'm not able|unfortunately, i)`)
	docLines   = regexp.MustCompile(`(?m)^[ \t]*\\(documentclass|usepackage|title|author|date|maketitle|bibliographystyle|bibliography|begin\s*\{document\}|end\s*\{document\}|appendix|tableofcontents|graphicspath)\b[^\n]*$`)
	endDoc     = regexp.MustCompile(`\\(?:end|begin)\s*\{document\}`)
	hostile    = regexp.MustCompile(`\\(write|openout|openin|closeout|read|immediate|input|include|InputIfFileExists|catcode|def|edef|gdef|xdef|let|futurelet|newcommand|renewcommand|providecommand|DeclareMathOperator|csname|expandafter|special|pdf[a-zA-Z]*|usepackage|RequirePackage|directlua|openlp|scantokens|everypar|everyjob|output|loop|newenvironment|renewenvironment|newwrite|batchmode|AtBeginDocument|AtEndDocument|makeatletter|obeylines)(?:[^a-zA-Z]|$)|\^\^|\\(?:begin|end)\s*\{filecontents\*?\}`)
	htmlTag    = regexp.MustCompile(`</?(?:b|i|em|strong|br|p|div|span|sub|sup|ul|ol|li|code|pre|h[1-6]|a|hr|table|tr|td)(?:\s[^<>\n]{0,200})?/?>|</(?:end|begin)\{[a-z*]*\}>`)
	htmlEntity = strings.NewReplacer("&lt;", `\ensuremath{<}`, "&gt;", `\ensuremath{>}`, "&amp;", `\&`, "&nbsp;", "~", "&quot;", "''")
	mdBold     = regexp.MustCompile(`\*\*([^*\n]{1,300})\*\*`)
	mdCode     = regexp.MustCompile("(^|[^`])`([^`'\n]{1,120})`([^`]|$)")
	mdHead     = regexp.MustCompile(`(?m)^[ \t]*#{1,6}[ \t]+([^\n]+?)[ \t]*#*[ \t]*$`)
	mdItem     = regexp.MustCompile(`^[ \t]*(?:[-*+]|\d{1,2}[.)])[ \t]+(\S.*)$`)
	mdLink     = regexp.MustCompile(`\[([^\]\n]{1,200})\]\((https?://[^)\s]{1,300})\)`)
	mdRule     = regexp.MustCompile(`(?m)^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$`)
	toReaders  = regexp.MustCompile(`(?i)(ignore|disregard|forget) (all |any |the |your )?(previous|prior|above|earlier) (instructions|prompts?|text)|(dear|to the|note to|attention) (ai |llm )?(reviewers?|language models?|llms?)\b|(give|assign|rate) (this|the) paper (a |an )?(high|positive|perfect|strong|score|rating|accept)|(recommend|must|should) (accept(?:ing|ance)? (of )?(this|the) paper|be accepted)`)
)

// Refused says whether a reply is a refusal rather than text.
func Refused(reply string) bool {
	return refusal.MatchString(strings.ReplaceAll(reply, "’", "'")) && len(reply) < 1500
}

// Surface takes talk, fences, HTML and Markdown off a reply and drops what no body may hold.
func (l *List) Surface(s string) string {
	s = l.unpack(s)
	s = l.lines(s)
	if t := htmlTag.ReplaceAllString(s, ""); t != s {
		l.mended("F03", "HTML tags were removed")
		s = t
	}
	if t := htmlEntity.Replace(s); t != s {
		l.mended("F03", "HTML entities were replaced")
		s = t
	}
	s = l.markdown(s)
	return l.address(s)
}

func (l *List) unpack(s string) string {
	if len(s) > MaxBody {
		s = strings.ToValidUTF8(s[:MaxBody], "")
		l.mended("F09", "the text was cut at 60 kB")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
		l.mended("F05", "bytes that are no UTF-8 were dropped")
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.Map(func(c rune) rune {
		if c < 0x20 && c != '\n' && c != '\t' || c == 0x7f || c >= 0x200B && c <= 0x200F || c >= 0x202A && c <= 0x202E || c >= 0x2060 && c <= 0x206F || c == 0xFEFF {
			return -1
		}
		return c
	}, s)
	if t := thinkBlock.ReplaceAllString(s, ""); t != s {
		l.mended("F01", "reasoning in front of the text was removed")
		s = t
	}
	if t := tagLine.ReplaceAllString(toolBlock.ReplaceAllString(s, ""), ""); t != s && strings.TrimSpace(t) != "" {
		l.mended("F01", "tags around the text were removed")
		s = t
	}
	if m := fenceBlock.FindAllStringSubmatch(s, -1); len(m) == 1 && len(m[0][1])*2 > len(s) {
		l.mended("F01", "a code fence around the text was removed")
		s = m[0][1]
	} else if t := fenceLine.ReplaceAllString(s, ""); t != s {
		l.mended("F01", "code fences were removed")
		s = t
	}
	for range 2 {
		if t := greeting.ReplaceAllString(s, ""); t != s && strings.TrimSpace(t) != "" {
			l.mended("F01", "a greeting was removed")
			s = t
		}
	}
	if at := leadIn.FindString(s); at != "" && strings.TrimSpace(s[len(at):]) != "" && !leadsTo.MatchString(s[len(at):]) {
		l.mended("F01", "a line in front of the text was removed")
		s = s[len(at):]
	}
	if t := parting.ReplaceAllString(s, "\n"); t != s {
		l.mended("F01", "closing talk was removed")
		s = t
	}
	if t := farewell.ReplaceAllString(s, "\n"); t != s {
		l.mended("F01", "closing talk was removed")
		s = t
	}
	return s
}

// lines drops lines that define, read or write, and those of a document's frame.
func (l *List) lines(s string) string {
	if t := docLines.ReplaceAllString(s, ""); t != s {
		l.mended("F02", "lines of a document's frame were removed")
		s = t
	}
	if t := endDoc.ReplaceAllString(s, ""); t != s {
		l.mended("F02", `\end{document} in a section was removed`)
		s = t
	}
	if !hostile.MatchString(s) {
		return s
	}
	var kept []string
	for line := range strings.SplitSeq(s, "\n") {
		if hostile.MatchString(line) {
			l.mended("C02", "a line with a command that defines, reads or writes was removed")
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

func (l *List) markdown(s string) string {
	t := mdRule.ReplaceAllString(s, "")
	t = mdBold.ReplaceAllString(t, `\textbf{$1}`)
	t = mdLink.ReplaceAllString(t, `\href{$2}{$1}`)
	t = mdHead.ReplaceAllString(t, "\n\\subsection{$1}\n")
	t = mdCode.ReplaceAllStringFunc(t, func(m string) string {
		g := mdCode.FindStringSubmatch(m)
		return g[1] + `\texttt{` + strings.ReplaceAll(strings.ReplaceAll(g[2], `\_`, "_"), "_", `\_`) + "}" + g[3]
	})
	t = mdLists(t)
	if t != s {
		l.mended("F04", "Markdown became LaTeX")
	}
	return t
}

// mdLists turns runs of Markdown items into itemize. Lines inside environments are left alone.
func mdLists(s string) string {
	lines := strings.Split(s, "\n")
	var out []string
	depth := 0
	for i := 0; i < len(lines); i++ {
		depth += strings.Count(lines[i], `\begin{`) - strings.Count(lines[i], `\end{`)
		m := mdItem.FindStringSubmatch(lines[i])
		if m == nil || depth > 0 {
			out = append(out, lines[i])
			continue
		}
		j := i
		var items []string
		for j < len(lines) {
			if n := mdItem.FindStringSubmatch(lines[j]); n != nil {
				items = append(items, `\item `+n[1])
			} else if len(items) > 0 && strings.HasPrefix(lines[j], " ") && strings.TrimSpace(lines[j]) != "" {
				items[len(items)-1] += " " + strings.TrimSpace(lines[j])
			} else {
				break
			}
			j++
		}
		if len(items) < 2 {
			out = append(out, lines[i])
			continue
		}
		out = append(out, `\begin{itemize}`)
		out = append(out, items...)
		out = append(out, `\end{itemize}`)
		i = j - 1
	}
	return strings.Join(out, "\n")
}

// address cuts sentences that speak to reviewers or models.
func (l *List) address(s string) string {
	for range 20 {
		m := toReaders.FindStringIndex(s)
		if m == nil {
			return s
		}
		start := strings.LastIndexAny(s[:m[0]], ".\n") + 1
		end := len(s)
		if j := strings.IndexAny(s[m[1]:], ".\n!"); j >= 0 {
			end = m[1] + j
			if s[end] != '\n' {
				end++
			}
		}
		l.mended("C04", "text addressed to reviewers or models was cut")
		s = s[:start] + s[end:]
	}
	return s
}

var placeholder = regexp.MustCompile(`\b[A-Z]{3,}(?: [A-Z]{2,})* HERE\b|\bTODO\b|\bTBD\b|\bFIXME\b|\bXX+\b|\?\?+|(?i:\blorem ipsum\b)|\[(?:insert|citation needed|placeholder)[^\]]*\]`)

// Placeholder returns the first placeholder left in a body.
func Placeholder(s string) (string, int) {
	if m := placeholder.FindStringIndex(tex.Mask(s)); m != nil {
		return s[m[0]:m[1]], m[0]
	}
	return "", -1
}
