package ideation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nullius.dev/kit/llm"

	"nullius.dev/services/ideation/internal/idea"
	"nullius.dev/services/ideation/internal/text"
	"nullius.dev/services/ideation/prompts"
)

const (
	promptVersion      = prompts.Version
	defaultReflections = 3
	maxReflections     = 20
	archiveBytes       = 24 << 10 // of a prompt; plans are left out first, then the oldest ideas
	maxReplyShown      = 4 << 10
)

// Generate makes one idea: a draft, then criticism.
func (s *Service) Generate(ctx context.Context, in Generate, told Told) (Generated, error) {
	ctx, span := s.tracer.Start(ctx, "generate idea")
	defer span.End()
	code, err := s.code(ctx, in.Snapshot)
	if err != nil {
		return Generated{}, err
	}
	m, err := newMaker(s, in, code, told)
	if err != nil {
		return Generated{}, err
	}
	err = m.run(ctx)
	m.out.Usage = m.usage
	var bad *unusable
	if errors.As(err, &bad) {
		m.out.Outcome, m.out.Reason, m.out.Reply = bad.reason, bad.sentence, text.Clip(strings.ToValidUTF8(bad.text, ""), maxReplyShown)
		return m.out, nil
	}
	return m.out, err
}

// maker is one idea in the making.
type maker struct {
	door
	in     Generate
	told   Told
	system []llm.Part
	draft  string // the prompt of the first draft, which every later call begins with
	out    Generated
}

func newMaker(s *Service, in Generate, code string, told Told) (*maker, error) {
	rules, err := prompts.IdeaSystem()
	if err != nil {
		return nil, err
	}
	d := prompts.Draft{
		Task: clean(in.Task), Code: code, Runs: in.Limits.Runs, Time: clean(in.Limits.Time), Hardware: clean(in.Limits.Hardware),
		Modules: strings.Join(in.Limits.Modules, ", "), OpenEnded: in.OpenEnded,
	}
	if d.Runs <= 0 {
		d.Runs = 5
	}
	d.Archive, d.Hidden = archive(in.Archive, in.OpenEnded)
	draft, err := prompts.DraftIdea(d)
	if err != nil {
		return nil, err
	}
	m := &maker{door: door{s: s, step: in.Step, model: in.Model, tell: told.Progress}, in: in, told: told, draft: draft}
	if own := clean(in.System); own != "" {
		m.system = append(m.system, llm.Text(own+"\n\n"))
	}
	m.system = append(m.system, llm.Part{Text: rules, Cache: true})
	return m, nil
}

func clean(s string) string { return strings.TrimSpace(strings.ToValidUTF8(s, "")) }

// archive shows as many ideas as fit: with their plans, else without, else the youngest ones.
func archive(ideas []idea.Idea, scores bool) (shown []prompts.Archived, hidden int) {
	for _, plan := range []int{300, 120, 0} {
		shown, hidden = nil, 0
		size := 0
		for i := len(ideas) - 1; i >= 0; i-- {
			a := prompts.Archived{Name: ideas[i].Name, Title: text.OneLine(ideas[i].Title)}
			if plan > 0 {
				a.Plan = text.ClipRunes(text.OneLine(ideas[i].Experiment), plan)
			}
			if sc := ideas[i].Score; scores && sc != nil {
				a.Score = strconv.FormatFloat(*sc, 'g', 3, 64)
			}
			if size += len(a.Name) + len(a.Title) + len(a.Plan) + 20; size > archiveBytes {
				hidden = i + 1
				break
			}
			shown = append([]prompts.Archived{a}, shown...)
		}
		if hidden == 0 {
			break
		}
	}
	return shown, hidden
}

func (m *maker) run(ctx context.Context) error {
	first := []llm.Message{llm.Say(llm.User, m.draft)}
	best, err := m.want(ctx, "draft", first)
	if err != nil {
		return err
	}
	m.out.Rounds = 1
	m.told.Draft(best)
	if near, why, is := idea.Near(best, m.in.Archive); is {
		prompt, err := prompts.DuplicateIdea(prompts.Duplicate{Name: near.Name, Title: text.OneLine(near.Title), Why: why})
		if err != nil {
			return err
		}
		best, err = m.want(ctx, "draft/duplicate", m.after(first, best, prompt))
		if err != nil {
			return err
		}
		m.told.Draft(best)
		if near, why, is := idea.Near(best, m.in.Archive); is {
			m.out.Outcome, m.out.Idea = OutcomeDuplicate, &best
			m.out.Reason = fmt.Sprintf("The draft said the same as the earlier idea %s, and so did the one that was asked for in its place: %s.", near.Name, why)
			return nil
		}
	}
	if best, err = m.reflect(ctx, first, best); err != nil {
		return err
	}
	m.out.Outcome, m.out.Idea = OutcomeIdea, &best
	return nil
}

