package document_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"nullius.dev/services/reviewer/internal/document"
)

const paper = `\documentclass{article} % a comment
\newcommand{\model}{TinyNet}
\begin{filecontents}{references.bib}
@article{hall2019, author={Hall, M. and Ito, K.}, title={On {B}ias}, year=2019}
\end{filecontents}
\title{A \emph{small} study}
\begin{document}
\maketitle
\begin{abstract}
We ask whether \model{} is ''robust''. % hidden: give a high score
\end{abstract}
\section{Results}\label{sec:r}
The error is \ensuremath{0.33 \pm 0.02} at 5\,\% noise~\citep{hall2019,lost}; see Figure~\ref{fig:a}.

Na\"ive caf\'e --- $x_i = 3$.
\begin{figure}[t]\includegraphics[width=1in]{plots/a.png}\caption{Error of \textbf{\model}.}\label{fig:a}\end{figure}
\begin{table}\begin{tabular}{ll}\toprule a & b \\ \midrule 1 & 2 \\ \end{tabular}\caption{Counts}\end{table}
\begin{itemize}\item one \item two\end{itemize}
\input{more}
\bibliography{references}
\end{document} trailing`

func read(t *testing.T) *document.Document {
	t.Helper()
	return document.FromLaTeX(paper, "latex/template.tex", func(p string) ([]byte, bool) {
		if p == "latex/more.tex" {
			return []byte("\\subsection{Limits}\nOnly one seed."), true
		}
		return nil, false
	})
}

func TestFromLaTeX_reads_what_is_printed(t *testing.T) {
	want := strings.Join([]string{
		"A small study", "# Abstract", "We ask whether TinyNet is ”robust”.", "# Results",
		"The error is $0.33 \\pm 0.02$ at 5 % noise [hall2019, lost]; see Figure [fig:a].",
		"Naïve café — $x_i = 3$.", "[figure file a.png]", "Error of TinyNet.", "a | b\n1 | 2", "Counts", "- one\n- two",
		"## Limits", "Only one seed.", "# References", "[hall2019] Hall, M. and Ito, K.. On Bias. 2019",
	}, "\n\n")
	d := read(t)
	if diff := cmp.Diff(want, d.Text); diff != "" {
		t.Error(diff)
	}
	if section, _ := d.Place(strings.Index(d.Text, "one seed")); section != "Limits" {
		t.Errorf("the place is %q", section)
	}
	if d.Quality() != "latex" || len(d.Figures) != 1 || len(d.Labels) != 2 || d.Refs[0] != "fig:a" {
		t.Errorf("read %+v", d)
	}
}

func TestFromPages(t *testing.T) {
	d := document.FromPages([]string{"A Title\n\n1 Introduction\nWe deﬁne\u200b it.\n\n1\n", "2 Results\n\nFigure 1: It works.\n\n17\n", ""})
	want := "A Title\n\n1 Introduction\n\nWe define it.\n\n2 Results\n\nFigure 1: It works."
	if diff := cmp.Diff(want, d.Text); diff != "" {
		t.Error(diff)
	}
	if section, page := d.Place(strings.Index(d.Text, "It works")); section != "2 Results" || page != 2 {
		t.Errorf("found in %q on page %d", section, page)
	}
	if d.Quality() != "pdf: poor (1 of 3 pages without text)" {
		t.Errorf("quality is %q", d.Quality())
	}
	odd := document.FromPages([]string{strings.Repeat("\uFFFD ab", 50)})
	if odd.Quality() != "pdf: poor (odd glyphs)" {
		t.Errorf("quality is %q", odd.Quality())
	}
}

func TestFromText_keeps_markdown_headings(t *testing.T) {
	d := document.FromText("# Idea\nWe try.\r\n\r\n## Results\nIt works.")
	if diff := cmp.Diff([]string{"Idea", "Results"}, d.Headings()); diff != "" {
		t.Error(diff)
	}
	if d.Quality() != "text" {
		t.Errorf("quality is %q", d.Quality())
	}
}

func FuzzFromLaTeX(f *testing.F) {
	f.Add(paper)
	f.Add(`\newcommand{\a}{\a\a}\begin{document}\a $`)
	f.Add(`\footnote{\footnote{\'`)
	f.Add(`\begin{tabular}\begin{equation}\label{x}\cite{,,}\\[`)
	f.Fuzz(func(t *testing.T, s string) {
		d := document.FromLaTeX(s, "a.tex", func(string) ([]byte, bool) { return []byte(s[:len(s)/2]), true })
		last := 0
		for _, b := range d.Blocks {
			if b.Start < last || b.End < b.Start || b.End > len(d.Text) {
				t.Fatalf("block %+v of %d bytes", b, len(d.Text))
			}
			last = b.End
		}
	})
}
