package literature

import (
	"context"
	"encoding/json"
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
	out, err := pinned(ctx, b, pin, r.Engine, digest, func(ctx context.Context) (ResolveResult, error) { return b.resolve(ctx, r, digest, tell), nil })
	if out.Paper != nil {
		p := out.Paper.Clean()
		out.Paper = &p
	}
	for i := range out.Nearest {
		out.Nearest[i].Paper = out.Nearest[i].Paper.Clean()
	}
	return out, err
}

func (b *Broker) resolve(ctx context.Context, r Resolve, digest string, tell Tell) ResolveResult {
	ask, asked := b.engines(r.Engine)
	out := ResolveResult{Outcome: EngineUnavailable, Asked: asked}
	var near []match.Decision
	online, denied := 0, 0
	for i, e := range ask {
		if i > 0 {
			tell(Progress{Phase: "asking the next engine", Detail: e.Title()})
		}
		d, said := b.resolveOne(ctx, e, r, digest, tell)
		out.Asked = append(out.Asked, said...)
		near = append(near, d)
		if e.Online() {
			online++
			if !hasFailure(said) {
				denied++
			}
		}
		if d.Outcome != match.None {
			return found(out, d, near)
		}
	}
	out.Nearest = noMatch(near...)
	name := r.Engine
	if name == "" {
		name = b.Default
	}
	// That a paper does not exist needs proof: the one engine that was chosen says so, or two that know the field do.
	if denied > 0 && denied == online && (name != Auto || denied >= 2) {
		out.Outcome = NotFound
	}
	return out
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

func (b *Broker) resolveOne(ctx context.Context, e Engine, r Resolve, digest string, tell Tell) (match.Decision, []Asked) {
	if hit, ok := b.fromCache(ctx, e, "resolve", digest, r.MaxAge); ok {
		var k kept
		if json.Unmarshal(hit.body, &k) == nil {
			return k.Decision, hit.mark(k.Asked)
		}
	}
	var asked []Asked
	say := func(a Answer) Answer {
		asked = append(asked, b.told(e, a, 0))
		return a
	}
	d := b.decide(ctx, e, r.Reference, tell, say)
	if !hasFailure(asked) && len(asked) > 0 {
		b.toCache(ctx, e, "resolve", digest, d.Outcome == match.None, kept{d, asked})
	}
	return d, asked
}

// decide asks by identifier first; but models put real identifiers on invented titles, so the title has the last word.
func (b *Broker) decide(ctx context.Context, e Engine, ref match.Reference, tell Tell, say func(Answer) Answer) match.Decision {
	var byID match.Decision
	if ref.DOI != "" || ref.ArXiv != "" {
		a := say(b.ask(ctx, e, tell, func(t Tell) Answer { return e.ByID(ctx, ref.DOI, ref.ArXiv, t) }))
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
	a := say(b.ask(ctx, e, tell, func(t Tell) Answer { return e.ByTitle(ctx, ref.Title, t) }))
	if a.Failure == nil && len(a.Papers) == 0 && e.Online() {
		// An engine that wants every word finds nothing for a title with one word wrong.
		if short := main(ref.Title); short != "" {
			a = say(b.ask(ctx, e, tell, func(t Tell) Answer { return e.ByTitle(ctx, short, t) }))
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
		return match.Decision{Outcome: match.Found, Paper: p, Score: 1}
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
