package edit

import (
	"regexp"
	"strings"
)

var (
	labelRE    = regexp.MustCompile(`(?i)^(?:file|path|filename|file ?name)\s*:\s*`)
	listRE     = regexp.MustCompile(`^(?:[-*+]|\d{1,3}[.)])\s+`)
	commentRE  = regexp.MustCompile(`^(?:#{1,6}|//|%+)\s+`)
	gluedRE    = regexp.MustCompile(`^(?:#{1,6}|%+)([^\s#%])`)
	lineNoRE   = regexp.MustCompile(`:\d{1,7}(?:[-:]\d{1,7})?$`)
	parenRE    = regexp.MustCompile(`(?i)\s*\((?:new file|new|modified|updated|changed|lines? \d+(?:\s*[-–]\s*\d+)?)\)$`)
	dottedRE   = regexp.MustCompile(`^[^\s]*[^\s./\\]\.[A-Za-z][A-Za-z0-9_]{0,9}$`)
	wordTrim   = "`*\"'“”‘’()[]{}<>,;:!?"
	proseExtRE = regexp.MustCompile(`(?i)\.(?:py|txt|tex|json|ya?ml|md|csv|tsv|sh|toml|cfg|ini|rst|bib|png|pdf|ipynb|html|js|c|h|cpp|r|jl)$`)
)

// bareName takes marks, labels and quotes off a line.
func bareName(s string) string {
	for {
		before := s
		s = strings.Trim(s, " \t")
		s = listRE.ReplaceAllString(s, "")
		s = commentRE.ReplaceAllString(s, "")
		s = gluedRE.ReplaceAllString(s, "$1")
		s = labelRE.ReplaceAllString(s, "")
		for _, q := range []string{"***", "**", "__", "`", "\"", "'"} {
			if len(s) > 2*len(q) && strings.HasPrefix(s, q) && strings.HasSuffix(s, q) {
				s = s[len(q) : len(s)-len(q)]
			}
		}
		s = strings.TrimSuffix(s, ":")
		s = parenRE.ReplaceAllString(s, "")
		s = lineNoRE.ReplaceAllString(s, "")
		// **File:** `a.py` and the like leave unpaired marks.
		s = strings.TrimPrefix(s, "**File:**")
		if s == before {
			return s
		}
	}
}

// pathLike says whether s as a whole reads as a path.
func (p *parser) pathLike(s string) bool {
	if s == "" || len(s) > 400 {
		return false
	}
	if p.known(cleanName(s)) {
		return true
	}
	if strings.ContainsAny(s, " \t") {
		return false
	}
	if strings.Contains(s, "://") || strings.HasPrefix(s, "~") {
		return true
	}
	if strings.ContainsAny(s, "/\\") {
		return strings.Trim(s, "/\\.-_=*<>") != ""
	}
	return dottedRE.MatchString(s)
}

// infoPath finds a path in a fence's info: "python a.py", "python:a.py", "a.py".
func (p *parser) infoPath(info string) string {
	if info == "" {
		return ""
	}
	words := strings.Fields(info)
	last := words[len(words)-1]
	for _, key := range []string{"title=", "file=", "filename=", "path="} {
		last = strings.TrimPrefix(last, key)
	}
	last = strings.Trim(last, "\"'`{}")
	if lang, path, ok := strings.Cut(last, ":"); ok && path != "" && !strings.ContainsAny(lang, "./\\") && len(lang) > 1 && p.pathLike(path) && !strings.HasPrefix(path, "//") {
		return path
	}
	if strings.ContainsAny(last, "./\\") && p.pathLike(last) {
		return last // a bare word is a language, even where a folder is called so
	}
	return ""
}

// nameAbove looks from a block's head upwards, over fences and at most one blank line, to the first text line.
func (p *parser) nameAbove(head, prev int) (name string, several []string) {
	blanks := 0
	for i := head - 1; i > prev; i-- {
		l := p.lines[i]
		if isBlank(l) {
			if blanks++; blanks > 1 {
				return "", nil
			}
			continue
		}
		if f, ok := parseFence(l); ok {
			if n := p.infoPath(f.info); n != "" {
				return n, nil
			}
			continue
		}
		if bare := bareName(l); p.pathLike(bare) {
			return bare, nil
		}
		return p.nameInProse(l)
	}
	return "", nil
}

// nameInProse finds the one path-like word of a sentence; of several, the one that may be written, or is there.
func (p *parser) nameInProse(l string) (string, []string) {
	var found, good, ours []string
	seen := map[string]bool{}
	for _, w := range strings.Fields(l) {
		w = strings.TrimSuffix(strings.Trim(w, wordTrim), ".")
		w = lineNoRE.ReplaceAllString(strings.Trim(w, wordTrim), "")
		if w == "" || seen[w] || len(w) > 400 {
			continue
		}
		known := p.known(cleanName(w)) && strings.ContainsAny(w, ".")
		if !known && !proseExtRE.MatchString(w) {
			continue
		}
		seen[w] = true
		found = append(found, w)
		if known {
			good = append(good, w)
		}
		if known && p.ours(cleanName(w)) {
			ours = append(ours, w)
		}
	}
	switch {
	case len(ours) == 1:
		return ours[0], nil
	case len(good) == 1:
		return good[0], nil
	case len(good) == 0 && len(found) == 1:
		return found[0], nil
	}
	return "", found
}
