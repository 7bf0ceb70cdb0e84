package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctor_says_whom_searches_ask: the engines in order, where a key was found but never the key, and what leaves the machine.
func TestDoctor_says_whom_searches_ask(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := map[string]string{"S2_API_KEY": "", "S2_API_KEY_FILE": "", "OPENALEX_API_KEY": "", "OPENALEX_API_KEY_FILE": "", "OPENALEX_MAIL_ADDRESS": "", "NULLIUS_IDEATION_CONTACT": ""}
	for name, tt := range map[string]struct {
		env  map[string]string
		want map[string]string // name of a check: state and text of it
	}{
		"nothing is set": {nil, map[string]string{
			"literature":                 "ok auto: OpenAlex, then arXiv, then local lists",
			"what leaves":                "ok query words, titles, identifiers and years go to OpenAlex, arXiv, a key to its own engine; never code, plans, results or names of studies. Queries tell of the idea",
			"literature semanticscholar": "ok Semantic Scholar was passed over: it answers callers without a key only now and then, and S2_API_KEY is not set.",
			"literature openalex":        "ok no key: $0.10 a day is free, about 100 searches",
			"literature arxiv":           "ok needs no key",
			"literature local":           "ok 208 papers; sends nothing",
		}},
		"keys and addresses": {map[string]string{"S2_API_KEY": canary, "OPENALEX_API_KEY_FILE": key, "OPENALEX_MAIL_ADDRESS": "ada@example.org", "NULLIUS_IDEATION_CONTACT": "ada@example.org"}, map[string]string{
			"literature":                 "ok auto: Semantic Scholar, then OpenAlex, then arXiv, then local lists",
			"literature semanticscholar": "ok with the key of S2_API_KEY",
			"literature openalex":        "ok with the key of OPENALEX_API_KEY_FILE",
			"OPENALEX_MAIL_ADDRESS":      "warning is set, but OpenAlex no longer reads it",
			"what leaves":                "ok query words, titles, identifiers and years, and the contact address of NULLIUS_IDEATION_CONTACT, go to Semantic Scholar, OpenAlex, arXiv, a key to its own engine; never code, plans, results or names of studies. Queries tell of the idea",
		}},
		"offline": {map[string]string{"NULLIUS_IDEATION_OFFLINE": "true"}, map[string]string{
			"literature":          "ok auto: local lists",
			"what leaves":         "ok nothing: searches stay on this machine",
			"literature openalex": "ok OpenAlex was not asked: this installation is offline.",
		}},
		"a file that is not there": {map[string]string{"S2_API_KEY_FILE": key + "-lost"}, map[string]string{
			"literature semanticscholar": "error S2_API_KEY_FILE names " + key + "-lost, which cannot be read",
		}},
		"an engine that is none": {map[string]string{"NULLIUS_IDEATION_ENGINE": "scholar"}, map[string]string{
			"literature": `error engine "scholar" is not one of auto, semanticscholar, openalex, arxiv, local`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, env := range []map[string]string{none, tt.env} {
				for k, v := range env {
					t.Setenv(k, v)
				}
			}
			c := &cli{out: &strings.Builder{}, err: &strings.Builder{}, logLevel: "error", dataDir: t.TempDir()}
			got := map[string]string{}
			for _, k := range c.literatureChecks(t.Context()) {
				got[k.Name] = k.State + " " + k.Text
				if strings.Contains(k.Text+k.Remedy, canary) {
					t.Errorf("a key shows: %+v", k)
				}
			}
			for k, v := range tt.want {
				if got[k] != v {
					t.Errorf("%s: got %q\nwant %q", k, got[k], v)
				}
			}
		})
	}
}
