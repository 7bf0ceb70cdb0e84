package literature

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"

	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
)

// frame writes one field of a request so that no two requests give the same bytes.
func frame(h hash.Hash, tag, value string) {
	if value != "" {
		fmt.Fprintf(h, "%s %d\n%s\n", tag, len(value), value)
	}
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func sum(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// digest names what is asked, not who is asked: so a replay asks the same as the study it was recorded from.
func (q Query) digest() string {
	h := sha256.New()
	frame(h, "v", "1")
	frame(h, "method", "search")
	frame(h, "query", query.Fold(q.Text))
	frame(h, "limit", number(q.Limit))
	frame(h, "from", number(q.From))
	frame(h, "to", number(q.To))
	return sum(h)
}

func (r Resolve) digest() string {
	h := sha256.New()
	frame(h, "v", "1")
	frame(h, "method", "resolve")
	frame(h, "title", query.Fold(text.Plain(r.Reference.Title)))
	for _, a := range r.Reference.Authors {
		frame(h, "author", query.Fold(a.String()))
	}
	if r.Reference.Cut {
		frame(h, "cut", "1")
	}
	frame(h, "year", number(r.Reference.Year))
	frame(h, "doi", r.Reference.DOI)
	frame(h, "arxiv", r.Reference.ArXiv)
	return sum(h)
}
