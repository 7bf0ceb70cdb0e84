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

// outline is what the paper will say, decided before any of it is written.
type outline struct {
	Title    string           `json:"title"`
	Question string           `json:"question"`
	Answer   string           `json:"answer"`
	Claims   []claim          `json:"claims"`
	Sections []outlineSection `json:"sections"`
	Figures  []placedFigure   `json:"figures"`
	Tables   []placedTable    `json:"tables"`
	Notation []string         `json:"notation"`
	Needs    []need           `json:"needs"`
}

type claim struct {
	Claim string   `json:"claim"`
	Refs  []string `json:"refs"`
}

type outlineSection struct {
	Section string   `json:"section"`
	Points  []string `json:"points"`
}

type placedFigure struct {
	File    string `json:"file"`
	Section string `json:"section"`
	Shows   string `json:"shows"`
}

type placedTable struct {
	Label   string   `json:"label"`
	Section string   `json:"section"`
	Caption string   `json:"caption"`
	Rows    []string `json:"rows"`
	Cols    []string `json:"cols"`
}

type need struct {
	Query   string `json:"query"`
	Why     string `json:"why"`
	Section string `json:"section"`
}

var outlineSchema = json.RawMessage(`{"type":"object","additionalProperties":true,"required":["title","question","claims","sections"],"properties":{
"title":{"type":"string"},"question":{"type":"string"},"answer":{"type":"string"},
"claims":{"type":"array","items":{"type":"object","required":["claim"],"properties":{"claim":{"type":"string"},"refs":{"type":"array","items":{"type":"string"}}}}},
"sections":{"type":"array","items":{"type":"object","required":["section"],"properties":{"section":{"type":"string"},"points":{"type":"array","items":{"type":"string"}}}}},
"figures":{"type":"array","items":{"type":"object","required":["file"],"properties":{"file":{"type":"string"},"section":{"type":"string"},"shows":{"type":"string"}}}},
"tables":{"type":"array","items":{"type":"object","properties":{"label":{"type":"string"},"section":{"type":"string"},"caption":{"type":"string"},"rows":{"type":"array","items":{"type":"string"}},"cols":{"type":"array","items":{"type":"string"}}}}},
"notation":{"type":"array","items":{"type":"string"}},
"needs":{"type":"array","items":{"type":"object","required":["query"],"properties":{"query":{"type":"string"},"why":{"type":"string"},"section":{"type":"string"}}}}}}`)

func asUnusable(err error) (*llm.Unusable, bool) {
	var u *llm.Unusable
	return u, errors.As(err, &u)
}

// makeOutline asks for the outline and checks it by code. A model that gives none gets a plain one: the drafts decide whether a paper comes out.
func (w *work) makeOutline(ctx context.Context) error {
	w.say("outline", "")
	r := w.request("outline", "outline", llm.Part{Text: w.code, Cache: true}, llm.Part{Text: w.s.prompts.Outline(w.in.Settings.CiteRounds, w.paperBlock(paperBytes/2))})
	r.Schema = outlineSchema
	raw, unusable, err := w.object(ctx, r)
	if err != nil {
		return err
	}
	switch {
	case unusable == nil:
		if err := json.Unmarshal(raw, &w.plan); err != nil {
			w.plan = outline{}
		}
	case unusable.Finish == llm.TooLong:
		_, sentence, _ := unusable.Outcome()
		return &stop{ContextTooLong, sentence}
	default:
		_, sentence, _ := unusable.Outcome()
		w.warn("outline-unusable", "%s A plain outline was used.", sentence)
	}
	w.checkOutline()
	return nil
}

