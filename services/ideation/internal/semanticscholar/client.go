// Package semanticscholar asks Semantic Scholar's Academic Graph for papers. Its methods, fields and answers:
// https://api.semanticscholar.org/api-docs/graph.
package semanticscholar

import (
	"context"
	"encoding/json"
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

// DefaultBase is the address of the Academic Graph.
const DefaultBase = "https://api.semanticscholar.org/graph/v1"

// KeyVar is the variable that holds the key.
const KeyVar = "S2_API_KEY"

// Interval is our pace: a key may ask once a second over all methods.
const Interval = 1050 * time.Millisecond

const (
	fields = "externalIds,url,title,abstract,venue,publicationVenue,year,publicationTypes,journal,authors,citationCount,openAccessPdf"
	title  = "Semantic Scholar"
	// maxBatch is less than the 500 that may be asked for, so that an answer stays well under 10 MB.
	maxBatch = 50
	maxTitle = 300 // characters of a title that are asked for
)

// Client is the engine.
type Client struct {
	e        *engine.Client
	together engine.Together
}

// New makes a client; it dials nothing.
func New(o engine.Options) (*Client, error) {
	e, err := engine.New(engine.Protocol{
		Name: paper.SemanticScholar, Title: title, KeyVar: KeyVar, Accept: "application/json",
		SetKey:  func(h http.Header, key string) { h.Set("x-api-key", key) },
		Limited: "Semantic Scholar limits callers without a key",
		KeyHint: "; unused keys die after about 60 days",
		Next:    map[string]string{literature.RateLimit: "--engine openalex, or " + KeyVar, literature.KeyRefused: "nullius doctor"},
		Special: special, Decode: decode,
	}, o)
	c := &Client{e: e}
	c.together = engine.Together{Client: e, Max: maxBatch, Request: byIDs}
	return c, err
}

// Name is the engine's name in requests.
func (*Client) Name() string { return paper.SemanticScholar }

// Title is the engine's name for people.
func (*Client) Title() string { return title }

// Online is true.
func (*Client) Online() bool { return true }

// Missing is the variable of the key while there is none: callers without one share a pool that is nearly always exhausted.
func (c *Client) Missing() string {
	if c.e.Keyed() {
		return ""
	}
	return KeyVar
}

// Ladder has no query of alternatives.
func (*Client) Ladder() query.Shape { return query.Shape{} }

// Search finds papers by words.
func (c *Client) Search(ctx context.Context, s literature.Search, call literature.Call) literature.Answer {
	q := url.Values{"query": {strings.Join(s.Rung.Words, " ")}, "offset": {"0"}, "limit": {strconv.Itoa(min(max(s.Limit, 1), 100))}}
	if y := years(s.From, s.To); y != "" {
		q.Set("year", y)
	}
	return c.ask(ctx, engine.Request{Path: "/paper/search", Query: q}, call)
}

func years(from, to int) string {
	switch {
	case from > 0 && to > 0:
		return fmt.Sprintf("%d-%d", from, to)
	case from > 0:
		return fmt.Sprintf("%d-", from)
	case to > 0:
		return fmt.Sprintf("-%d", to)
	}
	return ""
}

// ByID finds a paper; lookups that wait become one request.
func (c *Client) ByID(ctx context.Context, id literature.ID, call literature.Call) literature.Answer {
	switch {
	case id.DOI != "":
		return c.together.Find(ctx, "DOI:"+id.DOI, call)
	case id.ArXiv != "":
		return c.together.Find(ctx, "ARXIV:"+id.ArXiv, call)
	}
	return literature.Answer{Unable: true}
}

func byIDs(ids []string) engine.Request {
	r := engine.Request{Query: url.Values{"fields": {fields}}, Hidden: []string{"fields"}, IDs: ids}
	if len(ids) == 1 {
		kind, id, _ := strings.Cut(ids[0], ":")
		r.Path, r.Single = "/paper/"+kind+":"+strings.ReplaceAll(url.PathEscape(id), "%2F", "/"), true
		return r
	}
	r.Path = "/paper/batch"
	r.Body, _ = json.Marshal(map[string][]string{"ids": ids}) // strings always encode
	return r
}

// ByTitle finds the one paper whose title is nearest.
func (c *Client) ByTitle(ctx context.Context, title string, call literature.Call) literature.Answer {
	words := query.Words(title)
	if len(words) == 0 {
		return literature.Answer{Unable: true}
	}
	q := url.Values{"query": {text.ClipRunes(strings.Join(words, " "), maxTitle)}}
	return c.ask(ctx, engine.Request{Path: "/paper/search/match", Query: q, Single: true}, call)
}

func (c *Client) ask(ctx context.Context, r engine.Request, call literature.Call) literature.Answer {
	r.Query.Set("fields", fields)
	r.Hidden = []string{"fields"}
	return c.e.Ask(ctx, r, call)
}

// special knows that a batch of unknown identifiers alone is refused.
func special(code int, _ http.Header, body []byte, _ time.Time, _ bool) *engine.Verdict {
	if code == http.StatusBadRequest && strings.Contains(strings.ToLower(engine.Message(body)), "no valid paper ids") {
		return &engine.Verdict{}
	}
	return nil
}
