package ideation

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/idea"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
)

// read reads a round's reply, of models that keep to the form and of those that nearly do.
func (j *judge) read(r answer, last bool) (decision, error) {
	said := strings.ToLower(r.text)
	var d decision
	if i := strings.Index(said, "decision made:"); i >= 0 {
		d.verdict = verdict(said[i+len("decision made:"):])
	}
	if r.problem != nil {
		if d.verdict != "" {
			return d, nil
		}
		return d, r.problem
	}
	f, err := idea.Fields(r.object)
	if err != nil {
		return d, err
	}
	action := strings.ToLower(f.Line(40, "action"))
	d.query = f.Line(query.MaxLength, "query", "search", "searchquery")
	d.explanation = f.Text(2000, "explanation", "reason", "reasoning", "why")
	if v := verdict(strings.ToLower(f.Line(60, "verdict", "decision", "novelty", "novel"))); v != "" && (action != "search" || d.query == "") {
		d.verdict = v
	}
	if d.verdict != "" {
		d.query = ""
		d.nearest, d.dropped = j.nearest(f.List("nearest", "nearestpapers", "papers"))
		return d, nil
	}
	switch {
	case last:
		return d, errors.New(`this is the last round, so it needs "action": "decide" and a "verdict"`)
	case len(query.Content(d.query)) == 0:
		return d, errors.New(`it has neither a "query" of plain words nor a "verdict" of novel, not_novel or undecided`)
	}
	return d, nil
}

func verdict(s string) string {
	s = strings.Trim(strings.NewReplacer("_", " ", "-", " ").Replace(s), " .*\"'\n\t")
	switch {
	case strings.HasPrefix(s, "not novel"), s == "false", strings.HasPrefix(s, "known"), strings.HasPrefix(s, "no "), s == "no":
		return NotNovel
	case strings.HasPrefix(s, "undecided"), strings.HasPrefix(s, "unclear"), strings.HasPrefix(s, "unsure"):
		return Undecided
	case strings.HasPrefix(s, "novel"), s == "true", s == "yes":
		return Novel
	}
	return ""
}

// nearest finds the papers a model names: by number, identifier, key or title. What it was not shown is dropped.
func (j *judge) nearest(list []any) (out []Nearest, dropped int) {
	for _, v := range list[:min(len(list), 20)] {
		f, name, ok := idea.Sub(v)
		n := Nearest{}
		if ok {
			name = f.Line(500, "paper", "number", "id", "paperid", "title")
			n.Shares, n.Differs = f.Line(1000, "shares", "share", "similarity", "common"), f.Line(1000, "differs", "differ", "difference")
		}
		p, known := j.named(name)
		switch {
		case !known:
			dropped++
		case len(out) < maxNearest && !slices.ContainsFunc(out, func(o Nearest) bool { return o.PaperID == p.ID }):
			n.PaperID = p.ID
			out = append(out, n)
		}
	}
	return out, dropped
}

func (j *judge) named(s string) (paper.Paper, bool) {
	s = strings.TrimSpace(s)
	if n, err := strconv.Atoi(strings.Trim(s, "[]# .")); err == nil {
		if n >= 1 && n <= len(j.out.Papers) {
			return j.out.Papers[n-1], true
		}
		return paper.Paper{}, false
	}
	if i := strings.IndexByte(s, ']'); i > 1 && s[0] == '[' {
		if p, ok := j.named(s[1:i]); ok {
			return p, true
		}
	}
	for _, p := range j.out.Papers {
		if s != "" && (strings.EqualFold(s, p.ID) || s == p.Key || text.Norm(s) == text.Norm(p.Title)) {
			return p, true
		}
	}
	return paper.Paper{}, false
}
