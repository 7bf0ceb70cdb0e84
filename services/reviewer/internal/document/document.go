// Package document is a paper as a reviewer reads it: plain text in reading order,
// cut into blocks that know their section and page.
//
// Papers come from strangers. Readers here bound their work by the size of the
// input, resolve nothing outside of it and never fail on odd markup: what they do
// not understand they leave out.
package document

import (
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Role says what a block is.
type Role string

// The roles of blocks.
const (
	Title     Role = "title"
	Heading   Role = "heading"
	Paragraph Role = "paragraph"
	Caption   Role = "caption"
	Table     Role = "table"
	Reference Role = "reference"
)

// Block is a piece of the text.
type Block struct {
	Role       Role
	Section    string // the heading it stands under
	Page       int    // from 1; 0: unknown
	Start, End int    // bytes of Document.Text
}

// Document is a paper that was read.
type Document struct {
	Text    string
	Blocks  []Block
	Source  string   // latex, text or pdf
	Flags   []string // what hurts the quality of the text; empty: good
	Figures []string // files that are shown, in order
	Labels  []string // anchors defined in the source
	Refs    []string // anchors referred to in the source
	Cites   []string // keys cited, in order of first use
}

// Quality says how well the paper could be read.
func (d *Document) Quality() string {
	switch {
	case len(d.Flags) > 0:
		return d.Source + ": poor (" + strings.Join(d.Flags, "; ") + ")"
	case d.Source == "pdf":
		return "pdf: good"
	default:
		return d.Source
	}
}

// Place names the section and the page of an offset, as far as they are known.
func (d *Document) Place(offset int) (section string, page int) {
	i := sort.Search(len(d.Blocks), func(i int) bool { return d.Blocks[i].Start > offset }) - 1
	if i < 0 {
		return "", 0
	}
	return d.Blocks[i].Section, d.Blocks[i].Page
}

// Headings lists the sections in order.
func (d *Document) Headings() []string {
	var out []string
	for _, b := range d.Blocks {
		if b.Role == Heading {
			out = append(out, b.Section)
		}
	}
	return out
}

// Letters counts letters: a paper without any is no paper.
func (d *Document) Letters() int {
	n := 0
	for _, r := range d.Text {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// builder collects blocks.
type builder struct {
	text    strings.Builder
	blocks  []Block
	section string
	page    int
}

// add appends a block; text must be trimmed.
func (b *builder) add(role Role, text string) {
	if text == "" {
		return
	}
	if role == Heading {
		b.section = strings.TrimLeft(text, "# ")
	}
	if b.text.Len() > 0 {
		b.text.WriteString("\n\n")
	}
	start := b.text.Len()
	b.text.WriteString(text)
	b.blocks = append(b.blocks, Block{Role: role, Section: b.section, Page: b.page, Start: start, End: b.text.Len()})
}

// FromText reads plain text or Markdown. Form feeds separate pages.
func FromText(text string) *Document {
	d := fromPages(strings.Split(clean(text), "\f"), strings.Contains(text, "\f"))
	d.Source = "text"
	return d
}

// FromPages reads the text of a PDF's pages.
func FromPages(pages []string) *Document {
	cleaned := make([]string, len(pages))
	for i, p := range pages {
		cleaned[i] = clean(p)
	}
	d := fromPages(cleaned, true)
	d.Source = "pdf"
	d.Flags = flags(cleaned)
	return d
}

func fromPages(pages []string, numbered bool) *Document {
	b := &builder{}
	for i, page := range pages {
		if numbered {
			b.page = i + 1
		}
		for _, para := range paragraphs(page, numbered) {
			b.add(roleOf(para), para)
		}
	}
	return &Document{Text: b.text.String(), Blocks: b.blocks}
}

var pageNumber = regexp.MustCompile(`^\s*(page\s+)?[-–—]?\s*\d{1,4}\s*[-–—]?\s*$`)

// paragraphs splits a page at blank lines; a line that holds only a page's number
// is dropped when pages are known.
func paragraphs(page string, numbered bool) []string {
	lines := strings.Split(page, "\n")
	if numbered {
		lines = dropPageNumber(lines)
	}
	var out []string
	var current []string
	flush := func() {
		if p := strings.TrimSpace(strings.Join(current, "\n")); p != "" {
			out = append(out, p)
		}
		current = nil
	}
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "":
			flush()
		case isHeading(trimmed):
			flush()
			out = append(out, trimmed)
		default:
			current = append(current, strings.TrimRight(line, " \t"))
		}
	}
	flush()
	return out
}

// dropPageNumber removes a bare number from the first or last line of a page that
// holds text: in the middle of a page a number belongs to a table.
func dropPageNumber(lines []string) []string {
	first, last := 0, len(lines)-1
	for first <= last && strings.TrimSpace(lines[first]) == "" {
		first++
	}
	for last >= first && strings.TrimSpace(lines[last]) == "" {
		last--
	}
	if first < last && pageNumber.MatchString(lines[last]) {
		last--
	}
	if first < last && pageNumber.MatchString(lines[first]) {
		first++
	}
	return lines[first : last+1]
}

var (
	numberedHeading = regexp.MustCompile(`^(\d{1,2}(\.\d{1,2}){0,2}\.?|[A-H]\.?|[IVX]{1,5}\.)\s+\p{Lu}[\p{L}\p{N} ,:&'’/()-]{2,80}$`)
	plainHeading    = regexp.MustCompile(`(?i)^(abstract|introduction|related work|background|methods?|experiments?|experimental setup|results|discussion|limitations|conclusions?|references|bibliography|acknowledge?ments|appendix)$`)
	markdownHeading = regexp.MustCompile(`^#{1,4} \S`)
)

func isHeading(line string) bool {
	if len(line) > 120 {
		return false
	}
	if markdownHeading.MatchString(line) || plainHeading.MatchString(line) {
		return true
	}
	return numberedHeading.MatchString(line) && !strings.HasSuffix(line, ".")
}

func roleOf(para string) Role {
	switch {
	case isHeading(para):
		return Heading
	case captionStart.MatchString(para):
		return Caption
	default:
		return Paragraph
	}
}

var captionStart = regexp.MustCompile(`^(Figure|Fig\.|Table)\s+\d+\s*[:.]`)

var ligatures = strings.NewReplacer("\r\n", "\n", "\r", "\n", "ﬀ", "ff", "ﬁ", "fi", "ﬂ", "fl", "ﬃ", "ffi", "ﬄ", "ffl", "ﬅ", "st", "ﬆ", "st", "\u00ad", "", "\u00a0", " ")

// clean makes a text safe to show a model: valid UTF-8, ligatures opened, no
// control or invisible formatting characters. What a person cannot see, the model
// does not get either.
func clean(s string) string {
	s = ligatures.Replace(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\f':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r >= 0xE0000 && r <= 0xE007F:
			return -1
		}
		return r
	}, s)
}

// flags names what is odd about text taken from a PDF.
func flags(pages []string) []string {
	var out []string
	letters, odd, words, long, empty := 0, 0, 0, 0, 0
	for _, p := range pages {
		if strings.TrimSpace(p) == "" {
			empty++
		}
		for _, r := range p {
			if unicode.IsLetter(r) {
				letters++
			}
			if r == utf8.RuneError || unicode.Is(unicode.Co, r) {
				odd++
			}
		}
		odd += 5 * strings.Count(p, "(cid:")
		for w := range strings.FieldsSeq(p) {
			words++
			if letterCount(w) > 28 && !strings.Contains(w, "/") {
				long++
			}
		}
	}
	if letters > 0 && odd*100 > letters*2 {
		out = append(out, "odd glyphs")
	}
	if words > 0 && long*100 > words*2 {
		out = append(out, "fused words")
	}
	if empty > 0 && empty < len(pages) {
		out = append(out, strconv.Itoa(empty)+" of "+strconv.Itoa(len(pages))+" pages without text")
	}
	return out
}

func letterCount(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}
