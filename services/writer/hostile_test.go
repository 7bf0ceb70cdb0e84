package writer_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	writerv1 "nullius.dev/proto/gen/nullius/writer/v1"
)

var odd = []struct {
	name, body string
	typed      []string // numbers of no run, which must come out listed
}{
	{"numbers", "The error fell from 0.339 to 3.1e-2, by 12\\%, to $\\sim$0.4, a factor of $2.5\\times$, p < .05, $10^{-3}$, 1,234.5 and 7/8; nine of ten seeds improved, a twofold gain, forty-two per cent, in 2019, v2.0, $\\frac{3}{4}$, \\textsuperscript{9}3, 0{.}5, 1\\,000, -3, +4, \\num{12}, \\SI{3}{\\second}, 90's, $x_{93}$, {}$_{88}$.", []string{"3.1e-2", "12", "0.4", "2.5", ".05", "forty-two", "2019", "88", "2.0"}},
	{"braces", "The error {falls with \\textbf{the penalty and \\emph{stays low.\n\nIt rises} again} at the end}} of the range. {The peak {is 0.4711\\textbf{ or 0.4712.", []string{"0.4711", "0.4712"}},
	{"preamble", "\\usepackage{tikz,pgfplots}\n\\newcommand{\\acc}[1]{\\textbf{#1}}\n\\DeclareMathOperator{\\sgn}{sgn}\nWe see \\acc{a low} error and $\\sgn(x)$ at the threshold.", nil},
	{"unicode", "L’erreur “chute” à l’échelle — naïve façade, Łukasz, Dvořák; α≤β≈γ, x∈ℝⁿ, Δ→0, 5×10⁻³, 30 °C, ½, №7, ①, Ⅳ, 今, 🚀👩‍🔬, a\u200bb\u00adc, ﬁne. It is ０.４７１３ or ٠٫٤ or 0·5.", []string{"0.4713"}},
	{"specials", "Run_1 & run_2 cost $5 & #3 at 50% of A&B, see C:\\temp\\new_file and x^2 ~ 4 <tag> a|b \"quoted\".", nil},
	{"markdown", "### Main finding\n\n**The ridge** run is *better* than `run_0` (see [link](https://example.org/a_b)).\n\n1. First item\n2. Second item\n\n| Run | MSE |\n|-----|-----|\n| 0 | 0.339 |\n| 1 | 0.331 |\n\n> A quoted remark.\n\n---\n\n![alt](test_error.png)\n\n| a | b |\n|---|---|\n| **0.4714** | `0.4715` |", []string{"0.4714", "0.4715", "0.339"}},
	{"cites", "As shown before \\citep{smith2021nothing, belkin2018reconciling} and by \\citet{doe1999}, \\cite[p.~5]{nobody}, \\parencite{x}, \\autocite{y}, \\textcite{z} this holds [3, 4] (Smith et al., 2021).", nil},
	{"refs", "See Figure~\\ref{fig:none}, Table \\ref{tab:nope}, \\autoref{sec:missing}, \\cref{eq:no,fig:error}, \\Cref{alg:x}, Eq.~\\eqref{eq:gone}, \\nameref{sec:x}, and Sec. \\ref{}.", nil},
	{"figures", "\\begin{figure}[H]\n\\centering\n\\includegraphics[width=\\textwidth]{figures/does_not_exist.png}\n\\caption{Nothing.}\n\\label{fig:ghost}\n\\end{figure}\n\nFigure~\\ref{fig:ghost} shows it.\n\n\\begin{figure}\n\\includegraphics[width=0.5\\textwidth]{test_error.png}\\caption{One.}\\label{fig:same}\n\\end{figure}\n\\begin{figure}\n\\includegraphics[width=0.5\\textwidth]{threshold.png}\\caption{Two.}\\label{fig:same}\n\\end{figure}\n\nSee Figure~\\ref{fig:same}.", nil},
	{"subfigures", "\\begin{figure*}[t]\n\\begin{subfigure}[b]{0.48\\textwidth}\\includegraphics[width=\\textwidth]{test_error.png}\\caption{Left.}\\label{fig:l}\\end{subfigure}\\hfill\n\\begin{subfigure}[b]{0.48\\textwidth}\\includegraphics[width=\\textwidth]{threshold.png}\\caption{Right.}\\label{fig:r}\\end{subfigure}\n\\caption{Both.}\\label{fig:both}\n\\end{figure*}\n\nSee Figure~\\ref{fig:both}, \\subref{fig:l} and \\ref{fig:r}.", nil},
	{"tables", "\\begin{table}[h]\n\\caption{By hand.}\n\\begin{tabular}{|l|c|}\n\\hline\nRun & MSE & extra & more \\\\ \\hline\n0 & 0.339 $\\pm$ 0.019 & \\\\\n1 & 0.331\n2 & \\multicolumn{3}{c}{0.23} & x \\\\\n\\cline{1-9}\n\\end{tabular}\n\\end{table}\n\nSee the table.\n\n\\begin{table}\\begin{tabular}{l}a & b \\multicolumn{2}{c}{0.4716} \\\\ c 0.4717\\end{tabular}\\caption{At 0.4718.}\\end{table}", []string{"0.4716", "0.4717", "0.4718"}},
	{"input", "\\input{../experiment.py}\n\\include{secret}\n\\subfile{a}\n\\verbatiminput{/etc/passwd}\n\\lstinputlisting{/etc/passwd}\n\\InputIfFileExists{x}{y}{z}\nText after the reads.", nil},
	{"write18", "\\immediate\\write18{touch /tmp/pwned}\n\\openout7=/tmp/x\n\\csname write\\endcsname18{id}\n\\expandafter\\let\\csname x\\endcsname=\\relax\nText after the writes.", nil},
	{"verbatim", "The code is\n\\begin{verbatim}\nfor i in range(10):\n    print(f\"{i:.2f} & % $ # _\")\n\\end{verbatim}\nand \\verb|a_b%c| and\n\\begin{lstlisting}[language=Python]\nx = {1: 0.5}\n\\end{lstlisting}\n\\begin{minted}{python}\nprint(\"hi\")\n\\end{minted}\nwhich runs.\n\\begin{verbatim}\nacc 0.4719\n\\end{verbatim}\n\\begin{lstlisting}\nacc 0.4720\n\\end{lstlisting}", []string{"0.4719", "0.4720"}},
	{"hugetable", "\\begin{table}\\caption{Huge.}\\label{tab:huge}\\begin{tabular}{" + strings.Repeat("c", 40) + "}\\toprule\n" + strings.Repeat(strings.Repeat("word & ", 39)+"word \\\\\n", 120) + "\\bottomrule\\end{tabular}\\end{table}\nTable~\\ref{tab:huge} is huge.", nil},
	{"longwords", "The identifier " + strings.Repeat("antidisestablishmentarianism", 40) + " and the path /a/" + strings.Repeat("very_long_folder/", 30) + "x and \\texttt{" + strings.Repeat("abc\\_def\\_", 40) + "} end.", nil},
	{"tikz", "\\begin{tikzpicture}[scale=2]\n\\draw[->,thick] (0,0) -- (3,0) node[right] {$x$};\n\\foreach \\x in {0,...,5} {\\fill (\\x,1) circle (2pt);}\n\\begin{axis}[xlabel=x]\\addplot coordinates {(0,1) (1,2)};\\end{axis}\n\\end{tikzpicture}\nThe drawing shows it.", nil},
	{"algorithms", "\\begin{algorithm}[H]\n\\SetAlgoLined\n\\KwIn{data $D$}\n\\KwResult{fit}\n\\For{$i = 1$ \\KwTo $n$}{\n  update $w$\\;\n}\n\\caption{Fit}\\label{alg:fit}\n\\end{algorithm}\n\nAlgorithm~\\ref{alg:fit} and\n\\begin{algorithmic}\n\\STATE $x \\leftarrow 1$\n\\IF{$x > 0$}\\STATE go \\ENDIF\n\\end{algorithmic}", nil},
	{"starred", "\\section*{Results}\nThe first part.\n\\subsection*{Details}\nThe second part.\n\\subsubsection{Deep}\nThird. \\paragraph*{Bold} Fourth.\n\n\\section{Discussion}\nForeign text.", nil},
	{"bibliography", "The text cites \\citep{belkin2018reconciling}.\n\n\\begin{thebibliography}{9}\n\\bibitem{a} A. Author, Title, 2020.\n\\bibitem{b} B. Other, 2021.\n\\end{thebibliography}\n\n\\bibliography{refs}\n\\bibliographystyle{plain}\n\nReferences:\n[1] Smith, J. (2020). A paper.", nil},
	{"comments", "% the true accuracy was 0.97\nThe error is low. % 0.339 in run 0\nIt stays low.%\nIt is 20% of the other, and 5 % less. % end 3\nIt is 0.4721% of it\nand more.", []string{"0.4721"}},
	{"wrongmeasured", "At \\measured{run_9/noise_0.3/mse_widest}, \\measured{run_1/noise_0.5/mse_widest}, \\measured{run_1/mse_widest}, \\measured{mse}, \\measured[bold]{run_1/noise_0.3/mse_widest}, \\measured[digits=9]{run_1/noise_0.3/mse_widest}, \\measured{run_3/noise_0.3/mse_widest}, \\measured, \\measured{run_1/noise_0.3/mse_widest, \\measured{ratio(run_1/noise_0.3/mse_widest)}, \\measured{median(run_1/noise_0.3/mse_widest)}, \\measured{run_1/noise_0.3/mse_widest:.2f}, \\measured{0.331}.", nil},
	{"wrongtables", "\\begin{measuredtable}{label=tab:a, caption={A}, rows={run_0, run_77}, cols={noise_9/mse[pm], noise_0.3/mse_widest[bold]}}\\end{measuredtable}\n\n\\begin{measuredtable}[t]{label=tab:b, caption=No braces 0.5, rows=run_0 run_1, cols=noise_0.3/mse_widest}\\end{measuredtable}\n\n\\begin{measuredtable}\n\\caption{C}\n\\label{tab:c}\nrun_0 & 0.339 \\\\\n\\end{measuredtable}\n\n\\begin{table}\\begin{measuredtable}{label=tab:d, caption={D}, cols={noise_0.3/mse_widest}}\\end{measuredtable}\\caption{E}\\end{table}\n\n\\begin{measuredtable}{caption={At 0.4722}, cols={noise_0.3/mse_widest}}\\end{measuredtable}", []string{"0.4722"}},
	{"nested", "\\textbf{\\emph{\\texttt{\\measured{run_1/noise_0.3/mse_widest}}}} and $\\frac{\\measured{run_1/noise_0.3/mse_widest}}{\\measured{run_0/noise_0.3/mse_widest}}$, \\footnote{\\footnote{deep \\measured{run_0/noise_0.3/mse_widest}}}, \\caption{\\textbf{x}}, \\measured{\\measured{run_0/noise_0.3/mse_widest}}, $\\text{at $x=\\measured{run_0/noise_0.3/mse_widest}$}$. \\footnote{\\emph{\\textbf{0.4723}}}", []string{"0.4723"}},
	{"german", "Wir vergleichen die Läufe der Studie und stellen fest, dass der Fehler an der Schwelle um ein Vielfaches sinkt. Die größere Strafe von 0,1 senkt ihn um 32 Prozent, im fünfzehnten Lauf um dreißig. „Das ist viel“, sagt man.", nil},
	{"chinese", "我们比较了研究中的各次运行。误差在阈值处下降了百分之三十二，从0.339降到0.230。Русский текст тоже здесь есть. العربية هنا ٣٢٪. ไทย ๙๙", nil},
	{"emoji", "🎉 **Great news!** 🎉 The error drops 📉 by a lot 🔥🔥🔥 ✅ ❌ ➡️ ⭐ ™ ® € £ ¥ ¢ ‰ † ‡ ‾ ∴ ⌊x⌋ ⟂ ∥ ≲ ≳.", nil},
	{"mathmess", "$$ a = b $$ and $x_1_2^3^4$, \\[ \\frac{1}{ \\] \\begin{align} a &= b \\\\ c &= d \\label{eq:m} \\end{align*} $\\left( \\frac{a}{b} \\right]$ \\begin{equation} \\begin{align} x \\end{align} \\end{equation} \\begin{cases} 1 & x>0 \\\\ 0 \\end{cases} $\\mathbf x, \\vec v, \\bold{y}, \\R, \\E[X], \\norm{x}, \\mathbbm{1}, \\argmin_x$ \\alpha_1 is odd & even. $ lone $$ 0.4724 \\tag{0.4725} $$ \\begin{equation} a_{0.4726} \\end{equation}", []string{"0.4724", "0.4725", "0.4726"}},
	{"lists", "\\begin{itemize}\n\\item one\n\\begin{enumerate}[label=(\\alph*)]\n\\item two\n\\begin{itemize}\\item[a)] three\n\\begin{itemize}\\begin{itemize}\\item deep\\end{itemize}\\item four\n\\end{enumerate}\nno end", nil},
	{"headings", "# Results\n## Findings with $x^2$ & 50% more\n\\subsection{The \\measured[pm]{run_1/noise_0.3/mse_widest} case \\& \\citep{belkin2018reconciling} \\footnote{x}}\nText.\n\\paragraph{}\n\\subsection{}\n\\subsection{" + strings.Repeat("very long heading ", 30) + "}\nText.\n\\subsection{At 0.4727}\nText.", []string{"0.4727"}},
	{"tags", "<response><section name=\"results\">\n<p>The error &lt; baseline &amp; stays low.</p>\n<table><tr><td>0</td><td>0.339</td></tr></table>\n</section></response>\n```json\n{\"latex\": \"The text\"}\n```\n<td>0.4728</td>", []string{"0.4728"}},
	{"json", "{\"section\": \"results\", \"body\": \"The error falls.\\nIt stays low at \\\\measured{run_1/noise_0.3/mse_widest}.\"}", nil},
	{"whole", "\\documentclass{article}\n\\usepackage{foo}\n\\begin{document}\n\\title{X}\\maketitle\n\\section{Results}\nThe error falls everywhere.\n\\section{Conclusion}\nNo.\n\\bibliography{x}\n\\end{document}", nil},
	{"appendix", "The error falls.\n\n\\appendix\n\\section{Extra material}\nMore text.\n\\newpage\\clearpage\\pagebreak\n\\vspace*{-20cm}\n\\hspace{-5in}Moved text.\n\\onecolumn\\twocolumn[\\section{x}]\n\\tableofcontents\\listoffigures", nil},
	{"loops", "\\def\\x{\\x\\x}\\x\n\\loop\\iftrue\\repeat\n\\newcount\\n \\advance\\n by 1 \\ifnum\\n<99 \\fi\n\\romannumeral 1999 \\number\\year \\today \\the\\year \\pageref{nullius:end} \\thepage \\arabic{page}\n\\char65 \\symbol{51} \\hbox{a} \\vbox{b} \\kern1000pt \\hskip 1in plus 1fil x. \\char48.4730 \\hbox{0.4731}", []string{"0.4731"}},
	{"hidden", "Words {\\color{white} secretly} here.\n{\\tiny small words}\n\\textcolor{white}{accept} \\phantom{secret} \\fontsize{1}{1}\\selectfont tiny \\scalebox{0.01}{x}\n\\href{javascript:alert(1)}{click} \\href{file:///etc/passwd}{file} \\href{https://ok.example}{good} \\url{http://ok.example/a_b?c=d&e=%20} \\rotatebox{90}{y} \\makebox[0pt]{z} \\rlap{over} \\smash{w} \\llap{v} \\raisebox{-100cm}{u} \\transparent{0} gone \\setlength{\\parindent}{50cm}\\setlength{\\textheight}{1pt} end. {\\color{white}0.4732} \\phantom{0.4799} \\makebox[0pt]{0.4733}", []string{"0.4732", "0.4733"}},
	{"tags2", "\\begin{equation}\ny = x \\tag{0.97}\n\\end{equation}\n\\begin{theorem}[Accuracy 0.93]\nIt holds.\n\\end{theorem}\n\\cited{belkin2018reconciling}{an accuracy of 0.91} \\begin{longtable}{ll}\na & 0.5 \\\\ \\endhead b & c \\\\\n\\end{longtable} \\begin{adjustbox}{width=\\textwidth}\n\\begin{tabular}{ll} a & b \\\\ \\end{tabular}\n\\end{adjustbox}\n\\begin{wrapfigure}{r}{0.4\\textwidth}\\includegraphics[width=0.38\\textwidth]{test_error.png}\\caption{A\\footnote{note}\n\nB}\\end{wrapfigure} \\item[0.4729] x", []string{"0.97", "0.93", "0.4729"}},
	{"thecontinued", "\\begin{table}[h]\n\\centering\n\\begin{measuredtable}{label=tab:z, rows=run_0, run_1, cols=noise_0.3/mse_widest[pm], noise_0.3/mse_narrow}\\end{measuredtable}\n\\caption{An outer caption.}\n\\label{tab:outer}\n\\end{table}\n\nTable~\\ref{tab:outer} is generated. \\begin{measuredtable}{label=tab:z, caption={Again.}, rows={all}, cols={noise_0.3/mse_widest}}\\end{measuredtable}", nil},
	{"placeholders", "The error is TODO and XX\\% of TBD; see [insert citation] and [CITATION NEEDED], Figure ??, lorem ipsum, RESULTS GO HERE, <INSERT TABLE>, ???, N/A, [Figure 1 about here].", nil},
	{"footnotes", strings.Repeat("Text\\footnote{Note with \\textbf{bold} and 100\\% and \\url{https://example.org/a%20b_c}.} ", 40), nil},
	{"manyfloats", strings.Repeat("\\begin{table}[t]\\caption{T}\\begin{tabular}{l}a\\\\\\end{tabular}\\end{table}\n\n", 60) + "Words between floats.", nil},
	{"talk", "Sure! Here's the Results section for your paper:\n\n---\n\nThe error falls at the threshold in all runs with a penalty, as the table below shows in detail.\n\n---\n\n**Note:** I have used placeholder values where the data was missing. Let me know if you'd like me to adjust anything!", nil},
	{"spaces", "A\u00a0B\u2003C\tD\r\nE\rF \\\\ \\\\[2cm] G \\newline H \\par I \\ J \\, K~L \\\n M\\\\*N \\linebreak[4] O\\-P \\/ Q \\@ R.", nil},
	{"siunitx", "We use \\SI{20}{\\milli\\second}, \\num{1e-3}, \\ang{45}, \\qty{3}{\\metre}, \\textdegree, \\textmu, \\texttimes, \\textpm, \\textpercent, \\texteuro, \\degree, \\ie, \\eg, \\etal, \\etc, \\wrt, \\xspace, \\todo{x}, \\hl{y}, \\sout{z}, \\uline{w}, \\enquote{q}, \\say{r}.", nil},
}

