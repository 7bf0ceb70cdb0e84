package ideation

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	literaturev1 "nullius.dev/proto/gen/nullius/literature/v1"

	"nullius.dev/services/ideation/internal/bibtex"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
)

// pinOf says where an answer is kept; both of step and call are given or neither.
func pinOf(step, call string, required bool) (literature.Pin, error) {
	switch {
	case step == "" && call == "":
		return nil, nil
	case step == "" || call == "":
		return nil, invalid("call", "and step go together: give both or neither")
	case required:
		return nil, invalid("require_answer", "cannot be had with a step: a failure is pinned too")
	}
	o, err := llm.OriginOf(step, call)
	if err != nil {
		return nil, err
	}
	return &o, nil
}

func fromSearch(r *literaturev1.SearchPapersRequest) (literature.Query, literature.Pin, error) {
	q := literature.Query{
		Text: r.GetQuery(), Limit: int(r.GetLimit()), From: int(r.GetYearFrom()), To: int(r.GetYearTo()), Engine: r.GetEngine(), MaxAge: r.GetMaxAge().AsDuration(),
	}
	n := len([]rune(q.Text))
	switch {
	case n < 1 || n > query.MaxLength:
		return q, nil, invalid("query", "wants 1 to 1,000 characters")
	case len(query.Words(q.Text)) == 0:
		return q, nil, invalid("query", "has no word in it")
	case q.Limit < 0 || q.Limit > 50:
		return q, nil, invalid("limit", "wants 1 to 50, or 0 for 10")
	case q.From < 0 || q.To < 0 || q.From > 2999 || q.To > 2999 || q.To > 0 && q.From > q.To:
		return q, nil, fault.New(fault.Invalid, "FIELD_INVALID", "year_from and year_to want years, the earlier one first").WithField("year_from", "wants a year that is not after year_to")
	}
	if q.Limit == 0 {
		q.Limit = 10
	}
	pin, err := pinOf(r.GetStep(), r.GetCall(), r.GetRequireAnswer())
	return q, pin, err
}

func fromResolve(r *literaturev1.ResolvePaperRequest) (literature.Resolve, literature.Pin, error) {
	ref, err := reference(r)
	if err != nil {
		return literature.Resolve{}, nil, err
	}
	out := literature.Resolve{Reference: ref, Engine: r.GetEngine(), MaxAge: r.GetMaxAge().AsDuration()}
	pin, err := pinOf(r.GetStep(), r.GetCall(), r.GetRequireAnswer())
	return out, pin, err
}

// reference reads the entry first; the other fields win over it.
func reference(r *literaturev1.ResolvePaperRequest) (match.Reference, error) {
	var ref match.Reference
	if b := r.GetBibtex(); b != "" {
		if len(b) > 64<<10 {
			return ref, invalid("bibtex", "is longer than 64 KiB")
		}
		res := bibtex.Parse([]byte(b))
		if len(res.Entries) == 0 {
			return ref, invalid("bibtex", "holds no entry that can be read")
		}
		p := res.Entries[0].Paper()
		ref = match.Reference{Title: p.Title, Authors: p.Authors, Cut: p.AuthorsCut, Year: p.Year, DOI: p.DOI, ArXiv: p.ArXiv}
	}
	if t := r.GetTitle(); t != "" {
		ref.Title = text.ClipRunes(text.Plain(t), paper.MaxTitle)
	}
	if len(r.GetAuthors()) > 0 {
		ref.Authors, ref.Cut = nil, false
	}
	for _, a := range r.GetAuthors() {
		if paper.Others(a) {
			ref.Cut = true
		} else if p := paper.ParseAuthor(a); p != (paper.Author{}) && len(ref.Authors) < paper.MaxAuthors {
			ref.Authors = append(ref.Authors, p)
		}
	}
	if r.GetYear() != 0 {
		ref.Year = int(r.GetYear())
	}
	if d := r.GetDoi(); d != "" {
		if ref.DOI = paper.CleanDOI(d); ref.DOI == "" {
			return ref, invalid("doi", "is no DOI, which begins with 10.")
		}
	}
	if a := r.GetArxivId(); a != "" {
		if ref.ArXiv = paper.CleanArXiv(a); ref.ArXiv == "" {
			return ref, invalid("arxiv_id", "is no arXiv number, such as 1912.02292")
		}
	}
	if ref.Title == "" && ref.DOI == "" && ref.ArXiv == "" {
		return ref, invalid("title", "is missing, and so are doi, arxiv_id and bibtex; one is needed")
	}
	return ref, nil
}

