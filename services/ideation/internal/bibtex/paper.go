package bibtex

import (
	"regexp"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

var yearForm = regexp.MustCompile(`\b(1[5-9]|20|21)\d\d\b`)

// Paper reads an entry as a paper's record, with the fields that biblatex names differently.
func (e Entry) Paper() paper.Paper {
	p := paper.Paper{
		Title: e.Fields["title"], Kind: kindOf(e), DOI: e.Fields["doi"], URL: plainURL(e.Fields["url"]),
		Volume: e.Fields["volume"], Number: first(e, "number", "issue"), Pages: strings.ReplaceAll(e.Fields["pages"], "--", "-"),
	}
	p.Venue = first(e, "booktitle", "journal", "journaltitle", "publisher", "institution", "school")
	if p.Venue == "" && !strings.Contains(e.Fields["howpublished"], "url") {
		p.Venue = e.Fields["howpublished"]
	}
	if m := yearForm.FindString(first(e, "year", "date", "note")); m != "" {
		p.Year, _ = strconv.Atoi(m) // four digits
	}
	p.ArXiv = arXiv(e)
	for _, n := range SplitNames(first(e, "author", "editor")) {
		if paper.Others(n) {
			p.AuthorsCut = true
			continue
		}
		if a := paper.ParseAuthor(n); a != (paper.Author{}) {
			p.Authors = append(p.Authors, a)
		}
	}
	p = p.Clean()
	if e.Key != "" {
		p.Key = e.Key
	}
	return p
}

func first(e Entry, names ...string) string {
	for _, n := range names {
		if v := strings.TrimSpace(e.Fields[n]); v != "" {
			return v
		}
	}
	return ""
}

func kindOf(e Entry) string {
	switch e.Type {
	case "inproceedings", "conference":
		return paper.Conference
	case "article":
		if strings.Contains(strings.ToLower(first(e, "journal", "journaltitle")), "arxiv") {
			return paper.Preprint
		}
		return paper.Journal
	case "book", "mvbook", "proceedings":
		return paper.Book
	case "incollection", "inbook":
		return paper.Chapter
	case "techreport", "report":
		return paper.Report
	}
	if arXiv(e) != "" {
		return paper.Preprint
	}
	return paper.Other
}

func arXiv(e Entry) string {
	kind := strings.ToLower(first(e, "archiveprefix", "eprinttype"))
	if id := e.Fields["eprint"]; id != "" && (kind == "" || kind == "arxiv") {
		return paper.CleanArXiv(id)
	}
	for _, f := range []string{"journal", "journaltitle", "howpublished", "url", "note", "volume"} {
		if v := e.Fields[f]; strings.Contains(strings.ToLower(v), "arxiv") {
			if id := paper.CleanArXiv(v); id != "" {
				return id
			}
		}
	}
	return ""
}

func plainURL(s string) string {
	return strings.NewReplacer(`\_`, "_", `\%`, "%", `\&`, "&", `\#`, "#", `\~{}`, "~").Replace(strings.Trim(s, "{} "))
}

// SplitNames splits a list of names at "and" outside braces.
func SplitNames(s string) []string {
	s = text.Clip(s, maxField)
	var out []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ' ', '\n', '\t':
			rest := s[i+1:]
			if depth <= 0 && len(rest) >= 4 && strings.EqualFold(rest[:3], "and") && strings.IndexByte(" \n\t", rest[3]) >= 0 {
				out = append(out, strings.TrimSpace(s[start:i]))
				i += 3
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" {
		out = append(out, last)
	}
	return out
}