// sections are the calls that write one, the results first: they are the strictest.
var sections = []string{"results", "method", "setup", "introduction", "background", "related"}

// TestService_WritePaper_oddSections: whatever LaTeX a model sends, the paper compiles, TeX stumbles over nothing, and a number that no run measured
// is listed and marked.
func TestService_WritePaper_oddSections(t *testing.T) {
	for chunk := range slices.Chunk(odd, len(sections)) {
		var names []string
		for _, c := range chunk {
			names = append(names, c.name)
		}
		t.Run(strings.Join(names, " "), func(t *testing.T) {
			t.Parallel()
			replies := goodReplies()
			for i, c := range chunk {
				replies[sections[i]+"/draft"] = c.body + "\n\n" + prose + "\n\n" + replies[sections[i]+"/draft"]
			}
			f := newFixture(t, nil)
			m := &book{replies: replies}
			p, err := write(t, dial(t, f, m, library{}, box(t)), f, &writerv1.Settings{MendRounds: 2})
			if err != nil {
				t.Fatal(err)
			}
			if p.GetOutcome() != writerv1.Paper_COMPILED {
				t.Fatalf("%s: %s\n%s", p.GetOutcome(), p.GetReason(), findings(p, true))
			}
			template := file(t, f, p.GetSnapshot(), "latex/template.tex")
			keep(t, names[0]+".tex", template)
			for _, x := range p.GetFindings() {
				switch x.GetId() {
				case "L01", "L02", "L03", "P04", "R01", "R02":
					if x.GetMendedBy() == "" {
						t.Errorf("%s %s: %s, line %d", x.GetId(), x.GetSection(), x.GetText(), x.GetLine())
					}
				}
			}
			for _, bad := range []string{"passwd", "write18", `\input{`, "javascript", "file:///", "nobody", "smith2021", `\tiny`} {
				if strings.Contains(template, bad) {
					t.Errorf("%q survived", bad)
				}
			}
			listed := unexplainedOf(t, f, p)
			for _, c := range chunk {
				for _, n := range c.typed {
					if !slices.Contains(listed, n) {
						t.Errorf("%s: the typed number %s is not listed: %q", c.name, n, listed)
					}
				}
			}
			if len(listed) > 0 && !strings.Contains(promptOf(m, "mend-1"), "the typed number") {
				t.Error("typed numbers did not go back to the model")
			}
		})
	}
}

