// Package quote finds the sentences that a review says it has read in the paper.
//
// A paper read from a PDF and a sentence copied by a model differ in ligatures,
// line breaks, hyphens and quotation marks though they say the same. Both sides
// are brought to one form, in which white space does not count, and every
// character remembers where it stood. What still differs is not a quote.
package quote

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MinLength is the least number of significant characters of a quote: shorter
// ones stand in any paper and prove nothing.
const MinLength = 12

// window bounds how far the parts of a quote with an ellipsis may lie apart.
const window = 1200

// Span is a range of bytes of the text as it was read.
type Span struct{ Start, End int }

// Text is a paper prepared for searching.
type Text struct {
	form form
	fold string // form.text in lower case, for terms
}

// form is a normalised text: no white space, one kind of quotation mark and dash.
type form struct {
	text string
	from []int  // per byte of text: where its character begins in the original
	to   []int  // per byte of text: where its character ends in the original
	gap  []bool // per byte of text: white space stood before its character
}

// New prepares a text.
func New(s string) *Text {
	f := normalise(s)
	return &Text{form: f, fold: lower(f.text)}
}

// Find locates a quote. An ellipsis inside it stands for any words, but its parts
// must follow each other closely.
func (t *Text) Find(quote string) (Span, bool) {
	parts := split(quote)
	total := 0
	for _, p := range parts {
		total += utf8.RuneCountInString(p)
	}
	if len(parts) == 0 || total < MinLength {
		return Span{}, false
	}
	for from := 0; ; {
		start, end, ok := t.next(parts[0], from)
		if !ok {
			return Span{}, false
		}
		if last, ok := t.rest(parts[1:], end); ok {
			return Span{Start: t.form.from[start], End: t.form.to[last-1]}, true
		}
		from = start + 1
	}
}

// Mentions says whether a term occurs in the text, whatever its case.
func (t *Text) Mentions(term string) bool {
	n := lower(normalise(term).text)
	return n != "" && strings.Contains(t.fold, n)
}

func (t *Text) rest(parts []string, from int) (int, bool) {
	end := from
	for _, p := range parts {
		start, stop, ok := t.next(p, end)
		if !ok || start-end > window {
			return 0, false
		}
		end = stop
	}
	return end, true
}

// next finds the first whole-word occurrence of a normalised part at or after from.
func (t *Text) next(part string, from int) (int, int, bool) {
	for from < len(t.form.text) {
		i := strings.Index(t.form.text[from:], part)
		if i < 0 {
			return 0, 0, false
		}
		start := from + i
		end := start + len(part)
		if t.form.whole(start, end) {
			return start, end, true
		}
		from = start + 1
	}
	return 0, 0, false
}

// whole refuses matches that begin or end inside a word or a number: a quote of
// "accurate" is no quote of "inaccurate", one of "0.5" none of "-0.5" or "0.53".
func (f form) whole(start, end int) bool {
	first, _ := utf8.DecodeRuneInString(f.text[start:])
	last, _ := utf8.DecodeLastRuneInString(f.text[:end])
	if start > 0 && !f.gap[start] && word(first) {
		before, _ := utf8.DecodeLastRuneInString(f.text[:start])
		if word(before) || unicode.IsDigit(first) && strings.ContainsRune("-+.,", before) && !f.sentenceEnd(start) {
			return false
		}
	}
	if end < len(f.text) && !f.gap[end] && word(last) {
		after, size := utf8.DecodeRuneInString(f.text[end:])
		if word(after) {
			return false
		}
		if unicode.IsDigit(last) && (after == '.' || after == ',') && end+size < len(f.text) && !f.gap[end+size] {
			beyond, _ := utf8.DecodeRuneInString(f.text[end+size:])
			return !unicode.IsDigit(beyond)
		}
	}
	return true
}