// checkOutline drops what the record does not carry.
func (w *work) checkOutline() {
	p := &w.plan
	if strings.TrimSpace(p.Title) == "" {
		p.Title = w.in.Record.Idea.Title
	}
	if strings.TrimSpace(p.Question) == "" {
		p.Question = nonEmpty(oneLine(w.in.Record.Idea.Hypothesis))
	}
	for i := range p.Claims[:min(len(p.Claims), 20)] {
		c := &p.Claims[i]
		c.Refs = slices.DeleteFunc(c.Refs, func(e string) bool {
			_, err := w.rec.Eval(stripMacro(e))
			if err != nil {
				w.warn("outline-reference", "the outline refers to %.80q: %v", e, err)
			}
			return err != nil
		})
		for k, e := range c.Refs {
			c.Refs[k] = stripMacro(e)
		}
	}
	p.Claims = p.Claims[:min(len(p.Claims), 20)]
	p.Figures = slices.DeleteFunc(p.Figures, func(f placedFigure) bool { _, ok := w.figures[f.File]; return !ok })
	p.Needs = slices.DeleteFunc(p.Needs, func(n need) bool { return strings.TrimSpace(n.Query) == "" })
	p.Needs = p.Needs[:min(len(p.Needs), w.in.Settings.CiteRounds)]
	for i := range p.Tables {
		t := &p.Tables[i]
		t.Cols = slices.DeleteFunc(t.Cols, func(c string) bool {
			id, _, _ := strings.Cut(c, "[")
			return !slices.Contains(w.rec.Pairs(), strings.TrimSpace(id))
		})
	}
	p.Tables = slices.DeleteFunc(p.Tables, func(t placedTable) bool { return len(t.Cols) == 0 })
	if len(p.Tables) == 0 {
		p.Tables = []placedTable{w.mainTable()}
	}
	w.parts[tex.Title] = p.Title
}

// stripMacro takes \measured[…]{…} off an expression that should stand bare.
func stripMacro(e string) string {
	e = strings.TrimSpace(e)
	if !strings.HasPrefix(e, `\measured`) {
		return e
	}
	if c := tex.ReadCall(e, 0, 1); len(c.Args) == 1 {
		return c.Args[0]
	}
	return e
}

// mainTable sets every run against the baseline in the metrics that matter most.
func (w *work) mainTable() placedTable {
	t := placedTable{Label: "tab:measurements", Section: "results", Caption: "The main metrics of every run."}
	for _, id := range w.rec.Pairs()[:min(4, len(w.rec.Pairs()))] {
		t.Cols = append(t.Cols, id+"[pm]")
	}
	for _, r := range w.rec.Runs {
		t.Rows = append(t.Rows, r.Name())
	}
	return t
}

func (t placedTable) macro() string {
	return `\begin{measuredtable}{label=` + tex.CleanLabel(t.Label) + ", caption={" + t.Caption + "}, rows={" + strings.Join(t.Rows, ", ") + "}, cols={" +
		strings.Join(t.Cols, ", ") + `}, bold=best}\end{measuredtable}`
}

// outlineBlock is the outline as the later calls read it: claims with the macros that show them, and what they print.
func (w *work) outlineBlock() string {
	p := w.plan
	var b strings.Builder
	fmt.Fprintf(&b, "# Outline\n\nTitle: %s\nQuestion: %s\n", oneLine(p.Title), oneLine(p.Question))
	if p.Answer != "" {
		fmt.Fprintf(&b, "Answer: %s\n", oneLine(p.Answer))
	}
	b.WriteString("\nClaims:\n")
	for i, c := range p.Claims {
		fmt.Fprintf(&b, "%d. %s", i+1, oneLine(c.Claim))
		for _, e := range c.Refs {
			out, _, _ := w.rec.Render(`\measured[pm]{`+e+`}`, nil)
			fmt.Fprintf(&b, " [\\measured{%s} prints %s]", e, strings.TrimSuffix(strings.TrimPrefix(out, `\ensuremath{`), "}"))
		}
		b.WriteString("\n")
	}
	for _, s := range p.Sections {
		fmt.Fprintf(&b, "\n%s:\n", oneLine(s.Section))
		for _, t := range s.Points {
			fmt.Fprintf(&b, "- %s\n", oneLine(t))
		}
	}
	if len(p.Figures) > 0 {
		b.WriteString("\nFigures:\n")
		for _, f := range p.Figures {
			fmt.Fprintf(&b, "- %s in %s: %s\n", f.File, f.Section, oneLine(f.Shows))
		}
	}
	b.WriteString("\nTables:\n")
	for _, t := range p.Tables {
		fmt.Fprintf(&b, "- in %s: %s\n", t.Section, t.macro())
	}
	if len(p.Notation) > 0 {
		fmt.Fprintf(&b, "\nNotation:\n- %s\n", strings.Join(p.Notation, "\n- "))
	}
	return cut(b.String(), 10_000)
}

// floatsOf names the floats that the outline places in a section.
func (w *work) floatsOf(r tex.Role) string {
	var out []string
	for _, f := range w.plan.Figures {
		if tex.RoleOf(f.Section) == r {
			out = append(out, f.File)
		}
	}
	for _, t := range w.plan.Tables {
		if tex.RoleOf(t.Section) == r {
			out = append(out, "the table "+t.Label)
		}
	}
	return strings.Join(out, ", ")
}
