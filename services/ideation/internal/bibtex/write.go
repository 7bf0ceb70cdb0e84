// Package bibtex writes papers as BibTeX entries and reads other people's. What it writes it reads back to the same paper.
package bibtex

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// Write is the paper's entry, fields in a fixed order, ASCII only.
func Write(p paper.Paper) string {
	var b strings.Builder
	b.WriteString("@" + entryType(p.Kind) + "{" + p.Key)
	field := func(name, value string) {
		if value != "" {
			b.WriteString(",\n  " + name + " = {" + value + "}")
		}
	}
	field("title", Title(p.Title))
	field("author", authors(p))
	field(venueField(p.Kind), Escape(p.Venue))
	if p.Year > 0 {
		field("year", strconv.Itoa(p.Year))
	}
	field("volume", Escape(p.Volume))
	field("number", Escape(p.Number))
	field("pages", strings.ReplaceAll(Escape(p.Pages), "-", "--"))
	field("doi", verbatim(p.DOI))
	if p.ArXiv != "" {
		field("eprint", verbatim(p.ArXiv))
		field("archivePrefix", "arXiv")
	}
	if p.DOI == "" {
		field("url", verbatim(p.URL))
	}
	b.WriteString("\n}\n")
	return b.String()
}

func entryType(kind string) string {
	switch kind {
	case paper.Conference:
		return "inproceedings"
	case paper.Journal:
		return "article"
	case paper.Book:
		return "book"
	case paper.Chapter:
		return "incollection"
	case paper.Report:
		return "techreport"
	}
	return "misc"
}

func venueField(kind string) string {
	switch kind {
	case paper.Conference, paper.Chapter:
		return "booktitle"
	case paper.Journal:
		return "journal"
	case paper.Book:
		return "publisher"
	case paper.Report:
		return "institution"
	}
	return "howpublished"
}

func authors(p paper.Paper) string {
	names := make([]string, 0, len(p.Authors)+1)
	for _, a := range p.Authors {
		names = append(names, name(a))
	}
	if p.AuthorsCut && len(names) > 0 {
		names = append(names, "others")
	}
	return strings.Join(names, " and ")
}

func name(a paper.Author) string {
	switch {
	case a.Literal != "":
		return "{" + Escape(a.Literal) + "}"
	case a.Suffix != "":
		return Escape(a.Family) + ", " + Escape(a.Suffix) + ", " + Escape(a.Given)
	case a.Given == "":
		return "{" + Escape(a.Family) + "}"
	}
	return Escape(a.Family) + ", " + Escape(a.Given)
}

// Title is a title escaped, with the words braced whose capitals BibTeX would lower.
func Title(s string) string {
	words := strings.Split(text.Plain(s), " ")
	for i, w := range words {
		if innerCapital(w) {
			words[i] = "{" + Escape(w) + "}"
		} else {
			words[i] = Escape(w)
		}
	}
	return strings.Join(words, " ")
}

// innerCapital reports whether a word has a capital that is not its first letter, as names and abbreviations do.
func innerCapital(w string) bool {
	lettersBefore := false
	n := 0
	for _, r := range w {
		if unicode.IsUpper(r) && lettersBefore {
			return true
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			lettersBefore = true
			n++
		}
	}
	return n == 1 && strings.ToUpper(w) == w && strings.ToLower(w) != w && w != "A"
}

var escapes = map[rune]string{
	'&': `\&`, '%': `\%`, '#': `\#`, '_': `\_`, '$': `\$`, '~': `\textasciitilde{}`, '^': `\textasciicircum{}`, '\\': `\textbackslash{}`,
	'{': "", '}': "", 'ß': `{\ss}`, 'ø': `{\o}`, 'Ø': `{\O}`, 'ł': `{\l}`, 'Ł': `{\L}`, 'æ': `{\ae}`, 'Æ': `{\AE}`, 'œ': `{\oe}`, 'Œ': `{\OE}`,
	'ı': `{\i}`, 'đ': `{\dj}`, 'Đ': `{\DJ}`, 'ð': `{\dh}`, 'þ': `{\th}`, '–': "--", '—': "---", '’': "'", '‘': "`", '“': "``", '”': "''", '…': `\ldots{}`,
	'×': `$\times$`, '∞': `$\infty$`, '→': `$\to$`, '≤': `$\leq$`, '≥': `$\geq$`, '±': `$\pm$`, '·': `$\cdot$`, 'ℓ': `$\ell$`, '‐': "-", '‑': "-", '−': "-",
}

var marks = map[rune]string{
	0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: `"`, 0x30A: "r", 0x30B: "H", 0x30C: "v",
	0x323: "d", 0x327: "c", 0x328: "k", 0x331: "b",
}

// Escape writes plain text as LaTeX in ASCII: accents as commands, Greek as mathematics, scripts that LaTeX's classic fonts
// lack as their code points.
func Escape(s string) string {
	var b strings.Builder
	rs := []rune(norm.NFD.String(text.OneLine(s)))
	for i := 0; i < len(rs); i++ {
		r := rs[i]
		var mark string
		for i+1 < len(rs) && unicode.Is(unicode.Mn, rs[i+1]) {
			i++
			if mark == "" {
				mark = marks[rs[i]]
			}
		}
		base := one(r)
		switch {
		case mark == "" || base == "":
			b.WriteString(base)
		case r == 'i' || r == 'j':
			b.WriteString(`{\` + mark + `{\` + string(r) + `}}`)
		default:
			b.WriteString(`{\` + mark + `{` + base + `}}`)
		}
	}
	return b.String()
}

func one(r rune) string {
	if e, ok := escapes[r]; ok {
		return e
	}
	if r < utf8.RuneSelf {
		return string(r)
	}
	if name, ok := text.GreekName(r); ok && name != "omicron" {
		return `$\` + name + `$`
	}
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		if folded := norm.NFKD.String(string(r)); len(folded) == 1 {
			return folded
		}
		return romanised(r)
	}
	if unicode.IsSpace(r) {
		return " "
	}
	return ""
}

var cyrillic = map[rune]string{
	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'д': "d", 'е': "e", 'ж': "zh", 'з': "z", 'и': "i", 'к': "k", 'л': "l", 'м': "m", 'н': "n",
	'о': "o", 'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u", 'ф': "f", 'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch",
	'ъ': "", 'ы': "y", 'ь': "", 'э': "e", 'ю': "yu", 'я': "ya",
}

func romanised(r rune) string {
	if s, ok := cyrillic[unicode.ToLower(r)]; ok {
		if unicode.IsUpper(r) && s != "" {
			return strings.ToUpper(s[:1]) + s[1:]
		}
		return s
	}
	return "U+" + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + " "
}

// verbatim is an identifier or address, which LaTeX reads as it stands; what would end the field early goes.
func verbatim(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= utf8.RuneSelf || strings.ContainsRune(`{}\"`, r) {
			return -1
		}
		return r
	}, s)
}