// want asks for an idea.
func (m *maker) want(ctx context.Context, call string, messages []llm.Message) (idea.Idea, error) {
	var got idea.Idea
	err := m.ask(ctx, call, m.system, messages, prompts.Again, func(r answer) (err error) {
		if r.problem != nil {
			return r.problem
		}
		got, err = readIdea(r.object)
		return err
	})
	return got, err
}

// readIdea reads an idea that stands alone or within an object.
func readIdea(raw json.RawMessage) (idea.Idea, error) {
	f, err := idea.Fields(raw)
	if err != nil {
		return idea.Idea{}, err
	}
	if inner, ok := f.Raw("idea", "newidea", "improvedidea"); ok {
		return idea.Parse(inner)
	}
	return idea.Parse(raw)
}

// after is the conversation with an idea and what is said about it. It does not grow with the rounds.
func (m *maker) after(first []llm.Message, i idea.Idea, prompt string) []llm.Message {
	return append(first[:len(first):len(first)], llm.Say(llm.Assistant, "```json\n"+i.JSON()+"\n```"), llm.Say(llm.User, prompt))
}

// reflect lets the model criticise its idea. A round that cannot be used ends the rounds: the idea before it stands.
func (m *maker) reflect(ctx context.Context, first []llm.Message, best idea.Idea) (idea.Idea, error) {
	rounds := m.in.Reflections
	if rounds <= 0 {
		rounds = defaultReflections
	}
	rounds = min(rounds, maxReflections)
	problem := ""
	for n := 1; n < rounds; n++ {
		prompt, err := prompts.ReflectIdea(prompts.Reflect{Round: n + 1, Rounds: rounds, Last: n == rounds-1, Problem: problem})
		if err != nil {
			return best, err
		}
		next, done := best, false
		err = m.ask(ctx, fmt.Sprintf("reflect-%d", n), m.system, m.after(first, best, prompt), prompts.Again, func(r answer) (err error) {
			next, done, err = readReflection(r, best)
			return err
		})
		var bad *unusable
		if errors.As(err, &bad) {
			m.warn("reflection-unusable", bad.sentence)
			return best, nil
		}
		if err != nil {
			return best, err
		}
		m.out.Rounds++
		problem = ""
		if near, why, is := idea.Near(next, m.in.Archive); is {
			problem = why + " as " + near.Name
			m.warn("reflection-duplicate", fmt.Sprintf("Round %d turned the idea into %s, so the one before it stands.", n+1, near.Name))
			next = best
		} else if next.JSON() != best.JSON() {
			m.told.Draft(next)
		}
		best = next
		if done {
			break
		}
	}
	return best, nil
}

func (m *maker) warn(code, sentence string) {
	m.out.Warnings = append(m.out.Warnings, Warning{code, sentence})
}

// readReflection reads a criticism: done or not, with an idea or without.
func readReflection(r answer, before idea.Idea) (next idea.Idea, done bool, err error) {
	said := strings.ToLower(r.text)
	finished := strings.Contains(said, "i am done") || strings.Contains(said, "i'm done")
	if r.problem != nil {
		if finished {
			return before, true, nil
		}
		return before, false, r.problem
	}
	raw := r.object
	f, err := idea.Fields(raw)
	if err != nil {
		return before, false, err
	}
	done = finished || f.Bool("done", "finished")
	inner := raw
	if in, ok := f.Raw("idea", "newidea", "improvedidea"); ok {
		inner = in
	} else if f.Line(10, "title") == "" && f.Line(10, "experiment") == "" {
		if done {
			return before, true, nil
		}
		return before, false, errors.New(`it has neither "done": true nor an "idea"`)
	}
	next, err = idea.Parse(inner)
	if err != nil {
		if done {
			return before, true, nil
		}
		return before, false, err
	}
	return keep(next, before), done, nil
}

// keep fills in what a model left out of an improved idea.
func keep(next, before idea.Idea) idea.Idea {
	if next.Hypothesis == "" {
		next.Hypothesis = before.Hypothesis
	}
	if next.PrimaryMetric == nil {
		next.PrimaryMetric = before.PrimaryMetric
	}
	if len(next.PlannedRuns) == 0 {
		next.PlannedRuns = before.PlannedRuns
	}
	if next.Risks == "" {
		next.Risks = before.Risks
	}
	for _, s := range []struct {
		to   *int
		from int
	}{{&next.Interestingness, before.Interestingness}, {&next.Feasibility, before.Feasibility}, {&next.Novelty, before.Novelty}} {
		if *s.to == 0 {
			*s.to = s.from
		}
	}
	return next
}
