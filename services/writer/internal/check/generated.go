package check

import (
	"regexp"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

var (
	wrappedTable = regexp.MustCompile(`(?s)\\begin\s*\{table\*?\}.*?\\end\s*\{table\*?\}`)
	tableOption  = regexp.MustCompile(`(\\begin\s*\{measuredtable\})\s*\[[^\]\n]{0,20}\]`)
	labelField   = regexp.MustCompile(`\blabel\s*=`)
)

// unwrapTables takes a generated table out of a table that a model put around it: it brings a float, a caption and a label of its own. What it
// lacks of these it gets from the one around it.
func (l *List) unwrapTables(s string) string {
	if !strings.Contains(s, "measuredtable") {
		return s
	}
	s = tableOption.ReplaceAllString(s, "$1")
	renamed := map[string]string{}
	s = wrappedTable.ReplaceAllStringFunc(s, func(block string) string {
		head := tableHead.FindStringIndex(block)
		if head == nil {
			return block
		}
		inside, end, ok := tex.Group(block, head[1]-1)
		if !ok {
			return block
		}
		around := block[:head[0]] + block[end:]
		var fields []string
		for _, c := range tex.Calls(around, map[string]int{"label": 1, "caption": 1}) {
			if len(c.Args) == 0 {
				continue
			}
			switch own := tableLabel.FindStringSubmatch(inside); {
			case c.Name == "caption" && !captionField.MatchString(inside):
				fields = append(fields, "caption={"+c.Args[0]+"}")
			case c.Name == "label" && !labelField.MatchString(inside):
				fields = append(fields, "label="+c.Args[0])
			case c.Name == "label" && own != nil && own[1] != c.Args[0]:
				renamed[c.Args[0]] = own[1]
			}
		}
		l.mended("E04", "a generated table was taken out of the table around it")
		return `\begin{measuredtable}{` + strings.Join(append(fields, inside), ", ") + `}\end{measuredtable}`
	})
	for from, to := range renamed {
		s = strings.ReplaceAll(s, "ref{"+from+"}", "ref{"+to+"}")
	}
	return s
}
