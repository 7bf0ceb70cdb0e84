package writer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"nullius.dev/kit/llm"
	"nullius.dev/services/writer/internal/bib"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/tex"
	"nullius.dev/services/writer/prompts"
)

// citationRecord is what became of the citations, for verification.json.
type citationRecord struct {
	Engine      string   `json:"engine"`
	Searched    int      `json:"searched"`
	Unavailable int      `json:"unavailable"`
	Kept        int      `json:"kept"`
	Removed     []string `json:"removed"`
	Unresolved  []string `json:"unresolved"`
	Corrected   []string `json:"corrected"`
}

const hitsPerNeed = 5

// choice is what came of a batch of searches. It is kept apart until use, so that other calls can go on beside the batch.
type choice struct {
	from        int // searches before it
	needs       int
	searched    int // 0 or all of them
	unavailable int
	engine      string
	offered     []map[string]Paper // by need: the hits that were shown, by key
	picks       []pick
	unusable    string // why no papers were chosen
}

type pick struct {
	Need int      `json:"need"`
	Keys []string `json:"keys"`
}

// search asks the literature service for every need at once, then lets one call choose. It changes nothing of the paper; use does.
func (w *work) search(ctx context.Context, call string, needs []need) (choice, error) {
	c := choice{from: w.cites.Searched, needs: len(needs)}
	if w.s.d.Literature == nil || len(needs) == 0 {
		return c, nil
	}
	w.say("searching the literature", fmt.Sprintf("%d searches", len(needs)))
	hits := make([]Asked, len(needs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.s.cfg.Parallel)
	for i, n := range needs {
		g.Go(func() error {
			a, err := w.s.d.Literature.Search(gctx, w.in.Step, fmt.Sprintf("cite/need-%d", c.from+i+1), w.in.Settings.Engine, cut(oneLine(n.Query), 300), hitsPerNeed)
			hits[i] = a
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return c, err
	}
	c.searched = len(needs)
	var asked []prompts.Need
	c.offered = make([]map[string]Paper, len(needs))
	for i, n := range needs {
		if hits[i].Unavailable {
			c.unavailable++
		}
		c.engine = cmp.Or(hits[i].Engine, c.engine)
		pn := prompts.Need{Number: i + 1, Query: oneLine(n.Query), Why: nonEmpty(oneLine(n.Why))}
		c.offered[i] = map[string]Paper{}
		for _, p := range hits[i].Papers[:min(len(hits[i].Papers), hitsPerNeed)] {
			c.offered[i][p.Key] = p
			pn.Hits = append(pn.Hits, paperLine(p, 350))
		}
		if len(pn.Hits) > 0 {
			asked = append(asked, pn)
		}
	}
	if len(asked) == 0 {
		return c, nil
	}
	return c, w.choose(ctx, call, asked, &c)
}

// choose lets the model pick among the hits.
func (w *work) choose(ctx context.Context, call string, asked []prompts.Need, c *choice) error {
	r := w.request(call, "citations", llm.Part{Text: w.s.prompts.Citations(asked)})
	r.Schema = json.RawMessage(`{"type":"object","required":["picks"],"properties":{"picks":{"type":"array","items":{"type":"object","required":["need","keys"],"properties":{"need":{"type":"integer"},"keys":{"type":"array","items":{"type":"string"}}}}}}}`)
	r.MaxTokens = 2000
	raw, unusable, err := w.object(ctx, r)
	if err != nil {
		return err
	}
	if unusable != nil {
		c.unusable = unusable.Error()
		return nil
	}
	var reply struct {
		Picks []pick `json:"picks"`
	}
	if json.Unmarshal(raw, &reply) == nil {
		c.picks = reply.Picks
	}
	return nil
}

// use takes the chosen papers into the set and gives their keys per need; only keys that were shown for a need count.
func (w *work) use(c choice) [][]string {
	w.cites.Searched = c.from + c.searched
	w.cites.Unavailable += c.unavailable
	w.cites.Engine = cmp.Or(c.engine, w.cites.Engine)
	if c.unusable != "" {
		w.warn("citations-unusable", "No papers were chosen: %s", c.unusable)
	}
	out := make([][]string, c.needs)
	for _, p := range c.picks {
		if p.Need < 1 || p.Need > len(out) {
			continue
		}
		for _, k := range p.Keys[:min(len(p.Keys), 3)] {
			paper, ok := c.offered[p.Need-1][strings.TrimSpace(k)]
			if !ok {
				continue
			}
			if key := w.addPaper(paper); key != "" && !slices.Contains(out[p.Need-1], key) {
				out[p.Need-1] = append(out[p.Need-1], key)
				w.rec.AddNames(paper.Title)
			}
		}
	}
	return out
}

func paperLine(p Paper, abstract int) string {
	authors := strings.Join(p.Authors[:min(len(p.Authors), 4)], ", ")
	if len(p.Authors) > 4 {
		authors += " and others"
	}
	s := p.Key + ": " + cut(oneLine(p.Title), 200)
	if authors != "" {
		s += " (" + cut(oneLine(authors), 120)
		if p.Year > 0 {
			s += fmt.Sprintf(", %d", p.Year)
		}
		s += ")"
	}
	if a := oneLine(p.Abstract); a != "" {
		s += ". " + cut(a, abstract)
	}
	return s
}

// paperBlock lists the papers that may be cited, within a number of bytes.
func (w *work) paperBlock(limit int) string {
	var b strings.Builder
	for i, k := range w.keys {
		abstract := 500
		if i > 12 {
			abstract = 200
		}
		line := "- " + paperLine(w.papers[k], abstract) + "\n"
		if b.Len()+len(line) > limit {
			line = "- " + paperLine(w.papers[k], 0) + "\n"
		}
		if b.Len()+len(line) > limit+2000 {
			break
		}
		b.WriteString(line)
	}
	if b.Len() == 0 {
		return "none\n"
	}
	return b.String()
}

// placeNeeds finds the \need macros of the parts, searches for them and puts citations there.
func (w *work) placeNeeds(ctx context.Context, call string) error {
	roles := allRoles()
	c, err := w.search(ctx, call, w.needsOf(roles))
	if err != nil {
		return err
	}
	w.place(roles, w.use(c))
	return nil
}

// needsOf lists the \need macros of some parts, as many as may still be searched for.
func (w *work) needsOf(roles []tex.Role) []need {
	var needs []need
	left := w.in.Settings.CiteRounds - w.cites.Searched
	for _, r := range roles {
		for _, c := range tex.Calls(w.parts[r], map[string]int{"need": 2}) {
			if len(c.Args) == 2 && len(needs) < left {
				needs = append(needs, need{Query: c.Args[0], Why: c.Args[1], Section: string(r)})
			}
		}
	}
	return needs
}

// place puts the papers that were chosen for the needs of some parts there; a need without one goes.
func (w *work) place(roles []tex.Role, keys [][]string) {
	n := 0
	for _, r := range roles {
		w.parts[r] = tex.Replace(w.parts[r], map[string]int{"need": 2}, func(c tex.Call) string {
			n++
			if len(c.Args) != 2 || n > len(keys) || len(keys[n-1]) == 0 {
				return "\x01"
			}
			return `\citep{` + strings.Join(keys[n-1], ",") + "}"
		})
		w.parts[r] = check.DropEmptyCites(w.parts[r])
	}
}

// abstracts are what \cited quotes from.
func (w *work) abstracts() map[string]string {
	out := map[string]string{}
	for k, p := range w.papers {
		out[k] = p.Abstract
	}
	return out
}

// resolve asks once more whether each cited paper exists. What the service knows otherwise corrects ours; nothing of the template is removed.
func (w *work) resolve(ctx context.Context, cited []string) error {
	if w.s.d.Literature == nil || len(cited) == 0 {
		return nil
	}
	w.say("resolving citations", fmt.Sprintf("%d papers", len(cited)))
	answers := make([]Resolved, len(cited))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.s.cfg.Parallel)
	for i, k := range cited {
		g.Go(func() error {
			e, _ := w.set.Get(k)
			r, err := w.s.d.Literature.Resolve(gctx, w.in.Step, fmt.Sprintf("resolve/%d", i+1), w.in.Settings.Engine, e.Text)
			answers[i] = r
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, k := range cited {
		switch a := answers[i]; {
		case a.Outcome == "NOT_FOUND":
			w.cites.Unresolved = append(w.cites.Unresolved, k)
		case a.Outcome == "OTHER" && !a.Weak && !w.set.Own[k]:
			entries, _ := bib.Parse(a.Paper.BibTeX)
			if len(entries) == 1 && w.set.Replace(k, entries[0]) {
				w.cites.Corrected = append(w.cites.Corrected, k)
			}
		}
	}
	return nil
}
