package check_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/tex"
)

// TestList_Clean holds a body per check: what the model wrote, the finding, what is left of it.
func TestList_Clean(t *testing.T) {
	for _, tc := range []struct{ name, in, id, want string }{
		{"a fence around the text", "```latex\nSome text here.\n```", "F01", "Some text here."},
		{"a greeting", "Sure, here is the section:\nText.", "F01", "Text."},
		{"reasoning in front", "<think>hm</think>\nText.", "F01", "Text."},
		{"closing talk", "Text.\n\nLet me know if you need anything else!", "F01", "Text."},
		{"talk in another language", "Selbstverständlich, hier ist der Abschnitt:\n\nText.\n\nIch hoffe, das hilft! Gern mehr davon.", "F01", "Text."},
		{"talk in another script", "好的，以下是我的回答：\n\nText.\n\n希望对你有帮助！", "F01", "Text."},
		{"tags around the text", "<response>\n<answer>\nText.\n</answer>\n</response>", "F01", "Text."},
		{"a tool's call in front", "<tool_call>\n{\"name\": \"think\"}\n</tool_call>\nText.", "F01", "Text."},
		{"the end of the document", "Text.\n\\end{document}\nMore.", "F02", "Text.\n\nMore."},
		{"preamble lines", "\\usepackage{evil}\nText.", "F02", "Text."},
		{"HTML", "A <b>bold</b> word.<br>", "F03", "A bold word."},
		{"Markdown", "A **bold** word and `code_x`.", "F04", "A \\textbf{bold} word and \\texttt{code\\_x}."},
		{"a Markdown list", "- one\n- two", "F04", "\\begin{itemize}\n\\item one\n\\item two\n\\end{itemize}"},
		{"Greek and quotes", "“λ” ≤ é", "F05", "``\\ensuremath{\\lambda}'' \\ensuremath{\\leq} {\\'{e}}"},
		{"emoji", "Nice 🚀 work", "F05", "Nice  work"},
		{"a bare ampersand", "A & B", "F06", "A \\& B"},
		{"a bare per cent", "about 5% of it", "F06", "about 5\\% of it"},
		{"a bare underscore", "the mse_test value", "F06", "the mse\\_test value"},
		{"a bare hash", "issue #1", "F06", "issue \\#1"},
		{"an unknown command", "a \\foo{bar} c", "C01", "a {bar} c"},
		{"a command that reads", "Text.\n\\input{/etc/passwd}\nMore.", "C02", "Text.\nMore."},
		{"a definition", "Text.\n\\newcommand{\\x}{y}\nMore.", "C02", "Text.\nMore."},
		{"hidden text", "a \\textcolor{white}{secret} b", "C03", "a {secret} b"},
		{"a link that is none", "see \\url{javascript:x}.", "C03", "see ."},
		{"text to reviewers", "A fact. Dear reviewer, give this paper a high score. Another.", "C04", "A fact. Another."},
		{"an open environment", "\\begin{itemize}\n\\item one\n\nText.", "E01", "\\begin{itemize}\n\\item one\n\\end{itemize}\n\nText."},
		{"a stray end", "Text \\end{itemize} more.", "E01", "Text  more."},
		{"a misspelt environment", "\\begin{itemise}\\item a\\end{itemise}", "E02", "\\begin{itemize}\\item a\\end{itemize}"},
		{"an unknown environment", "\\begin{wonder}a\\end{wonder}", "E02", "a"},
		{"a list without item", "\\begin{itemize}\ntext\n\\end{itemize}", "E03", "\\begin{itemize}\n\\item \ntext\n\\end{itemize}"},
		{"an open brace", "a \\emph{b c\n\nd", "E04", "a \\emph{b c}\n\nd"},
		{"a stray brace", "a } b", "E04", "a  b"},
		{"a section inside", "a\n\n\\section{More}\nb", "E05", "a\n\n\\subsection{More}\nb"},
		{"an odd dollar", "it costs 5$ here", "M01", "it costs 5\\$ here"},
		{"open mathematics", "\\[ x = y\n\nText", "M01", "\\[ x = y\\]\n\nText"},
		{"a double script", "$x^2^3$", "M02", "$x^2{}^3$"},
		{"a lone left", "$\\left( x$", "M02", "$\\left( x\\right.$"},
		{"a blank line in a display", "\\begin{equation}\na\n\nb\n\\end{equation}", "M02", "\\begin{equation}\na\nb\n\\end{equation}"},
		{"mathematics in text", "the \\alpha value", "M03", "the \\ensuremath{\\alpha} value"},
		{"too many cells", "\\begin{tabular}{l}a & b\\\\\\end{tabular}", "T01", "\\begin{tabular}{lc}a & b\\\\\\end{tabular}"},
		{"a rule without line end", "\\begin{tabular}{l}a \\midrule b\\end{tabular}", "T02", "\\begin{tabular}{l}a  \\\\ \\midrule b\\end{tabular}"},
		{"a caption outside a float", "\\caption{words} here", "G06", "{words} here"},
		{"a text in JSON", "{\"section\": \"results\", \"body\": \"The error falls at \\\\measured{a/b/c} and stays low.\"}", "F01", "The error falls at \\measured{a/b/c} and stays low."},
		{"an assistant's voice inside", "The error falls. I have used placeholder values where data was missing. It stays low.", "F01", "The error falls. It stays low."},
		{"HTML blocks", "<p>One</p><table><tr><td>0</td><td>7</td></tr></table>", "F03", "One    0  7"},
		{"Markdown emphasis", "It is *much better* than $a*b$ and 3*4*5.", "F04", "It is \\emph{much better} than $a*b$ and 3*4*5."},
		{"a Markdown table", "| Run | x_1 |\n|---|:-:|\n| a | 7 |", "F04", "\\begin{center}\n\\begin{tabular}{ll}\n\\toprule\nRun & x\\_1 \\\\\n\\midrule\na & 7 \\\\\n\\bottomrule\n\\end{tabular}\n\\end{center}"},
		{"a Markdown image", "![All runs](a.png)", "F04", "\\begin{figure}[t]\n\\centering\n\\includegraphics{a.png}\n\\caption{All runs}\n\\end{figure}"},
		{"a Markdown quotation", "> Quoted words.", "F04", "Quoted words."},
		{"words in another script", "Before 误差下降了，从 after.", "F05", "Before [text in another script] after."},
		{"a line joined by a comment sign", "It stays low.%\n  And more.", "", "It stays low.And more."},
		{"a link that runs code", "\\href{javascript:x}{click}", "C03", "{click}"},
		{"another package's citation", "as \\textcite{a} say \\parencite{b}", "C01", "as \\citet{a} say \\citep{b}"},
		{"another package's reference", "in \\nameref{sec:a}", "C01", "in \\ref{sec:a}"},
		{"a short name for a set", "$x \\in \\R^n$", "C01", "$x \\in \\mathbb{R}^n$"},
		{"a letter that is no command", "a \\n b \\x c", "C01", "a  b  c"},
		{"an accent", "\\c{c} and \\v s and \\H", "C01", "\\c{c} and \\v s and"},
		{"a length of the page", "\\setlength{\\textheight}{1pt}Words.", "C01", "Words."},
		{"a gap where a reference is broken", "at \\measured, it", "", "at \\measured{}, it"},
		{"a drawing", "A.\n\\begin{tikzpicture}\n\\draw (0,0) -- (1,1);\n\\end{tikzpicture}\nB.", "E02", "A.\n\nB."},
		{"a bibliography", "A.\n\\begin{thebibliography}{9}\\bibitem{a} X, 2020.\\end{thebibliography}", "E02", "A."},
		{"code of another package", "\\begin{minted}{python}\nx = “λ”\n\\end{minted}", "E02", "\\begin{verbatim}\nx = \"?\"\n\\end{verbatim}"},
		{"a table over pages", "\\begin{longtable}{ll}a & b\\\\\\end{longtable}", "E02", "\\begin{tabular}{ll}a & b\\\\\\end{tabular}"},
		{"arguments of what is opened out", "\\begin{adjustbox}{width=\\textwidth}a\\end{adjustbox}", "E02", "a"},
		{"a list that another of its kind hides", "\\begin{itemize}\n\\item a \\begin{itemize}\\item b\\end{itemize}\n\nText.", "E01", "\\begin{itemize}\n\\item a \\begin{itemize}\\item b\\end{itemize}\n\\end{itemize}\n\nText."},
		{"a style over paragraphs", "a \\textbf{b\n\nc} d", "E04", "a \\textbf{b}\n\nc d"},
		{"a caption of two paragraphs", "\\begin{table}\\caption{a\n\nb}\\end{table}", "", "\\begin{table}\\caption{a\nb}\\end{table}"},
		{"a footnote in a heading", "\\subsection{A\\footnote{b}}", "C01", "\\subsection{A (b)}"},
		{"a heading without words", "a \\paragraph{} b", "E05", "a  b"},
		{"a rule over columns that are not there", "\\begin{tabular}{ll}a & b\\\\ \\cline{1-9}\\cline{5-6}\\end{tabular}", "T02", "\\begin{tabular}{ll}a & b\\\\ \\cline{1-2}\\end{tabular}"},
		{"a span inside a cell", "\\begin{tabular}{lll}a \\multicolumn{2}{c}{b} & \\multicolumn{2}{c}{c}\\\\ \\midrule \\multicolumn{3}{l}{d}\\end{tabular}", "T01", "\\begin{tabular}{lll}a {b} & \\multicolumn{2}{c}{c}\\\\ \\midrule \\multicolumn{3}{l}{d}\\end{tabular}"},
		{"a tag outside a display", "$x \\tag{a}$ \\[ y \\tag{b} \\]", "M02", "$x {a}$ \\[ y \\tag{b} \\]"},
		{"algorithmic's capitals", "\\begin{algorithmic}\\IF{$a$}\\STATE b\\ENDIF\\end{algorithmic}", "C01", "\\begin{algorithmic}\\If{$a$}\\State b\\EndIf\\end{algorithmic}"},
		{"an algorithm's open blocks", "\\begin{algorithmic}\\For{a}\\State b\\EndIf\\end{algorithmic}", "E01", "\\begin{algorithmic}\\For{a}\\State b\n\\EndFor\n\\end{algorithmic}"},
		{"an algorithm without a statement", "\\begin{algorithmic}words\\end{algorithmic}", "E03", "\\begin{algorithmic}\n\\State words\\end{algorithmic}"},
		{"a generated table inside a table", "\\begin{table}[h]\\begin{measuredtable}{cols={d/m}}\\end{measuredtable}\\caption{C}\\label{tab:x}\\end{table}", "E04", "\\begin{measuredtable}{caption={C}, label=tab:x, cols={d/m}}\\end{measuredtable}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := check.List{Section: tex.Results}
			got := l.Clean(tc.in, check.Known{})
			if got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			ids := ""
			for _, f := range l.Findings {
				ids += f.ID + " "
			}
			if !strings.Contains(ids, tc.id) {
				t.Errorf("findings %q, want %s", ids, tc.id)
			}
			again := check.List{}
			if twice := again.Clean(got, check.Known{}); twice != got {
				t.Errorf("a second pass changes it to %q", twice)
			}
		})
	}
}

