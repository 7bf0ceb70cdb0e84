package check

import (
	"encoding/json"
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
	voice      = regexp.MustCompile(`(?i)\b(?:let me know if (?:you|there)|feel free to (?:adjust|modify|change|edit|ask|let)|i(?:'ve| have) (?:used|included|added|written|kept|avoided|placed|left) [^.\n]{0,80}(?:placeholder|section|citation|as requested|as you)|as an? (?:ai|large) (?:language )?(?:model|assistant)|(?:please )?(?:replace|fill in|adjust) (?:the|these|this|any) (?:placeholders?|dummy)[^.\n]{0,60}|i hope this (?:helps|meets))`)
	refusal    = regexp.MustCompile(`(?i)^\s*(i'?m sorry|i am sorry|sorry,|i cannot|i can't|i'm unable|i am unable|as an ai|i'm not able|unfortunately, i)`)
	docLines   = regexp.MustCompile(`(?m)^[ \t]*\\(documentclass|usepackage|title|author|date|maketitle|bibliographystyle|bibliography|begin\s*\{document\}|end\s*\{document\}|appendix|tableofcontents|graphicspath)\b[^\n]*$`)
	endDoc     = regexp.MustCompile(`\\(?:end|begin)\s*\{document\}`)
	hostile    = regexp.MustCompile(`\\(write|openout|openin|closeout|read|immediate|input|include|InputIfFileExists|catcode|def|edef|gdef|xdef|let|futurelet|newcommand|renewcommand|providecommand|DeclareMathOperator|csname|expandafter|special|pdf[a-zA-Z]*|usepackage|RequirePackage|directlua|openlp|scantokens|everypar|everyjob|output|loop|newenvironment|renewenvironment|newwrite|batchmode|lstinputlisting|verbatiminput|VerbatimInput|inputminted|subfile|subimport|import|includepdf|embedfile|attachfile|AtBeginDocument|AtEndDocument|makeatletter|obeylines)(?:[^a-zA-Z]|$)|\^\^|\\(?:begin|end)\s*\{filecontents\*?\}`)
	htmlTag    = regexp.MustCompile(`</?(?:b|i|u|em|strong|span|sub|sup|code|a|small|font|center)(?:\s[^<>\n]{0,200})?/?>|</(?:end|begin)\{[a-z*]*\}>`)
	htmlBlock  = regexp.MustCompile(`(?i)</?(?:br|p|div|ul|ol|li|pre|h[1-6]|hr|table|thead|tbody|tr|td|th|img|blockquote|figure|figcaption|section|article|body|html|response|answer|output|result|results|latex|document|text|content|draft|final)(?:\s+[a-z-]+\s*=\s*["'][^"'<>\n]{0,200}["'])*\s*/?>`)
	htmlEntity = strings.NewReplacer("&lt;", `\ensuremath{<}`, "&gt;", `\ensuremath{>}`, "&amp;", `\&`, "&nbsp;", "~", "&quot;", "''")
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
	if t := htmlTag.ReplaceAllString(htmlBlock.ReplaceAllString(s, " "), ""); t != s {
		l.mended("F03", "HTML tags were removed")
		s = t
	}
	if t := htmlEntity.Replace(s); t != s {
		l.mended("F03", "HTML entities were replaced")
		s = t
	}
	s = l.markdown(s)
	s = l.cutSentences(s, voice, "F01", "talk to whoever asked was cut")
	return l.cutSentences(s, toReaders, "C04", "text addressed to reviewers or models was cut")
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
	s = l.fromJSON(s)
	if m := fenceBlock.FindAllStringSubmatch(s, -1); len(m) == 1 && len(m[0][1])*2 > len(s) {
		l.mended("F01", "a code fence around the text was removed")
		s = l.fromJSON(m[0][1])
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

// fromJSON takes the text out of a reply that is an object though text was asked for.
func (l *List) fromJSON(s string) string {
	if t := strings.TrimSpace(s); !strings.HasPrefix(t, "{") || !strings.HasSuffix(t, "}") {
		return s
	}
	var fields map[string]any
	if json.Unmarshal([]byte(s), &fields) != nil {
		return s
	}
	text := ""
	for _, v := range fields {
		if t, ok := v.(string); ok && len(t) > len(text) {
			text = t
		}
	}
	if len(text)*2 < len(s) {
		return s
	}
	l.mended("F01", "the text was taken out of a JSON object")
	return text
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

// cutSentences cuts the sentences that hold a pattern.
func (l *List) cutSentences(s string, pattern *regexp.Regexp, id, note string) string {
	for range 20 {
		m := pattern.FindStringIndex(s)
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
		l.mended(id, note)
		s = s[:start] + s[end:]
	}
	return s
}

var placeholder = regexp.MustCompile(`\b[A-Z]{3,}(?: [A-Z]{2,})* HERE\b|\bTODO\b|\bTBD\b|\bFIXME\b|\bXX+\b|\?\?+|(?i:\blorem ipsum\b|\[(?:insert|citation needed|placeholder|your )[^\]\n]{0,80}\]|<insert [^>\n]{1,60}>|\[(?:figure|table) [^\]\n]{0,20}about here\])|` + regexp.QuoteMeta(OtherScript))

// Left is a placeholder and where it stands.
type Left struct {
	Text string
	At   int
}

// Placeholders returns the placeholders left in a body, at most eight.
func Placeholders(s string) []Left {
	var out []Left
	for _, m := range placeholder.FindAllStringIndex(tex.Mask(s), 8) {
		out = append(out, Left{s[m[0]:m[1]], m[0]})
	}
	return out
}
