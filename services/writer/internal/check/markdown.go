package check

import (
	"regexp"
	"strings"
)

var (
	mdBold  = regexp.MustCompile(`\*\*([^*\n]{1,300})\*\*`)
	mdEmph  = regexp.MustCompile(`(^|[\s(])\*([A-Za-z][^*\n$\\]{0,200}[^*\s$\\]|[A-Za-z])\*([\s.,;:!?)]|$)`)
	mdCode  = regexp.MustCompile("(^|[^`])`([^`'\n]{1,120})`([^`]|$)")
	mdHead  = regexp.MustCompile(`(?m)^[ \t]*#{1,6}[ \t]+([^\n]+?)[ \t]*#*[ \t]*$`)
	mdItem  = regexp.MustCompile(`^[ \t]*(?:[-*+]|\d{1,2}[.)])[ \t]+(\S.*)$`)
	mdImage = regexp.MustCompile(`(?m)^[ \t]*!\[([^\]\n]{0,300})\]\(([^)\s]{1,300})\)[ \t]*$`)
	mdLink  = regexp.MustCompile(`\[([^\]\n]{1,200})\]\((https?://[^)\s]{1,300})\)`)
	mdRule  = regexp.MustCompile(`(?m)^[ \t]*(?:-{3,}|\*{3,}|_{3,})[ \t]*$`)
	mdQuote = regexp.MustCompile(`(?m)^[ \t]*>[ \t]+`)
	mdCells = regexp.MustCompile(`^[ \t]*\|.*\|[ \t]*$`)
	mdUnder = regexp.MustCompile(`^[ \t]*\|[ \t:|-]+\|[ \t]*$`)
)

func (l *List) markdown(s string) string {
	t := mdRule.ReplaceAllString(s, "")
	t = mdImage.ReplaceAllString(t, "\n\\begin{figure}[t]\n\\centering\n\\includegraphics{$2}\n\\caption{$1}\n\\end{figure}\n")
	t = mdBold.ReplaceAllString(t, `\textbf{$1}`)
	t = mdLink.ReplaceAllString(t, `\href{$2}{$1}`)
	t = mdHead.ReplaceAllString(t, "\n\\subsection{$1}\n")
	t = mdCode.ReplaceAllStringFunc(t, func(m string) string {
		g := mdCode.FindStringSubmatch(m)
		return g[1] + `\texttt{` + strings.ReplaceAll(strings.ReplaceAll(g[2], `\_`, "_"), "_", `\_`) + "}" + g[3]
	})
	t = mdBlocks(t)
	if t != s {
		l.mended("F04", "Markdown became LaTeX")
	}
	return t
}

// mdBlocks turns runs of Markdown items into itemize and runs of rows into tabular. Lines inside environments are left alone.
func mdBlocks(s string) string {
	lines := strings.Split(s, "\n")
	var out []string
	depth := 0
	for i := 0; i < len(lines); i++ {
		depth += strings.Count(lines[i], `\begin{`) - strings.Count(lines[i], `\end{`)
		if depth <= 0 {
			if block, n := mdList(lines[i:]); n > 1 {
				out = append(out, block...)
				i += n - 1
				continue
			}
			if block, n := mdTable(lines[i:]); n > 1 {
				out = append(out, block...)
				i += n - 1
				continue
			}
			lines[i] = mdEmph.ReplaceAllString(mdQuote.ReplaceAllString(lines[i], ""), `$1\emph{$2}$3`)
		}
		out = append(out, lines[i])
	}
	return strings.Join(out, "\n")
}

// mdList reads the items that lines begin with, and says how many lines they take; one item alone is none.
func mdList(lines []string) ([]string, int) {
	var items []string
	n := 0
	for ; n < len(lines); n++ {
		if m := mdItem.FindStringSubmatch(lines[n]); m != nil {
			items = append(items, `\item `+m[1])
		} else if len(items) > 0 && strings.HasPrefix(lines[n], " ") && strings.TrimSpace(lines[n]) != "" {
			items[len(items)-1] += " " + strings.TrimSpace(lines[n])
		} else {
			break
		}
	}
	if len(items) < 2 {
		return nil, 0
	}
	return append(append([]string{`\begin{itemize}`}, items...), `\end{itemize}`), n
}

// mdTable reads the rows that lines begin with. A result typed into it is found as in any other table.
func mdTable(lines []string) ([]string, int) {
	var rows []string
	columns, n := 0, 0
	for ; n < len(lines) && mdCells.MatchString(lines[n]); n++ {
		if mdUnder.MatchString(lines[n]) {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(lines[n]), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		columns = max(columns, len(cells))
		rows = append(rows, strings.Join(cells, " & ")+` \\`)
	}
	if len(rows) < 2 {
		return nil, 0
	}
	head := []string{"", `\begin{center}`, `\begin{tabular}{` + strings.Repeat("l", min(columns, 40)) + "}", `\toprule`, rows[0], `\midrule`}
	return append(append(head, rows[1:]...), `\bottomrule`, `\end{tabular}`, `\end{center}`, ""), n
}
