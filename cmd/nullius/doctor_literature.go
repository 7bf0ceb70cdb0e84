package main

import (
	"context"
	"os"
	"strings"

	"nullius.dev/kit/fault"
	"nullius.dev/services/ideation"
)

// literatureChecks says which engines a search asks, with what, and what leaves the machine. It dials nobody.
func (c *cli) literatureChecks(ctx context.Context) []check {
	cfg, err := c.ideationConfig()
	var engines []ideation.Whom
	if err == nil {
		engines, err = ideation.Engines(ctx, cfg)
	}
	if err != nil {
		return []check{{"literature", "error", err.Error(), fault.NextOf(err)}}
	}
	var out []check
	var order, online []string
	for _, e := range engines {
		k := check{Name: "literature " + e.Name, State: "ok", Text: e.Text, Remedy: e.Next}
		if e.Broken {
			k.State = "error"
		}
		if e.Asked {
			order = append(order, e.Title)
			if e.Online {
				online = append(online, e.Title)
			}
		}
		out = append(out, k)
	}
	if os.Getenv("OPENALEX_MAIL_ADDRESS") != "" {
		out = append(out, check{"OPENALEX_MAIL_ADDRESS", "warning", "is set, but OpenAlex no longer reads it", "OPENALEX_API_KEY (free)"})
	}
	head := check{Name: "literature", State: "ok", Text: cfg.Engine + ": " + strings.Join(order, ", then ")}
	leaves := check{Name: "what leaves", State: "ok", Text: "nothing: searches stay on this machine"}
	if len(online) > 0 {
		sent := "query words, titles, identifiers and years"
		if cfg.Contact != "" {
			sent += ", and the contact address of NULLIUS_IDEATION_CONTACT,"
		}
		leaves.Text = sent + " go to " + strings.Join(online, ", ") + ", a key to its own engine; never code, plans, results or names of studies. Queries tell of the idea"
		leaves.Remedy = "--engine local sends nothing"
	}
	return append([]check{head, leaves}, out...)
}