// unanswered is the error of a request that wanted an answer.
func unanswered(asked []literature.Asked) error {
	var said []string
	f := fault.New(fault.Unavailable, "ENGINE_UNAVAILABLE", "no engine answered").WithNext("--engine local")
	for _, a := range asked {
		if a.Detail != "" {
			said = append(said, a.Detail)
		}
		if a.Result == literature.Failed && a.Next != "" {
			f.Next = a.Next
		}
		if a.RetryAfter > f.RetryAfter {
			f = f.WithRetry(a.RetryAfter)
		}
	}
	if len(said) > 0 {
		f.Message = "no engine answered: " + strings.Join(said, " ")
	}
	return f
}

func toSearch(r literature.SearchResult) *literaturev1.SearchResult {
	out := &literaturev1.SearchResult{
		Outcome: literaturev1.SearchResult_Outcome(literaturev1.SearchResult_Outcome_value[r.Outcome]), Asked: toAsked(r.Asked), QueryUsed: valid(r.QueryUsed), Rung: int32(r.Rung),
		Sentence: valid(r.Sentence), Next: valid(r.Next),
	}
	for i := range r.Papers {
		out.Papers = append(out.Papers, toPaper(&r.Papers[i]))
	}
	return out
}

func toResolve(r literature.ResolveResult) *literaturev1.ResolveResult {
	out := &literaturev1.ResolveResult{
		Outcome: literaturev1.ResolveResult_Outcome(literaturev1.ResolveResult_Outcome_value[r.Outcome]), Paper: toPaper(r.Paper), Weak: r.Weak, Asked: toAsked(r.Asked),
		Sentence: valid(r.Sentence), Next: valid(r.Next),
	}
	for _, d := range r.Differences {
		out.Differences = append(out.Differences, &literaturev1.Difference{Field: d.Field, Asked: valid(d.Asked), Found: valid(d.Found)})
	}
	for i := range r.Nearest {
		out.Nearest = append(out.Nearest, &literaturev1.Candidate{Paper: toPaper(&r.Nearest[i].Paper), Score: r.Nearest[i].Score})
	}
	return out
}

func toAsked(asked []literature.Asked) []*literaturev1.Asked {
	var out []*literaturev1.Asked
	for _, a := range asked {
		m := &literaturev1.Asked{
			Engine: a.Engine, Result: literaturev1.Asked_Result(literaturev1.Asked_Result_value[a.Result]), Cause: a.Cause, Detail: valid(a.Detail),
			Request: valid(a.Request), Rung: int32(a.Rung), Total: a.Total, Cached: a.Cached, CostUsd: a.CostUSD, RetryAfter: duration(a.RetryAfter), Next: valid(a.Next),
		}
		if !a.AsOf.IsZero() {
			m.AsOf = timestamppb.New(a.AsOf)
		}
		out = append(out, m)
	}
	return out
}

func toPaper(p *paper.Paper) *literaturev1.Paper {
	if p == nil {
		return nil
	}
	out := &literaturev1.Paper{
		Id: p.ID, Key: p.Key, Title: p.Title, AuthorsCut: p.AuthorsCut, Venue: p.Venue, Kind: p.Kind, Year: int32(p.Year), Abstract: p.Abstract,
		Citations: p.Citations, Doi: p.DOI, ArxivId: p.ArXiv, Url: p.URL, PdfUrl: p.PDF, Bibtex: bibtex.Write(*p), Retracted: p.Retracted,
	}
	for _, a := range p.Authors {
		out.Authors = append(out.Authors, &literaturev1.Author{Given: valid(a.Given), Family: valid(a.Family), Suffix: valid(a.Suffix), Literal: valid(a.Literal)})
	}
	for _, o := range p.Origins {
		out.Origins = append(out.Origins, &literaturev1.Origin{Field: valid(o.Field), Engine: valid(o.Engine), Record: valid(o.Record)})
	}
	for _, c := range p.Conflicts {
		out.Conflicts = append(out.Conflicts, &literaturev1.Conflict{Field: valid(c.Field), Engine: valid(c.Engine), Value: valid(c.Value)})
	}
	return out
}
