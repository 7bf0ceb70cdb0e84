// Package openalex asks OpenAlex for papers. Its answers, errors and prices: https://developers.openalex.org and
// https://docs.openalex.org (works, filters, rate limits).
package openalex

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/engine"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
)

// DefaultBase is OpenAlex's address.
const DefaultBase = "https://api.openalex.org"

// KeyVar is the variable that holds the key, which is free.
const KeyVar = "OPENALEX_API_KEY"

const (
	fields = "id,doi,display_name,authorships,publication_year,type,primary_location,locations,best_oa_location,biblio," +
		"abstract_inverted_index,cited_by_count,is_retracted"
	maxQuery    = 1500 // characters; a longer one is refused
	costFind    = 0.001
	costMeaning = 0.01 // by its pages; its source says 0.001
	costList    = 0.0001
	title       = "OpenAlex"
)

// Interval is our pace: well within the 30 requests a second with a key and the 10 without one.
func Interval(keyed bool) time.Duration {
	if keyed {
		return 200 * time.Millisecond
	}
	return 500 * time.Millisecond
}

// Client is the engine.
type Client struct{ e *engine.Client }

// New makes a client; it dials nothing.
func New(o engine.Options) (*Client, error) {
	e, err := engine.New(engine.Protocol{
		Name: paper.OpenAlex, Title: title, KeyVar: KeyVar, Accept: "application/json",
		SetKey:  func(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) },
		Limited: "OpenAlex limits callers without a key",
		Next: map[string]string{
			literature.Quota: KeyVar + " (free)", literature.RateLimit: "--engine arxiv, or " + KeyVar, literature.KeyRefused: "nullius doctor",
		},
		Special: special, Account: account, Decode: decode,
	}, o)
	return &Client{e}, err
}

// Name is the engine's name in requests.
func (*Client) Name() string { return paper.OpenAlex }

// Title is the engine's name for people.
func (*Client) Title() string { return title }

// Online is true.
func (*Client) Online() bool { return true }

// Missing is empty: OpenAlex answers without a key too.
func (*Client) Missing() string { return "" }

// Ladder has no query of alternatives: they count as operators, and those are limited. With a key there is one by meaning.
func (c *Client) Ladder() query.Shape { return query.Shape{Meaning: c.e.Keyed()} }

// Search finds works in which every word occurs, or such as mean the same.
func (c *Client) Search(ctx context.Context, s literature.Search, call literature.Call) literature.Answer {
	words := text.Clip(strings.Join(s.Rung.Words, " "), maxQuery)
	q, cost := url.Values{"search": {words}}, costFind
	if s.Rung.Meaning {
		q, cost = url.Values{"search.semantic": {words}}, costMeaning
	}
	q.Set("per_page", strconv.Itoa(min(max(s.Limit, 1), 100)))
	if f := years(s.From, s.To); f != "" {
		q.Set("filter", f)
	}
	return c.list(ctx, q, cost, call)
}

func years(from, to int) string {
	switch {
	case from > 0 && to > 0:
		return fmt.Sprintf("publication_year:%d-%d", from, to)
	case from > 0:
		return fmt.Sprintf("publication_year:%d-", from)
	case to > 0:
		return fmt.Sprintf("publication_year:-%d", to)
	}
	return ""
}

// ByID finds the work of a DOI or an arXiv number.
func (c *Client) ByID(ctx context.Context, id literature.ID, call literature.Call) literature.Answer {
	doi := id.DOI
	if doi == "" && id.ArXiv != "" {
		doi = "10.48550/arxiv." + id.ArXiv
	}
	if doi == "" {
		return literature.Answer{Unable: true}
	}
	q := url.Values{"select": {fields}}
	return c.e.Ask(ctx, engine.Request{Path: "/works/doi:" + escapePath(doi), Query: q, Single: true, Hidden: []string{"select"}}, call)
}

// escapePath keeps the slash of a DOI and escapes all that could end the path.
func escapePath(doi string) string {
	return strings.ReplaceAll(url.PathEscape(doi), "%2F", "/")
}

// ByTitle finds works whose title has all the words.
func (c *Client) ByTitle(ctx context.Context, title string, call literature.Call) literature.Answer {
	words := query.Content(title)
	if len(words) == 0 {
		return literature.Answer{Unable: true}
	}
	q := url.Values{"filter": {"title.search:" + strings.Join(words, " ")}, "per_page": {"10"}}
	return c.list(ctx, q, costList, call)
}

func (c *Client) list(ctx context.Context, q url.Values, cost float64, call literature.Call) literature.Answer {
	q.Set("select", fields)
	return c.e.Ask(ctx, engine.Request{Path: "/works", Query: q, Cost: cost, Hidden: []string{"select"}}, call)
}

// special knows what a spent allowance and a plan that is wanted look like.
func special(code int, h http.Header, body []byte, now time.Time, _ bool) *engine.Verdict {
	if code < 400 {
		return nil
	}
	said := engine.Message(body)
	left, _ := account(h)
	none := left != nil && *left <= 0 && (code == http.StatusTooManyRequests || code == http.StatusForbidden) // its pages say 403, its source 429
	switch {
	case strings.Contains(said, "Insufficient budget"), none && !strings.Contains(said, "Plan upgrade"):
		return &engine.Verdict{Failure: &literature.Failure{Cause: literature.Quota}, Spent: true, Wait: reset(h, body, now)}
	case code == http.StatusTooManyRequests && strings.Contains(said, "Plan upgrade"):
		return &engine.Verdict{Failure: &literature.Failure{
			Cause: literature.Rejected, Detail: fmt.Sprintf("OpenAlex rejected the request (%d: %s).", code, said),
		}}
	}
	return nil
}