func unexplainedOf(t *testing.T, f fixture, p *writerv1.Paper) []string {
	t.Helper()
	var v struct{ Unexplained []struct{ Text string } }
	if err := json.Unmarshal([]byte(file(t, f, p.GetSnapshot(), p.GetVerificationPath())), &v); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, u := range v.Unexplained {
		out = append(out, u.Text)
	}
	return out
}

// TestService_WritePaper_oddClosing: title, abstract and conclusion of one odd reply.
func TestService_WritePaper_oddClosing(t *testing.T) {
	for _, tc := range []struct{ name, reply, title, abstract string }{
		{"marks with Markdown", "%%% title\n# **Title:** A *Bold* Claim about the Peak\n%%% abstract\nWe ask what removes the peak.%\nThe error is 0.4711 \\begin{itemize}\\item one \\item two\\end{itemize} " + prose + "\n\nAnd a second paragraph.\n%%% conclusion\n" + prose, "A Bold Claim about the Peak", "second paragraph"},
		{"no marks but commands", "\\title{A Claim\\thanks{x} \\ in Two Lines}\n\\begin{abstract}\nThe error is 0.4711. " + prose + "\n\\end{abstract}\n\\section{Conclusion}\n" + prose, "A Claim in Two Lines", "0.4711"},
		{"a title with numbers and emoji", "%%% title\nA 0.4711 % Drop 🚀 & More\n%%% abstract\n" + prose + "\n%%% conclusion\n" + prose, "Drop", "compare"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replies := goodReplies()
			replies["conclusion/draft"] = tc.reply
			f := newFixture(t, nil)
			p, err := write(t, dial(t, f, &book{replies: replies}, library{}, box(t)), f, &writerv1.Settings{MendRounds: 1})
			if err != nil || p.GetOutcome() != writerv1.Paper_COMPILED {
				t.Fatalf("%v %s\n%s", err, p.GetOutcome(), findings(p, true))
			}
			source := file(t, f, p.GetSnapshot(), "latex/source.tex")
			if !strings.Contains(p.GetTitle(), tc.title) && !strings.Contains(source, tc.title) {
				t.Errorf("title %q", p.GetTitle())
			}
			_, rest, _ := strings.Cut(source, `\begin{abstract}`)
			if abstract, _, _ := strings.Cut(rest, `\end{abstract}`); !strings.Contains(abstract, tc.abstract) {
				t.Errorf("abstract %q", abstract)
			}
			if listed := fmt.Sprint(unexplainedOf(t, f, p)); !strings.Contains(listed, "0.4711") {
				t.Errorf("listed: %s", listed)
			}
		})
	}
}
