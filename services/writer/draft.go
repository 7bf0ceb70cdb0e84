package writer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"nullius.dev/kit/llm"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/tex"
)

// lengths of the sections in words, for eight pages.
var lengths = map[tex.Role]string{tex.Introduction: "450 to 700", tex.Related: "300 to 500", tex.Background: "250 to 450", tex.Method: "400 to 700",
	tex.Setup: "300 to 500", tex.Results: "700 to 1100"}

// write is the order of work of a first version.
func (w *work) write(ctx context.Context) (Result, error) {
	err := w.compose(ctx)
	var s *stop
	if errors.As(err, &s) {
		return w.nothing(s.outcome, s.reason), nil
	}
	if err != nil {
		return Result{}, err
	}
	return w.finish(ctx, nil)
}

func (w *work) compose(ctx context.Context) error {
	if err := w.makeOutline(ctx); err != nil {
		return err
	}
	shared := w.outlineBlock()
	outlinePart := llm.Part{Text: shared, Cache: true}
	refusals := 0
	withCode := []llm.Part{{Text: w.code, Cache: true}, outlinePart}
	// The first wave shows no papers, so they are chosen meanwhile.
	chosen, err := w.beside(ctx, "citations", w.plan.Needs, func(ctx context.Context) error {
		return w.draftWave(ctx, []tex.Role{tex.Method, tex.Setup, tex.Results}, withCode, &refusals)
	})
	if err != nil {
		return err
	}
	keys := w.use(chosen)
	var served []string
	for i, n := range w.plan.Needs {
		if len(keys[i]) > 0 {
			served = append(served, fmt.Sprintf("%s: cite %s", oneLine(n.Why), strings.Join(keys[i], ", ")))
		}
	}
	papers := "# Papers that may be cited\n\n" + w.paperBlock(paperBytes)
	if len(served) > 0 {
		papers += "\nChosen for these statements:\n- " + strings.Join(served, "\n- ") + "\n"
	}
	withPapers := []llm.Part{outlinePart, {Text: papers, Cache: true}, {Text: w.soFar(tex.Method, tex.Setup, tex.Results), Cache: true}}
	if err := w.draftWave(ctx, []tex.Role{tex.Introduction, tex.Background, tex.Related}, withPapers, &refusals); err != nil {
		return err
	}
	if err := w.usable(refusals); err != nil {
		return err
	}
	if err := w.closeAndCite(ctx, outlinePart); err != nil {
		return err
	}
	w.settle()
	w.addMissingFloats()
	if err := w.refine(ctx, outlinePart); err != nil {
		return err
	}
	return w.refinePaper(ctx)
}

// beside searches for needs while something else is done that shows no papers.
func (w *work) beside(ctx context.Context, call string, needs []need, do func(context.Context) error) (chosen choice, err error) {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { chosen, err = w.search(gctx, call, needs); return err })
	g.Go(func() error { return do(gctx) })
	return chosen, g.Wait()
}

// closeAndCite writes what closes the paper while papers are chosen for the needs of the sections, which are then put there.
// A need that the closing itself has gets a batch of its own.
func (w *work) closeAndCite(ctx context.Context, outlinePart llm.Part) error {
	written := slices.DeleteFunc(allRoles(), func(r tex.Role) bool { return r == tex.Title || r == tex.Abstract || r == tex.Conclusion })
	chosen, err := w.beside(ctx, "citations-2", w.needsOf(written), func(ctx context.Context) error { return w.closing(ctx, outlinePart) })
	if err != nil {
		return err
	}
	w.place(written, w.use(chosen))
	return w.placeNeeds(ctx, "citations-3")
}

// draftWave writes sections side by side, each seeing what waves before it wrote.
func (w *work) draftWave(ctx context.Context, roles []tex.Role, shared []llm.Part, refusals *int) error {
	w.say("drafting", fmt.Sprint(roles))
	type draft struct {
		body     string
		findings []check.Finding
		refused  bool
	}
	drafts := make([]draft, len(roles))
	var tasks []func(context.Context, func()) error
	for i, role := range roles {
		tasks = append(tasks, func(ctx context.Context, first func()) error {
			parts := append(slices.Clone(shared), llm.Part{Text: w.s.prompts.Draft(string(role), lengths[role], w.floatsOf(role))})
			body, findings, refused, err := w.body(ctx, w.request(string(role)+"/draft", "draft", parts...), role, first)
			drafts[i] = draft{body, findings, refused}
			return err
		})
	}
	if err := w.wave(ctx, tasks); err != nil {
		return err
	}
	for i, role := range roles {
		kept := w.parts[role] // what the template says there already
		w.parts[role] = tex.Join([]string{drafts[i].body, kept})
		w.mended = append(w.mended, drafts[i].findings...)
		if drafts[i].refused {
			*refusals++
		}
	}
	return nil
}

