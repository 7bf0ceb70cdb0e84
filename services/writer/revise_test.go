package writer_test

import (
	"strings"
	"testing"

	"nullius.dev/kit/store"
	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

func written(t *testing.T) (fixture, *writerv1.Paper) {
	t.Helper()
	f := newFixture(t, nil)
	p, err := write(t, dial(t, f, &book{replies: goodReplies()}, library{}, box(t)), f, nil)
	if err != nil || p.GetOutcome() != writerv1.Paper_COMPILED {
		t.Fatalf("%v %s", err, p.GetOutcome())
	}
	return f, p
}

func revise(t *testing.T, f fixture, snapshot string, m *book, review *writerv1.Criticism) *writerv1.Paper {
	t.Helper()
	stream, err := dial(t, f, m, library{}, box(t)).RevisePaper(t.Context(), &writerv1.RevisePaperRequest{Step: "study-1/idea-1/improvement/revise",
		Snapshot: snapshot, Record: f.record, Settings: &writerv1.Settings{Model: "openai/gpt-4o"}, Review: review, Round: 1})
	for err == nil {
		var r *writerv1.RevisePaperResponse
		if r, err = stream.Recv(); r.GetResult() != nil {
			return r.GetResult()
		}
	}
	t.Fatal(err)
	return nil
}

func TestService_RevisePaper(t *testing.T) {
	f, p := written(t)
	review := &writerv1.Criticism{Summary: "Sound but narrow.", Comments: []*writerv1.Comment{
		{Claim: "The role of the failed run is unclear.", Severity: "major", Quotes: []string{"The run with the mean of draws failed in all its tries and shows nothing."}},
		{Claim: "A larger study is needed.", Severity: "minor"}}, Questions: []string{"Why this penalty?"}}
	m := &book{replies: map[string]string{
		"map": `{"rows":[{"comment":1,"action":"clarify","section":"results","paragraphs":[7],"plan":"Say what failed."},
{"comment":2,"action":"needs_experiment","section":"conclusion","paragraphs":[1],"plan":"State the limit."},
{"comment":3,"action":"disagree","section":"method","plan":"The record gives the reason."}]}`,
		"results/revise":    "%%% results.7\nThe run with the mean of draws failed in all of its tries with an error of array shapes, so nothing is concluded about averaging; it is listed in Table~\\ref{tab:main} but not drawn in Figure~\\ref{fig:threshold}.",
		"conclusion/revise": "%%% conclusion.1+\nThe evidence covers one sample size only; whether the finding holds for larger ones was not tested.",
	}}
	got := revise(t, f, p.GetSnapshot(), m, review)
	if got.GetOutcome() != writerv1.Paper_COMPILED || got.GetPdfPath() != "ridge_peak_improved.pdf" || got.GetVerificationPath() != "verification_improved.json" {
		t.Fatalf("%s %s\n%s", got.GetOutcome(), got.GetPdfPath(), findings(got, false))
	}
	if calls := strings.Join(m.calls(), " "); calls != "map results/revise conclusion/revise paper/refine" && calls != "map conclusion/revise results/revise paper/refine" {
		t.Errorf("calls: %s", calls)
	}
	response := file(t, f, got.GetSnapshot(), "response.md")
	keep(t, "response.md", response)
	for _, want := range []string{"clarify**, results. Say what failed. Changed in this section", "needs experiment**, conclusion", "disagree**, method", "results.7"} {
		if !strings.Contains(response, want) {
			t.Errorf("response.md lacks %q:\n%s", want, response)
		}
	}
	if d := file(t, f, got.GetSnapshot(), "latex/changes.diff"); !strings.Contains(d, "+The evidence covers one sample size") {
		t.Errorf("changes.diff:\n%s", d)
	}
	if file(t, f, got.GetSnapshot(), "ridge_peak.pdf") == file(t, f, got.GetSnapshot(), "ridge_peak_improved.pdf") {
		t.Error("both papers are the same")
	}
	keep(t, "improved.tex", file(t, f, got.GetSnapshot(), "latex/template.tex"))
	if open := findings(got, true); open != "" {
		t.Errorf("open findings:\n%s", open)
	}
}

func TestService_RevisePaper_uselessModel(t *testing.T) {
	f, p := written(t)
	got := revise(t, f, p.GetSnapshot(), &book{}, &writerv1.Criticism{Comments: []*writerv1.Comment{{Claim: "Everything is wrong."}}})
	if got.GetOutcome() != writerv1.Paper_COMPILED {
		t.Fatalf("%s", got.GetOutcome())
	}
	if r := file(t, f, got.GetSnapshot(), "response.md"); !strings.Contains(r, "The section was not changed") {
		t.Error(r)
	}
}

func compilePaper(t *testing.T, f fixture, snapshot string) *writerv1.Paper {
	t.Helper()
	stream, err := dial(t, f, &book{}, nil, box(t)).CompilePaper(t.Context(), &writerv1.CompilePaperRequest{Step: "s/i/writing/compile", Snapshot: snapshot, Record: f.record})
	for err == nil {
		var r *writerv1.CompilePaperResponse
		if r, err = stream.Recv(); r.GetResult() != nil {
			return r.GetResult()
		}
	}
	t.Fatal(err)
	return nil
}

func TestService_CompilePaper(t *testing.T) {
	f, p := written(t)
	t.Run("what was written compiles to the same bytes, with nothing unexplained", func(t *testing.T) {
		got := compilePaper(t, f, p.GetSnapshot())
		if got.GetOutcome() != writerv1.Paper_COMPILED || got.GetNumbersUnexplained() != 0 || got.GetPdfDigest() != p.GetPdfDigest() {
			t.Errorf("%s, unexplained %d, %s\n%s", got.GetOutcome(), got.GetNumbersUnexplained(), got.GetPdfDigest(), findings(got, true))
		}
	})
	edit := func(old, new string) string {
		s := strings.Replace(file(t, f, p.GetSnapshot(), "latex/template.tex"), old, new, 1)
		d, err := store.Edit(t.Context(), f.blobs, store.Digest(p.GetSnapshot()), map[string][]byte{"latex/template.tex": []byte(s)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(d)
	}
	t.Run("a number changed by hand is N01", func(t *testing.T) {
		got := compilePaper(t, f, edit(`2.21 \pm 0.58`, `1.21 \pm 0.58`))
		if got.GetNumbersUnexplained() != 1 || !strings.Contains(findings(got, true), `N01 BLOCKING results the typed number "1.21"`) {
			t.Errorf("unexplained %d\n%s", got.GetNumbersUnexplained(), findings(got, true))
		}
	})
	t.Run("LaTeX that ends nowhere is LATEX_UNCOMPILABLE", func(t *testing.T) {
		got := compilePaper(t, f, edit(`\begin{document}`, `\newcommand{\x}{\x\x}\begin{document}\x`))
		if got.GetOutcome() != writerv1.Paper_LATEX_UNCOMPILABLE {
			t.Errorf("%s", got.GetOutcome())
		}
	})
}

// TestService_WritePaper_templates: shapes of templates that are not ours.
func TestService_WritePaper_templates(t *testing.T) {
	plain := goodReplies()
	for _, tc := range []struct {
		name, template string
		outcome        writerv1.Paper_Outcome
	}{
		{"no template at all", "", writerv1.Paper_COMPILED},
		{"no document", "just words", writerv1.Paper_COMPILED},
		{"a class that does not exist", "\\documentclass{nosuchclass}\n\\begin{document}\n\\section{Results}\nRESULTS HERE\n\\end{document}\n", writerv1.Paper_LATEX_UNCOMPILABLE},
		{"a style that does not exist is left out", "\\documentclass{article}\n\\usepackage{nosuchstyle,graphicx}\n\\title{TITLE HERE}\n\\begin{document}\n\\maketitle\n\\section{Results}\nRESULTS HERE\n\\end{document}\n", writerv1.Paper_COMPILED},
		{"a preamble that is broken", "\\documentclass{article}\n\\newcommand{\\broken}[1]{\n\\begin{document}\n\\section{Results}\nRESULTS HERE\n\\end{document}\n", writerv1.Paper_LATEX_UNCOMPILABLE},
		{"another system's shape", aiScientistShape, writerv1.Paper_COMPILED},
		{"no sections, Latin-1", "\\documentclass{article}\n\\usepackage[latin1]{inputenc}\n% \xe9\n\\begin{document}\nHello\n\\end{document}\n", writerv1.Paper_COMPILED},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, func(files map[string][]byte) {
				if files["latex/template.tex"] = []byte(tc.template); tc.template == "" {
					delete(files, "latex/template.tex")
				}
			})
			p, err := write(t, dial(t, f, &book{replies: plain}, library{}, box(t)), f, &writerv1.Settings{MendRounds: 1})
			if err != nil {
				t.Fatal(err)
			}
			if p.GetOutcome() != tc.outcome || p.GetPdfPath() == "" {
				keep(t, "shape.tex", file(t, f, p.GetSnapshot(), "latex/template.tex"))
				keep(t, "shape.log", file(t, f, p.GetSnapshot(), "latex/template.log"))
				t.Fatalf("%s %s, PDF %q\n%s", p.GetOutcome(), p.GetReason(), p.GetPdfPath(), findings(p, true))
			}
			s := file(t, f, p.GetSnapshot(), "latex/template.tex")
			keep(t, "shape-"+strings.ReplaceAll(tc.name, " ", "-")+".tex", s)
			if strings.Contains(s, "AI Scientist") || strings.Contains(s, " HERE") {
				t.Error("placeholders or another system's line stayed")
			}
			if all := findings(p, false); strings.Contains(tc.template, "{nosuchclass}") && !strings.Contains(all, "nosuchclass") {
				t.Errorf("no finding says what LaTeX stopped at:\n%s", all)
			}
		})
	}
}

