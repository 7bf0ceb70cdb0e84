// Package arxiv asks arXiv for papers. Its queries, feeds and errors: https://info.arxiv.org/help/api/user-manual.html; its
// limits: https://info.arxiv.org/help/api/tou.html.
package arxiv

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
)

// DefaultBase is the address of the API.
const DefaultBase = "https://export.arxiv.org/api/query"

// Interval is our pace: one request every three seconds on one connection, over all machines, is allowed.
const Interval = 3100 * time.Millisecond

const (
	title    = "arXiv"
	maxBatch = 50
	maxWords = 8 // of a title
)

// Client is the engine.
type Client struct {
	e        *engine.Client
	together engine.Together
}

// New makes a client; it dials nothing.
func New(o engine.Options) (*Client, error) {
	e, err := engine.New(engine.Protocol{
		Name: paper.ArXiv, Title: title, Accept: "application/atom+xml", Limited: "arXiv limits this address",
		Next:    map[string]string{literature.RateLimit: "--engine openalex"},
		Special: special, Decode: decode,
	}, o)
	c := &Client{e: e}
	c.together = engine.Together{Client: e, Max: maxBatch, Request: byIDs}
	return c, err
}

// Name is the engine's name in requests.
func (*Client) Name() string { return paper.ArXiv }

// Title is the engine's name for people.
func (*Client) Title() string { return title }

// Online is true.
func (*Client) Online() bool { return true }

// Missing is empty: there are no keys.
func (*Client) Missing() string { return "" }

// Ladder ends with a query of alternatives.
func (*Client) Ladder() query.Shape { return query.Shape{AnyWord: true} }

// Search finds preprints by words.
func (c *Client) Search(ctx context.Context, s literature.Search, call literature.Call) literature.Answer {
	q := Terms("all", s.Rung.Words, s.Rung.Any)
	if s.From > 0 || s.To > 0 {
		from, to := max(s.From, 1991), s.To
		if to == 0 {
			to = 2999
		}
		q = fmt.Sprintf("(%s) AND submittedDate:[%04d01010000 TO %04d12312359]", q, from, to)
	}
	return c.find(ctx, q, min(max(s.Limit, 1), 100), call)
}

// Terms is a search query: every word quoted, so that none is an operator.
func Terms(field string, words []string, anyWord bool) string {
	join := " AND "
	if anyWord {
		join = " OR "
	}
	terms := make([]string, len(words))
	for i, w := range words {
		terms[i] = field + `:"` + strings.NewReplacer(`"`, "", `\`, "").Replace(w) + `"`
	}
	return strings.Join(terms, join)
}

func (c *Client) find(ctx context.Context, q string, limit int, call literature.Call) literature.Answer {
	v := url.Values{"search_query": {q}, "start": {"0"}, "max_results": {strconv.Itoa(limit)}, "sortBy": {"relevance"}, "sortOrder": {"descending"}}
	return c.e.Ask(ctx, engine.Request{Query: v, Hidden: []string{"sortBy", "sortOrder", "start"}}, call)
}

// ByID finds a preprint by its number; lookups that wait become one request. A DOI alone cannot be asked for.
func (c *Client) ByID(ctx context.Context, id literature.ID, call literature.Call) literature.Answer {
	if id.ArXiv == "" {
		return literature.Answer{Unable: true}
	}
	return c.together.Find(ctx, id.ArXiv, call)
}

func byIDs(ids []string) engine.Request {
	v := url.Values{"id_list": {strings.Join(ids, ",")}, "max_results": {strconv.Itoa(len(ids))}}
	return engine.Request{Query: v, IDs: ids, Single: len(ids) == 1}
}

// ByTitle finds preprints whose title has all the words.
func (c *Client) ByTitle(ctx context.Context, title string, call literature.Call) literature.Answer {
	words := query.Content(title)
	if len(words) == 0 {
		return literature.Answer{Unable: true}
	}
	return c.find(ctx, Terms("ti", words[:min(len(words), maxWords)], false), 10, call)
}