// usable ends the paper if no section came out.
func (w *work) usable(refusals int) error {
	for _, r := range tex.Sections() {
		if tex.Words(w.parts[r]) >= minWords {
			return nil
		}
	}
	if refusals >= 3 {
		return &stop{LLMRefused, w.in.Settings.Model + " refused to write the paper"}
	}
	return &stop{OutputInvalid, "no section of the paper could be used, each after being asked for twice"}
}

// soFar shows sections that are written.
func (w *work) soFar(roles ...tex.Role) string {
	var b strings.Builder
	b.WriteString("# Sections written so far\n")
	for _, r := range roles {
		if w.parts[r] != "" {
			fmt.Fprintf(&b, "\n\\section{%s}\n%s\n", r.Heading(), w.parts[r])
		}
	}
	return cut(b.String(), 48_000)
}

// closing writes conclusion, abstract and title in one call.
func (w *work) closing(ctx context.Context, outlinePart llm.Part) error {
	w.say("drafting", "conclusion, abstract, title")
	r := w.request("conclusion/draft", "closing", outlinePart, llm.Part{Text: w.soFar(tex.Sections()...)}, llm.Part{Text: w.s.prompts.Closing()})
	got := parts{}
	for try := range 2 {
		text, ok, err := w.text(ctx, r, nil)
		if err != nil {
			return err
		}
		if ok {
			for role, body := range w.readClosing(text) {
				if tex.Words(body) > tex.Words(got[role]) {
					got[role] = body
				}
			}
		}
		if tex.Words(got[tex.Conclusion]) >= minWords && tex.Words(got[tex.Abstract]) >= minWords || try == 1 {
			break
		}
		r.Origin.Call = "conclusion/draft/retry-1"
		r.Messages = append(slices.Clone(r.Messages), llm.Say(llm.Assistant, nonEmpty(cut(text, 2000))),
			llm.Say(llm.User, w.s.prompts.Again("conclusion and abstract must both be there, under their marks, with at least 40 words each")))
	}
	w.parts[tex.Conclusion] = tex.Join([]string{got[tex.Conclusion], w.parts[tex.Conclusion]})
	w.parts[tex.Abstract] = got[tex.Abstract]
	if tex.Words(w.parts[tex.Abstract]) < 10 {
		w.parts[tex.Abstract] = w.plainAbstract()
		w.found("F08", "the abstract was missing; it was made of the outline's question and claims")
	}
	if t := got[tex.Title]; tex.Words(t) >= 2 {
		w.parts[tex.Title] = t
	}
	return nil
}

// readClosing reads the three parts of the closing reply, with or without their marks.
func (w *work) readClosing(text string) parts {
	out := parts{}
	list := map[tex.Role]*check.List{}
	put := func(role tex.Role, raw string) {
		if role == "conclusions" {
			role = tex.Conclusion
		}
		if role != tex.Title && role != tex.Abstract && role != tex.Conclusion || out[role] != "" {
			return
		}
		l := &check.List{Section: role}
		list[role] = l
		if role == tex.Title {
			out[role] = w.cleanTitle(l, raw)
			return
		}
		out[role] = l.Clean(l.Body(raw, role), w.known)
		if role == tex.Abstract {
			out[role] = strings.Join(strings.Fields(out[role]), " ")
		}
	}
	changes := tex.Changes(text)
	for _, c := range changes {
		put(c.Role, c.Text)
	}
	if len(changes) == 0 {
		d := tex.Parse(text)
		for _, sp := range d.Spans {
			put(sp.Role, sp.Body)
		}
		if len(out) == 0 {
			put(tex.Conclusion, text)
		}
	}
	for _, r := range allRoles() {
		if l := list[r]; l != nil {
			w.mended = append(w.mended, l.Findings...)
		}
	}
	return out
}

// titleLead is what models put in front of a title.
var titleLead = regexp.MustCompile(`(?i)^(?:#{1,6}[ \t]+|\*{0,2}title\*{0,2}[ \t]*:\*{0,2}[ \t]*)+`)

func (w *work) cleanTitle(l *check.List, raw string) string {
	if c := tex.Calls(raw, map[string]int{"title": 1}); len(c) > 0 && len(c[0].Args) == 1 {
		raw = c[0].Args[0]
	}
	line, _, _ := strings.Cut(titleLead.ReplaceAllString(strings.TrimSpace(raw), ""), "\n\n")
	return strings.Trim(l.Clean(cut(oneLine(line), 220), w.known), `"*`)
}

