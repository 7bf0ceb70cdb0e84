package ideation

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"

	"nullius.dev/services/ideation/internal/bibtex"
)

// AttachLibrary puts the LiteratureService alone on a host: it needs no model. Answers are pinned in memory.
func AttachLibrary(h *app.Host, net *rpc.Network, cfg Config, blobs store.Blobs) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	broker, stop, err := newBroker(h.Context(), h.Log(), cfg, Shared{Blobs: blobs})
	if err != nil {
		return err
	}
	h.OnStop("literature", time.Second, func(context.Context) error { return stop() })
	s := &Service{cfg: cfg, d: Deps{Log: h.Log(), Literature: broker}}
	return rpc.Serve(h, net, cfg.Listen, func(r grpc.ServiceRegistrar) {
		literaturev1.RegisterLiteratureServiceServer(r, library{s: s})
	})
}

// References reads a BibTeX file as requests to resolve its entries, and says what could not be read.
func References(data []byte) (refs []*literaturev1.ResolvePaperRequest, keys, issues []string) {
	res := bibtex.Parse(data)
	for _, i := range res.Issues {
		issues = append(issues, lineIssue(i.Line, i.Text))
	}
	for _, e := range res.Entries {
		p := e.Paper()
		r := &literaturev1.ResolvePaperRequest{Title: p.Title, Year: int32(p.Year), Doi: p.DOI, ArxivId: p.ArXiv}
		for _, a := range p.Authors {
			name := a.String()
			if a.Literal != "" {
				name = "{" + a.Literal + "}"
			} else if a.Family != "" && a.Given != "" {
				name = a.Family + ", " + a.Given
			}
			r.Authors = append(r.Authors, name)
		}
		if p.AuthorsCut {
			r.Authors = append(r.Authors, "others")
		}
		if r.Title == "" && r.Doi == "" && r.ArxivId == "" {
			issues = append(issues, lineIssue(e.Line, "entry "+e.Key+" has neither title nor identifier"))
			continue
		}
		refs, keys = append(refs, r), append(keys, e.Key)
	}
	return refs, keys, issues
}
