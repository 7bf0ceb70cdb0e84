// Package openalex asks OpenAlex for papers and says what went wrong in the words that the rest understands.
package openalex

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
)

// DefaultBase is OpenAlex's address.
const DefaultBase = "https://api.openalex.org"

const (
	fields = "id,doi,display_name,authorships,publication_year,type,primary_location,locations,best_oa_location,biblio," +
		"abstract_inverted_index,cited_by_count,is_retracted"
	maxQuery  = 1500 // characters; a longer one is refused
	costFind  = 0.001
	costList  = 0.0001
	keyName   = "OPENALEX_API_KEY"
	tries     = 3
	maxBody   = 10 << 20
	maxWait   = 30 * time.Second
	tryLimit  = 30 * time.Second
	callLimit = 60 * time.Second
)

// Pace lets requests through one by one at the engine's rate, over all callers.
type Pace interface {
	// Wait returns when a request may be sent.
	Wait(ctx context.Context, tell func(until time.Time)) error
	// Pause holds all callers back.
	Pause(ctx context.Context, d time.Duration)
}

// Clock is time as the client sees it.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// Options are what a client needs; Base and Agent are required.
type Options struct {
	Base      string
	Agent     string        // the User-Agent header
	Key       func() string // the key as it is now; empty: none
	Pace      Pace
	Clock     Clock
	Transport http.RoundTripper
	TryLimit  time.Duration // of one try; 0: 30 s
}

// Client is the engine.
type Client struct {
	o    Options
	http *http.Client
	gate gate
}

// New makes a client; it dials nothing.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("openalex: %q is no http address", o.Base)
	}
	o.Base = strings.TrimRight(o.Base, "/")
	if o.Key == nil {
		o.Key = func() string { return "" }
	}
	if o.TryLimit <= 0 {
		o.TryLimit = tryLimit
	}
	return &Client{o: o, http: &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name is the engine's name in requests.
func (*Client) Name() string { return paper.OpenAlex }

// Title is the engine's name for people.
func (*Client) Title() string { return "OpenAlex" }

// Online is true.
func (*Client) Online() bool { return true }

// AnyWord is false: an alternative counts as an operator, and those are limited.
func (*Client) AnyWord() bool { return false }

// Search finds works in which every word occurs.
func (c *Client) Search(ctx context.Context, r query.Rung, from, to, limit int, tell literature.Tell) literature.Answer {
	q := url.Values{"search": {text.Clip(strings.Join(r.Words, " "), maxQuery)}, "select": {fields}}
	q.Set("per_page", strconv.Itoa(min(max(limit, 1), 100)))
	if f := years(from, to); f != "" {
		q.Set("filter", f)
	}
	return c.list(ctx, q, costFind, tell)
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
func (c *Client) ByID(ctx context.Context, doi, arXiv string, tell literature.Tell) literature.Answer {
	if doi == "" && arXiv != "" {
		doi = "10.48550/arxiv." + arXiv
	}
	if doi == "" {
		return literature.Answer{}
	}
	q := url.Values{"select": {fields}}
	return c.ask(ctx, request{path: "/works/doi:" + escapePath(doi), query: q, single: true}, tell)
}

// escapePath keeps the slash of a DOI and escapes all that could end the path.
func escapePath(doi string) string {
	return strings.ReplaceAll(url.PathEscape(doi), "%2F", "/")
}

// ByTitle finds works whose title has all the words.
func (c *Client) ByTitle(ctx context.Context, title string, tell literature.Tell) literature.Answer {
	words := query.Content(title)
	if len(words) == 0 {
		return literature.Answer{}
	}
	q := url.Values{"filter": {"title.search:" + strings.Join(words, " ")}, "per_page": {"10"}, "select": {fields}}
	return c.list(ctx, q, costList, tell)
}

func (c *Client) list(ctx context.Context, q url.Values, cost float64, tell literature.Tell) literature.Answer {
	return c.ask(ctx, request{path: "/works", query: q, cost: cost}, tell)
}
