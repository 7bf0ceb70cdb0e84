package writer_test

import (
	"fmt"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

const prose = `We compare the runs of the study with one another and describe what each of them shows about the peak of the error. The baseline has the highest error at the threshold, while a small penalty lowers it, and the other changes help in ways that we describe below in detail for the reader of this text.`

// TestService_WritePaper_foreignModels: whatever a model replies, the call ends with a paper or a typed outcome.
func TestService_WritePaper_foreignModels(t *testing.T) {
	everything := func(text string) chatFunc {
		return func(llm.Request) (llm.Reply, error) { return llm.Reply{Text: text}, nil }
	}
	whole := strings.NewReplacer("INTRO HERE", prose, "RELATED WORK HERE", prose, "BACKGROUND HERE", prose, "METHOD HERE", prose, "EXPERIMENTAL SETUP HERE", prose,
		"RESULTS HERE", prose+" The error fell by 0.42 to 31\\%.", "CONCLUSIONS HERE", prose, "ABSTRACT HERE", prose, "TITLE HERE", "A Paper").Replace(template(t))
	for _, tc := range []struct {
		name  string
		model chatFunc
		want  writerv1.Paper_Outcome
		check func(t *testing.T, p *writerv1.Paper, f fixture)
	}{
		{"empty replies end in LLM_OUTPUT_INVALID", everything(""), writerv1.Paper_LLM_OUTPUT_INVALID, nil},
		{"talk ends in LLM_OUTPUT_INVALID", everything("Sure! I would love to help you with that paper. What should it say?"), writerv1.Paper_LLM_OUTPUT_INVALID, nil},
		{"refusals end in LLM_REFUSED", everything("I'm sorry, but I cannot help with writing this."), writerv1.Paper_LLM_REFUSED, nil},
		{"refusals by finish end in LLM_REFUSED", func(llm.Request) (llm.Reply, error) { return llm.Reply{Finish: llm.Refused}, nil }, writerv1.Paper_LLM_REFUSED, nil},
		{"a window that is too small ends in CONTEXT_TOO_LONG", func(llm.Request) (llm.Reply, error) { return llm.Reply{Finish: llm.TooLong}, nil }, writerv1.Paper_CONTEXT_TOO_LONG, nil},
		{"plain prose becomes a paper with the table and figures put in by code", everything(prose + "\n\n" + strings.ReplaceAll(prose, "We", "Again we")), writerv1.Paper_COMPILED, func(t *testing.T, p *writerv1.Paper, f fixture) {
			s := file(t, f, p.GetSnapshot(), "latex/source.tex")
			if !strings.Contains(s, "measuredtable") || !strings.Contains(s, "test_error.png") {
				t.Error("table or figure missing")
			}
		}},
		{"whole documents give their sections, typed numbers are marked", everything("Here is the paper:\n```latex\n" + whole + "\n```\n"), writerv1.Paper_COMPILED, func(t *testing.T, p *writerv1.Paper, f fixture) {
			if p.GetNumbersUnexplained() < 2 || !strings.Contains(file(t, f, p.GetSnapshot(), "latex/template.tex"), `0.42\nulliusmark{}`) {
				t.Errorf("unexplained %d", p.GetNumbersUnexplained())
			}
			if v := file(t, f, p.GetSnapshot(), "verification.json"); !strings.Contains(v, `"0.42"`) {
				t.Error("verification.json does not list the typed number")
			}
			if strings.Count(file(t, f, p.GetSnapshot(), "latex/template.tex"), `\documentclass`) != 1 {
				t.Error("a second document class")
			}
		}},
		{"Markdown becomes LaTeX", everything("# Heading\n\n**Bold** claim about `the_code` & 50% more #hash:\n\n- first item of the list\n- second item of the list\n\n" + prose), writerv1.Paper_COMPILED, nil},
		{"hostile LaTeX does no harm", everything(prose + "\n\n\\input{/etc/passwd} \\write18{id} \\def\\x{\\x\\x}\\x \\catcode`\\%=12\n\n\\begin{foo}unknown \\bar{text} $x^2^3 & \\left( y$ } { \\begin{itemize} no item \\end{document}\n\n\\loop\\iftrue\\repeat " + prose + " \\ref{nothing} \\cite{nobody} \\measured{run_9/x/y} \\includegraphics{no.png}"), writerv1.Paper_COMPILED, func(t *testing.T, p *writerv1.Paper, f fixture) {
			if s := file(t, f, p.GetSnapshot(), "latex/template.tex"); strings.Contains(s, "/etc/passwd") || strings.Contains(s, "write18") || strings.Contains(s, "nobody") {
				t.Error("hostile text survived")
			}
		}},
		{"replies that are always cut are continued once", func(r llm.Request) (llm.Reply, error) {
			return llm.Reply{Text: prose + "\n\n\\begin{equation} a = \\frac{b", Finish: llm.Length}, nil
		}, writerv1.Paper_COMPILED, nil},
		{"endless repetition is cut", everything(strings.Repeat(prose+"\n\n", 400)), writerv1.Paper_COMPILED, nil},
		{"other scripts and emoji are mended", everything(prose + " Größe naïve λ ≤ µ ± × → “quoted” 🚀 中文 ½ x² ١٢ \u202e\u200b\x07 end."), writerv1.Paper_COMPILED, nil},
		{"a table by hand with odd columns compiles", everything(prose + "\n\n\\begin{table}\\begin{tabular}{ll} a & b & c & d \\hline 1 & 2_3 \\\\ \\midrule x^y \\end{tabular}\\end{table}\n\n" + prose), writerv1.Paper_COMPILED, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, nil)
			p, err := write(t, dial(t, f, tc.model, library{}, box(t)), f, &writerv1.Settings{MendRounds: 1})
			if err != nil {
				t.Fatal(err)
			}
			if p.GetOutcome() != tc.want {
				if p.GetOutcome() > writerv1.Paper_COMPILED && p.GetOutcome() < writerv1.Paper_NO_SUCCESSFUL_RUN {
					keep(t, "bad.tex", file(t, f, p.GetSnapshot(), "latex/template.tex"))
					keep(t, "bad.log", file(t, f, p.GetSnapshot(), "latex/template.log"))
				}
				t.Fatalf("%s: %s\n%s", p.GetOutcome(), p.GetReason(), findings(p, true))
			}
			for _, x := range p.GetFindings() {
				if x.GetMendedBy() == "" && (x.GetId() == "L01" || x.GetId() == "L02" || x.GetId() == "P04") {
					t.Errorf("TeX stumbled: %s %s line %d", x.GetId(), x.GetText(), x.GetLine())
					keep(t, "stumble.tex", file(t, f, p.GetSnapshot(), "latex/template.tex"))
				}
			}
			if tc.check != nil {
				tc.check(t, p, f)
			}
		})
	}
}

