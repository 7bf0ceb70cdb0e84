package ideation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"

	"nullius.dev/services/ideation/internal/idea"
	"nullius.dev/services/ideation/internal/literature"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
	"nullius.dev/services/ideation/prompts"
)

// Verdicts, and why one is undecided.
const (
	Novel     = "NOVEL"
	NotNovel  = "NOT_NOVEL"
	Undecided = "UNDECIDED"

	NoAnswer  = "NO_ANSWER"
	TooFew    = "TOO_FEW"
	OnlyLocal = "ONLY_LOCAL"
	NoVerdict = "NO_VERDICT"
)

const (
	defaultRounds = 10
	maxRounds     = 30
	shownPapers   = 10
	maxNearest    = 5
	wantAnswers   = 3 // searches that were answered, for NOVEL
	wantFound     = 2 // of which found papers
)

// Assess asks whether an idea is new.
type Assess struct {
	Step     string
	Idea     idea.Idea
	Snapshot store.Digest
	Model    string
	Engine   string
	Rounds   int
	Task     string
}

// Round is one search.
type Round struct {
	Query    string
	Used     string
	Rung     int
	Asked    []literature.Asked
	PaperIDs []string
	outcome  string
	number   int
}

// Nearest is a paper near the idea.
type Nearest struct{ PaperID, Shares, Differs string }

// Assessed is the verdict with its evidence.
type Assessed struct {
	Verdict     string
	Reason      string // of UNDECIDED
	Next        string // of UNDECIDED: what a person can do
	Explanation string
	Rounds      []Round
	Nearest     []Nearest
	Papers      []paper.Paper
	Usage       Usage
	Warnings    []Warning
}

// judge is a verdict in the making.
type judge struct {
	door
	in       Assess
	system   []llm.Part
	out      Assessed
	last     []int // numbers of the last search's papers
	repeated string
	repeats  int
}

// decision is what a round's reply says.
type decision struct {
	query, verdict, explanation string
	nearest                     []Nearest
	dropped                     int
}

// Assess searches and judges.
func (s *Service) Assess(ctx context.Context, in Assess, tell literature.Tell) (Assessed, error) {
	ctx, span := s.tracer.Start(ctx, "assess novelty")
	defer span.End()
	if in.Engine == "" {
		in.Engine = s.cfg.Engine
	}
	if err := s.d.Literature.CheckEngine(in.Engine); err != nil {
		return Assessed{}, err
	}
	rules, err := prompts.NoveltySystem()
	if err != nil {
		return Assessed{}, err
	}
	j := &judge{door: door{s: s, step: in.Step, model: in.Model, tell: tell}, in: in, system: []llm.Part{{Text: rules, Cache: true}}}
	err = j.run(ctx)
	j.out.Usage = j.usage
	var bad *unusable
	if errors.As(err, &bad) {
		j.undecided(bad.reason, bad.sentence)
		return j.out, nil
	}
	return j.out, err
}

// undecided says why there is no verdict; what the model said stands after it.
func (j *judge) undecided(reason, why string) {
	j.out.Verdict, j.out.Reason = Undecided, reason
	j.out.Explanation = strings.TrimSpace(why + " " + j.out.Explanation)
	switch reason {
	case NoAnswer, OnlyLocal, TooFew:
		j.out.Next = "nullius literature search WORDS" // what answers, and why the rest does not
	default:
		j.out.Next = "nullius logs " + j.ideaName() + " --stage novelty"
	}
}

// ideaName is the idea as commands take it.
func (j *judge) ideaName() string {
	parts := strings.SplitN(j.step, "/", 3)
	return parts[0] + "/" + parts[1] // the step was checked
}

// silence says which engines did not answer, and why.
func (j *judge) silence(who string) string {
	var said []string
	for _, r := range j.out.Rounds {
		for _, a := range r.Asked {
			d := strings.TrimSuffix(a.Detail, ".")
			if a.Result != literature.Answered && d != "" && !slices.Contains(said, d) && len(said) < 5 {
				said = append(said, d)
			}
		}
	}
	if len(said) == 0 {
		return who + "."
	}
	return who + ": " + strings.Join(said, "; ") + "."
}

