package check

import "strings"

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// allowed are the commands that a body may use. Templates add those that their preamble defines.
var allowed = set(`textbf textit emph texttt textsc textrm textsf textmd textup underline textsuperscript textsubscript footnote paragraph
subparagraph subsection subsubsection item label ref eqref pageref autoref cref Cref cite citep citet citealp citealt citeauthor citeyear
citeyearpar caption centering includegraphics url href footnotesize small normalsize scriptsize noindent par newline linebreak medskip smallskip
bigskip hfill quad qquad ldots dots cdots vdots ddots begin end left right middle ss o O l L ae AE oe OE aa AA i j S P copyright
textcopyright textbullet textbackslash textasciitilde textasciicircum textless textgreater textbar textquoteleft textquoteright
textquotedblleft textquotedblright texorpdfstring nulliusmark nulliusgap allowbreak nolinebreak mbox text
toprule midrule bottomrule cmidrule hline cline multicolumn multirow tabularnewline resizebox setlength tabcolsep linewidth textwidth columnwidth
textheight measured setting counted cited need interp compare LaTeX TeX
State Statex If EndIf Else ElsIf For ForAll EndFor While EndWhile Repeat Until Require Ensure Return Comment Function EndFunction Procedure
EndProcedure Call dag ddag pounds slash enspace thinspace textasteriskcentered textquotesingle textregistered texttrademark`)

// algorithmOnly are commands that mean nothing outside algorithmic.
var algorithmOnly = set(`State Statex If EndIf Else ElsIf For ForAll EndFor While EndWhile Repeat Until Require Ensure Return Comment Function EndFunction
Procedure EndProcedure Call`)

// mathOnly are commands that need mathematics around them.
var mathOnly = set(`gets triangleq Longrightarrow hookleftarrow nearrow searrow doteq complement varnothing leqslant geqslant nleq ngeq lneq gneq
cong ncong alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho sigma
varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega frac tfrac dfrac sqrt sum prod int oint
partial nabla infty times div pm mp cdot ast star circ bullet oplus otimes odot leq geq le ge neq ne approx equiv sim simeq cong propto ll gg
in notin ni subset subseteq supset supseteq cup cap setminus emptyset forall exists neg land lor wedge vee to rightarrow leftarrow Rightarrow
Leftarrow leftrightarrow Leftrightarrow longrightarrow mapsto uparrow downarrow mathbb mathcal mathbf mathrm mathit mathsf mathtt mathfrak
boldsymbol bm hat bar tilde vec dot ddot widehat widetilde overline overbrace underbrace overset underset stackrel binom log ln exp sin cos tan
tanh sinh cosh arcsin arccos arctan max min sup inf lim argmax argmin det dim ker deg gcd Pr arg lVert rVert lvert rvert Vert vert langle
rangle lceil rceil lfloor rfloor ell hbar Re Im aleph prime top bot perp parallel mid nmid angle triangle surd checkmark big Big bigg Bigg bigl
bigr Bigl Bigr biggl biggr Biggl Biggr limits nolimits displaystyle textstyle scriptstyle operatorname mod bmod pmod not gtrsim lesssim
succ prec succeq preceq models vdash dashv asymp bigcup bigcap bigoplus bigotimes bigwedge bigvee coprod iint iiint substack intercal dagger
ddagger top hookrightarrow rightharpoonup iff implies colon cdotp ldotp therefore because trianglelefteq backslash nonumber notag tag intertext
mathop mathrel mathbin mathopen mathclose mathpunct lbrace rbrace lbrack rbrack overleftarrow overrightarrow xrightarrow boldmath`)

// rawArgs are commands whose groups are copied byte for byte; the value is their number.
var rawArgs = map[string]int{"label": 1, "ref": 1, "eqref": 1, "pageref": 1, "autoref": 1, "cref": 1, "Cref": 1, "cite": 1, "citep": 1, "citet": 1,
	"citealp": 1, "citealt": 1, "citeauthor": 1, "citeyear": 1, "citeyearpar": 1, "includegraphics": 1, "url": 1, "measured": 1, "setting": 1,
	"counted": 1, "cmidrule": 1, "cline": 1}

// dropArgs are commands that go with their groups.
var dropArgs = map[string]int{"vspace": 1, "hspace": 1, "addtolength": 2, "setcounter": 2, "fontsize": 2, "color": 1, "phantom": 1, "hphantom": 1,
	"vphantom": 1, "pagestyle": 1, "thispagestyle": 1, "definecolor": 3, "title": 1, "author": 1, "date": 1, "bibliography": 1, "bibliographystyle": 1,
	"usepackage": 1, "documentclass": 1, "RequirePackage": 1, "graphicspath": 1, "hypersetup": 1, "input": 1, "include": 1, "newcommand": 2,
	"renewcommand": 2, "providecommand": 2, "newenvironment": 3, "pdfinfo": 1, "directlua": 1, "special": 1, "rule": 2, "raisebox": 1, "hyphenation": 1,
	"nocite": 1, "thanks": 1, "addcontentsline": 3, "typeout": 1, "message": 1, "scalebox": 1, "rotatebox": 1, "setstretch": 1, "textcolor": 1,
	"colorbox": 1, "pagecolor": 1, "rowcolor": 1, "cellcolor": 1, "newtheorem": 2, "section": 0, "chapter": 0, "part": 0}

// environments that a body may use, and whether they are mathematics.
var environments = map[string]bool{"figure": false, "figure*": false, "table": false, "table*": false, "tabular": false, "tabular*": false,
	"tabularx": false, "itemize": false, "enumerate": false, "description": false, "center": false, "quote": false, "quotation": false,
	"minipage": false, "subfigure": false, "algorithm": false, "algorithmic": false, "verbatim": false, "theorem": false, "lemma": false, "proof": false,
	"definition": false, "proposition": false, "corollary": false, "remark": false, "flushleft": false, "measuredtable": false,
	"equation": true, "equation*": true, "align": true, "align*": true, "gather": true, "gather*": true, "multline": true, "multline*": true,
	"displaymath": true, "math": true, "eqnarray": true, "eqnarray*": true, "aligned": true, "split": true, "gathered": true, "cases": true,
	"matrix": true, "pmatrix": true, "bmatrix": true, "vmatrix": true, "array": true, "smallmatrix": true}

// alignedEnvs give "&" a meaning.
var alignedEnvs = set(`tabular tabular* tabularx align align* eqnarray eqnarray* aligned split cases matrix pmatrix bmatrix vmatrix array smallmatrix`)

// innerMath environments need mathematics around them already.
var innerMath = set(`aligned split gathered cases matrix pmatrix bmatrix vmatrix array smallmatrix`)

var floatEnvs = set(`figure figure* table table* algorithm`)

// envArgs is the number of groups behind \begin{…}.
var envArgCount = map[string]int{"tabular": 1, "tabular*": 2, "tabularx": 2, "array": 1, "minipage": 1, "subfigure": 1}
