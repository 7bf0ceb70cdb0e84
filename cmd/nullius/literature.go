package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/services/ideation"
)

func (c *cli) literatureCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "literature", Short: "Find papers, check that a cited one exists, import lists of papers"}
	cmd.AddCommand(c.searchCommand(), c.resolveCommand(), c.importCommand())
	return cmd
}

func (c *cli) searchCommand() *cobra.Command {
	req := &literaturev1.SearchPapersRequest{RequireAnswer: true}
	var bib bool
	cmd := &cobra.Command{
		Use: "search WORDS…", Short: "Find papers by words", Args: cobra.MinimumNArgs(1),
		Example: "  nullius literature search double descent ridge --from 2019\n  nullius literature search early stopping --engine local --bibtex",
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Query = strings.Join(args, " ")
			return c.library(cmd.Context(), func(cl literaturev1.LiteratureServiceClient) error {
				s, err := cl.SearchPapers(cmd.Context(), req)
				res, err := lastOf(c, s, err, (*literaturev1.SearchPapersResponse).GetResult)
				if err != nil {
					return helped(err, "nullius help literature search")
				}
				return c.showSearch(res, bib)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Engine, "engine", "", "auto, semanticscholar, openalex, arxiv, local (default the server's, which is auto)")
	f.Int32Var(&req.Limit, "limit", 0, "papers at most (default 10, up to 50)")
	f.Int32Var(&req.YearFrom, "from", 0, "first year")
	f.Int32Var(&req.YearTo, "to", 0, "last year")
	f.BoolVar(&bib, "bibtex", false, "print BibTeX entries only")
	return cmd
}

func (c *cli) showSearch(res *literaturev1.SearchResult, bib bool) error {
	c.showAsked(res.GetAsked())
	if bib {
		for _, p := range res.GetPapers() {
			fmt.Fprintln(c.out, p.GetBibtex())
		}
	} else if err := c.emit(res, func(w *tabwriter.Writer) {
		for _, p := range res.GetPapers() {
			fmt.Fprintf(w, "%s\t%s\n\t%s\n", p.GetKey(), p.GetTitle(), imprint(p))
		}
	}); err != nil {
		return err
	}
	if s := res.GetSentence(); s != "" {
		fmt.Fprintln(c.err, s)
		fmt.Fprintln(c.err, "next:", res.GetNext())
	}
	return nil
}

// imprint is who wrote a paper, where and when, and who told so.
func imprint(p *literaturev1.Paper) string {
	var names []string
	for i, a := range p.GetAuthors() {
		if i == 3 {
			names = append(names, "and others")
			break
		}
		n := a.GetLiteral()
		if n == "" {
			n = strings.TrimSpace(a.GetGiven() + " " + a.GetFamily())
		}
		names = append(names, n)
	}
	var parts []string
	if len(names) > 0 {
		parts = append(parts, strings.Join(names, ", "))
	}
	if p.GetVenue() != "" {
		parts = append(parts, p.GetVenue())
	}
	if p.GetYear() > 0 {
		parts = append(parts, fmt.Sprint(p.GetYear()))
	}
	if p.Citations != nil {
		parts = append(parts, fmt.Sprintf("cited %d times", p.GetCitations()))
	}
	parts = append(parts, p.GetId())
	if p.GetRetracted() {
		parts = append(parts, "RETRACTED")
	}
	if o := p.GetOrigins(); len(o) > 0 {
		parts = append(parts, "by "+o[0].GetEngine())
	}
	return strings.Join(parts, "; ")
}

// showAsked tells of engines that did not answer.
func (c *cli) showAsked(asked []*literaturev1.Asked) {
	for _, a := range asked {
		if a.GetDetail() == "" || a.GetResult() != literaturev1.Asked_FAILED && a.GetResult() != literaturev1.Asked_SKIPPED {
			continue
		}
		next := ""
		if a.GetNext() != "" {
			next = " (" + a.GetNext() + ")"
		}
		fmt.Fprintf(c.err, "%s: %s%s\n", a.GetCause(), a.GetDetail(), next)
	}
}

func (c *cli) resolveCommand() *cobra.Command {
	req := &literaturev1.ResolvePaperRequest{}
	var file string
	var strict bool
	cmd := &cobra.Command{
		Use: "resolve [TITLE…]", Short: "Say whether a cited paper exists, and how it is cited right",
		Example: "  nullius literature resolve Attention is all you need --author Vaswani --year 2017\n  nullius literature resolve --doi 10.1162/neco.1997.9.8.1735\n  nullius literature resolve --bibtex refs.bib --exit-status",
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Title = strings.Join(args, " ")
			refs, keys := []*literaturev1.ResolvePaperRequest{req}, []string{""}
			if file != "" {
				if req.Title != "" || req.Doi != "" || req.ArxivId != "" {
					return usage("--bibtex names the papers; leave title, --doi and --arxiv out")
				}
				var err error
				if refs, keys, err = c.references(file, req.GetEngine()); err != nil {
					return err
				}
			} else if req.Title == "" && req.Doi == "" && req.ArxivId == "" {
				return usage("a title, --doi, --arxiv or --bibtex FILE is needed")
			}
			return c.library(cmd.Context(), func(cl literaturev1.LiteratureServiceClient) error {
				return c.resolveAll(cmd.Context(), cl, refs, keys, strict)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Engine, "engine", "", "auto, semanticscholar, openalex, arxiv, local (default the server's, which is auto)")
	f.StringArrayVar(&req.Authors, "author", nil, "author; repeatable, others for the rest")
	f.Int32Var(&req.Year, "year", 0, "year")
	f.StringVar(&req.Doi, "doi", "", "DOI")
	f.StringVar(&req.ArxivId, "arxiv", "", "number at arXiv")
	f.StringVar(&file, "bibtex", "", "file of entries to resolve, each; - reads stdin")
	f.BoolVar(&strict, "exit-status", false, "exit 3 unless every paper is found as it is cited")
	return cmd
}

// references reads the entries of a file.
func (c *cli) references(name, engine string) ([]*literaturev1.ResolvePaperRequest, []string, error) {
	in := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.NotFound, "FILE_UNKNOWN", "%s cannot be read: %s", name, plainly(err)).WithNext("nullius literature resolve --bibtex FILE")
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, 8<<20))
	if err != nil {
		return nil, nil, err
	}
	refs, keys, issues := ideation.References(data)
	for _, i := range issues {
		fmt.Fprintf(c.err, "%s: %s\n", name, i)
	}
	if len(refs) == 0 {
		return nil, nil, fault.New(fault.Invalid, "FIELD_INVALID", "%s holds no BibTeX entry that can be resolved", name).WithNext("nullius literature resolve TITLE")
	}
	for _, r := range refs {
		r.Engine = engine
	}
	return refs, keys, nil
}

// helped gives an error that names no next command one.
func helped(err error, next string) error {
	if f, ok := fault.As(err); ok && f.Next == "" {
		return f.WithNext(next)
	}
	return err
}

// plainly is why a file cannot be used, without its path.
func plainly(err error) string {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (c *cli) resolveAll(ctx context.Context, cl literaturev1.LiteratureServiceClient, refs []*literaturev1.ResolvePaperRequest, keys []string, strict bool) error {
	bad, silent := false, (*literaturev1.ResolveResult)(nil)
	for i, r := range refs {
		s, err := cl.ResolvePaper(ctx, r)
		res, err := lastOf(c, s, err, (*literaturev1.ResolvePaperResponse).GetResult)
		if err != nil {
			return helped(err, "nullius help literature resolve")
		}
		bad = bad || res.GetOutcome() != literaturev1.ResolveResult_FOUND
		if res.GetOutcome() == literaturev1.ResolveResult_ENGINE_UNAVAILABLE {
			silent = res
		}
		if err := c.showResolved(keys[i], res); err != nil {
			return err
		}
	}
	switch {
	case strict && bad:
		return exit(exitUnwanted)
	case silent != nil && len(refs) == 1:
		return fault.New(fault.Unavailable, "ENGINE_UNAVAILABLE", "%s", silent.GetSentence()).WithNext(silent.GetNext())
	}
	return nil
}

func (c *cli) showResolved(key string, res *literaturev1.ResolveResult) error {
	c.showAsked(res.GetAsked())
	return c.emit(res, func(w *tabwriter.Writer) {
		head := res.GetOutcome().String()
		if key != "" {
			head = key + ": " + head
		}
		if res.GetWeak() {
			head += " (perhaps another paper of theirs)"
		}
		fmt.Fprintln(w, head)
		for _, d := range res.GetDifferences() {
			fmt.Fprintf(w, "  %s\tcited as %s\tis %s\n", d.GetField(), d.GetAsked(), d.GetFound())
		}
		if p := res.GetPaper(); p != nil {
			fmt.Fprint(w, p.GetBibtex())
		}
		if res.GetSentence() != "" {
			fmt.Fprintln(w, res.GetSentence())
		}
		for _, n := range res.GetNearest() {
			fmt.Fprintf(w, "  nearest, %.2f\t%s\t%s\n", n.GetScore(), n.GetPaper().GetTitle(), imprint(n.GetPaper()))
		}
	})
}

func (c *cli) importCommand() *cobra.Command {
	var list, source, licence string
	cmd := &cobra.Command{
		Use: "import FILE…", Short: "Put papers into the local list: BibTeX, CSL-JSON, or JSON lines of engines; gzip too", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.ideationConfig()
			if err != nil {
				return err
			}
			if list == "" {
				list = ideation.IndexPath(cfg)
			}
			for _, file := range args {
				got, err := ideation.Import(cmd.Context(), list, file, source, licence)
				for _, i := range got.Issues {
					fmt.Fprintf(c.err, "%s: %s\n", file, i)
				}
				if err != nil {
					return err
				}
				if err := c.showImported(list, got); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&list, "index", "", "list to put them into (default NULLIUS_IDEATION_INDEX, else ideation/papers.sqlite in the data folder)")
	f.StringVar(&source, "source", "", "what the papers are from (default the file's name); kept in the list")
	f.StringVar(&licence, "licence", "", "the licence of the file; kept in the list")
	return cmd
}

func (c *cli) showImported(list string, got ideation.Imported) error {
	if c.output != "table" {
		return json.NewEncoder(c.out).Encode(got)
	}
	var forms []string
	for form, n := range got.Forms {
		forms = append(forms, fmt.Sprintf("%d %s", n, form))
	}
	_, err := fmt.Fprintf(c.out, "%s: %s; %d new, %d known, %d dropped. %s holds %d papers.\n", got.File, strings.Join(forms, ", "), got.New, got.Merged, got.Dropped, list, got.Total)
	return err
}

// ideationConfig is the literature's part of the configuration, as the service of this data folder has it.
func (c *cli) ideationConfig() (ideation.Config, error) {
	cfg := ideation.DefaultConfig()
	err := config.Load("ideation", &cfg, "", os.Environ())
	if cfg.DataDir = c.dataDir; cfg.DataDir == "" {
		cfg.DataDir = process.DefaultDataDir()
	}
	return cfg, err
}

// library gives f the LiteratureService of the server, or one in this process when none answers.
func (c *cli) library(ctx context.Context, f func(literaturev1.LiteratureServiceClient) error) (err error) {
	if reachable(c.address) {
		return c.with(ctx, func(cl *client) error { return f(literaturev1.NewLiteratureServiceClient(cl.conn)) })
	}
	cfg, err := c.ideationConfig()
	if err != nil {
		return err
	}
	cfg.Listen = "inproc:literature"
	dir, err := os.MkdirTemp("", "nullius-literature-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	blobs, err := store.OpenDir(dir)
	if err != nil {
		return err
	}
	h := app.NewHost(ctx, newLogger(c.logLevel))
	defer func() { err = errors.Join(err, h.Stop()) }()
	n := rpc.NewNetwork(rpc.Options{})
	if err := ideation.AttachLibrary(h, n, cfg, blobs); err != nil {
		return err
	}
	conn, err := n.Dial(cfg.Listen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return f(literaturev1.NewLiteratureServiceClient(conn))
}

// lastOf reads a stream to its end: waiting is told, the result returned.
func lastOf[M, R any, P interface {
	*M
	GetProgress() *recordv1.Progress
}](c *cli, s grpc.ServerStreamingClient[M], err error, result func(P) *R) (*R, error) {
	if err != nil {
		return nil, err
	}
	var out *R
	said := ""
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			if out == nil {
				return nil, fault.New(fault.Unavailable, "STREAM_BROKEN", "the service's stream ended without a result")
			}
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if p := P(m).GetProgress(); p.GetUntil() != nil && p.GetPhase()+p.GetDetail() != said {
			said = p.GetPhase() + p.GetDetail()
			fmt.Fprintf(c.err, "%s: %s\n", p.GetPhase(), p.GetDetail())
		}
		if r := result(m); r != nil {
			out = r
		}
	}
}