func (j *judge) run(ctx context.Context) error {
	rounds := j.in.Rounds
	if rounds <= 0 {
		rounds = defaultRounds
	}
	rounds = min(rounds, maxRounds)
	for n := 1; n <= rounds; n++ {
		d, err := j.round(ctx, n, rounds)
		if err != nil {
			return err
		}
		if d.verdict != "" {
			j.settle(d)
			return nil
		}
		if n == rounds {
			break
		}
		if j.known(d.query) {
			j.repeated = d.query
			if j.repeats++; j.repeats == 2 {
				j.undecided(NoVerdict, "The model asked the same again, twice in a row.")
				return nil
			}
			continue
		}
		j.repeated, j.repeats = "", 0
		if err := j.search(ctx, n, d.query); err != nil {
			return err
		}
	}
	if j.answered() == 0 {
		j.undecided(NoAnswer, j.silence("No engine answered"))
		return nil
	}
	j.undecided(NoVerdict, fmt.Sprintf("The model gave no verdict within %d rounds.", rounds))
	return nil
}

func (j *judge) round(ctx context.Context, n, rounds int) (decision, error) {
	prompt, err := prompts.NoveltyRound(j.view(n, rounds))
	if err != nil {
		return decision{}, err
	}
	var d decision
	err = j.ask(ctx, fmt.Sprintf("round-%d", n), j.system, []llm.Message{llm.Say(llm.User, prompt)}, prompts.Again, func(r answer) (err error) {
		d, err = j.read(r, n == rounds)
		return err
	})
	return d, err
}

// view is what the judge is shown.
func (j *judge) view(n, rounds int) prompts.Novelty {
	v := prompts.Novelty{Idea: j.in.Idea.JSON(), Task: clean(j.in.Task), Round: n, Rounds: rounds, Last: n == rounds, Repeated: j.repeated}
	for _, r := range j.out.Rounds {
		q := prompts.Query{Round: r.number, Text: r.Query, Happened: r.happened()}
		if query.Fold(r.Used) != query.Fold(r.Query) {
			q.Used = r.Used
		}
		v.Queries = append(v.Queries, q)
	}
	for i, p := range j.out.Papers {
		if slices.Contains(j.last, i+1) {
			v.Papers = append(v.Papers, shown(i+1, p))
		} else {
			v.Earlier = append(v.Earlier, prompts.Paper{Number: i + 1, Title: text.OneLine(p.Title), Year: p.YearText()})
		}
	}
	return v
}

func shown(n int, p paper.Paper) prompts.Paper {
	out := prompts.Paper{Number: n, Title: text.OneLine(p.Title), Authors: p.AuthorText(5), Venue: text.OneLine(p.Venue), Year: p.YearText(),
		Digest: text.ClipRunes(text.OneLine(p.Abstract), 1200), Retracted: p.Retracted}
	if p.Citations != nil {
		out.Cited = strconv.FormatInt(*p.Citations, 10)
	}
	return out
}

// happened says in words what came of a search. It names no time, so that a repeated step asks the same.
func (r Round) happened() string {
	var failed []string
	for _, a := range r.Asked {
		if a.Result == literature.Failed || a.Result == literature.Skipped {
			if !slices.Contains(failed, a.Engine) {
				failed = append(failed, a.Engine)
			}
		}
	}
	said := ""
	switch r.outcome {
	case literature.FoundPapers:
		said = fmt.Sprintf("%d papers", len(r.PaperIDs))
		if r.Rung > 0 {
			said += ", with fewer words than asked for"
		}
		if !online(r.Asked) {
			said += ", from a short local list only"
		}
	case literature.Nothing:
		said = "nothing found"
		if !online(r.Asked) {
			said += " in a short local list, which tells nothing"
		}
	default:
		return "no engine answered, which tells nothing"
	}
	if len(failed) > 0 {
		said += "; not answered by " + strings.Join(failed, ", ")
	}
	return said
}

