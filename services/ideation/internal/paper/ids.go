package paper

import (
	"net/url"
	"regexp"
	"strings"

	"nullius.dev/services/ideation/internal/text"
)

var (
	doiForm     = regexp.MustCompile(`10\.\d{4,9}/[^\s"<>{}]+`)
	arXivNew    = regexp.MustCompile(`(?i)(?:^|[^0-9.])(\d{4}\.\d{4,5})(v\d+)?(?:$|[^0-9.]|\.(?:$|[^0-9]))`)
	arXivOld    = regexp.MustCompile(`(?i)\b([a-z][a-z-]*(?:\.[a-z]{2})?/\d{7})(v\d+)?\b`)
	arXivMarked = regexp.MustCompile(`(?i)arxiv`)
)

// CleanDOI is the DOI within s, less resolver, in lower case; empty if there is none.
func CleanDOI(s string) string {
	s = strings.TrimSpace(text.Clip(s, 500))
	if u, err := url.PathUnescape(s); err == nil && strings.Contains(s, "%2") {
		s = u
	}
	m := doiForm.FindString(s)
	m = strings.TrimRight(m, ".,;:'")
	for strings.HasSuffix(m, ")") && strings.Count(m, ")") > strings.Count(m, "(") {
		m = strings.TrimRight(strings.TrimSuffix(m, ")"), ".,;")
	}
	return strings.ToLower(m)
}

// CleanArXiv is the arXiv number within s, less version; empty if there is none.
func CleanArXiv(s string) string {
	s = strings.TrimSpace(text.Clip(s, 500))
	if m := arXivOld.FindStringSubmatch(s); m != nil && !strings.HasPrefix(strings.ToLower(m[1]), "abs/") && !strings.HasPrefix(strings.ToLower(m[1]), "pdf/") {
		return strings.ToLower(m[1])
	}
	if m := arXivNew.FindStringSubmatch(s); m != nil && validMonth(m[1]) {
		return m[1]
	}
	return ""
}

func validMonth(id string) bool {
	month := id[2:4]
	return month >= "01" && month <= "12"
}

// FindIDs looks for a DOI or an arXiv number in a text that people typed as a query.
func FindIDs(s string) (doi, arXiv string) {
	doi = CleanDOI(s)
	if a := arXivOfDOI(doi); a != "" {
		return "", a
	}
	if doi == "" && (arXivMarked.MatchString(s) || len(strings.Fields(s)) == 1) {
		arXiv = CleanArXiv(s)
	}
	return doi, arXiv
}

func arXivOfDOI(doi string) string {
	if rest, ok := strings.CutPrefix(doi, "10.48550/arxiv."); ok {
		return CleanArXiv(rest)
	}
	return ""
}

// arXivYear is the year that an arXiv number tells, 0 if none.
func arXivYear(id string) int {
	digits := id
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		digits = id[i+1:]
	}
	if len(digits) < 4 || digits[0] < '0' || digits[0] > '9' || digits[1] < '0' || digits[1] > '9' {
		return 0
	}
	y := int(digits[0]-'0')*10 + int(digits[1]-'0')
	if y >= 91 {
		return 1900 + y
	}
	return 2000 + y
}

func cleanURL(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxURL {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}