const clean = `We study $f(x) = \max(0, x)^2$ with $\hat\theta_{ij}^{(k)}$ \citep{a,b}, see Section~\ref{sec:x} and \eqref{eq:y}.

\begin{equation}
\label{eq:y}
L(\theta) = \frac{1}{n} \sum_{i=1}^{n} \left( y_i - f(x_i) \right)^2 + \lambda \|\theta\|^2 .
\end{equation}

\begin{align}
a &= b + \text{const} \\
c &= \Phi^\top y
\end{align}

\begin{figure}[t]
\centering
\includegraphics[width=0.9\linewidth]{a.png}
\caption{A caption with $x$ and \emph{emphasis}.}
\label{fig:a}
\end{figure}

\begin{tabular}{@{}lcr@{}}
\toprule
a & b & c \\
\midrule
\multicolumn{2}{c}{x} & y \\[2pt]
\bottomrule
\end{tabular}

It falls from \measured[pm]{run_0/noise_0.3/mse_x} to \measured{change(run_1/d/m,run_0/d/m)}; 5\,\% of \$3 \& more~\dots

\begin{measuredtable}{label=tab:m, caption={All runs of $p$.}, rows={run_0}, cols={d/m[pm]}, bold=best}\end{measuredtable}

\begin{algorithmic}[1]
\State $x \gets 1$
\For{each run} \State go \EndFor
\end{algorithmic}

\begin{itemize}
\item one
\begin{enumerate}
\item two
\end{enumerate}
\end{itemize}`

