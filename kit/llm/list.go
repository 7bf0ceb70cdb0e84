package llm

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// list asks an endpoint for its models. listed is false if it does not say, so that one token must tell.
func (d *Door) list(ctx context.Context, m Model, key string) (listed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(30*time.Second, d.times.FirstByte))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.BaseURL+"/models", nil)
	if err != nil {
		return false, err
	}
	switch {
	case m.local.Header != "":
		req.Header.Set(m.local.Header, key)
	case key != "":
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := d.base.RoundTrip(req)
	if err != nil {
		p := classifyError(err, false, time.Now())
		p.text, p.said = d.keys.scrub(p.text), d.keys.scrub(p.said)
		return false, failure(m, Origin{}, p, 1)
	}
	defer func() { _ = resp.Body.Close() }() // read as far as wanted
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if s := resp.StatusCode; s == 401 || s == 403 || s == 402 || s == 429 || s >= 500 {
		p := classifyStatus(&statusError{status: s, header: resp.Header, body: body}, time.Now())
		p.text = d.keys.scrub(p.text)
		return false, failure(m, Origin{}, p, 1)
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return false, nil
	}
	for _, l := range list.Data {
		id := strings.TrimPrefix(l.ID, "models/")
		if id == m.wire || id == m.wire+":latest" {
			return true, nil
		}
	}
	if m.Provider == "azure" { // names of deployments are not in the list
		return false, nil
	}
	return false, errNotListed(m)
}