func (w *work) plainAbstract() string {
	var b strings.Builder
	b.WriteString(tex.Escape(w.plan.Question))
	for _, c := range w.plan.Claims {
		b.WriteString(" " + tex.Escape(c.Claim))
	}
	if len(w.plan.Claims) == 0 {
		b.WriteString(` We report \counted[word]{runs} runs beside the baseline.`)
	}
	return b.String()
}

// refine lets each section be criticised and changed, in parallel; conclusion, abstract and title go together.
func (w *work) refine(ctx context.Context, outlinePart llm.Part) error {
	w.say("refining", "")
	findings := w.check()
	roles := []tex.Role{tex.Results, tex.Method, tex.Setup, tex.Introduction, tex.Background, tex.Related, tex.Conclusion}
	replies := make([]string, len(roles))
	var tasks []func(context.Context, func()) error
	for i, role := range roles {
		if tex.Words(w.parts[role]) == 0 {
			continue
		}
		tasks = append(tasks, func(ctx context.Context, first func()) error {
			of, prompt := []tex.Role{role}, ""
			if role == tex.Conclusion {
				of = []tex.Role{tex.Title, tex.Abstract, tex.Conclusion}
				prompt = w.s.prompts.RefineClosing(describe(findings, of, 12), w.numbered(of...))
			} else {
				prompt = w.s.prompts.Refine(string(role), describe(findings, of, 12), w.numbered(role))
			}
			parts := []llm.Part{outlinePart}
			if role == tex.Related || role == tex.Introduction || role == tex.Background {
				parts = append(parts, llm.Part{Text: "# Papers that may be cited\n\n" + w.paperBlock(paperBytes/3)})
			}
			if role == tex.Conclusion {
				parts = append(parts, llm.Part{Text: w.soFar(tex.Results)})
			}
			r := w.request(string(role)+"/refine", "refine", append(parts, llm.Part{Text: prompt})...)
			text, ok, err := w.text(ctx, r, first)
			if ok {
				replies[i] = text
			}
			return err
		})
	}
	if err := w.wave(ctx, tasks); err != nil {
		return err
	}
	for i, role := range roles {
		of := []tex.Role{role}
		if role == tex.Conclusion {
			of = []tex.Role{tex.Title, tex.Abstract, tex.Conclusion}
		}
		w.apply(replies[i], of, true)
	}
	w.settle()
	return nil
}

// refinePaper lets the whole paper be read once more.
func (w *work) refinePaper(ctx context.Context) error {
	w.say("reading the whole paper", "")
	text, ok, err := w.text(ctx, w.request("paper/refine", "paper", llm.Part{Text: w.s.prompts.Paper(describe(w.check(), nil, 20), w.numbered(allRoles()...))}), nil)
	if err != nil {
		var s *stop
		if errors.As(err, &s) { // the paper exists; only this reading of it does not
			w.warn("paper-not-read", "%s", s.reason)
			return nil
		}
		return err
	}
	if ok {
		w.apply(text, allRoles(), false)
	}
	w.settle()
	return nil
}

// numbered shows parts with their paragraph ids.
func (w *work) numbered(roles ...tex.Role) string {
	var b strings.Builder
	for _, r := range roles {
		b.WriteString(tex.Number(r, w.parts[r]))
	}
	return b.String()
}

// apply carries out the changes of a reply that concern the given roles. It returns how many paragraphs changed.
func (w *work) apply(reply string, roles []tex.Role, wholeAllowed bool) int {
	l := check.List{}
	changes := tex.Changes(reply)
	if len(changes) == 0 && wholeAllowed && len(roles) == 1 {
		body := l.Clean(l.Body(reply, roles[0]), w.known)
		old := tex.Words(w.parts[roles[0]])
		if n := tex.Words(body); n >= minWords && n*10 >= old*6 && n <= old*2 && !strings.Contains(reply, "NONE") {
			w.parts[roles[0]] = body
			return 1
		}
		return 0
	}
	changed := 0
	for i := range changes {
		if changes[i].Role == "conclusions" {
			changes[i].Role = tex.Conclusion
		}
		if changes[i].Op != '-' {
			changes[i].Text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(changes[i].Text), "```"))
		}
		if strings.TrimSpace(changes[i].Text) == "NONE" {
			changes[i].Number, changes[i].Op = -1, '='
		}
	}
	for _, r := range roles {
		l.Section = r
		body, _ := tex.Apply(r, w.parts[r], changes)
		if r == tex.Title {
			body = w.cleanTitle(&l, body)
		} else {
			body = l.Clean(body, w.known)
		}
		if r == tex.Abstract {
			body = strings.Join(strings.Fields(body), " ")
		}
		if body == w.parts[r] || tex.Words(body)*5 < tex.Words(w.parts[r])*2 {
			continue
		}
		w.parts[r] = body
		changed++
	}
	w.mended = append(w.mended, l.Findings...)
	return changed
}