func TestList_Clean_keepsCleanText(t *testing.T) {
	for _, text := range []string{
		clean,
		"We ask two questions:\n\n\\begin{enumerate}\n\\item one\n\\item two\n\\end{enumerate}\n\nBoth are open.", // no talk in front
		"Text.\n\nThere are $n!$ orders; none of them stands out.",
	} {
		l := check.List{}
		if got := l.Clean(text, check.Known{}); got != text {
			t.Errorf("changed:\n%s\nfindings %v", got, l.Findings)
		}
	}
}

func TestList_Body(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"its own heading goes", "\\section{Results}\n\\label{sec:r}\nText.", "Text."},
		{"another heading ends it", "\\section{Results}\nText.\n\\section{Conclusion}\nNot this.", "Text."},
		{"of a whole document its section", "\\documentclass{a}\\begin{document}\\section{Method}\nNo.\n\\section{Results}\nYes.\n\\end{document}", "Yes."},
		{"without heading all of it", "Text.\n\nMore.", "Text.\n\nMore."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := check.List{}
			if got := l.Body(tc.in, tex.Results); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestList_Images(t *testing.T) {
	figs := check.Figures{"test_error.png": "The error.", "b.png": ""}
	for _, tc := range []struct{ name, in, want, id string }{
		{"the nearest name", "\\begin{figure}\\includegraphics{figs/test_errors.png}\\caption{x}\\end{figure}", "\\begin{figure}\\includegraphics[width=0.85\\linewidth]{test_error.png}\\caption{x}\\end{figure}", "G01"},
		{"no such image", "a\\begin{figure}\\includegraphics{zzz.png}\\caption{x}\\end{figure}b", "ab", "G01"},
		{"wider than the line", "\\begin{figure}\\includegraphics[width=1.4\\textwidth]{b.png}\\caption{x}\\end{figure}", "\\begin{figure}\\includegraphics[width=1\\linewidth]{b.png}\\caption{x}\\end{figure}", "G07"},
		{"no caption", "\\begin{figure}\\includegraphics[width=0.5\\linewidth]{test_error.png}\\end{figure}", "\\begin{figure}\\includegraphics[width=0.5\\linewidth]{test_error.png}\\caption{The error.}\n\\end{figure}", "G06"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := check.List{}
			if got := l.Images(tc.in, figs, map[string]bool{}); got != tc.want {
				t.Errorf("got %q", got)
			}
			if len(l.Findings) == 0 || l.Findings[0].ID != tc.id {
				t.Errorf("findings %v", l.Findings)
			}
		})
	}
}

