package writer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nullius.dev/kit/llm"
	"nullius.dev/services/writer/internal/tex"
)

// row is what is to be done about one comment.
type row struct {
	Comment    int    `json:"comment"`
	Action     string `json:"action"`
	Section    string `json:"section"`
	Paragraphs []int  `json:"paragraphs"`
	Plan       string `json:"plan"`
}

var mapSchema = json.RawMessage(`{"type":"object","required":["rows"],"properties":{"rows":{"type":"array","items":{"type":"object","required":["comment","action"],"properties":{
"comment":{"type":"integer"},"action":{"type":"string"},"section":{"type":"string"},"paragraphs":{"type":"array","items":{"type":"integer"}},"plan":{"type":"string"}}}}}}`)

// revise changes the named paragraphs, reads the whole once more, mends and compiles.
func (w *work) revise(ctx context.Context) (Result, error) {
	if w.in.Review == nil {
		w.in.Review = &Criticism{}
	}
	before := parts{}
	for r, b := range w.parts {
		before[r] = b
	}
	comments := w.comments()
	rows, err := w.mapReview(ctx, comments)
	if err == nil {
		err = w.reviseSections(ctx, comments, rows)
	}
	if err == nil {
		err = w.placeNeeds(ctx, "citations")
	}
	if err == nil {
		w.settle()
		err = w.refinePaper(ctx)
	}
	var s *stop
	if errors.As(err, &s) {
		return w.nothing(s.outcome, s.reason), nil
	}
	if err != nil {
		return Result{}, err
	}
	return w.finish(ctx, map[string][]byte{"response.md": []byte(w.response(comments, rows, before))})
}

// comments are the weaknesses and questions, numbered from 1.
func (w *work) comments() []string {
	var out []string
	for _, c := range w.in.Review.Comments[:min(len(w.in.Review.Comments), 40)] {
		s := cut(oneLine(c.Claim), 700)
		if c.Severity != "" {
			s = "(" + oneLine(c.Severity) + ") " + s
		}
		for _, q := range c.Quotes[:min(len(c.Quotes), 2)] {
			if where := w.locateQuote(q); where != "" {
				s += fmt.Sprintf(" [quotes %s: %q]", where, cut(oneLine(q), 160))
			}
		}
		out = append(out, s)
	}
	for _, q := range w.in.Review.Questions[:min(len(w.in.Review.Questions), 20)] {
		out = append(out, "(question) "+cut(oneLine(q), 500))
	}
	return out
}

// locateQuote finds the paragraph that a quote of the printed paper comes from.
func (w *work) locateQuote(quote string) string {
	words := strings.Fields(foldWords(quote))
	if len(words) < 4 {
		return ""
	}
	bestRole, bestPar, most := tex.Role(""), 0, 0
	for _, r := range allRoles() {
		for i, p := range tex.Paragraphs(w.parts[r]) {
			text, _, _ := w.rec.Render(p, nil)
			folded := " " + foldWords(text) + " "
			hits := 0
			for k := 0; k+2 < len(words); k++ {
				if strings.Contains(folded, " "+strings.Join(words[k:k+3], " ")+" ") {
					hits++
				}
			}
			if hits > most {
				bestRole, bestPar, most = r, i+1, hits
			}
		}
	}
	if most*2 < len(words)-2 {
		return ""
	}
	return fmt.Sprintf("%s.%d", bestRole, bestPar)
}

func foldWords(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}), " ")
}

// mapReview asks what to do about each comment. Without a usable plan every comment goes to the results.
func (w *work) mapReview(ctx context.Context, comments []string) ([]row, error) {
	if len(comments) == 0 {
		return nil, nil
	}
	w.say("planning the revision", fmt.Sprintf("%d comments", len(comments)))
	var b strings.Builder
	if s := oneLine(w.in.Review.Summary); s != "" {
		fmt.Fprintf(&b, "Summary: %s\n\n", cut(s, 1500))
	}
	for i, c := range comments {
		fmt.Fprintf(&b, "%d. %s\n", i+1, c)
	}
	r := w.request("map", "map", llm.Part{Text: w.s.prompts.Map(fence(b.String()), b.String(), w.numbered(allRoles()...))})
	r.Schema = mapSchema
	raw, unusable, err := w.object(ctx, r)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Rows []row `json:"rows"`
	}
	if unusable == nil {
		_ = json.Unmarshal(raw, &reply) // the schema has been checked; a bad row is an empty one
	} else {
		_, sentence, _ := unusable.Outcome()
		if unusable.Finish == llm.TooLong {
			return nil, &stop{ContextTooLong, sentence}
		}
		w.warn("map-unusable", "%s All comments were given to the results.", sentence)
	}
	return w.checkRows(reply.Rows, comments), nil
}

