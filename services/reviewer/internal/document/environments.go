package document

import (
	"path"
	"regexp"
	"strings"
)

var formulas = map[string]bool{"equation": true, "align": true, "gather": true, "multline": true, "eqnarray": true, "displaymath": true, "math": true, "alignat": true, "flalign": true}

// begin opens an environment.
func (w *walker) begin(env string) {
	base := strings.TrimSuffix(env, "*")
	switch {
	case formulas[base]:
		w.rawUntil(env, func(body string) { w.formula(body) })
	case base == "verbatim" || base == "lstlisting" || base == "minted":
		w.flush()
		w.rawUntil(env, func(body string) { w.out.add(Paragraph, strings.Trim(body, "\n")) })
	case base == "comment" || base == "tikzpicture":
		w.rawUntil(env, func(string) {})
	case base == "abstract":
		w.flush()
		w.out.add(Heading, "# Abstract")
	case base == "tabular" || base == "tabularx" || base == "longtable" || base == "array":
		w.flush()
		w.role = Table
		w.arg()
		if base == "tabularx" {
			w.arg()
		}
	case base == "thebibliography":
		w.flush()
		w.out.add(Heading, "# References")
		w.arg()
		w.role = Reference
	case base == "figure" || base == "table" || base == "algorithm":
		w.flush()
		w.skipOption()
	default:
		w.skipOption()
	}
}

// end closes an environment.
func (w *walker) end(env string) {
	switch strings.TrimSuffix(env, "*") {
	case "tabular", "tabularx", "longtable", "array", "figure", "table", "thebibliography", "abstract", "algorithm":
		w.flush()
		w.role = ""
	}
}

// rawUntil hands over an environment's body unread.
func (w *walker) rawUntil(env string, take func(body string)) {
	closing := `\end{` + env + `}`
	body, _, found := strings.Cut(w.src[w.pos:], closing)
	w.pos += len(body)
	if found {
		w.pos += len(closing)
	}
	take(body)
}

var labelCommand = regexp.MustCompile(`\\label\s*\{([^{}]*)\}`)

func (w *walker) formula(body string) {
	for _, m := range labelCommand.FindAllStringSubmatch(body, 200) {
		w.doc.Labels = append(w.doc.Labels, m[1])
	}
	w.para.WriteString(" $" + labelCommand.ReplaceAllString(body, "") + "$ ")
}

// references lists the cited works at the end, as a printed paper does.
func (w *walker) references(embedded, dir string, load Loader) {
	bib := embedded
	if name, ok := argumentOf(w.src, `\bibliography`); ok && load != nil {
		for file := range strings.SplitSeq(name, ",") {
			file = strings.TrimSpace(file)
			if path.Ext(file) != ".bib" {
				file += ".bib"
			}
			if raw, ok := load(path.Join(dir, file)); ok {
				bib += "\n" + clean(string(raw))
			}
		}
	}
	w.addReferences(bib)
}

func (w *walker) addReferences(bib string) {
	entries := parseBib(bib)
	first := true
	for _, key := range w.doc.Cites {
		line, ok := entries[key]
		if !ok {
			continue
		}
		if first {
			w.out.add(Heading, "# References")
			first = false
		}
		w.out.add(Reference, "["+key+"] "+w.inline(line))
	}
}

var bibHead = regexp.MustCompile(`@([A-Za-z]+)\s*\{\s*([^,\s{}]+)\s*,`)

// parseBib reads author, title and year of BibTeX entries; whatever else stands in
// them is of no use to a reader of the paper.
func parseBib(bib string) map[string]string {
	out := map[string]string{}
	for _, m := range bibHead.FindAllStringSubmatchIndex(bib, 2000) {
		open := strings.IndexByte(bib[m[0]:], '{') + m[0]
		body, _ := group(bib[:min(len(bib), open+20_000)], open)
		var parts []string
		for _, field := range []string{"author", "title", "journal", "booktitle", "year"} {
			if v := bibField(body, field); v != "" {
				parts = append(parts, v)
			}
		}
		out[bib[m[4]:m[5]]] = strings.Join(parts, ". ")
	}
	return out
}

var bibFields = map[string]*regexp.Regexp{
	"author":    regexp.MustCompile(`(?i)[,\s]author\s*=\s*`),
	"title":     regexp.MustCompile(`(?i)[,\s]title\s*=\s*`),
	"journal":   regexp.MustCompile(`(?i)[,\s]journal\s*=\s*`),
	"booktitle": regexp.MustCompile(`(?i)[,\s]booktitle\s*=\s*`),
	"year":      regexp.MustCompile(`(?i)[,\s]year\s*=\s*`),
}

func bibField(body, field string) string {
	at := bibFields[field].FindStringIndex(body)
	if at == nil || at[1] >= len(body) {
		return ""
	}
	rest := body[at[1]:]
	switch rest[0] {
	case '{':
		v, _ := group(rest, 0)
		return v
	case '"':
		v, _, _ := strings.Cut(rest[1:], `"`)
		return v
	default:
		return strings.TrimSpace(rest[:min(len(rest), strings.IndexAny(rest+",", ",\n}"))])
	}
}