func TestService_WritePaper_typedFaults(t *testing.T) {
	budget := fault.New(fault.Exhausted, "BUDGET_EXCEEDED", "nothing is left")
	for _, tc := range []struct {
		name   string
		change func(r *writerv1.WritePaperRequest)
		model  chatFunc
		reason string
	}{
		{"a step without an idea", func(r *writerv1.WritePaperRequest) { r.Step = "x" }, nil, "FIELD_INVALID"},
		{"a snapshot that is no digest", func(r *writerv1.WritePaperRequest) { r.Snapshot = "abc" }, nil, "FIELD_INVALID"},
		{"an unknown snapshot", func(r *writerv1.WritePaperRequest) { r.Snapshot = "sha256:" + strings.Repeat("0", 64) }, nil, "BLOB_UNKNOWN"},
		{"no model", func(r *writerv1.WritePaperRequest) { r.Settings.Model = "" }, nil, "FIELD_INVALID"},
		{"a name that is a path", func(r *writerv1.WritePaperRequest) { r.Record.Idea.Name = "../x" }, nil, "FIELD_INVALID"},
		{"no budget", func(*writerv1.WritePaperRequest) {}, func(llm.Request) (llm.Reply, error) { return llm.Reply{}, budget }, "BUDGET_EXCEEDED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newFixture(t, nil)
			r := &writerv1.WritePaperRequest{Step: "s/i/writing/draft", Snapshot: string(g.snapshot), Record: g.record, Settings: &writerv1.Settings{Model: "m/x"}}
			tc.change(r)
			model := tc.model
			if model == nil {
				model = func(llm.Request) (llm.Reply, error) { return llm.Reply{}, fmt.Errorf("no call was expected") }
			}
			stream, err := dial(t, g, model, nil, nil).WritePaper(t.Context(), r)
			for err == nil {
				_, err = stream.Recv()
			}
			if got := fault.ReasonOf(fault.FromStatus(err)); got != tc.reason {
				t.Errorf("got %q (%v), want %q", got, err, tc.reason)
			}
		})
	}
}

func TestService_WritePaper_withoutRunsOrLaTeX(t *testing.T) {
	f := newFixture(t, nil)
	t.Run("without LaTeX the text is complete", func(t *testing.T) {
		p, err := write(t, dial(t, f, &book{replies: goodReplies()}, nil, nil), f, nil)
		if err != nil || p.GetOutcome() != writerv1.Paper_NOT_COMPILED {
			t.Fatalf("%v %s", err, p.GetOutcome())
		}
		if s := file(t, f, p.GetSnapshot(), "latex/template.tex"); !strings.Contains(s, `2.21 \pm 0.58`) {
			t.Error("no digits in template.tex")
		}
	})
	t.Run("with the baseline alone no call is made", func(t *testing.T) {
		for _, r := range f.record.Runs[1:] {
			r.Outcome = recordv1.Run_Outcome_FAILED
		}
		m := &book{}
		p, err := write(t, dial(t, f, m, nil, nil), f, nil)
		if err != nil || p.GetOutcome() != writerv1.Paper_NO_SUCCESSFUL_RUN || len(m.calls()) != 0 {
			t.Fatalf("%v %s %v", err, p.GetOutcome(), m.calls())
		}
	})
}