// sentenceEnd says whether the mark before a number closes a word rather than
// belonging to the number, as in "run.5".
func (f form) sentenceEnd(start int) bool {
	head := f.text[:start]
	mark, size := utf8.DecodeLastRuneInString(head)
	if mark != '.' && mark != ',' {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(head[:len(head)-size])
	return unicode.IsLetter(before)
}

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// lower folds case by rune without changing what the text says.
func lower(s string) string { return strings.ToLower(s) }

var ellipses = strings.NewReplacer("[...]", "\x00", "[…]", "\x00", "(...)", "\x00", "(…)", "\x00", "…", "\x00", "...", "\x00")

// split cuts a quote at its ellipses and normalises the parts; marks at its ends
// belong to the review's sentence, not to the paper's.
func split(quote string) []string {
	var parts []string
	for _, p := range strings.Split(ellipses.Replace(quote), "\x00") {
		p = strings.Trim(normalise(p).text, `"'.,;:!?`)
		if p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// glyph is one character of the normal form with its origin.
type glyph struct {
	r        rune
	from, to int
	gap      bool // white space before it
	line     bool // that white space held a line end
}

func normalise(s string) form {
	return assemble(joinHyphens(glyphs(s)))
}

// glyphs maps a text to characters: NFKC (which opens ligatures), invisible ones
// dropped, marks unified, white space turned into a flag on what follows.
func glyphs(s string) []glyph {
	out := make([]glyph, 0, len(s))
	var it norm.Iter
	it.InitString(norm.NFKC, s)
	gap, line := false, false
	for !it.Done() {
		from := it.Pos()
		segment := it.Next()
		to := it.Pos()
		for len(segment) > 0 {
			r, size := utf8.DecodeRune(segment)
			segment = segment[size:]
			switch {
			case unicode.IsSpace(r):
				gap, line = true, line || r == '\n' || r == '\f'
			case unicode.Is(unicode.Cf, r) || unicode.IsControl(r):
			default:
				out = append(out, glyph{r: unify(r), from: from, to: to, gap: gap, line: line})
				gap, line = false, false
			}
		}
	}
	return mergeMarks(out)
}

// mergeMarks turns doubled apostrophes and dashes, TeX's way to write quotation
// marks and long dashes, into single ones.
func mergeMarks(in []glyph) []glyph {
	out := in[:0]
	for _, g := range in {
		if n := len(out); n > 0 && !g.gap {
			last := &out[n-1]
			if g.r == '\'' && last.r == '\'' {
				last.r, last.to = '"', g.to
				continue
			}
			if g.r == '-' && last.r == '-' {
				last.to = g.to
				continue
			}
		}
		out = append(out, g)
	}
	return out
}

// joinHyphens drops hyphens between letters, at a line's end or not: whether a
// break added the hyphen or split a compound cannot be seen.
func joinHyphens(in []glyph) []glyph {
	out := make([]glyph, 0, len(in))
	for i, g := range in {
		if g.r == '-' && !g.gap && i > 0 && i+1 < len(in) && unicode.IsLetter(in[i-1].r) {
			after := &in[i+1]
			if unicode.IsLetter(after.r) && (!after.gap || after.line) {
				after.gap, after.line = false, false
				continue
			}
		}
		out = append(out, g)
	}
	return out
}

func assemble(in []glyph) form {
	var b strings.Builder
	var f form
	for _, g := range in {
		n, _ := b.WriteRune(g.r)
		for range n {
			f.from = append(f.from, g.from)
			f.to = append(f.to, g.to)
			f.gap = append(f.gap, g.gap)
		}
	}
	f.text = b.String()
	return f
}

// unify maps the many quotation marks and dashes to one each.
func unify(r rune) rune {
	switch r {
	case '“', '”', '„', '‟', '«', '»', '″', '〝', '〞':
		return '"'
	case '‘', '’', '‚', '‛', '′', '`', '´', 'ʼ', '‹', '›':
		return '\''
	case '‐', '‑', '‒', '–', '—', '―', '−':
		return '-'
	}
	return r
}
