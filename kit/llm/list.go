package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Seen is what a check without spending could see.
type Seen uint8

// What a check sees, from least to most.
const (
	SeenNothing Seen = iota // the provider cannot be asked without a paid call
	SeenKey                 // the credential was taken; the model's name is not in the list that the provider gives
	SeenModel               // the provider lists the model
)

// Check asks a model's provider for what it tells without payment: its models, or for Vertex AI a token. An error is what a
// call would meet too: KEY_MISSING, KEY_REFUSED, MODEL_UNKNOWN, PROVIDER_UNAVAILABLE.
func (d *Door) Check(ctx context.Context, name string) (Seen, error) {
	m, err := d.table.resolve(name, d.env)
	if err != nil {
		return SeenNothing, err
	}
	if m.Recording {
		_, err := d.shelf.Open(ctx, m.Name)
		return SeenModel, err
	}
	cred, err := d.keys.credential(m)
	if err != nil {
		return SeenNothing, err
	}
	return d.list(ctx, m, cred)
}

// list asks an endpoint for its models.
func (d *Door) list(ctx context.Context, m Model, cred credential) (Seen, error) {
	ctx, cancel := context.WithTimeout(ctx, min(30*time.Second, d.times.FirstByte))
	defer cancel()
	path := "/models"
	switch m.local.API {
	case apiAnthropic:
		path = "/v1/models?limit=1000"
	case apiBedrock, apiVertex: // they list nothing at this address, but a credential can be had or not
		path = "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.BaseURL+path, nil)
	if err != nil {
		return SeenNothing, err
	}
	if m.query != "" { // the older form of Azure lists beside its deployments
		base, _, _ := strings.Cut(m.BaseURL, "/deployments/")
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, base+"/models?"+m.query, nil); err != nil {
			return SeenNothing, err
		}
	}
	if m.local.API == apiAnthropic {
		req.Header.Set("Anthropic-Version", claudeVersion)
	}
	if err := cred.apply(req, nil); err != nil {
		return SeenNothing, d.listFault(m, err)
	}
	switch m.local.API {
	case apiBedrock:
		return SeenNothing, nil
	case apiVertex:
		return SeenKey, nil
	}
	resp, err := d.base.RoundTrip(req)
	if err != nil {
		return SeenNothing, d.listFault(m, err)
	}
	defer func() { _ = resp.Body.Close() }() // read as far as wanted
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	failed := &statusError{status: resp.StatusCode, header: resp.Header, body: body}
	switch s := resp.StatusCode; {
	case s == 403 && bytes.Contains(body, []byte("api.model.read")): // a key of OpenAI's that may call models and not list them
		return SeenNothing, nil
	case s == 401, s == 403, s == 402, s == 429, s >= 500, s == 400 && classifyStatus(failed, time.Now()).class == refusal:
		return SeenNothing, d.listFault(m, failed)
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return SeenNothing, nil
	}
	for _, l := range list.Data {
		id := strings.TrimPrefix(l.ID, "models/")
		if id == m.wire || id == m.wire+":latest" {
			return SeenModel, nil
		}
	}
	switch {
	case m.Provider == "azure", // names of deployments are not in the list
		m.local.API == apiAnthropic: // other names of a model are not in the list
		return SeenKey, nil
	}
	return SeenNothing, errNotListed(m)
}

func (d *Door) listFault(m Model, err error) error {
	if ce := (*credentialError)(nil); errors.As(err, &ce) {
		return ce.fault
	}
	p := classifyError(err, false, time.Now())
	p.text, p.said = d.keys.scrub(p.text), d.keys.scrub(p.said)
	return failure(m, Origin{}, p, 1)
}