const aiScientistShape = `\documentclass{article} % For LaTeX2e
\usepackage{times}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{hyperref}
\usepackage{url}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{amsmath}
\usepackage{natbib}
\usepackage{cleveref}
\usepackage{algorithm}
\usepackage{algorithmicx}
\usepackage{algpseudocode}
\DeclareMathOperator*{\argmin}{arg\,min}
\graphicspath{{../}}
\begin{filecontents}{references.bib}
@article{lu2024aiscientist,
  title={The {AI} Scientist},
  author={Lu, Chris},
  year={2024}
}
@book{broken, title={Never closes
\end{filecontents}

\title{TITLE HERE}
\author{LLM\\
Department of Computer Science\\
University of LLMs\\
}
\newcommand{\fix}{\marginpar{FIX}}

\begin{document}
\maketitle
\begin{abstract}
ABSTRACT HERE
\end{abstract}

\section{Introduction}
\label{sec:intro}
INTRO HERE

\section{Related Work}
\label{sec:related}
RELATED WORK HERE

\section{Background}
\label{sec:background}
BACKGROUND HERE

\section{Method}
\label{sec:method}
METHOD HERE

\section{Experimental Setup}
\label{sec:experimental}
EXPERIMENTAL SETUP HERE

\section{Results}
\label{sec:results}
RESULTS HERE

% EXAMPLE FIGURE: REPLACE AND ADD YOUR OWN FIGURES / CAPTIONS
\begin{figure}[h]
    \centering
    \includegraphics[width=0.9\textwidth]{images/example.png}
    \caption{PLEASE FILL IN CAPTION HERE}
    \label{fig:first_figure}
\end{figure}

\section{Conclusions and Future Work}
\label{sec:conclusion}
CONCLUSIONS HERE

This work was generated by The AI Scientist \citep{lu2024aiscientist}.

\bibliographystyle{plainnat}
\bibliography{references}

\end{document}
`
