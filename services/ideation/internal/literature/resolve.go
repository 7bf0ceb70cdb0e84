package literature

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
)

// sameTitle is the score from which a record is taken to be what an identifier was meant for.
const sameTitle = 0.80

// Resolve says whether a cited paper exists and what its record is.
func (b *Broker) Resolve(ctx context.Context, r Resolve, pin Pin, tell Tell) (ResolveResult, error) {
	if err := b.CheckEngine(r.Engine); err != nil {
		return ResolveResult{}, err
	}
	digest := r.digest()
	out, err := pinned(ctx, b, pin, r.Engine, digest, func(ctx context.Context) (ResolveResult, error) { return b.resolve(ctx, r, digest, pin, tell), nil })
	if out.Paper != nil {
		p := out.Paper.Clean()
		out.Paper = &p
	}
	for i := range out.Nearest {
		out.Nearest[i].Paper = out.Nearest[i].Paper.Clean()
	}
	return out, err
}

func (b *Broker) resolve(ctx context.Context, r Resolve, digest string, pin Pin, tell Tell) ResolveResult {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	p := b.plan(r.Engine, pin, tell)
	out := ResolveResult{Outcome: EngineUnavailable, Asked: p.skipped}
	var near []match.Decision
	var denied []Engine
	for i, e := range p.ask {
		if i > 0 {
			out.Asked = handOver(out.Asked, e, tell)
		}
		d, said := b.resolveOne(ctx, e, r, digest, p.call)
		out.Asked = append(out.Asked, said...)
		near = append(near, d)
		if d.Outcome != match.None {
			return found(out, d, near)
		}
		if e.Online() && len(said) > 0 && !hasFailure(said) {
			denied = append(denied, e)
		}
	}
	out.Nearest = noMatch(near...)
	name := r.Engine
	if name == "" {
		name = b.Default
	}
	if b.proven(name, r.Reference, denied) {
		out.Outcome = NotFound
	}
	out.Sentence, out.Next = ofResolve(out, r.Reference, denied, b.coverage(ctx), b.Now())
	return out
}

// proven reports whether that engines know no such paper proves that there is none: the one engine that was chosen says so,
// or two that know the field do. New preprints are missing from most engines for a while, so of those arXiv must say it.
func (b *Broker) proven(name string, ref match.Reference, denied []Engine) bool {
	if name != Auto && name != "" {
		return len(denied) == 1
	}
	recent := ref.ArXiv != "" || ref.Year >= b.Now().Year()-1
	return len(denied) >= 2 && (!recent || slices.ContainsFunc(denied, func(e Engine) bool { return e.Name() == paper.ArXiv }))
}

func found(out ResolveResult, d match.Decision, near []match.Decision) ResolveResult {
	out.Outcome = Found
	if d.Outcome == match.Other {
		out.Outcome = FoundOther
	}
	p := d.Paper
	out.Paper, out.Differences, out.Weak, out.Nearest = &p, d.Differences, d.Weak, nil
	if d.Weak {
		out.Nearest = noMatch(near...)
	}
	return out
}

// kept is what the cache holds of one engine's answer.
type kept struct {
	Decision match.Decision `json:"decision"`
	Asked    []Asked        `json:"asked"`
}

func (b *Broker) resolveOne(ctx context.Context, e Engine, r Resolve, digest string, call Call) (match.Decision, []Asked) {
	if hit, ok := b.fromCache(ctx, e, "resolve", digest, r.MaxAge); ok {
		var k kept
		if json.Unmarshal(hit.body, &k) == nil {
			return k.Decision, hit.mark(k.Asked)
		}
	}
	k := shared(ctx, &b.flights, "resolve "+e.Name()+" "+digest, call.Tell, func() kept {
		var k kept
		k.Decision = b.decide(ctx, e, r.Reference, call, func(a Answer) Answer {
			if !a.Unable {
				k.Asked = append(k.Asked, b.told(ctx, e, a, 0))
			}
			return a
		})
		if !hasFailure(k.Asked) && len(k.Asked) > 0 {
			b.toCache(ctx, e, "resolve", digest, k.Decision.Outcome == match.None, k)
		}
		return k
	})
	return k.Decision, k.Asked
}

// decide asks by identifier first; but models put real identifiers on invented titles, so the title has the last word.
func (b *Broker) decide(ctx context.Context, e Engine, ref match.Reference, call Call, say func(Answer) Answer) match.Decision {
	var byID match.Decision
	if ref.DOI != "" || ref.ArXiv != "" {
		a := say(e.ByID(ctx, ID{ref.DOI, ref.ArXiv}, call))
		if a.Failure != nil {
			return byID
		}
		if byID = judgeByID(ref, a.Papers); byID.Outcome != match.None || ref.Title == "" {
			return byID
		}
	}
	if ref.Title == "" {
		return byID
	}
	a := say(e.ByTitle(ctx, ref.Title, call))
	if a.Failure == nil && len(a.Papers) == 0 && e.Online() {
		// An engine that wants every word finds nothing for a title with one word wrong.
		if short := main(ref.Title); short != "" {
			a = say(e.ByTitle(ctx, short, call))
		}
	}
	d := match.Decide(ref, a.Papers)
	if d.Outcome != match.None {
		d = withIDs(ref, d)
	}
	d.Nearest = noMatch(byID, d)
	return d
}

// main is the part of a title before its colon, if that says enough to ask for.
func main(title string) string {
	head, _, ok := strings.Cut(title, ":")
	if !ok || len(strings.Fields(head)) < 2 {
		return ""
	}
	return head
}

func judgeByID(ref match.Reference, papers []paper.Paper) match.Decision {
	if len(papers) == 0 {
		return match.Decision{}
	}
	p := papers[0]
	if ref.Title == "" {
		d := match.Decision{Outcome: match.Found, Paper: p, Score: 1}
		if !named(ref, p) { // an engine that answers with another paper than it was asked for
			d = withIDs(ref, d)
		}
		return d
	}
	d := match.Judge(ref, p)
	d.Nearest = []match.Candidate{{Paper: p, Score: d.Score}}
	if d.Score < sameTitle {
		d.Outcome = match.None
		return d
	}
	if d.Outcome == match.None { // the identifier and the title agree, so it is this paper, cited wrongly
		d.Outcome = match.Other
		d.Differences = match.Differences(ref, p)
	}
	d.Weak = false
	return d
}

// named reports whether a paper may be the one of a reference's identifiers: it has one of them, or none of its own. arXiv's own DOIs name its numbers.
func named(ref match.Reference, p paper.Paper) bool {
	doi := p.DOI == "" || p.DOI == ref.DOI || p.ArXiv != "" && ref.DOI == "10.48550/arxiv."+p.ArXiv
	number := p.ArXiv == "" || p.ArXiv == ref.ArXiv
	return ref.DOI != "" && doi || ref.ArXiv != "" && number
}

// withIDs adds the identifiers that belong to another paper.
func withIDs(ref match.Reference, d match.Decision) match.Decision {
	add := func(field, asked, has string) {
		if asked != "" && asked != has {
			d.Outcome = match.Other
			d.Differences = append(d.Differences, match.Difference{Field: field, Asked: asked, Found: has})
		}
	}
	if d.Paper.DOI != "" || ref.ArXiv == "" {
		add("doi", ref.DOI, d.Paper.DOI)
	}
	if d.Paper.ArXiv != "" {
		add("arxiv_id", ref.ArXiv, d.Paper.ArXiv)
	}
	return d
}