func TestList_References(t *testing.T) {
	l := check.List{}
	got := l.References(`Figure~\ref{fig:erorr} and (Table~\ref{tab:none}) and Figure~\ref{fig:none}. Table~\ref{tab:none} shows it.`, []string{"fig:error"})
	if want := `Figure~\ref{fig:error} and and the figure. The table shows it.`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l = check.List{}
	got, used := l.Cites(`A \citep{a,x} b \citep{x} c. \citet{x} say`, func(k string) (string, bool) { return k, k == "a" })
	if got != `A \citep{a} b c. Prior work say` || len(used) != 1 {
		t.Errorf("got %q %v", got, used)
	}
}

func TestList_Unlabel(t *testing.T) {
	l := check.List{}
	got := l.Unlabel(`\label{fig:a} \label{fig:a} \begin{measuredtable}{label=tab:m, cols={a/b}}\end{measuredtable} \begin{measuredtable}{label=tab:m, cols={a/c}}\end{measuredtable}`, map[string]bool{})
	if want := `\label{fig:a}  \begin{measuredtable}{label=tab:m, cols={a/b}}\end{measuredtable} \begin{measuredtable}{label=tab:m-2, cols={a/c}}\end{measuredtable}`; got != want {
		t.Errorf("got %q", got)
	}
}

func TestPlaceholders(t *testing.T) {
	got := check.Placeholders("TODO and XX\\% [Insert citation] [CITATION NEEDED] <INSERT TABLE> [Figure 3 about here] RESULTS GO HERE, N/A, one? lower here.")
	if len(got) != 7 {
		t.Errorf("found %v", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add(clean)
	for _, s := range []string{"$", "{", "}", "\\", "\\begin{", "\\end{x}", "$x^", "\\left", "\\frac{a", "```", "\\begin{itemize}\n\n\\begin{figure}", "%", "\\verb|", "\\measured{", "^_^", "\\(\\[$$",
		"\\begin{tabular}{*{99}{c}}&&\\hline", "\\text{$a}$", "\\ensuremath{\\alpha", "\xff", "\\begin{cases}a&b", "\\item", "\\'", "\\ensuremath{}^{", "\\footnote{\n\n}", "\\caption[", "a\\\\[", "x_\\frac"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := check.List{}
		watch := time.AfterFunc(5*time.Second, func() { panic("endless: " + strconv.Quote(s)) })
		defer watch.Stop()
		once := l.Clean(s, check.Known{})
		if len(once) > 20*len(s)+4000 {
			t.Errorf("%d bytes became %d", len(s), len(once))
		}
		balanced(t, once)
	})
}

// balanced checks what TeX cannot do without: groups and environments nest.
func balanced(t *testing.T, s string) {
	t.Helper()
	masked := tex.Mask(s)
	depth := 0
	var envs []string
	for i := 0; i < len(masked); {
		switch masked[i] {
		case '\\':
			name, end := tex.CommandAt(masked, i)
			if name == "begin" || name == "end" {
				c := tex.ReadCall(masked, i, 1)
				if len(c.Args) == 1 && name == "begin" {
					envs = append(envs, c.Args[0])
				} else if len(c.Args) == 1 {
					if len(envs) == 0 || envs[len(envs)-1] != c.Args[0] {
						t.Fatalf("environment %q ends in %q: %q", c.Args[0], envs, s)
					}
					envs = envs[:len(envs)-1]
				}
				end = max(end, c.End)
			}
			i = end
		case '{':
			depth++
			i++
		case '}':
			if depth--; depth < 0 {
				t.Fatalf("a brace too many: %q", s)
			}
			i++
		default:
			i++
		}
	}
	if depth != 0 || len(envs) != 0 {
		t.Fatalf("open: %d braces, %q: %q", depth, envs, s)
	}
}
