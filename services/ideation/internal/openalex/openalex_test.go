package openalex_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/openalex"
	"nullius.dev/services/ideation/internal/query"
)

// clock is time that passes only by sleeping.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// free lets everybody through.
type free struct{}

func (free) Wait(ctx context.Context, _ func(time.Time)) error { return ctx.Err() }
func (free) Pause(context.Context, time.Duration)              {}

const good = `{"meta":{"count":7},"results":[{"id":"https://openalex.org/W1","doi":"https://doi.org/10.5555/X1","display_name":"A <i>Made-up</i> Title",
 "publication_year":2021,"type":"article","authorships":[{"author":{"display_name":"Ada Example"}},{"author":null}],"abstract_inverted_index":{"We":[0],"study":[1,1000000000]},
 "cited_by_count":3,"primary_location":{"source":{"display_name":"Conf","type":"conference"}},"locations":[{"landing_page_url":"https://arxiv.org/abs/2101.00001v2"}],"is_retracted":null}]}`

type step struct {
	status int
	header map[string]string
	body   string
}

// play answers in turn; the last step is repeated.
func play(t *testing.T, key string, steps ...step) (*openalex.Client, *clock, func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		s := steps[min(n, len(steps)-1)]
		n++
		mu.Unlock()
		if got := r.Header.Get("Authorization"); key != "" && got != "Bearer "+key {
			t.Errorf("authorization is %q", got)
		}
		if strings.Contains(r.URL.String(), "CANARY") {
			t.Error("the key is in the address")
		}
		for k, v := range s.header {
			w.Header().Set(k, v)
		}
		switch s.body {
		case "<reset>":
			panic(http.ErrAbortHandler)
		case "<hang>":
			<-r.Context().Done()
			return
		case "<bomb>":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			chunk := make([]byte, 1<<20)
			for range 12 {
				_, _ = z.Write(chunk)
			}
			_ = z.Close()
			return
		}
		w.WriteHeader(s.status)
		fmt.Fprint(w, s.body)
	}))
	t.Cleanup(srv.Close)
	c := &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	limit := time.Duration(0) // a slow machine must not look like a slow engine
	if slices.ContainsFunc(steps, func(s step) bool { return s.body == "<hang>" }) {
		limit = 300 * time.Millisecond
	}
	client, err := openalex.New(openalex.Options{Base: srv.URL, Agent: "test", Key: func() string { return key }, Pace: free{}, Clock: c, TryLimit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return client, c, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func find(t *testing.T, c *openalex.Client) literature.Answer {
	t.Helper()
	return c.Search(t.Context(), query.Rung{Words: []string{"made", "up"}}, 2019, 2024, 10, func(literature.Progress) {})
}

func TestSearch_WhatIsSeenAndWhatItMeans(t *testing.T) {
	ok := step{200, nil, good}
	tests := []struct {
		name   string
		key    string
		steps  []step
		papers int
		cause  string
		asked  int
		slept  time.Duration
	}{
		{"an answer", "", []step{ok}, 1, "", 1, 0},
		{"none", "", []step{{200, nil, `{"meta":{"count":0},"results":[]}`}}, 0, "", 1, 0},
		{"no JSON, then an answer", "", []step{{200, nil, "<html>"}, ok}, 1, "", 2, 2 * time.Second},
		{"JSON of another kind", "", []step{{200, nil, `{"ok":true}`}}, 0, "BAD_ANSWER", 3, 7 * time.Second},
		{"null", "", []step{{200, nil, `null`}}, 0, "BAD_ANSWER", 3, 7 * time.Second},
		{"works that cannot be read", "", []step{{200, nil, `{"results":[{"display_name":7}]}`}}, 0, "BAD_ANSWER", 3, 7 * time.Second},
		{"empty", "", []step{{200, nil, ""}}, 0, "BAD_ANSWER", 3, 7 * time.Second},
		{"a bomb", "", []step{{200, nil, "<bomb>"}}, 0, "BAD_ANSWER", 3, 7 * time.Second},
		{"a reset", "", []step{{200, nil, "<reset>"}}, 0, "OUTAGE", 3, 7 * time.Second},
		{"a hang", "", []step{{200, nil, "<hang>"}, ok}, 1, "", 2, 2 * time.Second},
		{"404 on a list", "", []step{{404, nil, "{}"}}, 0, "OUTAGE", 3, 7 * time.Second},
		{"500, then an answer", "", []step{{500, nil, "oops"}, ok}, 1, "", 2, 2 * time.Second},
		{"504 three times", "", []step{{504, nil, ""}}, 0, "OUTAGE", 3, 7 * time.Second},
		{"429 with seconds", "", []step{{429, map[string]string{"Retry-After": "9"}, `{"error":"Rate limit exceeded"}`}, ok}, 1, "", 2, 9 * time.Second},
		{"429 with zero", "", []step{{429, map[string]string{"Retry-After": "0"}, `{}`}, ok}, 1, "", 2, time.Second},
		{"429 with a date", "", []step{{429, map[string]string{"Retry-After": "Sat, 01 Aug 2026 12:00:05 GMT", "Date": "Sat, 01 Aug 2026 12:00:00 GMT"}, `{}`}, ok}, 1, "", 2, 5 * time.Second},
		{"429 with words", "", []step{{429, map[string]string{"Retry-After": "soon"}, `{}`}, ok}, 1, "", 2, 2 * time.Second},
		{"429 for an hour", "", []step{{429, map[string]string{"Retry-After": "3600"}, `{}`}}, 0, "RATE_LIMIT", 1, 0},
		{"503 sheds load", "", []step{{503, nil, ""}}, 0, "RATE_LIMIT", 3, 7 * time.Second},
		{"the allowance is spent", "", []step{{429, map[string]string{"X-RateLimit-Reset": "7200"}, `{"error":"Rate limit exceeded","message":"Insufficient budget. Buy."}`}}, 0, "QUOTA", 1, 0},
		{"a plan is wanted", "", []step{{429, nil, `{"error":"x","message":"Plan upgrade required"}`}}, 0, "REJECTED", 1, 0},
		{"400", "", []step{{400, nil, `{"error":"Search query too long"}`}}, 0, "REJECTED", 1, 0},
		{"401", "CANARY", []step{{401, nil, `{}`}}, 0, "KEY_REFUSED", 1, 0},
		{"403 with key", "CANARY", []step{{403, nil, `{}`}}, 0, "KEY_REFUSED", 1, 0},
		{"403 without key is tried once more", "", []step{{403, nil, `{}`}}, 0, "OUTAGE", 2, 2 * time.Second},
		{"a redirect is not followed", "", []step{{302, map[string]string{"Location": "http://127.0.0.1:1/"}, ""}}, 0, "BAD_ANSWER", 3, 7 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, clk, asked := play(t, tt.key, tt.steps...)
			a := find(t, c)
			cause := ""
			if a.Failure != nil {
				cause = a.Failure.Cause
			}
			var slept time.Duration
			for _, d := range clk.slept {
				slept += d
			}
			if len(a.Papers) != tt.papers || cause != tt.cause || asked() != tt.asked || slept != tt.slept {
				t.Errorf("got %d papers, cause %q, %d requests, %s of waiting; want %d, %q, %d, %s", len(a.Papers), cause, asked(), slept, tt.papers, tt.cause, tt.asked, tt.slept)
			}
			if a.Failure != nil && (a.Failure.Detail == "" || strings.Contains(a.Failure.Detail, "CANARY")) {
				t.Errorf("detail %q", a.Failure.Detail)
			}
		})
	}
}

func TestSearch_Mapping(t *testing.T) {
	c, _, _ := play(t, "", step{200, nil, good})
	a := find(t, c)
	if len(a.Papers) != 1 || a.Total != 7 {
		t.Fatalf("got %+v", a)
	}
	p := a.Papers[0]
	if p.ID != "doi:10.5555/x1" || p.Title != "A Made-up Title" || p.ArXiv != "2101.00001" || p.Abstract != "We study" || p.Kind != "conference" || p.Venue != "Conf" || p.Key != "example2021made" {
		t.Errorf("got %+v", p)
	}
	if strings.Contains(a.Request, "select") || !strings.Contains(a.Request, "publication_year") {
		t.Errorf("the request is shown as %s", a.Request)
	}
}

func TestClosedEngineIsNotAsked(t *testing.T) {
	for name, s := range map[string]step{
		"after a refused key":     {401, nil, "{}"},
		"after a spent allowance": {429, map[string]string{"X-RateLimit-Reset": "60"}, `{"message":"Insufficient budget."}`},
		"with too little left":    {200, map[string]string{"X-RateLimit-Remaining-USD": "0.0001", "X-RateLimit-Reset": "60"}, good},
	} {
		t.Run(name, func(t *testing.T) {
			c, clk, asked := play(t, "k", s, step{200, nil, good})
			find(t, c)
			if a := find(t, c); a.Failure == nil || asked() != 1 {
				t.Errorf("asked %d times, failure %v", asked(), a.Failure)
			}
			if s.status != 401 {
				_ = clk.Sleep(t.Context(), 2*time.Minute)
				if a := find(t, c); a.Failure != nil {
					t.Errorf("still closed: %v", a.Failure)
				}
			}
		})
	}
}

func TestByID_UnknownIsEmpty(t *testing.T) {
	c, _, _ := play(t, "", step{404, nil, "not found"})
	if a := c.ByID(t.Context(), "10.1/x?y#z", "", func(literature.Progress) {}); a.Failure != nil || len(a.Papers) != 0 {
		t.Errorf("got %+v", a)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"results":[null,{"display_name":"x","authorships":[null],"biblio":{}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		openalex.Decode(body)
	})
}