// online reports whether an engine other than the local list answered.
func online(asked []literature.Asked) bool {
	return slices.ContainsFunc(asked, func(a literature.Asked) bool {
		return a.Engine != paper.Local && (a.Result == literature.Answered || a.Result == literature.Empty)
	})
}

func (j *judge) known(q string) bool {
	return slices.ContainsFunc(j.out.Rounds, func(r Round) bool { return query.Fold(r.Query) == query.Fold(q) })
}

func (j *judge) search(ctx context.Context, n int, q string) error {
	o, err := llm.OriginOf(j.step, fmt.Sprintf("round-%d/search", n))
	if err != nil {
		return err
	}
	res, err := j.s.d.Literature.Search(ctx, literature.Query{Text: q, Limit: shownPapers, Engine: j.in.Engine}, &o, j.tell)
	if err != nil {
		return err
	}
	r := Round{Query: q, Used: res.QueryUsed, Rung: res.Rung, Asked: res.Asked, outcome: res.Outcome, number: n}
	j.last = nil
	for _, p := range res.Papers {
		r.PaperIDs = append(r.PaperIDs, p.ID)
		at := slices.IndexFunc(j.out.Papers, func(o paper.Paper) bool { return o.ID == p.ID || paper.Same(o, p) })
		if at < 0 {
			j.out.Papers = append(j.out.Papers, p)
			at = len(j.out.Papers) - 1
		}
		j.last = append(j.last, at+1)
	}
	paper.UniqueKeys(j.out.Papers)
	j.out.Rounds = append(j.out.Rounds, r)
	return nil
}

func (j *judge) answered() (n int) {
	for _, r := range j.out.Rounds {
		if r.outcome == literature.FoundPapers || r.outcome == literature.Nothing {
			n++
		}
	}
	return n
}

// evidence counts the searches that an engine beyond the local list answered, and those of them in which one found papers:
// what the local list has or lacks says nothing of the literature.
func (j *judge) evidence() (far, found int) {
	for _, r := range j.out.Rounds {
		if !online(r.Asked) {
			continue
		}
		far++
		if r.outcome == literature.FoundPapers && slices.ContainsFunc(r.Asked, func(a literature.Asked) bool {
			return a.Engine != paper.Local && a.Result == literature.Answered
		}) {
			found++
		}
	}
	return far, found
}

// settle lets a verdict stand only if code can count its evidence.
func (j *judge) settle(d decision) {
	j.out.Explanation, j.out.Nearest = d.explanation, d.nearest
	if d.dropped > 0 {
		j.out.Warnings = append(j.out.Warnings, Warning{"nearest-not-shown", fmt.Sprintf("%d nearest papers that the model named had not been shown to it; they were dropped.", d.dropped)})
	}
	far, found := j.evidence()
	switch {
	case d.verdict == NotNovel && len(d.nearest) > 0:
		j.out.Verdict = NotNovel
	case d.verdict == NotNovel:
		j.undecided(NoVerdict, "The model called the idea known and named no paper that it had been shown.")
	case j.answered() == 0:
		j.undecided(NoAnswer, j.silence("No engine answered"))
	case d.verdict == Novel && far == 0:
		j.undecided(OnlyLocal, j.silence("Only the local list of papers answered"))
	case d.verdict == Novel && (far < wantAnswers || found < wantFound):
		j.undecided(TooFew, fmt.Sprintf("NOVEL needs %d searches that were answered from beyond the local list, %d of which found papers.", wantAnswers, wantFound))
	case d.verdict == Novel:
		j.out.Verdict = Novel
	case d.explanation != "":
		j.undecided(NoVerdict, "")
	default:
		j.undecided(NoVerdict, "The model could not tell.")
	}
}

// checkIdea refuses an idea that nothing can be said of.
func checkIdea(i idea.Idea) error {
	if strings.TrimSpace(i.Title) == "" && strings.TrimSpace(i.Experiment) == "" {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the idea has neither title nor experiment").WithField("idea", "wants a title or an experiment")
	}
	return nil
}