// checkRows drops rows about nothing and adds one for each comment that has none.
func (w *work) checkRows(rows []row, comments []string) []row {
	answered := map[int]bool{}
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.Comment < 1 || r.Comment > len(comments) })
	for i := range rows {
		r := &rows[i]
		r.Action = strings.ToLower(strings.TrimSpace(r.Action))
		switch r.Action {
		case "edit", "clarify", "cite", "needs_experiment", "disagree":
		default:
			r.Action = "edit"
		}
		role := tex.RoleOf(r.Section)
		if s := tex.Role(strings.ToLower(strings.TrimSpace(r.Section))); s == tex.Abstract || s == tex.Title {
			role = s
		}
		if role == "" {
			role = tex.Results
		}
		r.Section = string(role)
		answered[r.Comment] = true
	}
	for i := range comments {
		if !answered[i+1] {
			rows = append(rows, row{Comment: i + 1, Action: "edit", Section: string(tex.Results), Plan: "not planned by the model"})
		}
	}
	return rows
}

// reviseSections lets the named sections be changed, in parallel.
func (w *work) reviseSections(ctx context.Context, comments []string, rows []row) error {
	var roles []tex.Role
	for _, r := range allRoles() {
		if slices.ContainsFunc(rows, func(x row) bool { return x.Action != "disagree" && sectionOf(x) == r }) {
			roles = append(roles, r)
		}
	}
	replies := make([]string, len(roles))
	var tasks []func(context.Context, func()) error
	for i, role := range roles {
		var todo []string
		for _, x := range rows {
			if sectionOf(x) != role || x.Action == "disagree" {
				continue
			}
			s := fmt.Sprintf("%s: %s", x.Action, comments[x.Comment-1])
			if len(x.Paragraphs) > 0 {
				s += fmt.Sprintf(" (paragraphs %v)", x.Paragraphs)
			}
			if x.Plan != "" {
				s += " Plan: " + cut(oneLine(x.Plan), 400)
			}
			todo = append(todo, s)
		}
		tasks = append(tasks, func(ctx context.Context, first func()) error {
			parts := []llm.Part{{Text: "# Papers that may be cited\n\n" + w.paperBlock(paperBytes/2), Cache: true}}
			if role == tex.Method || role == tex.Setup {
				parts = append([]llm.Part{{Text: w.code}}, parts...)
			}
			parts = append(parts, llm.Part{Text: w.s.prompts.Revise(string(role), todo, w.numbered(sectionParts(role)...))})
			text, ok, err := w.text(ctx, w.request(string(role)+"/revise", "revise", parts...), first)
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
		w.apply(replies[i], sectionParts(role), true)
	}
	return nil
}

// sectionOf folds title and abstract into one call each of their own section.
func sectionOf(r row) tex.Role {
	if r.Section == string(tex.Title) {
		return tex.Abstract
	}
	return tex.Role(r.Section)
}

func sectionParts(r tex.Role) []tex.Role {
	if r == tex.Abstract {
		return []tex.Role{tex.Title, tex.Abstract}
	}
	return []tex.Role{r}
}

// response tells, comment by comment, what was done; "changed" is what the text shows, not what was promised.
func (w *work) response(comments []string, rows []row, before parts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Response to the review, round %d\n", max(1, w.in.Round))
	if len(comments) == 0 {
		b.WriteString("\nThe review named no weakness and no question.\n")
	}
	for i, c := range comments {
		fmt.Fprintf(&b, "\n## %d. %s\n\n", i+1, c)
		for _, x := range rows {
			if x.Comment != i+1 {
				continue
			}
			fmt.Fprintf(&b, "- **%s**, %s. ", strings.ReplaceAll(x.Action, "_", " "), x.Section)
			if p := oneLine(x.Plan); p != "" {
				b.WriteString(strings.TrimRight(p, ".") + ". ")
			}
			switch n := changedParagraphs(before[tex.Role(x.Section)], w.parts[tex.Role(x.Section)]); {
			case x.Action == "disagree":
				b.WriteString("Nothing was changed for it.\n")
			case len(n) == 0:
				b.WriteString("The section was not changed.\n")
			default:
				fmt.Fprintf(&b, "Changed in this section: paragraphs %s.\n", strings.Trim(strings.ReplaceAll(fmt.Sprint(n), " ", ", "), "[]"))
			}
		}
	}
	b.WriteString("\nThe changes of the source are in latex/changes.diff. No run was made for this revision.\n")
	return b.String()
}

func changedParagraphs(before, after string) []int {
	old := tex.Paragraphs(before)
	var out []int
	for i, p := range tex.Paragraphs(after) {
		if !slices.Contains(old, p) {
			out = append(out, i+1)
		}
	}
	return out
}
