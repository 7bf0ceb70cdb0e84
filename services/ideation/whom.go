package ideation

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/openalex"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/semanticscholar"
)

// Whom is a literature engine as a search that names none would use it.
type Whom struct {
	Name, Title string
	Asked       bool
	Online      bool   // it is on the network: queries leave the machine
	Key         string // the variable in which a key was found, never the key; empty: none
	Text        string // a sentence: what it works with, or why it is passed over
	Next        string // what to do about it; empty: nothing
	Broken      bool   // what is configured cannot be used
}

// Engines says whom a search that names no engine asks, in order, and what was found for each. It dials nobody.
func Engines(ctx context.Context, cfg Config) (_ []Whom, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Index, cfg.DataDir = IndexPath(cfg), "" // the cache is not needed, and may be another process's
	b, stop, err := newBroker(ctx, slog.New(slog.DiscardHandler), cfg, Shared{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := stop(); err == nil {
			err = e
		}
	}()
	ask, skipped := b.Whom()
	var out []Whom
	for _, e := range ask {
		w := whom(ctx, b, e, cfg)
		w.Asked = true
		out = append(out, w)
	}
	for _, s := range skipped {
		for _, e := range b.Engines {
			if e.Name() == s.Engine {
				w := whom(ctx, b, e, cfg)
				if !w.Broken {
					w.Text, w.Next = s.Detail, s.Next
				}
				out = append(out, w)
			}
		}
	}
	return out, nil
}

func whom(ctx context.Context, b *literature.Broker, e literature.Engine, cfg Config) Whom {
	w := Whom{Name: e.Name(), Title: e.Title(), Online: e.Online(), Text: "needs no key"}
	keyVar := ""
	switch e.Name() {
	case paper.Local:
		w.Title, w.Text = "local lists", fmt.Sprintf("%d papers; sends nothing", b.Local.Count(ctx))
		if cfg.Index != "" {
			if _, err := os.Stat(cfg.Index); err == nil {
				w.Text = fmt.Sprintf("%d papers, those of %s among them; sends nothing", b.Local.Count(ctx), cfg.Index)
			}
		}
		if _, err := b.Local.Own.Get(ctx); cfg.Index != "" && err != nil {
			w.Broken, w.Text, w.Next = true, cfg.Index+" cannot be read: "+err.Error(), "nullius literature import FILE"
		}
		return w
	case paper.SemanticScholar:
		keyVar = semanticscholar.KeyVar
		w.Text, w.Next = "no key: most requests are refused", "export "+keyVar+"=…"
	case paper.OpenAlex:
		keyVar = openalex.KeyVar
		w.Text, w.Next = "no key: $0.10 a day is free, about 100 searches", "export "+keyVar+"=… (free)"
	}
	if keyVar == "" {
		return w
	}
	from, err := foundIn(keyVar)
	switch {
	case err != nil:
		w.Broken, w.Text, w.Next = true, err.Error(), "put the key into that file, or unset "+keyVar+"_FILE"
	case from != "":
		w.Key, w.Text, w.Next = from, "with the key of "+from, ""
	}
	return w
}

// foundIn names the variable that a key comes from, as secret reads it; empty: there is none.
func foundIn(name string) (string, error) {
	file := os.Getenv(name + "_FILE")
	switch {
	case strings.TrimSpace(os.Getenv(name)) != "":
		return name, nil
	case file == "":
		return "", nil
	case secret(name) != "":
		return name + "_FILE", nil
	}
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("%s_FILE names %s, which cannot be read", name, file)
	}
	return "", fmt.Errorf("%s_FILE names %s, which holds no key", name, file)
}
