package check

import (
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

var rules = set("toprule midrule bottomrule hline cmidrule cline")

func (w *weaver) lineBreak(end int) {
	if end < len(w.s) && w.s[end] == '*' {
		end++
	}
	w.i = end
	e := w.environment()
	if e == nil && !w.inMath() {
		w.put(" ")
		return
	}
	if e != nil {
		e.most, e.cells = max(e.most, e.cells), 0
	}
	w.put(`\\`)
	if j := tex.SkipSpace(w.s, end); j < len(w.s) && w.s[j] == '[' {
		inside, stop, ok := tex.Group(w.s, j)
		if ok && len(inside) < 12 && strings.Trim(inside, "0123456789.-ptexmc ") == "" {
			w.put("[" + inside + "]")
			w.i = stop
		} else {
			w.put("{}")
		}
	}
}

func (w *weaver) span(name string, end int) {
	c := tex.ReadCall(w.s, w.i, 2)
	e := w.environment()
	if len(c.Args) < 2 || e == nil || !alignedEnvs[e.name] || strings.Contains(w.s[c.Start+1:c.End], `\`) {
		w.l.mended("T01", `\`+name+" outside a table was removed")
		w.i = max(c.End, end)
		return
	}
	if name == "multicolumn" {
		n := 0
		for _, d := range c.Args[0] {
			if d >= '0' && d <= '9' {
				n = min(n*10+int(d-'0'), 50)
			}
		}
		e.cells += max(0, n-1)
	}
	w.put(escapePercent(w.s[c.Start:c.End]))
	w.i = c.End
}

// rule puts a missing line end in front of a rule and says whether a rule may stand here.
func (w *weaver) rule(name string) bool {
	e := w.environment()
	if e == nil || !strings.HasPrefix(e.name, "tabular") && e.name != "array" {
		w.l.mended("T02", `\`+name+" outside a table was removed")
		return false
	}
	t := strings.TrimRight(string(w.out[e.at:]), " \t\n")
	if t == "" || strings.HasSuffix(t, `\\`) || ruleEnd(t) {
		return true
	}
	w.l.mended("T02", "a line end was put in front of a rule")
	w.put(` \\ `)
	e.most, e.cells = max(e.most, e.cells), 0
	return true
}

func ruleEnd(t string) bool {
	if strings.HasSuffix(t, "]") {
		return strings.Contains(t[max(0, len(t)-24):], `\\[`)
	}
	line := t[strings.LastIndexByte(t, '\\')+1:]
	for r := range rules {
		if strings.HasPrefix(line, r) {
			return true
		}
	}
	return false
}
